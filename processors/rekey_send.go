package processors

import (
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/producer"
	"github.com/potok-streams/potok/internal/tracing"
)

const (
	maxInFlight   = 1 << 12  // records of a flush that wait for their acknowledgement at a time
	maxKeptBuffer = 64 << 10 // a record's memory is used again unless it is larger
)

// sender sends the records of one flush after the other, with a bounded number in flight, in memory that it uses again.
type sender struct {
	out     *producer.Client
	free    chan *outgoing // those that are not in flight
	failure atomic.Pointer[error]
	flying  sync.WaitGroup
	sent    int
}

type outgoing struct {
	record kgo.Record
	bytes  []byte // of key and value
	acked  func(*kgo.Record, error)
}

func newSender(out *producer.Client) *sender {
	s := &sender{out: out, free: make(chan *outgoing, maxInFlight)}
	for range maxInFlight {
		o := new(outgoing)
		o.acked = func(_ *kgo.Record, err error) {
			if err != nil {
				s.failure.CompareAndSwap(nil, &err)
			}
			if o.record = (kgo.Record{}); cap(o.bytes) > maxKeptBuffer {
				o.bytes = nil
			}
			s.free <- o
			s.flying.Done()
		}
		s.free <- o
	}
	return s
}

// send sends a record of copies of key and value. It waits while too many are in flight.
func (s *sender) send(topic string, key, value []byte) {
	o := s.filled(topic, key, value)
	s.out.Send(&o.record, o.acked)
}

// sendTraced does the same for a record that carries a trace; the span ends when the record is acknowledged.
func (s *sender) sendTraced(span *tracing.Span, topic string, key, value []byte) {
	o := s.filled(topic, key, value)
	o.record.Headers = span.Headers()
	s.out.Send(&o.record, func(r *kgo.Record, err error) {
		span.Sent(r.Partition, r.Offset, err)
		o.acked(r, err)
	})
}

// filled returns a record that is about to be sent.
func (s *sender) filled(topic string, key, value []byte) *outgoing {
	o := <-s.free // comes: a client that gets nowhere fails all its records
	o.bytes = append(append(o.bytes[:0], key...), value...)
	o.record = kgo.Record{Topic: topic, Key: o.bytes[:len(key):len(key)], Value: o.bytes[len(key):]}
	s.sent++
	s.flying.Add(1)
	return o
}

// forward sends a record as it is.
func (s *sender) forward(r *kgo.Record) {
	o := <-s.free
	o.record = *r
	s.sent++
	s.flying.Add(1)
	s.out.Send(&o.record, o.acked)
}

// wait waits until all is acknowledged, and returns how many records that were since the last call.
func (s *sender) wait() (sent int, err error) {
	s.flying.Wait()
	sent, s.sent = s.sent, 0
	if err := s.failure.Load(); err != nil {
		return sent, *err
	}
	return sent, nil
}
