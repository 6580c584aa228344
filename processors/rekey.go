package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/producer"
	"github.com/potok-streams/potok/internal/tracing"
)

// ErrTopicReplaced ends a rekey stage when its raw topic was deleted and made anew: a running consumer would never be
// given the new topic's records. The stage is to be started again at once.
var ErrTopicReplaced = errors.New("raw topic was deleted and made anew")

// The stages' names.
const (
	rekeyUsers  = "rekey-users"
	rekeyEvents = "rekey-events"
)

const (
	topicWatchInterval = 2 * time.Second
	drainTimeout       = 3 * time.Second // for what is pending when partitions go or the stage stops
	closeGrace         = time.Second     // for leaving the group
)

// Rekey is a stage without state: it reads a raw topic as it is, judges each record, and writes what it says about each
// key to Potok's streams, gathered into one record a key a flush.
//
// Delivery: at least once. The raw offsets of a flush are committed after every record of the flush is acknowledged, dead
// letters included, with it or a little later; one flush is in flight at a time. So every instance sends a key's occurrences
// from its committed offsets on without a gap and in order, with at most one record of a key in flight, which is what
// [codecs.Tally.Add] needs to count each of them once.
type Rekey struct {
	Kafka    kafka.Config
	Instance string // static member of the group; empty: a dynamic one
	Logger   *slog.Logger
	Metrics  *Metrics
	Produced producer.Timing // told of every acknowledged request with records of a flush; may be nil
	Tracer   *tracing.Tracer // nil: off

	name        string // of the stage
	rawTopic    string
	group       string
	keyedStream string
	countStream string
	deadLetters string
	newKeyed    func() keyed
}

// RekeyUsers returns the stage that reads the raw users topic.
func RekeyUsers(n codecs.Names) *Rekey {
	return &Rekey{
		name: rekeyUsers, rawTopic: n.Users, group: n.RekeyUsersGroup(), keyedStream: n.UsersStream(),
		countStream: n.EventTypesStream(), deadLetters: n.DeadLetters(), newKeyed: func() keyed { return new(keyedUsers) },
	}
}

// RekeyEvents returns the stage that reads the raw events topic.
func RekeyEvents(n codecs.Names) *Rekey {
	return &Rekey{
		name: rekeyEvents, rawTopic: n.Events, group: n.RekeyEventsGroup(), keyedStream: n.ActivityStream(),
		countStream: n.EventTypesStream(), deadLetters: n.DeadLetters(), newKeyed: func() keyed { return new(keyedEvents) },
	}
}

// Name returns the stage's name.
func (s *Rekey) Name() string { return s.name }

// Run consumes until ctx ends, then finishes what is pending and returns nil; ready is called when the group has been
// joined. After an error the stage can be run again. What was pending then is dropped, and read again.
func (s *Rekey) Run(ctx context.Context, ready func()) (err error) {
	cl, err := s.Kafka.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	topic, err := s.awaitTopic(ctx, admin)
	if err != nil {
		return err
	}
	out, err := producer.NewClient(producer.Options{Kafka: s.Kafka, LargeRecords: s.deadLetters, Timing: s.Produced})
	if err != nil {
		return err
	}
	defer out.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := newRekeyLoop(s, topic, admin, out, cancel)
	l.onJoined = ready
	connected, disconnect := context.WithCancel(context.Background())
	defer disconnect()
	if l.consumer, err = s.Kafka.Client(append(l.consumerOptions(), kgo.WithContext(connected))...); err != nil {
		return err
	}
	close(l.made)
	defer func() {
		// Leaving waits for a rebalance that is going on, and that waits for the slowest member of the group.
		defer time.AfterFunc(closeGrace, disconnect).Stop()
		l.consumer.CloseAllowingRebalance()
	}()
	go s.watch(ctx, admin, topic, l.consumer, cancel)

	err = l.run(ctx)
	if err == nil && ctx.Err() != nil {
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			err = cause
		}
	}
	return err
}

