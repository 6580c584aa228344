package store

import (
	"bytes"
	"encoding/binary"
)

// generation is rows one after the other in large pieces of memory. There is not a pointer for each row, so that the garbage
// collector has nothing to look at, and a row keeps nothing else alive, such as the message that it came in. The zero value is
// empty.
type generation struct {
	places map[uint32]uint32 // by a key's hash: see entry
	chunks [][]byte          // their lengths say how much of them is in use
	bytes  int64             // of all that
}

const (
	chunkBytes  = 16 << 10 // unless a row needs more
	placeBytes  = 16       // of the map, for a row
	entryHeader = 8        // length of the key; length of the row plus one, 0: the row is known not to be there
	entryAlign  = 8        // so that a place has room for a chunk's number, and a row to grow by some bytes
)

// entry returns what stands at a place, a chunk's number and where in it.
func (g *generation) entry(place uint32) []byte {
	return g.chunks[place/(chunkBytes/entryAlign)][place%(chunkBytes/entryAlign)*entryAlign:]
}

// has reports whether there is a row of a key with this hash.
func (g *generation) has(hash uint32) bool {
	_, ok := g.places[hash]
	return ok
}

// find returns the entry of a key, up to the end of its chunk, nil if there is none. Of two keys with the same hash the later
// is kept.
func (g *generation) find(hash uint32, key string) []byte {
	place, ok := g.places[hash]
	if !ok {
		return nil
	}
	e := g.entry(place)
	if n := int(binary.LittleEndian.Uint32(e)); string(e[entryHeader:entryHeader+n]) != key {
		return nil
	}
	return e
}

// get returns a copy of a row, nil for one that is known not to be there.
func (g *generation) get(hash uint32, key string) (row []byte, ok bool) {
	e := g.find(hash, key)
	if e == nil {
		return nil, false
	}
	if n := int(binary.LittleEndian.Uint32(e[4:])); n > 0 {
		begin := entryHeader + len(key)
		row = bytes.Clone(e[begin : begin+n-1])
	}
	return row, true
}

// put keeps a copy of a row, nil for one that is known not to be there, and returns by how many bytes it grew.
func (g *generation) put(hash uint32, key string, row []byte) (grown int64) {
	size := entryBytes(len(key), len(row))
	e := g.find(hash, key)
	if e == nil || entryBytes(len(key), max(0, int(binary.LittleEndian.Uint32(e[4:]))-1)) < size {
		e, grown = g.add(hash, size)
	}
	binary.LittleEndian.PutUint32(e, uint32(len(key)))
	n := 0
	if row != nil {
		n = len(row) + 1
	}
	binary.LittleEndian.PutUint32(e[4:], uint32(n))
	copy(e[entryHeader+copy(e[entryHeader:], key):], row)
	return grown
}

// entryBytes is how much an entry takes.
func entryBytes(key, row int) int {
	return (entryHeader + key + row + entryAlign - 1) / entryAlign * entryAlign
}

// add makes room for an entry of so many bytes.
func (g *generation) add(hash uint32, size int) (e []byte, grown int64) {
	last := len(g.chunks) - 1
	if last < 0 || cap(g.chunks[last])-len(g.chunks[last]) < size {
		g.chunks = append(g.chunks, make([]byte, 0, max(chunkBytes, size)))
		last++
		grown = int64(cap(g.chunks[last]))
	}
	if g.places == nil {
		g.places = map[uint32]uint32{}
	}
	chunk := g.chunks[last]
	at, rows := len(chunk), len(g.places)
	g.chunks[last] = chunk[:at+size]
	g.places[hash] = uint32(last*(chunkBytes/entryAlign) + at/entryAlign)
	grown += int64(len(g.places)-rows) * placeBytes
	g.bytes += grown
	return g.chunks[last][at : at+size], grown
}
