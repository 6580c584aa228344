package client_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/views"
	"github.com/potok-streams/potok/views/client"
)

// killable is a view at an address. One that is killed says no good-bye; the next one at that address knows nothing of it but
// the rows, which it has restored.
type killable struct {
	*tables
	kill func()
}

// startView starts one over rows that are there already. asked is told of every request.
func startView(t *testing.T, address string, rows map[string]*codecs.Activity, asked func(path string)) (killable, string) {
	t.Helper()
	f := &tables{index: views.NewIndex(), rows: rows}
	for id, a := range rows {
		f.index.ApplyActivity(id, a)
	}
	s, err := views.NewServer(views.Config{
		Index: f.index, Lookup: f.get, LagMeter: f, Readiness: f, Registry: prometheus.NewRegistry(), RawTopics: [2]string{"users", "test"},
		Coalesce: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	srv := views.HTTPServer(s)
	handler := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked(r.URL.Path)
		handler.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(l) })
	running.Go(func() { _ = s.Run(ctx) })
	kill := sync.OnceFunc(func() {
		_ = srv.Close() // the connections first: nothing is said any more
		cancel()
		running.Wait()
	})
	t.Cleanup(kill)
	return killable{f, kill}, l.Addr().String()
}

// A view is killed and started again, three times, under a client that only streams: what the stream says in the end is the final
// state, though the client asks for nothing else and rows changed while no view was there.
func TestStreamThroughKilledViews(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	paths := map[string]int{}
	asked := func(path string) {
		mu.Lock()
		paths[path]++
		mu.Unlock()
	}
	view, address := startView(t, "127.0.0.1:0", map[string]*codecs.Activity{}, asked)
	want := map[string]uint64{}
	put := func(id string, n uint64) {
		want[id] = n
		view.put(id, "Anna", n)
	}
	for i := range 1500 {
		put(fmt.Sprint(i), 1)
	}

	c, err := client.New("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	got, lost := map[string]uint64{}, 0
	changed := make(chan struct{}, 1)
	var streaming sync.WaitGroup
	defer streaming.Wait()
	defer cancel()
	streaming.Go(func() {
		for u, err := range c.Stream(ctx, "", client.OnConnection(func(live bool, _ error) {
			mu.Lock()
			defer mu.Unlock()
			if !live {
				lost++
			}
		})) {
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			for _, row := range u.Users {
				got[row.UserID] = row.EventCount
			}
			mu.Unlock()
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	})
	settle := func(when string) {
		t.Helper()
		for {
			mu.Lock()
			equal := maps.Equal(got, want)
			n := len(got)
			mu.Unlock()
			if equal {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("%s: the stream did not bring the final state: %d rows of %d", when, n, len(want))
			}
		}
	}
	settle("at first")
	for kill := range 3 {
		view.kill()
		for i := range 200 { // while no view is there
			put(fmt.Sprint(i), uint64(100*kill+2))
		}
		view, _ = startView(t, address, view.rows, asked)
		for i := range 400 { // while the client may not be back yet
			put(fmt.Sprint(i*7%1600), uint64(100*kill+3))
		}
		settle(fmt.Sprintf("after kill %d", kill+1))
	}
	mu.Lock()
	defer mu.Unlock()
	if lost < 3 {
		t.Errorf("the stream was lost %d times, want 3", lost)
	}
	if delete(paths, "/v1/stream"); len(paths) > 0 {
		t.Errorf("the client asked for %v, too", paths)
	}
}
