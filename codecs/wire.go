package codecs

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// format is the newest record format that this program writes and reads.
const format = 1

func appendFormat(dst []byte) []byte { return appendUint(dst, 1, format) }

func appendUint(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst // proto3: the default is not written
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

func appendSint(dst []byte, num protowire.Number, v int64) []byte {
	return appendUint(dst, num, protowire.EncodeZigZag(v))
}

// appendOptionalSint writes a field with presence: zero is a value, too.
func appendOptionalSint(dst []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), protowire.EncodeZigZag(v))
}

func appendString(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return appendElement(dst, num, s)
}

// appendElement writes one element of a repeated string: the empty one is an element, too.
func appendElement(dst []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, num, protowire.BytesType), s)
}

// appendMessage writes a length-delimited field whose content body appends. The content is written first and moved by the
// size of its length, which is one byte for nearly all of ours: no second pass and no buffer.
func appendMessage(dst []byte, num protowire.Number, body func([]byte) []byte) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	at := len(dst)
	dst = body(append(dst, 0))
	n := len(dst) - at - 1
	if extra := protowire.SizeVarint(uint64(n)) - 1; extra > 0 {
		for range extra {
			dst = append(dst, 0)
		}
		copy(dst[at+1+extra:], dst[at+1:at+1+n])
	}
	protowire.AppendVarint(dst[:at], uint64(n))
	return dst
}

// field is one decoded field: its number, and its value as a varint or as bytes.
type field struct {
	num   protowire.Number
	uint  uint64
	bytes []byte
}

func (f field) sint() int64 { return protowire.DecodeZigZag(f.uint) }

func (f field) checkFormat() error {
	if f.uint > format {
		return fmt.Errorf("record format %d is newer than this program reads (%d): upgrade potok", f.uint, format)
	}
	return nil
}

// readFields calls each for every varint and length-delimited field and skips the other kinds, which no format 1 record has.
func readFields(b []byte, each func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		f := field{num: num}
		switch typ {
		case protowire.VarintType:
			f.uint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
			if n >= 0 {
				b = b[n:]
				continue
			}
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

// readPacked calls each for every element of a repeated number, which Protocol Buffers allow to be packed or not.
func readPacked(f field, each func(uint64)) error {
	if f.bytes == nil {
		each(f.uint)
		return nil
	}
	for b := f.bytes; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		each(v)
		b = b[n:]
	}
	return nil
}
