package codecs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/potok-streams/potok/codecs"
)

// checkTally checks what must hold for every row.
func checkTally(t *testing.T, row *codecs.Tally) {
	t.Helper()
	for i := 1; i < len(row.Marks); i++ {
		a, b := row.Marks[i-1], row.Marks[i]
		if c := slices.Compare(a.Topic[:], b.Topic[:]); c > 0 || c == 0 && a.Partition >= b.Partition {
			t.Fatalf("marks are out of order: %+v", row.Marks)
		}
	}
	for i := 1; i < len(row.Labels); i++ {
		if row.Labels[i-1].Label >= row.Labels[i].Label {
			t.Fatalf("labels are out of order: %+v", row.Labels)
		}
	}
	if len(row.Labels) > codecs.MaxLabels && !row.Truncated {
		t.Fatalf("%d labels", len(row.Labels))
	}
}

// occurrence is one of a key's occurrences in the model.
type occurrence struct {
	topic     codecs.TopicID
	partition int32
	offset    int64
	label     string
	ms        int64
}

// history is all that ever happens to one key: each raw partition of each incarnation of the topic in its own order.
type history [][]occurrence

func randomHistory(r *rand.Rand) history {
	var h history
	for incarnation := range 1 + r.IntN(3) {
		topic := codecs.TopicID{byte(r.Uint32()), byte(incarnation)}
		for p := range 1 + r.IntN(4) {
			var list []occurrence
			offset := int64(r.IntN(3))
			for range r.IntN(40) {
				list = append(list, occurrence{topic, int32(p * 3), offset, fmt.Sprint("label", r.IntN(4)), int64(1000 + r.IntN(500))})
				offset += 1 + int64(r.IntN(3)*r.IntN(5)) // often adjacent, so that runs are cut within
			}
			h = append(h, list)
		}
	}
	return h
}

// cut makes a batch of some of one incarnation's occurrences: from a position in each partition up to another.
func (h history) cut(topic codecs.TopicID, from, to func(source int) int) *codecs.Batch {
	b := &codecs.Batch{Topic: topic}
	for i, list := range h {
		if len(list) == 0 || list[0].topic != topic || from(i) >= to(i) {
			continue
		}
		s := codecs.Source{Partition: list[0].partition}
		for _, o := range list[from(i):to(i)] {
			b.Span.Add(o.ms)
			label := slices.Index(b.Labels, o.label)
			if label < 0 {
				label = len(b.Labels)
				b.Labels = append(b.Labels, o.label)
			}
			if n := len(s.Runs) - 1; n >= 0 && s.Runs[n].Label == label && s.Runs[n].Offset+s.Runs[n].Length == o.offset {
				s.Runs[n].Length++
				continue
			}
			s.Runs = append(s.Runs, codecs.Run{Offset: o.offset, Length: 1, Label: label})
		}
		b.Sources = append(b.Sources, s)
	}
	return b
}

func (h history) topics() (ids []codecs.TopicID) {
	for _, list := range h {
		if len(list) > 0 && !slices.Contains(ids, list[0].topic) {
			ids = append(ids, list[0].topic)
		}
	}
	return ids
}

// want is the row by definition: the set.
func (h history) want() *codecs.Tally {
	row, labels := new(codecs.Tally), map[string]uint64{}
	for _, list := range h {
		for _, o := range list {
			row.Count++
			labels[o.label]++
			row.Span.Add(o.ms)
		}
		if n := len(list); n > 0 {
			row.Marks = append(row.Marks, codecs.Mark{Topic: list[0].topic, Partition: list[0].partition, Offset: list[n-1].offset})
		}
	}
	for l, n := range labels {
		row.Labels = append(row.Labels, codecs.LabelCount{Label: l, Count: n})
	}
	slices.SortFunc(row.Labels, func(a, b codecs.LabelCount) int { return strings.Compare(a.Label, b.Label) })
	slices.SortFunc(row.Marks, func(a, b codecs.Mark) int {
		if c := slices.Compare(a.Topic[:], b.Topic[:]); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return row
}

// play sends a history to a row as rekey does, with everything that may happen on the way: flushes that end anywhere,
// restarts from any earlier cut with other batch boundaries, and a late record of before that comes a second time. It
// returns the states that the row went through, as bytes.
func (h history) play(t *testing.T, r *rand.Rand) (states [][]byte) {
	row := new(codecs.Tally)
	committed, sent := make([]int, len(h)), make([]int, len(h))
	var late []*codecs.Batch
	apply := func(b *codecs.Batch) {
		b = decode(t, b, encode(t, b)).(*codecs.Batch)
		before := row.Count
		if fresh := row.Add(b); row.Count != before+uint64(fresh) {
			t.Fatalf("%d are new, but the count went from %d to %d", fresh, before, row.Count)
		}
		checkTally(t, row)
		states = append(states, encode(t, row))
		row = decode(t, row, states[len(states)-1]).(*codecs.Tally)
	}
	for step := 0; ; step++ {
		done := true
		for i := range h {
			done = done && committed[i] == len(h[i])
		}
		if done {
			return states
		}
		goal := slices.Clone(sent)
		for i := range h {
			goal[i] += r.IntN(min(6, len(h[i])-sent[i]) + 1)
			if step > 200 {
				goal[i] = len(h[i])
			}
		}
		for _, topic := range h.topics() {
			b := h.cut(topic, func(i int) int { return sent[i] }, func(i int) int { return goal[i] })
			if len(b.Sources) == 0 {
				continue
			}
			apply(b)
			if r.IntN(5) == 0 {
				late = append(late, b)
			}
		}
		sent = goal
		switch r.IntN(6) {
		case 0: // a crash: everything since the commit is read and sent again, cut in other places
			sent = slices.Clone(committed)
		case 1: // an abandoned send arrives late, or twice
			if len(late) > 0 {
				apply(late[r.IntN(len(late))])
			}
		case 2:
			apply(new(codecs.Batch)) // a touch
		default:
			committed = slices.Clone(sent)
		}
	}
}

func TestTallyIsTheSet(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 0))
		h := randomHistory(r)
		states := h.play(t, r)
		if len(states) == 0 {
			continue
		}
		got := decode(t, &codecs.Tally{}, states[len(states)-1])
		if diff := cmp.Diff(h.want(), got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d: (-want +got)\n%s", seed, diff)
		}
	}
}

