// Package engine runs Potok's goka processors and views, with everything that goka leaves open filled in: the commit gate,
// the changelog producer and its lease, the write-behind stores, merging of stale rows, and the checks around recovery.
//
// A run ends with an error when anything at all goes wrong, and can then be repeated: nothing of a failed run is used
// again but what is committed and what is on disk.
package engine

import (
	"context"
	"fmt"
	"hash"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/internal/gate"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/producer"
	"github.com/potok-streams/potok/internal/store"
	"github.com/potok-streams/potok/internal/tracing"
)

// Config is what all processors and views of a program have in common.
type Config struct {
	Kafka    kafka.Config
	Dir      string // local state lives below, in a directory a processor or view
	Instance string // static group member; empty: a dynamic one
	Standby  bool   // keep the partitions of others up to date as well
	Logger   *slog.Logger
	// Memory is what all processors of the program keep of their local state in memory; nil: next to nothing. A view takes none.
	Memory *store.Memory
	// OnDiskFailure is called when local state can't be written or read. It does not get better by itself: the program is
	// to stop, and leave its work to others.
	OnDiskFailure func(error)
	// Observe is told what takes time; its functions may be nil and are called by several goroutines.
	Observe Observe
	Tracer  *tracing.Tracer // nil: off
}

// NewMemory returns memory for [Config.Memory]. The rows of 100,000 users fit: a look-up in LevelDB costs more than all else that is
// done with a row. A view's rows need none: see [Follower].
func NewMemory() *store.Memory { return store.NewMemory(80 << 20) }

// Observe is what a processor or a view tells about its work.
type Observe struct {
	Flushed  func(rows int, took time.Duration) // rows were written to the local store
	Produced producer.Timing                    // a request with rows of the table was acknowledged
}

// Merge says what is kept of a row when a changelog record is read on top of it: old and incoming are the row's bytes, old
// nil if there was none. stale means that incoming is not what is kept.
type Merge func(topic string, old, incoming []byte) (kept []byte, stale bool, err error)

