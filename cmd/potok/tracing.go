package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/potok-streams/potok/internal/app"
	"github.com/potok-streams/potok/internal/tracing"
)

// tracer returns the tracer that the environment asks for, nil if it asks for none. Its settings go by OpenTelemetry's names,
// and like other programs that use them Potok runs without traces when something is wrong with them: they may have been set
// for a whole cluster.
func (p *program) tracer(instance string) *tracing.Tracer {
	c, err := tracing.FromEnvironment(p.getenv)
	if err == nil && !c.On {
		return nil
	}
	var t *tracing.Tracer
	if err == nil {
		t, err = tracing.New(context.Background(), c, tracing.Resource{Version: version, Instance: instance}, p.log)
	}
	if err != nil {
		p.log.Warn("there will be no traces", "error", err)
		return nil
	}
	p.log.Info("tracing", "sampler", c.Sampler.Description())
	return t
}

// traceGrace is how long a stop waits for the last spans. They are not worth the time of anything else.
const traceGrace = time.Second

// traceStage delivers the last spans when all that makes spans has stopped.
func traceStage(t *tracing.Tracer, log *slog.Logger) app.Stage {
	return app.Stage{Name: "traces", Run: func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), traceGrace)
		defer cancel()
		if err := t.Shutdown(grace); err != nil {
			log.Warn("the last spans were not delivered", "error", err)
		}
		return nil
	}}
}
