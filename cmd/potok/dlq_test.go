package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/dlq"
)

// queue is the dead letter queue of a test, asked by the commands.
type queue struct {
	t   *testing.T
	w   *world
	env map[string]string
}

// listed is an entry as `potok dlq list -o json` has it.
type listed struct {
	Origin, Reason, Message, Stage, State string
	Time                                  time.Time
	Size                                  int
}

func (q queue) list(args ...string) (entries []listed) {
	q.t.Helper()
	out := q.do(exitDone, append([]string{"list", "-o", "json"}, args...)...)
	var answer struct{ Entries []listed }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		q.t.Fatalf("%v: %s", err, out)
	}
	return answer.Entries
}

// states returns the entries that are listed, with their states.
func (q queue) states(args ...string) (states []string) {
	q.t.Helper()
	for _, e := range q.list(args...) {
		states = append(states, e.Origin+" "+e.State)
	}
	return states
}

// do runs `potok dlq` and returns what it printed.
func (q queue) do(want int, args ...string) string {
	q.t.Helper()
	code, stdout, stderr := command(q.t, q.env, append([]string{"dlq"}, args...)...)
	if code != want {
		q.t.Errorf("potok dlq %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, stdout, stderr)
	}
	if code == exitDone {
		return stdout
	}
	return stdout + stderr
}

func (q queue) says(want int, what string, args ...string) {
	q.t.Helper()
	if out := q.do(want, args...); !strings.Contains(out, what) {
		q.t.Errorf("potok dlq %s does not say %q:\n%s", strings.Join(args, " "), what, out)
	}
}

// reject publishes an event that is not valid, and returns its origin.
func (q queue) reject(r kgo.Record) string {
	q.t.Helper()
	origin := ""
	r.Topic = q.w.names.Events
	q.w.publish(&r, func(r *kgo.Record) {
		q.w.rejected++
		origin = fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
	})
	q.w.acked.Wait()
	return origin
}

// file writes a file for --with.
func (q queue) file(content string) string {
	q.t.Helper()
	name := filepath.Join(q.t.TempDir(), "mended.json")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		q.t.Fatal(err)
	}
	return name
}

// committed returns the committed records of a topic that its raw readers would be given.
func (q queue) committed(topic string) (records []*kgo.Record) {
	q.t.Helper()
	ends, err := q.w.admin.ListEndOffsets(q.t.Context(), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		q.t.Fatal(err)
	}
	cl, err := kafkaOf(q.t, q.env).Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(idle))
	if err != nil {
		q.t.Fatal(err)
	}
	defer cl.Close()
	starts, err := q.w.admin.ListStartOffsets(q.t.Context(), topic)
	if err != nil {
		q.t.Fatal(err)
	}
	next := map[int32]int64{}
	for _, start := range starts[topic] {
		next[start.Partition] = start.Offset
	}
	ctx, cancel := context.WithTimeout(q.t.Context(), deadline)
	defer cancel()
	eventually(q.t, "read "+topic, func() error {
		for _, e := range ends[topic] {
			for next[e.Partition] < e.Offset {
				fetches := cl.PollFetches(ctx)
				if err := fetches.Err0(); err != nil {
					return err
				}
				fetches.EachRecord(func(r *kgo.Record) {
					next[r.Partition] = r.Offset + 1
					if !r.Attrs.IsControl() {
						records = append(records, r)
					}
				})
			}
		}
		return nil
	})
	return records
}

const goodEvent = `{"event_timestamp": "2026-11-22 10:00:00", "user_id": "u1", "page": "https://example.com/", "event": "mended"}`

