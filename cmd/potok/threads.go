package main

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// threads has Go run on two threads a core while many questions are asked. With one a core, as is its default, a question waits behind
// the dozens of goroutines that each batch of events wakes up; between two, the kernel shares a core by the millisecond. A live load
// takes a tenth more CPU time then, so that it is not for always.
type threads struct {
	requests atomic.Int64
	two      bool
	set      func(two bool)
}

// From how many requests a second on there are two threads a core, and below how many there is one again.
const (
	askedOften  = 500
	askedSeldom = 200
)

// newThreads returns threads that leave everything as it is if somebody has set GOMAXPROCS, or gives the program a part of the cores.
func newThreads() *threads {
	if os.Getenv("GOMAXPROCS") != "" {
		return &threads{set: func(bool) {}}
	}
	return &threads{set: func(two bool) {
		runtime.SetDefaultGOMAXPROCS()
		if n := runtime.GOMAXPROCS(0); two && n == runtime.NumCPU() { // else there is a quota, which more threads use up sooner
			runtime.GOMAXPROCS(2 * n)
		}
	}}
}

// count returns the handler, with its requests counted.
func (t *threads) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.requests.Add(1)
		next.ServeHTTP(w, r)
	})
}

// run looks every second, until ctx ends, at how many questions there were.
func (t *threads) run(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			t.adapt(0)
			return
		case <-second.C:
			t.adapt(t.requests.Swap(0))
		}
	}
}

// adapt goes by the requests of the last second.
func (t *threads) adapt(requests int64) {
	two := requests >= askedOften || t.two && requests >= askedSeldom
	if two != t.two {
		t.two = two
		t.set(two)
	}
}
