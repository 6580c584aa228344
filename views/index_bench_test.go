package views

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/potok-streams/potok/codecs"
)

// benchUser is a user as the emitters make them up, by number.
func benchUser(i int, count uint64) (id string, a *codecs.Activity) {
	h := uint64(i) * 0x9E3779B97F4A7C15
	last := []string{"Константинопольский", "Иванов", "Кузнецов", "Соловьёв", "Лебедев", "Зайцев", "Виноградов", "Щукин"}
	first := []string{"Аполлинарий", "Пётр", "Анна", "Ольга", "Фома", "Вячеслав", "Любовь", "Эрнст"}
	name := fmt.Sprintf("%s%c%c %s Ильич", last[h>>20&7], 'а'+rune(h>>24&31), 'а'+rune(h>>30&31), first[h>>36&7])
	a = activity(name, count, 0)
	a.User.Email = fmt.Sprintf("%c%c%c_%d@example.org", 'a'+rune(h>>40%26), 'a'+rune(h>>46%26), 'a'+rune(h>>52%26), h>>56)
	a.Tally.Span.Last = int64(h >> 30 % 1_000_000)
	return fmt.Sprint(int64(h)), a
}

// benchUsers are made before the clock runs: making one takes longer than an update.
type benchUsers struct {
	ids  []string
	rows []*codecs.Activity
}

func newBenchUsers(n int) (u benchUsers) {
	for i := range n {
		id, a := benchUser(i, uint64(i%1000+1))
		u.ids, u.rows = append(u.ids, id), append(u.rows, a)
	}
	return u
}

// tell tells of one more event of a user.
func (u benchUsers) tell(x *Index, i int) {
	u.rows[i].Tally.Count++
	u.rows[i].Tally.Span.Last++
	x.ApplyActivity(u.ids[i], u.rows[i])
}

func benchIndex(rows int) *Index {
	x := NewIndex()
	for i := range rows {
		x.ApplyActivity(benchUser(i, uint64(i%1000+1)))
	}
	x.flush()
	return x
}

const million = 1_000_000

// BenchmarkCatchUp is 2,000,000 events of 100,000 users as a view sees them: every flush has a new state of most rows, and
// nobody looks but those who ask how far it is.
func BenchmarkCatchUp(b *testing.B) {
	b.ReportAllocs()
	const users, flushes = 100_000, 20
	u := newBenchUsers(users)
	for b.Loop() {
		x := NewIndex()
		for f := range flushes {
			for i := range users {
				if (i+f)%3 > 0 {
					u.tell(x, i)
				}
			}
			x.Sizes()
		}
	}
}

// BenchmarkUpdate is one more event of 500 users, and what follows: a flush.
func BenchmarkUpdate(b *testing.B) {
	const rows, batch = 200_000, 500
	for name, asked := range map[string]int{"nobody": 0, "count": 1, "all": 5} {
		b.Run(name, func(b *testing.B) {
			x := benchIndex(rows)
			u := newBenchUsers(rows)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for range batch {
					u.tell(x, n*7919%rows)
					n++
				}
				x.flush()
				if asked > 0 && n%(100*batch) == 0 {
					orders := []Sort{ByEventCountDesc, ByEventCount, ByName, ByUserID, ByLastEventDesc}
					for _, by := range orders[:asked] {
						benchPage(b, x, listing{by: by, limit: 1})
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
		})
	}
}

func benchPage(b *testing.B, x *Index, l listing) []state {
	page, _, err := x.list(b.Context(), l)
	if err != nil {
		b.Fatal(err)
	}
	return page
}

// BenchmarkPage is one page of a million rows, with 100 rows changed before each as a stream does.
func BenchmarkPage(b *testing.B) {
	x := benchIndex(million)
	const changing = 10_000
	u, n := newBenchUsers(changing), 0
	for _, by := range []Sort{ByEventCountDesc, ByEventCount, ByName} {
		var deep *state
		for place, l := range map[string]listing{"first": {by: by, limit: 100}, "deep": {by: by, limit: 100}} {
			b.Run(fmt.Sprint(by, "/", place), func(b *testing.B) {
				if place == "deep" && deep == nil {
					_, a := benchUser(500_000, 500)
					s := newState("5", a)
					deep = &s
				}
				if l.after = nil; place == "deep" {
					l.after = deep
				}
				benchPage(b, x, l)
				b.ReportAllocs()
				for b.Loop() {
					for range 100 {
						u.tell(x, n*7919%changing)
						n++
					}
					benchPage(b, x, l)
				}
			})
		}
	}
}

// BenchmarkSearch asks for a page of a million rows.
func BenchmarkSearch(b *testing.B) {
	x := benchIndex(million)
	benchReady(b, x)
	for name, q := range map[string]string{"frequent": "ивАнов", "rare": "qzx_1", "none": "нет такого", "one": "-6415", "letter": "щ", "nobody's letter": "ъ🦊"} {
		for _, by := range []Sort{ByEventCountDesc, ByName} {
			b.Run(fmt.Sprint(name, "/", by), func(b *testing.B) {
				read := 0
				b.ReportAllocs()
				for b.Loop() {
					benchPage(b, x, listing{by: by, limit: 100, match: newFinder(q), cost: func(n int) { read = n }})
				}
				b.ReportMetric(float64(read), "rows/op")
			})
		}
	}
}

// BenchmarkMemory reports what a row costs: told and flushed, with the order by count, and with the text index.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		heap := func() float64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return float64(m.HeapAlloc) / million
		}
		before := heap()
		x := NewIndex()
		for i := range million {
			x.ApplyActivity(benchUser(i, uint64(i%1000+1)))
			if i%9000 == 0 {
				x.flush() // no restore
			}
		}
		x.flush()
		told := heap()
		benchPage(b, x, listing{by: ByEventCountDesc, limit: 1})
		counted := heap()
		benchReady(b, x)
		b.ReportMetric(told-before, "rowB")
		b.ReportMetric(counted-told, "orderB")
		b.ReportMetric(heap()-counted, "textB")
		runtime.KeepAlive(x)
	}
}
