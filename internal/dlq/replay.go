package dlq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
)

// ErrNotRaw is wrapped when an entry's topic is none of the deployment's raw topics: nothing is written anywhere else.
var ErrNotRaw = errors.New("is not a raw topic of this deployment: give the right --users-topic or --events-topic")

// Outcome is what became of an entry that was to be replayed.
type Outcome struct {
	Entry   *Entry
	Already bool  // it had been replayed before
	Place   Place // where it is on its raw topic now, if it had not
	Err     error // why it was not replayed
}

// Replay puts entries back on their raw topics, each with its time stamp, key, headers and value, or with another value if
// mended is not nil, unless it was replayed before. It calls report with each outcome once that is certain, and goes on after one
// that is of its entry alone. The error is about all those that were not reported.
func (q *Queue) Replay(ctx context.Context, entries []*Entry, mended []byte, report func(Outcome)) error {
	topics, err := q.rawTopics(ctx)
	if err != nil {
		return err
	}
	var good []*Entry
	for _, e := range entries {
		switch {
		case e.Topic != q.cfg.Names.Users && e.Topic != q.cfg.Names.Events:
			report(Outcome{Entry: e, Err: fmt.Errorf("%s %w", e.Topic, ErrNotRaw)})
		case len(e.Letters) == 0:
			report(Outcome{Entry: e, Err: ErrUnknown})
		default:
			good = append(good, e)
		}
	}
	for _, batch := range batches(good, topics.limit) {
		err := q.replay(ctx, batch, mended, topics, report)
		if len(batch) == 1 && errors.Is(err, kerr.MessageTooLarge) {
			report(Outcome{Entry: batch[0], Err: fmt.Errorf("topic %s takes no message of this size now: raise its max.message.bytes: %w", batch[0].Topic, err)})
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replay replays entries in one transaction.
func (q *Queue) replay(ctx context.Context, batch []*Entry, mended []byte, topics raw, report func(Outcome)) error {
	var todo []*Entry
	sort := func(entries []*Entry) (fresh []*Entry) {
		for _, e := range entries {
			switch {
			case !e.Replayed.IsZero():
				report(Outcome{Entry: e, Already: true})
			case !e.listed():
				report(Outcome{Entry: e, Err: fmt.Errorf("%w: it was purged", ErrUnknown)})
			default:
				fresh = append(fresh, e)
			}
		}
		return fresh
	}
	if todo = sort(batch); len(todo) == 0 {
		return nil
	}
	// Read before the fence is up, to keep it short.
	letters, err := q.letters(ctx, todo)
	if err != nil {
		return err
	}
	t, err := q.begin(ctx)
	if err != nil {
		return err
	}
	committed := false
	defer func() { t.end(ctx, committed) }()
	if todo = sort(todo); len(todo) == 0 { // others were quicker
		return nil
	}
	var records []*kgo.Record // of each entry the record, and then the note
	limit := topics.limit(todo[0].Topic)
	for _, e := range todo {
		l := letters[e]
		partition, err := topics.partition(e.Origin, l.Key)
		if err != nil {
			return err
		}
		r := &kgo.Record{Topic: e.Topic, Partition: partition, Key: l.Key, Value: l.Value, Headers: l.Headers, Timestamp: e.Time}
		if mended != nil {
			r.Value = mended
		}
		records = append(records, r, newNote(q.topic, e.Letters[0].Partition, e.Origin, Replayed))
		limit = min(limit, topics.limit(e.Topic))
	}
	if err := t.send(ctx, records, limit); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if err := t.commit(ctx); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	committed = true
	q.awaitVisible(ctx, records)
	for i, e := range todo {
		e.Replayed = records[2*i+1].Timestamp
		report(Outcome{Entry: e, Place: Place{records[2*i].Partition, records[2*i].Offset}})
	}
	return nil
}

// awaitVisible waits until readers of committed records are given the records: a broker says that a transaction is committed
// before its partitions know. Other transactions may hide them for longer, so it does not wait for ever.
func (q *Queue) awaitVisible(ctx context.Context, records []*kgo.Record) {
	ctx, cancel := context.WithTimeout(ctx, visibleTimeout)
	defer cancel()
	last := map[string]map[int32]int64{}
	for _, r := range records {
		if last[r.Topic] == nil {
			last[r.Topic] = map[int32]int64{}
		}
		last[r.Topic][r.Partition] = max(last[r.Topic][r.Partition], r.Offset)
	}
	for topic, partitions := range last {
		for {
			stable, err := kafka.Offsets(ctx, q.admin.ListCommittedOffsets, topic)
			hidden := false
			for p, offset := range partitions {
				hidden = hidden || stable[p] <= offset
			}
			if err != nil || !hidden {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

const visibleTimeout = 5 * time.Second

// PurgeResult is what a purge did.
type PurgeResult struct {
	Purged  int // entries that are not listed any more because of it
	Deleted int // records of the queue, of this and earlier purges
	Kept    int // records of purged entries that can't be deleted yet: others are before them
}

// Purge has entries listed no more, and deletes of all that was ever purged what can be deleted.
func (q *Queue) Purge(ctx context.Context, entries []*Entry) (result PurgeResult, err error) {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e *Entry) bool { return !e.listed() })
	for batch := range slices.Chunk(entries, maxBatchEntries) {
		if err := q.note(ctx, batch); err != nil {
			return result, fmt.Errorf("purge: %w", err)
		}
		result.Purged += len(batch)
	}
	if result.Deleted, err = q.trim(ctx); err != nil {
		return result, fmt.Errorf("delete purged records: %w", err)
	}
	for _, e := range q.index.entries {
		if !e.Purged.IsZero() {
			result.Kept += len(e.Letters)
		}
	}
	return result, nil
}

// note writes that entries were purged, in one transaction.
func (q *Queue) note(ctx context.Context, batch []*Entry) error {
	t, err := q.begin(ctx)
	if err != nil {
		return err
	}
	committed := false
	defer func() { t.end(ctx, committed) }()
	var notes []*kgo.Record
	for _, e := range batch {
		if e.listed() {
			notes = append(notes, newNote(q.topic, e.Letters[0].Partition, e.Origin, Purged))
		}
	}
	if err := t.send(ctx, notes, maxBatchBytes); err != nil {
		return err
	}
	if len(notes) == 0 {
		return nil
	}
	if err := t.commit(ctx); err != nil {
		return err
	}
	committed = true
	return nil
}

// trim deletes what can be deleted, and returns how many records that were.
func (q *Queue) trim(ctx context.Context) (deleted int, err error) {
	ends, err := kafka.Offsets(ctx, q.admin.ListEndOffsets, q.topic)
	if err != nil {
		return 0, err
	}
	if err := q.reader.until(ctx, ends, q.index.add); err != nil { // our own notes, too
		return 0, err
	}
	settled, err := q.settled(ctx)
	if err != nil {
		return 0, err
	}
	for {
		cuts := q.index.cuts(settled)
		if len(cuts) == 0 {
			return deleted, nil
		}
		for _, p := range slices.Sorted(maps.Keys(cuts)) {
			below := kadm.Offsets{}
			below.AddOffset(q.topic, p, cuts[p], -1)
			r, err := q.admin.DeleteRecords(ctx, below)
			if err == nil {
				err = r.Error()
			}
			if err != nil && !errors.Is(err, kerr.OffsetOutOfRange) { // another purge has deleted further already
				return deleted, err
			}
			deleted += q.index.trim(p, cuts[p])
		}
	}
}

// settled returns a function that says of an origin that no stage will write its letter again: the stage has committed past
// it, or the topic's incarnation is gone.
func (q *Queue) settled(ctx context.Context) (func(Origin) bool, error) {
	topics, err := q.rawTopics(ctx)
	if err != nil {
		return nil, err
	}
	n := q.cfg.Names
	known := map[string]map[int32]int64{}
	for topic, group := range map[string]string{n.Users: n.RekeyUsersGroup(), n.Events: n.RekeyEventsGroup()} {
		committed, err := kafka.Committed(ctx, q.admin, group)
		if err != nil {
			return nil, err
		}
		known[topic] = map[int32]int64{}
		for p := range topics.partitions[topic] {
			if c, ok := committed.Lookup(topic, p); ok && c.Metadata == topics.ids[topic] {
				known[topic][p] = c.At
			}
		}
	}
	return func(o Origin) bool {
		committed, ours := known[o.Topic]
		if !ours || o.TopicID == "" {
			return false
		}
		return o.TopicID != topics.ids[o.Topic] || committed[o.Partition] > o.Offset
	}, nil
}
