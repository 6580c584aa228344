package engine

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"sync/atomic"
	"time"

	"github.com/lovoo/goka"

	"github.com/potok-streams/potok/internal/lease"
	"github.com/potok-streams/potok/internal/producer"
	"github.com/potok-streams/potok/internal/store"
)

// Group is a goka processor: what it does, and how its table's rows merge.
type Group struct {
	Name  string // of the stage
	Graph *goka.GroupGraph
	Merge Merge
	// Touch makes the record that has a row's owner take what is newer in the given row, and write its own anew: the topic
	// and the value, for the row's key.
	Touch func(row []byte) (topic string, value []byte)
	// Stale is told of every changelog row that was older than what was there.
	Stale func(topic string)
}

const (
	changelogLinger = 2 * time.Millisecond // a row that changes again at once goes out once
	stopGrace       = 2 * time.Second      // for promises, when a processor stops; three tiers share ten seconds
)

// Processor runs one [Group].
type Processor struct {
	cfg     Config
	group   Group
	current atomic.Pointer[state]
}

// NewProcessor makes a processor; it may be run any number of times, one after the other.
func NewProcessor(cfg Config, g Group) *Processor { return &Processor{cfg: cfg, group: g} }

// Name returns the stage's name.
func (p *Processor) Name() string { return p.group.Name }

// Progress reports on the recovery of the run that is going on.
func (p *Processor) Progress() []Progress {
	if s := p.current.Load(); s != nil {
		return s.progress()
	}
	return nil
}

// Pending returns how many records of the input wait to be committed, and how many of the table to be acknowledged.
func (p *Processor) Pending() (input int, table int64) {
	s := p.current.Load()
	if s == nil {
		return 0, 0
	}
	if g := s.group.Load(); g != nil {
		input = g.Depth()
	}
	return input, s.out.Waiting()
}

// Run processes until ctx ends and returns nil then; ready is called when its tables are recovered.
func (p *Processor) Run(ctx context.Context, ready func()) error {
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	repairs := make(chan foreign, maxRepairs)
	st, err := newState(p.cfg, p.group.Name, nil, func(topic string, partition int32, from, to int64) {
		select {
		case repairs <- foreign{topic, partition, from, to}:
		default:
			cancel(errors.New("more of the changelog was written by somebody else than can be repaired at a time"))
		}
	})
	if err != nil {
		return err
	}
	defer st.close()
	l := lease.New(run, p.cfg.Kafka.SessionTimeout*7/10)
	out, err := producer.NewClient(producer.Options{Kafka: p.cfg.Kafka, Lease: l, Linger: changelogLinger, Timing: p.cfg.Observe.Produced})
	if err != nil {
		return err
	}
	defer out.Close()
	st.out = out
	p.current.Store(st)
	// goka notices a failed producer only when it has promises; a lost lease must end the stage without.
	stopWatch := context.AfterFunc(out.Context(), func() {
		if err := out.Err(); !errors.Is(err, producer.ErrClosed) { // goka closes it when it ends for its own reasons
			cancel(err)
		}
	})
	defer stopWatch()
	// And when it stops it waits a minute for promises that a dead broker will never complete, and as long for a group that
	// is waiting for somebody else.
	defer context.AfterFunc(run, func() {
		select {
		case <-time.After(stopGrace):
			out.Close()
		case <-out.Context().Done():
		}
		st.disconnect()
	})()

	touches := newToucher(out, p.group.Touch)
	gp, err := goka.NewProcessor(p.cfg.Kafka.BootstrapServers, p.group.Graph, p.options(st, l, out, touches, ready)...)
	if err != nil {
		return fmt.Errorf("make processor: %w", err)
	}
	go st.logProgress(run, p.group.Name)
	go func() {
		if err := p.repair(run, st, touches, repairs); err != nil && run.Err() == nil {
			cancel(fmt.Errorf("repair the changelog: %w", err)) // the next recovery does it
		}
	}()
	err = gp.Run(run)
	if cause := context.Cause(run); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // goka's own error is a consequence
	}
	if ctx.Err() != nil {
		return nil // asked to stop: what was not acknowledged is not committed either
	}
	return err
}

func (p *Processor) options(st *state, l *lease.Lease, out *producer.Client, touches *toucher, ready func()) []goka.ProcessorOption {
	own := p.group.Graph.GroupTable().Topic()
	stale := func(s *store.Store, offset int64, key string, kept []byte) {
		topic, _ := s.Name()
		p.group.Stale(topic)
		if topic != own {
			return // a join: the table's own owner and standbys see to it
		}
		// Until the word is passed on, the recovery of this record does not count as done.
		s.Hold(offset)
		touches.send(key, kept, func(err error) {
			if err == nil { // else the stage ends
				s.Release(offset)
			}
		})
	}
	opts := []goka.ProcessorOption{
		goka.WithClientID(p.cfg.Kafka.ClientID),
		goka.WithHasher(hasher()),
		goka.WithTopicManagerBuilder(st.topicManager),
		goka.WithConsumerSaramaBuilder(st.saramaConsumer),
		goka.WithConsumerGroupBuilder(st.consumerGroup(l.Heartbeat, ready)),
		goka.WithStorageBuilder(st.registry.Build),
		goka.WithUpdateCallback(st.update(p.group.Merge, stale, nil)),
		goka.WithProducerBuilder(func([]string, string, func() hash.Hash32) (goka.Producer, error) {
			return p.cfg.Tracer.Producer(producer.NewChangelog(out, st.registry.Acked)), nil
		}),
		goka.WithPartitionChannelSize(256),
		goka.WithLogger(gokaLogger{p.cfg.Logger.With("stage", p.group.Name)}),
	}
	if p.cfg.Standby {
		opts = append(opts, goka.WithHotStandby(), goka.WithRecoverAhead())
	}
	return opts
}
