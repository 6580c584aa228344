package store

import "testing"

// TestAllocations: a row that changes again before the disk has it, which is what most rows of a busy table do, costs the store
// nothing. Flushes go on beside; a thousand calls outweigh them.
func TestAllocations(t *testing.T) {
	s, err := Open(options(t.TempDir()))
	must(t, err)
	defer func() { must(t, s.Close()) }()
	row := make([]byte, 250)
	for name, f := range map[string]func(){
		"set": func() { must(t, s.Set("user", row)) },
		"get": func() {
			_, err := s.Get("user")
			must(t, err)
		},
		"applied": func() { s.Applied(0) },
	} {
		f()
		if got := testing.AllocsPerRun(1000, f); got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
