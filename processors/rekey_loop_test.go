package processors

import (
	"errors"
	"log/slog"
	"testing"

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
