package processors

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

// maxHeldBytes bounds the raw records that an open batch holds on to as they are: dead letters, and users.
const maxHeldBytes = 32 << 20

// batch is what a rekey stage has gathered and not sent yet, with the raw offsets that may be committed once it is.
type batch struct {
	topic  codecs.TopicID
	heads  map[int32]kgo.EpochOffset // next offset of each raw partition
	counts occurrences               // of Potok's own counters, for the event-types stream
	dead   []*kgo.Record             // for the dead letter queue
	held   int                       // bytes of what is held as it is
	keyed  keyed
	traced traced // nothing if tracing is off

	value []byte // scratch
}

// keyed is the part of a batch that differs between the two rekey stages.
type keyed interface {
	// add puts a raw record into the batch, or says why the record is not valid. It does not keep the record's bytes.
	add(r *kgo.Record) (held int, err error)
	// names says under which keys a valid record is sent: that of each, and of what is counted by event type, if it is.
	names(r *kgo.Record) (key, counted string, isCounted bool)
	full() bool
	// each calls emit with each key's one record; key and value are good until emit returns.
	each(topic codecs.TopicID, emit func(key, value []byte))
	// counts does the same for what is counted by event type.
	counts(topic codecs.TopicID, emit func(key, value []byte))
	reset()
}

func newBatch(topic codecs.TopicID, k keyed) *batch {
	return &batch{topic: topic, heads: map[int32]kgo.EpochOffset{}, keyed: k}
}

func (b *batch) empty() bool { return len(b.heads) == 0 }

func (b *batch) full() bool {
	return b.keyed.full() || b.counts.full() || b.held >= maxHeldBytes
}

// beyond reports whether the batch holds what comes after the record: a partition that is given back, or was truncated, is
// read again, and the offsets of a batch rise.
func (b *batch) beyond(r *kgo.Record) bool { return r.Offset < b.heads[r.Partition].Offset }

// passed notes that everything up to and with the record is in the batch, or is of no interest.
func (b *batch) passed(r *kgo.Record) {
	b.heads[r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
}

// reject puts a record that is not valid into the batch: the letter, and the count.
func (b *batch) reject(r *kgo.Record, letter codecs.DeadLetter, queue string) {
	dead := &kgo.Record{Topic: queue, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Headers: r.Headers[:len(r.Headers):len(r.Headers)]}
	for _, h := range letter.Headers() {
		dead.Headers = append(dead.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	b.dead = append(b.dead, dead)
	b.held += len(r.Key) + len(r.Value) + 512
	for _, h := range r.Headers {
		b.held += len(h.Key) + len(h.Value) + 64
	}
	counter := codecs.Counter{Kind: codecs.Rejected, Topic: letter.Topic, Reason: letter.Reason}
	b.counts.add([]byte(counter.Key()), nil, r.Partition, r.Offset, 1, r.Timestamp.UnixMilli())
}

// lost puts raw offsets that expired before they were read into the batch.
func (b *batch) lost(topic string, partition int32, from, to int64) {
	key := []byte(codecs.Counter{Kind: codecs.Lost, Topic: topic}.Key())
	for from < to {
		n := min(to-from, 1<<30)
		b.counts.add(key, nil, partition, from, int32(n), -1)
		from += n
	}
	if h, ok := b.heads[partition]; !ok || h.Offset < to {
		b.heads[partition] = kgo.EpochOffset{Epoch: -1, Offset: to}
	}
}

// each calls emit with every record of the streams: at most one of each key on each of them. key and value are good until emit
// returns. The dead letters are apart, in b.dead.
func (b *batch) each(keyedStream, countStream string, emit func(topic string, key, value []byte)) {
	// Few and large records first: what reads them has gone through them when the many come.
	b.keyed.counts(b.topic, func(key, value []byte) { emit(countStream, key, value) })
	b.counts.batches(b.topic, func(key []byte, c *codecs.Batch) {
		b.value = codecs.AppendBatch(b.value[:0], c)
		emit(countStream, key, b.value)
	})
	b.keyed.each(b.topic, func(key, value []byte) { emit(keyedStream, key, value) })
}

func (b *batch) reset() {
	clear(b.heads)
	b.counts.reset()
	clear(b.dead)
	b.dead, b.held = b.dead[:0], 0
	b.keyed.reset()
	b.traced = traced{}
}
