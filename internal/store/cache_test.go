package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestCacheAgainstDisk writes and reads with a cache that is far too small, against a map, before and after loading has ended.
func TestCacheAgainstDisk(t *testing.T) {
	budget := NewBudget(4 << 10)
	s, err := Open(Options{Dir: t.TempDir(), Changelog: Changelog{Topic: "t", End: minLoad}, Cache: budget})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 20_000 {
		if n == 10_000 {
			must(t, s.loaded())
		}
		key := fmt.Sprint(rnd.IntN(200))
		switch rnd.IntN(6) {
		case 0:
			want[key] = fmt.Sprint("row ", n)
			err = s.Set(key, []byte(want[key]))
		case 1:
			delete(want, key)
			err = s.Delete(key)
		case 2:
			if n%50 == 0 {
				err = s.flush()
			}
		default:
			row, e := s.Get(key)
			if w, ok := want[key]; string(row) != w || (row != nil) != ok {
				t.Fatalf("step %d: row %q is %q, want %q", n, key, row, w)
			}
			err = e
		}
		if err != nil {
			t.Fatal(err)
		}
		if used := budget.used.Load(); used > 2*budget.limit {
			t.Fatalf("step %d: the cache takes %d bytes of %d", n, used, budget.limit)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if used := budget.used.Load(); used != 0 {
		t.Errorf("a closed store leaves %d bytes in the budget", used)
	}
}

// TestCacheForgetsWhatIsOld: a row that was being read from disk while a newer one was written does not get into the cache.
func TestCacheForgetsWhatIsOld(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), Changelog: Changelog{Topic: "t", End: 1}, Cache: NewBudget(1 << 20)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.mu.Lock()
	before := s.flushes
	s.mu.Unlock()
	if err := s.Set("k", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.clean.drop() // as if it had been evicted
	s.clean.budget = NewBudget(1 << 20)
	s.mu.Unlock()
	s.remember("k", []byte("old"), before)
	if row, err := s.Get("k"); err != nil || string(row) != "new" {
		t.Errorf("row is %q, %v", row, err)
	}
}
