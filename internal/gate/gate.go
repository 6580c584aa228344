// Package gate wraps a sarama consumer group so that goka can't commit past unfinished work.
//
// goka marks a record's offset when that record's own writes are acknowledged, and sarama keeps the highest mark: a later
// record that is acknowledged first commits past an earlier one that is still in flight, or has failed, and a crash then
// loses the earlier one. Here only the contiguous finished prefix of what was delivered from each partition is marked.
// (Delivered, not numbered: compacted topics and transactions leave gaps between offsets.)
//
// The wrapper also joins the group again by itself when a session ends without an error: goka would sleep five seconds
// first.
package gate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// rejoinPause keeps a group that rebalances over and over from spinning.
const rejoinPause = 50 * time.Millisecond

// Wrap returns a consumer group that commits in order. ready, if not nil, is called whenever a session has been set up: goka
// has then recovered all of the session's tables. (goka's own way to wait for that waits for ever when a rebalance comes in
// between.)
func Wrap(g sarama.ConsumerGroup, ready func()) *Group { return &Group{ConsumerGroup: g, ready: ready} }

// Group is a consumer group that commits in order.
type Group struct {
	sarama.ConsumerGroup
	ready   func()
	session atomic.Pointer[session] // the present one; nil: none
}

// Depth returns how many records of the present session were delivered and wait to be marked.
func (g *Group) Depth() (records int) {
	if s := g.session.Load(); s != nil {
		for _, p := range s.prefixes {
			records += p.depth()
		}
	}
	return records
}

// Owns reports whether the present session has a partition of some input.
func (g *Group) Owns(number int32) bool {
	if s := g.session.Load(); s != nil {
		for p := range s.prefixes {
			if p.number == number {
				return true
			}
		}
	}
	return false
}

// enter notes the session that begins, nil when one ends. A handler of a test has no group.
func (g *Group) enter(s *session) {
	if g != nil {
		g.session.Store(s)
	}
}

func (g *Group) setUp() {
	if g != nil && g.ready != nil {
		g.ready()
	}
}

// Consume implements sarama.ConsumerGroup.
func (g *Group) Consume(ctx context.Context, topics []string, h sarama.ConsumerGroupHandler) error {
	for {
		if err := g.ConsumerGroup.Consume(ctx, topics, &handler{ConsumerGroupHandler: h, group: g}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(rejoinPause):
		}
	}
}

// handler is one session's.
type handler struct {
	sarama.ConsumerGroupHandler
	group   *Group
	session *session
}

func (h *handler) Setup(s sarama.ConsumerGroupSession) error {
	h.session = &session{ConsumerGroupSession: s, prefixes: map[partition]*prefix{}}
	for topic, partitions := range s.Claims() {
		for _, p := range partitions {
			h.session.prefixes[partition{topic, p}] = new(prefix)
		}
	}
	h.group.enter(h.session)
	err := h.ConsumerGroupHandler.Setup(h.session)
	if err == nil && s.Context().Err() == nil { // else the session is over already, and what is set up is not all
		h.group.setUp()
	}
	return err
}

func (h *handler) Cleanup(sarama.ConsumerGroupSession) error {
	h.group.enter(nil)
	return h.ConsumerGroupHandler.Cleanup(h.session)
}

// ConsumeClaim notes each record before it passes it on.
func (h *handler) ConsumeClaim(_ sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	p := h.session.prefixes[partition{c.Topic(), c.Partition()}]
	// As deep as sarama's own channel: with less the hand-over costs a goroutine switch for every record.
	out, quit := make(chan *sarama.ConsumerMessage, cap(c.Messages())), make(chan struct{})
	go func() {
		defer close(out)
		for m := range c.Messages() {
			p.delivered(m.Offset)
			select {
			case out <- m:
			case <-quit:
				return
			}
		}
	}()
	defer close(quit)
	return h.ConsumerGroupHandler.ConsumeClaim(h.session, claim{c, out})
}

type claim struct {
	sarama.ConsumerGroupClaim
	messages <-chan *sarama.ConsumerMessage
}

func (c claim) Messages() <-chan *sarama.ConsumerMessage { return c.messages }

type partition struct {
	topic  string
	number int32
}

// session turns marks of single records into marks of finished prefixes.
type session struct {
	sarama.ConsumerGroupSession
	prefixes map[partition]*prefix // of all claims; not written to after Setup
}

func (s *session) MarkOffset(topic string, p int32, next int64, metadata string) {
	if f := s.prefixes[partition{topic, p}]; f != nil {
		f.finished(next-1, func(next int64) { s.ConsumerGroupSession.MarkOffset(topic, p, next, metadata) })
	}
}

func (s *session) MarkMessage(m *sarama.ConsumerMessage, metadata string) {
	s.MarkOffset(m.Topic, m.Partition, m.Offset+1, metadata)
}

// prefix is the queue of the records of one partition that were delivered and are not all finished.
type prefix struct {
	mu      sync.Mutex
	offsets []int64 // rising
	done    []bool
	head    int // everything before is finished and marked
}

func (f *prefix) delivered(offset int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head > 4096 && f.head*2 > len(f.offsets) { // now and then, so that the queue does not grow for ever
		f.offsets = f.offsets[:copy(f.offsets, f.offsets[f.head:])]
		f.done = f.done[:copy(f.done, f.done[f.head:])]
		f.head = 0
	}
	f.offsets, f.done = append(f.offsets, offset), append(f.done, false)
}

// finished notes that a record is done and calls mark with the offset after the finished prefix if that has grown. mark is
// called under the lock, so that marks come in order.
func (f *prefix) finished(offset int64, mark func(next int64)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lo, hi := f.head, len(f.offsets)
	for lo < hi { // by hand: this runs for every record
		if m := int(uint(lo+hi) >> 1); f.offsets[m] < offset {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == len(f.offsets) || f.offsets[lo] != offset {
		return
	}
	f.done[lo] = true
	if lo != f.head {
		return
	}
	for f.head < len(f.offsets) && f.done[f.head] {
		f.head++
	}
	mark(f.offsets[f.head-1] + 1)
}

// depth returns how many delivered records wait to be marked.
func (f *prefix) depth() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.offsets) - f.head
}
