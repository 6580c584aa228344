package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/verify"
)

// command runs a command to its end.
func command(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*deadline)
	defer cancel()
	var out, log bytes.Buffer
	code = run(ctx, args, func(k string) string { return env[k] }, &out, &log)
	if ctx.Err() != nil {
		t.Fatalf("potok %s did not end:\n%s", strings.Join(args, " "), log.String())
	}
	return code, out.String(), log.String()
}

// verified runs potok verify and checks how it ends, and what it says.
func verified(t *testing.T, env map[string]string, i *instance, code int, says ...string) {
	t.Helper()
	got, stdout, stderr := command(t, env, "verify", "--server", i.url, "--timeout", "100s")
	if got != code {
		t.Errorf("potok verify: exit code %d, want %d\n%s%s", got, code, stdout, stderr)
	}
	for _, s := range says {
		if !strings.Contains(stdout+stderr, s) {
			t.Errorf("potok verify does not say %q:\n%s%s", s, stdout, stderr)
		}
	}
}

func TestVerifyAgrees(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(11, 1))
		w.some(rnd, 2000)
		for _, users := range []bool{true, false} {
			for _, m := range malformed(users) {
				topic := w.names.Events
				if users {
					topic = w.names.Users
				}
				if len(m.value) > 1<<16 {
					w.acked.Wait() // two large ones in a batch would be too much for the topic
				}
				w.bad(&kgo.Record{Topic: topic, Partition: rnd.Int32N(3), Value: m.value})
				if len(m.value) > 1<<16 {
					w.acked.Wait()
				}
			}
		}
		w.event(rnd, "", "")
		for n := range 1005 { // more types than a row lists
			w.event(rnd, "busy", fmt.Sprint("type ", n))
		}
		env = with(t, env, t.TempDir())
		i := start(t, env, "run")

		// While writes go on: some rows are behind, others ahead of the ends.
		done := make(chan struct{})
		go func() {
			defer close(done)
			verified(t, env, i, exitDone, "equal")
		}()
		for writing := true; writing; {
			w.some(rnd, 40)
			select {
			case <-done:
				writing = false
			case <-time.After(100 * time.Millisecond):
			}
		}

		w.transactions(rnd)
		w.settled(i)
		code, stdout, stderr := command(t, env, "verify", "--server", i.url, "-o", "json", "--timeout", "100s")
		if code != exitDone {
			t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
		}
		var r verify.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		events := uint64(0)
		ids := map[string]bool{}
		for id, types := range w.events {
			ids[id] = true
			for _, n := range types {
				events += n
			}
		}
		for id := range w.users {
			ids[id] = true
		}
		if !r.Equal || r.Events != events || r.Rejected != w.rejected || r.Users != len(ids) || r.DifferenceCount != 0 {
			t.Errorf("got %+v, want %d events, %d rejected, %d users", r, events, w.rejected, len(ids))
		}
	})
}

