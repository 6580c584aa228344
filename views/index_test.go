package views

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/potok-streams/potok/codecs"
)

// model is the index, done simply.
type model map[string]*codecs.Activity

func (m model) list(by Sort, all bool, q string) (ids []string) {
	type item struct {
		id string
		*codecs.Activity
	}
	var items []item
	for id, a := range m {
		name, email := "", ""
		if a.User != nil {
			name, email = a.User.Name, a.User.Email
		}
		low := strings.ToLower(q)
		found := strings.Contains(strings.ToLower(id), low) || strings.Contains(strings.ToLower(name), low) || strings.Contains(strings.ToLower(email), low)
		if found && (all || a.User != nil && a.Tally.Count > 0) {
			items = append(items, item{id, a})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		c := 0
		switch by {
		case ByEventCount:
			c = cmp.Compare(a.Tally.Count, b.Tally.Count)
		case ByEventCountDesc:
			c = cmp.Compare(b.Tally.Count, a.Tally.Count)
		case ByLastEventDesc:
			last := func(i item) int64 {
				if i.Tally.Span.Known {
					return i.Tally.Span.Last
				}
				return -1
			}
			c = cmp.Compare(last(b), last(a))
		case ByName:
			switch {
			case a.User == nil || b.User == nil:
				c = cmp.Compare(fmt.Sprint(a.User == nil), fmt.Sprint(b.User == nil))
			default:
				c = cmp.Compare(a.User.Name, b.User.Name)
			}
		}
		return cmp.Or(c, cmp.Compare(a.id, b.id))
	})
	for _, i := range items {
		ids = append(ids, i.id)
	}
	return ids
}

// pages follows cursors to the end.
func pages(t *testing.T, x *Index, by Sort, all bool, q string, limit int, between func()) (ids []string) {
	t.Helper()
	tag := cursorTag(by, all, q)
	l := listing{by: by, all: all, match: newFinder(q), limit: limit}
	for {
		rows, more, err := x.list(context.Background(), l)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			ids = append(ids, rows[i].id)
		}
		if !more {
			return ids
		}
		if len(rows) != limit {
			t.Fatalf("%d rows on a page of %d that is not the last", len(rows), limit)
		}
		if l.after, err = decodeCursor(by, tag, encodeCursor(by, tag, &rows[len(rows)-1])); err != nil {
			t.Fatal(err)
		}
		if between != nil {
			between()
		}
	}
}

func randomActivity(r *rand.Rand) *codecs.Activity {
	names := []string{"", "Анна", "анна Б", "Bob", "bob", "Ёж", "Zoë", "🦊", strings.Repeat("длинное ", 5)}
	a := activity(names[r.IntN(len(names))], uint64(r.IntN(5)), uint64(r.IntN(3)))
	if a.User != nil && r.IntN(9) == 0 {
		a.User.Name = ""
	}
	return a
}

func TestIndexAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, m := NewIndex(), make(model)
	for round := range 60 {
		for range r.IntN(60) {
			id := fmt.Sprint(r.IntN(300))
			m[id] = randomActivity(r)
			x.ApplyActivity(id, m[id])
		}
		for _, by := range sorts() {
			for _, q := range []string{"", "АННА", "b", "1", "@example", "нет"} {
				all := r.IntN(2) == 0
				want := m.list(by, all, q)
				if got := pages(t, x, by, all, q, 1+r.IntN(40), nil); !slices.Equal(got, want) {
					t.Fatalf("round %d: %s all=%v q=%q:\n got %q\nwant %q", round, by, all, q, got, want)
				}
			}
		}
		var sizes Sizes
		for _, a := range m {
			switch {
			case a.User != nil && a.Tally.Count > 0:
				sizes.Complete++
			default:
				sizes.Rest++
			}
			if a.User != nil {
				sizes.Known++
			} else {
				sizes.EventsOfUnknown += a.Tally.Count
			}
		}
		if got := x.Sizes(); got != sizes {
			t.Fatalf("sizes %+v, want %+v", got, sizes)
		}
	}
}

// A row that does not change while one pages comes exactly once, whatever the others do.
func TestCursorsUnderChange(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, by := range sorts() {
		x := NewIndex()
		for i := range 400 {
			x.ApplyActivity(fmt.Sprintf("still-%d", i), randomActivity(r))
			x.ApplyActivity(fmt.Sprintf("moves-%d", i), randomActivity(r))
		}
		got := pages(t, x, by, true, "", 7, func() {
			for range 20 {
				x.ApplyActivity(fmt.Sprintf("moves-%d", r.IntN(500)), randomActivity(r))
			}
		})
		seen := make(map[string]int)
		for _, id := range got {
			seen[id]++
		}
		for i := range 400 {
			if n := seen[fmt.Sprintf("still-%d", i)]; n != 1 {
				t.Errorf("%s: row %d came %d times", by, i, n)
			}
		}
	}
}

// Whoever reads the order of changes, in stretches and while it changes, has every row's last change in the end.
func TestChanges(t *testing.T) {
	x := NewIndex()
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				x.ApplyActivity(fmt.Sprint(p, "-", i%50), activity("x", uint64(i+1), 0))
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seen := make(map[string]uint64)
	read := func(after uint64) uint64 {
		x.flush()
		rows, to := x.changed(after, 13)
		for _, row := range rows {
			seen[row.id] = to
		}
		return to
	}
	position, last := uint64(0), false
	for {
		next := read(position)
		if next == position && last {
			break
		}
		position = next
		select {
		case <-done:
			last = true
		default:
		}
	}
	if len(seen) != 200 || position != x.head() {
		t.Errorf("%d rows, position %d of %d", len(seen), position, x.head())
	}
}

