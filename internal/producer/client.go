// Package producer writes to Potok's own topics, so that a late, repeated or abandoned send can only repeat what was sent
// before: acknowledged by all replicas, idempotent, and without a time-out or retry limit for a single record (a client
// that gives up on one record goes on with the next, and that would be a gap). Instead the whole client is abandoned,
// unsent records and all, when any record definitely fails or when nothing moves for too long; whoever uses it ends, and
// starts again from the committed offsets with a new one.
package producer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/lease"
)

// ErrStalled is wrapped by a client's failure when the brokers took nothing for [Options.StallAfter].
var ErrStalled = errors.New("nothing was acknowledged")

// MaxRecordBytes is the largest record, before compression, that a client sends to [Options.LargeRecords]; the topic's own
// limit is apart from it.
const MaxRecordBytes = 256 << 20

// maxBatchBytes is the same for all other topics, and is below their limit (16 MiB): records that are sent together go out
// as one message as far as they fit, and a broker refuses a message that is larger than its topic allows, now and whenever
// it is sent again.
const maxBatchBytes = 15 << 20

// Options configure a [Client].
type Options struct {
	Kafka      kafka.Config
	Lease      *lease.Lease  // nil: none
	Linger     time.Duration // how long a record waits for others, 0: not at all
	StallAfter time.Duration // 0: a minute
	Extra      []kgo.Opt     // for tests
	Timing     Timing        // nil: nobody is told
	// LargeRecords is a topic whose records come from elsewhere and may have any size; empty: none.
	LargeRecords string
}

// Client sends records. It is good until it fails; from then on every send fails at once with the same error.
type Client struct {
	kgo     *kgo.Client
	ctx     context.Context
	cancel  context.CancelCauseFunc
	waiting atomic.Int64 // records sent and not acknowledged
	moved   atomic.Int64 // when a record was last acknowledged, or the first one sent: Unix nanoseconds
	closing sync.Once
	closed  chan struct{}
}

// NewClient makes a client; it connects when it first sends.
func NewClient(o Options) (*Client, error) {
	if o.StallAfter == 0 {
		o.StallAfter = time.Minute
	}
	compressor, err := newCompressor()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordRetries(math.MaxInt32),
		kgo.UnknownTopicRetries(-1), // a topic that is being made; one that is gone stalls the client
		kgo.RecordDeliveryTimeout(0),
		kgo.StopProducerOnDataLossDetected(),
		kgo.ProducerLinger(o.Linger),
		kgo.WithCompressor(compressor),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
			if topic != "" && topic == o.LargeRecords {
				return MaxRecordBytes
			}
			return maxBatchBytes
		}),
		kgo.BrokerMaxWriteBytes(MaxRecordBytes + 1<<20),
		kgo.MaxBufferedRecords(math.MaxInt32), // the callers bound what they have in flight
	}
	if o.Lease != nil {
		dial, err := o.Kafka.Dialer()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer(o.Lease.Dialer(dial)))
	}
	if o.Timing != nil {
		opts = append(opts, kgo.WithHooks(o.Timing))
	}
	cl, err := o.Kafka.Client(append(opts, o.Extra...)...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &Client{kgo: cl, ctx: ctx, cancel: cancel, closed: make(chan struct{})}
	go c.watch(o)
	return c, nil
}

// watch abandons the client when nothing moves although records wait, or when its lease is lost.
func (c *Client) watch(o Options) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case now := <-t.C:
			if o.Lease != nil {
				if err := o.Lease.Check(); err != nil {
					c.abandon(err)
				}
			}
			if still := c.stalled(now, o.StallAfter); still > 0 {
				c.abandon(fmt.Errorf("%w for %s", ErrStalled, still.Round(time.Second)))
			}
		}
	}
}

// stalled returns for how long nothing has moved although records wait, 0 if that is no longer than it may be. It looks at
// the records first, because begin sets the time first.
func (c *Client) stalled(now time.Time, limit time.Duration) time.Duration {
	if c.waiting.Load() == 0 {
		return 0
	}
	if still := now.Sub(time.Unix(0, c.moved.Load())); still > limit {
		return still
	}
	return 0
}

// Send sends a record and calls done, from another goroutine, when it is acknowledged or the client has failed. Records
// of one partition are acknowledged in the order of their offsets, and done is called in that order. Send
// does not wait; its callers bound what they have in flight.
func (c *Client) Send(r *kgo.Record, done func(*kgo.Record, error)) {
	c.begin()
	c.kgo.Produce(c.ctx, r, func(r *kgo.Record, err error) {
		if err != nil {
			c.abandon(fmt.Errorf("produce to %s: %w", r.Topic, err))
			err = c.Err()
		} else {
			c.moved.Store(time.Now().UnixNano())
		}
		done(r, err)
		c.waiting.Add(-1)
	})
}

// begin notes that one more record waits.
func (c *Client) begin() {
	if c.waiting.Load() == 0 {
		c.moved.Store(time.Now().UnixNano())
	}
	c.waiting.Add(1)
}

// Waiting returns how many records were sent whose done has not returned yet.
func (c *Client) Waiting() int64 { return c.waiting.Load() }

// Err returns why the client is no good any more, or nil.
func (c *Client) Err() error {
	if c.ctx.Err() == nil {
		return nil
	}
	return context.Cause(c.ctx)
}

// Context ends when the client is no good any more.
func (c *Client) Context() context.Context { return c.ctx }

// abandon makes every waiting and later send fail. Nothing is flushed. It does not wait: it is called from promises.
func (c *Client) abandon(err error) {
	c.cancel(err)
	c.closing.Do(func() {
		go func() {
			defer close(c.closed)
			c.kgo.Close() // what is buffered fails here, with a call of its done
		}()
	})
}

// ErrClosed is what a send on a closed client fails with.
var ErrClosed = errors.New("producer is closed")

// Flush waits until all that was sent is acknowledged, the client has failed, or ctx ends.
func (c *Client) Flush(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()
	err := c.kgo.Flush(ctx)
	if own := c.Err(); own != nil {
		return own
	}
	return err
}

// Close abandons what has not been acknowledged and waits until the connections are closed.
func (c *Client) Close() error {
	c.abandon(ErrClosed)
	<-c.closed
	return nil
}
