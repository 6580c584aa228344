package views

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// entry is a row's place in an order. Most comparisons are decided by its two numbers: following the pointer costs a cache
// miss or two, and at a million rows that is what inserting consists of.
type entry struct {
	major, minor uint64
	row          *slot
}

// entry returns the place of a row in the state that r has; the numbers never contradict compare.
func (o Sort) entry(r *slot) entry {
	s := &r.state
	switch o {
	case ByEventCountDesc:
		return entry{^s.count, prefix(s.id(), 0), r}
	case ByEventCount:
		return entry{s.count, prefix(s.id(), 0), r}
	case ByLastEventDesc:
		return entry{^(uint64(s.last) ^ 1<<63), prefix(s.id(), 0), r}
	case ByName:
		if !s.known {
			return entry{math.MaxUint64, prefix(s.id(), 0), r} // above every text in UTF-8
		}
		return entry{prefix(s.name(), 0), prefix(s.name(), 8), r}
	default:
		return entry{prefix(s.id(), 0), prefix(s.id(), 8), r}
	}
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

// compareEntries orders rows by their places.
func (o Sort) compareEntries(a, b entry) int {
	switch {
	case a.major != b.major:
		return cmp.Compare(a.major, b.major)
	case a.minor != b.minor:
		return cmp.Compare(a.minor, b.minor)
	case a.row == b.row:
		return 0
	case o.less(&a.row.state, &b.row.state):
		return -1
	default:
		return 1
	}
}

// tree is the rows in one order.
type tree struct {
	*btree.BTreeG[entry]
	by    Sort
	asked atomic.Bool // since the last look
	moves int         // rows put in, or taken out, since somebody asked
}

func newTree(by Sort) *tree {
	less := func(a, b entry) bool { // nearly every comparison ends at the first or the second line
		if a.major != b.major {
			return a.major < b.major
		}
		if a.minor != b.minor {
			return a.minor < b.minor
		}
		return a.row != b.row && by.less(&a.row.state, &b.row.state)
	}
	return &tree{BTreeG: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: 32}), by: by}
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

func (o *orders) insert(r *slot) {
	for _, t := range o.trees {
		if t != nil {
			t.Set(t.by.entry(r))
			t.moves++
		}
	}
}

func (o *orders) remove(r *slot) {
	for _, t := range o.trees {
		if t != nil {
			t.Delete(t.by.entry(r))
			t.moves++
		}
	}
}

// update gives a row its new state and moves it where its key changed.
func (o *orders) update(r *slot, s state) {
	var moved [5]bool
	for i, t := range o.trees {
		if t == nil {
			continue
		}
		if moved[i] = t.by.compare(&r.state, &s) != 0; moved[i] {
			t.Delete(t.by.entry(r))
			t.moves += 2
		}
	}
	r.state = s
	for i, t := range o.trees {
		if moved[i] {
			t.Set(t.by.entry(r))
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

// load fills one empty tree.
func (o *orders) load(i int, by Sort, entries []entry) {
	slices.SortFunc(entries, by.compareEntries)
	for _, e := range entries {
		o.trees[i].Load(e)
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
	needComplete, needRest := x.complete.trees[i] == nil, all && x.rest.trees[i] == nil
	by := sorts()[i]
	var complete, rest []entry
	if needComplete {
		complete = make([]entry, 0, x.totals.complete)
	}
	for _, slab := range x.slabs {
		for j := range slab {
			r := &slab[j]
			switch {
			case r.complete() && needComplete:
				complete = append(complete, by.entry(r))
			case !r.complete() && needRest:
				rest = append(rest, by.entry(r))
			}
		}
	}
	var made orders
	made.trees[i] = newTree(by)
	if needComplete {
		made.load(i, by, complete)
		x.mu.Lock()
		x.complete.trees[i] = made.trees[i]
		x.mu.Unlock()
	}
	if needRest {
		made.trees[i] = newTree(by)
		made.load(i, by, rest)
		x.mu.Lock()
		x.rest.trees[i] = made.trees[i]
		x.mu.Unlock()
	}
}
