package processors

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

const (
	keyedTopic = "keyed"
	countTopic = "counts"
	deadTopic  = "dead"
)

func rawEvent(user, event string) []byte {
	return fmt.Appendf(nil, `{"event_timestamp": "2026-11-22 10:00:00.123456", "user_id": %q, "page": "https://example.com/page/1", "event": %q}`, user, event)
}

func rawUser(id, name string) []byte {
	return fmt.Appendf(nil, `{"event_timestamp": "2026-11-22 10:00:00.123456", "user_id": %q, "email": "%s@example.org", "name": %q}`, id, name, name)
}

// take puts a record into the batch as the loop does; it reports whether the record is valid.
func take(b *batch, r *kgo.Record) bool {
	b.passed(r)
	held, err := b.keyed.add(r)
	b.held += held
	if err != nil {
		b.reject(r, codecs.DeadLetter{
			Topic: r.Topic, TopicID: b.topic, Partition: r.Partition, Offset: r.Offset,
			Reason: err.(*codecs.RejectError).Reason, Message: err.Error(), Stage: "stage",
		}, deadTopic)
	}
	return err == nil
}

// sent sorts a flush by topic and key and checks that no key comes twice on a stream.
func sent(t *testing.T, b *batch) map[string]map[string][]byte {
	t.Helper()
	all := map[string]map[string][]byte{keyedTopic: {}, countTopic: {}}
	b.each(keyedTopic, countTopic, func(topic string, key, value []byte) {
		if _, twice := all[topic][string(key)]; twice {
			t.Errorf("two records of key %q on %s", key, topic)
		}
		all[topic][string(key)] = bytes.Clone(value)
	})
	return all
}

