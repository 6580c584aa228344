//go:build unix

package main

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pause is how long a system call lasts, or a rest. Of a call that lasts for 10 ms the monitor thinks that it blocks.
const pause = 8 * time.Millisecond

// calmMonitor keeps the monitor thread of Go's runtime calm while the program is not busy. It never returns. When no goroutine runs that
// thread goes to sleep, the next system call wakes it, and it then looks every 20 µs, fifty times and more, what there is to do. A live
// load is work and rest in turns, hundreds of times a second: an eighth of its CPU time went into that. The monitor does not
// go to sleep, and soon looks every 10 ms only, while a goroutine is in a system call. This one is.
//
// It occupies one of GOMAXPROCS meanwhile. The monitor gives that to others who need it, but some milliseconds late: a program that is
// busy is left alone, which is one where a pause takes longer than it should.
func calmMonitor() {
	const pauses = 100
	for calm := false; ; {
		began := time.Now()
		for range pauses {
			if calm {
				systemCall()
			} else {
				time.Sleep(pause)
			}
		}
		calm = runtime.GOMAXPROCS(0) > 1 && time.Since(began) < pauses*(pause+pause/8)
	}
}

// systemCall is a pause in which the monitor does not go to sleep.
func systemCall() {
	_, _ = unix.Poll(nil, int(pause.Milliseconds())) // nothing but the time: an interruption does not matter
	runtime.Gosched()                                // or the monitor takes one call after the other for one that lasts
}
