package processors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/intern"
)

var rawTopic = codecs.TopicID{1, 2, 3}

// at is one occurrence as a naive implementation notes it.
type at struct {
	partition int32
	offset    int64
	label     string
}

// unfold lists a batch's occurrences one by one.
func unfold(t *testing.T, key string, b *codecs.Batch) (list []at) {
	t.Helper()
	if b.Topic != rawTopic {
		t.Fatalf("key %q: topic %x", key, b.Topic)
	}
	var used []bool
	for range b.Labels {
		used = append(used, false)
	}
	for i, s := range b.Sources {
		if slices.ContainsFunc(b.Sources[:i], func(o codecs.Source) bool { return o.Partition == s.Partition }) {
			t.Fatalf("key %q: partition %d twice", key, s.Partition)
		}
		for _, r := range s.Runs {
			label := "none"
			if r.Label != codecs.NoLabel {
				label, used[r.Label] = "label "+b.Labels[r.Label], true
			}
			for n := range r.Length {
				list = append(list, at{s.Partition, r.Offset + n, label})
			}
		}
	}
	if slices.Contains(used, false) {
		t.Fatalf("key %q: labels of others: %q, used %v", key, b.Labels, used)
	}
	return list
}

// TestGrouping: the batches are what maps of lists would hold, every time that the same occurrences are used again.
func TestGrouping(t *testing.T) {
	var o occurrences
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 0))
		want, spans := map[string][]at{}, map[string]codecs.Span{}
		next := make([]int64, 1+r.IntN(5))
		labelled := r.IntN(3) > 0
		keys, labels := 1+r.IntN(40), 1+r.IntN(6)
		for range r.IntN(600) {
			p := r.IntN(len(next))
			key := strings.Repeat("k", r.IntN(keys)) // the empty key among them
			var label []byte
			name := "none"
			if labelled {
				label = []byte(strings.Repeat("l", r.IntN(labels)))
				if label == nil {
					label = []byte{}
				}
				name = "label " + string(label)
			}
			next[p] += int64(r.IntN(2) * r.IntN(1000))
			length, ms := int32(1), int64(r.IntN(1000)-1)
			if r.IntN(20) == 0 {
				length = int32(1 + r.IntN(9))
			}
			o.add([]byte(key), label, int32(p*7), next[p], length, ms)
			for n := range length {
				want[key] = append(want[key], at{int32(p * 7), next[p] + int64(n), name})
			}
			next[p] += int64(length)
			s := spans[key]
			s.Add(ms)
			spans[key] = s
		}
		got := map[string][]at{}
		o.batches(rawTopic, func(text []byte, b *codecs.Batch) {
			key := string(text)
			if _, twice := got[key]; twice {
				t.Fatalf("seed %d: key %q twice", seed, key)
			}
			if b.Span != spans[key] {
				t.Fatalf("seed %d: key %q: span %+v, want %+v", seed, key, b.Span, spans[key])
			}
			back, err := codecs.DecodeBatch(codecs.AppendBatch(nil, b)) // also checks that runs rise
			if err != nil {
				t.Fatalf("seed %d: key %q: %v", seed, key, err)
			}
			got[key] = unfold(t, key, back)
		})
		order := func(a, b at) int { return int(a.partition-b.partition)<<32 + int(a.offset-b.offset) }
		for k := range want {
			slices.SortStableFunc(want[k], order)
			slices.SortStableFunc(got[k], order) // partitions come in any order; within one, AppendBatch would not decode
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(at{})); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		o.reset()
		if o.full() {
			t.Fatal("full after reset")
		}
		o.batches(rawTopic, func(key []byte, _ *codecs.Batch) { t.Fatalf("key %q after reset", key) })
	}
}

// TestRunsAreJoined: adjacent offsets with one label are one run.
func TestRunsAreJoined(t *testing.T) {
	var o occurrences
	for offset := range int64(100) {
		o.add([]byte("k"), nil, 0, offset, 1, 5)
	}
	o.batches(rawTopic, func(_ []byte, b *codecs.Batch) {
		want := []codecs.Source{{Runs: []codecs.Run{{Offset: 0, Length: 100, Label: codecs.NoLabel}}}}
		if diff := cmp.Diff(want, b.Sources); diff != "" {
			t.Error(diff)
		}
	})
}

