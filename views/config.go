package views

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/views/client"
	"github.com/prometheus/client_golang/prometheus"
)

// Lookup reads a user's row; nil if there is none. Called concurrently, and only while [Readiness] says restored.
type Lookup func(userID string) (*codecs.Activity, error)

// Readiness tells how the program is. Called concurrently.
type Readiness interface {
	// Restored reports whether the tables have been restored, so that there are answers. That stays so while the brokers
	// are away: then the answers age, and Potok-Lag-Time says so.
	Restored() bool
	// Ready reports whether all is well, for /readyz; detail becomes JSON: progress by table and partition, failing stages with reasons.
	Ready() (ok bool, detail any)
}

// Config is what a server needs. Zero durations and sizes mean the default.
type Config struct {
	Index     *Index
	Lookup    Lookup
	LagMeter  LagMeter
	Readiness Readiness
	Logger    *slog.Logger
	Registry  *prometheus.Registry // the server's metrics go there, and /metrics serves all of it
	AuthToken string               // a secret, see [client.CheckToken]; empty: no authentication
	Version   string
	RawTopics [2]string // users, events

	Now           func() time.Time // default time.Now
	Coalesce      time.Duration    // shortest time between two events to a stream, default 5 ms; a millisecond more for each stream, up to 1 s
	Heartbeat     time.Duration    // longest silence of a stream, default 15 s
	StreamTimeout time.Duration    // a stream that takes no byte for so long is dropped, default 30 s
	MaxStreams    int              // default 10,000
}

// withDefaults returns the configuration completed, or every problem with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	need := func(ok bool, name string) {
		if !ok {
			errs = append(errs, errors.New("views: "+name+" is missing"))
		}
	}
	need(c.Index != nil, "Index")
	need(c.Lookup != nil, "Lookup")
	need(c.LagMeter != nil, "LagMeter")
	need(c.Readiness != nil, "Readiness")
	need(c.Registry != nil, "Registry")
	if err := client.CheckToken(c.AuthToken); err != nil {
		errs = append(errs, fmt.Errorf("views: AuthToken: %w", err))
	}
	if c.Coalesce < 0 || c.Heartbeat < 0 || c.StreamTimeout < 0 || c.MaxStreams < 0 {
		errs = append(errs, errors.New("views: durations and sizes must not be negative"))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	orDefault(&c.Coalesce, 5*time.Millisecond)
	orDefault(&c.Heartbeat, 15*time.Second)
	orDefault(&c.StreamTimeout, 30*time.Second)
	orDefault(&c.MaxStreams, 10_000)
	return c, errors.Join(errs...)
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
