package emitters

import (
	"context"
	"time"
)

const (
	// paceSlice is how far a message may be ahead of its time. A timer for each message could keep no more than some
	// thousand a second; this way there is one a slice.
	paceSlice = 5 * time.Millisecond
	// paceDebt is how much lost time (the brokers were slow) is made up for by hurrying; more is forgiven.
	paceDebt = time.Second
)

// pacer lets messages through at an even pace whose average is exact. For one goroutine.
type pacer struct {
	every float64 // nanoseconds between two messages; 0 is no limit
	start time.Time
	n     float64 // messages let through since start
}

// wait returns when the next message is due, at once for the first one, or with the error of the context.
func (p *pacer) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil || p.every == 0 {
		return err
	}
	now := time.Now()
	due := p.start.Add(time.Duration(p.n * p.every))
	if p.start.IsZero() || now.Sub(due) > paceDebt {
		p.start, p.n, due = now, 0, now
	}
	p.n++
	ahead := due.Sub(now)
	if ahead <= paceSlice {
		return nil
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
