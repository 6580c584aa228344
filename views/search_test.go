package views

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/potok-streams/potok/codecs"
)

// withTexts makes the text index at once.
func withTexts(x *Index) *Index {
	x.mu.Lock()
	x.texts = newTexts()
	x.mu.Unlock()
	x.fillTexts(x.texts)
	return x
}

// letters are few, so that random words are found, and of one to four bytes; some fold to others of another length.
var letters = []rune("aAbБбёЁſsSKkΣσς🦊0- \x00")

func randomText(r *rand.Rand, most int) string {
	text := make([]rune, r.IntN(most+1))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return string(text)
}

func randomUser(r *rand.Rand) *codecs.Activity {
	a := activity("x", uint64(r.IntN(4)), 0)
	switch r.IntN(40) {
	case 0, 2, 3:
		a.User = nil
	case 1:
		a.User.Name = strings.Repeat(randomText(r, 12), hugeText/6)
	default:
		a.User.Name, a.User.Email = randomText(r, 12), randomText(r, 6)
	}
	return a
}

// What a search with the text index finds, through any updates, is what reading all rows finds, in the same order.
func TestSearchAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	x, m := withTexts(NewIndex()), make(model)
	for round := range 16 {
		for range r.IntN(120) {
			id := fmt.Sprint(r.IntN(30), randomText(r, 2))
			switch old := m[id]; {
			case old != nil && r.IntN(3) == 0: // its texts stay
				m[id] = activity("x", old.Tally.Count+1, 0)
				m[id].User = old.User
			default:
				m[id] = randomUser(r)
			}
			x.ApplyActivity(id, m[id])
		}
		if round == 8 {
			withTexts(x).texts.limit = 60 // of these letters there are more
		}
		for range 12 {
			q, by, all := randomText(r, 1+r.IntN(5)), sorts()[r.IntN(5)], r.IntN(2) == 0
			want := m.scan(by, all, q)
			if got := pages(t, x, by, all, q, 1+r.IntN(20), nil); !slices.Equal(got, want) {
				t.Fatalf("round %d: %s all=%v q=%q:\n got %q\nwant %q", round, by, all, q, got, want)
			}
			if f := newFinder(q); f != nil {
				checkMixed(t, x, walk{listing: listing{by: by, all: all, match: f, limit: 5}}, r.IntN(40), want)
			}
		}
	}
	if x.texts.over == 0 || len(x.texts.lists) < 60 || len(x.texts.huge) == 0 {
		t.Error("no row has changed its texts, or none is huge")
	}
}

