package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestWalk asks for rows in order, with gaps, and to and fro, against a map, while they change and go to the disk.
func TestWalk(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), Changelog: Changelog{Topic: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const keys = 5000
	name := func(i int) string { return fmt.Sprintf("%05d", i) }
	want := map[string]string{}
	rnd := rand.New(rand.NewPCG(1, 1))
	set := func(i, n int) {
		switch {
		case rnd.IntN(10) > 0:
			want[name(i)] = strings.Repeat(fmt.Sprint("row ", n), rnd.IntN(3)) // or empty
			err = s.Set(name(i), []byte(want[name(i)]))
		default:
			delete(want, name(i))
			err = s.Delete(name(i))
		}
		must(t, err)
	}
	for i := range keys {
		set(i, 0)
	}
	must(t, s.flush())
	walked, alone := 0, 0
	for round := range 100 {
		gap := 1 + rnd.IntN(3)
		if rnd.IntN(4) == 0 {
			gap = 1 + rnd.IntN(100)
		}
		for i, asked := rnd.IntN(keys), 0; i < keys && asked < 1000; asked++ {
			row, err := s.Get(name(i))
			must(t, err)
			if w, ok := want[name(i)]; string(row) != w || (row != nil) != ok {
				t.Fatalf("round %d: row %d is %q, want %q", round, i, row, w)
			}
			s.walk.mu.Lock() // the store ends walks now and then
			walks := s.walk.it != nil
			s.walk.mu.Unlock()
			if walks {
				walked++
			} else {
				alone++
			}
			if rnd.IntN(2) == 0 { // as one who applies a batch does: what was read is written
				set(i, round)
			}
			switch rnd.IntN(500) {
			case 0:
				must(t, s.flush())
			case 1:
				i = rnd.IntN(keys)
			case 2:
				i += rnd.IntN(300)
			}
			i += gap
		}
	}
	if walked < alone || alone < 1000 {
		t.Errorf("%d rows were read in order and %d by themselves", walked, alone)
	}
	s.walk.close()
	if s.walk.it != nil {
		t.Error("an iterator is left")
	}
}

// BenchmarkGet asks for a table's rows in order, as a large batch does, and to and fro.
func BenchmarkGet(b *testing.B) {
	const keys = 60_000
	memory := NewMemory(0)
	s, err := Open(Options{Dir: b.TempDir(), Changelog: Changelog{Topic: "t"}, Memory: memory})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	name := func(i int) string { return fmt.Sprintf("user-%08d", i) }
	for range 3 {
		for i := range keys {
			row := make([]byte, 150)
			for j := range row[:75] {
				row[j] = byte(rand.Uint32())
			}
			if err := s.Set(name(i), row); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.flush(); err != nil {
		b.Fatal(err)
	}
	for _, step := range []int{1, 3, 10, 7919} {
		b.Run(fmt.Sprint("step=", step), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := s.Get(name(i % keys)); err != nil {
					b.Fatal(err)
				}
				i += step
			}
		})
	}
}
