package processors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/producer"
)

const (
	pollRecords = 20_000
	idlePoll    = 250 * time.Millisecond
	// Under a live load, when nothing more waits on the raw topic, nothing is polled for liveRest after a batch: a fetch for
	// each message or two costs more than all else that is done with them, and each batch costs every stage behind some requests
	// and sixteen wake-ups, whatever is in it. The next batch is two polls, of what was fetched ahead and of all that has arrived
	// since, with liveAnswers in between, so that more brokers than the first have answered; or one, if the second brings nothing.
	liveRest    = 24 * time.Millisecond
	liveAnswers = 2 * time.Millisecond
	livePolls   = 2
	// A batch of a backlog stays open between minLinger and maxLinger: large ones make everything behind cheaper. The first one of a
	// life does not for longer than firstLinger: results are to be seen soon, and a program that is killed again and again is to get on.
	minLinger   = 30 * time.Millisecond
	firstLinger = 30 * time.Second
	maxLinger   = time.Minute

	// commitInterval is between two commits while batches follow each other: a commit takes the brokers longer than what it
	// commits, and the next batch waits for it. What a crash leaves uncommitted is read again, and counted once.
	commitInterval = 200 * time.Millisecond
)

// rekeyLoop is one life of a rekey stage. Its fields belong to whoever holds the poll: the loop between a poll and
// AllowRebalance, the group's callbacks in between. franz-go keeps the two apart.
type rekeyLoop struct {
	stage    *Rekey
	topic    codecs.TopicID
	admin    *kadm.Client
	out      *sender
	consumer *kgo.Client
	end      context.CancelCauseFunc
	onJoined func()
	made     chan struct{} // closed when consumer is set: the group is joined, and calls back, before that

	open    *batch
	opened  time.Time     // when the open batch got its first record
	late    time.Duration // how old that record was
	polls   int           // that it is of; livePolls if one brought nothing
	closed  time.Time     // when the batch before it was sent on its way
	flight  *flight       // nil: none; while there is one, uncommitted and commitDue are its own
	spare   *batch
	failure error           // of a flight: the stage ends, and sends nothing any more
	next    map[int32]int64 // position: the next offset that is expected of each partition that is owned
	ends    map[int32]int64 // of these partitions, when they were last fetched
	waited  map[int32]int64 // the same, when they were first fetched while the open batch had records

	uncommitted map[int32]kgo.EpochOffset // positions up to which all is acknowledged
	commitDue   time.Time

	mu       sync.Mutex
	assigned []assignment // not yet noticed by the loop
	metadata map[int32]committed
}

// flight is a batch on its way.
type flight struct {
	batch *batch
	done  context.Context // ends when the flight has
	err   error           // good once done has ended
}

type assignment struct {
	partition int32
	committed int64 // where to go on, 0 if nothing was committed for this incarnation of the topic
	start     int64 // first offset that is still there
	end       int64
}

type committed struct {
	offset int64
	topic  string // the id that stands in the commit's metadata
}

func newRekeyLoop(s *Rekey, topic codecs.TopicID, admin *kadm.Client, out *producer.Client, end context.CancelCauseFunc) *rekeyLoop {
	return &rekeyLoop{
		stage: s, topic: topic, admin: admin, out: newSender(out), end: end, made: make(chan struct{}), open: newBatch(topic, s.newKeyed()), spare: newBatch(topic, s.newKeyed()),
		next: map[int32]int64{}, ends: map[int32]int64{}, waited: map[int32]int64{}, uncommitted: map[int32]kgo.EpochOffset{},
	}
}

// run polls, gathers and flushes until ctx ends.
func (l *rekeyLoop) run(ctx context.Context) error {
	rest, wait, wake := time.Duration(0), idlePoll, context.Background()
	for {
		if rest > 0 {
			pause(ctx, rest)
		}
		poll, cancel := context.WithTimeout(ctx, wait)
		stop := context.AfterFunc(wake, cancel) // a flight has ended: the next one may start
		fetches := l.consumer.PollRecords(poll, pollRecords)
		stop()
		cancel()
		err := l.take(ctx, fetches)
		l.countPoll(fetches.Empty())
		if err == nil && ctx.Err() != nil {
			err = l.finish(ctx)
			l.consumer.AllowRebalance()
			return err
		}
		if err == nil {
			err = l.flushIfDue()
		}
		if err != nil {
			l.consumer.AllowRebalance()
			return err
		}
		rest, wait, wake = l.patience()
		l.consumer.AllowRebalance()
	}
}

// pause waits for a time, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// countPoll counts a poll of the open batch, after what it brought was taken.
func (l *rekeyLoop) countPoll(empty bool) {
	switch {
	case l.open.empty(): // nothing has come yet
	case empty:
		l.polls = livePolls
	default:
		l.polls++
	}
}

