package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"
)

// TestStates shows that a stage's failures and starts are counted over its lives, and that a replacement is no failure.
func TestStates(t *testing.T) {
	t.Parallel()
	var h Health
	ends := []error{errors.New("once"), ErrReplaced}
	life, up := 0, make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, &h, slog.New(slog.DiscardHandler), time.Second, []Stage{{Name: "s", Progress: func() any { return "half" }, Run: func(ctx context.Context, ready func()) error {
			if life++; life <= len(ends) {
				return ends[life-1]
			}
			ready()
			close(up)
			<-ctx.Done()
			return nil
		}}})
	}()
	<-up
	got, want := h.States(), []State{{Stage: "s", Ready: true, Starts: 3, Failures: 1, Progress: "half"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