// A restore, and more rows than there were, are sorted at once: the orders are the same.
func TestRebuild(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x, m := NewIndex(), make(model)
	for range 2 {
		for range 2 * bulkRows {
			id := fmt.Sprint(r.IntN(4 * bulkRows))
			m[id] = randomActivity(r)
			x.ApplyActivity(id, m[id])
		}
		for _, by := range sorts() {
			if got, want := pages(t, x, by, true, "", 1000, nil), m.list(by, true, ""); !slices.Equal(got, want) {
				t.Fatalf("%s: the orders differ", by)
			}
		}
		if n := len(m.list(ByUserID, false, "")); x.Sizes().Complete != n || x.changes.Len() != n {
			t.Errorf("%+v and %d changes, want %d", x.Sizes(), x.changes.Len(), n)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text, q string
		found   bool
	}{
		{"Анна Сергеевна", "сЕрГ", true},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true},
		{"Zoë", "ZOË", true},
		{"K", "k", true},
		{"Анна", "анны", false},
		{"ёж", "Ё", true},
		{"🦊 fox", "🦊 F", true},
		{"Straße", "STRAẞE", true},
	} {
		f := newFinder(c.q)
		if f.in(c.text) != c.found {
			t.Errorf("%q in %q: want %v", c.q, c.text, c.found)
		}
	}
}

func TestCursorOfAnotherQuestion(t *testing.T) {
	s := newState("7", activity("Anna", 1, 1))
	cursor := encodeCursor(ByName, cursorTag(ByName, false, "a"), &s)
	for _, tag := range []uint64{cursorTag(ByUserID, false, "a"), cursorTag(ByName, true, "a"), cursorTag(ByName, false, "b")} {
		if _, err := decodeCursor(ByName, tag, cursor); err == nil {
			t.Error("a cursor of another question is taken")
		}
	}
	if _, err := decodeCursor(ByName, cursorTag(ByName, false, "A"), cursor); err != nil {
		t.Errorf("q ignores case: %v", err)
	}
}

func FuzzCursor(f *testing.F) {
	s := newState("7", activity("Anna", 1, 1))
	for _, by := range sorts() {
		f.Add(encodeCursor(by, cursorTag(by, false, ""), &s))
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		for _, by := range sorts() {
			tag := cursorTag(by, false, "")
			place, err := decodeCursor(by, tag, cursor)
			if err == nil && encodeCursor(by, tag, place) != cursor {
				place2, err := decodeCursor(by, tag, encodeCursor(by, tag, place)) // a longer varint is the same place
				if err != nil || *place2 != *place {
					t.Errorf("%q is not the same place after a round", cursor)
				}
			}
		}
	})
}

// BenchmarkRestore feeds rows as a restore does, and reports the memory of a row.
func BenchmarkRestore(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	x := NewIndex()
	for i := range b.N {
		name := fmt.Sprintf("%c%c%cнтинопольский Иннокентий Аполлинарьевич", 'А'+i%32, 'а'+i/32%32, 'а'+i/1024%32)
		a := activity(name, uint64(i%10+1), 0)
		a.User.Email = fmt.Sprintf("user%d@example.org", i)
		a.Tally.Span.Last = int64(i*7919%b.N) + 1_700_000_000_000
		x.ApplyActivity(fmt.Sprint(uint64(i)*0x9E3779B97F4A7C15), a)
	}
	x.flush()
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "heapB/row")
	runtime.KeepAlive(x)
}

// BenchmarkList asks for pages of a table of 200,000 rows; nothing is found by the search, which reads all rows until the text
// index is there.
func BenchmarkList(b *testing.B) {
	x := NewIndex()
	for i := range 200_000 {
		x.ApplyActivity(fmt.Sprint(i), activity(fmt.Sprintf("Константинопольский Иннокентий %d", i), uint64(i%1000+1), 0))
	}
	x.flush()
	for name, q := range map[string]string{"page": "", "search": "нетникого"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := x.list(b.Context(), listing{by: ByEventCountDesc, match: newFinder(q), limit: 100}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A row supersedes what was told last, wherever that is.
func TestSupersedes(t *testing.T) {
	x := NewIndex()
	supersedes := func(where string, count uint64, want bool) {
		t.Helper()
		answer := make(chan bool, 1)
		go func() { answer <- x.Supersedes("u", activity("Anna", count, 0).Age()) }()
		select {
		case got := <-answer:
			if got != want {
				t.Errorf("%s: that %d events supersede what was told is %v", where, count, got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no answer", where)
		}
	}
	supersedes("unknown", 9, false)
	x.ApplyActivity("u", activity("Anna", 3, 0))
	supersedes("told", 2, false)
	supersedes("told", 3, true)
	x.flush()
	supersedes("a row", 2, false)
	supersedes("a row", 3, true)
	x.ApplyActivity("u", activity("Anna", 5, 0))
	x.mu.RLock() // keeps what was told from getting to the rows
	flushed := make(chan struct{})
	go func() {
		x.flush()
		close(flushed)
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		x.feed.Lock()
		flying := x.flying != nil
		x.feed.Unlock()
		if flying {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is on its way to the rows")
		}
	}
	supersedes("on its way to the rows", 4, false)
	supersedes("on its way to the rows", 5, true)
	x.ApplyActivity("u", activity("Anna", 7, 0))
	supersedes("told while another is on its way", 6, false)
	x.mu.RUnlock()
	<-flushed
	x.flush()
	supersedes("rows again", 6, false)
	supersedes("rows again", 7, true)

	// A newer publication that says the same is no change, but an older one does not supersede it.
	seq, later := x.seq, activity("Anna", 7, 0)
	later.User.Version.Timestamp++
	x.ApplyActivity("u", later)
	x.flush()
	supersedes("an older publication", 7, false)
	if x.seq != seq {
		t.Error("a publication that says nothing new is a change")
	}
}
