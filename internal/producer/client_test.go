package producer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/internal/lease"
)

// TestDefiniteFailureAbandonsAll: one record that can't be written ends the client: all that wait and all that come later
// fail with one and the same error, and nothing more is written.
func TestDefiniteFailureAbandonsAll(t *testing.T) {
	b, conf := newBroker(t, 4)
	c := newClient(t, Options{Kafka: conf})
	var ok atomic.Int64
	var errs sync.Map
	send := func(done *sync.WaitGroup, n int) {
		done.Add(1)
		c.Send(record(n), func(_ *kgo.Record, err error) {
			if err == nil {
				ok.Add(1)
			} else {
				errs.Store(err.Error(), err)
			}
			done.Done()
		})
	}
	var first, second sync.WaitGroup
	send(&first, 0)
	first.Wait()
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
	for n := range 200 {
		send(&second, n)
	}
	second.Wait()
	eventually(t, "the client is no good", func() bool { return c.Err() != nil })
	for n := range 10 {
		send(&second, n)
	}
	second.Wait()
	<-c.Context().Done()
	if n := ok.Load(); n != 1 {
		t.Errorf("%d were acknowledged", n)
	}
	n := 0
	errs.Range(func(_, err any) bool {
		n++
		if !errors.Is(err.(error), kerr.TopicAuthorizationFailed) {
			t.Errorf("failed with %v", err)
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d different errors", n)
	}
	if err := c.Flush(soon(t)); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("flush: %v", err)
	}
	_ = c.Close()
	if !errors.Is(c.Err(), kerr.TopicAuthorizationFailed) {
		t.Errorf("Close has changed the reason: %v", c.Err())
	}
	if all := read(t, b, conf); len(all) != 1 {
		t.Errorf("%d records in the topic", len(all))
	}
}

// TestPassingFailuresAreRetried: what may be a repeat is one for the broker, too.
func TestPassingFailuresAreRetried(t *testing.T) {
	b, conf := newBroker(t, 2)
	c := newClient(t, Options{Kafka: conf})
	b.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotEnoughReplicas, Count: 2},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotEnoughReplicasAfterAppend, Count: 2}, // written, and said not to be
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.RequestTimedOut, Count: 1},
	)
	for n := range 40 {
		c.Send(record(n), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if all := read(t, b, conf); len(all) != 40 {
		t.Errorf("%d records in the topic", len(all))
	}
}

// hold keeps produce requests unanswered until the function is called.
func hold(b *kfake.Cluster) (release func(), held *atomic.Int32) {
	gate, held := make(chan struct{}), new(atomic.Int32)
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		held.Add(1)
		b.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	return sync.OnceFunc(func() { close(gate) }), held
}

func TestStall(t *testing.T) {
	b, conf := newBroker(t, 1)
	release, _ := hold(b)
	defer release()
	c := newClient(t, Options{Kafka: conf, StallAfter: 300 * time.Millisecond})
	errs := make(chan error, 2)
	for n := range 2 {
		c.Send(record(n), func(_ *kgo.Record, err error) { errs <- err })
	}
	for range 2 {
		select {
		case err := <-errs:
			if !errors.Is(err, ErrStalled) {
				t.Fatal(err)
			}
		case <-soon(t).Done():
			t.Fatal("a send waits for ever")
		}
	}
	if !errors.Is(context.Cause(c.Context()), ErrStalled) {
		t.Fatal(context.Cause(c.Context()))
	}
}

// TestIdleIsNoStall: a client that had nothing to do for long is not stalled by the first record after that, whenever the
// watch looks.
func TestIdleIsNoStall(t *testing.T) {
	var c Client
	var round atomic.Int64 // odd while the client is being made idle again
	stop, seen := make(chan struct{}), make(chan bool, 1)
	go func() {
		for {
			select {
			case <-stop:
				seen <- false
				return
			default:
			}
			before := round.Load()
			if c.stalled(time.Now(), time.Hour) > 0 && before%2 == 0 && before == round.Load() {
				seen <- true
				return
			}
		}
	}()
	for range 1_000_000 {
		round.Add(1)
		c.waiting.Store(0)
		c.moved.Store(1) // 1970
		round.Add(1)
		c.begin()
	}
	close(stop)
	if <-seen {
		t.Error("a record that was sent just now counts as stalled")
	}
}

func TestLostLeaseAbandons(t *testing.T) {
	_, conf := newBroker(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := lease.New(ctx, time.Minute)
	c := newClient(t, Options{Kafka: conf, Lease: l})
	l.Heartbeat(time.Now().Add(-time.Hour))
	select {
	case <-c.Context().Done(): // without a single send
	case <-soon(t).Done():
		t.Fatal("nobody hears of the loss")
	}
	failed := make(chan error, 1)
	c.Send(record(1), func(_ *kgo.Record, err error) { failed <- err })
	if err := <-failed; !errors.Is(err, lease.ErrLost) {
		t.Fatal(err)
	}
}

// TestCloseFailsWhatWaits, from an unanswered request, without waiting for it.
func TestCloseFailsWhatWaits(t *testing.T) {
	b, conf := newBroker(t, 1)
	release, held := hold(b)
	defer release()
	c := newClient(t, Options{Kafka: conf})
	errs := make(chan error, 1)
	c.Send(record(1), func(_ *kgo.Record, err error) { errs <- err })
	eventually(t, "the request is on its way", func() bool { return held.Load() > 0 })
	done := make(chan struct{})
	go func() { defer close(done); c.Close() }()
	select {
	case <-done:
	case <-soon(t).Done():
		t.Fatal("Close waits for the broker")
	}
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	c.Send(record(1), func(_ *kgo.Record, err error) { errs <- err })
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// TestManyLargeRecords: a flush or a burst of rows that is larger than a topic takes in one message goes out in several; in
// one, the broker would refuse it each time that it is read and sent again.
func TestManyLargeRecords(t *testing.T) {
	limit := "16777216"
	b, conf := newBroker(t, 1)
	if err := b.CreateTopic("limited", 1, map[string]string{"max.message.bytes": limit}); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{Kafka: conf, Linger: 100 * time.Millisecond})
	random := rand.NewChaCha8([32]byte{})
	for range 24 {
		value := make([]byte, 1<<20) // that can't be compressed
		random.Read(value)
		c.Send(&kgo.Record{Topic: "limited", Key: []byte("k"), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
}

// TestLargeTopic: a dead letter may be far larger than a topic's limit before it is compressed.
func TestLargeTopic(t *testing.T) {
	_, conf := newBroker(t, 1)
	c := newClient(t, Options{Kafka: conf, LargeRecords: topic})
	done := make(chan error, 1)
	c.Send(&kgo.Record{Topic: topic, Value: make([]byte, 40<<20)}, func(_ *kgo.Record, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
