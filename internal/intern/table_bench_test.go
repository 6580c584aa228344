package intern

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
)

// BenchmarkNumber looks for names that are in the table, in no order, and says what each of them takes.
func BenchmarkNumber(b *testing.B) {
	for _, names := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint("names=", names), func(b *testing.B) {
			var t Table
			var buf [32]byte
			name := func(i int) []byte { // as different as hashes are
				return strconv.AppendInt(buf[:0], int64(uint64(1+i)*0x9e3779b97f4a7c15), 10)
			}
			before := heapBytes()
			for i := range names {
				t.Number(name(i))
			}
			held := heapBytes() - before
			rnd := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				if _, fresh := t.Number(name(rnd.IntN(names))); fresh {
					b.Fatal("not found")
				}
			}
			b.ReportMetric(held/float64(names), "B/name")
		})
	}
}

func heapBytes() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
