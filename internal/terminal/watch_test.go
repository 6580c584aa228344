package terminal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/potok-streams/potok/views/client"
)

// fakeView serves one user whose count a test changes.
type fakeView struct {
	*httptest.Server
	mu     sync.Mutex
	count  int
	asked  int
	status int // of the stream, if not 200
	rows   int // that were streamed
	wake   chan struct{}
}

func newView(t *testing.T) *fakeView {
	v := &fakeView{count: 1, wake: make(chan struct{})}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	t.Cleanup(v.CloseClientConnections)
	return v
}

func (v *fakeView) set(count int) {
	v.mu.Lock()
	v.count = count
	close(v.wake)
	v.wake = make(chan struct{})
	v.mu.Unlock()
}

func (v *fakeView) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	count, wake, status := v.count, v.wake, v.status
	if r.URL.Path == "/v1/users" {
		v.asked++
	}
	v.mu.Unlock()
	user := fmt.Sprintf(`{"user_id":"7","name":"Анна","email":"a@b","event_count":%d,"events":{}}`, count)
	types := fmt.Sprintf(`{"event_types":[{"event":"click","count":%d}],"total":%d}`, count, count)
	switch r.URL.Path {
	case "/v1/users":
		fmt.Fprintf(w, `{"users":[%s]}`, user)
	case "/v1/stats":
		fmt.Fprint(w, `{"users_known":1234}`)
	case "/v1/throughput":
		fmt.Fprint(w, `{"topics":[{"topic":"test","points":[{"published":5}]}]}`)
	case "/v1/stream":
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		ask := r.URL.Query()
		for first := true; ; first = false {
			fmt.Fprintf(w, "event: event-types\nid: x-%d\ndata: %s\n\n", count, types)
			if !first || r.Header.Get("Last-Event-ID") != "" || ask.Get("snapshot") != "none" {
				rows := user
				if ask.Get("rows") == "none" {
					rows = ""
				} else {
					v.mu.Lock()
					v.rows++
					v.mu.Unlock()
				}
				fmt.Fprintf(w, "event: users\nid: x-%d\ndata: {\"users\":[%s]}\n\n", count, rows)
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-wake:
			}
			v.mu.Lock()
			count, wake = v.count, v.wake
			v.mu.Unlock()
			types = fmt.Sprintf(`{"event_types":[{"event":"click","count":%d}],"total":%d}`, count, count)
		}
	}
}

// output is what was written, for who waits for something in it.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) wait(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !strings.Contains(o.String(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there is no %q in:\n%s", want, o.String())
		}
	}
}

// start runs Watch until the test ends it.
func start(t *testing.T, v *fakeView, o Options) (out *output, end func() error) {
	t.Helper()
	c, err := client.New(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	out = new(output)
	o.Client, o.Out = c, out
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, o) }()
	return out, func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("Watch does not end")
			return nil
		}
	}
}

func text(lang string, count int) string {
	users, types := Headings(lang)
	return fmt.Sprintf("%s\nuser_id  name  email  event_count\n7        Анна  a@b    %11d\n\n%s\nevent  count\nclick  %5d\n\n", users, count, types, count)
}

func TestWatchPrints(t *testing.T) {
	v := newView(t)
	out, end := start(t, v, Options{Lang: "ru", Interval: 50 * time.Millisecond})
	out.wait(t, text("ru", 1))
	time.Sleep(200 * time.Millisecond)
	if got := out.String(); got != text("ru", 1) {
		t.Errorf("printed although nothing changed:\n%s", got)
	}
	v.set(22)
	out.wait(t, text("ru", 22))
	if err := end(); err != nil {
		t.Error(err)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("escape codes in %q", out.String())
	}
}

func TestWatchAsksSeldom(t *testing.T) {
	v := newView(t)
	out, end := start(t, v, Options{})
	out.wait(t, text("en", 1))
	for i := range 100 {
		v.set(i)
		time.Sleep(10 * time.Millisecond)
	}
	v.set(4321)
	out.wait(t, text("en", 4321))
	if err := end(); err != nil {
		t.Error(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.asked > 8 { // two a second, for some two seconds
		t.Errorf("asked %d times", v.asked)
	}
	if v.rows > 0 {
		t.Errorf("%d rows were streamed that nobody looks at", v.rows)
	}
	if n := strings.Count(out.String(), "\n\n"); n > 2*6 {
		t.Errorf("printed %d times", n/2)
	}
}

func TestWatchReconnects(t *testing.T) {
	v := newView(t)
	var log output
	out, end := start(t, v, Options{Interval: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	out.wait(t, text("en", 1))
	v.CloseClientConnections()
	log.wait(t, "connection lost, reconnecting")
	v.set(2)
	out.wait(t, text("en", 2))
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestWatchGivesUp(t *testing.T) {
	v := newView(t)
	v.status = http.StatusUnauthorized
	c, err := client.New(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := Watch(t.Context(), Options{Client: c, Out: io.Discard}); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("%v", err)
	}
	if err := Watch(t.Context(), Options{Client: c, Out: io.Discard, Interactive: true}); err == nil {
		t.Error("no size, no error")
	}
}

func TestWatchDraws(t *testing.T) {
	v := newView(t)
	keys, press := io.Pipe()
	defer press.Close()
	var mu sync.Mutex
	columns := 80
	out, end := start(t, v, Options{
		Interactive: true, Lang: "ru", Keys: keys, Note: func() string { return "note" },
		Size: func() (int, int, error) { mu.Lock(); defer mu.Unlock(); return columns, 24, nil },
	})
	for _, want := range []string{enter, "● на связи", "События по пользователям:", "Количество видов событий:", "Анна", "1\u00a0234", "5,0/с", "█", "note"} {
		out.wait(t, want)
	}
	v.set(777)
	out.wait(t, "777")
	v.CloseClientConnections()
	out.wait(t, "◌ связь потеряна")
	mu.Lock()
	columns = 60
	mu.Unlock()
	clears := strings.Count(out.String(), "\x1b[2J")
	for end := time.Now().Add(5 * time.Second); strings.Count(out.String(), "\x1b[2J") == clears; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not drawn again for another size")
		}
	}
	if _, err := press.Write([]byte("xq")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); !strings.HasSuffix(out.String(), leave); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("q does not end it")
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