// TestMergeLaws: on the states of one row the merge is the later one, in any order and grouping.
func TestMergeLaws(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		states := randomHistory(r).play(t, r)
		if len(states) == 0 {
			continue
		}
		var users []*codecs.User
		for range 5 {
			users = append(users, &codecs.User{Name: "n", Version: codecs.Version{Timestamp: int64(r.IntN(2)), Partition: int32(r.IntN(2)), Offset: int64(len(users))}})
		}
		users = append(users, nil)
		pick := func() (int, *codecs.Activity) {
			i := r.IntN(len(states))
			return i, &codecs.Activity{User: users[r.IntN(len(users))], Tally: *decode(t, &codecs.Tally{}, states[i]).(*codecs.Tally)}
		}
		merge := func(a, b *codecs.Activity) *codecs.Activity {
			m, diverged := codecs.MergeActivities(a, b)
			if diverged {
				t.Fatalf("seed %d: states of one row have diverged:\n%+v\n%+v", seed, a, b)
			}
			return m
		}
		same := func(law string, a, b *codecs.Activity) {
			t.Helper()
			if diff := cmp.Diff(encode(t, a), encode(t, b)); diff != "" {
				t.Fatalf("seed %d: %s:\n%s", seed, law, diff)
			}
		}
		for range 25 {
			i, a := pick()
			j, b := pick()
			_, c := pick()
			same("commutative", merge(a, b), merge(b, a))
			same("associative", merge(merge(a, b), c), merge(a, merge(b, c)))
			same("idempotent", merge(a, a), a)
			same("absorbs", merge(merge(a, b), b), merge(a, b))
			if supersedes := bytes.Equal(encode(t, merge(a, b)), encode(t, a)); supersedes != a.Age().Supersedes(b.Age()) {
				t.Fatalf("seed %d: that %+v supersedes %+v is %v", seed, a, b, !supersedes)
			}
			if summary, err := codecs.DecodeSummary(encode(t, a)); err != nil || summary.Age() != a.Age() {
				t.Fatalf("seed %d: the age of %+v is read as %+v: %v", seed, a, summary, err)
			}
			if got := encode(t, &merge(a, b).Tally); string(got) != string(states[max(i, j)]) {
				t.Fatalf("seed %d: the tally is not the later of states %d and %d", seed, i, j)
			}
			if u := merge(a, b).User; u != nil && (a.User != nil && u.Version.Compare(a.User.Version) < 0 || b.User != nil && u.Version.Compare(b.User.Version) < 0) {
				t.Fatalf("seed %d: an older user is kept", seed)
			}
		}
		if m, _ := codecs.MergeTallies(nil, nil); m != nil {
			t.Fatal("merge of nothing")
		}
	}
}

func TestMergeReportsDivergence(t *testing.T) {
	mark := func(p int32, offset int64) []codecs.Mark {
		return []codecs.Mark{{Topic: topicA, Partition: p, Offset: offset}}
	}
	a, b := &codecs.Tally{Count: 3, Marks: mark(0, 5)}, &codecs.Tally{Count: 4, Marks: mark(1, 2)}
	for _, pair := range [][2]*codecs.Tally{{a, b}, {b, a}} {
		if m, diverged := codecs.MergeTallies(pair[0], pair[1]); m != b || !diverged {
			t.Errorf("kept %+v, diverged %v: want the one that counted more, and the alarm", m, diverged)
		}
	}
	// Marks of another incarnation are no reason to be later.
	c := &codecs.Tally{Count: 1, Marks: []codecs.Mark{{Topic: topicB, Partition: 0, Offset: 99}}}
	if _, diverged := codecs.MergeTallies(a, c); !diverged {
		t.Error("marks of two incarnations were compared")
	}
}

