package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/potok-streams/potok/internal/app"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/purge"
	"github.com/potok-streams/potok/processors"
)

// stopDeadline bounds a clean stop of everything.
const stopDeadline = 9 * time.Second

// The values of --stages.
const (
	stageRekey      = "rekey"
	stageUsers      = "users"
	stageActivity   = "activity"
	stageEventTypes = "event-types"
)

// processing holds the flags of a command that runs processors.
type processing struct {
	stages   []string
	instance string
	standby  bool

	leave bool

	metricsListen string
}

func (o *processing) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.stages, "stages", []string{stageRekey, stageUsers, stageActivity, stageEventTypes}, "which stages to run")
	f.StringVar(&o.instance, "instance-id", "", "`name` of this instance in its consumer groups, the same after a restart; by default one that is kept in --data-dir")
	f.BoolVar(&o.leave, "leave", false, "leave the consumer groups when this instance stops: for one that will not be started again, or the others wait --session-timeout for its partitions")
	f.StringVar(&o.metricsListen, "metrics-listen", "", "`host:port` of the processors' own /metrics, /healthz, /readyz and /debug/pprof; off by default")
	f.BoolVar(&o.standby, "standby", false, "also keep the tables of the other instances' partitions up to date, to take over quickly")
}

func (o *processing) validate() error {
	if len(o.stages) == 0 {
		return fmt.Errorf("%w: --stages is empty", errUse)
	}
	for _, s := range o.stages {
		if !slices.Contains([]string{stageRekey, stageUsers, stageActivity, stageEventTypes}, s) {
			return fmt.Errorf("%w: --stages %q: use some of rekey,users,activity,event-types", errUse, s)
		}
	}
	return nil
}

// stopped is to be called when the stages have stopped.
func (o *processing) stopped(c *connection, d *dataDir, log *slog.Logger) error {
	if !o.leave {
		return nil
	}
	instance, err := o.member(d)
	if err != nil {
		return err
	}
	cl, err := c.kafka.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	var errs []error
	for _, group := range c.topics.Names.Groups() {
		left, err := kadm.NewClient(cl).LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instance).Reason("stopped for good"))
		if err == nil {
			err = left.Error()
		}
		if err != nil && !errors.Is(err, kerr.UnknownMemberID) && !errors.Is(err, kerr.GroupIDNotFound) {
			errs = append(errs, fmt.Errorf("leave group %s: %w", group, err))
		}
	}
	log.Info("left the consumer groups", "instance", instance)
	return errors.Join(errs...)
}

// leaveTimeout bounds leaving all groups.
const leaveTimeout = 5 * time.Second

// member returns the name of this instance in its groups.
func (o *processing) member(d *dataDir) (string, error) {
	if o.instance != "" {
		return o.instance, nil
	}
	return d.instance()
}

// tiers returns the stages that process, in the order in which they start, with those before them that see them end.
func (o *processing) tiers(c *connection, d *dataDir, p *program, registry prometheus.Registerer, guard diskGuard) ([][]app.Stage, error) {
	instance, err := o.member(d)
	if err != nil {
		return nil, err
	}
	log, last := p.log, []app.Stage{guard.stage()}
	tracer := p.tracer(instance)
	if tracer != nil {
		last = append(last, traceStage(tracer, log))
	}
	metrics := processors.NewMetrics(registry)
	names := c.topics.Names
	cfg := engine.Config{Kafka: c.kafka, Dir: filepath.Join(d.path, "process"), Memory: d.memory, Instance: instance, Standby: o.standby, Logger: log, OnDiskFailure: guard.failed, Tracer: tracer}
	var tables, rekeys []app.Stage
	for _, g := range []engine.Group{processors.Users(names, metrics, tracer), processors.Activity(names, metrics, tracer), processors.EventTypes(names, metrics, tracer)} {
		if slices.Contains(o.stages, g.Name) {
			m := stageMetrics{registry, g.Name}
			cfg := cfg
			cfg.Observe = engine.Observe{Flushed: m.stores(), Produced: m.producer()}
			p := engine.NewProcessor(cfg, g)
			m.pending(p)
			tables = append(tables, app.Stage{Name: g.Name, Run: p.Run, Progress: progress(p.Progress)})
		}
	}
	if slices.Contains(o.stages, stageRekey) {
		for _, r := range []*processors.Rekey{processors.RekeyUsers(names), processors.RekeyEvents(names)} {
			r.Kafka, r.Instance, r.Logger, r.Metrics, r.Tracer = c.kafka, instance, log, metrics, tracer
			r.Produced = stageMetrics{registry, r.Name()}.producer()
			rekeys = append(rekeys, app.Stage{Name: r.Name(), Run: func(ctx context.Context, ready func()) error {
				err := r.Run(ctx, ready)
				if errors.Is(err, processors.ErrTopicReplaced) {
					return fmt.Errorf("%w: %w", app.ErrReplaced, err)
				}
				return err
			}})
		}
		p := purge.New(c.kafka, c.topics, log)
		tables = append(tables, app.Stage{Name: "purge", Run: p.Run})
	}
	// Rekey stops first: what it has sent by then is counted before the tables stop.
	return [][]app.Stage{last, tables, rekeys}, nil
}

// progress makes a stage's progress of a table's; there is none before the table is opened.
func progress(of func() []engine.Progress) func() any {
	return func() any {
		if p := of(); len(p) > 0 {
			return p
		}
		return nil
	}
}

// diskGuard turns a disk failure, reported from anywhere, into a stage that fails for good.
type diskGuard chan error

func newDiskGuard() diskGuard { return make(diskGuard, 1) }

func (g diskGuard) failed(err error) {
	select {
	case g <- err:
	default: // the first is enough
	}
}

func (g diskGuard) stage() app.Stage {
	return app.Stage{Name: "disk", Run: func(ctx context.Context, ready func()) error {
		ready()
		select {
		case <-ctx.Done():
			return nil
		case err := <-g:
			advice := "see to the disk of --data-dir and start again; other instances take over meanwhile"
			if strings.Contains(err.Error(), "no space left") {
				advice = "make room on the disk of --data-dir and start again; other instances take over meanwhile"
			}
			return app.Fatal(fmt.Errorf("%w: %s", err, advice))
		}
	}}
}
