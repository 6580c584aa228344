package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestStateThatMustNotBeUsed(t *testing.T) {
	prepare := func(t *testing.T) string {
		dir := t.TempDir()
		s := open(t, dir)
		must(t, s.Set("a", []byte("old")))
		s.Applied(41)
		must(t, s.Close())
		return dir
	}
	for name, tc := range map[string]struct {
		change func(*Options)
		kept   bool
	}{
		"the same":                  {func(*Options) {}, true},
		"topic made anew":           {func(o *Options) { o.Changelog.ID[0]++ }, false},
		"ends right after us":       {func(o *Options) { o.Changelog.End = 42 }, true},
		"ends before us":            {func(o *Options) { o.Changelog.End = 41 }, false},
		"empty":                     {func(o *Options) { o.Changelog.End = 0 }, false},
		"found corrupt when in use": {func(o *Options) { _ = os.WriteFile(filepath.Join(o.Dir, corruptFile), nil, 0o600) }, false},
		"CURRENT is gone":           {func(o *Options) { _ = os.Remove(filepath.Join(o.Dir, "CURRENT")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, prepare(t), tc.change)
			got, err := s.Get("a")
			must(t, err)
			if kept := got != nil; kept != tc.kept || kept != (s.Offset() == 41) {
				t.Fatalf("row %q at offset %d", got, s.Offset())
			}
			must(t, s.Set("b", nil)) // and it is of use
			must(t, s.Close())
		})
	}
}

// TestDamage flips bytes all over a store's files. Whatever LevelDB makes of it, no state may come out that the table
// never had, and a store that fails is removed at the next opening.
func TestDamage(t *testing.T) {
	const rows = 3000
	key := func(k int) string { return fmt.Sprintf("key%05d", k) }
	build := func(dir string, tables bool) {
		s := open(t, dir)
		for n := range int64(rows) {
			must(t, s.Set(key(int(n)), fmt.Appendf(nil, "%d%0100d", n, n)))
			s.Acked(n)
			if n%300 == 299 {
				must(t, s.flush())
			}
		}
		must(t, s.flush())
		if tables { // rows in sorted tables instead of the journal
			must(t, s.db.CompactRange(rowRange()))
		}
		must(t, s.Close())
	}
	sources := map[bool]string{false: t.TempDir(), true: t.TempDir()}
	for tables, dir := range sources {
		build(dir, tables)
	}
	r := rand.New(rand.NewPCG(1, 0))
	damaged := 0
	for i := range 60 {
		source := sources[i%2 == 0]
		dir := filepath.Join(t.TempDir(), "d")
		must(t, os.CopyFS(dir, os.DirFS(source)))
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		names = slices.DeleteFunc(names, func(n string) bool { return filepath.Base(n) == "LOCK" || filepath.Base(n) == "LOG" })
		name := names[r.IntN(len(names))]
		data, err := os.ReadFile(name)
		must(t, err)
		if len(data) == 0 {
			continue
		}
		what := "flipped"
		at := r.IntN(len(data))
		switch r.IntN(4) {
		case 0:
			what, data = "cut", data[:at]
		case 1:
			what = "zeroed"
			clear(data[at:min(at+4096, len(data))])
		default:
			data[at] ^= 1 << r.IntN(8)
		}
		must(t, os.WriteFile(name, data, 0o600))
		what = fmt.Sprintf("%s %s at %d of %d", filepath.Base(name), what, at, len(data))

		s, err := Open(options(dir))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		offset, failed := s.Offset(), false
		for k := range rows {
			row, err := s.Get(key(k))
			if err != nil {
				failed = true
				break
			}
			if int64(k) <= offset && row == nil {
				t.Fatalf("%s: offset %d, but row %d is missing", what, offset, k)
			}
			if row != nil && string(row) != fmt.Sprintf("%d%0100d", k, k) {
				t.Fatalf("%s: row %d is %q", what, k, row)
			}
		}
		s.Close()
		if failed {
			s = open(t, dir)
			if s.Offset() != NoOffset {
				t.Fatalf("%s: state that failed is used again", what)
			}
			must(t, s.Close())
		}
		if failed || offset != rows-1 {
			damaged++
		}
	}
	if damaged < 10 {
		t.Fatalf("only %d of the damages were noticed at all", damaged)
	}
}

// TestDamageMetByAnIterator: a view reads its rows only so; without the mark it would fail again after every restart.
func TestDamageMetByAnIterator(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for n := range 3000 {
		must(t, s.Set(fmt.Sprintf("key%05d", n), fmt.Appendf(nil, "%0100d", n)))
	}
	s.Applied(2999)
	must(t, s.flush())
	must(t, s.db.CompactRange(rowRange()))
	must(t, s.Close())
	tables, _ := filepath.Glob(filepath.Join(dir, "*.ldb"))
	data, err := os.ReadFile(tables[0])
	must(t, err)
	clear(data[len(data)/2 : len(data)/2+100])
	must(t, os.WriteFile(tables[0], data, 0o600))

	failures := make(chan error, 10)
	s = open(t, dir, func(o *Options) { o.OnFailure = func(err error) { failures <- err } })
	it, err := s.Iterator()
	must(t, err)
	for it.Next() {
	}
	if it.Err() == nil {
		t.Fatal("the damage is not noticed")
	}
	it.Release()
	select {
	case <-failures:
	case <-time.After(20 * time.Second):
		t.Error("nobody is told")
	}
	s.Close()
	s = open(t, dir)
	if s.Offset() != NoOffset || len(rowsOf(t, s)) != 0 {
		t.Fatal("damaged state is used again")
	}
}
