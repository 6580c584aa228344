package engine_test

import (
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/potok-streams/potok/internal/testkafka"
)

// BenchmarkRestore restores an activity table to an empty disk and reports rows/s, from the start of the processor until it is
// ready: joining the group is part of it. POTOK_BENCH_ROWS sets the size of the table.
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
	for b.Loop() {
		p := t.restore(b, b.TempDir(), slog.New(slog.DiscardHandler), nil)
		await(b, p.ready, "the table is restored")
		b.StopTimer()
		p.stop()
		if n := restored(t.progress(p)); n != rows {
			b.Fatalf("%d rows are restored of %d", n, rows)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
