package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/broker"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/topology"
	"github.com/potok-streams/potok/processors"
)

// restoreDeadline bounds every wait of this package's tests and benchmarks.
const restoreDeadline = 5 * time.Minute

// tablePartitions is how many partitions the restored table has.
const tablePartitions = 4

// TestRestoreIsVisible: while a table is restored, what a stage says of its progress and the log tell how far it is.
func TestRestoreIsVisible(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	table := newTable(t, embedded(t))
	table.write(t, 0, rows/2)
	// A row that comes a second time is merged with the first, and merging waits for the test: that partition stays where it is,
	// and the others don't.
	twice := kafka.PartitionOf([]byte(table.key(0)), tablePartitions)
	table.write(t, 0, 1)
	table.write(t, rows/2, rows)

	merging, goOn := make(chan struct{}), make(chan struct{})
	log := new(lines)
	p := table.restore(t, t.TempDir(), slog.New(slog.NewJSONHandler(log, nil)), func(merge engine.Merge) engine.Merge {
		return func(topic string, old, incoming []byte) ([]byte, bool, error) {
			close(merging) // once: there is one such row
			<-goOn
			return merge(topic, old, incoming)
		}
	})
	var release sync.Once
	t.Cleanup(func() { release.Do(func() { close(goOn) }) }) // before the processor is stopped
	await(t, merging, "the row that comes twice")

	within(t, "the other partitions are restored", func() error {
		progress := table.progress(p)
		for partition, is := range progress {
			if partition != twice && (!is.Done || is.Offset != is.End-1) {
				return fmt.Errorf("%+v", progress)
			}
		}
		if len(progress) != tablePartitions {
			return fmt.Errorf("%+v", progress)
		}
		return nil
	})
	held := table.progress(p)[twice]
	if held.Done || held.Offset < 1 || held.Offset >= held.End-1 || held.End < rows/tablePartitions/2 {
		t.Errorf("the partition that is held reports %+v", held)
	}
	if n := restored(table.progress(p)); n <= rows/2 || n > rows {
		t.Errorf("%d rows of %d are reported to be restored", n, rows)
	}

	want := restoringLine{Level: "INFO", Msg: "restoring table", Stage: "activity", Table: table.names.ActivityTable(), Left: held.End - held.Offset - 1}
	within(t, "the log says how far it is", func() error {
		for _, text := range log.all() {
			var got restoringLine
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				return err
			}
			if got == want {
				return nil
			}
		}
		return fmt.Errorf("no %+v in %q", want, log.all())
	})

	release.Do(func() { close(goOn) })
	await(t, p.ready, "the processor is ready")
	if n := restored(table.progress(p)); n != rows+1 {
		t.Errorf("%d records are restored of %d", n, rows+1)
	}
}

// restoringLine is what the log says of a table that is being restored, its speed left out.
type restoringLine struct {
	Level, Msg, Stage, Table string
	Left                     int64 `json:"records_left"`
}

// lines takes a log and can be read meanwhile.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.text.String(), func(r rune) bool { return r == '\n' })
}

func await(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(restoreDeadline):
		t.Fatalf("%s: not within %s", what, restoreDeadline)
	}
}

// within waits until f returns nil.
func within(t testing.TB, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(restoreDeadline); ; time.Sleep(20 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, restoreDeadline, err)
		}
	}
}

// table is an activity table's changelog on a broker, with everything else that the group needs.
type table struct {
	kafka kafka.Config
	names codecs.Names
}

func embedded(t testing.TB) []string {
	t.Helper()
	b, err := broker.Start(broker.Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Addresses()
}

func newTable(t testing.TB, brokers []string) *table {
	t.Helper()
	tb := &table{kafka: kafka.Defaults(), names: codecs.DefaultNames()}
	tb.kafka.BootstrapServers = brokers
	m, err := topology.NewManager(t.Context(), topology.Config{Names: tb.names, Partitions: tablePartitions}, tb.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tb
}

// key returns the key of a row: an id as most programs make them, in no order.
func (tb *table) key(row int) string {
	rnd := rand.New(rand.NewPCG(uint64(row), 1))
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	return id.String()
}

// value returns a row as a stage that has read a few events of a known user writes it.
func (tb *table) value(row int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(row), 2))
	const published = 1_700_000_000_000
	a := &codecs.Activity{User: &codecs.User{
		Name: fmt.Sprint("Александра Петрова ", rnd.IntN(1000)), Email: fmt.Sprintf("alexandra.petrova%d@example.com", row),
		Version: codecs.Version{Timestamp: published + rnd.Int64N(1e9), Partition: rnd.Int32N(3), Offset: int64(row)},
	}}
	for _, label := range []string{"click", "download", "focus", "scroll", "submit"} {
		n := 1 + rnd.Uint64N(20)
		a.Tally.Count += n
		a.Tally.Labels = append(a.Tally.Labels, codecs.LabelCount{Label: label, Count: n})
	}
	a.Tally.Span = codecs.Span{First: published, Last: published + rnd.Int64N(1e9), Known: true}
	for partition := range int32(5) {
		a.Tally.Marks = append(a.Tally.Marks, codecs.Mark{Topic: codecs.TopicID{1, 2, 3}, Partition: partition, Offset: rnd.Int64N(1e7)})
	}
	return codecs.AppendActivity(nil, a)
}

// write appends rows to the changelog, from one up to another, and returns the bytes of keys and values.
func (tb *table) write(t testing.TB, from, to int) (size int64) {
	t.Helper()
	cl, err := tb.kafka.Client(kgo.DefaultProduceTopic(tb.names.ActivityTable()), kgo.ProducerLinger(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for row := from; row < to; row++ {
		r := &kgo.Record{Key: []byte(tb.key(row)), Value: tb.value(row)}
		size += int64(len(r.Key) + len(r.Value))
		cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("write row: %v", err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return size
}

// restoring is a processor that runs.
type restoring struct {
	*engine.Processor
	ready chan struct{}
	stop  func() // to be called once; at the end of the test it is
}

// restore starts a processor of the table on a directory. around, if not nil, puts something around merging.
func (tb *table) restore(t testing.TB, dir string, log *slog.Logger, around func(engine.Merge) engine.Merge) *restoring {
	t.Helper()
	g := processors.Activity(tb.names, processors.NewMetrics(prometheus.NewRegistry()), nil)
	if around != nil {
		g.Merge = around(g.Merge)
	}
	cfg := engine.Config{Kafka: tb.kafka, Dir: dir, Memory: engine.NewMemory(), Logger: log, OnDiskFailure: func(err error) { t.Errorf("disk: %v", err) }}
	p := &restoring{Processor: engine.NewProcessor(cfg, g), ready: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		var once sync.Once
		done <- p.Run(ctx, func() { once.Do(func() { close(p.ready) }) })
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("processor: %v", err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// progress returns the progress of the table's partitions; the group also has the users, who are joined.
func (tb *table) progress(p *restoring) map[int32]engine.Progress {
	of := map[int32]engine.Progress{}
	for _, is := range p.Progress() {
		if is.Table == tb.names.ActivityTable() {
			of[is.Partition] = is
		}
	}
	return of
}

// restored returns how many changelog records are in the stores.
func restored(progress map[int32]engine.Progress) (n int) {
	for _, is := range progress {
		n += int(is.Offset) + 1
	}
	return n
}