// TestLargestRecord fills occurrences in the ways that make one key's record largest.
func TestLargestRecord(t *testing.T) {
	const limit = 15 << 20 // what the producer sends in one message at most
	for name, add := range map[string]func(o *occurrences, n int){
		"labels as long as can be": func(o *occurrences, n int) {
			o.add([]byte("k"), fmt.Appendf(nil, "%0*d", codecs.MaxIDBytes, n), 0, int64(n)*2, 1, 0)
		},
		"many short labels, offsets far apart": func(o *occurrences, n int) {
			o.add([]byte("k"), fmt.Appendf(nil, "%x", n), 0, int64(n+1)<<14, 1, 0)
		},
		"no labels, offsets far apart":   func(o *occurrences, n int) { o.add([]byte("k"), nil, 0, int64(n+1)<<14, 1, 0) },
		"many keys, one label":           func(o *occurrences, n int) { o.add(fmt.Append(nil, n%1000), []byte("l"), 0, int64(n+1)<<14, 1, 0) },
		"many partitions":                func(o *occurrences, n int) { o.add([]byte("k"), []byte("l"), int32(n%4096), int64(n+1)<<10, 1, 0) },
		"long runs":                      func(o *occurrences, n int) { o.add([]byte("k"), nil, 0, int64(n+1)<<14, 1<<13, 0) },
		"offsets as far apart as can be": func(o *occurrences, n int) { o.add([]byte("k"), nil, 0, int64(n+1)<<44, 1<<30, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			var o occurrences
			for n := 0; !o.full(); n++ {
				add(&o, n)
			}
			check := func(_ []byte, b *codecs.Batch) {
				if n := len(codecs.AppendBatch(nil, b)); n > limit {
					t.Errorf("%d bytes", n)
				}
			}
			if o.labels.Len() > 0 {
				o.labelBatches(rawTopic, check)
			}
			o.batches(rawTopic, check)
		})
	}
}

// TestLargestFlush: one label that is as long as can be, and a key for every occurrence of it.
func TestLargestFlush(t *testing.T) {
	var o occurrences
	label := []byte(strings.Repeat("l", codecs.MaxIDBytes))
	for n := 0; !o.full(); n++ {
		o.add(fmt.Append(nil, n), label, 0, int64(n), 1, 0)
	}
	total := 0
	var value []byte
	o.batches(rawTopic, func(key []byte, b *codecs.Batch) {
		value = codecs.AppendBatch(value[:0], b)
		total += len(key) + len(value)
	})
	if total > maxLabelUse+8<<20 {
		t.Errorf("%d bytes in one flush", total)
	}
}

// TestRecordsAreMeasured: a batch closes because of its largest record only, and not because of what all of them have.
func TestRecordsAreMeasured(t *testing.T) {
	const each = 4 // bytes of an occurrence, at least
	for name, labels := range map[string]int{"one label": 1, "many labels": 10} {
		t.Run(name, func(t *testing.T) {
			var o occurrences
			n := 0
			for ; !o.full() && n < 3_000_000; n++ {
				o.add(fmt.Append(nil, "key", n%1000), fmt.Append(nil, "label", n%labels), int32(n%4), int64(n)<<12, 1, 5)
			}
			if many := n > maxRecord/each; many != (labels > 1) {
				t.Errorf("full after %d", n)
			}
		})
	}
}

// TestLabelBatches: the same occurrences by label, whether they are asked for by key before that, after, or not at all.
func TestLabelBatches(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 9))
	var o occurrences
	for round := range 30 {
		o.reset()
		want := map[string]map[int32][]int64{}
		for offset := range int64(rnd.IntN(400)) {
			label, partition := fmt.Sprint("label", rnd.IntN(6)), rnd.Int32N(3)
			o.add([]byte(fmt.Sprint("key", rnd.IntN(20))), []byte(label), partition, offset, 1, offset)
			if want[label] == nil {
				want[label] = map[int32][]int64{}
			}
			want[label][partition] = append(want[label][partition], offset)
		}
		if round%3 == 1 {
			o.batches(rawTopic, func([]byte, *codecs.Batch) {})
		}
		for range 2 {
			got := map[string]map[int32][]int64{}
			o.labelBatches(rawTopic, func(text []byte, b *codecs.Batch) {
				label := string(text)
				got[label] = map[int32][]int64{}
				for _, s := range b.Sources {
					for _, r := range s.Runs {
						if r.Label != codecs.NoLabel {
							t.Fatalf("an occurrence of %s has a label", label)
						}
						for n := range r.Length {
							got[label][s.Partition] = append(got[label][s.Partition], r.Offset+n)
						}
					}
				}
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("round %d: %s", round, diff)
			}
			if round%3 == 2 {
				o.batches(rawTopic, func([]byte, *codecs.Batch) {})
			}
		}
	}
}

// TestResetBeforeKeysAreSettled: what waits for the number of its key is forgotten like all else.
func TestResetBeforeKeysAreSettled(t *testing.T) {
	var o occurrences
	for n := range intern.Together + 3 {
		o.add(fmt.Append(nil, "old", n), nil, 0, int64(n), 1, 5)
	}
	o.reset()
	o.add([]byte("new"), nil, 0, 0, 1, 5)
	got := 0
	o.batches(rawTopic, func(key []byte, b *codecs.Batch) {
		if got++; string(key) != "new" || len(unfold(t, "new", b)) != 1 {
			t.Errorf("key %q: %+v", key, b.Sources)
		}
	})
	if got != 1 {
		t.Errorf("%d keys", got)
	}
}

// TestMostKeys: a batch has no more keys than it may, and not many fewer.
func TestMostKeys(t *testing.T) {
	var o occurrences
	for n := int64(0); !o.full(); n++ {
		o.add(fmt.Append(nil, n), nil, 0, n, 1, 5)
	}
	o.settle()
	if n := o.keys.Len(); n > maxKeys || n < maxKeys-intern.Together {
		t.Errorf("%d keys", n)
	}
}
