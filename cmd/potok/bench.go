package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/emitters"
	"github.com/potok-streams/potok/internal/app"
	"github.com/potok-streams/potok/internal/broker"
	"github.com/potok-streams/potok/internal/reset"
	"github.com/potok-streams/potok/internal/terminal"
	"github.com/potok-streams/potok/views/client"
)

// benchLoad is what a measurement publishes, and what has to come of it.
type benchLoad struct {
	users, eventsEach int
	seed              uint64

	events uint64            // in all
	byUser map[string]uint64 // of each user that was published
	byType map[string]uint64
}

func (p *program) bench() *cobra.Command {
	var c connection
	var d dataDir
	var l benchLoad
	embedded := false
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load topics of its own and measure how fast all of Potok counts them, exactly",
		Long: "Publish made-up users and events to topics of its own, run processors and views on them in this process, say how many events\n" +
			"a second that is from the start until both results are complete and can be asked for, and check every count. Topics, groups\n" +
			"and local state are deleted at the end. The repository's bench/ compares with Kafka Streams, and measures more.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.users < 1 || l.eventsEach < 1 {
				return fmt.Errorf("%w: --users and --events-per-user must be at least 1", errUse)
			}
			if embedded {
				b, err := broker.Start(broker.Config{Address: "127.0.0.1:0"})
				if err != nil {
					return err
				}
				defer b.Close()
				c.kafka.BootstrapServers = b.Addresses()
			}
			if err := c.complete(p.getenv); err != nil {
				return err
			}
			id := uuid.NewString()[:8]
			n := &c.topics.Names
			n.Prefix += "-bench-" + id
			n.Users, n.Events = n.Prefix+"-raw-users", n.Prefix+"-raw-events"
			parent, err := d.resolve()
			if err != nil {
				return err
			}
			state := dataDir{path: filepath.Join(parent, "bench-"+id)}
			defer os.RemoveAll(state.path)
			return p.runBench(cmd.Context(), &c, &state, &l)
		},
	}
	f := cmd.Flags()
	c.flags(f)
	d.flags(f)
	f.BoolVar(&embedded, "embedded", false, "on a broker inside this process, which needs nothing else, instead of --bootstrap-servers")
	f.IntVar(&l.users, "users", 100_000, "how many users to publish")
	f.IntVar(&l.eventsEach, "events-per-user", 20, "how many events for each")
	f.Uint64Var(&l.seed, "seed", 1, "the same seed gives the same users and events")
	return cmd
}

// runBench publishes, measures, checks and cleans up.
func (p *program) runBench(ctx context.Context, c *connection, d *dataDir, l *benchLoad) (err error) {
	if err := c.prepareRaw(ctx, p); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.deleteAll(context.WithoutCancel(ctx))) }()
	fmt.Fprintf(p.stderr, "publishing %d users and %d events for each\n", l.users, l.eventsEach)
	if err := l.publish(ctx, c); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	o := processing{stages: []string{stageRekey, stageUsers, stageActivity, stageEventTypes}, leave: true}
	v := viewing{listen: "127.0.0.1:0"}
	began := time.Now()
	return p.serveAll(ctx, c, d, &o, &v, func(url string) ([]app.Stage, error) {
		view, err := client.New(url, client.WithRetries(0))
		if err != nil {
			return nil, err
		}
		return []app.Stage{{Name: "bench", Run: func(ctx context.Context, ready func()) error {
			ready()
			if err := l.await(ctx, view); err != nil {
				return app.Fatal(err)
			}
			took := time.Since(began).Seconds()
			wrong, err := l.wrong(ctx, view)
			if err != nil {
				return app.Fatal(err)
			}
			if err := l.report(p.stdout, took, wrong); err != nil {
				return app.Fatal(err)
			}
			stop()
			<-ctx.Done()
			return nil
		}}}, nil
	})
}

// report prints a measurement, and returns [errDifference] if counts were wrong.
func (l *benchLoad) report(w io.Writer, seconds float64, wrong int) error {
	var columns []terminal.Column
	for _, name := range []string{"users", "events", "seconds", "events/s", "wrong counts"} {
		columns = append(columns, terminal.Column{Name: name, Right: true})
	}
	err := terminal.NewTable(columns...).Write(w, [][]string{{
		fmt.Sprint(len(l.byUser)), fmt.Sprint(l.events), fmt.Sprintf("%.2f", seconds), fmt.Sprintf("%.0f", float64(l.events)/seconds), fmt.Sprint(wrong),
	}})
	if err == nil && wrong > 0 {
		err = errDifference
	}
	return err
}

// publish fills the raw topics, without keys, as the emitters do.
func (l *benchLoad) publish(ctx context.Context, c *connection) error {
	cl, err := c.kafka.Client(kgo.ProducerLinger(10 * time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	send := func(topic string, value []byte) {
		cl.Produce(ctx, &kgo.Record{Topic: topic, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("publish to %s: %w", topic, err))
			}
		})
	}
	users := emitters.NewUserGenerator(l.seed, time.Now)
	events := emitters.NewEventGenerator(l.seed, emitters.DefaultEventsConfig().Pages, l.eventsEach, l.eventsEach, time.Now)
	l.byUser, l.byType = map[string]uint64{}, map[string]uint64{}
	for range l.users {
		u := users.Next()
		send(c.topics.Names.Users, u.AppendJSON(nil))
		for _, e := range events.Next(u) {
			send(c.topics.Names.Events, e.AppendJSON(nil))
			l.events++
			l.byUser[e.UserID]++
			l.byType[e.Event]++
		}
	}
	err = cl.Flush(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // of which the other is a consequence
	}
	return err
}

// await waits until everything published is in both results. An answer that can't be had yet is no error.
func (l *benchLoad) await(ctx context.Context, view *client.Client) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if t, err := view.EventTypes(ctx); err == nil && t.Total >= l.events { // the cheap question first
			if s, err := view.Stats(ctx); err == nil && s.Lag == 0 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// wrong returns how many counts are not what was published.
func (l *benchLoad) wrong(ctx context.Context, view *client.Client) (n int, err error) {
	t, err := view.EventTypes(ctx)
	if err != nil {
		return 0, err
	}
	byType := map[string]uint64{}
	for _, row := range t.Types {
		byType[row.Event] = row.Count
	}
	byUser := map[string]uint64{}
	for u, err := range view.AllUsers(ctx, client.UsersQuery{Limit: 1000, Sort: client.ByUserID, IncludeAll: true}) {
		if err != nil {
			return 0, err
		}
		byUser[u.UserID] = u.EventCount
	}
	return differences(l.byType, byType) + differences(l.byUser, byUser), nil
}

// differences returns how many keys do not have the same count in both.
func differences(a, b map[string]uint64) (n int) {
	for key, count := range a {
		if got, ok := b[key]; !ok || got != count {
			n++
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			n++
		}
	}
	return n
}

// deleteAll deletes the topics of a connection, raw ones included, and Potok's groups. Those that are not there are no error.
func (c *connection) deleteAll(ctx context.Context) error {
	cl, err := c.kafka.Client(kgo.RetryTimeout(connectTimeout))
	if err != nil {
		return err
	}
	defer cl.Close()
	plan := reset.Plan{Groups: c.topics.Names.Groups()}
	for _, t := range c.topics.Topics() {
		plan.Topics = append(plan.Topics, t.Name)
	}
	return reset.Apply(ctx, reset.Options{Topics: c.topics, Kafka: c.kafka, Admin: kadm.NewClient(cl)}, &plan, func(string) {})
}
