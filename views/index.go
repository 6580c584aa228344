package views

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/potok-streams/potok/codecs"
)

// flushChunk is how many rows are brought up to date before readers get their turn: at a million rows, half a millisecond's worth.
const flushChunk = 64

// largeFlush is from how many rows on a map of what was told is large.
const largeFlush = 500

// mostTold is how many rows are told, about, before they are brought up to date with nobody asking: a restore tells of all.
const mostTold = 50_000

// Index keeps in memory what listing, searching and streaming need: every row's identity, name, email and counts, the orders
// that are asked for, and the text index once somebody searches. Telling it of a row only notes the newest state; all else
// is brought up to date by whoever reads next, or when much was told, so that rows that change often cost little. All
// methods may be called concurrently; those of one row come in its order.
type Index struct {
	epoch  string
	listed atomic.Int64 // when somebody last listed rows, in nanoseconds since 1970
	kinds  kinds

	feed    sync.Mutex
	pending map[string]state // by user_id: told, not yet in the rows
	flying  map[string]state // on its way to the rows; nobody changes it
	spare   map[string]state // empty, or nil
	dirty   chan struct{}    // holds one token when something changed

	flushing sync.Mutex // held while rows change; who holds it may read what follows without mu
	large    int        // how many of pending and spare may be large, which costs as much to walk as if they were full
	updates  updates

	mu       sync.RWMutex // guards what follows
	complete orders       // result A
	rest     orders       // users without events, and events without a user
	changes  changes
	rows     rows
	seq      uint64
	totals   totals
	texts    *texts // nil: nobody has searched yet

	counts counts
}

// bulkRows is from how many rows on that come at once, and are more than half of all, the orders are given up: sorting all rows
// costs a fraction of inserting them one by one.
const bulkRows = 10_000

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
	x := &Index{
		epoch:   rand.Text(),
		pending: make(map[string]state),
		dirty:   make(chan struct{}, 1),
		counts:  newCounts(),
	}
	x.changes.rows = &x.rows
	return x
}

// ApplyActivity tells of a row's newest state. The row's texts are kept until it is brought up to date. Lookup must find the
// row, or a newer one, already.
func (x *Index) ApplyActivity(userID string, a *codecs.Activity) {
	if len(userID) > maxID {
		return // no such row can be
	}
	s := newState(userID, a)
	if a != nil {
		s.digest = x.kinds.digest(&a.Tally)
	}
	x.feed.Lock()
	x.pending[userID] = s
	many := len(x.pending) >= mostTold
	x.feed.Unlock()
	x.touch()
	if many {
		x.flush() // so that what is told and not in the rows yet is bounded
	}
}

// Supersedes reports whether a row of this age is known to supersede what was told of it last, so that nobody has to read
// that to merge the two.
func (x *Index) Supersedes(userID string, age codecs.Age) bool {
	s, ok := x.latest(userID) // it stays the latest meanwhile: a row's calls come one after the other
	return ok && age.Supersedes(s.age())
}

// told returns what was told of a row last, if it may not be in the rows yet.
func (x *Index) told(userID string) (s state, ok bool) {
	x.feed.Lock()
	defer x.feed.Unlock()
	if s, ok = x.pending[userID]; !ok {
		s, ok = x.flying[userID]
	}
	return s, ok
}

// latest returns a row's newest state.
func (x *Index) latest(userID string) (s state, ok bool) {
	if s, ok = x.told(userID); ok {
		return s, true
	}
	return x.rows.lookUp(userID)
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
	x.flying = told
	x.feed.Unlock()
	begin := time.Now()
	n := len(told)
	x.apply(told)
	x.updates.rows.Add(int64(n))
	x.updates.nanoseconds.Add(int64(time.Since(begin)))
	x.feed.Lock()
	x.flying = nil
	x.feed.Unlock()
	switch {
	case n > largeFlush:
		x.large = 2
	case x.large > 0:
		x.large--
		return // told is let go
	}
	clear(told)
	x.spare = told
}

// apply makes told the states of their rows. Whoever calls it holds flushing.
func (x *Index) apply(told map[string]state) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(told) >= bulkRows && len(told) > x.rows.len()/2 {
		x.complete, x.rest = orders{}, orders{} // sorting all rows anew, when somebody asks, costs less than moving half of them
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
	r, known := x.rows.find(s.id)
	if !known {
		r = x.rows.add(&s)
		x.side(&s).insert(r, &s)
		if x.texts != nil {
			x.texts.add(&x.rows, r)
		}
		x.record(r, &s)
		return
	}
	old := x.rows.state(r)
	if old.version = s.version; old == s { // written anew, or newer only in what nobody sees
		x.rows.set(r, &s)
		return
	}
	x.totals.add(&old, -1)
	if was, is := x.side(&old), x.side(&s); was != is {
		was.remove(r, &old)
		x.rows.set(r, &s)
		is.insert(r, &s)
	} else {
		is.update(&x.rows, r, &old, &s)
	}
	if x.texts != nil && (old.known != s.known || old.name != s.name || old.email != s.email) {
		x.retext(r)
	}
	x.record(r, &s)
}

// record counts a row's new state and makes it the latest change.
func (x *Index) record(r int32, s *state) {
	x.totals.add(s, 1)
	if s.complete() {
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
		rows = append(rows, place{x.rows.ids.String(c.row), c.seq})
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
	return Sizes{Known: t.known, Complete: t.complete, Rest: x.rows.len() - t.complete, EventsOfUnknown: t.eventsOfUnknown}
}

// Sizes counts the rows told so far.
func (x *Index) Sizes() Sizes {
	x.flush()
	return x.sizes()
}
