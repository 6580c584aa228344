package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/purge"
	"github.com/potok-streams/potok/internal/topology"
)

// TestRawTopicsMadeAnew: old counts stay and the new topic's events are counted, although their offsets begin again.
func TestRawTopicsMadeAnew(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(5, 5))
		env = with(t, env, t.TempDir())
		i := start(t, env, "run")
		w.some(rnd, 800)
		w.settled(i)
		w.anew(w.names.Events, eventsPartitions) // while it runs
		w.some(rnd, 500)
		w.settled(i)
		w.anew(w.names.Users, usersPartitions)
		w.some(rnd, 300)
		w.settled(i)
		i.stop()
		w.anew(w.names.Events, eventsPartitions) // while it is stopped
		w.anew(w.names.Users, usersPartitions)
		w.some(rnd, 1500)
		w.settled(start(t, env, "run"))
	})
}

// anew deletes a topic and makes it again. The client that publishes is made anew, too: it would go on with the old topic.
func (w *world) anew(topic string, partitions int32) {
	w.t.Helper()
	w.acked.Wait()
	if _, err := w.admin.DeleteTopics(w.t.Context(), topic); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the topic is gone", func() error {
		topics, err := w.admin.ListTopics(w.t.Context(), topic)
		if err == nil && topics.Has(topic) {
			err = fmt.Errorf("%s is still there", topic)
		}
		return err
	})
	w.makeTopic(topic, partitions)
	w.connect()
}

// TestTransactions: of raw records that were written in transactions only the committed ones count, and the markers between
// them hold nothing up.
func TestTransactions(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(6, 6))
		i := start(t, with(t, env, t.TempDir()), "run")
		plain := w.client
		tx, err := w.kafka.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("writer"))
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Close()
		for n := range 12 {
			if err := tx.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if n%3 == 1 {
				for range 30 { // these are to leave no trace
					tx.Produce(t.Context(), &kgo.Record{
						Topic: w.names.Events, Partition: rnd.Int32N(eventsPartitions),
						Value: []byte(`{"event_timestamp":"","user_id":"aborted","page":"","event":"aborted"}`),
					}, nil)
					tx.Produce(t.Context(), &kgo.Record{Topic: w.names.Users, Partition: rnd.Int32N(usersPartitions), Value: []byte("aborted")}, nil)
				}
			} else {
				w.client = tx
				w.some(rnd, 60)
				w.client = plain
			}
			if err := tx.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := tx.EndTransaction(t.Context(), kgo.TransactionEndTry(n%3 != 1)); err != nil {
				t.Fatal(err)
			}
			if n < 11 { // the last record of a partition is to be a marker
				w.some(rnd, 20)
			}
		}
		w.settled(i)
		if code, out := runOnce(t, env, "verify", "--partitions", "4", "--server", i.url); code != exitDone {
			t.Errorf("verify: exit code %d: %s", code, out)
		}
	})
}

// TestExpiredUnread: raw records that expire before they are read are counted as lost, once.
func TestExpiredUnread(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(7, 7))
		env = with(t, env, t.TempDir())
		i := start(t, env, "run")
		w.some(rnd, 600)
		w.settled(i)
		i.stop()
		for range 50 {
			w.publish(&kgo.Record{Topic: w.names.Events, Partition: 1, Value: []byte(`{"event_timestamp":"","user_id":"gone","page":"","event":"gone"}`)}, func(*kgo.Record) {})
		}
		w.acked.Wait()
		ends, err := w.admin.ListEndOffsets(t.Context(), w.names.Events)
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup(w.names.Events, 1)
		expire := kadm.Offsets{}
		expire.AddOffset(w.names.Events, 1, end.Offset, -1)
		if r, err := w.admin.DeleteRecords(t.Context(), expire); err != nil || r.Error() != nil {
			t.Fatal(err, r.Error())
		}
		w.lost = 50
		w.some(rnd, 300)
		i = start(t, env, "run")
		w.settled(i)
		if !strings.Contains(i.log.String(), "raw records expired before they were read") {
			t.Error("nothing is said of it")
		}
		i.stop()
		w.settled(start(t, env, "run")) // once
	})
}

