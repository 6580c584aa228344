package dlq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
)

// ErrUnknown is wrapped when an origin has no entry.
var ErrUnknown = errors.New("there is no such entry in the dead letter queue")

// Config says whose queue it is.
type Config struct {
	Kafka kafka.Config
	Names codecs.Names
	Extra []kgo.Opt // of the client that writes, for tests
}

// Queue is the dead letter queue as it was when it was opened, or when [Queue.Replay] or [Queue.Purge] last began. It is for
// one goroutine.
type Queue struct {
	cfg    Config
	topic  string
	client *kgo.Client
	admin  *kadm.Client
	reader *reader
	index  *index
	hidden bool
}

// Open reads the queue from its start to the end that it has now.
func Open(ctx context.Context, cfg Config) (*Queue, error) {
	cl, err := cfg.Kafka.Client()
	if err != nil {
		return nil, err
	}
	q := &Queue{cfg: cfg, topic: cfg.Names.DeadLetters(), client: cl, admin: kadm.NewClient(cl), index: newIndex()}
	if err := q.open(ctx); err != nil {
		q.Close()
		return nil, err
	}
	return q, nil
}

func (q *Queue) open(ctx context.Context) error {
	// Start, stable end, end: what is between the first two is read.
	starts, err := kafka.Offsets(ctx, q.admin.ListStartOffsets, q.topic)
	if errors.Is(err, kafka.ErrNoTopic) {
		return fmt.Errorf("there is no topic %s: run potok topics to make it, or give the right --prefix", q.topic)
	}
	if err != nil {
		return err
	}
	stable, err := kafka.Offsets(ctx, q.admin.ListCommittedOffsets, q.topic)
	if err != nil {
		return err
	}
	ends, err := kafka.Offsets(ctx, q.admin.ListEndOffsets, q.topic)
	if err != nil {
		return err
	}
	for p, end := range ends {
		q.hidden = q.hidden || stable[p] < end
	}
	if q.reader, err = newReader(q.cfg.Kafka, q.admin, q.topic, starts); err != nil {
		return err
	}
	return q.reader.until(ctx, stable, q.index.add)
}

// Close closes the connections.
func (q *Queue) Close() {
	if q.reader != nil {
		q.reader.close()
	}
	q.client.Close()
}

// List returns the entries that a filter selects, the most recent last.
func (q *Queue) List(f Filter) []*Entry { return q.index.list(f) }

// Find returns the entry with an origin, topic/partition/offset. An error that does not wrap [ErrOrigin] says that there is
// none, or more than one.
func (q *Queue) Find(origin string) (*Entry, error) { return q.index.find(origin) }

// Name returns what [Queue.Find] finds an entry by.
func (q *Queue) Name(e *Entry) string { return q.index.name(e) }

// Foreign returns how many records in the queue are neither letters nor notes.
func (q *Queue) Foreign() int { return q.index.foreign }

// Hidden says that a transaction is open on the queue, so that what was written since is not seen yet.
func (q *Queue) Hidden() bool { return q.hidden }

// Letter is the rejected record as it was.
type Letter struct {
	Key, Value []byte // nil: null
	Headers    []kgo.RecordHeader
}

// Letter reads the whole of an entry.
func (q *Queue) Letter(ctx context.Context, e *Entry) (Letter, error) {
	letters, err := q.letters(ctx, []*Entry{e})
	if err != nil {
		return Letter{}, err
	}
	return letters[e], nil
}

// letters reads the whole of entries, each at the last of its places: the others are deleted before it, if any are.
func (q *Queue) letters(ctx context.Context, entries []*Entry) (map[*Entry]Letter, error) {
	wanted := map[Place]*Entry{}
	from, to := map[int32]int64{}, map[int32]int64{}
	for _, e := range entries {
		if len(e.Letters) == 0 {
			return nil, fmt.Errorf("%s: %w", e, ErrUnknown)
		}
		at := e.Letters[len(e.Letters)-1]
		wanted[at] = e
		if first, ok := from[at.Partition]; !ok || at.Offset < first {
			from[at.Partition] = at.Offset
		}
		to[at.Partition] = max(to[at.Partition], at.Offset+1)
	}
	r, err := newReader(q.cfg.Kafka, q.admin, q.topic, from)
	if err != nil {
		return nil, err
	}
	defer r.close()
	found := map[*Entry]Letter{}
	err = r.until(ctx, to, func(r *kgo.Record) {
		e, ok := wanted[Place{r.Partition, r.Offset}]
		if !ok {
			return
		}
		if p := parse(r); p.kind == letter && p.origin == e.Origin {
			// Copies, because one record would hold its whole batch in memory.
			l := Letter{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
			for _, h := range p.own {
				l.Headers = append(l.Headers, kgo.RecordHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
			}
			found[e] = l
		}
	})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, ok := found[e]; !ok {
			return nil, fmt.Errorf("%s: its letter was deleted from %s meanwhile", e, q.topic)
		}
	}
	return found, nil
}

// raw is what is known of the raw topics.
type raw struct {
	partitions map[string]int32
	ids        map[string]string
	limits     map[string]int // of a batch, in bytes
}

// defaultLimit is Kafka's own for a batch.
const defaultLimit = 1048588

// rawTopics looks the raw topics up.
func (q *Queue) rawTopics(ctx context.Context) (raw, error) {
	r := raw{partitions: map[string]int32{}, ids: map[string]string{}, limits: map[string]int{}}
	names := []string{q.cfg.Names.Users, q.cfg.Names.Events}
	topics, err := q.admin.ListTopics(ctx, names...)
	if err != nil {
		return raw{}, fmt.Errorf("look up raw topics: %w", err)
	}
	for name, t := range topics {
		if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			continue
		}
		if t.Err != nil { // it must not pass for one that is gone
			return raw{}, fmt.Errorf("look up raw topic %s: %w", name, t.Err)
		}
		r.partitions[name] = int32(len(t.Partitions))
		r.ids[name] = fmt.Sprintf("%x", codecs.TopicID(t.ID))
	}
	existing := slices.Collect(maps.Keys(r.partitions))
	if len(existing) == 0 {
		return r, nil
	}
	// Who may not ask for a topic's settings may still write to it.
	configs, err := q.admin.DescribeTopicConfigs(ctx, existing...)
	if err != nil {
		return raw{}, fmt.Errorf("look up raw topics' settings: %w", err)
	}
	for _, c := range configs {
		for _, v := range c.Configs {
			if v.Key == "max.message.bytes" && c.Err == nil {
				r.limits[c.Name], _ = strconv.Atoi(v.MaybeValue())
			}
		}
	}
	return r, nil
}

// limit returns what a raw topic takes in one batch, less what a batch's own header needs.
func (r raw) limit(topic string) int {
	if n := r.limits[topic]; n > 0 {
		return n - recordRoom
	}
	return defaultLimit - recordRoom
}

// partition returns where a record goes: where it came from, if there is such a partition.
func (r raw) partition(o Origin, key []byte) (int32, error) {
	n := r.partitions[o.Topic]
	switch {
	case n == 0:
		return 0, fmt.Errorf("%s: there is no raw topic %s now", o, o.Topic)
	case o.Partition < n:
		return o.Partition, nil
	case key != nil:
		return kafka.PartitionOf(key, n), nil
	default:
		return o.Partition % n, nil
	}
}
