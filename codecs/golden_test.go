package codecs_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/potok-streams/potok/codecs"
)

var update = flag.Bool("update", false, "write the golden files anew; yesterday's rows must still decode, so look at the difference")

var (
	topicA = codecs.TopicID{0: 0xa0, 15: 0x0a}
	topicB = codecs.TopicID{0: 0xb0, 15: 0x0b}
)

func goldenUser() *codecs.User {
	return &codecs.User{Name: "Анна", Email: "anna@example.org", Version: codecs.Version{Timestamp: 1763805600123, Partition: 3, Offset: 70_000_000_000}}
}

func goldenTally() *codecs.Tally {
	return &codecs.Tally{
		Count:     300,
		Labels:    []codecs.LabelCount{{Label: "", Count: 1}, {Label: "click", Count: 200}, {Label: "view", Count: 99}},
		Truncated: true,
		Span:      codecs.Span{First: 0, Last: 1763805600123, Known: true},
		Marks: []codecs.Mark{
			{Topic: topicA, Partition: 0, Offset: 0}, {Topic: topicA, Partition: 7, Offset: 1 << 40}, {Topic: topicB, Partition: 1, Offset: 5},
		},
	}
}

// golden are the records whose bytes are kept: what stands in topics and on disks has to decode for ever.
var golden = map[string]any{
	"user":       goldenUser(),
	"user-empty": &codecs.User{},
	"user-early": &codecs.User{Name: "n", Version: codecs.Version{Timestamp: -1}}, // a record without a time stamp has -1
	"batch": &codecs.Batch{
		Topic:  topicA,
		Labels: []string{"click", "", "view"},
		Sources: []codecs.Source{
			{Partition: 0, Runs: []codecs.Run{{Offset: 0, Length: 1, Label: 0}, {Offset: 1, Length: 300, Label: 1}, {Offset: 1 << 33, Length: 2, Label: 2}}},
			{Partition: 300, Runs: []codecs.Run{{Offset: 5, Length: 1, Label: 2}, {Offset: 6, Length: 1, Label: 0}}},
		},
		Span: codecs.Span{First: 1763805600000, Last: 1763805600123, Known: true},
	},
	"batch-plain": &codecs.Batch{Topic: topicB, Sources: []codecs.Source{{Partition: 1, Runs: []codecs.Run{{Offset: 9, Length: 1, Label: codecs.NoLabel}}}}},
	"batch-long": &codecs.Batch{Topic: topicB, Sources: []codecs.Source{{Runs: []codecs.Run{
		{Offset: 9, Length: 1, Label: codecs.NoLabel}, {Offset: 100, Length: 1 << 30, Label: codecs.NoLabel},
	}}}},
	"batch-empty":      &codecs.Batch{},
	"batch-touch":      &codecs.Batch{Row: codecs.AppendTally(nil, goldenTally())},
	"tally":            goldenTally(),
	"tally-empty":      &codecs.Tally{},
	"activity":         &codecs.Activity{User: goldenUser(), Tally: *goldenTally()},
	"activity-unknown": &codecs.Activity{Tally: *goldenTally()},
	"activity-idle":    &codecs.Activity{User: &codecs.User{}},
}

func TestGolden(t *testing.T) {
	for name, want := range golden {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".golden")
			bytes := encode(t, want)
			if *update {
				text := fmt.Sprintf("%s\n%+v\n", hex.EncodeToString(bytes), describe(want))
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			line, text, _ := strings.Cut(string(kept), "\n")
			if got := hex.EncodeToString(bytes); got != line {
				t.Errorf("encoded bytes have changed:\n got %s\nwant %s", got, line)
			}
			old, err := hex.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			got := decode(t, want, old)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("kept bytes decode to something else (-want +got):\n%s", diff)
			}
			if got := fmt.Sprintf("%+v\n", describe(got)); got != text {
				t.Errorf("text has changed:\n got %s\nwant %s", got, text)
			}
		})
	}
}

// describe follows the one pointer that would be printed as an address.
func describe(v any) any {
	if a, ok := v.(*codecs.Activity); ok {
		user := "none"
		if a.User != nil {
			user = fmt.Sprintf("%+v", *a.User)
		}
		return fmt.Sprintf("{User:%s Tally:%+v}", user, a.Tally)
	}
	return reflect.ValueOf(v).Elem().Interface()
}

type codec interface {
	Encode(any) ([]byte, error)
	Decode([]byte) (any, error)
}

func codecOf(t testing.TB, v any) codec {
	t.Helper()
	switch v.(type) {
	case *codecs.User:
		return codecs.UserCodec{}
	case *codecs.Batch:
		return codecs.BatchCodec{}
	case *codecs.Tally:
		return codecs.TallyCodec{}
	case *codecs.Activity:
		return codecs.ActivityCodec{}
	}
	t.Fatalf("no codec for %T", v)
	return nil
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := codecOf(t, v).Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, like any, b []byte) any {
	t.Helper()
	v, err := codecOf(t, like).Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCodecsRefuseOtherTypes(t *testing.T) {
	for _, v := range golden {
		if _, err := codecOf(t, v).Encode("a string"); err == nil {
			t.Errorf("the codec of %T encodes a string", v)
		}
		if _, err := codecOf(t, v).Encode(nil); err == nil {
			t.Errorf("the codec of %T encodes nil", v)
		}
	}
}