func TestDeadLettersAreReplayedOnce(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		env = with(t, env, t.TempDir())
		q := queue{t, w, env}
		w.some(rand.New(rand.NewPCG(31, 1)), 100)
		first := q.reject(kgo.Record{
			Partition: 4, Key: []byte{0xff}, Value: []byte("{\x1b[2J"), Timestamp: time.UnixMilli(1_600_000_000_000),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("\x1b")}, {Key: "h", Value: nil}},
		})
		second := q.reject(kgo.Record{Partition: 1, Value: []byte("[]"), Timestamp: time.UnixMilli(1_600_000_001_000)})
		i := start(t, env, "run")
		w.settled(i)

		if diff := cmp.Diff([]string{first + " new", second + " new"}, q.states()); diff != "" {
			t.Fatalf("listed (-want +got):\n%s", diff)
		}
		if got := q.list("--reason", "wrong_type"); len(got) != 1 || got[0].Origin != second || got[0].Stage != "rekey-events" || got[0].Size != 2 ||
			got[0].Time.UnixMilli() != 1_600_000_001_000 || !strings.Contains(got[0].Message, "not an object") {
			t.Errorf("by reason: %+v", got)
		}
		for _, args := range [][]string{{"--since", "2020-09-13T12:26:41Z"}, {"--limit", "1"}} {
			if got := q.states(args...); !slices.Equal(got, []string{second + " new"}) {
				t.Errorf("%v: %q", args, got)
			}
		}
		if got := q.states("--topic", w.names.Users); got != nil {
			t.Errorf("of users: %q", got)
		}
		q.says(exitDone, first, "list")
		q.says(exitDone, "origin,time,reason,message,size,state", "list", "-o", "csv")

		// Whole, as people and programs get it.
		shown := q.do(exitDone, "show", first)
		if strings.Contains(shown, "\x1b") || strings.Contains(shown, "\xff") || !strings.Contains(shown, `{\x1b[2J`) || !strings.Contains(shown, `\xff`) || !strings.Contains(shown, "(null)") {
			t.Errorf("show: %q", shown)
		}
		if raw := q.do(exitDone, "show", "--raw", first); raw != "{\x1b[2J" {
			t.Errorf("show --raw: %q", raw)
		}
		var whole struct {
			Origin, Value, Reason string
			Key                   *string
			KeyBytes              string `json:"key_base64"`
			Headers               []struct {
				Key   string
				Value *string
			}
		}
		if err := json.Unmarshal([]byte(q.do(exitDone, "show", "-o", "json", first)), &whole); err != nil {
			t.Fatal(err)
		}
		if whole.Origin != first || whole.Value != "{\x1b[2J" || whole.Reason != "not_json" || whole.Key != nil ||
			whole.KeyBytes != base64.StdEncoding.EncodeToString([]byte{0xff}) || len(whole.Headers) != 2 || whole.Headers[1].Value != nil {
			t.Errorf("show -o json: %+v", whole)
		}

		// As it is: it is back on its partition as it was, and is rejected again.
		q.says(exitDone, "replayed", "replay", first)
		w.rejected++
		w.settled(i)
		again := ""
		for _, r := range q.committed(w.names.Events) {
			if r.Partition == 4 && bytes.Equal(r.Key, []byte{0xff}) && fmt.Sprintf("%s/4/%d", r.Topic, r.Offset) != first {
				again = fmt.Sprintf("%s/4/%d", r.Topic, r.Offset)
				if !r.Timestamp.Equal(time.UnixMilli(1_600_000_000_000)) || len(r.Headers) != 2 || r.Headers[1].Value != nil || string(r.Value) != "{\x1b[2J" {
					t.Errorf("replayed: %+v", r)
				}
			}
		}
		if diff := cmp.Diff([]string{first + " replayed", again + " new", second + " new"}, q.states("--all")); diff != "" {
			t.Errorf("after a replay (-want +got):\n%s", diff)
		}
		if got := q.states(); len(got) != 2 {
			t.Errorf("without --all: %q", got)
		}

		// Mended: it is counted, once.
		q.says(exitFailed, "would be rejected again", "replay", second, "--with", q.file("{}"))
		q.says(exitDone, "replayed", "replay", second, "--with", q.file(goodEvent))
		if w.events["u1"] == nil {
			w.events["u1"] = map[string]uint64{}
		}
		w.events["u1"]["mended"]++
		w.settled(i)
		q.says(exitDone, "already replayed", "replay", second, "--with", q.file(goodEvent))
		q.says(exitDone, "already replayed", "replay", second, first)
		w.settled(i)

		q.says(exitDone, "1 purged", "purge", again, "--yes")
		q.says(exitFailed, "no such entry", "show", again)
		q.says(exitFailed, "no such entry", "replay", again)
		q.says(exitDone, "2 purged", "purge", "--all", "--replayed", "--yes")
		if got := q.states("--all"); got != nil {
			t.Errorf("after the purge: %q", got)
		}
		if left := q.committed(w.names.DeadLetters()); len(left) != 0 {
			t.Errorf("%d records left in the queue", len(left))
		}
		w.settled(i)
	})
}

