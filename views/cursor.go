package views

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"unicode/utf8"
)

// errCursor means that a cursor is not one, or belongs to another question.
var errCursor = errors.New("cursor does not belong to this sort, q and include")

const cursorFormat = 1

// cursorTag ties a cursor to its question.
func cursorTag(by Sort, all bool, q string) uint64 {
	h := fnv.New64a()
	include := byte(0)
	if all {
		include = 1
	}
	h.Write([]byte{cursorFormat, include})
	h.Write([]byte(by))
	h.Write([]byte{0})
	h.Write(appendFolded(nil, q))
	return h.Sum64()
}

// encodeCursor writes the place of a row: the order's key and the user_id.
func encodeCursor(by Sort, tag uint64, s *state) string {
	b := binary.BigEndian.AppendUint64([]byte{cursorFormat}, tag)
	switch by {
	case ByEventCount, ByEventCountDesc:
		b = binary.AppendUvarint(b, s.count)
	case ByLastEventDesc:
		b = binary.AppendVarint(b, s.last)
	case ByName:
		known := byte(0)
		if s.known {
			known = 1
		}
		b = binary.AppendUvarint(append(b, known), uint64(len(s.name)))
		b = append(b, s.name...)
	}
	return base64.RawURLEncoding.EncodeToString(append(b, s.id...))
}

// decodeCursor returns a state that has the place's key, and nothing else.
func decodeCursor(by Sort, tag uint64, cursor string) (*state, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < 9 || b[0] != cursorFormat || binary.BigEndian.Uint64(b[1:]) != tag {
		return nil, errCursor
	}
	s, name, n := new(state), "", 0
	b = b[9:]
	switch by {
	case ByEventCount, ByEventCountDesc:
		s.count, n = binary.Uvarint(b)
	case ByLastEventDesc:
		s.last, n = binary.Varint(b)
	case ByName:
		if len(b) == 0 || b[0] > 1 {
			return nil, errCursor
		}
		s.known = b[0] == 1
		var size uint64
		size, n = binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return nil, errCursor
		}
		name = string(b[1+n:][:size])
		n += 1 + int(size)
	}
	if n < 0 || n == 0 && by != ByUserID {
		return nil, errCursor
	}
	id := string(b[n:])
	if len(id) > maxID || !utf8.ValidString(id) || !utf8.ValidString(name) {
		return nil, errCursor
	}
	s.id, s.name = id, name
	return s, nil
}
