package views

import (
	"cmp"
	"slices"
	"sync"

	"github.com/potok-streams/potok/codecs"
)

// EventType is a row of result B.
type EventType struct {
	Event string `json:"event"`
	Count uint64 `json:"count"`
	Marks []Mark `json:"marks,omitempty" doc:"Raw offsets counted; with marks=1"`
}

// OwnCount is one of Potok's own counters: raw records rejected for a reason, or lost.
type OwnCount struct {
	codecs.Counter
	Count uint64
}

type typeRow struct {
	count uint64
	marks []codecs.Mark
}

// counts holds the event-types table, which is small.
type counts struct {
	mu      sync.Mutex
	types   map[string]*typeRow
	own     map[codecs.Counter]uint64
	version uint64      // moves with every change of an event type's count
	sorted  []EventType // of the version; nil: to be made. Never changed once made
	total   uint64
}

func newCounts() counts {
	return counts{types: make(map[string]*typeRow), own: make(map[codecs.Counter]uint64)}
}

// ApplyCount tells of the newest state of a row of the event-types table. Nothing of row is kept.
func (x *Index) ApplyCount(key string, t *codecs.Tally) {
	if t == nil {
		t = new(codecs.Tally)
	}
	c := &x.counts
	c.mu.Lock()
	if counter, ok := codecs.ParseCounter(key); ok {
		if counter.Kind != "" { // else a kind of a later Potok
			c.own[counter] = t.Count
		}
	} else {
		row := c.types[key]
		if row == nil {
			row = new(typeRow)
			c.types[key] = row
		}
		row.marks = append(row.marks[:0], t.Marks...)
		if row.count != t.Count {
			c.total += t.Count - row.count // wraps around, and back
			row.count = t.Count
			c.sorted = nil
			c.version++
		}
	}
	c.mu.Unlock()
	x.touch()
}

// eventTypes returns result B, largest first, ties by name. The rows must not be changed.
func (x *Index) eventTypes(marks bool) (rows []EventType, total, version uint64) {
	c := &x.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sorted == nil {
		c.sorted = make([]EventType, 0, len(c.types))
		for name, t := range c.types {
			if t.count > 0 {
				c.sorted = append(c.sorted, EventType{Event: name, Count: t.count})
			}
		}
		slices.SortFunc(c.sorted, func(a, b EventType) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Event, b.Event))
		})
	}
	rows = c.sorted
	if marks {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].Marks = marksOf(c.types[rows[i].Event].marks)
		}
	}
	return rows, c.total, c.version
}

// typesVersion tells whether result B has changed.
func (x *Index) typesVersion() uint64 {
	x.counts.mu.Lock()
	defer x.counts.mu.Unlock()
	return x.counts.version
}

// ownCounts returns Potok's own counters, sorted.
func (x *Index) ownCounts() []OwnCount {
	x.counts.mu.Lock()
	out := make([]OwnCount, 0, len(x.counts.own))
	for c, n := range x.counts.own {
		out = append(out, OwnCount{c, n})
	}
	x.counts.mu.Unlock()
	slices.SortFunc(out, func(a, b OwnCount) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}
