package tracing

import (
	"errors"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// errCallback is how the span of a callback ends that did not return: goka ends one that fails with a panic.
var errCallback = errors.New("callback failed")

// Process wraps a goka callback, so that the records that are followed have a span for it, and the rows that it sets one for
// their changelog (see [Tracer.Producer]). Off, it returns the callback itself.
func (t *Tracer) Process(callback goka.ProcessCallback) goka.ProcessCallback {
	if t == nil {
		return callback
	}
	return func(ctx goka.Context, msg any) {
		headers := ctx.Headers()
		parent, ok := remote(headers[traceParent], headers[traceState])
		if !ok || !trace.SpanContextFromContext(parent).IsSampled() {
			callback(ctx, msg)
			return
		}
		s, err := t.process(parent, string(ctx.Topic()), string(ctx.Group()), ctx.Partition(), ctx.Offset()), errCallback
		defer func() { s.End(err) }()
		callback(following{ctx, s}, msg)
		err = nil
	}
}

// gokaContext is goka.Context by a name that is not that of one of its methods.
type gokaContext = goka.Context

// following is the context of a callback whose record is followed.
type following struct {
	gokaContext
	span *Span
}

// SetValue hands the trace to the table's producer. goka gives it headers, and nothing else of the callback.
func (f following) SetValue(value any, options ...goka.ContextOption) {
	headers := goka.Headers{}
	for key, v := range f.span.carrier() {
		headers[key] = []byte(v)
	}
	f.gokaContext.SetValue(value, append(options, goka.WithCtxEmitHeaders(headers))...)
}

// Producer wraps a table's producer, so that the changelog records of what is followed have a span, which ends when they are
// acknowledged. Off, it returns the producer itself.
func (t *Tracer) Producer(p goka.Producer) goka.Producer {
	if t == nil {
		return p
	}
	return producer{p, t}
}

type producer struct {
	goka.Producer
	tracer *Tracer
}

func (p producer) EmitWithHeaders(topic, key string, value []byte, headers goka.Headers) *goka.Promise {
	parent, ok := remote(headers[traceParent], headers[traceState])
	if !ok {
		return p.Producer.EmitWithHeaders(topic, key, value, headers)
	}
	s := p.tracer.start(parent, trace.SpanKindProducer, semconv.MessagingOperationTypeSend, "send", topic)
	return p.Producer.EmitWithHeaders(topic, key, value, headers).ThenWithMessage(func(m *sarama.ProducerMessage, err error) {
		if m == nil {
			m = new(sarama.ProducerMessage)
		}
		s.Sent(m.Partition, m.Offset, err)
	})
}
