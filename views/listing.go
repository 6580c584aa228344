package views

import (
	"context"

	"github.com/tidwall/btree"
)

// scanChunk is how many rows a search reads before writers get their turn.
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
	read := 0
	if l.cost != nil {
		defer func() { l.cost(read) }()
	}
	x.flush()
	want := l.limit + 1
	for after := l.after; ; {
		n := want - len(page)
		if l.match != nil {
			n = scanChunk
		}
		chunk := x.chunk(l.by, l.all, after, n)
		read += len(chunk)
		for i := range chunk {
			if l.match == nil || l.match.matches(&chunk[i]) {
				page = append(page, chunk[i])
			}
			if len(page) == want {
				return page[:l.limit], true, nil
			}
		}
		if len(chunk) < n {
			return page, false, nil
		}
		after = &chunk[len(chunk)-1]
		if err := ctx.Err(); err != nil {
			return nil, false, err // the client has gone
		}
	}
}

// chunk returns up to n rows behind a place in an order.
func (x *Index) chunk(by Sort, all bool, after *state, n int) []state {
	x.mu.RLock()
	defer x.mu.RUnlock()
	a := ascend(x.complete.tree(by), by, after, n)
	if !all {
		return a
	}
	return merge(by, a, ascend(x.rest.tree(by), by, after, n), n)
}

func ascend(t *btree.BTreeG[entry], by Sort, after *state, n int) (out []state) {
	if after == nil {
		t.Scan(func(e entry) bool {
			out = append(out, e.row.state)
			return len(out) < n
		})
		return out
	}
	place, first := by.entry(&row{state: *after}), true
	t.Ascend(place, func(e entry) bool {
		if first {
			if first = false; !t.Less(place, e) {
				return true // the place itself
			}
		}
		out = append(out, e.row.state)
		return len(out) < n
	})
	return out
}

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
