package processors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/potok-streams/potok/internal/intern"
)

const numberBits = 20 // of a name's number

// A batch has no more names than have a number, of which one more stands for none.
const (
	_ = uint(1<<numberBits - 1 - maxKeys)
	_ = uint(1<<numberBits - 1 - maxLabels)
	_ = uint(1<<numberBits - 1 - maxUsers)
)

// sorted returns the numbers of all names in the names' order, in the memory of dst, each below the beginning of its name, which
// mostly says how two of them compare.
func sorted(names *intern.Table, dst []uint64) []uint64 {
	if cap(dst) < names.Len() {
		dst = make([]uint64, 0, names.Len())
	}
	dst = dst[:0]
	for i := range int32(names.Len()) {
		var beginning [8]byte
		copy(beginning[:], names.Text(i))
		dst = append(dst, binary.BigEndian.Uint64(beginning[:])>>numberBits<<numberBits|uint64(i))
	}
	slices.SortFunc(dst, func(a, b uint64) int {
		if c := cmp.Compare(a>>numberBits, b>>numberBits); c != 0 {
			return c
		}
		return bytes.Compare(names.Text(numberOf(a)), names.Text(numberOf(b)))
	})
	return dst
}

// numberOf returns the number of a name that sorted has returned.
func numberOf(sorted uint64) int32 { return int32(sorted & (1<<numberBits - 1)) }