// TestPurge: streams are cut below what all readers have committed, and never above.
func TestPurge(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(8, 8))
		cfg := topology.Config{Names: w.names, Partitions: 4}
		p := purge.New(w.kafka, cfg, nil)
		once := func() {
			t.Helper()
			if err := p.Once(t.Context(), w.admin); err != nil {
				t.Fatal(err)
			}
		}
		env = with(t, env, t.TempDir())
		w.some(rnd, 500)
		rekey := start(t, env, "process", "--stages", "rekey") // nobody reads the streams yet
		eventually(t, "raw topics are read", func() error {
			n, err := readSoFar(w)
			if err == nil && n < 500 {
				err = fmt.Errorf("%d of 500", n)
			}
			return err
		})
		once()
		for _, topic := range []string{w.names.UsersStream(), w.names.ActivityStream(), w.names.EventTypesStream()} {
			if first, _ := w.bounds(topic); first != 0 {
				t.Errorf("%s: %d records are gone that nobody has read", topic, first)
			}
		}
		rekey.stop()
		i := start(t, env, "run")
		w.settled(i)
		once()
		for _, topic := range []string{w.names.UsersStream(), w.names.ActivityStream(), w.names.EventTypesStream()} {
			if first, end := w.bounds(topic); first != end || end == 0 {
				t.Errorf("%s: reaches from %d to %d, all of it is read", topic, first, end)
			}
		}
		w.some(rnd, 500)
		w.settled(i)
	})
}

// bounds sums the first and the next offsets of a topic's partitions.
func (w *world) bounds(topic string) (first, end int64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	starts, err := w.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	ends, err := w.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	starts.Each(func(o kadm.ListedOffset) { first += o.Offset })
	ends.Each(func(o kadm.ListedOffset) { end += o.Offset })
	return first, end
}

// TestPartitionsAddedWhileStopped: a static member that is back within the session time-out gets the partitions that it had,
// and no rebalance tells its group of those that were added meanwhile.
func TestPartitionsAddedWhileStopped(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(1, 1))
		env = with(t, env, t.TempDir())
		i := start(t, env, "run")
		w.some(rnd, 200)
		w.settled(i)
		i.stop()
		for topic, more := range map[string]int{w.names.Users: 1, w.names.Events: 2} {
			resp, err := w.admin.CreatePartitions(t.Context(), more, topic)
			if err == nil {
				err = resp.Error()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.addedUsers, w.addedEvents = 1, 2
		w.connect() // the client knows the old numbers
		w.some(rnd, 200)
		w.settled(start(t, env, "run"))
	})
}

// TestDefaultPartitions: how many partitions topics get depends on the cluster, unless it is said.
func TestDefaultPartitions(t *testing.T) {
	t.Parallel()
	other, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	elsewhere := map[string]string{"KAFKA_BOOTSTRAP_SERVERS": other.ListenAddrs()[0]}
	for _, test := range []struct {
		env  map[string]string
		args []string
		want int
	}{{embedded(t), nil, 4}, {elsewhere, nil, 16}, {embedded(t), []string{"--partitions", "2"}, 2}} {
		code, out, stderr := command(t, test.env, append([]string{"topics", "-o", "json"}, test.args...)...)
		var got struct{ Topics []topology.Topic }
		if err := json.Unmarshal([]byte(out), &got); code != exitDone || err != nil || len(got.Topics) != 9 {
			t.Fatalf("exit code %d, %v:\n%s%s", code, err, out, stderr)
		}
		for _, topic := range got.Topics {
			if topic.Partitions != test.want {
				t.Errorf("%s has %d partitions, want %d", topic.Name, topic.Partitions, test.want)
			}
		}
	}
}
