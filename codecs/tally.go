package codecs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxLabels is how many different labels a row lists. The first ones seen are listed, each from its first occurrence on,
// so that every listed count is exact, and so is the row's total.
const MaxLabels = 1000

// Tally is a row of every table that counts: how many occurrences a key had, and up to where they have been counted.
type Tally struct {
	Count     uint64
	Labels    []LabelCount // sorted by label
	Truncated bool         // there were more than MaxLabels labels
	Span      Span
	Marks     []Mark // sorted by topic, then partition
}

// LabelCount is how often a label occurred.
type LabelCount struct {
	Label string
	Count uint64
}

// Mark is the highest raw offset of one partition, of one incarnation of a raw topic, that a row has counted.
type Mark struct {
	Topic     TopicID
	Partition int32
	Offset    int64
}

// Add applies a batch by the rule that makes Potok exact: count an occurrence if and only if its offset is above the
// row's mark for where it comes from, then move the mark. Applying a batch again, or an older one, changes nothing. It
// returns how many occurrences were new; the row is to be written even when none was.
func (t *Tally) Add(b *Batch) (fresh int64) {
	// A new row mostly needs no more room for now than what one batch has.
	if t.Marks == nil {
		t.Marks = make([]Mark, 0, len(b.Sources))
	}
	if t.Labels == nil {
		t.Labels = make([]LabelCount, 0, min(len(b.Labels), MaxLabels))
	}
	for i := range b.Sources {
		s := &b.Sources[i]
		if len(s.Runs) == 0 {
			continue
		}
		mark := t.mark(b.Topic, s.Partition)
		for _, r := range s.Runs {
			last := r.Offset + r.Length - 1
			if last <= mark.Offset {
				continue
			}
			n := min(r.Length, last-mark.Offset)
			mark.Offset = last
			fresh += n
			if r.Label != NoLabel {
				t.addLabel(b.Labels[r.Label], uint64(n))
			}
		}
	}
	t.Count += uint64(fresh)
	// The whole batch's span, not that of what was new: what is not new has been joined before.
	t.Span.Join(b.Span)
	return fresh
}

// mark returns the row's mark for a raw partition, made with offset -1 if there is none. The pointer is good until the
// next call.
func (t *Tally) mark(topic TopicID, partition int32) *Mark {
	i, found := slices.BinarySearchFunc(t.Marks, Mark{Topic: topic, Partition: partition}, compareMarks)
	if !found {
		t.Marks = slices.Insert(t.Marks, i, Mark{Topic: topic, Partition: partition, Offset: -1})
	}
	return &t.Marks[i]
}

