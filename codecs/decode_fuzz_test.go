package codecs_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/potok-streams/potok/codecs"
)

// varint, packed and field write a message by hand, right or wrong.
func varint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func field(num protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(content, nil))
}

func packed(num protowire.Number, vs ...uint64) []byte {
	var b []byte
	for _, v := range vs {
		b = protowire.AppendVarint(b, v)
	}
	return field(num, b)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

var id = make([]byte, 16)

func TestDecodeRefuses(t *testing.T) {
	const huge = 1 << 63
	label := field(3, []byte("click"))
	batch := func(source ...[]byte) []byte { return join(varint(1, 1), field(2, id), label, field(4, source...)) }
	tally := func(parts ...[]byte) []byte { return join(append([][]byte{varint(1, 1)}, parts...)...) }
	for name, tc := range map[string]struct {
		like any
		in   []byte
		want string
	}{
		"user of a newer format":      {&codecs.User{}, varint(1, 2), "record format 2 is newer"},
		"batch of a newer format":     {&codecs.Batch{}, varint(1, 2), "record format 2 is newer"},
		"tally of a newer format":     {&codecs.Tally{}, varint(1, 2), "record format 2 is newer"},
		"activity of a newer format":  {&codecs.Activity{}, varint(1, 2), "record format 2 is newer"},
		"newer user in an activity":   {&codecs.Activity{}, join(varint(1, 1), field(2, varint(1, 2))), "record format 2 is newer"},
		"newer tally in an activity":  {&codecs.Activity{}, join(varint(1, 1), field(3, varint(1, 2))), "record format 2 is newer"},
		"format beyond 32 bits":       {&codecs.User{}, varint(1, huge), "newer"},
		"short topic id":              {&codecs.Batch{}, join(varint(1, 1), field(2, id[:15])), "topic id has 15 bytes"},
		"long topic id":               {&codecs.Batch{}, join(varint(1, 1), field(2, id, id)), "topic id has 32 bytes"},
		"short topic id of a mark":    {&codecs.Tally{}, tally(field(7, field(1, id[:3]))), "topic id has 3 bytes"},
		"gap below zero":              {&codecs.Batch{}, batch(packed(2, huge)), "out of order"},
		"gap that goes back":          {&codecs.Batch{}, batch(packed(2, 100, ^uint64(0)-4)), "out of order"},
		"gaps that overflow":          {&codecs.Batch{}, batch(packed(2, 1<<62, 1<<62)), "out of order"},
		"offset that overflows":       {&codecs.Batch{}, batch(packed(2, 1<<63-1)), "out of order"},
		"length zero":                 {&codecs.Batch{}, batch(packed(2, 1), packed(3, 0)), "out of order"},
		"length below zero":           {&codecs.Batch{}, batch(packed(2, 100), packed(3, ^uint64(0))), "out of order"},
		"length that overflows":       {&codecs.Batch{}, batch(packed(2, 100), packed(3, 1<<63-1)), "out of order"},
		"fewer lengths than runs":     {&codecs.Batch{}, batch(packed(2, 1, 1), packed(3, 1)), "2 runs, 1 lengths"},
		"more lengths than runs":      {&codecs.Batch{}, batch(packed(2, 1), packed(3, 1, 1)), "1 runs, 2 lengths"},
		"fewer labels than runs":      {&codecs.Batch{}, batch(packed(2, 1, 1), packed(4, 0)), "1 labels"},
		"more labels than runs":       {&codecs.Batch{}, batch(packed(2, 1), packed(4, 0, 0)), "2 labels"},
		"lengths without runs":        {&codecs.Batch{}, batch(packed(3, 1)), "0 runs"},
		"lengths before gaps":         {&codecs.Batch{}, batch(packed(3, 7), packed(2, 1)), "before its gaps"},
		"labels before gaps":          {&codecs.Batch{}, batch(packed(4, 0), packed(2, 1)), "before its gaps"},
		"label that is not there":     {&codecs.Batch{}, batch(packed(2, 1), packed(4, 1)), "label 1 of 1"},
		"label -1":                    {&codecs.Batch{}, batch(packed(2, 1), packed(4, ^uint64(0))), "label"},
		"label -2":                    {&codecs.Batch{}, batch(packed(2, 1), packed(4, ^uint64(0)-1)), "label"},
		"label that is huge":          {&codecs.Batch{}, batch(packed(2, 1), packed(4, 1<<31)), "label"},
		"partition below zero":        {&codecs.Batch{}, batch(varint(1, ^uint64(0)), packed(2, 1)), "partition -1"},
		"fewer offsets than marks":    {&codecs.Tally{}, tally(field(7, field(1, id), packed(2, 1, 2), packed(3, 1))), "1 offsets for 2 marks"},
		"more offsets than marks":     {&codecs.Tally{}, tally(field(7, field(1, id), packed(2, 1), packed(3, 1, 2))), "2 offsets for 1 marks"},
		"offsets before partitions":   {&codecs.Tally{}, tally(field(7, field(1, id), packed(2, 1), packed(3, 1, 2), packed(2, 2))), "before partitions"},
		"marks out of order":          {&codecs.Tally{}, tally(field(7, field(1, id), packed(2, 2, 1), packed(3, 1, 1))), "out of order"},
		"a mark twice":                {&codecs.Tally{}, tally(field(7, field(1, id), packed(2, 1, 1), packed(3, 1, 2))), "out of order"},
		"mark below zero":             {&codecs.Tally{}, tally(field(7, field(1, id), packed(2, 1), packed(3, huge))), "out of order"},
		"mark of a partition below 0": {&codecs.Tally{}, tally(field(7, field(1, id), packed(2, ^uint64(0)), packed(3, 1))), "out of order"},
		"labels out of order":         {&codecs.Tally{}, tally(field(3, field(1, []byte("b"))), field(3, field(1, []byte("a")))), "labels are out of order"},
		"a label twice":               {&codecs.Tally{}, tally(field(3, field(1, []byte("b"))), field(3, field(1, []byte("b")))), "labels are out of order"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := codecOf(t, tc.like).Decode(tc.in)
			if err == nil {
				t.Fatalf("decoded to %+v", v)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error is %q, which does not say %q", err, tc.want)
			}
			if v != nil && !reflect.ValueOf(v).IsNil() {
				t.Fatalf("a value comes with the error: %+v", v)
			}
		})
	}
}