// transactions publishes events in transactions; every other is aborted, the last one too.
func (w *world) transactions(rnd *rand.Rand) {
	w.t.Helper()
	w.acked.Wait()
	cl, err := w.kafka.Client(kgo.TransactionalID("writer"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	plain := w.client
	defer func() { w.client = plain }()
	w.client = cl
	before := w.events
	defer func() { w.events = before }()
	for n := range 6 {
		committed := n%2 == 0
		if err := cl.BeginTransaction(); err != nil {
			w.t.Fatal(err)
		}
		w.events = map[string]map[string]uint64{}
		for range 50 {
			w.event(rnd, fmt.Sprint("u", rnd.IntN(300)), "bought")
		}
		w.acked.Wait()
		end := kgo.TryAbort
		if committed {
			end = kgo.TryCommit
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), deadline)
		if err := cl.EndTransaction(ctx, end); err != nil {
			w.t.Fatal(err)
		}
		cancel()
		for id, types := range w.events {
			if !committed {
				break
			}
			if before[id] == nil {
				before[id] = map[string]uint64{}
			}
			before[id]["bought"] += types["bought"]
		}
	}
}

// plant writes a row into a table, as a stage gone wrong might.
func (w *world) plant(topic, key string, row []byte) {
	w.t.Helper()
	cl, err := w.kafka.Client() // places keys where the tables have them
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(w.t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: row}).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// rowIn returns a table's newest row of a key.
func (w *world) rowIn(topic, key string) []byte {
	w.t.Helper()
	var row []byte
	for _, r := range readAll(w.t, w, topic) {
		if string(r.Key) == key {
			row = r.Value
		}
	}
	if row == nil {
		w.t.Fatalf("%s has no row %q", topic, key)
	}
	return row
}

func TestVerifyFindsDifferences(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(12, 1))
		w.some(rnd, 500)
		for n := range 4 {
			w.user(rnd, fmt.Sprint("victim", n), "Имя", "mail", 1)
			w.event(rnd, fmt.Sprint("victim", n), "click")
			w.event(rnd, fmt.Sprint("victim", n), "focus")
		}
		env = with(t, env, t.TempDir())
		env["POTOK_SESSION_TIMEOUT"] = "6s"
		i := start(t, env, "run")
		w.settled(i)
		verified(t, env, i, exitDone, "equal")

		change := func(key string, f func(*codecs.Activity)) {
			a, err := codecs.DecodeActivity(w.rowIn(w.names.ActivityTable(), key))
			if err != nil {
				t.Fatal(err)
			}
			f(a)
			w.plant(w.names.ActivityTable(), key, codecs.AppendActivity(nil, a))
		}
		change("victim0", func(a *codecs.Activity) { a.Tally.Count++ })
		change("victim1", func(a *codecs.Activity) { a.User.Name = "Чужое имя" })
		change("victim2", func(a *codecs.Activity) { a.Tally.Labels[0].Count++; a.Tally.Span.Last += 1000 })
		change("victim3", func(a *codecs.Activity) { a.Tally.Marks[0].Offset += 1 << 20 })
		events, err := w.admin.ListTopics(t.Context(), w.names.Events)
		if err != nil {
			t.Fatal(err)
		}
		stranger := codecs.Activity{Tally: codecs.Tally{
			Count: 1, Labels: []codecs.LabelCount{{Label: "click", Count: 1}},
			Marks: []codecs.Mark{{Topic: codecs.TopicID(events[w.names.Events].ID), Offset: 1}},
		}}
		w.plant(w.names.ActivityTable(), "stranger", codecs.AppendActivity(nil, &stranger))
		tally, err := codecs.DecodeTally(w.rowIn(w.names.EventTypesTable(), "focus"))
		if err != nil {
			t.Fatal(err)
		}
		tally.Count += 2
		w.plant(w.names.EventTypesTable(), "focus", codecs.AppendTally(nil, tally))
		verified(t, env, i, exitDifference,
			`user "victim0": event_count is 3 instead of 2`,
			`user "victim1": name is "Чужое имя" instead of "Имя"`,
			`user "victim2": the count of "click" is 2 instead of 1`, `user "victim2": last_event_at is `,
			`user "victim3": the row has a mark at `,
			`user "stranger": the row has a mark at offset 1 of partition 0, where there is no event of it`,
			`event_type "focus": count is `, ` differences`)
		_, stdout, _ := command(t, env, "verify", "--server", i.url, "--max-differences", "1", "--timeout", "100s")
		if !strings.Contains(stdout, "more: --max-differences") {
			t.Errorf("the list is not cut:\n%s", stdout)
		}
		i.stop()
		w.skip(rnd, env)
		i = start(t, env, "run")
		verified(t, env, i, exitDifference, `user "lost": there is no row, but 1 events of the user`)
	})
}

