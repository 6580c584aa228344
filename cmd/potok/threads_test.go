package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
)

func TestThreads(t *testing.T) {
	var set []bool
	th := &threads{set: func(two bool) { set = append(set, two) }}
	handler := th.count(http.NotFoundHandler())
	for _, requests := range []int{0, askedOften - 1, askedOften, askedSeldom, askedSeldom - 1, askedSeldom, 2 * askedOften} {
		for range requests {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}
		th.adapt(th.requests.Swap(0))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	th.run(ctx) // ends, and leaves one thread a core
	if want := []bool{true, false, true, false}; !slices.Equal(set, want) {
		t.Errorf("two threads a core: %v, want %v", set, want)
	}
}

// TestThreadsOfGo: while it is asked often a program has twice the threads that it has otherwise, but for one whose number
// somebody has set, and where there is a quota.
func TestThreadsOfGo(t *testing.T) {
	was := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
	t.Setenv("GOMAXPROCS", "3")
	newThreads().adapt(askedOften)
	if n := runtime.GOMAXPROCS(0); n != was {
		t.Errorf("%d threads, want %d", n, was)
	}
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	one, many := runtime.GOMAXPROCS(0), 2*runtime.NumCPU()
	if one < runtime.NumCPU() {
		many = one // there is a quota here
	}
	are := func(want int) error {
		if n := runtime.GOMAXPROCS(0); n != want {
			return fmt.Errorf("%d threads, want %d", n, want)
		}
		return nil
	}
	i := start(t, embedded(t), "run", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	eventually(t, "it is asked often", func() error {
		for range askedOften {
			resp, err := http.Get(i.url + "/healthz")
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body) // so that the connection is used again
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				return err
			}
		}
		return are(many)
	})
	eventually(t, "it is not asked", func() error { return are(one) })
}
