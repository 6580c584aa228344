package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestForeignStretches: each stretch that somebody else wrote between rows of ours is told of, once.
func TestForeignStretches(t *testing.T) {
	var got [][2]int64
	s := open(t, t.TempDir(), func(o *Options) {
		o.OnForeign = func(topic string, partition int32, from, to int64) {
			if topic != changelog.Topic || partition != changelog.Partition {
				t.Errorf("told of %s/%d", topic, partition)
			}
			got = append(got, [2]int64{from, to})
		}
	})
	s.Applied(4)
	for _, o := range []int64{5, 6, 9, 10, 10, 8, 11, 20, 21} {
		s.Acked(o)
	}
	for _, end := range []int64{21, 22, 25, 25} {
		s.Ends(end)
	}
	s.Acked(25)
	s.Acked(27)
	if want := [][2]int64{{7, 9}, {12, 20}, {22, 25}, {26, 27}}; !cmp.Equal(want, got) {
		t.Errorf("told of %v, want %v", got, want)
	}
	if s.Offset() != 6 {
		t.Errorf("offset %d: the next recovery would not read what was not read", s.Offset())
	}
}

// TestHold: what is held is read again after a crash, and what came before is not.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	kept := func() int64 {
		t.Helper()
		must(t, s.Close())
		s = open(t, dir)
		return s.Offset()
	}
	s.Applied(3)
	for _, o := range []int64{4, 6, 4} {
		s.Hold(o)
		s.Applied(o)
	}
	s.Acked(7)
	s.Release(6)
	if got := kept(); got != 3 {
		t.Fatalf("offset %d, want 3", got)
	}
	for _, o := range []int64{4, 6} {
		s.Hold(o)
		s.Applied(o)
	}
	s.Release(4)
	if got := kept(); got != 5 {
		t.Fatalf("offset %d, want 5", got)
	}
	s.Hold(6)
	s.Applied(6)
	s.Release(6)
	if got := kept(); got != 6 {
		t.Fatalf("offset %d, want 6", got)
	}
}
