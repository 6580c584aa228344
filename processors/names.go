package processors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/potok-streams/potok/codecs"
)

// names numbers strings in the order in which they come, and keeps the time stamps of each. It is a hash table without pointers:
// a batch may have a million names, and the garbage collector would go through them again and again.
type names struct {
	seed   maphash.Seed
	slots  []uint32 // open addressing, at most half full: a name's number plus one, 0: free
	hashes []uint32 // of each name
	places []uint32 // of each name: its chunk, and where in it
	spans  []codecs.Span
	chunks [][]byte // the names, one after the other
	bytes  int
}

const (
	minSlots   = 1 << 10
	nameChunk  = 1 << 16 // bytes, so that half of a place is enough for where in it
	numberBits = 21      // of a name's number, when names are sorted
)

// A batch has no more names than occurrences.
const _ = uint(1<<numberBits - maxOccurrences)

func (n *names) len() int { return len(n.places) }

// text returns a name's bytes, which stay as they are until the next reset.
func (n *names) text(i int32) []byte {
	place := n.places[i]
	chunk := n.chunks[place/nameChunk]
	if next := int(i) + 1; next < len(n.places) && n.places[next]/nameChunk == place/nameChunk {
		chunk = chunk[:n.places[next]%nameChunk]
	}
	return chunk[place%nameChunk:]
}

// number returns the name's number, a new one if it has none.
func (n *names) number(name []byte) int32 {
	if n.slots == nil {
		n.seed, n.slots = maphash.MakeSeed(), make([]uint32, minSlots)
	}
	hash := uint32(maphash.Bytes(n.seed, name))
	mask := uint32(len(n.slots) - 1)
	slot := hash & mask
	for ; n.slots[slot] != 0; slot = (slot + 1) & mask {
		if i := int32(n.slots[slot] - 1); n.hashes[i] == hash && bytes.Equal(n.text(i), name) {
			return i
		}
	}
	i := int32(len(n.places))
	n.slots[slot] = uint32(i) + 1
	n.hashes = append(n.hashes, hash)
	n.spans = append(n.spans, codecs.Span{})
	n.keep(name)
	if 2*len(n.places) > len(n.slots) {
		n.grow()
	}
	return i
}

// keep adds a name to the texts.
func (n *names) keep(name []byte) {
	last := len(n.chunks) - 1
	if last < 0 || len(n.chunks[last]) >= nameChunk || cap(n.chunks[last])-len(n.chunks[last]) < len(name) {
		n.chunks = append(n.chunks, make([]byte, 0, max(nameChunk, len(name))))
		last++
	}
	n.places = append(n.places, uint32(last*nameChunk+len(n.chunks[last])))
	n.chunks[last] = append(n.chunks[last], name...)
	n.bytes += len(name)
}

// grow doubles the slots.
func (n *names) grow() {
	n.slots = make([]uint32, 2*len(n.slots))
	mask := uint32(len(n.slots) - 1)
	for i, hash := range n.hashes {
		slot := hash & mask
		for n.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		n.slots[slot] = uint32(i) + 1
	}
}

// sorted returns the numbers of all names in the names' order, in the memory of dst, each below the beginning of its name, which
// mostly says how two of them compare.
func (n *names) sorted(dst []uint64) []uint64 {
	if cap(dst) < n.len() {
		dst = make([]uint64, 0, n.len())
	}
	dst = dst[:0]
	for i := range int32(n.len()) {
		var beginning [8]byte
		copy(beginning[:], n.text(i))
		dst = append(dst, binary.BigEndian.Uint64(beginning[:])>>numberBits<<numberBits|uint64(i))
	}
	slices.SortFunc(dst, func(a, b uint64) int {
		if c := cmp.Compare(a>>numberBits, b>>numberBits); c != 0 {
			return c
		}
		return bytes.Compare(n.text(numberOf(a)), n.text(numberOf(b)))
	})
	return dst
}

// numberOf returns the number of a name that sorted has returned.
func numberOf(sorted uint64) int32 { return int32(sorted & (1<<numberBits - 1)) }

// reset forgets all names, and gives up memory that the last ones used little of: a backlog ends.
func (n *names) reset() {
	if cap(n.places) > minSlots && len(n.places) < cap(n.places)/4 {
		*n = names{}
		return
	}
	clear(n.slots)
	if len(n.chunks) > 1 {
		clear(n.chunks[1:])
		n.chunks = n.chunks[:1]
	}
	for i := range n.chunks {
		n.chunks[i] = n.chunks[i][:0]
	}
	n.hashes, n.places, n.spans, n.bytes = n.hashes[:0], n.places[:0], n.spans[:0], 0
}
