package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lovoo/goka/storage"
)

var changelog = Changelog{Topic: "t-table", Partition: 3, ID: [16]byte{1, 2, 3}, End: 1 << 40}

func open(t testing.TB, dir string, change ...func(*Options)) *Store {
	t.Helper()
	s, err := Open(options(dir, change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func options(dir string, change ...func(*Options)) Options {
	o := Options{Dir: dir, Changelog: changelog}
	for _, c := range change {
		c(&o)
	}
	return o
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func rowsOf(t testing.TB, s *Store) map[string]string {
	t.Helper()
	it, err := s.Iterator()
	must(t, err)
	return drain(t, it)
}

func drain(t testing.TB, it storage.Iterator) map[string]string {
	t.Helper()
	defer it.Release()
	all, last := map[string]string{}, ""
	for it.Next() {
		v, err := it.Value()
		must(t, err)
		if k := string(it.Key()); len(all) > 0 && k <= last {
			t.Fatalf("key %q after %q", k, last)
		}
		last = string(it.Key())
		all[last] = string(v)
	}
	must(t, it.Err())
	return all
}

// keys are such that no prefix or meta data of the store's own may be taken for them.
var keys = []string{"", "m", "r", "rr", "__offset", "\x00", "\xff\xffrejected", "s", "user", "r\x00", "4294967296"}

// TestModel: the store is a map that survives restarts, with an offset that is never ahead of it.
func TestModel(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		s, model, offset, gap := open(t, dir), map[string]string{}, NoOffset, false
		for step := range 400 {
			key := keys[r.IntN(len(keys))]
			switch r.IntN(12) {
			case 0, 1, 2, 3:
				v := fmt.Sprint("value", step)
				if r.IntN(5) == 0 {
					v = ""
				}
				must(t, s.Set(key, []byte(v)))
				model[key] = v
			case 4:
				must(t, s.Delete(key))
				delete(model, key)
			case 5:
				offset, gap = max(offset, offset+int64(r.IntN(4))-1), false
				s.Applied(offset)
			case 6:
				o := offset + int64(r.IntN(4)) - 1
				if o < 0 {
					continue
				}
				s.Acked(o)
				switch {
				case gap || o <= offset:
				case o == offset+1:
					offset = o
				default:
					gap = true
				}
			case 7:
				must(t, s.flush())
			case 8:
				if r.IntN(10) > 0 {
					continue
				}
				must(t, s.Close())
				s, gap = open(t, dir), false
			case 9:
				from, to := keys[r.IntN(len(keys))], keys[r.IntN(len(keys))]
				it, err := s.IteratorWithRange([]byte(from), []byte(to))
				must(t, err)
				want := maps.Clone(model)
				maps.DeleteFunc(want, func(k, _ string) bool { return k < from || k >= to })
				if diff := cmp.Diff(want, drain(t, it)); diff != "" {
					t.Fatalf("seed %d, step %d: rows from %q to %q: %s", seed, step, from, to, diff)
				}
			default:
				got, err := s.Get(key)
				must(t, err)
				want, ok := model[key]
				if (got != nil) != ok || string(got) != want {
					t.Fatalf("seed %d, step %d: row %q is %q, want %q (%v)", seed, step, key, got, want, ok)
				}
				if has, err := s.Has(key); err != nil || has != ok {
					t.Fatalf("seed %d, step %d: has %q: %v, %v", seed, step, key, has, err)
				}
			}
			if got := s.Offset(); got != offset {
				t.Fatalf("seed %d, step %d: offset %d, want %d", seed, step, got, offset)
			}
		}
		if diff := cmp.Diff(model, rowsOf(t, s)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		must(t, s.Close())
	}
}

func TestOffsetNeverJumps(t *testing.T) {
	s := open(t, t.TempDir())
	if got, _ := s.GetOffset(-2); got != -2 {
		t.Fatalf("offset of an empty store: %d", got)
	}
	must(t, s.SetOffset(500)) // goka's: an acknowledgement's
	at := func(want int64) {
		t.Helper()
		if got := s.Offset(); got != want {
			t.Fatalf("offset %d, want %d", got, want)
		}
	}
	at(NoOffset)
	s.Acked(1)
	s.Acked(2) // right after the one that was not next
	at(NoOffset)
	s.Applied(0)
	s.Acked(1)
	s.Acked(1)
	at(1)
	s.Acked(3) // 2 is somebody else's
	s.Acked(2)
	s.Acked(4)
	at(1)
	s.Applied(9) // compaction's gap
	at(9)
	s.Applied(7)
	at(9)
	s.Acked(10)
	at(10)
	if got, _ := s.GetOffset(-2); got != 10 {
		t.Fatal(got)
	}
}

// TestOffsetZeroIsKept: goka's own store can't tell offset 0 from none.
func TestOffsetZeroIsKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.Set("a", []byte("1")))
	s.Acked(0)
	must(t, s.Close())
	if got := open(t, dir).Offset(); got != 0 {
		t.Fatalf("offset %d", got)
	}
}

func TestRecovered(t *testing.T) {
	for name, tc := range map[string]struct {
		applied, start, end int64
		offset              int64
		ok                  bool
	}{
		"empty topic":             {NoOffset, 0, 0, NoOffset, true},
		"all read":                {9, 0, 10, 9, true},
		"one short":               {8, 0, 10, 8, false},
		"nothing read":            {NoOffset, 0, 1, NoOffset, false},
		"all of it was purged":    {NoOffset, 10, 10, 9, true},
		"purged beyond our state": {4, 10, 10, 9, true},
		"ahead by now":            {12, 0, 10, 12, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			if tc.applied != NoOffset {
				s.Applied(tc.applied)
			}
			err := s.Recovered(tc.start, tc.end)
			if (err == nil) != tc.ok || s.Offset() != tc.offset {
				t.Fatalf("offset %d, %v", s.Offset(), err)
			}
			if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("stopped at offset %d, before the end at %d", tc.applied, tc.end)) {
				t.Fatal(err)
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	id := changelog.ID
	lookup := func(topic string, p int32) (Changelog, error) {
		if topic == "gone" {
			return Changelog{}, fs.ErrNotExist
		}
		return Changelog{Topic: topic, Partition: p, ID: id, End: 100}, nil
	}
	dir := t.TempDir()
	r := NewRegistry(dir, Options{}, lookup, nil)
	st, err := r.Build("a", 1)
	must(t, err)
	defer st.Close()
	if _, err := st.GetOffset(0); err != nil { // goka begins to load
		t.Fatal(err)
	}
	if _, err := r.Build("gone", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if r.Get("a", 0) != nil || r.Get("b", 1) != nil || r.Get("a", 1) == nil {
		t.Fatal("the registry finds the wrong store")
	}
	if err := st.MarkRecovered(); err == nil || !strings.Contains(err.Error(), "never asked for") {
		t.Fatalf("recovery without an end: %v", err)
	}
	r.RecoverTo("a", 1, 10)
	r.RecoverFrom("a", 1, 0)
	done := func() (is bool) {
		r.Recoveries(func(_ string, _ int32, _, _ int64, d bool) { is = d })
		return is
	}
	if err := st.MarkRecovered(); err == nil || done() {
		t.Fatal("a recovery of nothing counts as one")
	}
	r.Get("a", 1).Applied(8)
	if err := st.MarkRecovered(); err == nil || done() {
		t.Fatal("a recovery that is one short counts as one")
	}
	r.Acked("a", 1, 9)
	r.Acked("nobody's", 1, 9)
	must(t, st.MarkRecovered())
	if !done() {
		t.Fatal("not done")
	}
	recovered := func() (n int) {
		r.Recovered(func(*Store) { n++ })
		return n
	}
	if n := recovered(); n != 1 {
		t.Fatalf("%d stores are recovered", n)
	}
	// The store of the next assignment must not be called recovered by what was asked for the last one.
	must(t, st.Close())
	if recovered() != 0 || done() {
		t.Fatal("a closed store is reported")
	}
	again, err := r.Build("a", 1)
	must(t, err)
	defer r.Close()
	if err := again.MarkRecovered(); err == nil || done() {
		t.Fatal("a new store has the old one's recovery")
	}
	if got := r.Get("a", 1).Offset(); got != 9 {
		t.Fatalf("offset %d after the store was opened again", got)
	}
	// goka closes a store at once when its partition was taken away while it was opened, and then goes on without one.
	if err := again.Close(); !errors.Is(err, errCalledOff) {
		t.Fatalf("a store that was not loaded is closed with %v", err)
	}
}

func TestIterator(t *testing.T) {
	s := open(t, t.TempDir())
	for _, k := range []string{"", "a", "b", "ba", "c", "\xff", "\xff\xff"} {
		must(t, s.Set(k, []byte("v"+k)))
	}
	list := func(start, limit []byte, seek ...string) (got []string) {
		it, err := s.IteratorWithRange(start, limit)
		must(t, err)
		defer it.Release()
		for _, k := range seek {
			it.Seek([]byte(k))
		}
		for it.Next() {
			got = append(got, string(it.Key()))
		}
		return got
	}
	for name, tc := range map[string]struct{ got, want []string }{
		"all":              {list(nil, nil), []string{"", "a", "b", "ba", "c", "\xff", "\xff\xff"}},
		"half open":        {list([]byte("a"), []byte("c")), []string{"a", "b", "ba"}},
		"no limit":         {list([]byte("b"), nil), []string{"b", "ba", "c", "\xff", "\xff\xff"}}, // goka's own would be a prefix scan
		"no start":         {list(nil, []byte("b")), []string{"", "a"}},
		"below all":        {list(nil, []byte{}), nil},
		"backwards":        {list([]byte("c"), []byte("a")), nil},
		"seek":             {list(nil, nil, "b"), []string{"b", "ba", "c", "\xff", "\xff\xff"}},
		"seek between":     {list(nil, nil, "aa"), []string{"b", "ba", "c", "\xff", "\xff\xff"}},
		"seek the first":   {list(nil, nil, ""), []string{"", "a", "b", "ba", "c", "\xff", "\xff\xff"}},
		"seek below range": {list([]byte("b"), []byte("c"), "a"), []string{"b", "ba"}},
		"seek above range": {list([]byte("a"), []byte("c"), "c"), nil},
		"seek and back":    {list(nil, nil, "c", "a"), []string{"a", "b", "ba", "c", "\xff", "\xff\xff"}},
		"seek to nothing":  {list(nil, nil, "\xff\xff\xff"), nil},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s: %q, want %q", name, tc.got, tc.want)
		}
	}
	it, err := s.Iterator()
	must(t, err)
	if it.Seek([]byte("\xff\xff\xff")) || !it.Seek([]byte("c")) {
		t.Error("Seek says the wrong thing")
	}
	must(t, s.Set("zz", nil)) // an iterator shows the rows as they were
	must(t, s.flush())
	for it.Next() {
		if string(it.Key()) == "zz" {
			t.Error("a later row appears")
		}
	}
	it.Release()
}

// TestCrash copies a running store's files again and again and opens the copies: each holds a state that the table really
// had, and no more of the changelog than its offset says. Row n is written, then offset n is reported.
func TestCrash(t *testing.T) {
	t.Run("loading", func(t *testing.T) { testCrash(t, true, 64<<10) }) // the rows do not fit into the buffer: it is written when it is full
	t.Run("in use", func(t *testing.T) { testCrash(t, false, 512) })
	t.Run("in use, large", func(t *testing.T) { testCrash(t, false, 64<<10) })
}

func testCrash(t *testing.T, loading bool, size int) {
	dir := t.TempDir()
	s := open(t, dir)
	if !loading {
		must(t, s.loaded())
	}
	stop, written := make(chan struct{}), make(chan error, 1)
	go func() {
		value := make([]byte, 8, size)
		for n := int64(0); ; n++ {
			binary.BigEndian.PutUint64(value[:8], uint64(n))
			err := s.Set(fmt.Sprintf("key%03d", n%200), bytes.Clone(value[:cap(value)]))
			s.Acked(n)
			if n%5000 == 0 && !loading { // as the timer would, more often
				select {
				case s.kick <- struct{}{}:
				default:
				}
			}
			select {
			case <-stop:
				written <- err
				return
			default:
			}
		}
	}()
	seen, last := 0, int64(-1)
	eventually(t, "five crashes with rows in them", func() bool {
		copied := filepath.Join(t.TempDir(), "crashed")
		if err := copyRunning(copied, dir); err != nil {
			return false // LevelDB took a file away meanwhile
		}
		crashed, err := Open(options(copied))
		must(t, err)
		defer crashed.Close()
		offset := crashed.Offset()
		if offset < last {
			// A copy is not taken at one instant: files that do not fit together are found corrupt and removed.
			if offset != NoOffset {
				t.Fatalf("offset went from %d to %d", last, offset)
			}
			return false
		}
		for k := range int64(200) {
			want := offset - (offset-k+200*(1+offset/200))%200 // the last number up to offset that went to key k
			row, err := crashed.Get(fmt.Sprintf("key%03d", k))
			must(t, err)
			if want >= 0 && (row == nil || int64(binary.BigEndian.Uint64(row)) < want) {
				t.Fatalf("offset %d is ahead of row %d: %x", offset, k, row[:min(8, len(row))])
			}
		}
		if offset > last {
			seen, last = seen+1, offset
		}
		return seen >= 5
	})
	close(stop)
	must(t, <-written)
}

// copyRunning copies the files of a running store as a crash could have left them: what refers to others goes before them. A
// table that is copied while it is written would otherwise be one that is in use.
func copyRunning(to, from string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, pattern := range []string{"*.log", "CURRENT", "MANIFEST-*", "*.ldb"} {
		files, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(filepath.Join(to, filepath.Base(file)), b, 0o600)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.Set("a", []byte("1")))
	_, err := Open(options(dir))
	if err == nil || !strings.Contains(err.Error(), "another process uses the directory") || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second opening: %v", err)
	}
	if v, err := s.Get("a"); string(v) != "1" || err != nil {
		t.Fatal("the second opening harms the first", v, err)
	}
	must(t, s.Close())
	s = open(t, dir) // the lock is gone at once
	if v, _ := s.Get("a"); string(v) != "1" {
		t.Fatal("row is gone")
	}

	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(options(filepath.Join(file, "below"))); err == nil || !strings.Contains(err.Error(), "make state directory") {
		t.Fatal(err)
	}
	if _, err := Open(options(t.TempDir(), func(o *Options) { o.OpenFiles = denied })); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("a directory that may not be read: %v", err)
	}
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s.Close())
	must(t, s.Close())
	_, getErr := s.Get("a")
	_, itErr := s.Iterator()
	for _, err := range []error{s.Set("a", nil), s.Delete("a"), getErr, itErr} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	s.Applied(1)
	s.Acked(2)
}