// skip has the activity group's commit move past an event and a user that it has not read.
func (w *world) skip(rnd *rand.Rand, env map[string]string) {
	w.t.Helper()
	w.user(rnd, "lost", "Имя", "mail", 1)
	w.event(rnd, "lost", "click")
	w.acked.Wait()
	i := start(w.t, env, "process", "--stages", "rekey,users,event-types")
	eventually(w.t, "the rest is read", func() error {
		for _, r := range [][2]string{{w.names.RekeyUsersGroup(), w.names.Users}, {w.names.RekeyEventsGroup(), w.names.Events}, {w.names.UsersGroup(), w.names.UsersStream()}} {
			group, topic := r[0], r[1]
			lags, err := w.admin.Lag(w.t.Context(), group)
			if err != nil {
				return err
			}
			for _, l := range lags[group].Lag[topic] {
				if l.Lag > 0 && l.End.Offset > 0 {
					return fmt.Errorf("group %s is at %d of %s/%d, which ends at %d", group, l.Commit.At, topic, l.Partition, l.End.Offset)
				}
			}
		}
		return nil
	})
	i.stop()
	eventually(w.t, "the group's commit moves", func() error {
		ends, err := w.admin.ListEndOffsets(w.t.Context(), w.names.ActivityStream(), w.names.UsersTable())
		if err != nil {
			return err
		}
		to := kadm.Offsets{}
		ends.Each(func(o kadm.ListedOffset) { to.AddOffset(o.Topic, o.Partition, o.Offset, -1) })
		r, err := w.admin.CommitOffsets(w.t.Context(), w.names.ActivityGroup(), to) // not while it has members
		if err == nil {
			err = r.Error()
		}
		return err
	})
}

func TestVerifySaysWhatItCannotVerify(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(13, 1))
		w.some(rnd, 600)
		env = with(t, env, t.TempDir())
		i := start(t, env, "run")
		w.settled(i)
		r, err := w.admin.DeleteRecords(t.Context(), kadm.Offsets{w.names.Events: {1: {Topic: w.names.Events, Partition: 1, At: 7}}})
		if err == nil {
			err = r.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
		verified(t, env, i, exitFailed, "test/1: the records below offset 7 have expired; verified from there on", "no differences in what could be verified", errUnverified.Error())

		// The topic is deleted and made anew: its counts stay, and are of records that nobody can read any more.
		w.remake(w.names.Events, eventsPartitions)
		w.some(rnd, 300)
		w.settled(i)
		verified(t, env, i, exitFailed, "test was made anew", "no differences in what could be verified")
	})
}

// remake deletes a topic and makes it anew.
func (w *world) remake(topic string, partitions int32) {
	w.t.Helper()
	w.acked.Wait()
	if _, err := w.admin.DeleteTopic(w.t.Context(), topic); err != nil {
		w.t.Fatal(err)
	}
	w.makeTopic(topic, partitions)
	cl, err := w.kafka.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(6<<20))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	w.client = cl // a producer goes on with the topic that it knows
}

func TestVerifyGivesUp(t *testing.T) {
	t.Parallel()
	env := embedded(t)
	w := newWorld(t, env)
	w.some(rand.New(rand.NewPCG(14, 1)), 100)
	w.acked.Wait()
	env = with(t, env, t.TempDir())
	i := start(t, env, "view")
	code, _, stderr := command(t, env, "verify", "--server", i.url, "--timeout", "8s") // the view starts meanwhile
	if code != exitFailed || !strings.Contains(stderr, "the tables have not passed the fixed ends: group potok-rekey-users has read nothing") || !strings.Contains(stderr, "--timeout") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
	// Whatever is under way when the time is over: here an answer that never comes.
	view, err := url.Parse(i.url)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	pass := httputil.NewSingleHostReverseProxy(view)
	slow := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 2 { // the first while it checks the address, the second before it asks for the groups' offsets
			<-r.Context().Done()
			return
		}
		pass.ServeHTTP(rw, r)
	}))
	t.Cleanup(slow.Close)
	code, _, stderr = command(t, env, "verify", "--server", slow.URL, "--timeout", "3s")
	if code != exitFailed || !strings.Contains(stderr, "the tables have not passed the fixed ends") || asked.Load() < 3 {
		t.Errorf("a view that hangs: exit code %d, asked %d times:\n%s", code, asked.Load(), stderr)
	}
	code, _, stderr = command(t, env, "verify", "--server", i.url, "--events-topic", "other", "--timeout", "3s")
	if code != exitFailed {
		t.Errorf("other topics: exit code %d:\n%s", code, stderr)
	}
	if code, _, stderr = command(t, env, "verify", "--server", i.url, "-o", "csv"); code != exitWrongUse {
		t.Errorf("-o csv: exit code %d:\n%s", code, stderr)
	}
}
