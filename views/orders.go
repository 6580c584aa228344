package views

import (
	"cmp"
	"encoding/binary"
	"math"

	"github.com/tidwall/btree"
)

// entry is a row's place in an order. Most comparisons are decided by its two numbers: following the pointer costs a cache
// miss or two, and at a million rows that is what inserting consists of.
type entry struct {
	major, minor uint64
	row          *row
}

// entry returns the place of a row in the state that r has; the numbers never contradict compare.
func (o Sort) entry(r *row) entry {
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

// orders holds the same rows in every order. The trees do not lock: Index.mu does.
type orders struct {
	trees [5]*btree.BTreeG[entry] // as sorts has them
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

func newTree(by Sort) *btree.BTreeG[entry] {
	less := func(a, b entry) bool { return by.compareEntries(a, b) < 0 }
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: 32})
}

func newOrders() (o orders) {
	for i, by := range sorts() {
		o.trees[i] = newTree(by)
	}
	return o
}

func (o *orders) tree(by Sort) *btree.BTreeG[entry] {
	for i, s := range sorts() {
		if s == by {
			return o.trees[i]
		}
	}
	return o.trees[0]
}

func (o *orders) len() int { return o.trees[0].Len() }

func (o *orders) insert(r *row) {
	for i, by := range sorts() {
		o.trees[i].Set(by.entry(r))
	}
}

func (o *orders) remove(r *row) {
	for i, by := range sorts() {
		o.trees[i].Delete(by.entry(r))
	}
}

// update gives a row its new state and moves it where its key changed.
func (o *orders) update(r *row, s state) {
	var moved [5]bool
	for i, by := range sorts() {
		if moved[i] = by.compare(&r.state, &s) != 0; moved[i] {
			o.trees[i].Delete(by.entry(r))
		}
	}
	r.state = s
	for i, by := range sorts() {
		if moved[i] {
			o.trees[i].Set(by.entry(r))
		}
	}
}

// change is a row's place in the order of changes.
type change struct {
	seq uint64
	row *row
}

func newChanges() *btree.BTreeG[change] {
	return btree.NewBTreeGOptions(func(a, b change) bool { return a.seq < b.seq }, btree.Options{NoLocks: true, Degree: 32})
}
