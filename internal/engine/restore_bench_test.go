package engine_test

import (
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/internal/testkafka"
)

// BenchmarkRestore restores an activity table to an empty disk and reports rows/s, from the start of the processor until it is
// ready: joining the group is part of it. The process' CPU time a row says more on a machine that has other things to do.
// POTOK_BENCH_ROWS sets the size of the table.
func BenchmarkRestore(b *testing.B) {
	rows := 1_000_000
	if text := os.Getenv("POTOK_BENCH_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			b.Fatalf("POTOK_BENCH_ROWS is %q, which is no number of rows", text)
		}
		rows = n
	}
	b.Run("embedded", func(b *testing.B) { benchmarkRestore(b, embedded(b), rows) })
	b.Run("kafka", func(b *testing.B) { benchmarkRestore(b, testkafka.Start(b).Addrs, rows) })
}

func benchmarkRestore(b *testing.B, brokers []string, rows int) {
	t := newTable(b, brokers)
	began := time.Now()
	size := t.write(b, 0, rows)
	b.Logf("%d rows of %d bytes on average, written in %s", rows, size/int64(rows), time.Since(began).Round(time.Millisecond))
	b.SetBytes(size)
	t.awaitGroups(b)
	var used time.Duration
	for b.Loop() {
		before := cpu(b)
		p := t.restore(b, b.TempDir(), slog.New(slog.DiscardHandler), nil)
		await(b, p.ready, "the table is restored")
		b.StopTimer()
		used += cpu(b) - before
		if n := restored(t.progress(p)); n != rows {
			b.Fatalf("%d rows are restored of %d", n, rows)
		}
		p.stop() // which closes the stores: they tell no more
		b.StartTimer()
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(used.Seconds()*1e9/float64(rows)/float64(b.N), "cpu-ns/row")
}

// awaitGroups waits until the broker can have groups. A new one makes the topic of their offsets when it is first asked for a
// group, which is no part of a restore.
func (tb *table) awaitGroups(t testing.TB) {
	t.Helper()
	cl, err := tb.kafka.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	within(t, "the broker can have groups", func() error {
		return kadm.NewClient(cl).FindGroupCoordinators(t.Context(), "any").Error()
	})
}

// cpu returns how much CPU time the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
