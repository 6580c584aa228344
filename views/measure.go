package views

import (
	"context"
	"sync"
)

// measurements lets requests that measure anew share what that costs the brokers: each gets a measurement that began after it asked,
// and at most one runs and one waits for that to end, however many ask.
type measurements struct {
	meter LagMeter

	mu      sync.Mutex
	running bool
	next    *measurement // for who asks now; nil: nobody has asked since the last one began
}

type measurement struct {
	done chan struct{} // closed when the rest is there
	lag  Lag
	err  error
}

// measure is [LagMeter.Measure], shared.
func (m *measurements) measure(ctx context.Context) (Lag, error) {
	m.mu.Lock()
	if m.next == nil {
		m.next = &measurement{done: make(chan struct{})}
	}
	mine := m.next
	if !m.running {
		m.running = true
		go m.run()
	}
	m.mu.Unlock()
	select {
	case <-mine.done:
		return mine.lag, mine.err
	case <-ctx.Done():
		return Lag{}, ctx.Err()
	}
}

// run measures as long as somebody has asked. It is nobody's in particular, so that nobody who leaves takes it away from the others.
func (m *measurements) run() {
	for {
		m.mu.Lock()
		this := m.next
		m.next, m.running = nil, this != nil
		m.mu.Unlock()
		if this == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
		this.lag, this.err = m.meter.Measure(ctx)
		cancel()
		close(this.done)
	}
}