// TestBatchReuse: a batch that is used again holds nothing of before, whatever was in it.
func TestBatchReuse(t *testing.T) {
	fill := func(b *batch, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		for offset := range int64(r.IntN(3000)) {
			v := rawEvent(fmt.Sprint("user", r.IntN(300)), fmt.Sprint("event", r.IntN(9)))
			if r.IntN(20) == 0 {
				v = v[:len(v)-1]
			}
			take(b, &kgo.Record{Topic: "test", Partition: int32(r.IntN(3)), Offset: offset, Value: v, Timestamp: time.UnixMilli(offset)})
		}
		if r.IntN(3) == 0 {
			b.lost("test", 5, 0, int64(r.IntN(1<<40)))
		}
	}
	used := newBatch(rawTopic, new(keyedEvents))
	for seed := range uint64(12) {
		fresh := newBatch(rawTopic, new(keyedEvents))
		fill(used, seed)
		fill(fresh, seed)
		if diff := cmp.Diff(sent(t, fresh), sent(t, used)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if len(used.dead) != len(fresh.dead) || used.held != fresh.held || !cmp.Equal(used.heads, fresh.heads) {
			t.Fatalf("seed %d: dead letters, sizes or offsets differ", seed)
		}
		used.reset()
		if !used.empty() || used.full() || len(sent(t, used)[keyedTopic])+len(sent(t, used)[countTopic]) != 0 {
			t.Fatal("not empty after reset")
		}
	}
}

// TestKeysInOrder: what is behind goes through its tables in their order.
func TestKeysInOrder(t *testing.T) {
	events, users := newBatch(rawTopic, new(keyedEvents)), newBatch(rawTopic, new(keyedUsers))
	r := rand.New(rand.NewPCG(1, 1))
	for offset := range int64(2000) {
		id := fmt.Sprintf("number-%x", r.IntN(500))[r.IntN(6):] // some share their first eight bytes, some are shorter
		take(events, &kgo.Record{Topic: "test", Offset: offset, Value: rawEvent(id, "click")})
		take(users, &kgo.Record{Topic: "test", Offset: offset, Value: rawUser(id, "Anna")})
	}
	for name, b := range map[string]*batch{"events": events, "users": users} {
		var keys []string
		b.each(keyedTopic, countTopic, func(topic string, key, _ []byte) {
			if topic == keyedTopic {
				keys = append(keys, string(key))
			}
		})
		if len(keys) < 100 || !slices.IsSorted(keys) {
			t.Errorf("%s: %d keys, sorted: %v", name, len(keys), slices.IsSorted(keys))
		}
	}
}

func TestBatchCounts(t *testing.T) {
	b := newBatch(rawTopic, new(keyedEvents))
	at := func(offset int64, v []byte) *kgo.Record {
		return &kgo.Record{Topic: "test", Partition: 2, Offset: offset, Value: v, Timestamp: time.UnixMilli(1000 + offset), LeaderEpoch: 7}
	}
	for offset, v := range [][]byte{rawEvent("a", "click"), rawEvent("", ""), []byte("{"), nil, rawEvent("a", "view"), []byte(`{"event_timestamp":"","page":"","event":"x"}`)} {
		take(b, at(int64(offset), v))
	}
	b.lost("test", 3, 10, 10+3<<30)
	if want := (kgo.EpochOffset{Epoch: 7, Offset: 6}); b.heads[2] != want {
		t.Errorf("partition 2 is at %+v", b.heads[2])
	}
	if b.heads[3].Offset != 10+3<<30 {
		t.Errorf("partition 3 is at %+v", b.heads[3])
	}
	got := map[string]uint64{}
	for key, v := range sent(t, b)[countTopic] {
		batch, err := codecs.DecodeBatch(v)
		if err != nil {
			t.Fatal(err)
		}
		row := new(codecs.Tally)
		row.Add(batch)
		if c, own := codecs.ParseCounter(key); own {
			key = fmt.Sprint(c)
		}
		got[key] = row.Count
	}
	want := map[string]uint64{
		"click": 1, "": 1, "view": 1, "{rejected test not_json}": 2, "{rejected test missing_field}": 1, "{lost test }": 3 << 30,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestNewestUser: a flush has the newest publication of each user, by time stamp, then partition, then offset.
func TestNewestUser(t *testing.T) {
	b := newBatch(rawTopic, new(keyedUsers))
	for _, p := range []struct {
		partition  int32
		offset, ms int64
		id, name   string
	}{{0, 1, 100, "a", "first"}, {0, 2, 100, "a", "second"}, {1, 0, 100, "a", "third"}, {0, 3, 99, "a", "older"}, {0, 4, -1, "", "empty"}} {
		v := rawUser(p.id, p.name)
		if !take(b, &kgo.Record{Partition: p.partition, Offset: p.offset, Value: v, Timestamp: time.UnixMilli(p.ms)}) {
			t.Fatalf("not valid: %s", v)
		}
		clear(v) // the fetch's memory is used again
	}
	got := map[string]string{}
	for id, v := range sent(t, b)[keyedTopic] {
		u, err := codecs.DecodeUser(v)
		if err != nil {
			t.Fatal(err)
		}
		got[id] = fmt.Sprint(u.Name, " ", u.Email, " ", u.Version)
	}
	want := map[string]string{"a": "third third@example.org {100 1 0}", "": "empty empty@example.org {-1 0 4}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestDeadLetter: key, value, headers and time stamp are the record's own, nil and empty told apart.
func TestDeadLetter(t *testing.T) {
	stamp := time.UnixMilli(-1)
	headers := make([]kgo.RecordHeader, 1, 8) // with room, in which nobody may write
	headers[0] = kgo.RecordHeader{Key: "h", Value: nil}
	b := newBatch(rawTopic, new(keyedEvents))
	records := []*kgo.Record{
		{Topic: "test", Partition: 4, Offset: 9, Key: nil, Value: nil, Timestamp: stamp, Headers: headers},
		{Topic: "test", Partition: 4, Offset: 10, Key: []byte{}, Value: []byte{}, Timestamp: stamp, Headers: headers},
		{Topic: "test", Partition: 4, Offset: 11, Key: []byte("k"), Value: []byte("x"), Timestamp: stamp},
	}
	for _, r := range records {
		if take(b, r) {
			t.Fatal("valid")
		}
	}
	letters := b.dead
	if len(letters) != len(records) {
		t.Fatalf("%d letters", len(letters))
	}
	for i, l := range letters {
		r := records[i]
		if (l.Key == nil) != (r.Key == nil) || (l.Value == nil) != (r.Value == nil) || !bytes.Equal(l.Key, r.Key) || !bytes.Equal(l.Value, r.Value) {
			t.Errorf("%d: key %#v, value %#v", i, l.Key, l.Value)
		}
		if !l.Timestamp.Equal(stamp) {
			t.Errorf("%d: time stamp %s", i, l.Timestamp)
		}
		if l.Partition != 0 || l.Offset != 0 {
			t.Errorf("%d: goes to partition %d", i, l.Partition)
		}
		n := len(r.Headers)
		if diff := cmp.Diff(r.Headers, l.Headers[:n]); n > 0 && diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
		got := map[string]string{}
		for _, h := range l.Headers[n:] {
			got[h.Key] = string(h.Value)
		}
		want := map[string]string{
			"__streams.errors.topic": "test", "__streams.errors.partition": "4", "__streams.errors.offset": fmt.Sprint(9 + i),
			"__streams.errors.exception": "not_json", "__streams.errors.stage": "stage", "potok.topic.id": fmt.Sprintf("%x", rawTopic),
			"__streams.errors.message": got["__streams.errors.message"],
		}
		if diff := cmp.Diff(want, got); diff != "" || got["__streams.errors.message"] == "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
	if spare := headers[:2][1]; spare.Key != "" {
		t.Errorf("the record's own headers were written to: %+v", spare)
	}
}

// TestFull: what is held as it is counts, whatever part of the record is large.
func TestFull(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	for name, r := range map[string]*kgo.Record{
		"value":        {Value: big},
		"key":          {Key: big},
		"header":       {Headers: []kgo.RecordHeader{{Key: "h", Value: big}}},
		"header's key": {Headers: []kgo.RecordHeader{{Key: string(big)}}},
		"user":         {Value: rawUser("u", string(big[:200<<10]))},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch(rawTopic, new(keyedUsers))
			for n := range 200 {
				take(b, r)
				if b.full() {
					if n < 20 {
						t.Errorf("full after %d", n)
					}
					return
				}
			}
			t.Error("never full")
		})
	}
}

// events are raw records as the reference programs write them, of many users.
func events(n int) []*kgo.Record {
	r := rand.New(rand.NewPCG(1, 0))
	types := []string{"click", "view", "scroll", "login", "purchase", "add_to_cart", "logout"}
	var out []*kgo.Record
	for i := range n {
		out = append(out, &kgo.Record{
			Topic: "test", Partition: int32(i % 4), Offset: int64(i / 4), Timestamp: time.UnixMilli(int64(i)),
			Value: rawEvent(fmt.Sprint(r.IntN(20_000)), types[r.IntN(len(types))]),
		})
	}
	return out
}

// TestBatchAllocations: in the steady state neither an event nor a key costs an allocation.
func TestBatchAllocations(t *testing.T) {
	raw := events(20_000)
	b := newBatch(rawTopic, new(keyedEvents))
	keys := 0
	round := func() {
		for _, r := range raw {
			take(b, r)
		}
		keys = 0
		b.each(keyedTopic, countTopic, func(string, []byte, []byte) { keys++ })
		b.reset()
	}
	round()
	allocs := testing.AllocsPerRun(5, round)
	if allocs > 200 {
		t.Errorf("%.0f allocations for %d events of %d keys", allocs, len(raw), keys)
	}
}

func BenchmarkRekeyBatch(b *testing.B) {
	raw := events(100_000)
	open := newBatch(rawTopic, new(keyedEvents))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, r := range raw {
			take(open, r)
		}
		open.each(keyedTopic, countTopic, func(string, []byte, []byte) {})
		open.reset()
		n += len(raw)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}
