package views

import (
	"testing"
	"time"
)

func TestAges(t *testing.T) {
	t.Parallel()
	type look struct {
		second         int64
		id             byte
		position, end  int64
		want           int64 // seconds
		otherPartition bool
	}
	for name, looks := range map[string][]look{
		"nothing waits":                  {{second: 0, position: 5, end: 5}, {second: 9, position: 7, end: 7}},
		"from before the first look":     {{0, 1, 3, 5, 0, false}, {4, 1, 3, 5, 4, false}, {6, 1, 4, 9, 6, false}},
		"since the end before":           {{0, 1, 5, 5, 0, false}, {10, 1, 5, 5, 0, false}, {11, 1, 5, 6, 1, false}, {15, 1, 5, 8, 5, false}},
		"the reader comes nearer":        {{0, 1, 0, 0, 0, false}, {1, 1, 0, 10, 1, false}, {2, 1, 0, 20, 2, false}, {3, 1, 10, 30, 2, false}, {4, 1, 15, 30, 3, false}, {5, 1, 20, 30, 3, false}, {6, 1, 30, 30, 0, false}},
		"a topic made anew":              {{0, 1, 0, 0, 0, false}, {5, 1, 0, 10, 5, false}, {6, 2, 0, 3, 0, false}, {8, 2, 0, 3, 2, false}},
		"an answer from before":          {{0, 1, 0, 0, 0, false}, {5, 1, 0, 10, 5, false}, {4, 1, 0, 8, 4, false}, {6, 1, 0, 10, 6, false}},
		"partitions are apart":           {{0, 1, 0, 0, 0, false}, {3, 1, 0, 1, 3, false}, {4, 1, 0, 1, 0, true}, {5, 1, 0, 1, 5, false}},
		"a reader that was set back":     {{0, 1, 0, 0, 0, false}, {1, 1, 5, 5, 0, false}, {4, 1, 5, 6, 3, false}, {6, 1, 2, 6, 5, false}},
		"what was the end is not unread": {{0, 1, 7, 7, 0, false}, {100, 1, 7, 7, 0, false}, {101, 1, 7, 8, 1, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a ages
			for i, l := range looks {
				p := Partition{Topic: "t", Position: l.position, End: l.end, Lag: l.end - l.position}
				if l.otherPartition {
					p.Partition = 1
				}
				if got := a.observe([16]byte{l.id}, p, time.Unix(l.second, 0)); got != time.Duration(l.want)*time.Second {
					t.Errorf("look %d: %s, want %d s", i, got, l.want)
				}
			}
		})
	}
}

// TestAgesForget shows that a reader that stands still costs a bounded memory, and that its record's age stays right.
func TestAgesForget(t *testing.T) {
	t.Parallel()
	var a ages
	for s := range int64(10_000) {
		p := Partition{Topic: "t", Position: 0, End: s, Lag: s}
		if got, want := a.observe([16]byte{1}, p, time.Unix(s, 0)), time.Duration(s)*time.Second; got != want {
			t.Fatalf("after %d s: %s", s, got)
		}
	}
	ends := a.of[partitionKey{"t", 0}].ends
	if len(ends) > maxEnds {
		t.Errorf("%d ends are kept", len(ends))
	}
	// In the middle it is coarser, and never too little.
	got := a.observe([16]byte{1}, Partition{Topic: "t", Position: 5000, End: 10_000, Lag: 5000}, time.Unix(10_000, 0))
	if got < 5000*time.Second || got > 5200*time.Second {
		t.Errorf("the age of a record of 5,000 s: %s", got)
	}
}
