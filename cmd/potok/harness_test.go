package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/broker"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/testkafka"
)

// deadline bounds every wait of these tests.
const deadline = 60 * time.Second

// onBrokers runs a test on the embedded broker and, where the package testkafka allows, on Apache Kafka.
func onBrokers(t *testing.T, test func(t *testing.T, env map[string]string)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded(t))
	})
	t.Run("kafka", func(t *testing.T) {
		test(t, testkafka.Start(t).Env)
	})
}

func embedded(t *testing.T) map[string]string {
	t.Helper()
	b, err := broker.Start(broker.Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return map[string]string{"KAFKA_BOOTSTRAP_SERVERS": b.Addresses()[0]}
}

// instance is a running potok, in this process.
type instance struct {
	t      *testing.T
	url    string // of its views, if it has any
	cancel context.CancelFunc
	exit   chan int
	log    *syncBuffer
}

// syncBuffer takes the log and can be read meanwhile.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs potok with the arguments, and returns when it has said where it serves.
func start(t *testing.T, env map[string]string, args ...string) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{t: t, cancel: cancel, exit: make(chan int, 1), log: new(syncBuffer)}
	go func() {
		i.exit <- run(ctx, append(args, "--log-format", "json"), func(k string) string { return env[k] }, io.Discard, i.log)
	}()
	t.Cleanup(func() {
		if i.cancel != nil {
			i.stop()
		}
		if t.Failed() {
			t.Logf("log of potok %s:\n%s", strings.Join(args, " "), i.log)
		}
	})
	eventually(t, "potok says that it runs", func() error {
		select {
		case code := <-i.exit:
			t.Fatalf("potok %s ended with exit code %d:\n%s", strings.Join(args, " "), code, i.log)
		default:
		}
		lines := bufio.NewScanner(strings.NewReader(i.log.String()))
		for lines.Scan() {
			var l struct{ Msg, URL string }
			if json.Unmarshal(lines.Bytes(), &l) == nil && (l.Msg == "running" || l.Msg == "serving" || l.Msg == "processing") {
				i.url = l.URL
				return nil
			}
		}
		return fmt.Errorf("log: %s", i.log)
	})
	return i
}

// stop stops the instance as Ctrl-C does.
func (i *instance) stop() {
	i.t.Helper()
	i.cancel()
	i.cancel = nil
	select {
	case code := <-i.exit:
		if code != exitDone {
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1) // a bytes.Buffer takes everything
			i.t.Errorf("exit code %d:\n%s\ngoroutines now:\n%s", code, i.log, &stacks)
		}
	case <-time.After(2 * stopDeadline):
		i.t.Fatalf("did not stop:\n%s", i.log)
	}
}

// eventually waits until f returns nil.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, deadline, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// get asks the views and returns the answer, which must be 200, and its Potok-Lag.
func (i *instance) get(path string, into any) (lag string, err error) {
	resp, err := http.Get(i.url + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %.300s", path, resp.Status, body)
	}
	return resp.Header.Get("Potok-Lag"), json.Unmarshal(body, into)
}

// row is a user as the views serve it, times left out.
type row struct {
	UserID string            `json:"user_id"`
	Name   *string           `json:"name"`
	Email  *string           `json:"email"`
	Count  uint64            `json:"event_count"`
	Events map[string]uint64 `json:"events"`
}

type stats struct {
	UsersKnown    int    `json:"users_known"`
	WithEvents    int    `json:"users_with_events"`
	Counted       uint64 `json:"events_counted"`
	UnknownEvents uint64 `json:"events_of_unknown_users"`
	Rejected      uint64 `json:"messages_rejected"`
	Lost          uint64 `json:"lost"`
}

