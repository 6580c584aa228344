package codecs

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// rule is one required field of a raw record. Its limit is in bytes after unescaping; 0 is none.
type rule struct {
	name  string
	limit int
}

// shape lists what a raw record must have, in the order of its schema's "required", which is the order of complaints.
type shape [4]rule

// longestName is the length of the longest name in any shape; a test holds it against them.
const longestName = len("event_timestamp")

// index returns which of the shape's fields a key (as it stands between the quotes) names, or -1.
func (w *shape) index(key []byte, shrink int) int {
	var buf [longestName]byte
	if shrink > 0 {
		if len(key)-shrink > len(buf) {
			return -1
		}
		key = unescape(buf[:0], key)
	}
	for k := range w {
		if string(key) == w[k].name {
			return k
		}
	}
	return -1
}

// kind says what was found under a name.
type kind uint8

const (
	absent kind = iota
	otherType
	isString
)

// finding is where a wanted field's string stands in the value, without its quotes.
type finding struct {
	start, end int
	shrink     int // how many bytes shorter it is after unescaping; 0 if and only if it has no escape
	kind       kind
}

func (f *finding) size() int { return f.end - f.start - f.shrink }

// scanner reads one JSON text from front to back. It is strict where encoding/json is not: that package replaces invalid
// UTF-8 and lone surrogates, and matches names in any letter case. It neither recurses nor allocates, so hostile nesting
// costs nothing.
type scanner struct {
	found   [len(shape{})]finding
	object  bool // the top of the value is an object
	closers [MaxDepth + 1]byte

	// Why and where the scan stopped; set only if it did.
	reason Reason
	what   string
	at     int
}

// fail notes a fault and returns the position that means "stopped", so that callers can pass both on at once.
func (s *scanner) fail(what string, at int) int {
	s.reason, s.what, s.at = NotJSON, what, at
	return -1
}

// scan goes through the whole of b and leaves in s.found what it has of the wanted fields, the last one of each name. It
// reports whether b is one well-formed JSON text within MaxDepth.
func (s *scanner) scan(b []byte, want *shape) bool {
	s.found = [len(s.found)]finding{}
	i := skipSpace(b, 0)
	s.object = i < len(b) && b[i] == '{'
	depth := 0
	wanted := -1 // index of the wanted field whose value comes next
	for {
		// A value starts at i.
		if i >= len(b) {
			s.fail("text ends where a value should start", i)
			return false
		}
		start, shrink, got := i, 0, otherType
		switch c := b[i]; c {
		case '"':
			if i, shrink = s.text(b, i+1); i < 0 {
				return false
			}
			got = isString
			i++
		case '{', '[':
			if depth++; depth > MaxDepth {
				s.reason, s.what, s.at = TooDeep, "nesting is deeper than 1000", i
				return false
			}
			s.closers[depth] = c + 2 // in ASCII a closing bracket comes two after its opening one
			i = skipSpace(b, i+1)
			// An empty one is closed below, like any other.
			if i >= len(b) || b[i] != c+2 {
				if wanted >= 0 {
					s.found[wanted] = finding{kind: otherType}
					wanted = -1
				}
				if c == '{' {
					if i, wanted = s.key(b, i, depth, want); i < 0 {
						return false
					}
				}
				continue
			}
			i++
			depth--
		case 't':
			i = s.literal(b, i, "true")
		case 'f':
			i = s.literal(b, i, "false")
		case 'n':
			i = s.literal(b, i, "null")
		default:
			i = s.number(b, i)
		}
		if i < 0 {
			return false
		}
		if wanted >= 0 {
			s.found[wanted] = finding{start + 1, i - 1, shrink, got} // the positions matter for strings only
			wanted = -1
		}
		// A value has ended before i; close what ends with it.
		for {
			i = skipSpace(b, i)
			if depth == 0 {
				if i < len(b) {
					s.fail("text goes on after the value", i)
				}
				return i == len(b)
			}
			if i >= len(b) {
				s.fail("text ends inside an object or array", i)
				return false
			}
			if b[i] == ',' {
				break
			}
			if b[i] != s.closers[depth] {
				s.fail("no comma or closing bracket after a value", i)
				return false
			}
			i++
			depth--
		}
		i = skipSpace(b, i+1)
		if s.closers[depth] == '}' {
			if i, wanted = s.key(b, i, depth, want); i < 0 {
				return false
			}
		}
	}
}

// key reads a member's name and colon, and returns where its value starts and which wanted field that is, if any.
func (s *scanner) key(b []byte, i, depth int, want *shape) (next, wanted int) {
	if i >= len(b) || b[i] != '"' {
		return s.fail("no field name in quotes", i), -1
	}
	end, shrink := s.text(b, i+1)
	if end < 0 {
		return -1, -1
	}
	wanted = -1
	if depth == 1 {
		wanted = want.index(b[i+1:end], shrink)
	}
	next = skipSpace(b, end+1)
	if next >= len(b) || b[next] != ':' {
		return s.fail("no colon after a field name", next), -1
	}
	return skipSpace(b, next+1), wanted
}

