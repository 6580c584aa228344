package views

import (
	"sync"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/intern"
)

// rows keeps every row, numbered in the order in which they came; none ever leaves. There is no pointer for a row: the garbage
// collector follows every pointer again and again, and there are millions of rows. Guarded by Index.mu, and what lookUp reads is
// changed under a mutex of its own as well, held for a row at a time: who asks for one user does not wait while orders are changed.
type rows struct {
	mu    sync.RWMutex
	ids   intern.Table
	texts intern.Texts // names and emails
	slabs [][]slot
	used  int // bytes of texts
	over  int // of these, those that no row has any more
	id    []byte
}

// slot is what is kept of a row besides its id.
type slot struct {
	text              uint64 // in rows.texts: the name, and the email behind it
	nameLen, emailLen uint32 // of these
	count             uint64
	last              int64
	digest            digest
	version           codecs.Version // of the user
	seq               uint64         // place in the order of changes, 0: not in it
	doc               uint32         // in the text index; says something only if texts.has it
	known             bool
}

// complete says that the row is in result A: see state.
func (r *slot) complete() bool { return r.known && r.count > 0 }

// slabRows is how many rows are allocated together.
const slabRows = 512

// textSlack is how many bytes of texts may be over where there are few.
const textSlack = 1 << 20

func (rs *rows) len() int { return rs.ids.Len() }

func (rs *rows) at(i int32) *slot { return &rs.slabs[i/slabRows][i%slabRows] }

// state returns a row's state, which is no copy of its texts, and good for ever.
func (rs *rows) state(i int32) state {
	r := rs.at(i)
	text := rs.texts.String(r.text, int(r.nameLen+r.emailLen))
	return state{
		id: rs.ids.String(i), name: text[:r.nameLen], email: text[r.nameLen:],
		known: r.known, version: r.version, count: r.count, last: r.last, digest: r.digest,
	}
}

// lookUp returns the state of the row of an id, if there is one. It needs no Index.mu.
func (rs *rows) lookUp(id string) (s state, ok bool) {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	i, ok := rs.ids.Find([]byte(id))
	if !ok {
		return state{}, false
	}
	return rs.state(i), true
}

// name returns a row's name.
func (rs *rows) name(i int32) string {
	r := rs.at(i)
	return rs.texts.String(r.text, int(r.nameLen))
}

// find returns the row of an id, if there is one, to who changes rows.
func (rs *rows) find(id string) (i int32, ok bool) {
	rs.id = append(rs.id[:0], id...)
	return rs.ids.Find(rs.id)
}

// add makes a row of a state whose id has none, and returns it. Whoever finds it finds all of it.
func (rs *rows) add(s *state) (i int32) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.id = append(rs.id[:0], s.id...)
	i, _ = rs.ids.Number(rs.id)
	if i%slabRows == 0 {
		rs.slabs = append(rs.slabs, make([]slot, slabRows))
	}
	rs.change(i, s)
	return i
}

// set gives a row its new state.
func (rs *rows) set(i int32, s *state) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.change(i, s)
}

// change is set. Whoever calls it holds mu.
func (rs *rows) change(i int32, s *state) {
	r := rs.at(i)
	r.known, r.version, r.count, r.last, r.digest = s.known, s.version, s.count, s.last, s.digest
	if old := rs.state(i); old.name == s.name && old.email == s.email {
		return
	}
	rs.over += int(r.nameLen + r.emailLen)
	r.nameLen, r.emailLen = uint32(len(s.name)), uint32(len(s.email))
	rs.put(r, s.name, s.email)
	if rs.over > rs.used/2+textSlack {
		rs.renew()
	}
}

// put gives a slot its texts.
func (rs *rows) put(r *slot, name, email string) {
	place, room := rs.texts.Room(len(name) + len(email))
	copy(room[copy(room, name):], email)
	r.text = place
	rs.used += len(room)
}

// renew keeps the texts that rows have, and lets go of those that are over. It takes a tenth of a second at a million rows, and as
// many bytes of new texts as rows have must have come since the last time.
func (rs *rows) renew() {
	old := rs.texts
	rs.texts, rs.used, rs.over = intern.Texts{}, 0, 0
	for i := range int32(rs.len()) {
		r := rs.at(i)
		text := old.String(r.text, int(r.nameLen+r.emailLen))
		rs.put(r, text[:r.nameLen], text[r.nameLen:])
	}
}
