package verify

import (
	"cmp"
	"time"
)

// place is a raw record's partition and offset.
type place struct {
	partition int32
	offset    int64
}

// version orders the publications of a user.
type version struct {
	timestamp int64
	place
}

func (v version) compare(w version) int {
	return cmp.Or(cmp.Compare(v.timestamp, w.timestamp), cmp.Compare(v.partition, w.partition), cmp.Compare(v.offset, w.offset))
}

// publication is what a record of the users topic says.
type publication struct {
	version
	name, email string
}

// occurrence is what a record of the events topic says.
type occurrence struct {
	place
	timestamp   int64
	user, event string
}

// sums are the events of one user, or of one type, that lie below the fixed ends: all a row has to have counted.
type sums struct {
	count  uint64
	labels map[string]uint64 // of users only
	span   span
	heads  heads // by partition
}

// heads are the highest offsets in the partitions that have any. There is one for each user: a map would be larger.
type heads []place

func (h heads) get(partition int32) (offset int64, ok bool) {
	for _, p := range h {
		if p.partition == partition {
			return p.offset, true
		}
	}
	return 0, false
}

func (h heads) with(head place) heads {
	for i := range h {
		if h[i].partition == head.partition {
			h[i].offset = max(h[i].offset, head.offset)
			return h
		}
	}
	return append(h, head)
}

// span is a range of Kafka time stamps in milliseconds.
type span struct {
	first, last int64
	known       bool
}

func (s *span) add(ms int64) {
	switch {
	case ms < 0: // the record has none
	case !s.known:
		*s = span{ms, ms, true}
	default:
		s.first, s.last = min(s.first, ms), max(s.last, ms)
	}
}

func (s *sums) add(o occurrence, label bool) {
	s.count++
	if label {
		if s.labels == nil {
			s.labels = map[string]uint64{}
		}
		s.labels[o.event]++
	}
	s.span.add(o.timestamp)
	s.heads = s.heads.with(o.place)
}

// book is what the raw topics say. What lies below the fixed ends is summed up; what came later is kept one by one, because
// each row has counted another part of it.
type book struct {
	users  map[string]publication // below the fixed ends: the newest of each user
	events map[string]*sums       // by user
	types  map[string]*sums       // by event type

	laterUsers  map[string][]publication
	laterEvents map[string][]*occurrence // by user
	laterTypes  map[string][]*occurrence // by event type

	counted, laterCounted   uint64 // valid events
	rejected, laterRejected uint64 // records of both topics

	id         string              // of the events topic, as marks have it
	eventParts map[int32]partition // of the events topic
	userParts  map[int32]partition
}

// partition is what is known of a raw partition.
type partition struct {
	start int64 // what is below has expired
	fixed int64 // the end that was fixed at the start
	end   int64 // the last stable offset when it was last asked for
}

func newBook() *book {
	return &book{
		users: map[string]publication{}, events: map[string]*sums{}, types: map[string]*sums{},
		laterUsers: map[string][]publication{}, laterEvents: map[string][]*occurrence{}, laterTypes: map[string][]*occurrence{},
		eventParts: map[int32]partition{}, userParts: map[int32]partition{},
	}
}

// takeEvent takes in a record of the events topic.
func (b *book) takeEvent(at place, ms int64, value []byte) {
	later := at.offset >= b.eventParts[at.partition].fixed
	user, event, ok := eventOf(value)
	if !ok {
		b.reject(later)
		return
	}
	o := &occurrence{place: at, timestamp: ms, user: user, event: event}
	if later {
		b.laterCounted++
		b.laterEvents[user] = append(b.laterEvents[user], o)
		b.laterTypes[event] = append(b.laterTypes[event], o)
		return
	}
	b.counted++
	sumOf(b.events, user).add(*o, true)
	sumOf(b.types, event).add(*o, false)
}

func sumOf(m map[string]*sums, key string) *sums {
	s := m[key]
	if s == nil {
		s = new(sums)
		m[key] = s
	}
	return s
}

// takeUser takes in a record of the users topic.
func (b *book) takeUser(at place, ms int64, value []byte) {
	later := at.offset >= b.userParts[at.partition].fixed
	user, name, email, ok := userOf(value)
	if !ok {
		b.reject(later)
		return
	}
	p := publication{version{ms, at}, name, email}
	if later {
		b.laterUsers[user] = append(b.laterUsers[user], p)
		return
	}
	if known, ok := b.users[user]; !ok || known.compare(p.version) < 0 {
		b.users[user] = p
	}
}

func (b *book) reject(later bool) {
	if later {
		b.laterRejected++
	} else {
		b.rejected++
	}
}

// totals are what /v1/stats should say.
type totals struct{ known, withEvents, counted, ofUnknown, rejected uint64 }

// fixed returns the totals at the fixed ends.
func (b *book) fixed() (t totals) {
	t = totals{known: uint64(len(b.users)), counted: b.counted, rejected: b.rejected}
	for user, s := range b.events {
		if _, ok := b.users[user]; ok {
			t.withEvents++
		} else {
			t.ofUnknown += s.count
		}
	}
	return t
}

// all returns the totals of all that was read.
func (b *book) all() (t totals) {
	t = totals{counted: b.counted + b.laterCounted, rejected: b.rejected + b.laterRejected}
	known := func(user string) bool {
		_, below := b.users[user]
		return below || len(b.laterUsers[user]) > 0
	}
	t.known = uint64(len(b.users))
	for user := range b.laterUsers {
		if _, ok := b.users[user]; !ok {
			t.known++
		}
	}
	count := func(user string, n uint64) {
		if known(user) {
			t.withEvents++
		} else {
			t.ofUnknown += n
		}
	}
	for user, s := range b.events {
		count(user, s.count+uint64(len(b.laterEvents[user])))
	}
	for user, later := range b.laterEvents {
		if b.events[user] == nil {
			count(user, uint64(len(later)))
		}
	}
	return t
}

// timeOf is the time stamp that a row shows, nil where RFC 3339 has no words for it.
func timeOf(ms int64, known bool) *time.Time {
	t := time.UnixMilli(ms).UTC()
	if !known || t.Year() > 9999 {
		return nil
	}
	return &t
}
