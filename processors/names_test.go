package processors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/potok-streams/potok/internal/intern"
)

// Names come in their order, those with the same beginning, too.
func TestSorted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	var names intern.Table
	var want, got []string
	for range 30_000 {
		name := strings.Repeat("x", rnd.IntN(12)) + fmt.Sprint(rnd.IntN(2000))
		if _, fresh := names.Number([]byte(name)); fresh {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	for _, s := range sorted(&names, nil) {
		got = append(got, string(names.Text(numberOf(s))))
	}
	if !slices.Equal(got, want) {
		t.Error("names are not in their order")
	}
}
