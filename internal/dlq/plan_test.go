package dlq

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestCuts(t *testing.T) {
	t.Parallel()
	a, b, c := Origin{"test", idA, 0, 1}, Origin{"test", idA, 0, 2}, Origin{"test", idA, 0, 3}
	// A queue of up to two partitions, in shorthand: a letter by its origin, "-" and the origin for the note that it was
	// purged, "+" for the one that it was replayed, "?" for somebody else's record.
	for name, tc := range map[string]struct {
		queue     [2]string
		unsettled string
		want      map[int32]int64
	}{
		"nothing":                                {[2]string{"", ""}, "", map[int32]int64{}},
		"nothing purged":                         {[2]string{"a b", "c"}, "", map[int32]int64{}},
		"all purged":                             {[2]string{"a b -a -b", ""}, "", map[int32]int64{0: 4}},
		"one that stays is before":               {[2]string{"a b -b", ""}, "", map[int32]int64{}},
		"one that stays is behind":               {[2]string{"a -a b c -c", ""}, "", map[int32]int64{0: 2}},
		"replayed is not purged":                 {[2]string{"a +a", ""}, "", map[int32]int64{}},
		"replayed and purged":                    {[2]string{"a +a -a", ""}, "", map[int32]int64{0: 3}},
		"not ours":                               {[2]string{"a ? b -a -b", ""}, "", map[int32]int64{0: 1}},
		"a letter again, behind its note":        {[2]string{"a -a b a", ""}, "", map[int32]int64{0: 1}},
		"a letter again, also deleted":           {[2]string{"a -a a", ""}, "", map[int32]int64{0: 3}},
		"a letter again, in another partition":   {[2]string{"a -a", "b a"}, "", map[int32]int64{0: 1}},
		"a letter again, there first":            {[2]string{"a -a", "a"}, "", map[int32]int64{0: 1, 1: 1}},
		"the note is elsewhere":                  {[2]string{"a", "-a"}, "", map[int32]int64{0: 1}},
		"notes of what is gone":                  {[2]string{"-a +b -c", ""}, "", map[int32]int64{0: 3}},
		"it may be written again":                {[2]string{"a -a b -b", ""}, "b", map[int32]int64{0: 3}},
		"a note that must stay holds up a purge": {[2]string{"b -b a -a", ""}, "b", map[int32]int64{0: 1}},
		"a cut that is lowered lowers others":    {[2]string{"a -a b c -b ? a", ""}, "", map[int32]int64{0: 1}},
		"a note whose letter goes in this round": {[2]string{"-a b", "c a -c"}, "", map[int32]int64{1: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := shorthand(tc.queue, map[string]Origin{"a": a, "b": b, "c": c})
			settled := func(o Origin) bool { return tc.unsettled != "b" || o != b }
			if got := x.cuts(settled); !maps.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}

	// Deleting in one partition makes way in another.
	x := shorthand([2]string{"a -a", "a"}, map[string]Origin{"a": a})
	all := func(Origin) bool { return true }
	deleted := 0
	for rounds := 0; rounds < 5; rounds++ {
		cuts := x.cuts(all)
		for _, p := range slices.Sorted(maps.Keys(cuts)) {
			deleted += x.trim(p, cuts[p])
		}
	}
	if deleted != 3 || len(x.items[0])+len(x.items[1]) != 0 || len(x.entries[a].Letters) != 0 {
		t.Errorf("%d deleted, left %v", deleted, x.items)
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	var entries []*Entry
	add := func(n, size int, topic string) {
		for range n {
			i := len(entries)
			entries = append(entries, &Entry{Origin: Origin{Topic: topic, Offset: int64(i)}, Size: size, Letters: []Place{{int32(i % 3), int64(i)}}})
		}
	}
	add(1200, 100, "test")
	add(3, 900_000, "CorpAppsTopic")
	add(2, 9_000_000, "test")
	add(1, 2_000_000, "CorpAppsTopic") // larger than its topic takes in one piece
	parts := batches(entries, func(topic string) int { return map[string]int{"test": 10 << 20, "CorpAppsTopic": 1 << 20}[topic] })
	seen := map[*Entry]bool{}
	for i, part := range parts {
		bytes := 0
		for j, e := range part {
			seen[e] = true
			bytes += e.Size
			if e.Size == 2_000_000 && (len(part) > 1 || i != len(parts)-1) {
				t.Errorf("the large one is one of %d in batch %d of %d", len(part), i, len(parts))
			}
			if j > 0 && part[j-1].Letters[0].Partition > e.Letters[0].Partition {
				t.Errorf("batch %d jumps back", i)
			}
		}
		if len(part) == 0 || len(part) > maxBatchEntries || bytes > maxBatchBytes {
			t.Errorf("batch %d has %d entries, %d bytes", i, len(part), bytes)
		}
	}
	if len(seen) != len(entries) {
		t.Errorf("%d of %d entries", len(seen), len(entries))
	}
}

// shorthand makes the index of a queue: see TestCuts.
func shorthand(queue [2]string, origins map[string]Origin) *index {
	x := newIndex()
	for p, records := range queue {
		for i, text := range strings.Fields(records) {
			r := &kgo.Record{}
			switch o := origins[text[len(text)-1:]]; text[0] {
			case '?':
			case '-':
				r = newNote("potok-dlq", 0, o, Purged)
			case '+':
				r = newNote("potok-dlq", 0, o, Replayed)
			default:
				r = letterOf(o)
			}
			r.Partition, r.Offset = int32(p), int64(i)
			if r.Timestamp.IsZero() {
				r.Timestamp = time.UnixMilli(5000)
			}
			x.add(r)
		}
	}
	return x
}
