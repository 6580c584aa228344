package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load publishes at a fixed rate until ctx ends, and returns how many events that were. next draws an event, and is called
// at the moment when it is handed to the Kafka client. A publisher that is held up catches up.
func (b *bench) load(ctx context.Context, d *data, rate int, next func() event) (sent int, err error) {
	cl, err := b.producer(b.linger)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	failed, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-failed.Done():
			return sent, fmt.Errorf("publish to %s: %w", d.eventsTopic, context.Cause(failed))
		case <-ctx.Done():
			// Not with ctx: what has been drawn is expected to arrive.
			flushing, stop := context.WithTimeout(failed, time.Minute)
			defer stop()
			return sent, errors.Join(cl.Flush(flushing), context.Cause(failed))
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
			e := next()
			d.want.add(e)
			cl.Produce(failed, &kgo.Record{Topic: d.eventsTopic, Partition: int32(sent % d.partitions), Value: d.appendEvent(nil, e)}, func(_ *kgo.Record, err error) {
				if err != nil {
					cancel(err)
				}
			})
		}
	}
}

// background is load beside something else. Its end returns how many events were published in a second.
func (b *bench) background(ctx context.Context, d *data, rate int, next func() event) (end func() (perSecond float64, err error)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var sent int
	var err error
	began := time.Now()
	go func() {
		sent, err = b.load(ctx, d, rate, next)
		close(done)
	}()
	return func() (float64, error) {
		seconds := time.Since(began).Seconds()
		cancel()
		<-done
		return float64(sent) / seconds, err
	}
}

// pause waits, or returns an error when ctx or the process ends first.
func (p *process) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.done:
		return p.failed()
	}
}
