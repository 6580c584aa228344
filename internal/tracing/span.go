package tracing

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Span is something that takes time, done to one message that is followed, or to several. A nil *Span can be
// ended like any other.
type Span struct {
	tracer *Tracer
	ctx    context.Context
	span   trace.Span
}

func (t *Tracer) start(ctx context.Context, kind trace.SpanKind, operation attribute.KeyValue, name, topic string, opts ...trace.SpanStartOption) *Span {
	ctx, span := t.tracer.Start(ctx, name+" "+topic, append(opts, trace.WithSpanKind(kind), trace.WithAttributes(
		semconv.MessagingSystemKafka, operation, semconv.MessagingOperationName(name), semconv.MessagingDestinationName(topic),
	))...)
	return &Span{t, ctx, span}
}

// Receive starts the span of a raw record's way through the rekey stage if the record is to be followed, else it returns nil.
// The producer's trace goes on if the record has brought one.
func (t *Tracer) Receive(r *kgo.Record, group string) *Span {
	var parent, state []byte
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case traceParent:
			parent = h.Value
		case traceState:
			state = h.Value
		}
	}
	ctx, _ := remote(parent, state)
	if !t.follows(ctx, "process") {
		return nil
	}
	return t.process(ctx, r.Topic, group, r.Partition, r.Offset)
}

func (t *Tracer) process(ctx context.Context, topic, group string, partition int32, offset int64) *Span {
	s := t.start(ctx, trace.SpanKindConsumer, semconv.MessagingOperationTypeProcess, "process", topic)
	s.span.SetAttributes(semconv.MessagingConsumerGroupName(group))
	s.at(partition, offset)
	return s
}

// Send starts the span of a record that is sent because of others. It is a part of the first one's trace, and points to the
// rest: a record has room for one trace.
func (t *Tracer) Send(topic string, because []*Span) *Span {
	return t.start(because[0].ctx, trace.SpanKindProducer, semconv.MessagingOperationTypeSend, "send", topic, links(because[1:]))
}

// Commit starts the span of committing a group's offsets of n records, which some that are followed are among.
func (t *Tracer) Commit(topic, group string, n int, among []*Span) *Span {
	s := t.start(among[0].ctx, trace.SpanKindClient, semconv.MessagingOperationTypeSettle, "commit", topic, links(among))
	s.span.SetAttributes(semconv.MessagingConsumerGroupName(group), semconv.MessagingBatchMessageCount(n))
	return s
}

func links(to []*Span) trace.SpanStartOption {
	links := make([]trace.Link, 0, len(to))
	for _, s := range to {
		links = append(links, trace.Link{SpanContext: s.span.SpanContext()})
	}
	return trace.WithLinks(links...)
}

// Headers returns what has to stand in a record for the span's trace to go on with whoever reads it.
func (s *Span) Headers() (headers []kgo.RecordHeader) {
	for key, value := range s.carrier() {
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	return headers
}

func (s *Span) carrier() propagation.MapCarrier {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(s.ctx, c)
	return c
}

func (s *Span) at(partition int32, offset int64) {
	s.span.SetAttributes(semconv.MessagingDestinationPartitionID(strconv.Itoa(int(partition))), semconv.MessagingKafkaOffset(int(offset)))
}

// Reject notes that the message is not valid.
func (s *Span) Reject(reason string) {
	s.span.SetStatus(codes.Error, "rejected")
	s.span.SetAttributes(semconv.ErrorTypeKey.String(reason))
}

// Sent ends the span of a record that is acknowledged, or never will be.
func (s *Span) Sent(partition int32, offset int64, err error) {
	if err == nil {
		s.at(partition, offset)
	}
	s.End(err)
}

// End ends the span, err saying how.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
		s.span.SetAttributes(semconv.ErrorType(err))
	}
	s.span.End()
}
