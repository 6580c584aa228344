//go:build unix

package main

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestCalmMonitor: work and rest in turns take fewer switches between threads while a goroutine is in system calls.
func TestCalmMonitor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4)) // so that nobody needs the place of the one that is in system calls
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	switches := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return int64(u.Nvcsw)
	}
	load := func() int64 {
		before := switches()
		for range 200 {
			if _, err := null.Write([]byte("a system call")); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(time.Millisecond); time.Now().Before(end); {
			}
			time.Sleep(time.Millisecond) // the rest that the load is about
		}
		return switches() - before
	}
	var with, without int64
	for range 5 { // in turns: others use the machine, too
		without += load()
		var calls sync.WaitGroup
		done := make(chan struct{})
		calls.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					systemCall()
				}
			}
		})
		with += load()
		close(done)
		calls.Wait()
	}
	if 4*with > 3*without { // it is half
		t.Errorf("%d switches between threads, %d without", with, without)
	}
}