// checkMixed reads some rows in order and then uses the text index, as a search does that has read too much.
func checkMixed(t *testing.T, x *Index, w walk, read int, want []string) {
	t.Helper()
	w.x, w.want = x, w.limit+1
	if err := w.on(context.Background(), read); err != nil {
		t.Fatal(err)
	}
	rows, ok := x.candidates(w.match)
	if !ok {
		t.Fatal("there is no text index")
	}
	if !w.end {
		if err := w.pick(context.Background(), rows); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for i := range w.page {
		got = append(got, w.page[i].id)
	}
	if want = want[:min(len(want), w.want)]; !slices.Equal(got, want) {
		t.Fatalf("%s after %d rows:\n got %q\nwant %q", w.by, read, got, want)
	}
}

// The reference of the model folds by strings.ToLower, which takes some of our letters for different ones; here the finder is
// the reference, which is what searches did before there was a text index.
func (m model) scan(by Sort, all bool, q string) []string {
	return m.matching(m.list(by, all, ""), q)
}

func (m model) matching(all []string, q string) (ids []string) {
	f := newFinder(q)
	for _, id := range all {
		if s := newState(id, m[id]); f == nil || f.matches(&s) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Rows that match are found by reading few others, whatever the word and the order.
func TestSearchCost(t *testing.T) {
	const n = 10_000
	r := rand.New(rand.NewPCG(9, 10))
	x, m := NewIndex(), make(model)
	put := func(i int, a *codecs.Activity) {
		id := fmt.Sprint(uint64(i) * 0x9E3779B97F4A7C15)
		m[id] = a
		x.ApplyActivity(id, a)
	}
	for i := range n {
		put(i, activity(fmt.Sprintf("%c%c Иннокентий %05d", 'А'+rune(r.IntN(32)), 'а'+rune(r.IntN(32)), i), uint64(r.IntN(1000)+1), 0))
	}
	withTexts(x.flushed())
	for range 2 {
		for _, by := range sorts() {
			all := m.list(by, true, "")
			for _, c := range []struct {
				q    string
				most int // rows read for a page of 100
			}{
				{"иннокентий", 1000},    // nearly all; the renamed ones come first by name
				{"нет такого", 0},       // none
				{"иннокентий 0123", 40}, // ten
				{"ЯЯ ИНН", 200},         // ten, at the end of the names
				{"ы ", 700},
				{"🦊", 0},
				{"@example", 220},
			} {
				read := 0
				l := listing{by: by, all: true, match: newFinder(c.q), limit: 100, cost: func(n int) { read = n }}
				rows, more, err := x.list(t.Context(), l)
				want := m.matching(all, c.q)
				if err != nil || more != (len(want) > 100) || len(rows) != min(100, len(want)) {
					t.Fatalf("%s %q: %d rows, more %v, error %v; want %d", by, c.q, len(rows), more, err, len(want))
				}
				for i := range rows {
					if rows[i].id != want[i] {
						t.Fatalf("%s %q: row %d is %s, want %s", by, c.q, i, rows[i].id, want[i])
					}
				}
				if read > c.most {
					t.Errorf("%s %q: %d rows read, at most %d", by, c.q, read, c.most)
				}
			}
		}
		for i := range 400 { // these are not found any more by what they were called
			put(r.IntN(n), activity(fmt.Sprint("Renamed ", i), 5, 0))
		}
	}
}

func (x *Index) flushed() *Index {
	x.flush()
	return x
}

// While the text index is made, and made anew because most of it is over, searches find the same.
func TestTextIndexIsMadeBeside(t *testing.T) {
	x, m := NewIndex(), make(model)
	put := func(i int, name string) {
		id := fmt.Sprint(i)
		m[id] = activity(name, 1, 0)
		x.ApplyActivity(id, m[id])
	}
	const n = searchRows + 10
	for i := range n {
		put(i, fmt.Sprint("Anna ", i))
	}
	made := func() (ready bool, docs int) {
		x.mu.RLock()
		defer x.mu.RUnlock()
		return x.texts != nil && x.texts.ready, x.rows.len()
	}
	for round := range 3 {
		for i := range n {
			put(i, fmt.Sprint("Bob ", round, " ", i))
			if i%100 == 0 {
				q := fmt.Sprint("Bob ", round, " 1")
				if got, want := pages(t, x, ByName, false, q, 100, nil), m.list(ByName, false, q); !slices.Equal(got, want) {
					t.Fatalf("%d rows, want %d", len(got), len(want))
				}
			}
		}
	}
	for ready := false; !ready; ready, _ = made() { // else the test's time limit
		x.flush()
	}
	if over := x.texts.over; over > n+searchRows {
		t.Errorf("%d docs are over", over)
	}
}

// FuzzGrams: whatever a text contains, its grams contain the word's.
func FuzzGrams(f *testing.F) {
	f.Add("Ёжик в тумане", 1, 4)
	f.Add("a\x00\x00b", 0, 3)
	f.Fuzz(func(t *testing.T, text string, from, to int) {
		if from < 0 || to > len(text) || from >= to || len(text) >= hugeText {
			return
		}
		x := withTexts(NewIndex())
		a := activity("x", 1, 0)
		a.User.Name = text
		x.ApplyActivity("id", a)
		x.flush()
		if !utf8.ValidString(text[from:to]) {
			return // q is UTF-8
		}
		finder := newFinder(text[from:to])
		if rows, _ := x.candidates(finder); finder.in(text) != slices.Contains(rows, 0) {
			t.Errorf("%q in %q: %d rows", text[from:to], text, len(rows))
		}
	})
}

// Every order is the same whether it was made when asked for, kept, or given up and made again.
func TestOrdersComeAndGo(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	x, m := NewIndex(), make(model)
	gone := 0
	for range 20 {
		for i := range 6000 {
			id := fmt.Sprint(r.IntN(1500))
			if r.IntN(300) == 0 {
				id = ""
			}
			m[id] = randomActivity(r)
			x.ApplyActivity(id, m[id])
			if i%500 == 0 {
				x.flush()
			}
		}
		by, all := sorts()[r.IntN(5)], r.IntN(2) == 0
		if x.complete.trees[treeOf(by)] == nil {
			gone++
		}
		if got, want := pages(t, x, by, all, "", 1+r.IntN(100), nil), m.list(by, all, ""); !slices.Equal(got, want) {
			t.Fatalf("%s: the orders differ", by)
		}
		if s := x.Sizes(); s.Complete+s.Rest != len(m) {
			t.Fatalf("%+v", s)
		}
	}
	if gone < 6 {
		t.Errorf("orders were not there %d times", gone)
	}
	rows, _ := x.changed(0, len(m))
	if want := slices.Sorted(maps.Keys(m)); len(want) == 0 || len(rows) != len(m.list(ByUserID, false, "")) {
		t.Errorf("%d changes", len(rows))
	}
}
