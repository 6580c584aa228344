// Package tracing follows single messages through the stages, from the raw record to the acknowledged row of a table, and
// sends what it sees to an OpenTelemetry collector. Names are those of OpenTelemetry's messaging conventions.
//
// A raw record is followed when its producer's trace is, or by lot ([Tracer.Receive]); after that whoever finds a trace
// context in a record's headers goes on with it. Tracing is best effort: spans that can't be delivered are dropped, and
// nothing that is processed ever waits for them.
package tracing

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracer starts spans. All stages of a program share one; a nil *Tracer is tracing that is off, and what takes one says so
// where it does not cost anything.
type Tracer struct {
	tracer   trace.Tracer
	sampler  sdktrace.Sampler // asked once for a raw record; everything else follows from that
	provider *sdktrace.TracerProvider
	exporter sdktrace.SpanExporter
}

// Resource says whose spans they are. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before it.
type Resource struct {
	Version  string // of the program
	Instance string // one of several that run
}

// New makes a tracer that delivers to a collector. It connects when there is something to deliver, and tells the log when it
// can't. What [Config] does not name, such as headers, certificates and the size of the queue, the OpenTelemetry SDK itself
// takes from the OTEL_* environment.
func New(ctx context.Context, c Config, r Resource, log *slog.Logger) (*Tracer, error) {
	var opts []otlptracehttp.Option
	if c.Endpoint != "" {
		opts = append(opts, otlptracehttp.WithEndpointURL(c.Endpoint))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return newTracer(ctx, c.Sampler, r, &reporting{SpanExporter: exporter, log: log})
}

func newTracer(ctx context.Context, sampler sdktrace.Sampler, r Resource, exporter sdktrace.SpanExporter) (*Tracer, error) {
	about, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithAttributes(semconv.ServiceName("potok"), semconv.ServiceVersion(r.Version), semconv.ServiceInstanceID(r.Instance)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, err
	}
	// The provider is Potok's own, and not the one that OpenTelemetry keeps for the whole process. It samples whatever is
	// started: what is not followed is not started at all.
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	t := p.Tracer("github.com/potok-streams/potok", trace.WithInstrumentationVersion(r.Version), trace.WithSchemaURL(semconv.SchemaURL))
	return &Tracer{tracer: t, sampler: sampler, provider: p, exporter: exporter}, nil
}

// Shutdown delivers the spans that have ended, as far as ctx leaves time. The tracer is of no use after it.
func (t *Tracer) Shutdown(ctx context.Context) error {
	err := t.provider.Shutdown(ctx)
	if err != nil {
		_ = t.exporter.Shutdown(ctx) // breaks off a request that is on its way; the error is the one that we have
	}
	return err
}

// reporting is an exporter that tells the log when it can't deliver, and when it can again, once each. It keeps the errors
// from the SDK, which has one handler for the whole process.
type reporting struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

func (r *reporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	if failed := err != nil; r.failing.Swap(failed) != failed {
		if failed {
			r.log.Warn("traces can't be delivered, their spans are dropped", "error", err)
		} else {
			r.log.Info("traces are delivered again")
		}
	}
	return nil
}

// follows asks the sampler about a raw record. ctx has the trace that the record came with, if any.
func (t *Tracer) follows(ctx context.Context, name string) bool {
	p := sdktrace.SamplingParameters{ParentContext: ctx, Name: name, Kind: trace.SpanKindConsumer, TraceID: trace.SpanContextFromContext(ctx).TraceID()}
	if !p.TraceID.IsValid() {
		// Samplers draw from the trace's id. Starting a span to have one would cost something for each record that is not
		// followed; a trace that is gets an id of its own.
		binary.NativeEndian.PutUint64(p.TraceID[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(p.TraceID[8:], rand.Uint64())
	}
	return t.sampler.ShouldSample(p).Decision == sdktrace.RecordAndSample
}

// The headers of a record that carry a trace, as the W3C names them.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// remote returns a context with the trace that a record's headers carry, and whether there is one.
func remote(parent, state []byte) (context.Context, bool) {
	ctx := context.Background()
	if len(parent) == 0 {
		return ctx, false
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParent: string(parent), traceState: string(state)})
	return ctx, trace.SpanContextFromContext(ctx).IsValid()
}
