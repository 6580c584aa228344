package emitters

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// UsersConfig says what [EmitUsers] publishes, and how fast. [DefaultUsersConfig] has the reference's pace.
type UsersConfig struct {
	Topic string
	Every time.Duration     // between two users; 0: as fast as the brokers take them
	Rate  float64           // users a second; if it is not 0, Every does not count
	Count int               // users; 0: for ever
	Seed  uint64            // what the users depend on
	Print func(line []byte) // called with the JSON of each acknowledged user, one at a time; may be nil; must not keep line
	Now   func() time.Time  // nil: time.Now; its zone is that of the time stamps
}

// DefaultUsersConfig is one user every three seconds, for ever. The topic is the caller's.
func DefaultUsersConfig() UsersConfig { return UsersConfig{Every: 3 * time.Second} }

// Validate reports everything that is wrong at once.
func (c UsersConfig) Validate() error {
	var errs []error
	if c.Topic == "" {
		errs = append(errs, errors.New("no topic for users"))
	}
	if c.Every < 0 {
		errs = append(errs, fmt.Errorf("time between users %v is negative", c.Every))
	}
	if c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) {
		errs = append(errs, fmt.Errorf("rate of users %v is no number of users a second", c.Rate))
	}
	if c.Count < 0 {
		errs = append(errs, fmt.Errorf("count of users %d is negative", c.Count))
	}
	return errors.Join(errs...)
}

// UsersStats says what a run of [EmitUsers] did.
type UsersStats struct {
	Published int // users acknowledged by the brokers
}

// EmitUsers publishes made-up users until cfg.Count is reached or ctx ends, both of which are a clean end: nil, after all
// users have been acknowledged. What is not acknowledged ten seconds after the end of ctx is an error, and so is the first
// user that can't be published; that error names topic and partition. The producer stays the caller's and open.
func EmitUsers(ctx context.Context, cfg UsersConfig, producer Producer) (UsersStats, error) {
	if err := cfg.Validate(); err != nil {
		return UsersStats{}, err
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	pace := pacer{every: float64(cfg.Every)}
	if cfg.Rate > 0 {
		pace.every = float64(time.Second) / cfg.Rate
	}

	out, stop := outlive(ctx, stopGrace)
	defer stop()
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	users := NewUserGenerator(cfg.Seed, now)
	p := publisher{producer: producer, topic: cfg.Topic, print: cfg.Print, cancel: cancel}
	for n := 0; cfg.Count == 0 || n < cfg.Count; n++ {
		if pace.wait(run) != nil {
			break // asked to stop, or a user failed: flush knows
		}
		p.publish(out, users.Next().AppendJSON(nil))
	}
	err := p.flush(out)
	return UsersStats{Published: p.close()}, err
}
