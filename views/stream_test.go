package views

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/potok-streams/potok/codecs"
)

type sseEvent struct{ name, id, data string }

// listen opens a stream; the channel ends with it.
func listen(t *testing.T, ctx context.Context, url, lastID string) <-chan sseEvent {
	t.Helper()
	req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	req.Header.Set("Accept-Encoding", "identity") // else half of the time goes into undoing compression
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	out := make(chan sseEvent)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		var ev sseEvent
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch field {
			case "event":
				ev.name = value
			case "id":
				ev.id = value
			case "data":
				ev.data = value
			case "":
				if ev.name != "" {
					select {
					case out <- ev:
					case <-ctx.Done():
						return
					}
				}
				ev = sseEvent{}
			}
		}
	}()
	return out
}

// follow reads a stream until counts are what is wanted, and returns the last id and how many rows came.
func follow(t *testing.T, events <-chan sseEvent, counts map[string]uint64, until func() bool) (lastID string, rows int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !until() {
		select {
		case ev, ok := <-events:
			if !ok {
				t.Fatal("the stream ended")
			}
			if ev.name != "users" {
				continue
			}
			var body struct {
				Users []struct {
					UserID     string `json:"user_id"`
					EventCount uint64 `json:"event_count"`
				}
			}
			if err := json.Unmarshal([]byte(ev.data), &body); err != nil {
				t.Fatal(err)
			}
			if len(body.Users) > frameRows {
				t.Errorf("%d rows in an event", len(body.Users))
			}
			for _, u := range body.Users {
				counts[u.UserID] = u.EventCount
				rows++
			}
			lastID = ev.id
		case <-deadline:
			t.Fatalf("did not get there: %d rows", rows)
		}
	}
	return lastID, rows
}

func TestStreamResume(t *testing.T) {
	f := newTables()
	for i := range 2500 {
		f.put(fmt.Sprint(i), activity("Anna", 1, 0))
	}
	f.put("nobody", activity("", 1, 0))
	f.put("idle", activity("Idle", 0, 0))
	_, base := serve(t, f, nil)
	ctx, cancel := context.WithCancel(t.Context())
	events := listen(t, ctx, base+"/v1/stream", "")
	counts := make(map[string]uint64)
	id, rows := follow(t, events, counts, func() bool { return len(counts) == 2500 })
	if rows != 2500 {
		t.Errorf("%d rows in the snapshot", rows)
	}
	f.put("5", activity("Anna", 2, 0))
	f.put("nobody", activity("Known", 1, 0))
	id2, rows := follow(t, events, counts, func() bool { return counts["5"] == 2 && counts["nobody"] == 1 })
	if id2 == id || rows > 2 {
		t.Errorf("%d rows for two changes", rows)
	}
	cancel()

	f.put("6", activity("Anna", 3, 0))
	for name, tc := range map[string]struct {
		url, header string
		rows        int
	}{
		"header":       {"/v1/stream", id2, 1},
		"query":        {"/v1/stream?last_event_id=" + id2, "", 1},
		"other epoch":  {"/v1/stream", "OTHER-5", 2501},
		"future":       {"/v1/stream", f.index.epoch + "-999999", 2501},
		"not an id":    {"/v1/stream", "hello", 2501},
		"first to see": {"/v1/stream", f.index.epoch + "-0", 2501},
	} {
		t.Run(name, func(t *testing.T) {
			counts := make(map[string]uint64)
			_, rows := follow(t, listen(t, t.Context(), base+tc.url, tc.header), counts, func() bool { return len(counts) == tc.rows && counts["6"] == 3 })
			if rows > tc.rows+2 { // a stretch that was rendered for others may come before the change
				t.Errorf("%d rows, want %d; counts %d", rows, tc.rows, counts["6"])
			}
		})
	}
}

func TestStreamWithoutSnapshot(t *testing.T) {
	f := newTables()
	f.put("old", activity("Anna", 1, 0))
	s, base := serve(t, f, nil)
	s.frames.publish() // else old and new may be in one stretch
	events := listen(t, t.Context(), base+"/v1/stream?snapshot=none", "")
	<-events // event-types
	f.put("new", activity("Bob", 1, 0))
	counts := make(map[string]uint64)
	follow(t, events, counts, func() bool { return counts["new"] == 1 })
	if len(counts) != 1 {
		t.Errorf("rows from before: %v", counts)
	}
}

