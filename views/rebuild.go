package views

import (
	"slices"
	"sync"
)

// bulkRows is from how many rows on a rebuild pays: a restore tells of all rows before the first reader comes, and sorting
// them costs a fraction of inserting them one by one.
const bulkRows = 10_000

// rebuild makes told the state of their rows, and all orders anew. Nobody reads meanwhile.
func (x *Index) rebuild(told map[string]state) {
	for id, s := range told {
		r := x.rows[id]
		switch {
		case r == nil:
			r = x.newRow(s)
		case r.state == s:
			continue
		default:
			x.totals.add(&r.state, -1)
			r.state = s
		}
		x.record(r)
	}
	x.complete, x.rest = newOrders(), newOrders()
	var wg sync.WaitGroup
	for i, by := range sorts() {
		wg.Go(func() {
			complete := make([]entry, 0, len(x.rows))
			var rest []entry
			for _, r := range x.rows {
				if r.complete() {
					complete = append(complete, by.entry(r))
				} else {
					rest = append(rest, by.entry(r))
				}
			}
			x.complete.load(i, by, complete)
			x.rest.load(i, by, rest)
		})
	}
	wg.Wait()
}

// load fills one empty tree.
func (o *orders) load(i int, by Sort, entries []entry) {
	slices.SortFunc(entries, by.compareEntries)
	for _, e := range entries {
		o.trees[i].Load(e)
	}
}