func TestVersionOrder(t *testing.T) {
	rising := []codecs.Version{{-1, 9, 9}, {0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}, {1, 0, 1 << 40}, {2, 0, 0}}
	for i, v := range rising {
		for j, w := range rising {
			want := i - j
			if got := v.Compare(w); got*want < 0 || (got == 0) != (want == 0) {
				t.Errorf("%+v against %+v: %d", v, w, got)
			}
		}
	}
}

func TestMaxLabels(t *testing.T) {
	row, b := new(codecs.Tally), &codecs.Batch{Topic: topicA, Sources: []codecs.Source{{}}}
	for i := range 3 * codecs.MaxLabels { // every label twice in a row, and the early ones later again
		n := i / 2 % (codecs.MaxLabels + 200)
		b.Labels = append(b.Labels, fmt.Sprintf("label %04d", (n*7919)%9973))
		b.Sources[0].Runs = append(b.Sources[0].Runs, codecs.Run{Offset: int64(i), Length: 2, Label: i})
		b.Sources[0].Runs[i].Offset = int64(2 * i)
	}
	if fresh := row.Add(b); fresh != 6*codecs.MaxLabels || row.Count != uint64(fresh) {
		t.Fatalf("%d are new, count is %d", fresh, row.Count)
	}
	if len(row.Labels) != codecs.MaxLabels || !row.Truncated {
		t.Fatalf("%d labels, truncated %v", len(row.Labels), row.Truncated)
	}
	want := map[string]uint64{}
	for _, r := range b.Sources[0].Runs {
		want[b.Labels[r.Label]] += 2
	}
	for _, l := range row.Labels {
		if l.Count != want[l.Label] {
			t.Errorf("%s: %d, want %d", l.Label, l.Count, want[l.Label])
		}
	}
	checkTally(t, row)
	row.Add(b)
	if row.Count != 6*codecs.MaxLabels {
		t.Errorf("count after the same again: %d", row.Count)
	}
}

// TestLargestRow: a row stays below the message limit of our topics, 16 MiB.
func TestLargestRow(t *testing.T) {
	a := &codecs.Activity{User: &codecs.User{Name: strings.Repeat("n", codecs.MaxNameBytes), Email: strings.Repeat("e", codecs.MaxNameBytes)}}
	for i := range codecs.MaxLabels + 10 {
		label := fmt.Sprintf("%08d%s", i, strings.Repeat("x", codecs.MaxIDBytes-8))
		a.Tally.Add(&codecs.Batch{Topic: topicA, Labels: []string{label}, Sources: []codecs.Source{{Runs: []codecs.Run{{Offset: int64(i), Length: 1}}}}})
	}
	for p := range int32(4096) {
		for _, topic := range []codecs.TopicID{topicA, topicB} {
			a.Tally.Add(&codecs.Batch{Topic: topic, Sources: []codecs.Source{{Partition: p, Runs: []codecs.Run{{Offset: 1 << 62, Length: 1, Label: codecs.NoLabel}}}}})
		}
	}
	if n := len(encode(t, a)); n > 8<<20 {
		t.Errorf("%d bytes", n)
	}
}

func BenchmarkTallyAdd(b *testing.B) {
	row := new(codecs.Tally)
	batch := &codecs.Batch{Topic: topicA, Labels: []string{"click", "view", "login"}}
	for p := range int32(4) {
		batch.Sources = append(batch.Sources, codecs.Source{Partition: p, Runs: []codecs.Run{{Length: 1, Label: 0}, {Length: 2, Label: 1}, {Length: 1, Label: 2}}})
	}
	b.ReportAllocs()
	offset := int64(0)
	for b.Loop() {
		for s := range batch.Sources {
			for r := range batch.Sources[s].Runs {
				batch.Sources[s].Runs[r].Offset = offset + int64(10*r)
			}
		}
		offset += 100
		row.Add(batch)
	}
}

// TestSummary: a summary is the row, but for what it leaves out.
func TestSummary(t *testing.T) {
	row := &codecs.Activity{User: goldenUser()}
	row.Tally.Add(typicalBatch())
	for _, want := range []*codecs.Activity{row, {User: goldenUser()}, {Tally: row.Tally}} {
		b := codecs.AppendActivity(nil, want)
		want.Tally.Marks = nil
		got, err := codecs.DecodeSummary(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if _, err := codecs.DecodeSummary(b[:len(b)-1]); err == nil {
			t.Error("a row that is cut off has a summary")
		}
	}
}