// TestDecodeTakes: other ways in which Protocol Buffers may say the same.
func TestDecodeTakes(t *testing.T) {
	runs := []codecs.Run{{Offset: 1, Length: 2, Label: 0}, {Offset: 5, Length: 1, Label: 0}}
	batch := &codecs.Batch{Labels: []string{"a"}, Sources: []codecs.Source{{Partition: 3, Runs: runs}}}
	tally := &codecs.Tally{Marks: []codecs.Mark{{Topic: topicA, Partition: 1, Offset: 9}, {Topic: topicA, Partition: 2, Offset: 8}}}
	for name, tc := range map[string]struct {
		want any
		in   []byte
	}{
		"numbers that are not packed": {batch, join(varint(1, 1), field(2, id), field(3, []byte("a")), field(4, varint(1, 3),
			varint(2, 1), varint(2, 2), varint(3, 2), varint(3, 1), varint(4, 0), varint(4, 0)))},
		"numbers packed in pieces": {batch, join(varint(1, 1), field(2, id), field(3, []byte("a")), field(4, varint(1, 3),
			packed(2, 1), packed(2, 2), packed(3), packed(3, 2, 1), packed(4, 0), varint(4, 0)))},
		"sources before labels": {batch, join(field(4, packed(2, 1, 2), packed(3, 2, 1), packed(4, 0, 0), varint(1, 3)),
			field(3, []byte("a")), field(2, id), varint(1, 1))},
		"topic after its marks": {tally, join(varint(1, 1), field(7, packed(2, 1, 2), packed(3, 9, 8), field(1, topicA[:])))},
		"marks that are not packed": {tally, join(varint(1, 1), field(7, field(1, topicA[:]),
			varint(2, 1), varint(2, 2), varint(3, 9), varint(3, 8)))},
		"marks of one topic in two": {tally, join(varint(1, 1), field(7, field(1, topicA[:]), varint(2, 1), varint(3, 9)),
			field(7, field(1, topicA[:]), varint(2, 2), varint(3, 8)))},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decode(t, tc.want, tc.in)); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// TestUnknownFieldsAreSkipped: a field of every kind that a later format 1 may add, in every message.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	unknown := join(varint(60, 7), field(61, []byte("text")),
		protowire.AppendFixed32(protowire.AppendTag(nil, 62, protowire.Fixed32Type), 1),
		protowire.AppendFixed64(protowire.AppendTag(nil, 63, protowire.Fixed64Type), 1),
		protowire.AppendGroup(protowire.AppendTag(nil, 64, protowire.StartGroupType), 64, varint(1, 9)))
	for name, want := range golden {
		if diff := cmp.Diff(want, decode(t, want, join(encode(t, want), unknown))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	inside := map[string]struct {
		want any
		in   []byte
	}{
		"version": {&codecs.User{Version: codecs.Version{Offset: 3}}, join(varint(1, 1), field(4, unknown, varint(3, 3), unknown))},
		"source": {
			&codecs.Batch{Sources: []codecs.Source{{Runs: []codecs.Run{{Offset: 5, Length: 1, Label: codecs.NoLabel}}}}},
			join(varint(1, 1), unknown, field(4, unknown, packed(2, 5), unknown)),
		},
		"label and marks": {
			&codecs.Tally{Labels: []codecs.LabelCount{{Label: "a", Count: 2}}, Marks: []codecs.Mark{{Topic: topicA, Partition: 1, Offset: 9}}},
			join(varint(1, 1), field(3, unknown, field(1, []byte("a")), varint(2, 2)), field(7, unknown, field(1, topicA[:]), packed(2, 1), unknown, packed(3, 9))),
		},
		"user of an activity": {&codecs.Activity{User: &codecs.User{Name: "n"}}, join(varint(1, 1), field(2, varint(1, 1), unknown, field(2, []byte("n"))))},
	}
	for name, tc := range inside {
		if diff := cmp.Diff(tc.want, decode(t, tc.want, tc.in)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestTruncated: a record that was cut or damaged gives an error or a record that can be used, at a cost that its length
// bounds.
func TestTruncated(t *testing.T) {
	for name, v := range golden {
		whole := encode(t, v)
		for n := range whole {
			useDecoded(t, v, whole[:n])
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				damaged := bytes.Clone(whole)
				damaged[n] ^= flip
				useDecoded(t, v, damaged)
			}
		}
		if len(whole) > 4 {
			if _, err := codecOf(t, v).Decode(whole[:len(whole)-1]); err == nil {
				t.Errorf("%s without its last byte decodes", name)
			}
		}
	}
}

// useDecoded decodes what may be anything; what decodes must be fit for use and must come back the same.
func useDecoded(t *testing.T, like any, b []byte) {
	t.Helper()
	c := codecOf(t, like)
	v, err := c.Decode(b)
	if err != nil {
		return
	}
	switch v := v.(type) {
	case *codecs.Batch:
		row := goldenTally()
		row.Add(v) // must not panic
		checkTally(t, row)
		if again := row.Add(v); again != 0 {
			t.Errorf("%x: added again, %d are new", b, again)
		}
	case *codecs.Tally:
		checkTally(t, v)
	case *codecs.Activity:
		checkTally(t, &v.Tally)
	}
	out, err := c.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	if n := elements(v); n > len(b) {
		t.Errorf("%d elements from %d bytes", n, len(b))
	}
	back, err := c.Decode(out)
	if err != nil {
		t.Fatalf("%x decodes, but what is encoded of it does not: %v", b, err)
	}
	if again, _ := c.Encode(back); !bytes.Equal(out, again) {
		t.Fatalf("%x: encoded %x, then %x", b, out, again)
	}
}

// elements counts what takes memory beyond a record's own bytes.
func elements(v any) int {
	switch v := v.(type) {
	case *codecs.Batch:
		n := len(v.Labels) + len(v.Sources)
		for _, s := range v.Sources {
			n += len(s.Runs)
		}
		return n
	case *codecs.Tally:
		return len(v.Labels) + len(v.Marks)
	case *codecs.Activity:
		return elements(&v.Tally)
	}
	return 0
}

func fuzzDecode(f *testing.F, like any) {
	for _, v := range golden {
		if reflect.TypeOf(v) == reflect.TypeOf(like) {
			f.Add(encode(f, v))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { useDecoded(t, like, b) })
}

func FuzzRecordUser(f *testing.F)     { fuzzDecode(f, &codecs.User{}) }
func FuzzRecordBatch(f *testing.F)    { fuzzDecode(f, &codecs.Batch{}) }
func FuzzRecordTally(f *testing.F)    { fuzzDecode(f, &codecs.Tally{}) }
func FuzzRecordActivity(f *testing.F) { fuzzDecode(f, &codecs.Activity{}) }
