package views

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// entry is a row's place in an order. Most comparisons are decided by its two numbers: looking at the row costs a cache
// miss or two, and at a million rows that is what inserting consists of.
type entry struct {
	major, minor uint64
	row          int32 // first, or below it what somebody looks for: see tree.seek
}

// first is instead of a row where all with the same two numbers come behind.
const first = -1

// entry returns the place of a state; the numbers never contradict compare.
func (o Sort) entry(s *state) entry {
	switch o {
	case ByEventCountDesc:
		return entry{major: ^s.count, minor: prefix(s.id, 0)}
	case ByEventCount:
		return entry{major: s.count, minor: prefix(s.id, 0)}
	case ByLastEventDesc:
		return entry{major: ^(uint64(s.last) ^ 1<<63), minor: prefix(s.id, 0)}
	case ByName:
		if !s.known {
			return entry{major: math.MaxUint64, minor: prefix(s.id, 0)} // above every text in UTF-8
		}
		return entry{major: prefix(s.name, 0), minor: prefix(s.name, 8)}
	default:
		return entry{major: prefix(s.id, 0), minor: prefix(s.id, 8)}
	}
}

// of returns the place of a row in a state.
func (o Sort) of(row int32, s *state) entry {
	e := o.entry(s)
	e.row = row
	return e
}

// prefix returns eight bytes of s as a number that orders as they do.
func prefix(s string, from int) uint64 {
	if len(s) >= from+8 {
		return binary.BigEndian.Uint64([]byte(s[from : from+8]))
	}
	var b [8]byte
	if from < len(s) {
		copy(b[:], s[from:])
	}
	return binary.BigEndian.Uint64(b[:])
}

// tree is the rows in one order.
type tree struct {
	*btree.BTreeG[entry]
	by    Sort
	rows  *rows
	asked atomic.Bool // since the last look
	moves int         // rows put in, or taken out, since somebody asked

	sought sync.Map // states that somebody looks for, by number: entries have no pointers, for the collector's sake
	number atomic.Uint32
}

func newTree(by Sort, rows *rows) *tree {
	t := &tree{by: by, rows: rows}
	t.BTreeG = btree.NewBTreeGOptions(t.less, btree.Options{NoLocks: true, Degree: 32})
	return t
}

// less orders rows by their places. Nearly every comparison ends at the first or the second line.
func (t *tree) less(a, b entry) bool {
	if a.major != b.major {
		return a.major < b.major
	}
	if a.minor != b.minor {
		return a.minor < b.minor
	}
	switch {
	case a.row == b.row:
		return false
	case a.row == first || b.row == first:
		return a.row == first
	}
	if t.by == ByName { // the other keys are in the numbers
		if c := cmp.Compare(t.name(a), t.name(b)); c != 0 {
			return c < 0
		}
	}
	return t.id(a) < t.id(b)
}

func (t *tree) name(e entry) string {
	if e.row < 0 {
		return t.soughtAs(e).name
	}
	return t.rows.name(e.row)
}

func (t *tree) id(e entry) string {
	if e.row < 0 {
		return t.soughtAs(e).id
	}
	return t.rows.ids.String(e.row)
}

// seek returns the place of a state that need not be a row's, to be looked for until done is called.
func (t *tree) seek(s *state) (e entry, done func()) {
	e = t.by.of(first-1-int32(t.number.Add(1)%(1<<30)), s) // nobody looks for so many at a time
	t.sought.Store(e.row, s)
	return e, func() { t.sought.Delete(e.row) }
}

func (t *tree) soughtAs(e entry) *state {
	s, _ := t.sought.Load(e.row)
	return s.(*state)
}

// orders holds the same rows in every order that somebody asks for; nil: nobody does. Keeping an order costs each update of a
// row two ways down a tree, which is most of what an update costs, and making it anew sorts all rows once. The trees do not
// lock: Index.mu does.
type orders struct {
	trees [5]*tree // as sorts has them
}

// treeOf returns which tree has an order. The smallest counts are at the end of the tree of the largest: one tree does for
// both, see ascendCounts.
func treeOf(by Sort) int {
	if by == ByEventCount {
		by = ByEventCountDesc
	}
	all := sorts()
	return max(0, slices.Index(all[:], by))
}

func (o *orders) insert(row int32, s *state) {
	for _, t := range o.trees {
		if t != nil {
			t.Set(t.by.of(row, s))
			t.moves++
		}
	}
}

func (o *orders) remove(row int32, s *state) {
	for _, t := range o.trees {
		if t != nil {
			t.Delete(t.by.of(row, s))
			t.moves++
		}
	}
}

// update gives a row its new state and moves it where its key changed.
func (o *orders) update(rows *rows, row int32, old, s *state) {
	var moved [5]bool
	for i, t := range o.trees {
		if t == nil {
			continue
		}
		if moved[i] = t.by.compare(old, s) != 0; moved[i] {
			t.Delete(t.by.of(row, old))
			t.moves += 2
		}
	}
	rows.set(row, s)
	for i, t := range o.trees {
		if moved[i] {
			t.Set(t.by.of(row, s))
		}
	}
}

// dropUnasked gives up the orders that nobody has asked for while they were kept at the cost of about four times what it
// takes to sort all rows: whoever asks again waits once. So rows that stream in with nobody looking cost no order, and
// who looks now and then seldom waits.
func (o *orders) dropUnasked() {
	for i, t := range o.trees {
		switch {
		case t == nil || t.moves < bulkRows+4*t.Len():
		case t.asked.Swap(false):
			t.moves = 0
		default:
			o.trees[i] = nil
		}
	}
}

// load fills an empty tree.
func (t *tree) load(entries []entry) {
	slices.SortFunc(entries, func(a, b entry) int {
		switch {
		case t.less(a, b):
			return -1
		case a.row == b.row:
			return 0
		default:
			return 1
		}
	})
	for _, e := range entries {
		t.Load(e)
	}
}

// with returns the index locked for reading, with the order there for the rows of result A and, if all, for the others. The
// caller unlocks.
func (x *Index) with(by Sort, all bool) (complete, rest *tree) {
	i := treeOf(by)
	for {
		x.mu.RLock()
		complete, rest = x.complete.trees[i], x.rest.trees[i]
		if complete != nil && (rest != nil || !all) {
			complete.asked.Store(true)
			if all {
				rest.asked.Store(true)
			}
			return complete, rest
		}
		x.mu.RUnlock()
		x.sort(i, all)
	}
}

// sort makes an order.
func (x *Index) sort(i int, all bool) {
	x.flushing.Lock() // nothing changes, so that there is nothing to make up for
	defer x.flushing.Unlock()
	if x.complete.trees[i] == nil {
		x.sortSide(&x.complete, i, x.totals.complete, true)
	}
	if all && x.rest.trees[i] == nil {
		x.sortSide(&x.rest, i, x.rows.len()-x.totals.complete, false)
	}
}

// sortSide makes an order of the rows, n in all, that are in result A, or of those that are not. Whoever calls it holds flushing.
func (x *Index) sortSide(side *orders, i, n int, complete bool) {
	t := newTree(sorts()[i], &x.rows)
	entries := make([]entry, 0, n)
	for row := range int32(x.rows.len()) {
		if x.rows.at(row).complete() == complete {
			s := x.rows.state(row)
			entries = append(entries, t.by.of(row, &s))
		}
	}
	t.load(entries)
	x.mu.Lock()
	defer x.mu.Unlock()
	side.trees[i] = t
}
