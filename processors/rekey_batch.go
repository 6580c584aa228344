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
	counts occurrences               // for the event-types stream: event types, and Potok's own counters
	dead   []*kgo.Record             // for the dead letter queue
	held   int                       // bytes of what is held as it is
	keyed  keyed

	arena   arena
	records []kgo.Record // scratch: the records of a flush
}

// keyed is the part of a batch that differs between the two rekey stages.
type keyed interface {
	// add puts a raw record into the batch, or says why the record is not valid. It does not keep the record's bytes.
	add(r *kgo.Record, counts *occurrences) (held int, err error)
	full() bool
	// each calls emit with each key's one record; value is good until emit returns.
	each(topic codecs.TopicID, emit func(key string, value []byte))
	reset()
}

func newBatch(topic codecs.TopicID, k keyed) *batch {
	return &batch{topic: topic, heads: map[int32]kgo.EpochOffset{}, keyed: k}
}

func (b *batch) empty() bool { return len(b.heads) == 0 }

func (b *batch) full() bool {
	return b.keyed.full() || b.counts.full() || b.held >= maxHeldBytes
}

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

// flushed returns the records to be sent: at most one of each key on each stream. They, and their bytes, are good until
// the next reset.
func (b *batch) flushed(keyedStream, countStream string) []kgo.Record {
	out := b.records[:0]
	emit := func(topic string) func(key string, value []byte) {
		return func(key string, value []byte) {
			out = append(out, kgo.Record{Topic: topic, Key: keep(&b.arena, key), Value: keep(&b.arena, value)})
		}
	}
	b.keyed.each(b.topic, emit(keyedStream))
	encode := emit(countStream)
	var value []byte
	b.counts.batches(b.topic, func(key string, c *codecs.Batch) {
		value = codecs.AppendBatch(value[:0], c)
		encode(key, value)
	})
	for _, d := range b.dead {
		out = append(out, *d)
	}
	b.records = out
	return out
}

func (b *batch) reset() {
	clear(b.heads)
	b.counts.reset()
	clear(b.dead)
	b.dead, b.held = b.dead[:0], 0
	b.keyed.reset()
	b.arena.reset()
	clear(b.records)
}

// arena hands out copies of bytes from large blocks, and takes all of them back at once.
type arena struct {
	blocks [][]byte
	block  int // in use
}

const arenaBlock = 1 << 20

// keep returns a copy of p that is good until the arena's next reset.
func keep[T string | []byte](a *arena, p T) []byte {
	if len(p) > arenaBlock/4 {
		return append([]byte(nil), p...)
	}
	for {
		if a.block == len(a.blocks) {
			a.blocks = append(a.blocks, make([]byte, 0, arenaBlock))
		}
		b := a.blocks[a.block]
		if len(b)+len(p) <= cap(b) {
			a.blocks[a.block] = append(b, p...)
			return a.blocks[a.block][len(b) : len(b)+len(p) : len(b)+len(p)]
		}
		a.block++
	}
}

func (a *arena) reset() {
	for i := range a.blocks {
		a.blocks[i] = a.blocks[i][:0]
	}
	a.block = 0
}
