package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
)

const (
	reportEvery = 5 * time.Second
	// stuckAfter is how long a partition may give nothing although it has not been read to its end.
	stuckAfter = 30 * time.Second
)

// ErrReplaced means that a raw topic was deleted and made anew while it was read.
var ErrReplaced = errors.New("raw topic was deleted and made anew meanwhile: verify again")

// rawTopic is one raw topic, and how far it is read.
type rawTopic struct {
	name  string
	id    [16]byte
	parts map[int32]partition
	next  map[int32]int64
	take  func(at place, ms int64, value []byte)
}

// reader reads the raw topics: what is committed, each record once, in the order of offsets.
type reader struct {
	client *kgo.Client
	admin  *kadm.Client
	topics map[string]*rawTopic
	log    *slog.Logger
	read   int64 // records
}

// newReader fixes the ends of the topics. The caller closes it.
func newReader(ctx context.Context, k kafka.Config, log *slog.Logger, topics ...*rawTopic) (*reader, error) {
	cl, err := k.Client(
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // else the end of a partition that ends with a marker is never seen
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMaxPartitionBytes(4<<20),
	)
	if err != nil {
		return nil, err
	}
	r := &reader{client: cl, admin: kadm.NewClient(cl), topics: map[string]*rawTopic{}, log: log}
	for _, t := range topics {
		r.topics[t.name] = t
		if err := r.open(ctx, t); err != nil {
			cl.Close()
			return nil, err
		}
	}
	return r, nil
}

func (r *reader) close() { r.client.Close() }

// open looks a topic up and fixes its ends.
func (r *reader) open(ctx context.Context, t *rawTopic) (err error) {
	if t.id, err = r.identity(ctx, t.name); err != nil {
		return err
	}
	starts, err := kafka.Offsets(ctx, r.admin.ListStartOffsets, t.name)
	if err != nil {
		return err
	}
	ends, err := kafka.Offsets(ctx, r.admin.ListCommittedOffsets, t.name)
	if err != nil {
		return err
	}
	for p, end := range ends {
		r.add(t, p, partition{start: starts[p], fixed: end, end: end})
	}
	return nil
}

// add begins to read a partition.
func (r *reader) add(t *rawTopic, p int32, part partition) {
	t.parts[p], t.next[p] = part, part.start
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.name: {p: kgo.NewOffset().At(part.start)}})
}

func (r *reader) identity(ctx context.Context, topic string) ([16]byte, error) {
	details, err := r.admin.ListTopics(ctx, topic)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return [16]byte{}, fmt.Errorf("look up raw topic %s: %w", topic, err)
	}
	return details[topic].ID, nil
}

// same checks that the topics are the ones that were opened.
func (r *reader) same(ctx context.Context) error {
	for _, t := range r.topics {
		id, err := r.identity(ctx, t.name)
		if err == nil && id != t.id {
			err = fmt.Errorf("%s: %w", t.name, ErrReplaced)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refresh asks anew where the topics end. Partitions that were added meanwhile are read from now on.
func (r *reader) refresh(ctx context.Context) error {
	for _, t := range r.topics {
		ends, err := kafka.Offsets(ctx, r.admin.ListCommittedOffsets, t.name)
		if err != nil {
			return err
		}
		for p, end := range ends {
			part, known := t.parts[p]
			if !known {
				r.add(t, p, partition{end: end})
				continue
			}
			part.end = max(part.end, end)
			t.parts[p] = part
		}
	}
	return nil
}

// reach is how far each partition of each topic is to be read: the next offset after it.
type reach map[string]map[int32]int64

func (r reach) add(topic string, p int32, next int64) {
	if r[topic] == nil {
		r[topic] = map[int32]int64{}
	}
	r[topic][p] = max(r[topic][p], next)
}

// left returns the partitions that are not read so far yet, and how many offsets that are.
func (r *reader) left(to reach) (which []string, records int64) {
	for _, name := range slices.Sorted(maps.Keys(to)) {
		for _, p := range slices.Sorted(maps.Keys(to[name])) {
			if n := to[name][p] - r.topics[name].next[p]; n > 0 {
				which = append(which, fmt.Sprintf("%s/%d at offset %d of %d", name, p, r.topics[name].next[p], to[name][p]))
				records += n
			}
		}
	}
	return which, records
}

// readTo reads at least so far. It is called by one goroutine.
func (r *reader) readTo(ctx context.Context, to reach) error {
	progress, reported := time.Now(), time.Now()
	for {
		which, records := r.left(to)
		if records == 0 {
			return nil
		}
		if time.Since(progress) > stuckAfter {
			if err := r.same(ctx); err != nil {
				return err
			}
			return fmt.Errorf("nothing more comes from %s", which[0])
		}
		if time.Since(reported) > reportEvery {
			reported = time.Now()
			r.log.Info("reading the raw topics", "records_read", r.read, "records_left", records)
		}
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := r.client.PollRecords(poll, 20_000)
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: %w", which[0], context.Cause(ctx))
		}
		n, err := r.take(fetches)
		if err != nil {
			return err
		}
		if n > 0 {
			progress = time.Now()
		}
	}
}

func (r *reader) take(fetches kgo.Fetches) (records int, err error) {
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) {
			return 0, fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	for _, f := range fetches {
		for i := range f.Topics {
			t := r.topics[f.Topics[i].Topic]
			if t == nil {
				continue // a poll that ended without records has an error in place of a topic
			}
			if id := f.Topics[i].TopicID; id != ([16]byte{}) && id != t.id {
				return records, fmt.Errorf("%s: %w", t.name, ErrReplaced)
			}
			for j := range f.Topics[i].Partitions {
				p := &f.Topics[i].Partitions[j]
				records += len(p.Records)
				r.takePartition(t, p)
			}
		}
	}
	r.read += int64(records)
	return records, nil
}

func (r *reader) takePartition(t *rawTopic, p *kgo.FetchPartition) {
	for _, rec := range p.Records {
		next := t.next[p.Partition]
		if rec.Offset < next {
			continue // read before: the reading began anew
		}
		if part := t.parts[p.Partition]; p.LogStartOffset > next && rec.Offset > next {
			part.start = max(part.start, min(p.LogStartOffset, rec.Offset)) // it expired before it could be read
			t.parts[p.Partition] = part
		}
		t.next[p.Partition] = rec.Offset + 1
		if !rec.Attrs.IsControl() {
			t.take(place{p.Partition, rec.Offset}, rec.Timestamp.UnixMilli(), rec.Value)
		}
	}
	// All that is left of it may have expired, with nothing to tell of it.
	if part := t.parts[p.Partition]; p.LogStartOffset > t.next[p.Partition] {
		part.start = max(part.start, p.LogStartOffset)
		t.parts[p.Partition], t.next[p.Partition] = part, p.LogStartOffset
	}
}
