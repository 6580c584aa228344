package processors

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/tracing"
)

// everything returns a tracer that follows every record, and delivers to nobody.
func everything(t *testing.T) *tracing.Tracer {
	t.Helper()
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "always_on"}
	c, err := tracing.FromEnvironment(func(key string) string { return env[key] })
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tracing.New(t.Context(), c, tracing.Resource{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Shutdown(t.Context()) }) // its context has ended: nothing is delivered
	return tr
}

// TestFewOfABatchAreTraced: a batch has room for a million records, and its spans wait in memory until it is committed.
func TestFewOfABatchAreTraced(t *testing.T) {
	l := deadLoop(t)
	l.stage.Tracer = everything(t)
	for offset := range int64(3 * maxTraced) {
		l.takeRecord(&kgo.Record{Topic: "events", Offset: offset, Value: rawEvent("u", "click")})
	}
	b := l.open
	if len(b.traced.spans) != maxTraced || b.traced.records != 3*maxTraced {
		t.Errorf("%d of %d records are traced", len(b.traced.spans), b.traced.records)
	}
	for _, in := range []streamRecord{{true, "u"}, {false, "click"}} {
		if n := len(b.traced.carriedBy[in]); n != maxTraced {
			t.Errorf("%+v carries %d", in, n)
		}
	}
	l.flush()
	<-l.flight.done.Done()
	b.reset()
	if b.traced.records != 0 || b.traced.spans != nil || b.traced.carriedBy != nil {
		t.Error("the next batch begins with what this one traced")
	}
}

// TestTracingOffCostsNothing: neither memory for what is read, nor another way to send.
func TestTracingOffCostsNothing(t *testing.T) {
	l := deadLoop(t)
	r := &kgo.Record{Topic: "events", Value: rawEvent("u", "click"), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}}}
	if n := testing.AllocsPerRun(1000, func() { l.takeRecord(r); r.Offset++ }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
	if l.open.traced.records != 0 || l.open.traced.spans != nil {
		t.Error("something is traced")
	}
}
