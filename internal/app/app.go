// Package app runs the stages of a program: each in a context of its own, started in order and stopped in the reverse
// order. A stage that fails is run again after a pause, without the program ending; [Health]
// tells who is well.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Stage is a part of a program that runs until its context ends.
type Stage struct {
	Name string
	// Run returns nil when ctx has ended. It calls ready, once or more, when it does its work. After an error it is run
	// again, unless the error is [Fatal].
	Run func(ctx context.Context, ready func()) error
	// Progress, if not nil, says how far the stage is while it is not ready; it becomes JSON.
	Progress func() any
}

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second
	wellAfter  = time.Minute // a stage that was ready for so long starts with the first pause again
)

// fatal is an error that running a stage again would not mend.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal marks an error as one that ends the program.
func Fatal(err error) error { return fatal{err} }

// ErrReplaced marks an error after which a stage is run again at once and without an error in the log: it has only to
// start anew.
var ErrReplaced = errors.New("starting anew")

// Run starts all stages, tier by tier, and blocks until ctx ends or a stage fails for good. Then it stops the tiers in the
// reverse order, the stages of one tier at the same time, and all of it within the deadline. Starting does not wait for
// readiness: whoever answers questions has to say meanwhile how far the others are.
func Run(ctx context.Context, h *Health, log *slog.Logger, deadline time.Duration, tiers ...[]Stage) error {
	failed := make(chan error, 1)
	running := make([][]*runner, len(tiers))
	for _, tier := range tiers {
		for _, s := range tier {
			h.add(s)
		}
	}
	for i, tier := range tiers {
		for _, s := range tier {
			running[i] = append(running[i], start(s, h, log, failed))
		}
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end := time.Now().Add(deadline)
	for i, tier := range slices.Backward(running) {
		asked := time.Now()
		// Half of the time that is left: a tier that hangs does not take the time of those after it.
		left := time.Until(end)
		if i > 0 {
			left /= 2
		}
		expired, cancel := context.WithTimeout(context.Background(), left)
		for _, r := range tier {
			r.cancel()
		}
		for _, r := range tier {
			select {
			case <-r.done:
			case <-expired.Done():
			}
			select {
			case <-r.done:
				log.Debug("stage stopped", "stage", r.stage.Name, "took", time.Since(asked))
			default:
				err = errors.Join(err, fmt.Errorf("%s did not stop within %s", r.stage.Name, left.Round(time.Millisecond)))
			}
		}
		cancel()
	}
	return err
}

type runner struct {
	stage  Stage
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs a stage again and again. Its context is not the caller's: it ends at the stage's turn.
func start(s Stage, h *Health, log *slog.Logger, failed chan<- error) *runner {
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{s, cancel, make(chan struct{})}
	go func() {
		defer close(r.done)
		pause := firstPause
		for {
			h.starting(s.Name)
			var readyAt time.Time
			var mu sync.Mutex
			err := s.Run(ctx, func() {
				mu.Lock()
				readyAt = time.Now()
				mu.Unlock()
				h.ready(s.Name)
			})
			var end fatal
			switch {
			case ctx.Err() != nil:
				if err != nil {
					log.Warn("stage stopped with an error, what it had not committed will be done again", "stage", s.Name, "error", err)
				}
				return
			case errors.As(err, &end):
				h.failed(s.Name, err)
				select {
				case failed <- fmt.Errorf("%s: %w", s.Name, err):
				default: // one is enough to end the program
				}
				return
			case errors.Is(err, ErrReplaced):
				continue
			case err == nil:
				err = errors.New("ended by itself")
			}
			mu.Lock()
			if !readyAt.IsZero() && time.Since(readyAt) > wellAfter {
				pause = firstPause
			}
			mu.Unlock()
			h.failed(s.Name, err)
			log.Error("stage failed, it is started again", "stage", s.Name, "error", err, "pause", pause)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, maxPause)
		}
	}()
	return r
}