// world is what was published, and what must come of it. It is the oracle: it shares no code with the stages.
type world struct {
	t      *testing.T
	names  codecs.Names
	kafka  kafka.Config
	client *kgo.Client
	admin  *kadm.Client
	// Partitions that the raw topics have by now beyond those of newWorld.
	addedUsers, addedEvents int32

	mu       sync.Mutex
	users    map[string]publication
	events   map[string]map[string]uint64
	rejected uint64
	lost     uint64
	acked    sync.WaitGroup
}

type publication struct {
	name, email string
	at          codecs.Version
}

// kafkaOf returns the settings of an environment, as a command would have them.
func kafkaOf(t *testing.T, env map[string]string) kafka.Config {
	t.Helper()
	var c connection
	p := &program{getenv: func(k string) string { return env[k] }}
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.flags(f)
	if err := errors.Join(p.resolve(f), c.complete(p.getenv)); err != nil {
		t.Fatal(err)
	}
	return c.kafka
}

// newWorld makes the raw topics: three partitions of users, five of events.
func newWorld(t *testing.T, env map[string]string) *world {
	t.Helper()
	w := &world{t: t, names: codecs.DefaultNames(), kafka: kafkaOf(t, env), users: map[string]publication{}, events: map[string]map[string]uint64{}}
	w.connect()
	t.Cleanup(func() { w.client.Close() })
	w.makeTopic(w.names.Users, usersPartitions)
	w.makeTopic(w.names.Events, eventsPartitions)
	return w
}

// connect makes the clients, anew if there are some.
func (w *world) connect() {
	w.t.Helper()
	if w.client != nil {
		w.client.Close()
	}
	cl, err := w.kafka.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(4_500_000))
	if err != nil {
		w.t.Fatal(err)
	}
	w.client, w.admin = cl, kadm.NewClient(cl)
}

const (
	usersPartitions  = 3
	eventsPartitions = 5
)

func (w *world) makeTopic(name string, partitions int32) {
	w.t.Helper()
	limit := "5000000"
	eventually(w.t, "make "+name, func() error {
		r, err := w.admin.CreateTopic(context.Background(), partitions, 1, map[string]*string{"max.message.bytes": &limit}, name)
		if err == nil {
			err = r.Err
		}
		return err
	})
}

// publish sends a record and calls acked with it.
func (w *world) publish(r *kgo.Record, acked func(*kgo.Record)) {
	w.acked.Add(1)
	w.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		defer w.acked.Done()
		if err != nil {
			w.t.Errorf("publish to %s: %v", r.Topic, err)
			return
		}
		w.mu.Lock() // franz-go calls a client's promises one at a time, but there may be several clients
		defer w.mu.Unlock()
		acked(r)
	})
}

// user publishes a user; the time stamp decides which publication counts.
func (w *world) user(rnd *rand.Rand, id, name, email string, ms int64) {
	value, err := json.Marshal(map[string]string{"event_timestamp": "2026-11-22 10:00:00", "user_id": id, "name": name, "email": email})
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(&kgo.Record{Topic: w.names.Users, Partition: rnd.Int32N(usersPartitions + w.addedUsers), Value: value, Timestamp: time.UnixMilli(ms)}, func(r *kgo.Record) {
		p := publication{name, email, codecs.Version{Timestamp: ms, Partition: r.Partition, Offset: r.Offset}}
		if known, ok := w.users[id]; !ok || known.at.Compare(p.at) < 0 {
			w.users[id] = p
		}
	})
}

// event publishes an event.
func (w *world) event(rnd *rand.Rand, id, event string) {
	value, err := json.Marshal(map[string]string{"event_timestamp": "2026-11-22 10:00:00", "user_id": id, "page": "https://example.com/", "event": event})
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(&kgo.Record{Topic: w.names.Events, Partition: rnd.Int32N(eventsPartitions + w.addedEvents), Value: value}, func(*kgo.Record) {
		if w.events[id] == nil {
			w.events[id] = map[string]uint64{}
		}
		w.events[id][event]++
	})
}

// bad publishes something that must be rejected.
func (w *world) bad(r *kgo.Record) {
	w.publish(r, func(*kgo.Record) { w.rejected++ })
}