func TestStreamEventTypes(t *testing.T) {
	f := newTables()
	_, base := serve(t, f, nil)
	events := listen(t, t.Context(), base+"/v1/stream", "")
	next := func(name string) string {
		for ev := range events {
			if ev.name == name {
				return ev.data
			}
		}
		t.Fatal("the stream ended")
		return ""
	}
	if got := next("event-types"); got != `{"event_types":[],"total":0}` {
		t.Error(got)
	}
	if got := next("users"); got != `{"users":[]}` {
		t.Error(got)
	}
	f.index.ApplyCount("click", &codecs.Tally{Count: 3})
	if got := next("event-types"); got != `{"event_types":[{"event":"click","count":3}],"total":3}` {
		t.Error(got)
	}
}

// Many readers under load see every final value, one that reads nothing is dropped, and a row that never rests is seen.
func TestStreamsUnderLoad(t *testing.T) {
	f := newTables()
	s, base := serve(t, f, func(c *Config) { c.StreamTimeout = 3 * time.Second })
	big := strings.Repeat("long name ", 2000)
	for i := range 300 {
		f.put(fmt.Sprint(i), activity(big, 1, 0))
	}
	stalled, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	_ = stalled.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprint(stalled, "GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n") // and then nothing is read

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const last = 400
	var wg sync.WaitGroup
	for range 3 {
		events := listen(t, ctx, base+"/v1/stream", "")
		wg.Go(func() {
			counts, hot := make(map[string]uint64), 0
			follow(t, events, counts, func() bool {
				if counts["hot"] > 0 && counts["hot"] < last {
					hot++
				}
				return counts["hot"] == last && counts["299"] == 2 && len(counts) == 301
			})
			if hot == 0 {
				t.Error("the row that never rests was not seen before it rested")
			}
		})
	}
	for i := range last {
		f.put("hot", activity("Hot", uint64(i+1), 0))
		if i < 300 {
			f.put(fmt.Sprint(i), activity(big, 2, 0))
		}
		time.Sleep(2 * time.Millisecond)
	}
	wg.Wait()
	cancel()
	for end := time.Now().Add(10 * time.Second); s.frames.readerCount() > 0; time.Sleep(20 * time.Millisecond) {
		f.put("hot", activity("Hot", uint64(time.Now().UnixNano()), 0))
		if time.Now().After(end) {
			t.Fatalf("%d streams are left", s.frames.readerCount())
		}
	}
	_, body := fetch(t, "GET", base+"/metrics")
	if !strings.Contains(body, `potok_sse_dropped_total{reason="stalled"} 1`) || !strings.Contains(body, "potok_sse_clients 0") {
		t.Errorf("metrics do not tell of the stalled stream:\n%s", body)
	}
}

func TestStreamEnds(t *testing.T) {
	f := newTables()
	s, base := serve(t, f, func(c *Config) { c.MaxStreams = 1; c.Heartbeat = 10 * time.Millisecond })
	events := listen(t, t.Context(), base+"/v1/stream", "")
	<-events
	resp, body := fetch(t, "GET", base+"/v1/stream")
	checkProblem(t, resp, body, 503)
	time.Sleep(50 * time.Millisecond) // heartbeats go by
	s.Close()
	ended := make(chan struct{})
	go func() {
		for range events {
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
		t.Error("the stream goes on after Close")
	}
}

// A stream without rows says that there was something, once for all that came together, and resumes.
func TestStreamWithoutRows(t *testing.T) {
	f := newTables()
	for i := range 2500 {
		f.put(fmt.Sprint(i), activity("Anna", 1, 0))
	}
	_, base := serve(t, f, nil)
	events := listen(t, t.Context(), base+"/v1/stream?rows=none", "")
	next := func() sseEvent {
		for ev := range events {
			if ev.name == "users" {
				if ev.data != `{"users":[]}` {
					t.Errorf("rows: %s", ev.data)
				}
				return ev
			}
		}
		t.Fatal("the stream ended")
		return sseEvent{}
	}
	first := next()
	f.put("new", activity("Bob", 1, 0))
	last := next()
	for last.id != f.index.epoch+"-2501" { // the first one may have been early
		if last.id == first.id {
			t.Fatalf("again %s", last.id)
		}
		last = next()
	}
	counts := make(map[string]uint64)
	f.put("newer", activity("Bob", 1, 0))
	follow(t, listen(t, t.Context(), base+"/v1/stream", last.id), counts, func() bool { return counts["newer"] == 1 })
	if len(counts) != 1 {
		t.Errorf("rows from before: %v", counts)
	}
}
