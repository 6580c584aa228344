package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func loadSize(records int64) func(*Options) {
	return func(o *Options) { o.Changelog.Start, o.Changelog.End = 7, 7+records }
}

// TestLoading: only a store that starts empty and has much to recover is loading, until it is recovered or iterated over.
func TestLoading(t *testing.T) {
	if s := open(t, t.TempDir(), loadSize(minLoad-1)); s.isLoading() {
		t.Error("little to recover: it is loading")
	}
	dir := t.TempDir()
	s := open(t, dir, loadSize(minLoad))
	if !s.isLoading() {
		t.Fatal("much to recover: it is not loading")
	}
	must(t, s.Set("a", []byte("1")))
	s.Applied(minLoad + 5)
	if err := s.Recovered(7, minLoad+7); err == nil || !s.isLoading() {
		t.Fatalf("recovered, but for the last record: %v", err)
	}
	s.Applied(minLoad + 6)
	must(t, s.Recovered(7, minLoad+7))
	if s.isLoading() {
		t.Fatal("recovered: it is still loading")
	}
	must(t, s.Close())

	s = open(t, dir, loadSize(2*minLoad))
	if row, err := s.Get("a"); s.isLoading() || s.Offset() != minLoad+6 || string(row) != "1" || err != nil {
		t.Fatalf("opened again: loading %t, offset %d, row %q, %v", s.isLoading(), s.Offset(), row, err)
	}

	s = open(t, t.TempDir(), loadSize(minLoad))
	must(t, s.Set("b", []byte("2")))
	if rows := rowsOf(t, s); len(rows) != 1 || s.isLoading() {
		t.Fatalf("iterated over: rows %q, loading %t", rows, s.isLoading())
	}
}

// TestLoadingTables: a full buffer becomes one table, and the tables are not merged meanwhile.
func TestLoadingTables(t *testing.T) {
	const buffers = 40 // more than LevelDB leaves alone in use
	dir := t.TempDir()
	s := open(t, dir, func(o *Options) { o.Memory = NewMemory(0) })
	tables := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "*.ldb"))
		must(t, err)
		return len(names)
	}
	row := make([]byte, 64<<10)
	for n := int64(0); tables() < buffers; n++ {
		if n > 2*buffers*maxDirtyBytes/int64(len(row)) {
			t.Fatalf("%d rows are in %d tables", n, tables())
		}
		must(t, s.Set(fmt.Sprintf("%08d", n*7919%1_000_003), row))
		s.Applied(n)
	}
	if mb := len(rowsOf(t, s)) * len(row) >> 20; mb < buffers*maxDirtyBytes>>20*9/10 {
		t.Errorf("%d tables for %d MiB", buffers, mb)
	}
	eventually(t, "the tables are merged when they are in use", func() bool {
		stats, err := s.db.GetProperty("leveldb.num-files-at-level0")
		must(t, err)
		return stats == "0"
	})
}

// TestLoadedMeanwhile: the end of loading disturbs nobody.
func TestLoadedMeanwhile(t *testing.T) {
	s := open(t, t.TempDir())
	const users, rows = 4, 200
	var working sync.WaitGroup
	for u := range users {
		working.Go(func() {
			for n := range rows {
				key := fmt.Sprintf("%d-%d", u, n)
				if err := s.Set(key, []byte(key)); err != nil {
					t.Error(err)
					return
				}
				if n%20 == u {
					if err := s.flush(); err != nil {
						t.Error(err)
					}
				}
				for _, k := range []string{key, fmt.Sprintf("%d-%d", u, n/2)} {
					if row, err := s.Get(k); err != nil || string(row) != k {
						t.Errorf("row %s is %q, %v", k, row, err)
						return
					}
				}
				if n == rows/2 {
					if err := s.loaded(); err != nil { // by all at about the same time
						t.Error(err)
					}
				}
			}
		})
	}
	working.Wait()
	if n := len(rowsOf(t, s)); n != users*rows {
		t.Errorf("%d rows of %d", n, users*rows)
	}
}

// TestLoadedOnFullDisk: a database that can't be opened for use is a failure like any other.
func TestLoadedOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	d, full := newDisk(1 << 20)
	told := make(chan error, 1)
	s := open(t, dir, full, func(o *Options) { o.OnFailure = func(err error) { told <- err } })
	must(t, s.Set("a", []byte("1")))
	s.Applied(0)
	must(t, s.flush())
	d.left.Store(0)
	err := s.Recovered(0, 1)
	_, getErr := s.Get("b")
	for _, err := range []error{err, getErr, s.Set("b", nil), <-told} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("on a full disk: %v", err)
		}
	}
	if err := s.Close(); err == nil {
		t.Error("closed as if nothing had happened")
	}
	s = open(t, dir) // with room again
	if row, err := s.Get("a"); s.Offset() != 0 || string(row) != "1" || err != nil {
		t.Errorf("with room again: offset %d, row %q, %v", s.Offset(), row, err)
	}
}
