package intern

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestTable numbers names of all lengths against a map, several times in the same memory.
func TestTable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	var n Table
	for round, count := range []int{0, 1, 30_000, 200_000, 3, 5000, 5000} {
		want, bytes := map[string]int32{}, 0
		for range count {
			name := fmt.Sprint(rnd.IntN(count))
			switch rnd.IntN(50) {
			case 0:
				name = strings.Repeat(name, rnd.IntN(40))
			case 1:
				name = strings.Repeat("x", rnd.IntN(5)*chunkBytes/2) // fills a piece, leaves nothing of it, or has one of its own
			}
			known, ok := want[name]
			if !ok {
				known = int32(len(want))
				bytes += len(name)
			}
			if got, found := n.Find([]byte(name)); found != ok || ok && got != known {
				t.Fatalf("round %d: %.20q is found as %d, %v; want %d, %v", round, name, got, found, known, ok)
			}
			if got, fresh := n.Number([]byte(name)); got != known || fresh == ok {
				t.Fatalf("round %d: %.20q is %d, want %d; new: %v", round, name, got, known, fresh)
			}
			want[name] = known
		}
		for name, i := range want {
			if text, s := string(n.Text(i)), n.String(i); text != name || s != name {
				t.Fatalf("round %d: %d is %.20q and %.20q, want %.20q", round, i, text, s, name)
			}
		}
		if n.Len() != len(want) || n.Bytes() != bytes {
			t.Errorf("round %d: %d names, %d bytes; want %d and %d", round, n.Len(), n.Bytes(), len(want), bytes)
		}
		if freed := n.Reset(); n.Len() != 0 || n.Bytes() != 0 || freed != (len(want) > keptNames) || freed && cap(n.places) > 0 {
			t.Errorf("round %d: %d names, %d bytes, room for %d after the reset; freed: %v", round, n.Len(), n.Bytes(), cap(n.places), freed)
		}
	}
}

// TestNumbers: several names at once have the numbers that they would have one after the other, however few there are and whether
// they are new, the same, or empty.
func TestNumbers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	var one, many Table
	for round := range 9000 {
		var names [][]byte
		for range rnd.IntN(Together + 1) {
			name := fmt.Sprint(rnd.IntN(1 + 3*round))
			names = append(names, []byte(strings.Repeat(name, rnd.IntN(4))))
		}
		var numbers [Together]int32
		many.Numbers(names, &numbers)
		for i, name := range names {
			if want, _ := one.Number(name); numbers[i] != want || string(many.Text(want)) != string(name) {
				t.Fatalf("round %d: %q is %d, want %d", round, name, numbers[i], want)
			}
		}
		if many.Len() != one.Len() {
			t.Fatalf("round %d: %d names, want %d", round, many.Len(), one.Len())
		}
		if round == 4000 {
			one.Reset()
			many.Reset()
		}
	}
}

// A string stays what it was while texts are added.
func TestStringsStay(t *testing.T) {
	var texts Texts
	var places []uint64
	var strs []string
	name := func(i int) string {
		if i%5000 == 0 {
			return strings.Repeat("x", 3*chunkBytes)
		}
		return strings.Repeat(fmt.Sprint(i, " "), i%97)
	}
	for i := range 20_000 {
		place, room := texts.Room(len(name(i)))
		copy(room, name(i))
		places, strs = append(places, place), append(strs, texts.String(place, len(room)))
	}
	for i, s := range strs {
		if at := string(texts.At(places[i], len(s))); s != name(i) || at != name(i) {
			t.Fatalf("text %d is %.20q and %.20q, want %.20q", i, s, at, name(i))
		}
	}
}
