// Package intern keeps byte strings by place or by number, without a pointer for each: the garbage collector follows every pointer
// again and again, and a table has millions of keys. It imports nothing of ours.
package intern

import "unsafe"

// Texts keeps byte strings one after the other in large pieces of memory. The zero value is empty.
type Texts struct {
	chunks [][]byte // their lengths say how much of them is in use
}

// chunkBytes is the size of a piece, unless a text needs more. A place is the number of a piece, and where in it.
const chunkBytes = 1 << 16

// Room makes room for n bytes, to be written at once and never again, and returns their place.
func (t *Texts) Room(n int) (place uint64, room []byte) {
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last]) >= chunkBytes || cap(t.chunks[last])-len(t.chunks[last]) < n {
		t.chunks = append(t.chunks, make([]byte, 0, max(chunkBytes, n)))
		last++
	}
	at := len(t.chunks[last])
	t.chunks[last] = t.chunks[last][:at+n]
	return uint64(last)*chunkBytes + uint64(at), t.chunks[last][at:]
}

// At returns the n bytes at a place, which must not be changed.
func (t *Texts) At(place uint64, n int) []byte {
	at := place % chunkBytes
	return t.chunks[place/chunkBytes][at:][:n]
}

// String returns the n bytes at a place as a string. It is no copy, and good for ever, because what is at a place stays: but for
// [Texts.Reset], which is for texts of which nobody has a string.
func (t *Texts) String(place uint64, n int) string {
	if n == 0 {
		return ""
	}
	return unsafe.String(&t.chunks[place/chunkBytes][place%chunkBytes], n)
}

// Reset forgets all texts, and keeps one piece of memory for the next ones.
func (t *Texts) Reset() {
	if len(t.chunks) == 0 {
		return
	}
	clear(t.chunks[1:])
	t.chunks = append(t.chunks[:0], t.chunks[0][:0])
}
