package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	lstorage "github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"
)

func rowRange() util.Range { return *util.BytesPrefix([]byte(rowPrefix)) }

func denied(string) (lstorage.Storage, error) { return nil, fs.ErrPermission }

// disk is LevelDB's storage with a limit on what can be written, and a gate before each write.
type disk struct {
	lstorage.Storage
	left  atomic.Int64
	stuck sync.RWMutex // locked: writes wait
}

func newDisk(room int64) (*disk, func(*Options)) {
	d := new(disk)
	d.left.Store(room)
	return d, func(o *Options) {
		o.OpenFiles = func(dir string) (lstorage.Storage, error) {
			files, err := lstorage.OpenFile(dir, false)
			d.Storage = files
			return d, err
		}
	}
}

func (d *disk) Create(fd lstorage.FileDesc) (lstorage.Writer, error) {
	w, err := d.Storage.Create(fd)
	return writer{w, d}, err
}

type writer struct {
	lstorage.Writer
	disk *disk
}

func (w writer) Write(b []byte) (int, error) {
	w.disk.stuck.RLock()
	defer w.disk.stuck.RUnlock()
	if w.disk.left.Add(-int64(len(b))) < 0 {
		return 0, syscall.ENOSPC
	}
	return w.Writer.Write(b)
}

// TestDiskFull: what could not be written fails everything from then on, is told once, and blocks nobody.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	_, full := newDisk(1 << 20)
	var failures atomic.Int32
	told := make(chan error, 1)
	s := open(t, dir, full, func(o *Options) {
		o.OnFailure = func(err error) {
			if failures.Add(1) == 1 {
				told <- err
			}
		}
	})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			value := make([]byte, 64<<10)
			for n := 0; ; n++ {
				if err := s.Set(fmt.Sprint(w, n), value); err != nil {
					if !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("writer: %v", err)
					}
					return
				}
			}
		}()
	}
	writers.Wait()
	if err := <-told; !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	_, err := s.Get("x")
	_, itErr := s.Iterator()
	for _, err := range []error{err, itErr, s.Set("y", nil), s.flush(), s.Close()} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("after the failure: %v", err)
		}
	}
	if n := failures.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
	open(t, dir) // with room again, it opens
}

// TestDiskFullFromTheStart: what can't even be opened is told as well.
func TestDiskFullFromTheStart(t *testing.T) {
	_, full := newDisk(0)
	told := make(chan error, 1)
	_, err := Open(options(t.TempDir(), full, func(o *Options) { o.OnFailure = func(err error) { told <- err } }))
	for _, err := range []error{err, <-told} { // LevelDB has made a text of the system's error
		if err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
			t.Errorf("open: %v", err)
		}
	}
}

// TestDiskSlow: writers wait when the disk takes nothing, so that memory stays bounded, and go on when it does.
func TestDiskSlow(t *testing.T) {
	d, slow := newDisk(1 << 40)
	s := open(t, t.TempDir(), slow)
	d.stuck.Lock()
	const value = 1 << 20
	var set atomic.Int64
	done := make(chan error, 1)
	go func() {
		for n := range 64 {
			if err := s.Set(fmt.Sprint(n), make([]byte, value)); err != nil {
				done <- err
				return
			}
			set.Add(1)
		}
		done <- nil
	}()
	full := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.flying != nil && s.bytes >= maxDirtyBytes
	}
	eventually(t, "the buffer is full", full)
	if n := set.Load() * value; n > 2*maxDirtyBytes+2*value {
		t.Errorf("%d bytes wait for the disk", n)
	}
	for n := range set.Load() { // what waits can be read
		if v, err := s.Get(fmt.Sprint(n)); len(v) != value || err != nil {
			t.Fatal(len(v), err)
		}
	}
	d.stuck.Unlock()
	must(t, <-done)
	must(t, s.Close())
}

// TestMemoryBound: also when the flusher has not got round to it.
func TestMemoryBound(t *testing.T) {
	s := open(t, t.TempDir())
	const value = 256 << 10
	for n := range 400 {
		must(t, s.Set(fmt.Sprint(n), make([]byte, value)))
		s.mu.Lock()
		bytes := s.bytes
		s.mu.Unlock()
		if bytes > maxDirtyBytes+value+1024 {
			t.Fatalf("%d bytes wait for the flusher", bytes)
		}
	}
	must(t, s.Close())
}

// TestNoRowIsLostOnClose: a Set that returns nil while the store is being closed is on disk.
func TestNoRowIsLostOnClose(t *testing.T) {
	for range 30 {
		dir := t.TempDir()
		s := open(t, dir)
		var taken []string
		started, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for n := 0; ; n++ {
				key := fmt.Sprint(n)
				if s.Set(key, []byte("v")) != nil {
					return
				}
				taken = append(taken, key)
				if n == 20 {
					close(started)
				}
			}
		}()
		<-started
		must(t, s.Close())
		<-done
		s = open(t, dir)
		for _, k := range taken {
			if ok, _ := s.Has(k); !ok {
				t.Fatalf("row %s of %d is gone", k, len(taken))
			}
		}
		must(t, s.Close())
	}
}
