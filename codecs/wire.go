package codecs

import (
	"errors"
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

// openMessage begins a length-delimited field, whose content is appended next, and closeMessage ends it: it moves the content
// by the size of its length, which is one byte for nearly all of ours. There is no second pass and no buffer, nor a function
// to call, for which dst would have to be on the heap.
func openMessage(dst []byte, num protowire.Number) (next []byte, at int) {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return append(dst, 0), len(dst)
}

func closeMessage(dst []byte, at int) []byte {
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

// rowBuffer is how large a row may be to be encoded without a buffer on the heap. Rows are kept, in stores and on their way
// to the changelog, so that they are to have no room to grow.
const rowBuffer = 1 << 10

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
		tag, n := consumeVarint(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		num, typ := protowire.DecodeTag(tag)
		if num < protowire.MinValidNumber {
			return errFieldNumber
		}
		b = b[n:]
		f := field{num: num}
		switch typ {
		case protowire.VarintType:
			f.uint, n = consumeVarint(b)
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

var errFieldNumber = errors.New("invalid field number")

// consumeVarint is protowire's, inlined for the numbers of one byte, which nearly all are.
func consumeVarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// readPacked calls each for every element of a repeated number, which Protocol Buffers allow to be packed or not.
func readPacked(f field, each func(uint64)) error {
	if f.bytes == nil {
		each(f.uint)
		return nil
	}
	for b := f.bytes; len(b) > 0; {
		v, n := consumeVarint(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		each(v)
		b = b[n:]
	}
	return nil
}

// packed returns how many elements readPacked finds.
func packed(f field) (n int) {
	if f.bytes == nil {
		return 1
	}
	for _, c := range f.bytes {
		if c < 0x80 { // the last byte of a number
			n++
		}
	}
	return n
}

// detail says what of a row is decoded, besides what costs nothing: counts, time spans and versions.
type detail uint8

const (
	ofUser detail = 1 << iota // name and email
	labels
	marks

	everything = ofUser | labels | marks
	coverage   = marks           // what tells whether it covers another
	summary    = ofUser | labels // what answers have of it
)

// texts makes strings of parts of a record, all of them with one allocation. Each of them keeps all of the record in memory.
type texts struct {
	record []byte
	all    string
}

// of returns a part of the record, a slice of it with what comes behind it in its capacity, as a string.
func (t *texts) of(part []byte) string {
	switch {
	case len(part) == 0:
		return ""
	case t.all == "":
		t.all = string(t.record)
	}
	at := cap(t.record) - cap(part)
	return t.all[at : at+len(part)]
}
