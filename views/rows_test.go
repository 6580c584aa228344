package views

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// Rows have their latest state, states that were read stay what they were, and texts that no row has any more are let go.
func TestRows(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	const n = 2000
	var rs rows
	want := make(map[string]state)
	type reading struct{ state, copy state }
	var read []reading
	for round := range 40 {
		for range n {
			id := fmt.Sprint(r.IntN(n))
			s := state{id: id, count: uint64(round), last: int64(r.IntN(9)), known: r.IntN(2) == 0}
			if s.known {
				s.name, s.email = strings.Repeat("n", r.IntN(800))+id, strings.Repeat("e", r.IntN(2))
			}
			i := setOrAdd(&rs, &s)
			if found, ok := rs.lookUp(id); !ok || found != rs.state(i) {
				t.Fatalf("row %s is looked up as %v, %v; it is %v", id, found, ok, rs.state(i))
			}
			want[id] = s
			if got := rs.state(i); r.IntN(n) == 0 {
				clone := got
				clone.id, clone.name, clone.email = strings.Clone(got.id), strings.Clone(got.name), strings.Clone(got.email)
				read = append(read, reading{got, clone})
			}
		}
	}
	if rs.len() != len(want) {
		t.Errorf("%d rows, want %d", rs.len(), len(want))
	}
	live := 0
	for i := range int32(rs.len()) {
		s := rs.state(i)
		if s != want[s.id] || rs.name(i) != s.name {
			t.Fatalf("row %d is %+v, want %+v", i, s, want[s.id])
		}
		live += len(s.name) + len(s.email)
	}
	for _, r := range read {
		if r.state != r.copy {
			t.Fatalf("a state that was %+v is %+v", r.copy, r.state)
		}
	}
	if rs.used-rs.over != live || rs.over > rs.used/2+textSlack || rs.used > 2*(live+textSlack) {
		t.Errorf("%d bytes of texts, %d of them over; rows have %d", rs.used, rs.over, live)
	}
}

// What is told is brought up to date now and then, whether anybody asks or not.
func TestToldIsBounded(t *testing.T) {
	x := NewIndex()
	for i := range 3 * mostTold {
		x.ApplyActivity(fmt.Sprint(i), activity("Anna", 1, 0))
	}
	if told, rows := len(x.pending), x.rows.len(); told > mostTold || rows < 2*mostTold {
		t.Errorf("%d rows are told, and %d up to date", told, rows)
	}
}

// A map that has held many rows is as large ever after: it is not walked for the few that come then.
func TestLargeMapsAreLetGo(t *testing.T) {
	x := NewIndex()
	for i := range 2 * mostTold { // both maps
		x.ApplyActivity(fmt.Sprint(i), activity("Anna", 1, 0))
	}
	for i, want := range []bool{false, false, true, true} {
		x.ApplyActivity("7", activity("Anna", uint64(2+i), 0))
		x.flush()
		if kept := x.spare != nil; kept != want {
			t.Errorf("after flush %d of a row the map is kept: %t", i, kept)
		}
	}
}

// What there is millions of has no pointers, which the garbage collector would follow.
func TestNoPointers(t *testing.T) {
	var check func(name string, typ reflect.Type)
	check = func(name string, typ reflect.Type) {
		switch kind := typ.Kind(); kind {
		case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		case reflect.Array:
			check(name+"[]", typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				check(name+"."+typ.Field(i).Name, typ.Field(i).Type)
			}
		default:
			t.Errorf("%s is a %s", name, kind)
		}
	}
	for _, v := range []any{slot{}, change{}, entry{}} {
		check(reflect.TypeOf(v).Name(), reflect.TypeOf(v))
	}
}

// A change of rows that are there allocates nothing for each.
func TestUpdateAllocations(t *testing.T) {
	const rows = 5000
	x, u, n := benchIndex(rows), newBenchUsers(rows), 0
	got := testing.AllocsPerRun(20, func() {
		for range 500 {
			u.tell(x, n*7919%rows)
			n++
		}
		x.flush()
	})
	if got > 20 {
		t.Errorf("%.0f allocations for 500 rows, at most 20", got)
	}
}

// TestLookUp: who looks up a row while rows come and change finds none, or a state that it was given, and never a part of one.
func TestLookUp(t *testing.T) {
	const n = 50_000
	var rs rows
	var reading sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		reading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				id := fmt.Sprint(i % n)
				if s, ok := rs.lookUp(id); ok && (s.id != id || s.name != fmt.Sprint("name ", s.count) || s.count == 0) {
					t.Errorf("row %s: %+v", id, s)
					return
				}
			}
		})
	}
	for round := range uint64(2) {
		for i := range n {
			s := state{id: fmt.Sprint(i), count: round + 1, name: fmt.Sprint("name ", round+1), known: true}
			setOrAdd(&rs, &s)
		}
	}
	close(done)
	reading.Wait()
}

// setOrAdd gives a row its new state, whether or not it is there, and returns it.
func setOrAdd(rs *rows, s *state) int32 {
	if i, ok := rs.find(s.id); ok {
		rs.set(i, s)
		return i
	}
	return rs.add(s)
}
