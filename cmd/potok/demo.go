package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/emitters"
	"github.com/potok-streams/potok/internal/app"
	"github.com/potok-streams/potok/internal/broker"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/terminal"
	"github.com/potok-streams/potok/internal/topology"
	"github.com/potok-streams/potok/views/client"
)

func (p *program) demo() *cobra.Command {
	var d dataDir
	var v viewing
	users := emitters.DefaultUsersConfig()
	port, duration := 0, time.Duration(0)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show everything at work: broker, emitters, processors, views and page in one process",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := v.validate(); err != nil {
				return err
			}
			users.Every, users.Topic = 0, codecs.DefaultNames().Users
			if err := users.Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUse, err)
			}
			ctx := cmd.Context()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			return p.runDemo(ctx, &d, &v, users, port)
		},
	}
	f := cmd.Flags()
	d.flags(f)
	v.flags(f)
	f.IntVar(&port, "kafka-port", 0, "`port` on which the broker lets other Kafka clients in; 0: a free one")
	f.IntVar(&users.Count, "users", 0, "stop the emitters, not the demo, after so many users; 0: never")
	f.Float64Var(&users.Rate, "rate", 5, "users a second")
	f.Uint64Var(&users.Seed, "seed", users.Seed, "the same seed gives the same users and events")
	f.DurationVar(&duration, "duration", 0, "end everything after so long; 0: at Ctrl-C")
	return cmd
}

// runDemo keeps nothing: broker and state are gone when it ends.
func (p *program) runDemo(ctx context.Context, d *dataDir, v *viewing, users emitters.UsersConfig, port int) error {
	b, err := broker.Start(broker.Config{Address: fmt.Sprintf("127.0.0.1:%d", port)})
	if err != nil {
		return err
	}
	defer b.Close()
	c := connection{kafka: kafka.Defaults(), topics: topology.Config{Names: codecs.DefaultNames()}}
	c.kafka.BootstrapServers = b.Addresses()

	parent, err := d.resolve()
	if err != nil {
		return err
	}
	state := dataDir{path: filepath.Join(parent, fmt.Sprintf("demo-%d", os.Getpid()))}
	defer os.RemoveAll(state.path)

	events := emitters.DefaultEventsConfig()
	events.UsersTopic, events.EventsTopic = c.topics.Names.Users, c.topics.Names.Events
	events.Seed, events.Logger = users.Seed, p.log
	o := processing{stages: []string{stageRekey, stageUsers, stageActivity, stageEventTypes}}
	if isTerminal(p.stdout) && isTerminal(p.stderr) {
		held, stderr := new(heldLog), p.stderr
		p.stderr = held
		defer held.show(stderr)
		if p.logFormat == "" {
			p.logFormat = "text"
		}
		if err := p.openLog(); err != nil {
			return err
		}
		events.Logger = p.log
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return p.serveAll(ctx, &c, &state, &o, v, func(url string) ([]app.Stage, error) {
		fmt.Fprintf(p.stderr, "page: %s   kafka: %s\n", url, c.kafka.BootstrapServers[0])
		show, err := p.showStage("kafka: "+c.kafka.BootstrapServers[0], remote{url: url, tokenFile: v.tokenFile, certificate: v.certificate}, stop)
		if err != nil {
			return nil, err
		}
		return []app.Stage{
			{Name: "emit-users", Run: func(ctx context.Context, ready func()) error {
				cl, err := c.kafka.Client()
				if err != nil {
					return err
				}
				defer cl.Close()
				ready()
				if _, err := emitters.EmitUsers(ctx, users, cl); err != nil {
					return err
				}
				<-ctx.Done() // the users are out, the demo goes on
				return nil
			}},
			{Name: "emit-events", Run: func(ctx context.Context, ready func()) error {
				ready()
				_, err := emitters.EmitEvents(ctx, events, c.kafka)
				return err
			}},
			show,
		}, nil
	})
}

func (p *program) broker() *cobra.Command {
	var cfg broker.Config
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run the embedded broker alone, for development",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := broker.Start(cfg)
			if err != nil {
				return err
			}
			defer b.Close()
			fmt.Fprintf(p.stdout, "KAFKA_BOOTSTRAP_SERVERS=%s\n", b.Addresses()[0])
			<-cmd.Context().Done()
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Address, "listen", "127.0.0.1:9092", "`host:port` on the loopback")
	f.StringVar(&cfg.Dir, "broker-dir", "", "keep the topics in this `directory`; by default they are gone when the broker ends")
	return cmd
}

// showStage draws the tables in the terminal. On a terminal q or Ctrl-C ends it, and with it the demo.
func (p *program) showStage(note string, r remote, stop func()) (app.Stage, error) {
	c, err := r.client()
	if err != nil {
		return app.Stage{}, err
	}
	o := terminal.Options{Client: c, Log: p.log, Note: func() string { return note }}
	return app.Stage{Name: "terminal", Run: func(ctx context.Context, ready func()) error {
		for { // the tables are not there at once
			_, err := c.EventTypes(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			if problem := (*client.Problem)(nil); !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable {
				return err
			}
			time.Sleep(200 * time.Millisecond)
		}
		detach := p.attach(&o)
		defer detach()
		ready()
		if err := terminal.Watch(ctx, o); err != nil {
			return err
		}
		stop()
		<-ctx.Done()
		return nil
	}}, nil
}

// heldLog keeps the end of the log while the terminal is being drawn on, and shows it after that.
type heldLog struct {
	mu   sync.Mutex
	text []byte
}

const heldLogBytes = 64 << 10

func (l *heldLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if over := len(l.text) - heldLogBytes; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

func (l *heldLog) show(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = w.Write(l.text) // nobody is left to tell
}
