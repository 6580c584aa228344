package store

import "hash/maphash"

// seen is a Bloom filter of all keys that a store has had since it was empty. A table that is restored, or that grows,
// asks for each row before it is there, and LevelDB, which has to look in every level, takes longer for such a question
// than for any other. The store's mutex guards it.
type seen struct {
	seed maphash.Seed
	bits []uint64
	room int64 // how many keys more before it says yes too often
}

const (
	seenBits    = 10 // of a key: one answer in a hundred is wrong
	seenProbes  = 6
	minSeenKeys = 1 << 16
	maxSeenKeys = 1 << 23 // 10 MiB
)

// newSeen returns a filter with room for so many keys, within limits.
func newSeen(keys int64) *seen {
	keys = min(max(keys, minSeenKeys), maxSeenKeys)
	return &seen{maphash.MakeSeed(), make([]uint64, keys*seenBits/64), keys}
}

// has reports whether the key may have been added: no is certain.
func (s *seen) has(key string) bool {
	for _, bit := range s.probes(key) {
		if s.bits[bit/64]&(1<<(bit%64)) == 0 {
			return false
		}
	}
	return true
}

// add adds a key, and reports whether the filter is still of use.
func (s *seen) add(key string) bool {
	fresh := false
	for _, bit := range s.probes(key) {
		word := &s.bits[bit/64]
		fresh = fresh || *word&(1<<(bit%64)) == 0
		*word |= 1 << (bit % 64)
	}
	if fresh {
		s.room--
	}
	return s.room > 0
}

// probes returns the key's bits.
func (s *seen) probes(key string) (bits [seenProbes]uint64) {
	h := maphash.String(s.seed, key)
	step := h>>32 | 1
	for i := range bits {
		bits[i] = h % uint64(len(s.bits)*64)
		h += step
	}
	return bits
}
