package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/views"
	"github.com/potok-streams/potok/views/client"
)

// tables are those of a view that is ready and reads everything at once.
type tables struct {
	index *views.Index
	mu    sync.Mutex
	rows  map[string]*codecs.Activity
}

func (f *tables) put(id, name string, clicks uint64) {
	a := new(codecs.Activity)
	if name != "" {
		a.User = &codecs.User{Name: name, Email: name + "@example.org", Version: codecs.Version{Timestamp: 5}}
	}
	a.Tally.Count = clicks
	a.Tally.Labels = []codecs.LabelCount{{Label: "click", Count: clicks}}
	a.Tally.Span = codecs.Span{First: 1000, Last: 1500, Known: true}
	a.Tally.Marks = []codecs.Mark{{Topic: codecs.TopicID{1}, Partition: 3, Offset: 9}}
	f.mu.Lock()
	f.rows[id] = a
	f.mu.Unlock()
	f.index.ApplyActivity(id, a)
}

func (f *tables) get(id string) (*codecs.Activity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows[id], nil
}

func (*tables) Restored() bool { return true }

func (f *tables) Ready() (bool, any) { return true, nil }
func (f *tables) Latest() views.Lag {
	return views.Lag{At: time.UnixMilli(1_700_000_000_123), Total: 5, Partitions: []views.Partition{{Topic: "test", Position: 1, End: 6, Lag: 5}}}
}
func (f *tables) Measure(context.Context) (views.Lag, error) { return f.Latest(), nil }

// strict fails if the view sends a field that the client does not have.
func strict[T any](t *testing.T, what string, r client.Reply, into T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(r.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(&into); err != nil {
		t.Errorf("%s: %v in %s", what, err, r.Body)
	}
	if r.Lag != 5 || r.LagTime.UnixMilli() != 1_700_000_000_123 {
		t.Errorf("%s: lag %d at %v", what, r.Lag, r.LagTime)
	}
}

// TestAgainstTheServer asks the real thing, so that the client and what serves cannot drift apart.
func TestAgainstTheServer(t *testing.T) {
	f := &tables{index: views.NewIndex(), rows: make(map[string]*codecs.Activity)}
	ids := []string{"", ".", "..", "/", "a/b", "%2F", "a b", "a+b", "?", "-12", "🦊", "\x00"}
	for i, id := range ids {
		f.put(id, "Anna", uint64(i+1))
	}
	f.put("unknown", "", 3)
	f.index.ApplyCount("click", &codecs.Tally{Count: 78})
	f.index.ApplyCount(codecs.Counter{Kind: codecs.Rejected, Topic: "test", Reason: "not_json"}.Key(), &codecs.Tally{Count: 2})
	s, err := views.NewServer(views.Config{
		Index: f.index, Lookup: f.get, LagMeter: f, Readiness: f, Registry: prometheus.NewRegistry(),
		RawTopics: [2]string{"users", "test"}, AuthToken: "s3cret", Coalesce: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewUnstartedServer(s)
	ts.Config = views.HTTPServer(s)
	ts.Start()
	defer ts.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	c, err := client.New(ts.URL, client.WithToken("s3cret"))
	if err != nil {
		t.Fatal(err)
	}

	for i, id := range ids {
		u, err := c.User(ctx, id, client.WithMarks)
		if err != nil || u.EventCount != uint64(i+1) || u.Marks.Events[0].Offset != 9 {
			t.Errorf("%q: %+v %v", id, u, err)
			continue
		}
		strict(t, "user", u.Reply, client.User{})
	}
	for _, sort := range []client.Sort{"", client.ByEventCount, client.ByEventCountDesc, client.ByLastEventDesc, client.ByName, client.ByUserID} {
		seen := map[string]bool{}
		for page, err := range c.UserPages(ctx, client.UsersQuery{Limit: 5, Sort: sort, IncludeAll: true, Marks: true}) {
			if err != nil {
				t.Fatal(err)
			}
			strict(t, "users", page.Reply, client.UsersPage{})
			for _, u := range page.Users {
				seen[u.UserID] = true
			}
		}
		if len(seen) != len(ids)+1 {
			t.Errorf("sort %q: %d users, want %d", sort, len(seen), len(ids)+1)
		}
	}
	types, err := c.EventTypes(ctx, client.WithMarks)
	if err != nil || types.Total != 78 {
		t.Errorf("%+v %v", types, err)
	}
	strict(t, "event types", types.Reply, types)
	stats, err := c.Stats(ctx)
	if err != nil || stats.MessagesRejected != 2 || stats.UsersKnown != uint64(len(ids)) {
		t.Errorf("%+v %v", stats, err)
	}
	strict(t, "stats", stats.Reply, stats)
	points, err := c.Throughput(ctx)
	if err != nil || len(points.Topics) != 2 {
		t.Errorf("%+v %v", points, err)
	}
	strict(t, "throughput", points.Reply, points)

	counts, total, last, changed := map[string]uint64{}, uint64(0), "", false
	for u, err := range c.Stream(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		last = u.ID
		for _, row := range u.Users {
			counts[row.UserID] = row.EventCount
		}
		if u.EventTypes != nil {
			total = u.EventTypes.Total
		}
		if len(counts) >= len(ids) && !changed {
			changed = true
			f.put("/", "Anna", 100)
		}
		if counts["/"] == 100 && total == 78 {
			break
		}
	}
	f.put("later", "Anna", 5)
	for u, err := range c.Stream(ctx, last) { // resumed: only what came later
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Users) > 0 {
			if len(u.Users) > 1 || u.Users[0].UserID != "later" {
				t.Errorf("behind %s: %+v", last, u.Users)
			}
			break
		}
	}
	for name, tc := range map[string]struct {
		options []client.StreamOption
		rows    int // in the first update of users
	}{
		"without snapshot": {[]client.StreamOption{client.WithoutSnapshot()}, 1},
		"without rows":     {[]client.StreamOption{client.WithoutRows()}, 0},
		"without both":     {[]client.StreamOption{client.WithoutSnapshot(), client.WithoutRows()}, 0},
	} {
		begun := false
		for u, err := range c.Stream(ctx, "", tc.options...) {
			if err != nil {
				t.Fatal(err)
			}
			if u.EventTypes != nil { // comes first
				begun = true
				f.put(name, "Anna", 1)
				continue
			}
			if !begun || len(u.Users) != tc.rows || tc.rows > 0 && u.Users[0].UserID != name {
				t.Errorf("%s: %+v", name, u.Users)
			}
			break
		}
	}
	if ctx.Err() != nil {
		t.Error("the streams did not bring everything in time")
	}
}
