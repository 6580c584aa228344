package views

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Whatever one asks the stream for, the answer is an event stream as it should be, or a problem document; never a failure of the
// server.
func FuzzStreamQuestion(f *testing.F) {
	tables := newTables()
	for i := range 5 {
		tables.put(fmt.Sprint(i), activity("Anna\n\ndata: x", 1, 0))
	}
	s, err := NewServer(Config{
		Index: tables.index, Lookup: tables.get, LagMeter: tables, Readiness: tables, Registry: prometheus.NewRegistry(), RawTopics: [2]string{"users", "events"},
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][3]string{
		{},
		{"snapshot=none", "", "gzip"},
		{"rows=none", "", ""},
		{"rows=none&snapshot=none", "x-1", "gzip;q=0"},
		{"snapshot=", "", ""},
		{"rows=all", "", ""},
		{"last_event_id=%00", "\n", "gzip, gzip"},
		{"last_event_id=" + tables.index.epoch + "-1", "", ""},
		{"", tables.index.epoch + "-99999999999999999999", ""},
		{"", tables.index.epoch + "--1", "*"},
		{"", tables.index.epoch + "-+3", ";"},
		{"%zz", "", ""},
		{"last_event_id=%ff&rows=none&rows=none", "", ""},
		{"a=b;c=d", strings.Repeat("-", 1000), ""},
		{"snapshot=none#", "\x00", "gzip;q=NaN"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, query, lastID, encoding string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it says what there is, and ends
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/stream", nil)
		r.URL.RawQuery = query
		r.Header["Last-Event-Id"], r.Header["Accept-Encoding"] = []string{lastID}, []string{encoding}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		resp := w.Result()
		if resp.StatusCode >= 400 && resp.StatusCode < 500 {
			checkProblem(t, resp, w.Body.String(), resp.StatusCode)
			return
		}
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		text := w.Body.Bytes()
		if resp.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if text, err = io.ReadAll(z); !errors.Is(err, io.ErrUnexpectedEOF) { // a stream has no end
				t.Fatal(err)
			}
		}
		events, ok := strings.CutPrefix(string(text), "retry: 1000\n\n")
		if !ok || !strings.HasSuffix(events, "\n\n") {
			t.Fatalf("not events: %q", text)
		}
		for event := range strings.SplitSeq(strings.TrimSuffix(events, "\n\n"), "\n\n") {
			lines := strings.Split(event, "\n")
			if len(lines) != 3 || lines[0] != "event: users" && lines[0] != "event: event-types" || !strings.HasPrefix(lines[1], "id: "+tables.index.epoch+"-") {
				t.Fatalf("not an event: %q", event)
			}
			if data, ok := strings.CutPrefix(lines[2], "data: "); !ok || !json.Valid([]byte(data)) {
				t.Fatalf("not JSON: %q", event)
			}
		}
	})
}
