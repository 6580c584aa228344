package processors

import (
	"runtime"
	"testing"
)

// TestBatchBytes holds the memory of a batch to what it was when the limits were set, with the keys: eight bytes for
// an event while it gathers, four more to send it. (See TestBatchAllocations for how often it is asked for.)
func TestBatchBytes(t *testing.T) {
	raw := events(100_000)
	b := newBatch(rawTopic, new(keyedEvents))
	gather := func() {
		for _, r := range raw {
			take(b, r)
		}
	}
	send := func() { b.each(keyedTopic, countTopic, func(string, []byte, []byte) {}) }
	gather()
	send()
	b.reset()
	for _, step := range []struct {
		name  string
		f     func()
		limit float64
	}{
		{"gather", gather, 9},
		{"send", send, 20}, // with the runs of the most frequent event type, and the order of the keys
	} {
		if got := allocated(step.f) / float64(len(raw)); got > step.limit {
			t.Errorf("%s: %.1f bytes an event, the limit is %v", step.name, got, step.limit)
		} else {
			t.Logf("%s: %.1f bytes an event", step.name, got)
		}
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // as testing.AllocsPerRun does
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}
