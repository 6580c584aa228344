package views

import (
	"bytes"
	"sync"
	"unicode"
	"unicode/utf8"
)

// foldTable has the case-folded form of the letters that nearly all names consist of: Latin, Greek, Cyrillic, Armenian.
var foldTable = sync.OnceValue(func() *[0x590]uint16 {
	var t [0x590]uint16
	for r := range t {
		t[r] = uint16(smallestFold(rune(r)))
	}
	return &t
})

// smallestFold is the same for all letters that Unicode's simple case folding holds to be equal.
func smallestFold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

func appendFolded(dst []byte, s string) []byte {
	table := foldTable()
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if 'a' <= r && r <= 'z' {
				r -= 'a' - 'A'
			}
			dst = append(dst, byte(r))
			continue
		case int(r) < len(table) && rune(table[r]) < 0x590:
			r = rune(table[r])
		default:
			r = smallestFold(r)
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// finder looks for a text in a row's id, name and email without regard to case. It is good for one goroutine.
type finder struct {
	folded []byte
	buf    []byte
}

func newFinder(q string) *finder {
	if q == "" {
		return nil
	}
	return &finder{folded: appendFolded(nil, q)}
}

func (f *finder) matches(s *state) bool {
	return f.in(s.id) || s.known && (f.in(s.name) || f.in(s.email))
}

func (f *finder) in(s string) bool {
	f.buf = appendFolded(f.buf[:0], s)
	return bytes.Contains(f.buf, f.folded)
}
