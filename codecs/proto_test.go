package codecs_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/potok-streams/potok/codecs"
)

// schema compiles potok.proto.
func schema(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := c.Compile(t.Context(), "potok.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// TestWireAgainstSchema holds the hand-written code against the schema, by way of an implementation that knows nothing of
// it: what we write reads as what was meant, and what it writes we read as what was meant.
func TestWireAgainstSchema(t *testing.T) {
	file := schema(t)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 150 {
		for _, v := range []any{randomUser(r), randomBatch(r), randomTally(r), randomActivity(r)} {
			name := protoreflect.Name(fmt.Sprintf("%T", v)[len("*codecs."):])
			want := toMessage(file.Messages().ByName(name), v)
			ours := encode(t, v)

			got := dynamicpb.NewMessage(want.Descriptor())
			if err := proto.Unmarshal(ours, got); err != nil {
				t.Fatalf("%d: %s: %v", i, name, err)
			}
			if len(got.GetUnknown()) != 0 {
				t.Fatalf("%d: %s: we write fields that the schema does not have", i, name)
			}
			if !proto.Equal(want, got) {
				t.Fatalf("%d: %s as others read it:\n got %v\nwant %v\n from %+v", i, name, got, want, v)
			}
			theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v, decode(t, v, theirs), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%d: %s as we read it (-want +got):\n%s", i, name, diff)
			}
			if diff := cmp.Diff(v, decode(t, v, ours), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%d: %s there and back (-want +got):\n%s", i, name, diff)
			}
		}
	}
}

// TestEveryRecordHasItsFormatFirst: a reader has to meet the format before anything that it can't understand.
func TestEveryRecordHasItsFormatFirst(t *testing.T) {
	file := schema(t)
	for name, v := range golden {
		if b := encode(t, v); len(b) < 2 || b[0] != 0x08 || b[1] != 1 {
			t.Errorf("%s starts with %x", name, b)
		}
	}
	for _, m := range []protoreflect.Name{"User", "Batch", "Tally", "Activity"} {
		if f := file.Messages().ByName(m).Fields().ByNumber(1); f.Name() != "format" {
			t.Errorf("field 1 of %s is %s", m, f.Name())
		}
	}
}

func toMessage(d protoreflect.MessageDescriptor, v any) *dynamicpb.Message {
	m := dynamicpb.NewMessage(d)
	set := func(m protoreflect.Message, field protoreflect.Name, v any) {
		m.Set(m.Descriptor().Fields().ByName(field), protoreflect.ValueOf(v))
	}
	sub := func(m protoreflect.Message, field protoreflect.Name) protoreflect.Message {
		return m.Mutable(m.Descriptor().Fields().ByName(field)).Message()
	}
	add := func(m protoreflect.Message, field protoreflect.Name) protoreflect.Message {
		return m.Mutable(m.Descriptor().Fields().ByName(field)).List().AppendMutable().Message()
	}
	push := func(m protoreflect.Message, field protoreflect.Name, v any) {
		m.Mutable(m.Descriptor().Fields().ByName(field)).List().Append(protoreflect.ValueOf(v))
	}
	span := func(m protoreflect.Message, s codecs.Span) {
		if s.Known {
			set(m, "first_ms", s.First)
			set(m, "last_ms", s.Last)
		}
	}
	user := func(m protoreflect.Message, u *codecs.User) {
		set(m, "format", uint32(1))
		set(m, "name", u.Name)
		set(m, "email", u.Email)
		version := sub(m, "version")
		set(version, "timestamp_ms", u.Version.Timestamp)
		set(version, "partition", uint32(u.Version.Partition))
		set(version, "offset", uint64(u.Version.Offset))
	}
	tally := func(m protoreflect.Message, c *codecs.Tally) {
		set(m, "format", uint32(1))
		set(m, "count", c.Count)
		for _, l := range c.Labels {
			label := add(m, "labels")
			set(label, "label", l.Label)
			set(label, "count", l.Count)
		}
		set(m, "labels_truncated", c.Truncated)
		span(m, c.Span)
		var marks protoreflect.Message
		for i, k := range c.Marks {
			if i == 0 || k.Topic != c.Marks[i-1].Topic {
				marks = add(m, "marks")
				set(marks, "topic_id", k.Topic[:])
			}
			push(marks, "partitions", uint32(k.Partition))
			push(marks, "offsets", uint64(k.Offset))
		}
	}
	switch v := v.(type) {
	case *codecs.User:
		user(m, v)
	case *codecs.Tally:
		tally(m, v)
	case *codecs.Activity:
		set(m, "format", uint32(1))
		if v.User != nil {
			user(sub(m, "user"), v.User)
		}
		if len(v.Tally.Marks) > 0 {
			tally(sub(m, "tally"), &v.Tally)
		}
	case *codecs.Batch:
		set(m, "format", uint32(1))
		if len(v.Sources) > 0 {
			set(m, "topic_id", v.Topic[:])
		}
		for _, l := range v.Labels {
			push(m, "labels", l)
		}
		for _, s := range v.Sources {
			source := add(m, "sources")
			set(source, "partition", uint32(s.Partition))
			long := false
			for _, r := range s.Runs {
				long = long || r.Length != 1
			}
			end := int64(0)
			for _, r := range s.Runs {
				push(source, "gaps", uint64(r.Offset-end))
				end = r.Offset + r.Length
				if long {
					push(source, "lengths", uint64(r.Length))
				}
				if r.Label != codecs.NoLabel {
					push(source, "labels", uint32(r.Label))
				}
			}
		}
		span(m, v.Span)
	}
	return m
}

func randomString(r *rand.Rand) string {
	return []string{"", "a", "click", "Жé€😀", "\x00", "__offset", string(make([]byte, 200))}[r.IntN(7)]
}

// size returns numbers of all magnitudes, from 0 to below 1<<bits.
func size(r *rand.Rand, bits int) int64 { return int64(r.Uint64() & (1<<r.IntN(bits+1) - 1)) }

func randomTopic(r *rand.Rand) (id codecs.TopicID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func randomSpan(r *rand.Rand) codecs.Span {
	if r.IntN(4) == 0 {
		return codecs.Span{}
	}
	first := size(r, 41)
	return codecs.Span{First: first, Last: first + size(r, 20), Known: true}
}

func randomUser(r *rand.Rand) *codecs.User {
	return &codecs.User{Name: randomString(r), Email: randomString(r), Version: codecs.Version{
		Timestamp: size(r, 42) - 1, Partition: int32(size(r, 31)), Offset: size(r, 63),
	}}
}

func randomBatch(r *rand.Rand) *codecs.Batch {
	b := &codecs.Batch{Span: randomSpan(r)}
	n := r.IntN(4)
	if n > 0 {
		b.Topic = randomTopic(r)
	}
	labelled := r.IntN(2) == 0
	if labelled {
		for range 1 + r.IntN(5) {
			b.Labels = append(b.Labels, randomString(r))
		}
	}
	for range n {
		s, end, step := codecs.Source{Partition: int32(size(r, 31))}, int64(0), 1+r.IntN(57)
		for range 1 + r.IntN(6) {
			run := codecs.Run{Offset: end + size(r, step), Length: 1, Label: codecs.NoLabel}
			if r.IntN(3) == 0 {
				run.Length = 1 + size(r, 31)
			}
			if labelled {
				run.Label = r.IntN(len(b.Labels))
			}
			end = run.Offset + run.Length
			s.Runs = append(s.Runs, run)
		}
		b.Sources = append(b.Sources, s)
	}
	return b
}

func randomTally(r *rand.Rand) *codecs.Tally {
	t := new(codecs.Tally)
	for range r.IntN(12) { // by the rule itself, so that it is a row that can be
		t.Add(randomBatch(r))
	}
	t.Truncated = r.IntN(2) == 0
	return t
}

func randomActivity(r *rand.Rand) *codecs.Activity {
	a := new(codecs.Activity)
	if r.IntN(3) > 0 {
		a.User = randomUser(r)
	}
	if t := randomTally(r); len(t.Marks) > 0 {
		a.Tally = *t
	}
	return a
}
