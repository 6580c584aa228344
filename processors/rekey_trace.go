package processors

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/tracing"
)

// maxTraced bounds the raw records of a batch that are followed: with every record sampled, and a backlog, a batch would
// have a million. It is below the number of links that a span may have.
const maxTraced = 64

// traced are the raw records of a batch that are followed. Each has a span from when it is read to when its offset is
// committed; each record of the streams that holds one of them has a span, too, and carries the trace on.
type traced struct {
	records   int // of the batch, followed or not
	spans     []*tracing.Span
	carriedBy map[streamRecord][]*tracing.Span
}

// streamRecord names a record of a batch: there is one of each key on a stream.
type streamRecord struct {
	keyed bool // on the keyed stream, else on the count stream
	key   string
}

// trace follows a raw record that has just been put into the open batch, or was not because of why, if it is to be followed.
func (l *rekeyLoop) trace(r *kgo.Record, why error) {
	t := &l.open.traced
	t.records++
	if len(t.spans) == maxTraced {
		return
	}
	span := l.stage.Tracer.Receive(r, l.stage.group)
	if span == nil {
		return
	}
	t.spans = append(t.spans, span)
	if why != nil {
		reason := codecs.NotJSON
		var rejected *codecs.RejectError
		if errors.As(why, &rejected) {
			reason = rejected.Reason
		}
		span.Reject(string(reason))
		return
	}
	if t.carriedBy == nil {
		t.carriedBy = map[streamRecord][]*tracing.Span{}
	}
	key, counted, isCounted := l.open.keyed.names(r)
	t.carry(streamRecord{true, key}, span)
	if isCounted {
		t.carry(streamRecord{false, counted}, span)
	}
}

func (t *traced) carry(in streamRecord, span *tracing.Span) {
	t.carriedBy[in] = append(t.carriedBy[in], span)
}

// sending returns how the batch's records are sent.
func (t *traced) sending(s *Rekey, out *sender) func(topic string, key, value []byte) {
	if len(t.carriedBy) == 0 {
		return out.send
	}
	return func(topic string, key, value []byte) {
		because := t.carriedBy[streamRecord{topic == s.keyedStream, string(key)}]
		if len(because) == 0 {
			out.send(topic, key, value)
			return
		}
		out.sendTraced(s.Tracer.Send(topic, because), topic, key, value)
	}
}

// commit starts the span of the batch's commit.
func (t *traced) commit(s *Rekey) *tracing.Span {
	if len(t.spans) == 0 {
		return nil
	}
	return s.Tracer.Commit(s.rawTopic, s.group, t.records, t.spans)
}

// end ends the records' spans when the batch is committed, or is given up.
func (t *traced) end(err error) {
	for _, span := range t.spans {
		span.End(err)
	}
}
