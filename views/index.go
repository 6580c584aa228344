package views

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/potok-streams/potok/codecs"
)

// flushChunk is how many rows are brought up to date before readers get their turn.
const flushChunk = 500

// spareRows is up to how many rows the map of a flush is used again for the next but one: clearing it costs its size.
const spareRows = 50_000

// Index keeps in memory what listing, searching and streaming need: every row's identity, name, email and counts, the orders
// that are asked for, and the text index once somebody searches. Telling it of a row only notes the newest state; all else
// is brought up to date by whoever reads next, so that rows that change often cost little, and so does a restore. All
// methods may be called concurrently; those of one row come in its order.
type Index struct {
	epoch string

	feed    sync.Mutex
	pending map[string]state // by user_id: told, not yet in the rows
	spare   map[string]state // empty, or nil
	dirty   chan struct{}    // holds one token when something changed

	flushing sync.Mutex // held while rows change; who holds it may read what follows without mu
	updates  updates

	mu       sync.RWMutex // guards what follows
	complete orders       // result A
	rest     orders       // users without events, and events without a user
	changes  changes
	rows     map[string]*slot // by user_id
	slabs    [][]slot         // the same rows, in the order in which they came; none ever leaves
	seq      uint64
	totals   totals
	texts    *texts // nil: nobody has searched yet

	counts counts
}

// slot is a row and its place in the text index.
type slot struct {
	row
	doc uint32 // says something only if texts.has it
}

// bulkRows is from how many rows on that come at once the orders are given up: a restore tells of all rows before the first
// reader comes, and sorting them costs a fraction of inserting them one by one.
const bulkRows = 10_000

// slabRows is how many rows are allocated together.
const slabRows = 512

// updates is what bringing the rows and orders up to date has cost.
type updates struct{ rows, nanoseconds atomic.Int64 }

// totals are figures over all rows.
type totals struct {
	known           int
	complete        int
	eventsOfUnknown uint64
}

// NewIndex returns an empty index with an epoch of its own: positions in its order of changes mean nothing to another.
func NewIndex() *Index {
	return &Index{
		epoch:   rand.Text(),
		pending: make(map[string]state),
		dirty:   make(chan struct{}, 1),
		rows:    make(map[string]*slot),
		counts:  newCounts(),
	}
}

// ApplyActivity tells of a row's newest state. Nothing of row is kept. Lookup must find the row, or a newer one, already.
func (x *Index) ApplyActivity(userID string, a *codecs.Activity) {
	if len(userID) > maxID {
		return // no such row can be
	}
	s := newState(userID, a)
	x.feed.Lock()
	x.pending[s.id()] = s
	x.feed.Unlock()
	x.touch()
}

// touch says that something changed.
func (x *Index) touch() {
	select {
	case x.dirty <- struct{}{}:
	default:
	}
}

// flush brings the rows, and the orders that are there, up to date with all that was told before the call.
func (x *Index) flush() {
	x.flushing.Lock()
	defer x.flushing.Unlock()
	x.feed.Lock()
	told := x.pending
	if len(told) == 0 {
		x.feed.Unlock()
		return
	}
	if x.pending, x.spare = x.spare, nil; x.pending == nil {
		x.pending = make(map[string]state)
	}
	x.feed.Unlock()
	begin := time.Now()
	n := len(told)
	x.apply(told)
	x.updates.rows.Add(int64(n))
	x.updates.nanoseconds.Add(int64(time.Since(begin)))
	if n <= spareRows {
		clear(told)
		x.spare = told
	}
}

// apply makes told the states of their rows. Whoever calls it holds flushing.
func (x *Index) apply(told map[string]state) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(told) >= bulkRows && len(told) > len(x.rows)/2 {
		x.complete, x.rest = orders{}, orders{} // sorting all rows anew, when somebody asks, costs less than moving half of them
		if len(x.rows) == 0 {
			x.rows = make(map[string]*slot, len(told)) // a restore
		}
	}
	n := 0
	for _, s := range told {
		x.put(s)
		if n++; n%flushChunk == 0 {
			x.mu.Unlock() // let readers in
			x.mu.Lock()
		}
	}
	x.complete.dropUnasked()
	x.rest.dropUnasked()
}

func (x *Index) side(s *state) *orders {
	if s.complete() {
		return &x.complete
	}
	return &x.rest
}

// put makes s the state of its row.
func (x *Index) put(s state) {
	r := x.rows[s.id()]
	if r == nil {
		r = x.newRow(s)
		x.side(&s).insert(r)
		x.record(r)
		return
	}
	if r.state == s {
		return // written anew, or newer only in what nobody sees
	}
	x.totals.add(&r.state, -1)
	texts := r.known != s.known || r.nameLen != s.nameLen || r.text != s.text
	if !texts {
		s.text = r.text // equal; the new one is garbage already now, and not when the old one is old
	}
	if was, is := x.side(&r.state), x.side(&s); was != is {
		was.remove(r)
		r.state = s
		is.insert(r)
	} else {
		is.update(r, s)
	}
	if texts && x.texts != nil {
		x.retext(r)
	}
	x.record(r)
}

// newRow makes a row that is in no order yet.
func (x *Index) newRow(s state) *slot {
	last := len(x.slabs) - 1
	if last < 0 || len(x.slabs[last]) == slabRows {
		x.slabs = append(x.slabs, make([]slot, 0, slabRows))
		last++
	}
	x.slabs[last] = append(x.slabs[last], slot{row: row{state: s}}) // never moves: it has its capacity
	r := &x.slabs[last][len(x.slabs[last])-1]
	x.rows[r.id()] = r
	if x.texts != nil {
		x.texts.add(r)
	}
	return r
}

// record counts a row's new state and makes it the latest change.
func (x *Index) record(r *slot) {
	x.totals.add(&r.state, 1)
	if r.complete() {
		x.seq++
		x.changes.add(x.seq, r)
	} else {
		x.changes.remove(r)
	}
}

func (t *totals) add(s *state, sign int) {
	if s.complete() {
		t.complete += sign
	}
	if s.known {
		t.known += sign
	} else {
		t.eventsOfUnknown += uint64(sign) * s.count // wraps around, and back
	}
}

// place is where a user of result A is in the order of changes.
type place struct {
	id  string
	seq uint64
}

// changed returns the users of result A that changed after a position, at most n, in the order of their last change, and
// the position after them.
func (x *Index) changed(after uint64, n int) (rows []place, position uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	position = x.seq
	x.changes.after(after, func(c change) bool {
		if len(rows) == n {
			return false
		}
		rows = append(rows, place{c.row.id(), c.seq})
		position = c.seq
		return true
	})
	if len(rows) < n {
		position = x.seq
	}
	return rows, position
}

// head is the latest position.
func (x *Index) head() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.seq
}

// Sizes are the numbers of rows.
type Sizes struct {
	Known           int    // users published
	Complete        int    // known users with events: result A
	Rest            int    // users without events, and events without a user
	EventsOfUnknown uint64 // events whose user is not known
}

// sizes counts the rows that are up to date.
func (x *Index) sizes() Sizes {
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := &x.totals
	return Sizes{Known: t.known, Complete: t.complete, Rest: len(x.rows) - t.complete, EventsOfUnknown: t.eventsOfUnknown}
}

// Sizes counts the rows told so far.
func (x *Index) Sizes() Sizes {
	x.flush()
	return x.sizes()
}
