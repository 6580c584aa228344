package emitters

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fakeProducer acknowledges at once, or as told. Its clock is that of the synctest bubble.
type fakeProducer struct {
	answer func(n int, r *kgo.Record) error // for the n-th record, from 0; nil: all is well
	hang   bool                             // no answers at all

	mu      sync.Mutex
	records []*kgo.Record
	times   []time.Time
}

func (p *fakeProducer) Produce(_ context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	p.mu.Lock()
	n := len(p.records)
	p.records = append(p.records, r)
	p.times = append(p.times, time.Now())
	p.mu.Unlock()
	if p.hang {
		return
	}
	var err error
	if p.answer != nil {
		err = p.answer(n, r)
	}
	promise(r, err)
}

func (p *fakeProducer) Flush(ctx context.Context) error {
	if !p.hang {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestUsersKeepTheirPace(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  UsersConfig
		want time.Duration // from the first user to the last
	}{
		"reference":     {UsersConfig{Every: 3 * time.Second, Count: 5}, 12 * time.Second},
		"rate wins":     {UsersConfig{Every: 3 * time.Second, Rate: 2, Count: 5}, 2 * time.Second},
		"slow":          {UsersConfig{Rate: 0.001, Count: 3}, 2000 * time.Second},
		"fast":          {UsersConfig{Rate: 50_000, Count: 100_001}, 2 * time.Second},
		"odd":           {UsersConfig{Rate: 333, Count: 1000}, 3 * time.Second},
		"no limit":      {UsersConfig{Count: 1000}, 0},
		"just one":      {UsersConfig{Every: time.Hour, Count: 1}, 0},
		"finer than ms": {UsersConfig{Every: 100 * time.Microsecond, Count: 10_001}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.cfg.Topic = "users"
				var p fakeProducer
				start := time.Now()
				stats, err := EmitUsers(t.Context(), tc.cfg, &p)
				if err != nil || stats.Published != tc.cfg.Count {
					t.Fatalf("%+v, %v", stats, err)
				}
				if first := p.times[0].Sub(start); first != 0 {
					t.Errorf("first user after %v", first)
				}
				if got := p.times[len(p.times)-1].Sub(start); got < tc.want-paceSlice || got > tc.want {
					t.Errorf("took %v, want %v", got, tc.want)
				}
				interval := tc.want / time.Duration(max(1, tc.cfg.Count-1))
				timers := 1
				for i, at := range p.times {
					if ahead := (time.Duration(i) * interval) - at.Sub(start); ahead > paceSlice+time.Millisecond {
						t.Fatalf("user %d is ahead by %v", i, ahead)
					}
					if i > 0 && at != p.times[i-1] {
						timers++
					}
				}
				if most := int(tc.want/paceSlice) + 2; interval < paceSlice && timers > most {
					t.Errorf("%d timers, want at most %d", timers, most)
				}
			})
		})
	}
}

func TestPaceForgivesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fakeProducer{answer: func(n int, _ *kgo.Record) error {
			switch n {
			case 10:
				time.Sleep(500 * time.Millisecond) // is made up for
			case 1000:
				time.Sleep(time.Minute) // is not
			}
			return nil
		}}
		start := time.Now()
		if _, err := EmitUsers(t.Context(), UsersConfig{Topic: "users", Rate: 1000, Count: 3000}, &p); err != nil {
			t.Fatal(err)
		}
		if got := p.times[999].Sub(start); got < 990*time.Millisecond || got > time.Second {
			t.Errorf("1000 users with a short stall took %v", got)
		}
		if got := p.times[2999].Sub(start); got < 62*time.Second || got > 64*time.Second {
			t.Errorf("3000 users with a long stall took %v", got)
		}
	})
}

func TestUsersEndCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		cfg := DefaultUsersConfig()
		cfg.Topic = "users"
		stats, err := EmitUsers(ctx, cfg, &fakeProducer{})
		if err != nil || stats.Published != 4 { // at 0, 3, 6 and 9 seconds
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

func TestUsersNotAcknowledgedAreAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		stats, err := EmitUsers(ctx, UsersConfig{Topic: "users", Every: 3 * time.Second}, &fakeProducer{hang: true})
		if took := time.Since(start); took != 10*time.Second+stopGrace {
			t.Errorf("took %v", took)
		}
		if stats.Published != 0 || err == nil || !strings.Contains(err.Error(), "topic users: 4 of 4 messages not acknowledged") {
			t.Errorf("%+v, %v", stats, err)
		}
	})
}

func TestAFailedUserEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		p := fakeProducer{answer: func(n int, r *kgo.Record) error {
			if n == 2 {
				r.Partition = 5
				return broken
			}
			return nil
		}}
		start := time.Now()
		stats, err := EmitUsers(t.Context(), UsersConfig{Topic: "users", Every: time.Hour}, &p)
		if !errors.Is(err, broken) || err.Error() != "publish to topic users partition 5: broken" || stats.Published != 2 {
			t.Errorf("%+v, %v", stats, err)
		}
		if took := time.Since(start); took != 2*time.Hour { // at once, not with the next user
			t.Errorf("took %v", took)
		}
	})
}

func TestUsersConfigValidate(t *testing.T) {
	err := UsersConfig{Every: -1, Rate: math.NaN(), Count: -1}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("want four problems, got %v", err)
	}
	if err := (UsersConfig{Topic: "users"}).Validate(); err != nil {
		t.Error(err)
	}
	if _, err := EmitUsers(t.Context(), UsersConfig{}, nil); err == nil {
		t.Error("ran without a topic")
	}
}
