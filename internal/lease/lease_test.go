package lease

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// clock is a process's clock: it can run on, or jump on the wall only, as when a virtual machine was suspended.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

const limit = 7 * time.Second

func TestLease(t *testing.T) {
	for name, tc := range map[string]struct {
		story func(l *Lease, c *clock) error
		lost  bool
	}{
		"new":                        {func(l *Lease, _ *clock) error { return l.Check() }, false},
		"away for as long as it may": {func(l *Lease, c *clock) error { c.pass(limit); return l.Check() }, false},
		"away for too long":          {func(l *Lease, c *clock) error { c.pass(limit + 1); return l.Check() }, true},
		"seen in between": {func(l *Lease, c *clock) error {
			c.pass(limit)
			err := l.Check()
			c.pass(limit)
			return errors.Join(err, l.Check())
		}, false},
		"a group that answers":     {func(l *Lease, c *clock) error { l.Heartbeat(c.read()); c.pass(limit); return l.Check() }, false},
		"no group yet":             {func(l *Lease, c *clock) error { return run(l, c, 3*limit) }, false},
		"a group that fell silent": {func(l *Lease, c *clock) error { l.Heartbeat(c.read()); return run(l, c, limit+time.Second) }, true},
		"a late answer to an old call": {func(l *Lease, c *clock) error {
			asked := c.read()
			err := run(l, c, limit+time.Second)
			l.Heartbeat(asked)
			return errors.Join(err, l.Check())
		}, true},
		"answered all along": {func(l *Lease, c *clock) error {
			var err error
			for range 20 {
				l.Heartbeat(c.read())
				err = errors.Join(err, run(l, c, limit/2))
			}
			return err
		}, false},
		"the clock was put back": {func(l *Lease, c *clock) error { c.pass(-time.Hour); return l.Check() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			l := newLease(limit, c.read)
			err := tc.story(l, c)
			if errors.Is(err, ErrLost) != tc.lost || (err != nil) != tc.lost {
				t.Fatalf("lost: %v, want %v", err, tc.lost)
			}
			if !tc.lost {
				return
			}
			l.Heartbeat(c.read()) // lost stays lost, and says the same
			c.pass(time.Millisecond)
			again := l.Check()
			if !errors.Is(again, ErrLost) {
				t.Fatalf("a lost lease is good again: %v", again)
			}
		})
	}
}

// run lets time pass with the process running.
func run(l *Lease, c *clock, d time.Duration) (err error) {
	for ; d > 0; d -= tickEvery {
		c.pass(tickEvery)
		err = errors.Join(err, l.Check())
	}
	return err
}

// TestSuspendedMachine: the monotonic clock stood still, the wall clock did not.
func TestSuspendedMachine(t *testing.T) {
	start := time.Now()
	now := start
	l := newLease(limit, func() time.Time { return now })
	now = wallJump(start, time.Minute)
	if now.Sub(start) > time.Second || now.Round(0).Sub(start.Round(0)) < time.Minute {
		t.Skip("this way of making a wall clock jump does not work with this Go") // see wallJump
	}
	if err := l.Check(); !errors.Is(err, ErrLost) {
		t.Fatalf("a minute of suspension went unnoticed: %v", err)
	}
}

func TestStopsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := New(ctx, limit)
		time.Sleep(time.Hour) // the bubble's time: the ticker sees to it
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		l.Heartbeat(time.Now())
		time.Sleep(limit + time.Second)
		if l.lost.Load() == nil {
			t.Fatal("silence was not noticed without a write")
		}
		cancel()
		synctest.Wait()
	})
}

type countingConn struct {
	net.Conn
	writes atomic.Int32
}

func (c *countingConn) Write(b []byte) (int, error) { c.writes.Add(1); return len(b), nil }

func TestConnRefuses(t *testing.T) {
	c, under := newClock(), new(countingConn)
	l := newLease(limit, c.read)
	dial := l.Dialer(func(context.Context, string, string) (net.Conn, error) { return under, nil })
	conn, err := dial(t.Context(), "tcp", "b:1")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Write([]byte("abc")); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	c.pass(limit + time.Second) // nothing ran meanwhile: the write itself is the first to notice
	if n, err := conn.Write([]byte("abc")); n != 0 || !errors.Is(err, ErrLost) {
		t.Fatalf("%d bytes after a pause: %v", n, err)
	}
	if n := under.writes.Load(); n != 1 {
		t.Fatalf("%d writes got through", n)
	}
	if _, err := dial(t.Context(), "tcp", "b:1"); !errors.Is(err, ErrLost) {
		t.Fatalf("dialled with a lost lease: %v", err)
	}
}

// refusals counts the writes that a lease has refused.
type refusals struct{ n atomic.Int32 }

func (r *refusals) OnBrokerWrite(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if errors.Is(err, ErrLost) {
		r.n.Add(1)
	}
}

// TestNothingArrives: with a real client, nothing more reaches the topic once the lease is lost, and every send fails.
func TestNothingArrives(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	c := newClock()
	l := newLease(limit, c.read)
	var dialer net.Dialer
	var refused refusals
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.Dialer(l.Dialer(dialer.DialContext)), kgo.DefaultProduceTopic("t"), kgo.WithHooks(&refused))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	record := func(n int) *kgo.Record { return &kgo.Record{Key: fmt.Append(nil, n), Value: []byte("v")} }
	for n := range 50 {
		if err := cl.ProduceSync(ctx, record(n)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c.pass(limit + time.Second)
	var sent sync.WaitGroup
	var arrived atomic.Int32
	for n := range 50 {
		sent.Add(1)
		cl.Produce(ctx, record(n), func(_ *kgo.Record, err error) {
			if err == nil {
				arrived.Add(1)
			}
			sent.Done()
		})
	}
	for refused.n.Load() == 0 && arrived.Load() == 0 && ctx.Err() == nil { // the client tries
		time.Sleep(time.Millisecond)
	}
	cl.Close() // what the stage does when it sees the loss
	sent.Wait()
	if n := arrived.Load(); n != 0 {
		t.Errorf("%d sends were acknowledged after the loss", n)
	}
	plain, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	ends, err := kadm.NewClient(plain).ListEndOffsets(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	if total != 50 {
		t.Errorf("%d records in the topic, want the 50 of before", total)
	}
}