func TestDeadLettersTwiceAndReplaysAtOnce(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		env = with(t, env, t.TempDir())
		q := queue{t, w, env}
		const rejected = 20
		for n := range int32(rejected) {
			q.reject(kgo.Record{Partition: n % eventsPartitions, Value: fmt.Appendf(nil, `{"user_id": "u%d", "event": `, n), Timestamp: time.UnixMilli(1_600_000_000_000 + int64(n))})
		}
		i := start(t, env, "run")
		w.settled(i)
		// The stage has crashed between its letters and its commit, as it were: all letters are there again, elsewhere.
		for _, l := range q.committed(w.names.DeadLetters()) {
			l := &kgo.Record{Topic: l.Topic, Partition: (l.Partition + 1) % 4, Key: l.Key, Value: l.Value, Headers: l.Headers, Timestamp: l.Timestamp}
			if err := w.client.ProduceSync(t.Context(), l).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		before := q.states()
		if len(before) != rejected {
			t.Errorf("%d entries, want %d", len(before), rejected)
		}

		// One replay ends between its last send and its commit; it had also replayed something.
		crashed, err := kafkaOf(t, env).Client(kgo.TransactionalID(w.names.DeadLetters()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		origin := strings.Fields(before[0])[0]
		parts := strings.Split(origin, "/")
		note := &kgo.Record{Topic: w.names.DeadLetters(), Key: []byte(origin), Headers: []kgo.RecordHeader{
			{Key: dlq.HeaderNote, Value: []byte(dlq.Replayed)},
			{Key: "__streams.errors.topic", Value: []byte(parts[0])},
			{Key: "__streams.errors.partition", Value: []byte(parts[1])},
			{Key: "__streams.errors.offset", Value: []byte(parts[2])},
		}}
		err = errors.Join(crashed.BeginTransaction(), crashed.ProduceSync(t.Context(), &kgo.Record{Topic: w.names.Events, Value: []byte("never")}, note).FirstErr())
		if err != nil {
			t.Fatal(err)
		}
		crashed.Close()

		// Each by its name: --all has those as well that one replay made and the other one found, if they were not quite at once.
		replay := []string{"dlq", "replay"}
		for _, entry := range before {
			replay = append(replay, strings.Fields(entry)[0])
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for range 2 {
			all.Go(func() {
				code, stdout, stderr := command(t, env, replay...)
				mu.Lock()
				defer mu.Unlock()
				if code == exitDone {
					done++
				} else if code != exitFailed || !strings.Contains(stderr, "another potok dlq command") {
					t.Errorf("exit code %d:\n%s%s", code, stdout, stderr)
				}
			})
		}
		all.Wait()
		if done == 0 {
			t.Error("neither replay was done")
		}
		w.rejected += rejected
		w.settled(i)
		if n := len(q.committed(w.names.Events)); n != 2*rejected {
			t.Errorf("%d committed raw records, want %d", n, 2*rejected)
		}
		if all := q.states("--all"); len(all) != 2*rejected {
			t.Errorf("%d entries, want %d", len(all), 2*rejected)
		}
		for _, origin := range before {
			q.says(exitDone, "already replayed", "replay", strings.Fields(origin)[0])
		}
		w.settled(i)
	})
}

func TestDeadLettersWrongUse(t *testing.T) {
	t.Parallel()
	env := with(t, embedded(t), t.TempDir())
	newWorld(t, env)
	q := queue{t: t, env: env}
	q.says(exitFailed, "there is no topic potok-dlq", "list")
	if code, _, stderr := command(t, env, "topics"); code != exitDone {
		t.Fatal(stderr)
	}
	if got := q.states(); got != nil {
		t.Errorf("entries: %q", got)
	}
	for _, args := range [][]string{
		{},
		{"show"},
		{"show", "a/0/1", "b/0/1"},
		{"show", "test/0"},
		{"show", "test/0/1", "-o", "csv"},
		{"replay"},
		{"replay", "--all", "test/0/1"},
		{"replay", "test/0/1", "--reason", "not_json"},
		{"replay", "--all", "--with", "x"},
		{"replay", "a/0/1", "b/0/1", "--with", "x"},
		{"purge", "--yes"},
		{"purge", "test/0/1", "--replayed"},
		{"list", "--since", "yesterday"},
		{"list", "--limit", "-1"},
		{"list", "-o", "xml"},
		{"list", "x"},
	} {
		q.do(exitWrongUse, args...)
	}
	for _, args := range [][]string{{"show", "test/0/1"}, {"replay", "test/0/1"}, {"purge", "test/0/1", "--yes"}} {
		q.says(exitFailed, "no such entry", args...)
	}
	q.says(exitFailed, "no such file", "replay", "test/0/1", "--with", filepath.Join(t.TempDir(), "missing"))
	q.says(exitDone, "0 replayed", "replay", "--all")
	q.says(exitDone, "0 purged", "purge", "--all")
}
