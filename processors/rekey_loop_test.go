package processors

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/producer"
)

// TestNothingIsSentAfterAFailure: leaving the group calls back once more when a flush has failed, or twice.
func TestNothingIsSentAfterAFailure(t *testing.T) {
	out, err := producer.NewClient(producer.Options{Kafka: kafka.Defaults()})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	l := newRekeyLoop(RekeyEvents(codecs.DefaultNames()), rawTopic, nil, out, nil)
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
