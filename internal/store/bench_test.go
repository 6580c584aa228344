package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The benchmarks work as a table's partitions do: several stores at once, that share their memory. They report the CPU time
// of the whole process as well, because most of the work is LevelDB's, beside.

const (
	benchStores = 4
	benchRows   = 100_000 // of each store
	benchBytes  = 250     // of each row
)

// BenchmarkRestoreRows puts rows that are not there yet, as a recovery does.
func BenchmarkRestoreRows(b *testing.B) {
	for b.Loop() {
		benchmarkRows(b, benchStore(b), 1)
	}
}

// BenchmarkReplayRows puts every row twice, in no order, as the recovery of a changelog does that was not compacted lately.
func BenchmarkReplayRows(b *testing.B) {
	for b.Loop() {
		benchmarkRows(b, benchStore(b), 2)
	}
}

// BenchmarkUpdateRows puts every row twice, in no order.
func BenchmarkUpdateRows(b *testing.B) {
	for b.Loop() {
		stores := benchStore(b)
		for _, s := range stores {
			must(b, s.loaded())
		}
		benchmarkRows(b, stores, 2)
	}
}

// BenchmarkFindRows gets rows in no order, of which a tenth fits into memory, as a live load of many users does.
func BenchmarkFindRows(b *testing.B) {
	stores := benchStore(b)
	for _, s := range stores {
		must(b, s.loaded())
	}
	putRows(b, stores, 2)
	for _, s := range stores {
		must(b, s.flush())
		defer s.Close()
	}
	rnd := rand.New(rand.NewPCG(2, 0))
	for b.Loop() {
		if _, err := stores[rnd.IntN(benchStores)].Get(fmt.Sprintf("user-%08d", rnd.IntN(benchRows))); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStore(b *testing.B) []*Store {
	memory := NewMemory(32 << 20)
	stores := make([]*Store, benchStores)
	for i := range stores {
		o := options(b.TempDir())
		o.Memory = memory
		o.Changelog.End = benchRows
		s, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		stores[i] = s
	}
	return stores
}

func benchmarkRows(b *testing.B, stores []*Store, rounds int) {
	before, began := cpu(b), time.Now()
	putRows(b, stores, rounds)
	for _, s := range stores {
		must(b, s.Recovered(0, 1))
	}
	rows := float64(len(stores) * rounds * benchRows)
	b.ReportMetric(rows/time.Since(began).Seconds(), "rows/s")
	for _, s := range stores {
		must(b, s.Close())
	}
	b.ReportMetric((cpu(b)-before).Seconds()*1e9/rows, "cpu-ns/row")
}

// putRows gets each row before it puts it.
func putRows(b *testing.B, stores []*Store, rounds int) {
	var working sync.WaitGroup
	for i, s := range stores {
		working.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			filler := make([]byte, benchBytes/2)
			for n := range rounds * benchRows {
				key := fmt.Sprintf("user-%08d", rnd.IntN(benchRows))
				if rounds == 1 {
					key = fmt.Sprintf("user-%08d", (n*7919)%benchRows)
				}
				if _, err := s.Get(key); err != nil {
					b.Error(err)
					return
				}
				row := make([]byte, benchBytes)
				for j := range filler { // half of it can be compressed, as with names
					filler[j] = byte(rnd.Uint32())
				}
				copy(row, filler)
				binary.BigEndian.PutUint64(row, uint64(n))
				if err := s.Set(key, row); err != nil {
					b.Error(err)
					return
				}
				s.Applied(int64(n))
			}
		})
	}
	working.Wait()
}

// cpu returns how much CPU time the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
