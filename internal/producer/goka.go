package producer

import (
	"sync"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Changelog is goka's producer for a table. At most one record of a key is in flight; while it is, only the newest value
// of the key is kept, and goes out next. One acknowledgement completes the promises of all the values that it stands for.
type Changelog struct {
	client *Client
	acked  func(topic string, partition int32, offset int64)

	mu    sync.Mutex
	room  sync.Cond         // something was acknowledged
	slots map[slotKey]*slot // of keys that are in flight
	bytes int               // of values in flight and waiting
}

// What may be in flight or waiting before Emit waits. The limits are kept here and not by the client, because a value
// that waits is sent from the promise of the one before it, and a promise must never block.
const (
	maxKeysInFlight  = 1 << 13
	maxBytesInFlight = 64 << 20
)

type slotKey struct{ topic, key string }

type slot struct {
	flying  []goka.PromiseFinisher // completed by the record that is in flight
	waiting []goka.PromiseFinisher // completed by the one after it
	value   []byte                 // the one after it
}

// NewChangelog makes goka's producer of a client, which it closes. acked is told of every acknowledgement, in the order
// of the offsets, before the promises are completed.
func NewChangelog(c *Client, acked func(topic string, partition int32, offset int64)) *Changelog {
	p := &Changelog{client: c, acked: acked, slots: map[slotKey]*slot{}}
	p.room.L = &p.mu
	return p
}

// Emit implements goka.Producer.
func (p *Changelog) Emit(topic, key string, value []byte) *goka.Promise {
	promise, finish := goka.NewPromiseWithFinisher()
	id := slotKey{topic, key}
	p.mu.Lock()
	for len(p.slots) >= maxKeysInFlight || p.bytes >= maxBytesInFlight {
		p.room.Wait()
	}
	p.bytes += len(value)
	s, busy := p.slots[id]
	if busy {
		p.bytes -= len(s.value)
		s.waiting, s.value = append(s.waiting, finish), value
		p.mu.Unlock()
		return promise
	}
	s = &slot{flying: []goka.PromiseFinisher{finish}}
	p.slots[id] = s
	p.mu.Unlock()
	p.send(id, s, value)
	return promise
}

// EmitWithHeaders implements goka.Producer. Potok's tables have no headers.
func (p *Changelog) EmitWithHeaders(topic, key string, value []byte, _ goka.Headers) *goka.Promise {
	return p.Emit(topic, key, value)
}

func (p *Changelog) send(id slotKey, s *slot, value []byte) {
	p.client.Send(&kgo.Record{Topic: id.topic, Key: []byte(id.key), Value: value}, func(r *kgo.Record, err error) {
		if err == nil {
			p.acked(r.Topic, r.Partition, r.Offset)
		}
		p.mu.Lock()
		finished, again := s.flying, false
		p.bytes -= len(r.Value)
		switch {
		case err != nil: // nothing goes out any more
			finished = append(finished, s.waiting...)
			p.bytes -= len(s.value)
			delete(p.slots, id)
		case len(s.waiting) > 0:
			again, value = true, s.value
			s.flying, s.waiting, s.value = s.waiting, nil, nil
		default:
			delete(p.slots, id)
		}
		p.room.Broadcast()
		p.mu.Unlock()
		if again {
			p.send(id, s, value)
		}
		m := &sarama.ProducerMessage{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
		for _, finish := range finished {
			finish(m, err)
		}
	})
}

// Close implements goka.Producer: what is not acknowledged by now fails.
func (p *Changelog) Close() error { return p.client.Close() }
