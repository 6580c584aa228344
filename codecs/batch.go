package codecs

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// TopicID is the identity that Kafka gives to one incarnation of a topic: deleted and made anew, a topic has another one.
type TopicID [16]byte

// Batch is what a rekey stage writes: the occurrences of one key, gathered from a stretch of the raw topic. A batch
// with a row is a touch: the key's owner takes what is newer in that row, and writes its own anew.
type Batch struct {
	Topic   TopicID  // the raw topic's; all occurrences come from one incarnation
	Labels  []string // what the runs' labels refer to
	Sources []Source // one for each raw partition
	Span    Span     // the occurrences' Kafka time stamps
	Row     []byte   // of the key's table, as it is written there; nil: none
}

// Source is the part of a batch that comes from one raw partition.
type Source struct {
	Partition int32
	Runs      []Run // rising, without overlap
}

// NoLabel is the label of an occurrence that has none.
const NoLabel = -1

// Run is a stretch of adjacent raw offsets, each of them one occurrence.
type Run struct {
	Offset int64 // the first
	Length int64 // at least 1
	Label  int   // index into Batch.Labels, or NoLabel; of all runs of a batch or of none
}

// Span is a range of Kafka time stamps in milliseconds, both ends included.
type Span struct {
	First, Last int64
	Known       bool // false: there is no time stamp
}

// Add widens the span to hold a time stamp. Kafka writes a negative one where a record has none.
func (s *Span) Add(ms int64) {
	if ms >= 0 {
		s.Join(Span{First: ms, Last: ms, Known: true})
	}
}

// Join widens the span to hold another.
func (s *Span) Join(o Span) {
	switch {
	case !o.Known:
	case !s.Known:
		*s = o
	default:
		s.First, s.Last = min(s.First, o.First), max(s.Last, o.Last)
	}
}

// BatchCodec is goka's codec for [Batch]: encodes and decodes *Batch.
type BatchCodec struct{}

// Encode implements goka.Codec.
func (BatchCodec) Encode(v any) ([]byte, error) {
	b, ok := v.(*Batch)
	if !ok {
		return nil, fmt.Errorf("encode batch: got a %T", v)
	}
	return AppendBatch(nil, b), nil
}

// Decode implements goka.Codec.
func (BatchCodec) Decode(b []byte) (any, error) { return DecodeBatch(b) }

// AppendBatch appends the record's bytes to dst.
func AppendBatch(dst []byte, b *Batch) []byte {
	dst = appendFormat(dst)
	if len(b.Sources) > 0 {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, 2, protowire.BytesType), b.Topic[:])
	}
	for _, l := range b.Labels {
		dst = appendElement(dst, 3, l)
	}
	for i := range b.Sources {
		next, at := openMessage(dst, 4)
		dst = closeMessage(b.Sources[i].append(next), at)
	}
	dst = appendSpan(dst, b.Span)
	if b.Row != nil {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, 7, protowire.BytesType), b.Row)
	}
	return dst
}

func (s *Source) append(dst []byte) []byte {
	dst = appendUint(dst, 1, uint64(s.Partition))
	dst, at := openMessage(dst, 2)
	end, long, labelled := int64(0), false, false
	for _, r := range s.Runs {
		dst = protowire.AppendVarint(dst, uint64(r.Offset-end))
		end = r.Offset + r.Length
		long = long || r.Length != 1
		labelled = labelled || r.Label != NoLabel
	}
	dst = closeMessage(dst, at)
	if long {
		dst, at = openMessage(dst, 3)
		for _, r := range s.Runs {
			dst = protowire.AppendVarint(dst, uint64(r.Length))
		}
		dst = closeMessage(dst, at)
	}
	if labelled {
		dst, at = openMessage(dst, 4)
		for _, r := range s.Runs {
			dst = protowire.AppendVarint(dst, uint64(r.Label))
		}
		dst = closeMessage(dst, at)
	}
	return dst
}

func appendSpan(dst []byte, s Span) []byte {
	if !s.Known {
		return dst
	}
	return appendOptionalSint(appendOptionalSint(dst, 5, s.First), 6, s.Last)
}

// read takes the fields 5 and 6 of a record that has a span.
func (s *Span) read(f field) {
	if f.num == 5 {
		s.First = f.sint()
	} else {
		s.Last = f.sint()
	}
	s.Known = true
}

// DecodeBatch reads what [AppendBatch] wrote.
func DecodeBatch(data []byte) (*Batch, error) {
	b := new(Batch)
	err := readFields(data, func(f field) error {
		switch f.num {
		case 1:
			return f.checkFormat()
		case 2:
			return readTopicID(&b.Topic, f.bytes)
		case 3:
			if b.Labels == nil {
				b.Labels = make([]string, 0, fewLabels)
			}
			b.Labels = append(b.Labels, string(f.bytes))
		case 4:
			if b.Sources == nil {
				b.Sources = make([]Source, 0, fewSources)
			}
			b.Sources = append(b.Sources, Source{})
			return b.Sources[len(b.Sources)-1].read(f.bytes)
		case 5, 6:
			b.Span.read(f)
		case 7:
			b.Row = append([]byte{}, f.bytes...)
		}
		return nil
	})
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return nil, fmt.Errorf("decode batch: %w", err)
	}
	return b, nil
}

func readTopicID(id *TopicID, b []byte) error {
	if copy(id[:], b) != len(id) || len(b) != len(id) {
		return fmt.Errorf("topic id has %d bytes", len(b))
	}
	return nil
}

func (s *Source) read(data []byte) error {
	lengths, labels := 0, 0
	err := readFields(data, func(f field) error {
		switch f.num {
		case 1:
			s.Partition = int32(f.uint)
		case 2:
			if lengths+labels > 0 { // what belongs to these runs has been read and is lost
				return errors.New("a source's lengths or labels come before its gaps")
			}
			if n := packed(f); s.Runs == nil && n > 0 {
				s.Runs = make([]Run, 0, n)
			}
			return readPacked(f, func(v uint64) {
				s.Runs = append(s.Runs, Run{Offset: int64(v), Length: 1, Label: NoLabel})
			})
		case 3:
			return readPacked(f, func(v uint64) {
				if lengths < len(s.Runs) {
					s.Runs[lengths].Length = int64(v)
				}
				lengths++
			})
		case 4:
			return readPacked(f, func(v uint64) {
				if labels < len(s.Runs) {
					s.Runs[labels].Label = int(uint32(v))
				}
				labels++
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if lengths != 0 && lengths != len(s.Runs) || labels != 0 && labels != len(s.Runs) {
		return fmt.Errorf("a source has %d runs, %d lengths and %d labels", len(s.Runs), lengths, labels)
	}
	end := int64(0)
	for i := range s.Runs { // gaps become offsets
		s.Runs[i].Offset += end
		end = s.Runs[i].Offset + s.Runs[i].Length
	}
	return nil
}

// check refuses what no encoder writes and what would make counting go wrong.
func (b *Batch) check() error {
	for _, s := range b.Sources {
		if s.Partition < 0 {
			return fmt.Errorf("partition %d", s.Partition)
		}
		end := int64(0)
		for _, r := range s.Runs {
			if r.Offset < end || r.Length < 1 || r.Offset+r.Length < r.Offset {
				return fmt.Errorf("partition %d: run of %d at offset %d is out of order", s.Partition, r.Length, r.Offset)
			}
			if r.Label < NoLabel || r.Label >= len(b.Labels) {
				return fmt.Errorf("partition %d: label %d of %d", s.Partition, r.Label, len(b.Labels))
			}
			end = r.Offset + r.Length
		}
	}
	return nil
}
