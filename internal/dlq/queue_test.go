package dlq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/broker"
	"github.com/potok-streams/potok/internal/kafka"
)

// fixture is an embedded broker with raw topics and a queue.
type fixture struct {
	t      *testing.T
	cfg    Config
	client *kgo.Client
	admin  *kadm.Client
	id     string // of the events topic
}

const rawPartitions = 3

func newFixture(t *testing.T) *fixture {
	t.Helper()
	b, err := broker.Start(broker.Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	k := kafka.Defaults()
	k.BootstrapServers = b.Addresses()
	cl, err := k.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	f := &fixture{t: t, cfg: Config{Kafka: k, Names: codecs.DefaultNames()}, client: cl, admin: kadm.NewClient(cl)}
	for topic, partitions := range map[string]int32{f.cfg.Names.Users: rawPartitions, f.cfg.Names.Events: rawPartitions, f.cfg.Names.DeadLetters(): 2} {
		if _, err := f.admin.CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	topics, err := f.admin.ListTopics(t.Context(), f.cfg.Names.Events)
	if err != nil {
		t.Fatal(err)
	}
	f.id = fmt.Sprintf("%x", codecs.TopicID(topics[f.cfg.Names.Events].ID))
	return f
}

func (f *fixture) produce(r *kgo.Record) {
	f.t.Helper()
	if err := f.client.ProduceSync(f.t.Context(), r).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// letter writes a letter of an event to a partition of the queue.
func (f *fixture) letter(partition int32, o Origin) Origin {
	f.t.Helper()
	if o.TopicID == "" {
		o.TopicID = f.id
	}
	r := letterOf(o, headers("h", "1")...)
	r.Partition = partition
	r.Headers[len(r.Headers)-1].Value = []byte(o.TopicID)
	f.produce(r)
	return o
}

func (f *fixture) event(partition int32, offset int64) Origin {
	return Origin{Topic: f.cfg.Names.Events, Partition: partition, Offset: offset}
}

func (f *fixture) open() *Queue {
	f.t.Helper()
	q, err := Open(f.t.Context(), f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(q.Close)
	return q
}

// committed returns the committed records of a topic.
func (f *fixture) committed(topic string) (records []*kgo.Record) {
	f.t.Helper()
	starts, err := kafka.Offsets(f.t.Context(), f.admin.ListStartOffsets, topic)
	if err != nil {
		f.t.Fatal(err)
	}
	ends, err := kafka.Offsets(f.t.Context(), f.admin.ListEndOffsets, topic)
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := newReader(f.cfg.Kafka, f.admin, topic, starts)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.close()
	err = r.until(f.t.Context(), ends, func(r *kgo.Record) {
		if !r.Attrs.IsControl() {
			records = append(records, r)
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return records
}

func (f *fixture) states() (states []string) {
	q := f.open()
	for _, e := range q.List(Filter{}) {
		states = append(states, q.Name(e)+" "+e.State())
	}
	return states
}

func (f *fixture) want(want ...string) {
	f.t.Helper()
	if diff := cmp.Diff(want, f.states()); diff != "" {
		f.t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// tally counts outcomes.
type tally struct{ replayed, already, failed int }

func (f *fixture) replay(q *Queue, entries []*Entry, mended []byte) tally {
	f.t.Helper()
	var n tally
	err := q.Replay(f.t.Context(), entries, mended, n.count)
	if err != nil {
		f.t.Errorf("replay: %v", err)
	}
	return n
}

func (n *tally) count(o Outcome) {
	switch {
	case o.Err != nil:
		n.failed++
	case o.Already:
		n.already++
	default:
		n.replayed++
	}
}

func TestReplayOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.letter(0, f.event(2, 7))
	f.letter(1, f.event(2, 7)) // written again after a crash
	f.letter(1, f.event(9, 8)) // a partition that is not there any more
	f.letter(0, Origin{Topic: "elsewhere", Partition: 0, Offset: 1, TopicID: idA})
	f.want("elsewhere/0/1 new", "test/2/7 new", "test/9/8 new")

	q := f.open()
	if n := f.replay(q, q.List(Filter{}), nil); n != (tally{replayed: 2, failed: 1}) {
		t.Errorf("first: %+v", n)
	}
	if n := f.replay(q, q.List(Filter{}), nil); n != (tally{already: 2, failed: 1}) {
		t.Errorf("again: %+v", n)
	}
	if other := f.open(); f.replay(other, other.List(Filter{}), nil) != (tally{already: 2, failed: 1}) {
		t.Error("another command replays again")
	}
	f.letter(0, f.event(2, 7)) // and once more
	f.want("elsewhere/0/1 new", "test/2/7 replayed", "test/9/8 replayed")

	got := map[int32]*kgo.Record{}
	for _, r := range f.committed(f.cfg.Names.Events) {
		got[r.Partition] = r
	}
	if len(got) != 2 || got[2] == nil {
		t.Fatalf("replayed: %v", got)
	}
	r := got[2]
	if string(r.Key) != "k" || string(r.Value) != "{" || r.Timestamp.UnixMilli() != 1007 || !cmp.Equal(r.Headers, headers("h", "1")) {
		t.Errorf("replayed: %+v", r)
	}
}

// TestReplayAfterACrash has a replay end between its last send and its commit.
func TestReplayAfterACrash(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.letter(0, f.event(1, 1))
	crashed := f.open()
	tx, err := crashed.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := crashed.List(Filter{})[0]
	err = tx.send(t.Context(), []*kgo.Record{{Topic: f.cfg.Names.Events, Partition: 1, Value: []byte("{")}, newNote(f.cfg.Names.DeadLetters(), 0, e.Origin, Replayed)}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	tx.client.CloseAllowingRebalance() // as SIGKILL: nothing is ended

	f.letter(0, f.event(1, 2)) // behind the open transaction, where it is not seen
	q := f.open()
	if !q.Hidden() || len(q.List(Filter{State: StateNew})) != 1 {
		t.Errorf("hidden %v, %d entries", q.Hidden(), len(q.List(Filter{})))
	}
	if n := f.replay(q, q.List(Filter{}), nil); n.replayed != 1 {
		t.Errorf("%+v", n)
	}
	if got := f.committed(f.cfg.Names.Events); len(got) != 1 {
		t.Errorf("%d records on the raw topic", len(got))
	}
	f.want("test/1/1 replayed", "test/1/2 new")
}

// TestFencedOff has a second command begin between a first one's sends and its commit, and before them.
func TestFencedOff(t *testing.T) {
	t.Parallel()
	for name, sendFirst := range map[string]bool{"before the commit": true, "before the send": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.letter(0, f.event(1, 1))
			slow := f.open()
			tx, err := slow.begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			e := slow.List(Filter{})[0]
			records := []*kgo.Record{{Topic: f.cfg.Names.Events, Partition: 1, Value: []byte("slow")}, newNote(f.cfg.Names.DeadLetters(), 0, e.Origin, Replayed)}
			if sendFirst {
				if err := tx.send(t.Context(), records, 1<<20); err != nil {
					t.Fatal(err)
				}
			}
			q := f.open()
			if n := f.replay(q, q.List(Filter{}), []byte("quick")); n.replayed != 1 {
				t.Errorf("%+v", n)
			}
			if !sendFirst {
				err = tx.send(t.Context(), records, 1<<20)
			} else {
				err = tx.commit(t.Context())
			}
			if !errors.Is(err, ErrFenced) {
				t.Errorf("the first command: %v", err)
			}
			tx.end(t.Context(), false)
			got := f.committed(f.cfg.Names.Events)
			if len(got) != 1 || string(got[0].Value) != "quick" {
				t.Errorf("on the raw topic: %v", got)
			}
			f.want("test/1/1 replayed")
		})
	}
}

func TestManyReplaysAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const letters = 40
	for i := range letters {
		f.letter(int32(i%2), f.event(0, int64(i)))
	}
	var all sync.WaitGroup
	for range 6 {
		q := f.open()
		all.Go(func() {
			var n tally
			if err := q.Replay(t.Context(), q.List(Filter{}), nil, n.count); err != nil && !errors.Is(err, ErrFenced) {
				t.Errorf("replay: %v", err)
			}
		})
	}
	all.Wait()
	q := f.open()
	f.replay(q, q.List(Filter{}), nil) // in case that all were fenced off
	if got := f.committed(f.cfg.Names.Events); len(got) != letters {
		t.Errorf("%d records on the raw topic, want %d", len(got), letters)
	}
}

func TestInterruptedReplay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.letter(0, f.event(1, 1))
	q := f.open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Replay(ctx, q.List(Filter{}), nil, func(o Outcome) { t.Errorf("outcome %+v", o) }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	f.want("test/1/1 new")
	if n := f.replay(q, q.List(Filter{}), nil); n.replayed != 1 {
		t.Errorf("then: %+v", n)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := f.letter(0, f.event(1, 1)), f.letter(0, f.event(1, 2))
	f.letter(1, f.event(1, 2))
	f.letter(0, f.event(1, 3))
	purge := func(origins ...Origin) PurgeResult {
		t.Helper()
		q := f.open()
		var entries []*Entry
		for _, o := range origins {
			e, err := q.Find(o.String())
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, e)
		}
		r, err := q.Purge(t.Context(), entries)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// Behind one that stays, nothing is deleted but the letter that is alone in its partition. The note stays, for nothing says
	// that the stage will not write the letter again.
	if r := purge(b); r != (PurgeResult{Purged: 1, Deleted: 1, Kept: 1}) {
		t.Errorf("purge %s: %+v", b, r)
	}
	f.want("test/1/1 new", "test/1/3 new")
	if r := purge(a); r != (PurgeResult{Purged: 1, Deleted: 2}) {
		t.Errorf("purge %s: %+v", a, r)
	}
	f.want("test/1/3 new")
	f.letter(1, f.event(1, 2)) // written again: it was purged all the same
	f.want("test/1/3 new")
	q := f.open()
	if _, err := q.Find(b.String()); !errors.Is(err, ErrUnknown) {
		t.Errorf("purged: %v", err)
	}
	if n := f.replay(q, q.List(Filter{}), nil); n.replayed != 1 {
		t.Errorf("%+v", n)
	}
	q = f.open()
	if r, err := q.Purge(t.Context(), q.List(Filter{State: StateReplayed})); err != nil || r != (PurgeResult{Purged: 1, Deleted: 2}) {
		t.Errorf("the rest: %+v, %v", r, err)
	}
	f.want()

	// Once the stage has committed past them, the notes go as well.
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: f.cfg.Names.Events, Partition: 1, At: 4, LeaderEpoch: -1, Metadata: f.id})
	if _, err := f.admin.CommitOffsets(t.Context(), f.cfg.Names.RekeyEventsGroup(), offsets); err != nil {
		t.Fatal(err)
	}
	if r := purge(); r.Deleted != 4 {
		t.Errorf("notes: %+v", r)
	}
	if left := f.committed(f.cfg.Names.DeadLetters()); len(left) != 0 {
		t.Errorf("%d records left in the queue", len(left))
	}
}

func TestNoQueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Names.Prefix = "other"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if q, err := Open(ctx, f.cfg); err == nil {
		q.Close()
		t.Error("opened a queue that is not there")
	} else if ctx.Err() != nil {
		t.Errorf("took too long: %v", err)
	}
}

// TestLetterSizes reads and replays letters that are large, empty and null.
func TestLetterSizes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	limit := "20000000"
	for _, topic := range []string{f.cfg.Names.DeadLetters(), f.cfg.Names.Users} {
		if _, err := f.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := f.cfg.Kafka.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(20_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	noise := make([]byte, 3_000_000) // does not compress
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	values := map[string][]byte{"CorpAppsTopic/0/1": noise, "CorpAppsTopic/0/2": {}, "CorpAppsTopic/0/3": nil, "CorpAppsTopic/0/4": noise, "test/0/5": noise}
	for origin, value := range values {
		o, _, err := ParseOrigin(origin)
		if err != nil {
			t.Fatal(err)
		}
		o.TopicID = idA
		r := letterOf(o)
		r.Value = value
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	q := f.open()
	for origin, want := range values {
		e, err := q.Find(origin)
		if err != nil {
			t.Fatal(err)
		}
		l, err := q.Letter(t.Context(), e)
		if err != nil || !bytes.Equal(l.Value, want) || (l.Value == nil) != (want == nil) {
			t.Errorf("%s: %d bytes (nil: %v), %v", origin, len(l.Value), l.Value == nil, err)
		}
	}
	if n := f.replay(q, q.List(Filter{}), nil); n != (tally{replayed: 4, failed: 1}) { // the events topic takes 1 MB
		t.Errorf("%+v", n)
	}
	if n := len(f.committed(f.cfg.Names.Users)) + len(f.committed(f.cfg.Names.Events)); n != 4 {
		t.Errorf("%d records on the raw topics", n)
	}
}
