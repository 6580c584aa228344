package processors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestNames numbers names of all lengths against a map, several times in the same memory.
func TestNames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	var n names
	for round, count := range []int{0, 1, 30_000, 29_000, 3, 5000, 5000} {
		want := map[string]int32{}
		for range count {
			name := fmt.Sprint(rnd.IntN(20_000))
			switch rnd.IntN(50) {
			case 0:
				name = strings.Repeat(name, rnd.IntN(40))
			case 1:
				name = strings.Repeat("x", rnd.IntN(3)*nameChunk/2) // fills a chunk, leaves nothing of it, or has one of its own
			}
			known, ok := want[name]
			if !ok {
				known = int32(len(want))
				want[name] = known
			}
			if got := n.number([]byte(name)); got != known {
				t.Fatalf("round %d: %.20q is %d, want %d", round, name, got, known)
			}
		}
		var inOrder []string
		for name, i := range want {
			if got := string(n.text(i)); got != name {
				t.Fatalf("round %d: %d is %.20q, want %.20q", round, i, got, name)
			}
			inOrder = append(inOrder, name)
		}
		slices.Sort(inOrder)
		var sorted []string
		for _, s := range n.sorted(nil) {
			sorted = append(sorted, string(n.text(numberOf(s))))
		}
		if !slices.Equal(sorted, inOrder) {
			t.Errorf("round %d: names are not in their order", round)
		}
		n.reset()
		if n.len() != 0 || n.bytes != 0 || round == 4 && cap(n.places) > 30_000/4 {
			t.Errorf("round %d: %d names, %d bytes, room for %d after the reset", round, n.len(), n.bytes, cap(n.places))
		}
	}
}
