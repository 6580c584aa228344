package views

import (
	"context"
	"time"
)

// scanChunk is how many rows are read before writers get their turn.
const scanChunk = 1000

// listing is a question for one page.
type listing struct {
	by    Sort
	all   bool    // rows outside of result A, too
	match *finder // nil: all rows
	after *state  // nil: from the start
	limit int
	cost  func(rows int) // nil, or told how many rows were read for the page
}

// list returns the page's rows as the index knows them, and whether there are more after it.
func (x *Index) list(ctx context.Context, l listing) (page []state, more bool, err error) {
	x.listed.Store(time.Now().UnixNano())
	x.flush()
	w := walk{x: x, listing: l, want: l.limit + 1}
	if l.cost != nil {
		defer func() { l.cost(w.read) }()
	}
	if l.match == nil {
		err = w.on(ctx, w.want)
	} else {
		err = w.search(ctx)
	}
	if err != nil {
		return nil, false, err // the client has gone
	}
	if len(w.page) > l.limit {
		return w.page[:l.limit], true, nil
	}
	return w.page, false, nil
}

// sinceListed is how long nobody has listed rows.
func (x *Index) sinceListed() time.Duration { return time.Since(time.Unix(0, x.listed.Load())) }

// walk reads rows in an order until a page is full. It is at a place in the order and not at a row, which may move.
type walk struct {
	x *Index
	listing
	want int // rows for the page, and one to know whether there are more

	page []state
	read int
	end  bool // the page is full, or there is nothing after it
}

// on reads up to n more rows.
func (w *walk) on(ctx context.Context, n int) error {
	for n > 0 && !w.end {
		size := min(n, scanChunk, w.read+2*w.want) // few at first: a search for what is everywhere is soon done
		chunk := w.x.chunk(w.by, w.all, w.after, size)
		for i := range chunk {
			w.read++
			w.after = &chunk[i]
			if w.match == nil || w.match.matches(&chunk[i]) {
				w.page = append(w.page, chunk[i])
			}
			if len(w.page) == w.want {
				w.end = true
				return nil
			}
		}
		if len(chunk) < size {
			w.end = true
			return nil
		}
		n -= size
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// chunk returns up to n rows behind a place in an order.
func (x *Index) chunk(by Sort, all bool, after *state, n int) []state {
	complete, rest := x.with(by, all)
	defer x.mu.RUnlock()
	a := complete.after(by, after, n)
	if !all {
		return a
	}
	return merge(by, a, rest.after(by, after, n), n)
}

// after returns up to n rows behind a place.
func (t *tree) after(by Sort, after *state, n int) []state {
	out := make([]state, 0, min(n, t.Len()))
	if by != t.by {
		return t.ascendCounts(after, n, out)
	}
	if after == nil {
		t.Scan(func(e entry) bool {
			out = append(out, t.rows.state(e.row))
			return len(out) < n
		})
		return out
	}
	place, done := t.seek(after)
	defer done()
	t.Ascend(place, func(e entry) bool {
		if t.less(place, e) { // else it is the place itself
			out = append(out, t.rows.state(e.row))
		}
		return len(out) < n
	})
	return out
}

// ascendCounts appends the rows behind a place by event_count to out, from the tree of -event_count. Rows of one count are in
// the same order there, by user_id; only the counts go the other way. So it goes on from the last count to the first, and
// through the rows of each as they are.
func (t *tree) ascendCounts(after *state, n int, out []state) []state {
	last, ok := t.Max()
	if !ok {
		return out
	}
	place, behind := firstOf(last), after != nil
	if behind {
		sought, done := t.seek(after)
		defer done()
		place = sought
	}
	for n > 0 {
		t.Ascend(place, func(e entry) bool {
			if e.major != place.major {
				return false
			}
			if !behind || t.less(place, e) {
				out = append(out, t.rows.state(e.row))
			}
			return len(out) < n
		})
		if len(out) >= n {
			break
		}
		found := false
		t.Descend(firstOf(place), func(e entry) bool {
			place, found = firstOf(e), true
			return false
		})
		if !found {
			break
		}
		behind = false
	}
	return out
}

// firstOf returns where the rows of an entry's count begin.
func firstOf(e entry) entry { return entry{e.major, 0, first} }

func merge(by Sort, a, b []state, n int) []state {
	out := make([]state, 0, min(n, len(a)+len(b)))
	for len(out) < n && len(a)+len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && by.less(&a[0], &b[0]) {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return out
}