// some publishes users and events at random.
func (w *world) some(rnd *rand.Rand, n int) {
	types := []string{"click", "scroll", "submit", "download", "focus"}
	for range n {
		id := fmt.Sprint("u", rnd.IntN(300))
		if rnd.IntN(4) == 0 {
			w.user(rnd, id, fmt.Sprint("Имя ", rnd.IntN(1000)), fmt.Sprintf("m%d@mail.ru", rnd.IntN(1000)), 1_700_000_000_000+rnd.Int64N(1000))
		} else {
			w.event(rnd, id, types[rnd.IntN(len(types))])
		}
	}
}

// settled waits until everything that was published is in the answers, and compares both results with the oracle.
func (w *world) settled(i *instance) {
	w.t.Helper()
	w.acked.Wait()
	eventually(w.t, "nothing is on its way", func() error {
		var s stats
		lag, err := i.get("/v1/stats", &s)
		if err == nil && lag != "0" {
			err = fmt.Errorf("lag is %s: %+v", lag, s)
		}
		return err
	})
	wantRows, wantTypes := map[string]row{}, map[string]uint64{}
	var want stats
	for id, p := range w.users {
		want.UsersKnown++
		if w.events[id] != nil {
			want.WithEvents++
			wantRows[id] = row{UserID: id, Name: &p.name, Email: &p.email, Events: w.events[id]}
		}
	}
	for id, events := range w.events {
		total := uint64(0)
		for event, n := range events {
			total += n
			wantTypes[event] += n
		}
		want.Counted += total
		if r, ok := wantRows[id]; ok {
			r.Count = total
			wantRows[id] = r
		} else {
			want.UnknownEvents += total
		}
	}
	want.Rejected, want.Lost = w.rejected, w.lost
	if diff := cmp.Diff(wantRows, w.rows(i, "/v1/users?limit=97&sort=user_id")); diff != "" {
		w.t.Errorf("result A (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantTypes, w.types(i)); diff != "" {
		w.t.Errorf("result B (-want +got):\n%s", diff)
	}
	var got stats
	if _, err := i.get("/v1/stats", &got); err != nil {
		w.t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// rows pages through a listing.
func (w *world) rows(i *instance, path string) map[string]row {
	w.t.Helper()
	rows := map[string]row{}
	for cursor := ""; ; {
		var page struct {
			Users []row  `json:"users"`
			Next  string `json:"next_cursor"`
		}
		if _, err := i.get(path+"&cursor="+url.QueryEscape(cursor), &page); err != nil {
			w.t.Fatal(err)
		}
		for _, r := range page.Users {
			if _, twice := rows[r.UserID]; twice {
				w.t.Errorf("user %q is listed twice", r.UserID)
			}
			rows[r.UserID] = r
		}
		if cursor = page.Next; cursor == "" {
			return rows
		}
	}
}

func (w *world) types(i *instance) map[string]uint64 {
	w.t.Helper()
	var answer struct {
		EventTypes []struct {
			Event string `json:"event"`
			Count uint64 `json:"count"`
		} `json:"event_types"`
	}
	if _, err := i.get("/v1/event-types", &answer); err != nil {
		w.t.Fatal(err)
	}
	types := map[string]uint64{}
	for _, e := range answer.EventTypes {
		types[e.Event] = e.Count
	}
	return types
}

// with returns an environment with a directory of its own for local state.
func with(t *testing.T, env map[string]string, dir string) map[string]string {
	t.Helper()
	env = maps.Clone(env)
	env["POTOK_DATA_DIR"] = dir
	env["POTOK_LISTEN"] = "127.0.0.1:0"
	env["POTOK_PARTITIONS"] = "4"
	if v := os.Getenv("POTOK_TEST_LOG_LEVEL"); v != "" {
		env["POTOK_LOG_LEVEL"] = v
	}
	return env
}
