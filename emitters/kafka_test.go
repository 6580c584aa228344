package emitters

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/internal/kafka"
)

const (
	usersTopic  = "CorpAppsTopic"
	eventsTopic = "test"
)

func newCluster(t *testing.T) (*kfake.Cluster, kafka.Config) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, usersTopic, eventsTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	conn := kafka.Defaults()
	conn.BootstrapServers = c.ListenAddrs()
	return c, conn
}

func newClient(t *testing.T, conn kafka.Config, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := conn.Client(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// readAll returns all that is on a topic now, or the first want records.
func readAll(t *testing.T, conn kafka.Config, topic string, want int) []*kgo.Record {
	t.Helper()
	cl := newClient(t, conn, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []*kgo.Record
	for len(all) < want {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("read %s: %d of %d: %v", topic, len(all), want, err)
		}
		all = append(all, f.Records()...)
	}
	return all
}

func emitUsers(t *testing.T, conn kafka.Config, cfg UsersConfig) {
	t.Helper()
	cfg.Topic = usersTopic
	stats, err := EmitUsers(t.Context(), cfg, newClient(t, conn))
	if err != nil || stats.Published != cfg.Count {
		t.Fatalf("%+v, %v", stats, err)
	}
}

func eventsConfig() EventsConfig {
	cfg := DefaultEventsConfig()
	cfg.UsersTopic, cfg.EventsTopic = usersTopic, eventsTopic
	cfg.Seed = 11
	cfg.IdleExit = time.Second
	cfg.Now = clock
	return cfg
}

func TestUsersOnKafka(t *testing.T) {
	_, conn := newCluster(t)
	var lines []string
	const n = 200
	emitUsers(t, conn, UsersConfig{Count: n, Seed: 3, Now: clock, Print: func(line []byte) { lines = append(lines, string(line)) }})

	want := map[string]bool{}
	g := NewUserGenerator(3, clock)
	for range n {
		want[string(g.Next().AppendJSON(nil))] = true
	}
	for _, line := range lines {
		if !want[line] {
			t.Errorf("printed %s", line)
		}
	}
	if len(lines) != n {
		t.Errorf("printed %d lines", len(lines))
	}
	records := readAll(t, conn, usersTopic, n)
	if len(records) != n {
		t.Errorf("%d records, want %d", len(records), n)
	}
	for _, r := range records {
		if r.Key != nil || len(r.Headers) != 0 {
			t.Errorf("key %q, headers %v", r.Key, r.Headers)
		}
		if !want[string(r.Value)] {
			t.Errorf("unexpected or second %s", r.Value)
		}
		delete(want, string(r.Value))
	}
}

func TestUsersOnAMissingTopic(t *testing.T) {
	_, conn := newCluster(t)
	_, err := EmitUsers(t.Context(), UsersConfig{Topic: "missing", Count: 1}, newClient(t, conn, kgo.UnknownTopicRetries(1)))
	if err == nil || !strings.Contains(err.Error(), "publish to topic missing partition -1: UNKNOWN_TOPIC_OR_PARTITION") {
		t.Errorf("got %v", err)
	}
}

// wantEvents makes the events that the users on the topic are to get.
func wantEvents(t *testing.T, cfg EventsConfig, users []*kgo.Record) map[string]int {
	t.Helper()
	want := map[string]int{}
	g := NewEventGenerator(cfg.Seed, cfg.Pages, cfg.Min, cfg.Max, cfg.Now)
	for _, r := range users {
		u, ok := decodeUser(r.Value)
		if !ok {
			t.Fatalf("no user: %s", r.Value)
		}
		for _, e := range g.Next(u) {
			want[string(e.AppendJSON(nil))]++
		}
	}
	return want
}

func total(m map[string]int) (n int) {
	for _, c := range m {
		n += c
	}
	return n
}

func checkEvents(t *testing.T, conn kafka.Config, want map[string]int) {
	t.Helper()
	records := readAll(t, conn, eventsTopic, total(want))
	got := map[string]int{}
	for _, r := range records {
		if r.Key != nil || len(r.Headers) != 0 {
			t.Fatalf("key %q, headers %v", r.Key, r.Headers)
		}
		got[string(r.Value)]++
	}
	if len(records) != total(want) {
		t.Errorf("%d events, want %d", len(records), total(want))
	}
	for value, n := range want {
		if got[value] != n {
			t.Errorf("%d times %s, want %d", got[value], value, n)
		}
	}
}

func TestEventsOnKafkaAndRestarts(t *testing.T) {
	_, conn := newCluster(t)
	cfg := eventsConfig()
	printed := 0
	cfg.Print = func([]byte) { printed++ }
	sum := EventsStats{}
	for part := range 3 { // three runs of both, each stopped cleanly
		emitUsers(t, conn, UsersConfig{Count: 300, Seed: uint64(part), Now: clock})
		stats, err := EmitEvents(t.Context(), cfg, conn)
		if err != nil || stats.Users != 300 || stats.Skipped != 0 {
			t.Fatalf("run %d: %+v, %v", part, stats, err)
		}
		sum.Published += stats.Published
	}
	want := wantEvents(t, cfg, readAll(t, conn, usersTopic, 900))
	if sum.Published != total(want) || printed != total(want) {
		t.Errorf("published %d, printed %d, want %d", sum.Published, printed, total(want))
	}
	checkEvents(t, conn, want)
}

func TestEventsStoppedInTheMiddle(t *testing.T) {
	_, conn := newCluster(t)
	emitUsers(t, conn, UsersConfig{Count: 5000, Seed: 1, Now: clock})
	cfg := eventsConfig()
	cfg.IdleExit = 0
	users := 0
	for stopAfter := 1; users < 2000; stopAfter *= 3 { // from within Print, so in the middle of a batch
		ctx, cancel := context.WithCancel(t.Context())
		printed := 0
		cfg.Print = func([]byte) {
			if printed++; printed == stopAfter {
				cancel()
			}
		}
		stats, err := EmitEvents(ctx, cfg, conn)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		users += stats.Users
	}
	cfg.Print, cfg.IdleExit = nil, time.Second
	stats, err := EmitEvents(t.Context(), cfg, conn)
	if err != nil || users+stats.Users != 5000 {
		t.Fatalf("%d users in all, %v", users+stats.Users, err)
	}
	checkEvents(t, conn, wantEvents(t, cfg, readAll(t, conn, usersTopic, 5000)))
}

func TestEventsSkipWhatIsNoUser(t *testing.T) {
	_, conn := newCluster(t)
	values := []string{
		`{"user_id": 5}`, `{"user_id": null}`, `{"USER_ID": "x"}`, `{}`, `[]`, `null`, `"x"`, `{"user_id": "x"`, "", "\xff",
		`{"user_id": "x"} more`,
	}
	users := []string{`{"user_id": ""}`, `{"user_id": "😀", "name": 7, "email": null}`, `{"user_id": 1, "user_id": "last"}`}
	cl := newClient(t, conn)
	for _, v := range append(values, users...) {
		r := &kgo.Record{Topic: usersTopic, Value: []byte(v), Key: []byte("a key")}
		if v == "" {
			r.Value = nil
		}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	cfg := eventsConfig()
	cfg.Min = 3
	cfg.Max = 3
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	stats, err := EmitEvents(t.Context(), cfg, conn)
	if want := (EventsStats{Users: 3, Skipped: len(values), Published: 9}); err != nil || stats != want {
		t.Errorf("%+v, %v, want %+v", stats, err, want)
	}
	if n := strings.Count(log.String(), "no users"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	ids := map[string]int{}
	for _, r := range readAll(t, conn, eventsTopic, 9) {
		var e struct {
			ID string `json:"user_id"`
		}
		if err := json.Unmarshal(r.Value, &e); err != nil {
			t.Fatal(err)
		}
		ids[e.ID]++
	}
	if ids[""] != 3 || ids["😀"] != 3 || ids["last"] != 3 {
		t.Errorf("events by id: %v", ids)
	}
	if stats, err := EmitEvents(t.Context(), cfg, conn); err != nil || stats != (EventsStats{}) {
		t.Errorf("what was skipped came again: %+v, %v", stats, err)
	}
}

func TestEventsIdleExit(t *testing.T) {
	_, conn := newCluster(t)
	cfg := eventsConfig()
	start := time.Now()
	stats, err := EmitEvents(t.Context(), cfg, conn)
	if err != nil || stats != (EventsStats{}) {
		t.Errorf("%+v, %v", stats, err)
	}
	if took := time.Since(start); took < cfg.IdleExit {
		t.Errorf("gave up after %v", took)
	}
}

// A user whose events could not be published is not committed: the next run makes them.
func TestEventsFailedAreMadeByTheNextRun(t *testing.T) {
	cluster, conn := newCluster(t)
	emitUsers(t, conn, UsersConfig{Count: 50, Seed: 1, Now: clock})
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				answer.Partitions = append(answer.Partitions, part)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true // this one request only
	})
	cfg := eventsConfig()
	_, err := EmitEvents(t.Context(), cfg, conn)
	if err == nil || !strings.Contains(err.Error(), "publish to topic test partition ") || !strings.Contains(err.Error(), "TOPIC_AUTHORIZATION_FAILED") {
		t.Fatalf("got %v", err)
	}
	stats, err := EmitEvents(t.Context(), cfg, conn)
	if err != nil || stats.Users != 50 {
		t.Errorf("%+v, %v", stats, err)
	}
	got := map[string]bool{}
	for _, r := range readAll(t, conn, eventsTopic, stats.Published) {
		got[string(r.Value)] = true
	}
	for value := range wantEvents(t, cfg, readAll(t, conn, usersTopic, 50)) {
		if !got[value] {
			t.Errorf("missing %s", value)
		}
	}
}

func TestEventsConfigValidate(t *testing.T) {
	err := EventsConfig{Min: 2, Max: 1, IdleExit: -1}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("want six problems, got %v", err)
	}
	cfg := eventsConfig()
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg.EventsTopic = cfg.UsersTopic
	if cfg.Validate() == nil {
		t.Error("would feed itself")
	}
	if _, err := EmitEvents(t.Context(), EventsConfig{}, kafka.Config{}); err == nil {
		t.Error("ran without topics")
	}
}