// finish sends what is pending when the stage stops. When it stops because the topic was replaced, the old topic's
// offsets can't be committed any more, and need not be.
func (l *rekeyLoop) finish(ctx context.Context) error {
	err := l.drain()
	if errors.Is(context.Cause(ctx), ErrTopicReplaced) {
		return nil
	}
	return err
}

// take puts what was fetched into the open batch.
func (l *rekeyLoop) take(ctx context.Context, fetches kgo.Fetches) error {
	l.noticeAssignments()
	for _, e := range fetches.Errors() {
		var loss *kgo.ErrDataLoss
		switch {
		case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled):
		case errors.As(e.Err, &loss):
			l.stage.Logger.Error("raw partition was truncated, reading on from where it ends now", "stage", l.stage.name,
				"topic", e.Topic, "partition", e.Partition, "error", e.Err)
		default:
			return fmt.Errorf("fetch from %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	for _, f := range fetches {
		for _, t := range f.Topics {
			for i := range t.Partitions {
				if err := l.takePartition(ctx, codecs.TopicID(t.TopicID), &t.Partitions[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (l *rekeyLoop) takePartition(ctx context.Context, topic codecs.TopicID, p *kgo.FetchPartition) error {
	if topic != (codecs.TopicID{}) && topic != l.topic {
		return ErrTopicReplaced
	}
	if len(p.Records) > 0 {
		if next, first := l.next[p.Partition], p.Records[0].Offset; next < p.LogStartOffset && next < first {
			l.noteLost(p.Partition, next, min(first, p.LogStartOffset))
		}
	}
	l.stage.Metrics.read(l.stage.name, p.Records)
	if l.ends[p.Partition] = p.LastStableOffset; p.LastStableOffset < 0 {
		l.ends[p.Partition] = p.HighWatermark
	}
	for _, r := range p.Records {
		if back := l.open.beyond(r); back || l.open.full() {
			if back {
				l.stage.Logger.Warn("raw partition is read again from an earlier offset", "stage", l.stage.name, "topic", r.Topic,
					"partition", r.Partition, "offset", r.Offset, "position", l.next[r.Partition])
			}
			if err := l.land(ctx); err != nil {
				return err
			}
			l.flush()
		}
		l.takeRecord(r)
	}
	if _, known := l.waited[p.Partition]; !known && !l.open.empty() {
		l.waited[p.Partition] = l.ends[p.Partition]
	}
	return nil
}

func (l *rekeyLoop) takeRecord(r *kgo.Record) {
	if l.open.empty() {
		l.opened = time.Now()
		l.late = l.opened.Sub(r.Timestamp)
		clear(l.waited)
	}
	l.next[r.Partition] = r.Offset + 1
	l.open.passed(r)
	if r.Attrs.IsControl() {
		r.Recycle()
		return
	}
	held, err := l.open.keyed.add(r)
	l.open.held += held
	if l.stage.Tracer != nil {
		l.trace(r, err)
	}
	if err == nil {
		r.Recycle() // nobody has its bytes any more
		return
	}
	var why *codecs.RejectError
	if !errors.As(err, &why) {
		why = &codecs.RejectError{Reason: codecs.NotJSON, Detail: err.Error()}
	}
	l.stage.Metrics.reject(l.stage.name, why.Reason)
	l.open.reject(r, codecs.DeadLetter{
		Topic: r.Topic, TopicID: l.topic, Partition: r.Partition, Offset: r.Offset,
		Reason: why.Reason, Message: why.Error(), Stage: l.stage.name,
	}, l.stage.deadLetters)
}

func (l *rekeyLoop) noteLost(partition int32, from, to int64) {
	l.stage.Logger.Error("raw records expired before they were read, they are lost", "stage", l.stage.name,
		"topic", l.stage.rawTopic, "partition", partition, "from_offset", from, "to_offset", to, "records", to-from)
	if l.open.empty() {
		l.opened = time.Now()
	}
	l.open.lost(l.stage.rawTopic, partition, from, to)
}

// patience says how long to fetch nothing, how long the poll after that may wait, and what else ends the poll.
func (l *rekeyLoop) patience() (rest, wait time.Duration, wake context.Context) {
	now, backlog := time.Now(), l.backlog()
	wake = context.Background()
	if !backlog {
		if rest = l.closed.Add(liveRest).Sub(now); rest <= 0 && !l.open.empty() {
			rest = liveAnswers
		}
	}
	due := now.Add(idlePoll)
	switch {
	case l.flight != nil:
		wake = l.flight.done
	case !l.open.empty() && backlog:
		due = l.opened.Add(l.linger())
	case !l.open.empty():
		due = now // what has come by then comes at once
	case len(l.uncommitted) > 0:
		due = l.commitDue
	}
	rest = max(rest, 0)
	return rest, max(due.Sub(now)-rest, time.Millisecond), wake
}

// backlog reports whether more waits on the raw topic than was fetched.
func (l *rekeyLoop) backlog() bool {
	for p, next := range l.next {
		if next < l.ends[p] {
			return true
		}
	}
	return false
}

// gathered reports whether all that waited on the raw topic when the open batch was opened is in it.
func (l *rekeyLoop) gathered() bool {
	for p, next := range l.next {
		if waited, known := l.waited[p]; next < l.ends[p] && (!known || next < waited) {
			return false
		}
	}
	return true
}

// linger says how long the open batch stays open: until all is gathered that waited, or longer if its messages are late; if no more
// of them wait, until it has had its polls.
func (l *rekeyLoop) linger() time.Duration {
	longest := maxLinger
	if l.closed.IsZero() {
		longest = firstLinger
	}
	switch {
	case !l.gathered():
		return longest
	case l.backlog():
		return min(max(l.late/2, minLinger), longest)
	case l.polls < livePolls:
		return longest // the next poll comes at once
	default:
		return 0
	}
}

func (l *rekeyLoop) flushIfDue() error {
	if l.flight != nil {
		if l.flight.done.Err() == nil {
			return nil
		}
		if err := l.landed(); err != nil {
			return err
		}
	}
	now := time.Now()
	switch {
	case !l.open.empty() && (l.open.full() || now.Sub(l.opened) >= l.linger()),
		l.open.empty() && len(l.uncommitted) > 0 && !now.Before(l.commitDue):
		l.flush()
	}
	return nil
}

// flush sends the open batch, which may be empty when something is to be committed, on its way and opens another. No other may
// be in flight.
func (l *rekeyLoop) flush() {
	done, finished := context.WithCancel(context.Background())
	f := &flight{batch: l.open, done: done}
	l.flight, l.open, l.spare = f, l.spare, nil
	l.closed, l.polls = time.Now(), 0
	go func() {
		defer finished()
		f.err = l.deliver(f.batch)
	}()
}

// deliver sends a batch's records, waits until all are acknowledged, and commits if that is due.
func (l *rekeyLoop) deliver(b *batch) error {
	start := time.Now()
	b.each(l.stage.keyedStream, l.stage.countStream, b.traced.sending(l.stage, l.out))
	for _, letter := range b.dead {
		l.out.forward(letter)
	}
	sent, err := l.out.wait()
	if err == nil {
		maps.Copy(l.uncommitted, b.heads)
		if !time.Now().Before(l.commitDue) {
			span := b.traced.commit(l.stage)
			err = l.commit()
			span.End(err)
		}
	}
	b.traced.end(err)
	if !b.empty() {
		l.stage.Metrics.flushed(l.stage.name, sent, time.Since(start))
	}
	return err
}

// commit commits raw offsets with the topic's id, and looks at each partition's own result.
func (l *rekeyLoop) commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.stage.Kafka.SessionTimeout)
	defer cancel()
	id := fmt.Sprintf("%x", l.topic)
	ctx = kgo.PreCommitFnContext(ctx, func(r *kmsg.OffsetCommitRequest) error {
		for t := range r.Topics {
			for p := range r.Topics[t].Partitions {
				r.Topics[t].Partitions[p].Metadata = &id
			}
		}
		return nil
	})
	heads := map[string]map[int32]kgo.EpochOffset{l.stage.rawTopic: l.uncommitted}
	for {
		var failure error
		l.consumer.CommitOffsetsSync(ctx, heads, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			failure = commitError(resp, err)
		})
		if !errors.Is(failure, kerr.RebalanceInProgress) || ctx.Err() != nil {
			if failure != nil {
				return fmt.Errorf("commit offsets of group %s: %w", l.stage.group, failure)
			}
			clear(l.uncommitted)
			l.commitDue = time.Now().Add(commitInterval)
			return nil
		}
		time.Sleep(50 * time.Millisecond) // a group takes no commits for a moment while it hands out partitions
	}
}

// commitError is the first error in a response: the call's own says nothing about the partitions'.
func commitError(resp *kmsg.OffsetCommitResponse, err error) error {
	if err != nil || resp == nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("partition %s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// landed takes in the flight that has ended.
func (l *rekeyLoop) landed() error {
	f := l.flight
	l.flight = nil
	if f.err != nil {
		l.failure = f.err
		return f.err
	}
	f.batch.reset()
	l.spare = f.batch
	return nil
}

// land waits for the flight, if there is one.
func (l *rekeyLoop) land(ctx context.Context) error {
	if l.flight == nil {
		return nil
	}
	select {
	case <-l.flight.done.Done():
		return l.landed()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain sends all that is pending, waits for it, and commits.
func (l *rekeyLoop) drain() error {
	if l.failure != nil {
		return l.failure
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), drainTimeout,
		fmt.Errorf("pending batch was not acknowledged within %s, it will be read again", drainTimeout))
	defer cancel()
	if err := l.land(ctx); err != nil {
		return err
	}
	if l.open.empty() && len(l.uncommitted) == 0 {
		return nil
	}
	l.commitDue = time.Time{}
	l.flush()
	return l.land(ctx)
}
