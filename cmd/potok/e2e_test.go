package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
)

func TestCountsExactlyThroughARestart(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(1, 1))
		w.some(rnd, 2000) // before the first start
		env = with(t, env, t.TempDir())
		env["POTOK_METRICS_LISTEN"] = "127.0.0.1:0"
		i := start(t, env, "run")
		w.some(rnd, 2000) // while it runs
		w.settled(i)
		w.some(rnd, 500) // some of it in flight when it stops
		i.stop()
		w.some(rnd, 1500) // while it is stopped
		read, err := readSoFar(w)
		if err != nil {
			t.Fatal(err)
		}
		i = start(t, env, "run")
		w.some(rnd, 500)
		w.settled(i)
		if n := counter(t, i, "potok_raw_records_total"); n > 6500-read {
			t.Errorf("after the restart %d raw records were read, but only %d were new to it", n, 6500-read)
		}
	})
}

// readSoFar returns how many raw records the rekey stages have committed.
func readSoFar(w *world) (int, error) {
	w.acked.Wait()
	total := 0
	for _, group := range []string{w.names.RekeyUsersGroup(), w.names.RekeyEventsGroup()} {
		offsets, err := kafka.Committed(w.t.Context(), w.admin, group)
		if err != nil {
			return 0, err
		}
		for _, partitions := range offsets {
			for _, o := range partitions {
				total += int(max(o.At, 0))
			}
		}
	}
	return total, nil
}

// counter sums a metric over its labels.
func counter(t *testing.T, i *instance, name string) int {
	t.Helper()
	resp, err := http.Get(i.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	total := 0.0
	lines := readLines(t, resp.Body)
	for _, l := range lines {
		if strings.HasPrefix(l, name+"{") || strings.HasPrefix(l, name+" ") {
			var v float64
			if _, err := fmt.Sscan(l[strings.LastIndexByte(l, ' ')+1:], &v); err != nil {
				t.Fatalf("metric %q: %v", l, err)
			}
			total += v
		}
	}
	return int(total)
}

func TestOddUserIDs(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(2, 2))
		ids := []string{
			"", "__offset", strings.Repeat("x", 1024), strings.Repeat("я", 2048), "😀", `"quoted"`, "a/b//c", "%2F", "%", ".", "..", "../..",
			" ", "a b", "a+b", "a?b=c&d", "#", "\x00", "\n", "m", "r", "null", "-1", "𝔘𝔫𝔦", "e\u0301",
		}
		for n, id := range ids {
			w.event(rnd, id, fmt.Sprint("event ", n))
			w.event(rnd, id, "") // the empty event type counts, too
			if n%3 != 0 {
				w.user(rnd, id, "Имя "+id, "mail", 1)
			}
		}
		i := start(t, with(t, env, t.TempDir()), "run")
		w.settled(i)
		all := w.rows(i, "/v1/users?limit=10&sort=name&include=all")
		if len(all) != len(ids) {
			t.Errorf("include=all lists %d users of %d", len(all), len(ids))
		}
		for _, id := range ids {
			var r row
			if _, err := i.get("/v1/users/"+escape(id), &r); err != nil {
				t.Errorf("user %q: %v", id, err)
			} else if r.UserID != id || r.Count != 2 {
				t.Errorf("user %q: got %+v", id, r)
			}
		}
	})
}

// escape percent-encodes everything, as a careful client does.
func escape(id string) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func TestMalformedMessages(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		rnd := rand.New(rand.NewPCG(3, 3))
		w.some(rnd, 300)
		type original struct {
			record *kgo.Record
			reason string
		}
		sent := map[string]original{}
		for _, topic := range []string{w.names.Users, w.names.Events} {
			partitions := map[string]int32{w.names.Users: usersPartitions, w.names.Events: eventsPartitions}[topic]
			for n, m := range malformed(topic == w.names.Users) {
				r := &kgo.Record{Topic: topic, Partition: rnd.Int32N(partitions), Value: m.value, Timestamp: time.UnixMilli(1_600_000_000_000 + int64(n))}
				if n%2 == 0 {
					r.Key = []byte{0xff, byte(n)}
					r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}}
				}
				w.publish(r, func(r *kgo.Record) {
					w.rejected++
					sent[fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)] = original{r, m.reason}
				})
			}
			w.some(rnd, 300)
		}
		i := start(t, with(t, env, t.TempDir()), "run")
		w.some(rnd, 300)
		w.settled(i)
		letters := readAll(t, w, w.names.DeadLetters())
		if len(letters) != len(sent) {
			t.Errorf("%d dead letters of %d", len(letters), len(sent))
		}
		for _, l := range letters {
			origin, extra := originOf(l)
			o, ok := sent[origin]
			if !ok {
				t.Errorf("dead letter of %s, which was not sent", origin)
				continue
			}
			if diff := sameRecord(o.record, l); diff != "" {
				t.Errorf("dead letter of %s: %s", origin, diff)
			}
			if got := extra["__streams.errors.exception"]; got != o.reason {
				t.Errorf("dead letter of %s (%.60q): reason %q, want %q", origin, o.record.Value, got, o.reason)
			}
			if extra["__streams.errors.message"] == "" || !strings.HasPrefix(extra["__streams.errors.stage"], "rekey-") {
				t.Errorf("dead letter of %s: message %q, stage %q", origin, extra["__streams.errors.message"], extra["__streams.errors.stage"])
			}
		}
	})
}
