package views

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/potok-streams/potok/codecs"
)

// A row that is rendered from memory is what is rendered of the row in the table, and few rows have to be read there.
func TestRender(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	texts := []string{"", "Анна", `a"b\c` + "\n\x00\u2028<&>", "🦊", strings.Repeat("длинное ", 50)}
	numbers := func() uint64 { return r.Uint64() >> r.IntN(64) }
	random := func() *codecs.Activity {
		a := new(codecs.Activity)
		if r.IntN(4) > 0 {
			a.User = &codecs.User{Name: texts[r.IntN(len(texts))], Email: texts[r.IntN(len(texts))]}
		}
		for kind := range r.IntN(7) {
			a.Tally.Labels = append(a.Tally.Labels, codecs.LabelCount{Label: fmt.Sprint(kind, texts[r.IntN(len(texts))]), Count: numbers() >> 1})
			a.Tally.Count += a.Tally.Labels[kind].Count
		}
		if r.IntN(5) > 0 {
			a.Tally.Span = codecs.Span{First: []int64{0, 1, 1000, 1_700_000_000_123, endOfTime - 1, endOfTime}[r.IntN(6)], Known: true}
			a.Tally.Span.Last = a.Tally.Span.First + int64(numbers()>>2)
		}
		return a
	}
	tables := newTables()
	inMemory, read := 0, 0
	rows := renderer{tables.index, func(id string) (*codecs.Activity, error) {
		read++
		return tables.get(id)
	}}
	for i := range 3000 {
		id, a, marks := fmt.Sprint(texts[r.IntN(len(texts))], r.IntN(100)), random(), r.IntN(9) == 0
		tables.put(id, a)
		switch r.IntN(3) { // it is told, or in the rows
		case 0:
			tables.index.flush()
		}
		before := read
		s, ok := tables.index.latest(id)
		text, err := rows.append([]byte("x"), &s, marks)
		if !ok || err != nil || text[0] != 'x' {
			t.Fatalf("round %d: %v, %v: %s", i, ok, err, text)
		}
		want, err := marshal(NewUser(id, a, marks))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decoded(t, want), decoded(t, text[1:])); diff != "" {
			t.Fatalf("round %d: %s", i, diff)
		}
		if !marks && read == before {
			inMemory++
		}
	}
	if inMemory < 1000 || read < 100 {
		t.Errorf("%d rows were rendered from memory, and %d read", inMemory, read)
	}
}

func decoded(t *testing.T, text []byte) (u User) {
	t.Helper()
	if err := json.Unmarshal(text, &u); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return u
}

// Rows with more than there is room for in memory, and with more and longer event types than are kept, are read from the table.
func TestRenderLargeRows(t *testing.T) {
	kinds := func(n int, name func(i int) string) *codecs.Activity {
		a := activity("Anna", 0, 0)
		for i := range n {
			a.Tally.Labels = append(a.Tally.Labels, codecs.LabelCount{Label: name(i), Count: 1})
		}
		a.Tally.Count = uint64(n)
		return a
	}
	short := func(i int) string { return fmt.Sprintf("%02d", i) }
	truncated := kinds(3, short)
	truncated.Tally.Truncated = true
	large := activity("Anna", math.MaxUint64>>1, math.MaxUint64>>1)
	large.Tally.Span = codecs.Span{First: 0, Last: math.MaxInt64, Known: true}
	tables := newTables()
	tables.lookup = errors.New("no disk")
	rows := renderer{tables.index, tables.get}
	for _, c := range []struct {
		what string
		row  *codecs.Activity
		read bool
	}{
		{"five event types", kinds(5, short), false},
		{"fifteen event types", kinds(digestBytes/2, short), false},
		{"sixteen", kinds(digestBytes/2+1, short), true},
		{"a long event type", kinds(1, func(int) string { return strings.Repeat("x", maxKindBytes+1) }), true},
		{"truncated", truncated, true},
		{"large numbers", large, false},
	} {
		tables.index.ApplyActivity("7", c.row)
		s, _ := tables.index.latest("7")
		if _, err := rows.append(nil, &s, false); errors.Is(err, tables.lookup) != c.read {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for i := range maxKinds + 10 {
		tables.index.ApplyActivity("7", kinds(1, func(int) string { return fmt.Sprint("kind ", i) }))
	}
	s, _ := tables.index.latest("7")
	if _, err := rows.append(nil, &s, false); err == nil || len(tables.index.kinds.list()) != maxKinds {
		t.Errorf("%d event types are kept; %v", len(tables.index.kinds.list()), err)
	}
}
