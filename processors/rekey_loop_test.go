package processors

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/producer"
)

// deadLoop returns a loop that can't send.
func deadLoop(t *testing.T) *rekeyLoop {
	t.Helper()
	out, err := producer.NewClient(producer.Options{Kafka: kafka.Defaults()})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	stage := RekeyEvents(codecs.DefaultNames())
	stage.Logger = slog.New(slog.DiscardHandler)
	return newRekeyLoop(stage, rawTopic, nil, out, nil)
}

// TestOffsetsOfABatchRise: a partition that goes back is never twice in one batch, which could not be decoded.
func TestOffsetsOfABatchRise(t *testing.T) {
	l := deadLoop(t)
	p := &kgo.FetchPartition{Partition: 1}
	for _, offset := range []int64{5, 6, 3, 4} {
		p.Records = append(p.Records, &kgo.Record{Topic: "events", Partition: 1, Offset: offset, Value: rawEvent("u", "click")})
	}
	if err := l.takePartition(t.Context(), rawTopic, p); err != nil {
		t.Fatal(err)
	}
	if l.flight == nil || l.flight.batch.heads[1].Offset != 7 || l.open.heads[1].Offset != 5 {
		t.Fatalf("in flight: %+v, open: %+v", l.flight, l.open.heads)
	}
	<-l.flight.done.Done()
	for _, b := range []*batch{l.flight.batch, l.open} {
		if _, err := codecs.DecodeBatch(sent(t, b)[keyedTopic]["u"]); err != nil {
			t.Error(err)
		}
	}
}

// TestNothingIsSentAfterAFailure: leaving the group calls back once more when a flush has failed, or twice.
func TestNothingIsSentAfterAFailure(t *testing.T) {
	l := deadLoop(t)
	gather := func(offset int64) {
		l.takeRecord(&kgo.Record{Topic: "events", Offset: offset, Value: rawEvent("u", "click")})
	}
	gather(1)
	l.flush()
	gather(2)
	for range 3 {
		if err := l.drain(); !errors.Is(err, producer.ErrClosed) {
			t.Errorf("drain after a failure: %v", err)
		}
	}
	if l.open.empty() || l.flight != nil {
		t.Error("what came after the failed flush was sent")
	}
}

// TestLinger: a batch stays open for all that waited when it was opened, for half of its messages' age if more has come since, and
// for two polls when nothing waits, or one if the second brings nothing.
func TestLinger(t *testing.T) {
	l := deadLoop(t)
	fetch := func(partition int32, from, to, end int64) {
		t.Helper()
		p := &kgo.FetchPartition{Partition: partition, HighWatermark: end, LastStableOffset: end}
		for o := from; o < to; o++ {
			p.Records = append(p.Records, &kgo.Record{
				Topic: "events", Partition: partition, Offset: o, Value: rawEvent("u", "click"), Timestamp: time.Now().Add(-4 * time.Second),
			})
		}
		if err := l.takePartition(t.Context(), rawTopic, p); err != nil {
			t.Fatal(err)
		}
	}
	linger := func(when string, low, high time.Duration) {
		t.Helper()
		if d := l.linger(); d < low || d > high {
			t.Errorf("%s: %s, want %s to %s", when, d, low, high)
		}
	}
	l.assigned = []assignment{{partition: 0, end: 10}, {partition: 1, end: 4}, {partition: 2}}
	l.noticeAssignments()
	fetch(0, 0, 5, 10)
	linger("half of a partition is read, in the first batch", firstLinger, firstLinger)
	l.closed = time.Now()
	linger("half of a partition is read", maxLinger, maxLinger)
	fetch(0, 5, 10, 20)
	linger("another partition waits", maxLinger, maxLinger)
	fetch(1, 0, 2, 4)
	linger("half of another partition is read", maxLinger, maxLinger)
	fetch(1, 2, 4, 9)
	linger("only what came later waits", 1900*time.Millisecond, 3*time.Second)
	fetch(0, 10, 20, 20)
	fetch(1, 4, 9, 9)
	linger("nothing waits, before its polls are counted", maxLinger, maxLinger)
	l.countPoll(false)
	linger("nothing waits, after one poll", maxLinger, maxLinger)
	l.countPoll(false)
	linger("nothing waits, after two polls", 0, 0)
	l.polls = 1
	l.countPoll(true)
	linger("nothing waits, and the second poll brought nothing", 0, 0)

	l.open.reset()
	fetch(0, 20, 21, 30)
	linger("more waits for the next batch", maxLinger, maxLinger)
	fetch(0, 21, 30, 40)
	linger("and what came later", 1900*time.Millisecond, 3*time.Second)
}

// TestPatience: when nothing waits, nothing is polled for a while after a batch, and the batch after that gets its two polls at once. With a
// backlog nobody rests.
func TestPatience(t *testing.T) {
	l := deadLoop(t)
	fetch := func(offset, end int64) {
		t.Helper()
		r := &kgo.Record{Topic: "events", Offset: offset, Value: rawEvent("u", "click"), Timestamp: time.Now()}
		p := &kgo.FetchPartition{HighWatermark: end, LastStableOffset: end, Records: []*kgo.Record{r}}
		if err := l.takePartition(t.Context(), rawTopic, p); err != nil {
			t.Fatal(err)
		}
		l.countPoll(false)
	}
	patience := func(when string, lowRest, highRest, lowWait, highWait time.Duration) {
		t.Helper()
		rest, wait, _ := l.patience()
		if rest < lowRest || rest > highRest || wait < lowWait || wait > highWait {
			t.Errorf("%s: rest %s, wait %s, want %s to %s and %s to %s", when, rest, wait, lowRest, highRest, lowWait, highWait)
		}
	}
	l.assigned = []assignment{{partition: 0}}
	l.noticeAssignments()
	patience("nothing has come yet", 0, 0, idlePoll, idlePoll)
	fetch(0, 1)
	patience("a first message after a long silence", liveAnswers, liveAnswers, time.Millisecond, time.Millisecond)
	l.countPoll(true)
	if err := l.flushIfDue(); err != nil || l.flight == nil {
		t.Fatalf("a message and nothing behind it: flight %v, error %v", l.flight, err)
	}
	patience("a batch has just gone", 1, liveRest, 1, idlePoll)
	<-l.flight.done.Done()
	l.flight, l.spare = nil, l.flight.batch // as if it had gone well
	l.spare.reset()
	l.closed = time.Now().Add(-liveRest)
	fetch(1, 2)
	patience("the rest is over", liveAnswers, liveAnswers, time.Millisecond, time.Millisecond)
	fetch(2, 9)
	patience("a backlog", 0, 0, liveAnswers, minLinger)
}
