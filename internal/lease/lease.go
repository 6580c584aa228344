// Package lease keeps a paused owner quiet. An instance that was stopped (a signal, a suspended machine) or cut off from
// its consumer group for longer than the session time-out has lost its partitions without knowing it; whatever it then
// still sends to a changelog would land on top of its successor's rows. A Lease sits in front of a producer's
// connections and refuses to write once the process was away, or the group has been silent, for too long.
//
// A lease that is lost stays lost: its stage ends and is built anew with a new one.
package lease

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// ErrLost is wrapped by the error of every write that a lost lease refuses.
var ErrLost = errors.New("lease lost")

const tickEvery = 100 * time.Millisecond

// Lease is good until the process has been away, or the group silent, for longer than its limit. Its methods may be
// called by any number of goroutines.
type Lease struct {
	limit     time.Duration
	now       func() time.Time
	tick      atomic.Pointer[time.Time] // when the process was last seen running
	heartbeat atomic.Pointer[time.Time] // when the group last answered; nil: never yet, or it is letting us in
	lost      atomic.Pointer[error]
}

// New returns a lease and keeps it up until ctx ends. The limit must be shorter than the session time-out by as much as a
// write may take to reach the broker.
func New(ctx context.Context, limit time.Duration) *Lease {
	l := newLease(limit, time.Now)
	go func() {
		t := time.NewTicker(tickEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				_ = l.Check() // a loss is kept for the writers
			case <-ctx.Done():
				return
			}
		}
	}()
	return l
}

func newLease(limit time.Duration, now func() time.Time) *Lease {
	l := &Lease{limit: limit, now: now}
	start := now()
	l.tick.Store(&start)
	return l
}

// Check returns nil as long as the lease is good. It notices an absence by itself, so that the first write after a pause
// is refused even if it comes before the first tick.
func (l *Lease) Check() error {
	if err := l.lost.Load(); err != nil {
		return *err
	}
	now := l.now()
	if away := since(now, *l.tick.Swap(&now)); away > l.limit {
		return l.lose(fmt.Errorf("%w: the process was stopped for %s, longer than %s", ErrLost, away.Round(time.Millisecond), l.limit))
	}
	if h := l.heartbeat.Load(); h != nil {
		if silent := since(now, *h); silent > l.limit {
			return l.lose(fmt.Errorf("%w: the consumer group has not answered for %s, longer than %s", ErrLost, silent.Round(time.Millisecond), l.limit))
		}
	}
	return nil
}

// since is the longer of what the two clocks say: the monotonic one may stand still while a virtual machine is suspended.
func since(now, then time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

func (l *Lease) lose(err error) error {
	l.lost.CompareAndSwap(nil, &err)
	return *l.lost.Load()
}

// Heartbeat says that the group has answered a request that was sent at the given time: until then, at least, it counted
// this member as alive. The zero time says that the member waits to be let in, as long as the group takes: until the next
// answer it has no partitions, and nothing to be late with.
func (l *Lease) Heartbeat(sent time.Time) {
	if sent.IsZero() {
		l.heartbeat.Store(nil)
		return
	}
	l.heartbeat.Store(&sent)
}

// Dialer returns a dialer for kgo.Dialer whose connections write only while the lease is good.
func (l *Lease) Dialer(dial func(ctx context.Context, network, host string) (net.Conn, error)) func(ctx context.Context, network, host string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		if err := l.Check(); err != nil {
			return nil, err
		}
		c, err := dial(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return conn{c, l}, nil
	}
}

type conn struct {
	net.Conn
	lease *Lease
}

func (c conn) Write(b []byte) (int, error) {
	if err := c.lease.Check(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
