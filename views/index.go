package views

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/potok-streams/potok/codecs"
	"github.com/tidwall/btree"
)

// flushChunk is how many rows are put into the orders before readers get their turn.
const flushChunk = 500

// Index keeps in memory what listing, searching and streaming need: every row's identity, name, email and counts, in all
// orders. Telling it of a row only notes the newest state; the orders are brought up to date by whoever reads them next, so
// that rows that change often cost little, and so does a restore. All methods may be called concurrently; those of one row
// come in its order.
type Index struct {
	epoch string

	feed    sync.Mutex
	pending map[string]state // by user_id: told, not yet in the orders
	dirty   chan struct{}    // holds one token when something changed

	flushing sync.Mutex // held while pending moves into the orders
	updates  updates

	mu       sync.RWMutex // guards what follows
	complete orders       // result A
	rest     orders       // users without events, and events without a user
	changes  *btree.BTreeG[change]
	rows     map[string]*row // by user_id
	seq      uint64
	totals   totals

	counts counts
}

// updates is what bringing the orders up to date has cost.
type updates struct{ rows, nanoseconds atomic.Int64 }

// totals are figures over all rows.
type totals struct {
	known           int
	eventsOfUnknown uint64
}

// NewIndex returns an empty index with an epoch of its own: positions in its order of changes mean nothing to another.
func NewIndex() *Index {
	return &Index{
		epoch:    rand.Text(),
		pending:  make(map[string]state),
		dirty:    make(chan struct{}, 1),
		complete: newOrders(),
		rest:     newOrders(),
		changes:  newChanges(),
		rows:     make(map[string]*row),
		counts:   newCounts(),
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

// flush brings the orders up to date with all that was told before the call.
func (x *Index) flush() {
	x.flushing.Lock()
	defer x.flushing.Unlock()
	x.feed.Lock()
	told := x.pending
	if len(told) == 0 {
		x.feed.Unlock()
		return
	}
	x.pending = make(map[string]state)
	x.feed.Unlock()
	begin := time.Now()
	defer func() {
		x.updates.rows.Add(int64(len(told)))
		x.updates.nanoseconds.Add(int64(time.Since(begin)))
	}()

	x.mu.Lock()
	if len(told) >= bulkRows && len(told) > len(x.rows)/2 {
		x.rebuild(told)
		x.mu.Unlock()
		return
	}
	n := 0
	for _, s := range told {
		x.put(s)
		if n++; n%flushChunk == 0 {
			x.mu.Unlock() // let readers in
			x.mu.Lock()
		}
	}
	x.mu.Unlock()
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
	switch {
	case r == nil:
		r = x.newRow(s)
		x.side(&s).insert(r)
	case r.state == s:
		return // written anew, or newer only in what nobody sees
	default:
		x.totals.add(&r.state, -1)
		if was, is := x.side(&r.state), x.side(&s); was != is {
			was.remove(r)
			r.state = s
			is.insert(r)
		} else {
			is.update(r, s)
		}
	}
	x.record(r)
}

func (x *Index) newRow(s state) *row {
	r := &row{state: s}
	x.rows[r.id()] = r
	return r
}

// record counts a row's new state and makes it the latest change.
func (x *Index) record(r *row) {
	x.totals.add(&r.state, 1)
	if r.seq != 0 {
		x.changes.Delete(change{seq: r.seq})
		r.seq = 0
	}
	if r.complete() {
		x.seq++
		r.seq = x.seq
		x.changes.Set(change{r.seq, r})
	}
}

func (t *totals) add(s *state, sign int) {
	if s.known {
		t.known += sign
	} else {
		t.eventsOfUnknown += uint64(sign) * s.count // wraps around, and back
	}
}

// changed returns the users of result A that changed after a position, at most n, in the order of their last change, and
// the position after them.
func (x *Index) changed(after uint64, n int) (ids []string, position uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	position = x.seq
	x.changes.Ascend(change{seq: after + 1}, func(c change) bool {
		if len(ids) == n {
			return false
		}
		ids = append(ids, c.row.id())
		position = c.seq
		return true
	})
	if len(ids) < n {
		position = x.seq
	}
	return ids, position
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

// sizes counts the rows that are in the orders.
func (x *Index) sizes() Sizes {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return Sizes{Known: x.totals.known, Complete: x.complete.len(), Rest: x.rest.len(), EventsOfUnknown: x.totals.eventsOfUnknown}
}

// Sizes counts the rows told so far.
func (x *Index) Sizes() Sizes {
	x.flush()
	return x.sizes()
}
