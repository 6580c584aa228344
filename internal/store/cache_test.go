package store

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestCacheAgainstDisk writes and reads with a cache that is far too small, against a map, before and after loading has ended.
func TestCacheAgainstDisk(t *testing.T) {
	memory := NewMemory(64 << 10)
	s, err := Open(Options{Dir: t.TempDir(), Changelog: Changelog{Topic: "t", End: minLoad}, Memory: memory})
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
			want[key] = fmt.Sprint("row ", n, strings.Repeat("x", rnd.IntN(1000)))
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
		if used := kept(s.clean); used > memory.limit+2*(chunkBytes+placeBytes) {
			t.Fatalf("step %d: the cache takes %d bytes of %d", n, used, memory.limit)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(memory.caches) > 0 || memory.young.Load() != 0 || kept(s.clean) != 0 {
		t.Errorf("a closed store leaves %d bytes", memory.young.Load())
	}
}

// kept returns how many bytes a cache keeps.
func kept(c *rowCache) int64 { return c.young.bytes + c.old.bytes }

// TestReadsAreNewest: a row that is read while it is written anew is never older than the last that was written before.
func TestReadsAreNewest(t *testing.T) {
	const keys, writes = 8, 3000
	var readers sync.WaitGroup
	defer readers.Wait()
	done := make(chan struct{})
	defer close(done)
	memory := NewMemory(0) // rows go soon, and are read from the disk again
	s, err := Open(Options{Dir: t.TempDir(), Changelog: Changelog{Topic: "t"}, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	var written [keys]atomic.Int64
	for range 4 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				least := written[i%keys].Load()
				row, err := s.Get(fmt.Sprint(i % keys))
				if err != nil {
					t.Error(err)
					return
				}
				if is, _ := strconv.ParseInt(string(row), 10, 64); is < least {
					t.Errorf("row %d is %d, and was %d", i%keys, is, least)
					return
				}
			}
		})
	}
	for n := int64(1); n <= writes && !t.Failed(); n++ {
		must(t, s.Set(fmt.Sprint(n%keys), strconv.AppendInt(nil, n, 10)))
		written[n%keys].Store(n)
		must(t, s.flush())
	}
}

// TestSameHash: a row that gave way to another key's with the same hash does not become what it was before.
func TestSameHash(t *testing.T) {
	memory := NewMemory(1 << 20)
	c := memory.open()
	hash := memory.hash("a")
	c.keep(hash, "a", []byte("first"))
	c.old, c.young = c.young, generation{}
	c.keep(hash, "a", []byte("second"))
	c.keep(hash, "other", []byte("row"))
	if row, ok := c.get("a"); ok {
		t.Errorf("the row is %q, and was %q last", row, "second")
	}
}

// TestWithoutMemory: a store without memory, as a view's are, keeps no rows in it, and has more tables to look for them in.
func TestWithoutMemory(t *testing.T) {
	for _, memory := range []*Memory{nil, NewMemory(1 << 20)} {
		s, err := Open(Options{Dir: t.TempDir(), Changelog: Changelog{Topic: "t"}, Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		must(t, s.Set("row", []byte("value")))
		must(t, s.flush())
		if row, err := s.Get("row"); err != nil || string(row) != "value" {
			t.Errorf("%q, %v", row, err)
		}
		if _, kept := s.clean.get("row"); kept != (memory != nil) {
			t.Errorf("the row is kept: %v; memory: %v", kept, memory != nil)
		}
		if n, more := s.levelDB(false).CompactionL0Trigger, memory == nil; (n > 32) != more {
			t.Errorf("tables are merged when there are %d; memory: %v", n, memory != nil)
		}
		must(t, s.Close())
	}
}

// TestCachesShareMemory: what one store no longer uses makes room for another's rows, and what is used stays.
func TestCachesShareMemory(t *testing.T) {
	memory := NewMemory(128 << 10)
	idle, busy := memory.open(), memory.open()
	row := make([]byte, 100)
	for i := range 150 {
		idle.put(fmt.Sprint(i), row)
	}
	for i := range 10_000 {
		busy.put(fmt.Sprint(i), row)
		if _, ok := busy.get("0"); !ok {
			t.Fatalf("a row in use is gone after %d others", i)
		}
	}
	if n := kept(idle); n != 0 {
		t.Errorf("an idle store keeps %d bytes", n)
	}
	if n := kept(busy); n < memory.limit/2 || n > memory.limit+2*(chunkBytes+placeBytes) {
		t.Errorf("a busy store keeps %d bytes of %d", n, memory.limit)
	}
}

// TestGeneration: a row that was handed out stays as it was when the row is written over, and two keys with one hash are never
// taken for each other.
func TestGeneration(t *testing.T) {
	var g generation
	check := func(hash uint32, key, want string) {
		t.Helper()
		row, ok := g.get(hash, key)
		if !ok || string(row) != want {
			t.Errorf("%s: %q, %t; want %q", key, row, ok, want)
		}
	}
	g.put(1, "a", []byte("first"))
	handed, _ := g.get(1, "a")
	before := g.bytes
	if grown := g.put(1, "a", []byte("other")); grown != 0 || g.bytes != before || len(g.chunks[0]) != entryBytes(1, 5) {
		t.Errorf("a row of the same length takes %d bytes more", len(g.chunks[0])-entryBytes(1, 5))
	}
	if string(handed) != "first" {
		t.Errorf("a row that was handed out has become %q", handed)
	}
	check(1, "a", "other")
	large := strings.Repeat("large", chunkBytes)
	g.put(2, "b", []byte(large))
	g.put(3, "", []byte{})
	g.put(4, "gone", nil)
	g.put(1, "a", []byte("longer than before"))
	check(1, "a", "longer than before")
	check(2, "b", large)
	check(3, "", "")
	if row, ok := g.get(3, ""); row == nil || !ok {
		t.Error("an empty row is taken for none")
	}
	if row, ok := g.get(4, "gone"); row != nil || !ok {
		t.Errorf("what is known not to be there: %q, %t", row, ok)
	}
	g.put(1, "same hash", []byte("row"))
	check(1, "same hash", "row")
	if row, ok := g.get(1, "a"); ok {
		t.Errorf("another key's row %q is taken for a", row)
	}
}
