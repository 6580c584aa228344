package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/producer"
)

const (
	pollWait   = 500 * time.Millisecond
	stallAfter = 60 * time.Second // well above what a transaction that was cut short may last
)

// ErrStalled is wrapped by the error of a read that got nothing for long, although there must be more.
var ErrStalled = errors.New("nothing more comes, though there is more")

// reader reads committed records of the queue in the order of each partition. It is for one goroutine.
type reader struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	next   map[int32]int64
}

func newReader(k kafka.Config, admin *kadm.Client, topic string, from map[int32]int64) (*reader, error) {
	r := &reader{admin: admin, topic: topic, next: map[int32]int64{}}
	offsets := map[int32]kgo.Offset{}
	for p, at := range from {
		offsets[p] = kgo.NewOffset().At(at)
		r.next[p] = at
	}
	var err error
	r.client, err = k.Client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // what was purged meanwhile
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // else one that is the last would never be passed
		kgo.FetchMaxBytes(16<<20),
		kgo.FetchMaxPartitionBytes(4<<20),
		kgo.BrokerMaxReadBytes(producer.MaxRecordBytes+(1<<20)), // one batch comes whatever its size
		kgo.FetchMaxWait(pollWait),
	)
	return r, err
}

// until reads up to the offsets, or a little further, and calls take with each record, markers of transactions included.
func (r *reader) until(ctx context.Context, targets map[int32]int64, take func(*kgo.Record)) error {
	moved := time.Now()
	for !r.reached(targets) {
		poll, cancel := context.WithTimeout(ctx, 2*pollWait)
		fetches := r.client.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, e := range fetches.Errors() {
			var loss *kgo.ErrDataLoss
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.As(e.Err, &loss) {
				return fmt.Errorf("read %s/%d: %w", r.topic, e.Partition, e.Err)
			}
		}
		before := time.Now()
		fetches.EachRecord(func(rec *kgo.Record) {
			moved = before
			r.next[rec.Partition] = rec.Offset + 1
			take(rec)
		})
		if fetches.NumRecords() == 0 {
			if err := r.skipDeleted(ctx); err != nil {
				return err
			}
		}
		if time.Since(moved) > stallAfter {
			return fmt.Errorf("read %s: %w: see whether all brokers are up, and whether a transaction on it is open", r.topic, ErrStalled)
		}
	}
	return nil
}

func (r *reader) reached(targets map[int32]int64) bool {
	for p, target := range targets {
		if r.next[p] < target {
			return false
		}
	}
	return true
}

// skipDeleted passes what another purge has deleted meanwhile.
func (r *reader) skipDeleted(ctx context.Context) error {
	starts, err := kafka.Offsets(ctx, r.admin.ListStartOffsets, r.topic)
	if err != nil {
		return err
	}
	for p, at := range starts {
		r.next[p] = max(r.next[p], at)
	}
	return nil
}

func (r *reader) close() { r.client.Close() }
