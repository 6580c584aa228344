package emitters

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stopGrace is how long a runner outlives its context to see the last acknowledgements.
const stopGrace = 10 * time.Second

// Producer is what the runners need of a producer; *kgo.Client is one. Produce calls its promise once for each record,
// possibly from another goroutine; Flush returns when all promises have been called, or with the context's error.
type Producer interface {
	Produce(ctx context.Context, r *kgo.Record, promise func(*kgo.Record, error))
	Flush(ctx context.Context) error
}

// publisher publishes values without key and headers, and keeps count of what became of them. The first failure cancels
// the run, with the failure as its cause: franz-go retries by itself whatever may pass, so what fails stays wrong.
type publisher struct {
	producer Producer
	topic    string
	print    func([]byte)
	cancel   context.CancelCauseFunc

	sent int // only for the runner's goroutine

	mu        sync.Mutex
	closed    bool
	published int
	err       error
}

// publish hands a value over; the brokers' answer comes later. It blocks while the producer's buffer is full.
func (p *publisher) publish(ctx context.Context, value []byte) {
	p.sent++
	// The partition is the client's to choose, and still -1 if it failed before it could.
	p.producer.Produce(ctx, &kgo.Record{Topic: p.topic, Partition: -1, Value: value}, p.acknowledge)
}

func (p *publisher) acknowledge(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed: // the runner has returned: its caller wants no more lines
	case err == nil:
		p.published++
		if p.print != nil {
			p.print(r.Value)
		}
	case p.err == nil:
		p.err = fmt.Errorf("publish to topic %s partition %d: %w", r.Topic, r.Partition, err)
		p.cancel(p.err)
	}
}

func (p *publisher) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

// flush waits until all that was published is acknowledged, and returns the first failure since the start.
func (p *publisher) flush(ctx context.Context) error {
	err := p.producer.Flush(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if err != nil {
		return fmt.Errorf("publish to topic %s: %d of %d messages not acknowledged: %w", p.topic, p.sent-p.published, p.sent, err)
	}
	return nil
}

// close makes late acknowledgements harmless and returns how many there were in time.
func (p *publisher) close() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.published
}

// outlive returns a context that ends a while after ctx does, for what must still be done while stopping.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}
