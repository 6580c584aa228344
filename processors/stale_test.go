package processors

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/kafka"
)

// TestStaleRow: an owner that was paused appends a row that is older than its successor's. Whoever recovers the table next
// keeps the better row, and has it written again on top of the old one, before compaction can drop it. The owner itself
// does so as soon as it finds that its own next row was not the next in the changelog, or, if it writes nothing, that the
// changelog has become longer. The same goes for a row that somebody deletes.
func TestStaleRow(t *testing.T) {
	for name, last := range map[string]func(stale []byte) []byte{
		"older row": func(stale []byte) []byte { return stale },
		"tombstone": func([]byte) []byte { return nil },
	} {
		for _, who := range []string{busyOwner, quietOwner, successor} {
			t.Run(name+" found by "+who, func(t *testing.T) {
				t.Parallel()
				testStaleRow(t, who, last)
			})
		}
	}
}

const (
	busyOwner  = "the owner"
	quietOwner = "an owner that writes nothing"
	successor  = "its successor"
)

func testStaleRow(t *testing.T, who string, last func(stale []byte) []byte) {
	names := codecs.DefaultNames()
	_, conf := newBroker(t, names, 1)
	cl, err := conf.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	write := func(topic, key string, value []byte) {
		t.Helper()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	table := newTableReader(t, conf, names.ActivityTable())

	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	run := func(dir string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		p := engine.NewProcessor(engine.Config{Kafka: conf, Dir: dir, Memory: engine.NewMemory(), Logger: slog.New(slog.DiscardHandler), OnDiskFailure: func(err error) { t.Error(err) }}, Activity(names, metrics, nil))
		go func() { done <- p.Run(ctx, func() {}) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	stop := run(t.TempDir())
	write(names.ActivityStream(), "u", codecs.AppendBatch(nil, clicks(0, 3)))
	stale := table.await(func(a *codecs.Activity) bool { return a.Tally.Count == 3 })
	write(names.ActivityStream(), "u", codecs.AppendBatch(nil, clicks(3, 10)))
	good := table.await(func(a *codecs.Activity) bool { return a.Tally.Count == 10 })
	if who == successor {
		stop()
	}
	write(names.ActivityTable(), "u", last(stale))
	table.awaitRaw(func(value []byte) bool { return string(value) == string(last(stale)) })
	switch who {
	case busyOwner:
		write(names.ActivityStream(), "other", codecs.AppendBatch(nil, clicks(10, 11)))
	case successor:
		stop = run(t.TempDir()) // another instance, with an empty disk
	}
	defer func() { stop() }()
	table.awaitRaw(func(value []byte) bool { return string(value) == string(good) })
	if n := testutil.ToFloat64(metrics.merged.WithLabelValues(names.ActivityTable(), "stale")); n != 1 {
		t.Errorf("%v stale rows are counted", n)
	}
}

// tableReader follows a table's changelog.
type tableReader struct {
	t  *testing.T
	cl *kgo.Client
}

func newTableReader(t *testing.T, conf kafka.Config, topic string) *tableReader {
	t.Helper()
	cl, err := conf.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &tableReader{t, cl}
}

// awaitRaw reads on until a record's value is as wanted, and returns it.
func (r *tableReader) awaitRaw(ok func(value []byte) bool) []byte {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	var seen []string
	for {
		fetches := r.cl.PollRecords(ctx, 1)
		if err := fetches.Err0(); err != nil {
			r.t.Fatalf("the row did not come: %v; seen: %q", err, seen)
		}
		for _, rec := range fetches.Records() {
			if ok(rec.Value) {
				return rec.Value
			}
			seen = append(seen, fmt.Sprintf("%.60x", rec.Value))
		}
	}
}

func (r *tableReader) await(ok func(*codecs.Activity) bool) []byte {
	r.t.Helper()
	return r.awaitRaw(func(value []byte) bool {
		a, err := codecs.DecodeActivity(value)
		return err == nil && ok(a)
	})
}
