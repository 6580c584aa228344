package views

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/potok-streams/potok/codecs"
)

// digest is what an answer has of a row besides its state: how long before the last event the first one was, and the counts by
// event type, as varints. Answers come from memory: finding a row on the disk takes ten times as long as all else that is done for
// an answer. A row of which not all fits, with a dozen event types or so, is read from its table, so that memory stays bounded.
type digest struct {
	used  uint8 // bytes, or elsewhere
	bytes [digestBytes]byte
}

const (
	digestBytes = 31
	elsewhere   = digestBytes + 1 // in the table only
)

// kinds numbers event types in the order in which they come. The zero value is empty.
type kinds struct {
	mu      sync.RWMutex
	numbers map[string]uint64
	names   []string // by number; what is there stays
}

// Of further and of longer event types there is no number, so that what is kept of them is bounded.
const (
	maxKinds     = 4096
	maxKindBytes = 256
)

// digest returns that of a row.
func (k *kinds) digest(t *codecs.Tally) (d digest) {
	if t.Truncated {
		return digest{used: elsewhere}
	}
	b := d.bytes[:0]
	if t.Span.Known {
		b = binary.AppendUvarint(b, uint64(t.Span.Last-t.Span.First))
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, l := range t.Labels {
		n, ok := k.numbers[l.Label]
		if !ok {
			n, ok = k.add(l.Label)
		}
		if b = binary.AppendUvarint(binary.AppendUvarint(b, n), l.Count); !ok || len(b) > digestBytes {
			return digest{used: elsewhere}
		}
	}
	d.used = uint8(len(b))
	return d
}

// add gives an event type a number. The caller holds mu for reading, and does again.
func (k *kinds) add(name string) (n uint64, ok bool) {
	k.mu.RUnlock()
	defer k.mu.RLock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok = k.numbers[name]; ok || len(k.names) >= maxKinds || len(name) > maxKindBytes {
		return n, ok
	}
	if k.numbers == nil {
		k.numbers = map[string]uint64{}
	}
	n, name = uint64(len(k.names)), strings.Clone(name) // else it keeps the row that it came with
	k.numbers[name], k.names = n, append(k.names, name)
	return n, true
}

// list returns the event types by number.
func (k *kinds) list() []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.names
}

// read reads the digest of a row whose last event was at a time; ok is false if the row has to be read from its table. each is called
// with the event types in their order.
func (d *digest) read(last int64, kinds []string, each func(kind string, count uint64)) (first int64, ok bool) {
	if d.used == elsewhere {
		return noTime, false
	}
	b := d.bytes[:d.used]
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	first = noTime
	if last != noTime {
		first = last - int64(next())
	}
	for len(b) > 0 {
		kind := kinds[next()]
		each(kind, next())
	}
	return first, true
}
