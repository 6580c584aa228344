package intern

import (
	"bytes"
	"hash/maphash"
	"math"
)

// Table numbers names in the order in which they come. It is a hash table without pointers. The zero value is empty.
type Table struct {
	seed   maphash.Seed
	slots  []slot   // open addressing, at most half full
	places []uint32 // of each name, in texts
	texts  Texts
	bytes  int
}

// slot has a name's number plus one, 0 if it is free, below the hash, so that seldom a name is compared that is not the one.
type slot uint64

func newSlot(hash uint32, number int32) slot { return slot(hash)<<32 | slot(number+1) }

func (s slot) hash() uint32  { return uint32(s >> 32) }
func (s slot) number() int32 { return int32(uint32(s) - 1) }

const minSlots = 1 << 10

// Len is how many names there are.
func (t *Table) Len() int { return len(t.places) }

// Bytes is how long all names are together.
func (t *Table) Bytes() int { return t.bytes }

// Text returns a name's bytes, which must not be changed, and stay as they are until the next [Table.Reset].
func (t *Table) Text(i int32) []byte { return t.texts.At(t.place(i)) }

// String returns a name. It is no copy, and good for ever unless the table is reset.
func (t *Table) String(i int32) string { return t.texts.String(t.place(i)) }

// place returns where a name is, and its length: it ends where the next one begins, or its piece of memory does.
func (t *Table) place(i int32) (place uint64, n int) {
	at := t.places[i]
	chunk := at / chunkBytes
	end := len(t.texts.chunks[chunk])
	if next := int(i) + 1; next < len(t.places) && t.places[next]/chunkBytes == chunk {
		end = int(t.places[next] % chunkBytes)
	}
	return uint64(at), end - int(at%chunkBytes)
}

// Find returns the name's number, if it has one.
func (t *Table) Find(name []byte) (i int32, ok bool) {
	if t.slots == nil {
		return 0, false
	}
	s := t.slots[t.slotOf(uint32(maphash.Bytes(t.seed, name)), name)]
	return s.number(), s != 0
}

// Number returns the name's number, a new one if it has none.
func (t *Table) Number(name []byte) (i int32, fresh bool) {
	t.begin()
	return t.number(uint32(maphash.Bytes(t.seed, name)), name)
}

// Together is how many names [Table.Numbers] takes at most.
const Together = 16

// Numbers is Number for several names. Most of what one costs in a large table is waiting for memory, three times over: for its
// slot, its place, and its bytes. The waits of different names are at the same time if little is done in between, so that
// everything is read here once, for the processor's cache alone, before the names are looked for one by one.
func (t *Table) Numbers(names [][]byte, numbers *[Together]int32) {
	t.begin()
	var hashes [Together]uint32
	mask := uint32(len(t.slots) - 1)
	for i, name := range names {
		hashes[i] = uint32(maphash.Bytes(t.seed, name))
		numbers[i] = t.slots[hashes[i]&mask].number() // kept, or the compiler would leave out what reads it
	}
	for i, hash := range hashes[:len(names)] {
		at := hash & mask
		for t.slots[at] != 0 && t.slots[at].hash() != hash {
			at = (at + 1) & mask
		}
		if s := t.slots[at]; s != 0 {
			if text := t.Text(s.number()); len(text) > 0 {
				numbers[i] = int32(text[0])
			}
		}
	}
	for i, name := range names {
		numbers[i], _ = t.number(hashes[i], name)
	}
}

// begin gives the zero value its slots.
func (t *Table) begin() {
	if t.slots == nil {
		t.seed, t.slots = maphash.MakeSeed(), make([]slot, minSlots)
	}
}

func (t *Table) number(hash uint32, name []byte) (i int32, fresh bool) {
	at := t.slotOf(hash, name)
	if s := t.slots[at]; s != 0 {
		return s.number(), false
	}
	i = int32(len(t.places))
	t.slots[at] = newSlot(hash, i)
	place, room := t.texts.Room(len(name))
	if place > math.MaxUint32 {
		panic("intern: the names of a table are more than 4 GiB")
	}
	copy(room, name)
	t.places = append(t.places, uint32(place))
	t.bytes += len(name)
	if 2*len(t.places) > len(t.slots) {
		t.grow()
	}
	return i, true
}

// slotOf returns where the slot of a name with this hash is, or would be.
func (t *Table) slotOf(hash uint32, name []byte) (at uint32) {
	mask := uint32(len(t.slots) - 1)
	for at = hash & mask; t.slots[at] != 0; at = (at + 1) & mask {
		if s := t.slots[at]; s.hash() == hash && bytes.Equal(t.Text(s.number()), name) {
			break
		}
	}
	return at
}

// grow doubles the slots.
func (t *Table) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	mask := uint32(len(t.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		at := s.hash() & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = s
	}
}

// keptNames is how many names a table keeps room for: next to as many more, making room anew is nothing.
const keptNames = 1 << 16

// Reset forgets all names. It gives up the table's memory, and reports that, if it is a large one.
func (t *Table) Reset() (freed bool) {
	if len(t.places) > keptNames {
		*t = Table{}
		return true
	}
	clear(t.slots)
	t.texts.Reset()
	t.places, t.bytes = t.places[:0], 0
	return false
}
