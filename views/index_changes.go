package views

import (
	"cmp"
	"slices"
)

// change is a row's place in the order of changes. It is over once the row has a later one.
type change struct {
	seq uint64
	row int32
}

// changes is the order of changes: each row is in it once, at its last change. A change is always the latest one, so that a
// list does that only grows at its end, and what is over is swept out when it is more than half of the list. A tree costs
// some twenty comparisons to take the old place out and to put the new one in.
type changes struct {
	rows *rows
	log  []change
	live int // those that are not over
}

func (c *changes) over(e change) bool { return c.rows.at(e.row).seq != e.seq }

// changesSlack is how many changes may be over in a short list.
const changesSlack = 4096

// Len is the number of rows.
func (c *changes) Len() int { return c.live }

// add makes a row's change the latest. seq is above all others.
func (c *changes) add(seq uint64, row int32) {
	c.remove(row)
	c.rows.at(row).seq = seq
	c.log = append(c.log, change{seq, row})
	c.live++
	if len(c.log) > 2*c.live+changesSlack {
		c.log = slices.DeleteFunc(c.log, c.over)
	}
}

// remove takes a row out.
func (c *changes) remove(row int32) {
	if r := c.rows.at(row); r.seq != 0 {
		r.seq = 0
		c.live--
	}
}

// after calls f with the changes behind a position, in their order, until it returns false.
func (c *changes) after(position uint64, f func(change) bool) {
	i, _ := slices.BinarySearchFunc(c.log, position+1, func(c change, seq uint64) int { return cmp.Compare(c.seq, seq) })
	for _, e := range c.log[i:] {
		if !c.over(e) && !f(e) {
			return
		}
	}
}