// awaitTopic waits until the raw topic exists and returns its id.
func (s *Rekey) awaitTopic(ctx context.Context, admin *kadm.Client) (codecs.TopicID, error) {
	for warned := false; ; {
		topics, err := admin.ListTopics(ctx, s.rawTopic)
		if err != nil {
			return codecs.TopicID{}, fmt.Errorf("look up raw topic %s: %w", s.rawTopic, err)
		}
		if t, ok := topics[s.rawTopic]; ok && t.Err == nil {
			return codecs.TopicID(t.ID), nil
		}
		if !warned {
			warned = true
			s.Logger.Warn("raw topic does not exist, waiting for it", "stage", s.name, "topic", s.rawTopic)
		}
		select {
		case <-ctx.Done():
			return codecs.TopicID{}, ctx.Err()
		case <-time.After(topicWatchInterval):
		}
	}
}

// unownedFor is how long a stable group may leave partitions without an owner: a member that gives one up first sends what is
// pending, and only then joins anew.
const unownedFor = drainTimeout + 2*time.Second

// watch looks at the raw topic and at the stage's group. It ends the stage when the topic's id is another one, and has the
// group hand out partitions anew when some have no owner. A group of static members can stay like that
// for ever: a member that restarts gets its old assignment back without a rebalance, so that neither the second half of a
// cooperative rebalance comes about, nor one for partitions that were added while the leader was away. All members do it: a join
// starts a rebalance only when it is the leader's, and nobody knows for sure who that is.
func (s *Rekey) watch(ctx context.Context, admin *kadm.Client, id codecs.TopicID, consumer *kgo.Client, end context.CancelCauseFunc) {
	tick := time.NewTicker(topicWatchInterval)
	defer tick.Stop()
	for owned := time.Now(); ; { // when all partitions were last seen to have an owner
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		topics, err := admin.ListTopics(ctx, s.rawTopic)
		t, ok := topics[s.rawTopic]
		if err != nil || !ok || t.Err != nil {
			owned = time.Now() // the consumer has its own way to fail
			continue
		}
		if codecs.TopicID(t.ID) != id {
			s.Logger.Warn("raw topic was deleted and made anew, starting on the new one", "stage", s.name, "topic", s.rawTopic)
			end(ErrTopicReplaced)
			return
		}
		if n := s.unowned(ctx, admin, len(t.Partitions)); n == 0 {
			owned = time.Now()
		} else if time.Since(owned) > unownedFor {
			s.Logger.Warn("partitions of the raw topic have no owner, the group is made to hand them out", "stage", s.name, "topic", s.rawTopic, "partitions", n)
			consumer.ForceRebalance()
			owned = time.Now()
		}
	}
}

// unowned returns how many of the raw topic's partitions are nobody's although the group is stable, as far as it can be asked.
func (s *Rekey) unowned(ctx context.Context, admin *kadm.Client, partitions int) int {
	groups, err := admin.DescribeGroups(ctx, s.group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil || groups[s.group].State != "Stable" {
		return 0
	}
	return partitions - len(groups.AssignedPartitions()[s.rawTopic])
}

func (l *rekeyLoop) consumerOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(l.stage.group),
		kgo.ConsumeTopics(l.stage.rawTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // else the commit stays behind a marker at the end of a partition, and lag is never 0
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(l.stage.Kafka.SessionTimeout),
		kgo.RebalanceTimeout(l.stage.Kafka.RebalanceTimeout()),
		kgo.HeartbeatInterval(l.stage.Kafka.HeartbeatInterval()),
		kgo.OnOffsetsFetched(l.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(l.startOffsets),
		kgo.OnPartitionsAssigned(l.joined),
		kgo.OnPartitionsRevoked(l.revoked),
		kgo.OnPartitionsLost(l.lostPartitions),
		kgo.FetchMaxBytes(256 << 10), // decoded it is several times as much, and the next fetch is under way
		kgo.FetchMaxPartitionBytes(128 << 10),
		kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.WithPools(new(fetchMemory)),
	}
	if l.stage.Instance != "" {
		opts = append(opts, kgo.InstanceID(l.stage.Instance))
	}
	return opts
}
