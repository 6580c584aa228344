// Package doctor looks at a deployment from the outside, the way an operator would, and says of each thing how it is and
// what to do about it: brokers, topics, consumer groups, dead letters, local state. It changes nothing.
//
// Gathering facts and judging them are apart: every judge… function is pure.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/topology"
)

// Level says how bad a finding is.
type Level string

// The levels, from the best to the worst.
const (
	OK      Level = "ok"
	Info    Level = "info"    // good to know
	Warning Level = "warning" // a fault, or the loss of a machine, would do harm
	Error   Level = "error"   // does harm already, or will
)

func (l Level) rank() int { return slices.Index([]Level{OK, Info, Warning, Error}, l) }

// Finding is what one check has found about one thing.
type Finding struct {
	Level   Level  `json:"level"`
	Check   string `json:"check"`
	Subject string `json:"subject"`
	What    string `json:"what"`
	Advice  string `json:"advice,omitempty"`
}

// Options say what to look at.
type Options struct {
	Kafka   kafka.Config
	Topics  topology.Config
	DataDir string
	// Patience bounds how long the brokers may take to answer at all.
	Patience time.Duration
	// Observe is how long a group that has something to read is watched, to see whether it moves.
	Observe time.Duration
}

// Report is what was found.
type Report struct {
	Worst    Level     `json:"worst"`
	Findings []Finding `json:"findings"`
}

// Healthy reports whether nothing is to be done.
func (r *Report) Healthy() bool { return r.Worst.rank() < Warning.rank() }

func (r *Report) add(findings ...Finding) {
	for _, f := range findings {
		if r.Worst == "" || f.Level.rank() > r.Worst.rank() {
			r.Worst = f.Level
		}
		r.Findings = append(r.Findings, f)
	}
}

// Run looks at everything. What it can't find out is a finding, too.
func Run(ctx context.Context, o Options) *Report {
	r := new(Report)
	var state map[string]changelog
	if err := o.Kafka.Ping(ctx, o.Patience); err != nil {
		r.add(Finding{Error, "brokers", strings.Join(o.Kafka.BootstrapServers, ","), err.Error(), "nothing else about the cluster can be said until a broker answers"})
	} else {
		state = o.cluster(ctx, r)
	}
	r.add(o.local(state)...)
	return r
}

// cluster looks at all that brokers tell of, and returns what the changelogs are right now.
func (o Options) cluster(ctx context.Context, r *Report) map[string]changelog {
	failed := func(check string, err error) {
		r.add(Finding{Error, check, "cluster", err.Error(), "see the brokers' logs, and whether this user may describe topics, configurations and groups"})
	}
	cl, err := o.Kafka.Client(kgo.RetryTimeout(o.Patience))
	if err != nil {
		failed("brokers", err)
		return nil
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)

	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		failed("brokers", err)
		return nil
	}
	versions, err := admin.ApiVersions(ctx)
	if err != nil {
		failed("brokers", err)
		return nil
	}
	r.add(judgeBrokers(brokers)...)
	r.add(judgeSecurity(o.Kafka)...)
	r.add(judgeVersions(versionsOf(versions))...)

	facts, err := o.topics(ctx, admin, len(brokers))
	if err != nil {
		failed("topics", err)
		return nil
	}
	m, err := topology.NewManager(ctx, o.Topics, o.Kafka)
	if err != nil {
		failed("topics", err)
		return nil
	}
	defer m.Close()
	wrong, err := m.Check(ctx)
	if err != nil {
		failed("topics", err)
		return nil
	}
	r.add(judgeTopology(wrong, len(o.Topics.Topics()))...)
	for _, t := range facts {
		r.add(judgeReplication(t)...)
		r.add(judgeCleaning(t)...)
	}

	readings, err := o.groups(ctx, admin, facts)
	if err != nil {
		failed("groups", err)
		return nil
	}
	again := readings
	if slices.ContainsFunc(readings, func(g group) bool { return g.lag() > 0 || g.undecided() > 0 || g.rebalancing() }) {
		select {
		case <-ctx.Done():
		case <-time.After(o.Observe):
		}
		if again, err = o.groups(ctx, admin, facts); err != nil {
			failed("groups", err)
			return nil
		}
	}
	for i := range again {
		r.add(judgeGroup(readings[i], again[i], o.Observe)...)
	}
	for _, t := range facts {
		if t.kind == topology.Raw {
			waiting, err := o.unread(ctx, t, again)
			if err != nil {
				failed("retention", err)
				continue
			}
			r.add(judgeRetention(t, waiting, time.Now())...)
		}
	}
	o.deadLetters(ctx, admin, facts, r)

	state := map[string]changelog{}
	for _, t := range facts {
		if t.kind == topology.Table {
			ends, err := admin.ListEndOffsets(ctx, t.name)
			if err != nil {
				failed("state", err)
				return nil
			}
			c := changelog{id: t.id, ends: map[int32]int64{}}
			for p, e := range ends[t.name] {
				c.ends[p] = e.Offset
			}
			state[t.name] = c
		}
	}
	return state
}

// deadLetters counts the rejected messages.
func (o Options) deadLetters(ctx context.Context, admin *kadm.Client, facts []topic, r *Report) {
	queue := o.Topics.Names.DeadLetters()
	if !slices.ContainsFunc(facts, func(t topic) bool { return t.name == queue }) {
		return
	}
	starts, err := admin.ListStartOffsets(ctx, queue)
	var ends kadm.ListedOffsets
	if err == nil {
		ends, err = admin.ListEndOffsets(ctx, queue)
	}
	if err != nil {
		r.add(Finding{Error, "dead letters", queue, err.Error(), "see the brokers' logs"})
		return
	}
	total := int64(0)
	for p, end := range ends[queue] {
		total += end.Offset - starts[queue][p].Offset
	}
	r.add(judgeDeadLetters(queue, total))
}

func judgeDeadLetters(queue string, total int64) Finding {
	if total == 0 {
		return Finding{OK, "dead letters", queue, "no message was rejected", ""}
	}
	return Finding{Info, "dead letters", queue, fmt.Sprintf("about %d entries of rejected messages", total), "potok dlq list says which and why"}
}
