package views

import (
	"cmp"
	"context"
	"math"
	"slices"
)

const (
	// searchRows is from how many rows on the text index is worth its memory: fewer are read in a millisecond.
	searchRows = 2000
	// patience is how many times as many rows as expected a search reads in order before it asks the text index for all that
	// match: they may be far from the place where it began, as in the order of names.
	patience = 4
	// comparesPerTest is how many rows are compared with the last one of a page in the time in which one is tested: that
	// folds three texts.
	comparesPerTest = 8
)

// search fills the page with rows that match.
//
// A word that many rows have is soonest found by reading rows in the order asked for: if one in ten matches, a page of 100 is
// full after 1,000 rows. A word that few rows have is soonest found in the text index: all rows that may have it are compared,
// and tested if they come before the last one of the page so far. With n rows of which m have the word, the former costs
// want*n/m tests and the latter at most m, so that it turns at about the square root of want*n: 10,000 rows of a million. m is
// known as the length of the shortest of the word's lists, which is often too much, and the rows that match may all be at the
// far end of the order. So reading in order stops when it has read much more than it expected; then the lists say more exactly
// how many rows there are to compare, and it stops for good when it has cost as much as that.
func (w *walk) search(ctx context.Context) error {
	if err := w.on(ctx, w.x.readFirst(w)); err != nil || w.end {
		return err
	}
	rows, ok := w.x.candidates(w.match)
	if !ok { // the text index has gone meanwhile, to be made anew
		return w.on(ctx, math.MaxInt)
	}
	if w.read > 0 {
		if err := w.on(ctx, len(rows)/comparesPerTest-w.read); err != nil || w.end {
			return err
		}
	}
	return w.pick(ctx, rows)
}

// readFirst returns how many rows a search should read in order before it uses the text index.
func (x *Index) readFirst(w *walk) int {
	x.mu.RLock()
	t, rows := x.texts, x.rows.len()
	if t != nil && t.ready {
		defer x.mu.RUnlock()
		if most := t.look(w.match.folded).most; most < rows {
			if expected := w.want * (rows / (most + 1)); expected < most {
				return max(scanChunk, patience*expected)
			}
			return 0
		}
		return math.MaxInt // every row may have it
	}
	x.mu.RUnlock()
	if t == nil && rows >= searchRows {
		x.mu.Lock()
		if x.texts == nil {
			x.readTexts()
		}
		x.mu.Unlock()
	}
	return math.MaxInt
}

// candidates returns all rows that may match, as far as there is a text index.
func (x *Index) candidates(f *finder) ([]int32, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := x.texts
	if t == nil || !t.ready {
		return nil, false
	}
	return t.rows(t.look(f.folded)), true
}

// pick fills the page with those of the rows that match and come after the place where the walk is.
func (w *walk) pick(ctx context.Context, rows []int32) error {
	want := w.want - len(w.page)
	var best []state // the first ones, as far as known
	var bound *state // what does not come before it is not one of them
	trim := func() {
		slices.SortFunc(best, func(a, b state) int { return cmp.Or(w.by.compare(&a, &b), cmp.Compare(a.id, b.id)) })
		if len(best) >= want {
			best = best[:want]
			last := best[want-1]
			bound = &last
		}
	}
	for part := range slices.Chunk(rows, scanChunk) {
		w.x.mu.RLock()
		for _, r := range part {
			s := w.x.rows.state(r)
			if !w.all && !s.complete() || w.after != nil && !w.by.less(w.after, &s) || bound != nil && !w.by.less(&s, bound) {
				continue
			}
			w.read++
			if w.match.matches(&s) {
				best = append(best, s)
			}
			if len(best) >= 4*want {
				trim()
			}
		}
		w.x.mu.RUnlock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	trim()
	w.page = append(w.page, best...)
	w.end = true
	return nil
}

// retext notes that a row's texts have changed. Whoever calls it holds mu.
func (x *Index) retext(row int32) {
	t := x.texts
	t.add(&x.rows, row)
	if t.ready && t.over > x.rows.len()+searchRows {
		x.readTexts() // more than half of what the lists say is over
	}
}

// readTexts begins a new text index. It is made beside everything else: searches read rows in order until it is there, which at
// a million rows takes seconds. Whoever calls it holds mu.
func (x *Index) readTexts() {
	x.texts = newTexts()
	go x.fillTexts(x.texts)
}

// textChunk is how many rows are put into the text index before others get their turn: about a millisecond.
const textChunk = 128

// fillTexts puts all rows into a text index; those that come or change meanwhile are put in by who changes them.
func (x *Index) fillTexts(t *texts) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for row := int32(0); int(row) < x.rows.len(); row++ { // there may be more every time
		if !t.has(&x.rows, row) {
			t.add(&x.rows, row)
		}
		if row%textChunk == 0 {
			x.mu.Unlock()
			x.mu.Lock()
		}
	}
	t.ready = true
}
