package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// memory returns a tracer, and what it has delivered when it is shut down.
func memory(t *testing.T, sampler sdktrace.Sampler) (*Tracer, func() tracetest.SpanStubs) {
	t.Helper()
	kept := &keeping{InMemoryExporter: tracetest.NewInMemoryExporter()}
	tr, err := newTracer(t.Context(), sampler, Resource{}, kept)
	if err != nil {
		t.Fatal(err)
	}
	return tr, func() tracetest.SpanStubs {
		if err := tr.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		return kept.GetSpans()
	}
}

// keeping keeps the spans when it is shut down.
type keeping struct{ *tracetest.InMemoryExporter }

func (keeping) Shutdown(context.Context) error { return nil }

func record(headers ...kgo.RecordHeader) *kgo.Record {
	return &kgo.Record{Topic: "raw", Partition: 1, Offset: 7, Headers: headers}
}

func parent(value string) *kgo.Record {
	return record(kgo.RecordHeader{Key: "other", Value: []byte("x")}, kgo.RecordHeader{Key: "traceparent", Value: []byte(value)})
}

const (
	sampled   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

func TestWhichRecordsAreFollowed(t *testing.T) {
	t.Parallel()
	parentBased := func(root sdktrace.Sampler) sdktrace.Sampler { return sdktrace.ParentBased(root) }
	for name, tc := range map[string]struct {
		sampler sdktrace.Sampler
		record  *kgo.Record
		want    bool
	}{
		"the producer's trace":               {parentBased(sdktrace.NeverSample()), parent(sampled), true},
		"not sampled by the producer":        {parentBased(sdktrace.AlwaysSample()), parent(unsampled), false},
		"no trace, and none is begun":        {parentBased(sdktrace.NeverSample()), record(), false},
		"no trace, and one is begun":         {parentBased(sdktrace.AlwaysSample()), record(), true},
		"a header that is not a trace's":     {parentBased(sdktrace.NeverSample()), parent("00-zz-01"), false},
		"such a one, and a trace is begun":   {parentBased(sdktrace.AlwaysSample()), parent("\xff"), true},
		"whatever the producer says":         {sdktrace.NeverSample(), parent(sampled), false},
		"not sampled there, but by us":       {sdktrace.AlwaysSample(), parent(unsampled), true},
		"an empty header":                    {parentBased(sdktrace.AlwaysSample()), parent(""), true},
		"all by lot":                         {parentBased(sdktrace.TraceIDRatioBased(1)), record(), true},
		"none by lot, but the producer says": {parentBased(sdktrace.TraceIDRatioBased(0)), parent(sampled), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, spans := memory(t, tc.sampler)
			s := tr.Receive(tc.record, "g")
			if (s != nil) != tc.want {
				t.Fatalf("followed: %v", s != nil)
			}
			s.End(nil)
			got := spans()
			if !tc.want {
				if len(got) > 0 {
					t.Error("there is a span")
				}
				return
			}
			if len(got) != 1 || !got[0].SpanContext.IsSampled() {
				t.Fatalf("spans: %v", got)
			}
			if strings.Contains(name, "producer") && got[0].Parent.SpanID().String() != "00f067aa0ba902b7" {
				t.Errorf("parent: %v", got[0].Parent)
			}
		})
	}
}

// TestByLot: about the share that was asked for, and those that are not followed cost no memory.
func TestByLot(t *testing.T) {
	tr, _ := memory(t, sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0.1)))
	followed := 0
	for range 20_000 {
		if tr.Receive(record(), "g") != nil {
			followed++
		}
	}
	if followed < 1_700 || followed > 2_300 { // seven standard deviations
		t.Errorf("%d of 20000 records are followed", followed)
	}
	tr, _ = memory(t, sdktrace.ParentBased(sdktrace.TraceIDRatioBased(1e-12)))
	r := record()
	if n := testing.AllocsPerRun(1000, func() { tr.Receive(r, "g") }); n != 0 {
		t.Errorf("%v allocations for a record that is not followed", n)
	}
}

// called is a goka context of a record with headers.
type called struct {
	gokaContext
	headers goka.Headers
	set     int // options of SetValue
}

func (c *called) Headers() goka.Headers                   { return c.headers }
func (c *called) Topic() goka.Stream                      { return "stream" }
func (c *called) Group() goka.Group                       { return "group" }
func (c *called) Partition() int32                        { return 3 }
func (c *called) Offset() int64                           { return 9 }
func (c *called) SetValue(_ any, o ...goka.ContextOption) { c.set = len(o) }

func TestCallback(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		headers goka.Headers
		fails   bool
		spans   int
	}{
		"no trace":    {nil, false, 0},
		"not sampled": {goka.Headers{"traceparent": []byte(unsampled)}, false, 0},
		"sampled":     {goka.Headers{"traceparent": []byte(sampled)}, false, 1},
		"fails":       {goka.Headers{"traceparent": []byte(sampled)}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, spans := memory(t, sdktrace.NeverSample())
			ctx := &called{headers: tc.headers}
			func() {
				defer func() {
					if (recover() != nil) != tc.fails {
						t.Error("a failure of the callback must reach goka")
					}
				}()
				tr.Process(func(ctx goka.Context, _ any) {
					ctx.SetValue("row")
					if tc.fails {
						panic("as goka's Fail does")
					}
				})(ctx, "message")
			}()
			got := spans()
			if len(got) != tc.spans || ctx.set != tc.spans {
				t.Fatalf("%d spans, %d options", len(got), ctx.set)
			}
			if tc.spans > 0 && (got[0].Status.Description != "") != tc.fails {
				t.Errorf("status: %v", got[0].Status)
			}
		})
	}
}

// TestOff: the callback and the producer are what they were.
func TestOff(t *testing.T) {
	t.Parallel()
	var off *Tracer
	p := goka.Producer(producer{})
	if off.Producer(p) != p {
		t.Error("the producer is wrapped")
	}
	ctx := &called{headers: goka.Headers{"traceparent": []byte(sampled)}}
	off.Process(func(got goka.Context, _ any) {
		if got != goka.Context(ctx) {
			t.Error("the context is wrapped")
		}
	})(ctx, nil)
	var none *Span
	none.End(errors.New("x"))
}

// failing is an exporter that can't deliver when it is told so.
type failing struct {
	sdktrace.SpanExporter
	err error
}

func (f *failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return f.err }

func TestTheLogIsToldOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := new(failing)
	r := &reporting{SpanExporter: f, log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, f.err = range []error{nil, errors.New("refused"), errors.New("refused"), nil, nil} {
		if err := r.ExportSpans(t.Context(), nil); err != nil {
			t.Errorf("%v reaches the SDK", err)
		}
	}
	if lines := strings.Split(strings.TrimSpace(log.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[1], "level=INFO") {
		t.Errorf("log:\n%s", &log)
	}
}
