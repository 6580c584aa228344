package views

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/potok-streams/potok/codecs"
	"github.com/prometheus/client_golang/prometheus"
)

// fakeTables are the tables, the brokers and the readiness of a view that a test makes up.
type fakeTables struct {
	index *Index

	mu       sync.Mutex
	rows     map[string]*codecs.Activity
	lookup   error
	lag      Lag
	measured int
	unready  bool
}

func newTables() *fakeTables {
	return &fakeTables{
		index: NewIndex(), rows: make(map[string]*codecs.Activity),
		lag: Lag{At: time.UnixMilli(1_700_000_000_123), Total: 7, Partitions: []Partition{
			{Topic: "users", Partition: 0, Position: 3, End: 5, Lag: 2}, {Topic: "events", Partition: 1, Position: 10, End: 15, Lag: 5},
		}, Readers: []ReaderLag{
			{Kind: "raw", Topic: "users", Reader: "g-users", Records: 2}, {Kind: "raw", Topic: "events", Reader: "g-events", Records: 5, Age: 1500 * time.Millisecond},
		}},
	}
}

// put stores a row as the views do: first where Lookup finds it, then in the index.
func (f *fakeTables) put(id string, a *codecs.Activity) {
	f.mu.Lock()
	f.rows[id] = a
	f.mu.Unlock()
	f.index.ApplyActivity(id, a)
}

func (f *fakeTables) get(id string) (*codecs.Activity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows[id], f.lookup
}

func (f *fakeTables) Latest() Lag {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lag
}

func (f *fakeTables) Measure(context.Context) (Lag, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lag.At.IsZero() {
		return Lag{}, errors.New("no broker")
	}
	f.measured++
	l := f.lag
	l.Total = 1000 + int64(f.measured)
	return l, nil
}

func (f *fakeTables) Restored() bool {
	ok, _ := f.Ready()
	return ok
}

func (f *fakeTables) Ready() (bool, any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.unready, map[string]any{"tables": []any{map[string]any{"table": "activity", "partition": 3, "done": 10, "of": 20}}}
}

func (f *fakeTables) set(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
}

// activity makes a row; an empty name is an unknown user.
func activity(name string, clicks, focuses uint64) *codecs.Activity {
	a := new(codecs.Activity)
	if name != "" {
		a.User = &codecs.User{Name: name, Email: name + "@example.org", Version: codecs.Version{Timestamp: 5, Partition: 1, Offset: 2}}
	}
	a.Tally.Count = clicks + focuses
	if clicks > 0 {
		a.Tally.Labels = append(a.Tally.Labels, codecs.LabelCount{Label: "click", Count: clicks})
	}
	if focuses > 0 {
		a.Tally.Labels = append(a.Tally.Labels, codecs.LabelCount{Label: "focus", Count: focuses})
	}
	if a.Tally.Count > 0 {
		a.Tally.Span = codecs.Span{First: 1000, Last: 1000 + int64(a.Tally.Count), Known: true}
		a.Tally.Marks = []codecs.Mark{{Topic: codecs.TopicID{1}, Partition: 3, Offset: int64(a.Tally.Count)}}
	}
	return a
}

// serve starts a server on the tables; change may alter its configuration.
func serve(t testing.TB, f *fakeTables, change func(*Config)) (*Server, string) {
	t.Helper()
	s, ts := serveWith(t, f, change, (*httptest.Server).Start)
	return s, ts.URL
}

func serveWith(t testing.TB, f *fakeTables, change func(*Config), start func(*httptest.Server)) (*Server, *httptest.Server) {
	t.Helper()
	cfg := Config{
		Index: f.index, Lookup: f.get, LagMeter: f, Readiness: f, Registry: prometheus.NewRegistry(),
		Version: "test", RawTopics: [2]string{"users", "events"}, Coalesce: 5 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewUnstartedServer(s)
	ts.Config = HTTPServer(s)
	start(ts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; ts.Close() })
	return s, ts
}

// fetch asks for a path as it is written, without following anything.
func fetch(t testing.TB, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// getJSON asks for a path that must be answered with 200.
func getJSON[T any](t testing.TB, url string) (out T) {
	t.Helper()
	resp, body := fetch(t, http.MethodGet, url)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", url, resp.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("%s: %v in %s", url, err, body)
	}
	return out
}
