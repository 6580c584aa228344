package views

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/potok-streams/potok/codecs"
)

// large is a row with a name and an email of 250 KB each, and more in JSON.
func large(count uint64) *codecs.Activity {
	return activity(strings.Repeat(`Анна "А" `, 19200), count, 0)
}

// largeEvents reads events with users until the counts are as wanted. Each must be within the bound and the row that goes beyond it.
// It returns the events' ids, and how many rows each had.
func largeEvents(t *testing.T, events <-chan sseEvent, counts map[string]uint64, until func() bool) (ids []string, rows []int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !until() {
		select {
		case ev, ok := <-events:
			if !ok {
				t.Fatal("the stream ended")
			}
			if ev.name != "users" {
				continue
			}
			var body struct{ Users []json.RawMessage }
			if err := json.Unmarshal([]byte(ev.data), &body); err != nil {
				t.Fatal(err)
			}
			last := 0
			for _, text := range body.Users {
				var u User
				if err := json.Unmarshal(text, &u); err != nil {
					t.Fatal(err)
				}
				counts[u.UserID], last = u.EventCount, len(text)
			}
			if bound := frameBytes + last + len(`{"users":[]}`); len(ev.data) > bound {
				t.Errorf("an event of %d bytes, more than %d, with %d rows", len(ev.data), bound, len(body.Users))
			}
			ids, rows = append(ids, ev.id), append(rows, len(body.Users))
		case <-deadline:
			t.Fatalf("only %v", counts)
		}
	}
	return ids, rows
}

// An event ends when it is large, and every row comes: once in a snapshot, behind the id of any event of it, and when all change at
// once.
func TestStreamOfLargeRows(t *testing.T) {
	const n = 30
	f := newTables()
	for i := range n {
		f.put(fmt.Sprint(i), large(1))
	}
	f.put("huge", activity(strings.Repeat("\x01", frameBytes), 2, 0)) // more than an event by itself, and in JSON six times that
	_, base := serve(t, f, nil)
	all := func(counts map[string]uint64, want uint64) func() bool {
		return func() bool {
			for i := range n {
				if counts[fmt.Sprint(i)] != want {
					return false
				}
			}
			return counts["huge"] == 2
		}
	}
	sum := func(rows []int) (all int) {
		for _, n := range rows {
			all += n
		}
		return all
	}
	events, counts := listen(t, t.Context(), base+"/v1/stream", ""), make(map[string]uint64)
	ids, rows := largeEvents(t, events, counts, all(counts, 1))
	if sum(rows) != n+1 || len(ids) < n/3 {
		t.Fatalf("a snapshot of %d rows has %v", n+1, rows)
	}
	for _, i := range []int{0, 5, len(ids) - 2} {
		counts, left := map[string]uint64{}, n+1-sum(rows[:i+1])
		_, again := largeEvents(t, listen(t, t.Context(), base+"/v1/stream", ids[i]), counts, func() bool { return len(counts) >= left })
		if sum(again) != left {
			t.Errorf("%v rows behind event %d of %v", again, i, rows)
		}
	}

	for i := range n {
		f.put(fmt.Sprint(i), large(2))
	}
	ids, _ = largeEvents(t, events, counts, all(counts, 2))
	counts = map[string]uint64{"huge": 2}
	_, again := largeEvents(t, listen(t, t.Context(), base+"/v1/stream", ids[0]), counts, func() bool { return counts[fmt.Sprint(n-1)] == 2 })
	if sum(again) >= n {
		t.Errorf("%v rows behind one of the events that had them", again)
	}
}

// What is beyond the end of an event is read by who comes next as it was when the stretch was made: a row that never rests is in it.
func TestCutStretch(t *testing.T) {
	f := newTables()
	fr := newFrames(renderer{f.index, f.get}, time.Now)
	fr.join(1)
	for i := range 10 {
		f.put(fmt.Sprint(i), large(1))
		f.index.flush()
	}
	fr.publish()
	for i := range 10 { // all have moved on when it is rendered
		f.put(fmt.Sprint(i), large(2))
		f.index.flush()
	}
	seen := 0
	for position := uint64(0); position < 10; {
		stretch := fr.after(position)
		if _, err := fr.render(stretch); err != nil {
			t.Fatal(err)
		}
		if stretch.from != position || stretch.to <= position || len(stretch.rows) == 0 || len(stretch.rows) == 10 {
			t.Fatalf("%d rows from %d to %d at %d", len(stretch.rows), stretch.from, stretch.to, position)
		}
		seen, position = seen+len(stretch.rows), stretch.to
	}
	if seen != 10 {
		t.Errorf("%d rows of 10", seen)
	}
	row := large(1)
	for i := range 3 * liveLimit { // what is kept is bounded, however it is cut
		f.put(fmt.Sprint(i), row)
	}
	fr.publish()
	for position := fr.live[len(fr.live)-1].from; position < fr.head; {
		stretch := fr.after(position)
		if _, err := fr.render(stretch); err != nil {
			t.Fatal(err)
		}
		position = stretch.to
	}
	if len(fr.live) > liveLimit {
		t.Errorf("%d frames are kept", len(fr.live))
	}
}

// One who stands behind where a stretch is cut does not go back to there.
func TestCutBeforeReader(t *testing.T) {
	f := newTables()
	s, err := NewServer(Config{Index: f.index, Lookup: f.get, LagMeter: f, Readiness: f, Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	s.frames.join(1)
	for i := range 10 {
		f.put(fmt.Sprint(i), large(1))
		f.index.flush()
	}
	s.frames.publish()
	w := httptest.NewRecorder()
	c := &sseClient{s: s, w: w, rc: http.NewResponseController(w), position: 5}
	for last := c.position; last < 10; last = c.position {
		if _, err := c.sendUsers(false); err != nil || c.position < last {
			t.Fatalf("from %d to %d: %v", last, c.position, err)
		}
	}
	if rows := strings.Count(w.Body.String(), `"user_id"`); rows != 6 { // the stretch that it stands in the middle of has two
		t.Errorf("%d rows behind the fifth of 10", rows)
	}
}