// Progress is how far the recovery of one partition of a table is.
type Progress struct {
	Table     string `json:"table"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	End       int64  `json:"end"`
	Done      bool   `json:"done"`
}

// state is what a run of a processor or a view has on disk.
type state struct {
	cfg      Config
	admin    *kadm.Client
	registry *store.Registry
	group    atomic.Pointer[gate.Group]
	out      *producer.Client // nil: a view

	partitions sync.Map // by topic, what the brokers said last

	connected  context.Context // ends some time after the run
	disconnect context.CancelFunc
}

func newState(cfg Config, name string, opened func(*store.Store) error, foreign func(topic string, partition int32, from, to int64)) (*state, error) {
	cl, err := cfg.Kafka.Client()
	if err != nil {
		return nil, err
	}
	s := &state{cfg: cfg, admin: kadm.NewClient(cl)}
	s.connected, s.disconnect = context.WithCancel(context.Background())
	opts := store.Options{
		Logger: cfg.Logger, OnFailure: cfg.OnDiskFailure, Memory: cfg.Memory, OnForeign: foreign, OnFlush: cfg.Observe.Flushed,
	}
	s.registry = store.NewRegistry(filepath.Join(cfg.Dir, name), opts, s.changelog, opened)
	return s, nil
}

func (s *state) close() {
	s.disconnect()
	if err := s.registry.Close(); err != nil {
		s.cfg.Logger.Error("local state is not closed well", "error", err)
	}
	s.admin.Close()
}

// lookupTimeout bounds a question to the brokers about a changelog.
const lookupTimeout = 30 * time.Second

// changelog asks the brokers what a changelog partition is right now.
func (s *state) changelog(topic string, partition int32) (store.Changelog, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	id, err := s.topicID(ctx, topic)
	if err != nil {
		return store.Changelog{}, err
	}
	starts, err := kafka.Offsets(ctx, s.admin.ListStartOffsets, topic, partition)
	if err != nil {
		return store.Changelog{}, err
	}
	ends, err := kafka.Offsets(ctx, s.admin.ListEndOffsets, topic, partition)
	if err != nil {
		return store.Changelog{}, err
	}
	return store.Changelog{Topic: topic, Partition: partition, ID: id, Start: starts[partition], End: ends[partition]}, nil
}

func (s *state) topicID(ctx context.Context, topic string) (kadm.TopicID, error) {
	topics, err := s.admin.ListTopics(ctx, topic)
	if err == nil {
		err = topics.Error()
	}
	return topics[topic].ID, err
}

// topicManager builds goka's topic manager, which creates nothing, and learns what a recovery is about to read.
func (s *state) topicManager(brokers []string) (goka.TopicManager, error) {
	conf, err := s.cfg.Kafka.Sarama(s.connected, "", nil)
	if err != nil {
		return nil, err
	}
	t := goka.NewTopicManagerConfig()
	t.NoCreate = true
	// Package topology checks our topics, all of them and more closely; goka would insist on one replication factor.
	t.MismatchBehavior = goka.TMConfigMismatchBehaviorIgnore
	m, err := goka.NewTopicManager(brokers, conf, t)
	if err != nil {
		return nil, err
	}
	return topicManager{m, s.registry, &s.partitions}, nil
}

// topicManager is goka's, with what it leaves open.
type topicManager struct {
	goka.TopicManager
	registry *store.Registry
	known    *sync.Map // partitions by topic
}

// Partitions returns what is known, if the brokers don't answer: goka asks for standbys' partitions after it has made its
// partitions' processors and before it starts them, and its clean-up panics over those that were not started.
func (m topicManager) Partitions(topic string) ([]int32, error) {
	partitions, err := m.TopicManager.Partitions(topic)
	if err == nil {
		m.known.Store(topic, partitions)
	} else if known, ok := m.known.Load(topic); ok {
		return known.([]int32), nil // nobody changes how many there are
	}
	return partitions, err
}

// GetOffset tells the registry the offsets that goka's recoveries start from and have to reach.
func (m topicManager) GetOffset(topic string, partition int32, at int64) (int64, error) {
	o, err := m.TopicManager.GetOffset(topic, partition, at)
	switch {
	case err != nil:
	case at == sarama.OffsetOldest:
		m.registry.RecoverFrom(topic, partition, o)
	case at == sarama.OffsetNewest:
		m.registry.RecoverTo(topic, partition, o)
	}
	return o, err
}

func (s *state) saramaConsumer(brokers []string, clientID string) (sarama.Consumer, error) {
	conf, err := s.cfg.Kafka.Sarama(s.connected, "", nil)
	if err != nil {
		return nil, err
	}
	return sarama.NewConsumer(brokers, conf)
}

func (s *state) consumerGroup(alive func(time.Time), ready func()) goka.ConsumerGroupBuilder {
	return func(brokers []string, group, clientID string) (sarama.ConsumerGroup, error) {
		conf, err := s.cfg.Kafka.Sarama(s.connected, s.cfg.Instance, alive)
		if err != nil {
			return nil, err
		}
		g, err := sarama.NewConsumerGroup(brokers, group, conf)
		if err != nil {
			return nil, err
		}
		wrapped := gate.Wrap(g, ready)
		s.group.Store(wrapped)
		return wrapped, nil
	}
}

// hasher is goka's own, which package kafka's partitioner agrees with.
func hasher() func() hash.Hash32 { return goka.DefaultHasher() }

// update is the callback that goka calls for every changelog record it reads: in recovery, in standby, for joins, and in
// views. It keeps the merge of what is there and what came, and looks at what is there only where a follower does not know that what
// came supersedes it. stale, if not nil, is called for a row that was older. follower is a view's.
func (s *state) update(merge Merge, stale func(st *store.Store, offset int64, key string, kept []byte), follower *Follower) goka.UpdateCallback {
	return func(ctx goka.UpdateContext, _ storage.Storage, key string, value []byte) error {
		topic := string(ctx.Topic())
		// goka passes a proxy of its own; the registry has the store itself.
		st := s.registry.Get(topic, ctx.Partition())
		kept, isStale := value, false
		row, superseding, err := follower.decode(key, value)
		if err == nil && !superseding {
			kept, isStale, err = merged(merge, st, topic, key, value)
			if err == nil && kept != nil && follower != nil {
				row, err = follower.Decode(kept)
			}
		}
		if err != nil {
			return fmt.Errorf("apply a row of %s/%d at offset %d: %w", topic, ctx.Partition(), ctx.Offset(), err)
		}
		if kept != nil {
			if err := st.Set(key, kept); err != nil {
				return err
			}
		}
		if isStale && stale != nil {
			stale(st, ctx.Offset(), key, kept)
		}
		if kept != nil && follower != nil {
			follower.Applied(key, row)
		}
		st.Applied(ctx.Offset())
		return nil
	}
}

// merged returns what is to be kept of what is in a store and what came.
func merged(merge Merge, st *store.Store, topic, key string, value []byte) (kept []byte, isStale bool, err error) {
	old, err := st.Get(key)
	switch {
	case err != nil:
		return nil, false, err
	case value == nil: // nobody deletes rows: not ours, and not kept
		return old, old != nil, nil
	case old == nil:
		return value, false, nil
	default:
		return merge(topic, old, value)
	}
}

// progress reports on the recovery of all tables.
func (s *state) progress() []Progress {
	var out []Progress
	s.registry.Recoveries(func(topic string, partition int32, offset, end int64, done bool) {
		out = append(out, Progress{Table: topic, Partition: partition, Offset: offset, End: end, Done: done})
	})
	return out
}

// logProgress writes now and then how far recovery is, until ctx ends.
func (s *state) logProgress(ctx context.Context, name string) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	type partition struct {
		table  string
		number int32
	}
	last, then := map[partition]int64{}, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, read, left := time.Now(), map[string]int64{}, map[string]int64{}
		for _, p := range s.progress() {
			at := partition{p.Table, p.Partition}
			if before, known := last[at]; known { // else it was on disk, as far as we know
				read[p.Table] += max(p.Offset-before, 0)
			}
			last[at] = p.Offset
			if !p.Done {
				left[p.Table] += max(p.End-p.Offset-1, 0)
			}
		}
		for table, n := range left {
			s.cfg.Logger.Info("restoring table", "stage", name, "table", table, "records_left", n,
				"records_per_second", int64(float64(read[table])/now.Sub(then).Seconds()))
		}
		then = now
	}
}
