package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestCacheAgainstDisk writes and reads with a cache that is far too small, against a map, before and after loading has ended.
func TestCacheAgainstDisk(t *testing.T) {
	memory := NewMemory(4<<10, 1<<20)
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
		if used := kept(s.clean); used > memory.limit+100 {
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
func kept(c *rowCache) (n int64) {
	for _, rows := range []map[string][]byte{c.young, c.old} {
		for k, v := range rows {
			n += rowBytes(k, v)
		}
	}
	return n
}

// TestCachesShareMemory: what one store no longer uses makes room for another's rows, and what is used stays.
func TestCachesShareMemory(t *testing.T) {
	memory := NewMemory(64<<10, 1<<20)
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
	if n := kept(busy); n < memory.limit/2 || n > memory.limit+200 {
		t.Errorf("a busy store keeps %d bytes of %d", n, memory.limit)
	}
}