func compareMarks(a, b Mark) int {
	if c := bytes.Compare(a.Topic[:], b.Topic[:]); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

func (t *Tally) addLabel(label string, n uint64) {
	i, found := slices.BinarySearchFunc(t.Labels, label, func(l LabelCount, s string) int { return strings.Compare(l.Label, s) })
	switch {
	case found:
		t.Labels[i].Count += n
	case len(t.Labels) < MaxLabels:
		t.Labels = slices.Insert(t.Labels, i, LabelCount{Label: label, Count: n})
	default:
		t.Truncated = true
	}
}

// Covers reports whether everything that o has counted is counted in t, too.
func (t *Tally) Covers(o *Tally) bool {
	for _, m := range o.Marks {
		i, found := slices.BinarySearchFunc(t.Marks, m, compareMarks)
		if !found || t.Marks[i].Offset < m.Offset {
			return false
		}
	}
	return true
}

// MergeTallies returns the later of two states of one row. All states of a row lie on one chain, because every owner
// applies the same records in the same order, so that one of two always covers the other; diverged reports that neither
// did, which is a defect somewhere: then the one that counted more is kept.
func MergeTallies(a, b *Tally) (later *Tally, diverged bool) {
	switch {
	case a == nil:
		return b, false
	case b == nil || a.Covers(b):
		return a, false
	case b.Covers(a):
		return b, false
	case a.Count >= b.Count:
		return a, true
	default:
		return b, true
	}
}

// TallyCodec is goka's codec for [Tally]: encodes and decodes *Tally.
type TallyCodec struct{}

// Encode implements goka.Codec.
func (TallyCodec) Encode(v any) ([]byte, error) {
	t, ok := v.(*Tally)
	if !ok {
		return nil, fmt.Errorf("encode tally: got a %T", v)
	}
	var buf [rowBuffer]byte
	return bytes.Clone(AppendTally(buf[:0], t)), nil
}

// Decode implements goka.Codec.
func (TallyCodec) Decode(b []byte) (any, error) { return DecodeTally(b) }

// AppendTally appends the record's bytes to dst.
func AppendTally(dst []byte, t *Tally) []byte {
	dst = appendFormat(dst)
	dst = appendUint(dst, 2, t.Count)
	for _, l := range t.Labels {
		next, at := openMessage(dst, 3)
		dst = closeMessage(appendUint(appendString(next, 1, l.Label), 2, l.Count), at)
	}
	if t.Truncated {
		dst = appendUint(dst, 4, 1)
	}
	dst = appendSpan(dst, t.Span)
	for marks := t.Marks; len(marks) > 0; {
		n := 1
		for n < len(marks) && marks[n].Topic == marks[0].Topic {
			n++
		}
		next, at := openMessage(dst, 7)
		dst = closeMessage(appendMarks(next, marks[:n]), at)
		marks = marks[n:]
	}
	return dst
}

// appendMarks writes the marks of one topic.
func appendMarks(dst []byte, marks []Mark) []byte {
	dst = protowire.AppendBytes(protowire.AppendTag(dst, 1, protowire.BytesType), marks[0].Topic[:])
	dst, at := openMessage(dst, 2)
	for _, m := range marks {
		dst = protowire.AppendVarint(dst, uint64(m.Partition))
	}
	dst, at = openMessage(closeMessage(dst, at), 3)
	for _, m := range marks {
		dst = protowire.AppendVarint(dst, uint64(m.Offset))
	}
	return closeMessage(dst, at)
}

// DecodeTally reads what [AppendTally] wrote.
func DecodeTally(b []byte) (*Tally, error) {
	t := new(Tally)
	if err := t.decode(b, everything); err != nil {
		return nil, err
	}
	return t, nil
}

// fewLabels and fewSources are how many a decoder makes room for at first.
const (
	fewLabels  = 8
	fewSources = 4
)

func (t *Tally) decode(b []byte, what detail) error {
	texts := texts{record: b}
	err := readFields(b, func(f field) error {
		switch f.num {
		case 1:
			return f.checkFormat()
		case 2:
			t.Count = f.uint
		case 3:
			if what&labels == 0 {
				return nil
			}
			if t.Labels == nil {
				t.Labels = make([]LabelCount, 0, fewLabels)
			}
			var l LabelCount
			err := readFields(f.bytes, func(f field) error {
				switch f.num {
				case 1:
					l.Label = texts.of(f.bytes)
				case 2:
					l.Count = f.uint
				}
				return nil
			})
			t.Labels = append(t.Labels, l)
			return err
		case 4:
			t.Truncated = f.uint != 0
		case 5, 6:
			t.Span.read(f)
		case 7:
			if what&marks != 0 {
				return t.readMarks(f.bytes)
			}
		}
		return nil
	})
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return fmt.Errorf("decode tally: %w", err)
	}
	return nil
}

// check refuses what no encoder writes and what would make counting go wrong: the look-ups need the order.
func (t *Tally) check() error {
	for i, m := range t.Marks {
		if m.Partition < 0 || m.Offset < 0 || i > 0 && compareMarks(t.Marks[i-1], m) >= 0 {
			return fmt.Errorf("mark %d of partition %d is out of order", m.Offset, m.Partition)
		}
	}
	for i := 1; i < len(t.Labels); i++ {
		if t.Labels[i-1].Label >= t.Labels[i].Label {
			return errors.New("labels are out of order")
		}
	}
	return nil
}

func (t *Tally) readMarks(b []byte) error {
	var topic TopicID
	start, offsets := len(t.Marks), len(t.Marks)
	err := readFields(b, func(f field) error {
		switch f.num {
		case 1:
			return readTopicID(&topic, f.bytes)
		case 2:
			if offsets > start { // what belongs to these marks has been read and is lost
				return errors.New("offsets come before partitions")
			}
			if n := packed(f); t.Marks == nil && n > 0 {
				t.Marks = make([]Mark, 0, n)
			}
			return readPacked(f, func(v uint64) {
				t.Marks = append(t.Marks, Mark{Partition: int32(v)})
			})
		case 3:
			return readPacked(f, func(v uint64) {
				if offsets < len(t.Marks) {
					t.Marks[offsets].Offset = int64(v)
				}
				offsets++
			})
		}
		return nil
	})
	if err == nil && offsets != len(t.Marks) {
		err = fmt.Errorf("%d offsets for %d marks", offsets-start, len(t.Marks)-start)
	}
	for i := range t.Marks[start:] {
		t.Marks[start+i].Topic = topic
	}
	return err
}
