package views

import (
	"cmp"
	"math"

	"github.com/potok-streams/potok/codecs"
)

// noTime is the last-event time of a row without one; such rows come last.
const noTime = math.MinInt64

// state is what the index knows of one row. It is comparable, and a copy is good for ever.
type state struct {
	id          string
	name, email string
	known       bool // there is a user
	version     codecs.Version
	count       uint64
	last        int64 // ms, or noTime
	digest      digest
}

// newState returns the state that a row says, but for its digest. It has the row's own texts.
func newState(userID string, a *codecs.Activity) state {
	s := state{id: userID, last: noTime}
	if a == nil {
		return s
	}
	if a.User != nil {
		s.known, s.name, s.email, s.version = true, a.User.Name, a.User.Email, a.User.Version
	}
	s.count = a.Tally.Count
	if a.Tally.Span.Known {
		s.last = a.Tally.Span.Last
	}
	return s
}

func (s *state) age() codecs.Age {
	return codecs.Age{Count: s.count, Known: s.known, Version: s.version}
}

// complete says that the row is in result A: a known user with events.
func (s *state) complete() bool { return s.known && s.count > 0 }

// Sort is an order of the users.
type Sort string

// The orders of the contract. Ties go by user_id, ascending.
const (
	ByEventCountDesc Sort = "-event_count"
	ByEventCount     Sort = "event_count"
	ByUserID         Sort = "user_id"
	ByName           Sort = "name" // by code point; users without a name last
	ByLastEventDesc  Sort = "-last_event_at"
)

// sorts lists the orders; an order's position here is its position in orders.
func sorts() [5]Sort {
	return [...]Sort{ByUserID, ByName, ByEventCountDesc, ByEventCount, ByLastEventDesc}
}

// compare compares by the order's own key, without the user_id.
func (o Sort) compare(a, b *state) int {
	switch o {
	case ByEventCountDesc:
		return cmp.Compare(b.count, a.count)
	case ByEventCount:
		return cmp.Compare(a.count, b.count)
	case ByLastEventDesc:
		return cmp.Compare(b.last, a.last)
	case ByName:
		if a.known != b.known {
			if a.known {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.name, b.name)
	default:
		return 0
	}
}

func (o Sort) less(a, b *state) bool {
	if c := o.compare(a, b); c != 0 {
		return c < 0
	}
	return a.id < b.id
}
