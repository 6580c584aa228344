package main

import (
	"errors"
	"fmt"
)

// maxDifferences bounds how many differences are described; all are counted.
const maxDifferences = 5

// counts are how many events of each type there are.
type counts [len(eventNames)]uint32

func (c counts) total() (n uint64) {
	for _, v := range c {
		n += uint64(v)
	}
	return n
}

// expected is what both results have to be.
type expected struct {
	plan  plan
	users []counts // by number; those that are not registered make no events
	types counts
}

func newExpected(p plan) *expected { return &expected{plan: p, users: make([]counts, p.users)} }

func (x *expected) add(e event) {
	x.users[e.user][e.kind]++
	x.types[e.kind]++
}

// row is a row of result A as some program has it.
type row struct {
	id, name, email string
	count           uint64
	events          map[string]uint64
}

// check is one comparison. Every row goes through user and every event type through kind; wrong then says what is not right.
type check struct {
	x       *expected
	numbers map[string]int
	seen    []bool
	kinds   map[string]uint64
	bad     int
	first   []error
}

func (x *expected) check() *check {
	c := &check{x: x, numbers: make(map[string]int, len(x.users)), seen: make([]bool, len(x.users)), kinds: map[string]uint64{}}
	for i := range x.users {
		c.numbers[x.plan.userID(i)] = i
	}
	return c
}

func (c *check) differs(format string, args ...any) {
	c.bad++
	if len(c.first) < maxDifferences {
		c.first = append(c.first, fmt.Errorf(format, args...))
	}
}

// user compares one row.
func (c *check) user(r row) {
	i, ok := c.numbers[r.id]
	switch {
	case !ok:
		c.differs("user %s does not exist", r.id)
		return
	case c.seen[i]:
		c.differs("user %s is there twice", r.id)
		return
	}
	c.seen[i] = true
	if name, email := c.x.plan.user(i); r.name != name || r.email != email {
		c.differs("user %s has another name or email", r.id)
	}
	want := c.x.users[i]
	if r.count != want.total() {
		c.differs("user %s has %d events, want %d", r.id, r.count, want.total())
	}
	for k, name := range eventNames {
		if r.events[name] != uint64(want[k]) {
			c.differs("user %s has %d of %s, want %d", r.id, r.events[name], name, want[k])
		}
	}
	for name := range r.events {
		if !known(name) {
			c.differs("user %s has events of the unknown type %q", r.id, name)
		}
	}
}

// kind takes one row of result B.
func (c *check) kind(name string, n uint64) { c.kinds[name] += n }

// wrong returns nil if both results are complete and exactly right. idle says that users without events had to be there, too.
func (c *check) wrong(idle bool) error {
	missing := 0
	for i, seen := range c.seen {
		if !seen && (idle || c.x.users[i].total() > 0) {
			missing++
		}
	}
	if missing > 0 {
		c.differs("%d users are missing", missing)
	}
	c.wrongKinds()
	return c.verdict()
}

// wrongKinds compares result B, once all of it is there.
func (c *check) wrongKinds() {
	for k, name := range eventNames {
		if c.kinds[name] != uint64(c.x.types[k]) {
			c.differs("there are %d of %s, want %d", c.kinds[name], name, c.x.types[k])
		}
	}
	for name := range c.kinds {
		if !known(name) {
			c.differs("there is the unknown event type %q", name)
		}
	}
}

func known(name string) bool {
	for _, n := range eventNames {
		if n == name {
			return true
		}
	}
	return false
}

// wrongCounts compares a result that has no more than how many events each user made.
func (c *check) wrongCounts(users map[string]uint64) error {
	for i, want := range c.x.users {
		id := c.x.plan.userID(i)
		if users[id] != want.total() {
			c.differs("user %s has %d events, want %d", id, users[id], want.total())
		}
		delete(users, id)
	}
	if len(users) > 0 {
		c.differs("%d users do not exist", len(users))
	}
	c.wrongKinds()
	return c.verdict()
}

func (c *check) verdict() error {
	if c.bad == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d differences: %w", errWrong, c.bad, errors.Join(c.first...))
}
