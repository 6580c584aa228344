package processors

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetch is records of random users, partition by partition, as Kafka hands them out. The next ones are in the same memory.
type fetch struct {
	rnd     *rand.Rand
	users   int
	offset  int64
	records [8192]kgo.Record
}

func (f *fetch) next() {
	types := [...]string{"click", "view", "scroll", "login", "purchase"}
	stretch := len(f.records) / 4
	for i := range f.records {
		r := &f.records[i]
		r.Partition, r.Offset = int32(i/stretch), f.offset+int64(i%stretch)
		r.Timestamp = time.UnixMilli(1_763_805_600_000 + r.Offset/10)
		user := uint64(1+f.rnd.IntN(f.users)) * 0x9e3779b97f4a7c15 // as different as hashes are
		r.Value = append(r.Value[:0], `{"event_timestamp": "2026-11-22 10:00:00.123456", "user_id": "`...)
		r.Value = append(strconv.AppendInt(r.Value, int64(user), 10), `", "page": "https://example.com/page/1", "event": "`...)
		r.Value = append(append(r.Value, types[f.rnd.IntN(len(types))]...), `"}`...)
	}
	f.offset += int64(stretch)
}

// BenchmarkKeyedEvents gathers batches of two million events. Most of what that costs is waiting for memory, so that there are
// as many users as there may be in a batch, in no order.
func BenchmarkKeyedEvents(b *testing.B) {
	for _, users := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint("users=", users), func(b *testing.B) {
			f, k := &fetch{rnd: rand.New(rand.NewPCG(1, 2)), users: users}, new(keyedEvents)
			gather := func() {
				for k.users.n < 2_000_000 {
					b.StopTimer()
					f.next()
					b.StartTimer()
					for i := range f.records {
						if _, err := k.add(&f.records[i]); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			before := heapBytes()
			gather()
			held, n := heapBytes()-before-float64(k.users.n*8), 0
			known := float64(k.users.keys.Len())
			for k.reset(); b.Loop(); k.reset() {
				gather()
				n += k.users.n
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
			b.ReportMetric(held/known, "B/user") // without the occurrences
			b.ReportMetric(0, "ns/op")
		})
	}
}

func heapBytes() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