// Eight bytes of 1, and the highest bits of eight bytes.
const (
	eachByte = 0x0101010101010101
	eachHigh = 0x8080808080808080
)

// text reads a string whose content starts at i, and returns the position of its closing quote and by how many bytes
// unescaping would shorten it.
func (s *scanner) text(b []byte, i int) (end, shrink int) {
	for {
		// Eight bytes at a time, as long as none of them is a quote, a backslash, a control character or beyond ASCII.
		// A borrow may mark a byte wrongly, but only above one that is marked rightly, and the lowest is what counts.
		for len(b)-i >= 8 {
			x := binary.LittleEndian.Uint64(b[i:])
			m := (x | (x - eachByte*' ') | ((x ^ eachByte*'"') - eachByte) | ((x ^ eachByte*'\\') - eachByte)) & eachHigh
			if m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return s.fail("text ends inside a string", i), 0
		}
		switch c := b[i]; {
		case c == '"':
			return i, shrink
		case c == '\\':
			r, next := readEscape(b, i)
			if next < 0 {
				if utf16.IsSurrogate(r) {
					return s.fail("lone surrogate escape in a string", i), 0
				}
				return s.fail("bad escape in a string", i), 0
			}
			shrink += next - i - utf8.RuneLen(r)
			i = next
		case c < ' ':
			return s.fail("raw control character in a string", i), 0
		case c < utf8.RuneSelf:
			i++
		default:
			for i < len(b) && b[i] >= utf8.RuneSelf {
				r, size := utf8.DecodeRune(b[i:])
				if r == utf8.RuneError && size == 1 {
					return s.fail("invalid UTF-8 in a string", i), 0
				}
				i += size
			}
		}
	}
}

// literal reads one of the three words at i.
func (s *scanner) literal(b []byte, i int, word string) (next int) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return s.fail("no JSON value", i)
	}
	return i + len(word)
}

// number reads a number at i, or finds that none starts there.
func (s *scanner) number(b []byte, i int) (next int) {
	start := i
	if b[i] == '-' {
		i++
	}
	first := i
	if i = skipDigits(b, i); i == first {
		if first == start {
			return s.fail("no JSON value", start)
		}
		return s.fail("bad number", start)
	}
	if b[first] == '0' && i > first+1 {
		return s.fail("number with a leading zero", start)
	}
	if i < len(b) && b[i] == '.' {
		point := i
		if i = skipDigits(b, i+1); i == point+1 {
			return s.fail("bad number", start)
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first = i
		if i = skipDigits(b, i); i == first {
			return s.fail("bad number", start)
		}
	}
	return i
}

// skipDigits returns the position after the decimal digits at i.
func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// skipSpace returns the position after the white space at i: JSON's four characters and no others.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// readEscape reads the escape sequence whose backslash is at i, both halves of a surrogate pair as one. If it is not
// well-formed, next is -1 and r is the lone surrogate, or 0 for any other fault.
func readEscape(b []byte, i int) (r rune, next int) {
	if i+1 >= len(b) {
		return 0, -1
	}
	switch c := b[i+1]; c {
	case '"', '\\', '/':
		return rune(c), i + 2
	case 'b':
		return '\b', i + 2
	case 'f':
		return '\f', i + 2
	case 'n':
		return '\n', i + 2
	case 'r':
		return '\r', i + 2
	case 't':
		return '\t', i + 2
	case 'u':
	default:
		return 0, -1
	}
	r, ok := readHex(b, i+2)
	if !ok {
		return 0, -1
	}
	if !utf16.IsSurrogate(r) {
		return r, i + 6
	}
	if len(b) > i+7 && b[i+6] == '\\' && b[i+7] == 'u' {
		if low, ok := readHex(b, i+8); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, i + 12
			}
		}
	}
	return r, -1
}

// hexDigits has for each hexadecimal digit its value plus 16, and 0 for every other byte.
var hexDigits = [256]byte{
	'0': 16, '1': 17, '2': 18, '3': 19, '4': 20, '5': 21, '6': 22, '7': 23, '8': 24, '9': 25,
	'a': 26, 'b': 27, 'c': 28, 'd': 29, 'e': 30, 'f': 31,
	'A': 26, 'B': 27, 'C': 28, 'D': 29, 'E': 30, 'F': 31,
}

// readHex reads the four hexadecimal digits at i.
func readHex(b []byte, i int) (r rune, ok bool) {
	if len(b)-i < 4 {
		return 0, false
	}
	h0, h1, h2, h3 := hexDigits[b[i]], hexDigits[b[i+1]], hexDigits[b[i+2]], hexDigits[b[i+3]]
	r = rune(h0&15)<<12 | rune(h1&15)<<8 | rune(h2&15)<<4 | rune(h3&15)
	return r, h0&h1&h2&h3&16 != 0
}

// unescape appends the meaning of src, the content of a string that the scanner has accepted, to dst.
func unescape(dst, src []byte) []byte {
	for {
		i := bytes.IndexByte(src, '\\')
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		r, next := readEscape(src, i)
		dst = utf8.AppendRune(dst, r)
		src = src[next:]
	}
}
