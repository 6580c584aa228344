package dlq

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

var (
	idA = strings.Repeat("0a", 16)
	idB = strings.Repeat("0b", 16)
)

func headers(pairs ...string) (h []kgo.RecordHeader) {
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return h
}

// letterOf returns a letter as a rekey stage writes it.
func letterOf(o Origin, own ...kgo.RecordHeader) *kgo.Record {
	d := codecs.DeadLetter{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, Reason: codecs.NotJSON, Message: "record rejected: not_json", Stage: "rekey-events"}
	for i := range d.TopicID {
		d.TopicID[i] = map[string]byte{idA: 0x0a, idB: 0x0b}[o.TopicID]
	}
	r := &kgo.Record{Topic: "potok-dlq", Key: []byte("k"), Value: []byte("{"), Headers: own, Timestamp: time.UnixMilli(1000 + o.Offset)}
	for _, h := range d.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

func TestParse(t *testing.T) {
	t.Parallel()
	o := Origin{"test", idA, 3, 17}
	misleading := newNote("potok-dlq", 0, Origin{"test", idB, 1, 1}, Purged).Headers
	misleading = append(misleading, headers(codecs.HeaderOffset, "99")...)
	loose := headers(codecs.HeaderOffset, "17", "h", "1", codecs.HeaderException, "x", codecs.HeaderPartition, "3", codecs.HeaderTopic, "test")
	noteWithout := newNote("potok-dlq", 0, Origin{"test", "", 3, 17}, Replayed)
	changed := func(change func(*kgo.Record)) *kgo.Record {
		r := newNote("potok-dlq", 0, o, Replayed)
		change(r)
		return r
	}
	for name, tc := range map[string]struct {
		record *kgo.Record
		kind   kind
		origin Origin
		own    int
	}{
		"a letter":                            {letterOf(o), letter, o, 0},
		"a letter, with headers of its own":   {letterOf(o, headers("h", "1", "h", "2")...), letter, o, 2},
		"a letter of what looks like a note":  {letterOf(o, misleading...), letter, o, len(misleading)},
		"a letter without an incarnation":     {&kgo.Record{Headers: letterOf(o).Headers[:6]}, letter, Origin{"test", "", 3, 17}, 0},
		"a letter in another order":           {&kgo.Record{Headers: loose}, letter, Origin{"test", "", 3, 17}, 1},
		"a note":                              {newNote("potok-dlq", 0, o, Purged), note, o, 0},
		"a note without an incarnation":       {noteWithout, note, Origin{"test", "", 3, 17}, 0},
		"a note with a value":                 {changed(func(r *kgo.Record) { r.Value = []byte("x") }), foreign, Origin{}, 0},
		"a note with another key":             {changed(func(r *kgo.Record) { r.Key = []byte("test/3/18") }), foreign, Origin{}, 0},
		"a note that says something else":     {changed(func(r *kgo.Record) { r.Headers[0].Value = []byte("seen") }), foreign, Origin{}, 0},
		"nothing":                             {&kgo.Record{}, foreign, Origin{}, 0},
		"a letter without a reason":           {&kgo.Record{Headers: loose[:2]}, foreign, Origin{}, 0},
		"a letter with a number out of range": {&kgo.Record{Headers: headers(codecs.HeaderOffset, "-1", codecs.HeaderException, "x", codecs.HeaderPartition, "3", codecs.HeaderTopic, "t")}, foreign, Origin{}, 0},
		"a topic with escape codes":           {&kgo.Record{Headers: headers(codecs.HeaderOffset, "1", codecs.HeaderException, "x", codecs.HeaderPartition, "3", codecs.HeaderTopic, "\x1b[2J")}, foreign, Origin{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := parse(tc.record)
			if p.kind != tc.kind || p.kind != foreign && p.origin != tc.origin || len(p.own) != tc.own {
				t.Errorf("got %+v, want kind %d of %+v with %d headers", p, tc.kind, tc.origin, tc.own)
			}
		})
	}
}

func TestParseOrigin(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]*Origin{
		"test/3/17":         {"test", "", 3, 17},
		"test/3/17@" + idA:  {"test", idA, 3, 17},
		"a.b_c-D/0/0":       {"a.b_c-D", "", 0, 0},
		"test/3":            nil,
		"test/3/17/1":       nil,
		"test/-1/17":        nil,
		"test/3/x":          nil,
		"/3/17":             nil,
		"":                  nil,
		"test/3/17@x":       nil,
		"test/4294967296/1": nil,
	} {
		o, _, err := ParseOrigin(in)
		if (err == nil) != (want != nil) || want != nil && o != *want {
			t.Errorf("%q: got %+v, %v", in, o, err)
		}
		if want != nil && want.TopicID != "" && o.Full() != in || want != nil && want.TopicID == "" && o.String() != in {
			t.Errorf("%q: comes back as %q", in, o.Full())
		}
	}
}

// indexOf puts records into an index, each at the next offset of the partition that it names.
func indexOf(records ...*kgo.Record) *index {
	x := newIndex()
	for _, r := range records {
		r.Offset = x.end[r.Partition]
		x.add(r)
	}
	return x
}

func in(partition int32, r *kgo.Record) *kgo.Record {
	r.Partition = partition
	return r
}

func TestIndex(t *testing.T) {
	t.Parallel()
	a, b, c, d := Origin{"test", idA, 0, 1}, Origin{"test", idA, 0, 2}, Origin{"test", idA, 0, 3}, Origin{"test", idA, 0, 4}
	anew := Origin{"test", idB, 0, 1}
	says := func(partition int32, o Origin, what string) *kgo.Record {
		r := in(partition, newNote("potok-dlq", partition, o, what))
		r.Timestamp = time.UnixMilli(9000)
		return r
	}
	x := indexOf(in(0, letterOf(d)), in(1, letterOf(a)), in(0, letterOf(a)), in(0, letterOf(b)), in(1, letterOf(c)),
		says(0, b, Replayed), says(0, c, Purged), in(1, letterOf(anew)), in(1, &kgo.Record{}), says(1, Origin{"test", idA, 9, 9}, Replayed))
	names := func(f Filter) (names []string) {
		for _, e := range x.list(f) {
			names = append(names, x.name(e)+" "+e.State())
		}
		return names
	}
	want := []string{"test/0/1@" + idA + " new", "test/0/1@" + idB + " new", "test/0/2 replayed", "test/0/4 new"}
	if diff := cmp.Diff(want, names(Filter{})); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{want[2]}, names(Filter{State: StateReplayed})); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[2:3], names(Filter{Topic: "test", Reason: "not_json", Stage: "rekey-events", Since: time.UnixMilli(1002), Until: time.UnixMilli(1004)})); diff != "" {
		t.Errorf("by time (-want +got):\n%s", diff)
	}
	if got := names(Filter{Reason: "too_deep"}); got != nil {
		t.Errorf("too deep: %q", got)
	}
	if x.foreign != 1 {
		t.Errorf("%d foreign records", x.foreign)
	}
	for origin, want := range map[string]string{
		"test/0/2":         "",
		"test/0/1@" + idB:  "",
		"test/0/1":         "more than one incarnation",
		"test/0/3":         "purged",
		"test/9/9":         "no such entry",
		"test/0/4@" + idB:  "no such entry",
		"CorpAppsTopic/0/": "topic/partition/offset",
	} {
		_, err := x.find(origin)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("find %s: got %v, want %q", origin, err, want)
		}
	}
	if e, _ := x.find("test/0/1@" + idA); len(e.Letters) != 2 || e.Size != 2 {
		t.Errorf("the entry that is there twice: %+v", e)
	}
}
