package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestParser(t *testing.T) {
	big := strings.Repeat("я", 2<<20)
	for name, tc := range map[string]struct {
		in   string
		want []Event
	}{
		"plain":        {"event: users\nid: 1\ndata: x\n\n", []Event{{"1", "users", []byte("x")}}},
		"CRLF":         {"event: users\r\nid: 1\r\ndata: x\r\n\r\ndata: y\r\n\r\n", []Event{{"1", "users", []byte("x")}, {"1", "", []byte("y")}}},
		"CR":           {"data: x\r\rdata: y\r\r", []Event{{"", "", []byte("x")}, {"", "", []byte("y")}}},
		"comments":     {":\n\n: hello\ndata: x\n:\n\n:\n\n", []Event{{"", "", []byte("x")}}},
		"many lines":   {"data: a\ndata:b\ndata\ndata:  c\n\n", []Event{{"", "", []byte("a\nb\n\n c")}}},
		"empty data":   {"data\n\n", []Event{{"", "", nil}}},
		"no data":      {"event: x\nid: 5\n\ndata: y\n\n", []Event{{"5", "", []byte("y")}}},
		"unfinished":   {"data: x\n\ndata: y\n", []Event{{"", "", []byte("x")}}},
		"byte order":   {"\ufeffdata: x\n\n", []Event{{"", "", []byte("x")}}},
		"NUL in id":    {"id: a\ndata: x\n\nid: \x00\ndata: y\n\n", []Event{{"a", "", []byte("x")}, {"a", "", []byte("y")}}},
		"reset id":     {"id: a\ndata: x\n\nid\ndata: y\n\n", []Event{{"a", "", []byte("x")}, {"", "", []byte("y")}}},
		"other fields": {"foo: bar\nretry: 12x\ndata: x\n\n", []Event{{"", "", []byte("x")}}},
		"large":        {"data: " + big + "\n\ndata: y\n\n", []Event{{"", "", []byte(big)}, {"", "", []byte("y")}}},
	} {
		t.Run(name, func(t *testing.T) {
			readers := map[string]io.Reader{"whole": strings.NewReader(tc.in)}
			if len(tc.in) < 1000 {
				readers["byte by byte"] = iotest.OneByteReader(strings.NewReader(tc.in))
			}
			for how, r := range readers {
				p := newParser(r, "", maxBody)
				var got []Event
				for {
					e, err := p.next()
					if err != nil {
						if !errors.Is(err, io.EOF) {
							t.Fatal(err)
						}
						break
					}
					got = append(got, e)
				}
				if !slices.EqualFunc(got, tc.want, func(a, b Event) bool { return a.ID == b.ID && a.Name == b.Name && string(a.Data) == string(b.Data) }) {
					t.Errorf("%s: %d events, want %d: %.200q", how, len(got), len(tc.want), fmt.Sprint(got))
				}
			}
		})
	}
	p := newParser(strings.NewReader("retry: 250\ndata: "+strings.Repeat("x", 60)+"\ndata: "+strings.Repeat("x", 60)+"\n\n"), "", 100)
	if _, err := p.next(); !errors.Is(err, ErrTooLarge) || p.retry != 250*time.Millisecond {
		t.Errorf("%v, retry %v", err, p.retry)
	}
}

func FuzzParser(f *testing.F) {
	f.Add("event: users\r\nid: 1\rdata: x\n\n:\n\n")
	f.Fuzz(func(t *testing.T, in string) { // the same events, however the bytes arrive, and never beyond the limit
		read := func(r io.Reader) (out []string) {
			p := newParser(r, "", 64)
			for {
				e, err := p.next()
				if err != nil {
					return append(out, fmt.Sprint(errors.Is(err, ErrTooLarge)))
				}
				if len(e.Data) > 64+len(in) {
					t.Fatalf("an event of %d bytes", len(e.Data))
				}
				out = append(out, fmt.Sprintf("%q %q %q", e.ID, e.Name, e.Data))
			}
		}
		whole, single := read(strings.NewReader(in)), read(iotest.OneByteReader(strings.NewReader(in)))
		if !slices.Equal(whole, single) {
			t.Errorf("%q and %q", whole, single)
		}
	})
}

// TestStreamSurvives has a server that dies in the middle of an event, answers with 503, ends silently, and goes on.
func TestStreamSurvives(t *testing.T) {
	var ids []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("Last-Event-ID"))
		if r.URL.Path != "/v1/stream" || r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("%s, %q", r.URL, r.Header)
		}
		if len(ids) == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		switch len(ids) {
		case 1:
			fmt.Fprint(w, "retry: 1\n\nevent: users\nid: e-1\ndata: {\"users\":[{\"user_id\":\"7\",\"event_count\":1}]}\n\n")
			fmt.Fprint(w, "event: users\nid: e-2\ndata: {\"users\":[")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case 3:
			fmt.Fprint(w, "event: of-a-later-potok\nid: e-2\ndata: ?\n\nevent: event-types\nid: e-3\ndata: {\"event_types\":[{\"event\":\"click\",\"count\":1}],\"total\":1}\n\n")
		case 4: // silence, but for a comment
			fmt.Fprint(w, ":\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprint(w, "event: users\nid: e-4\ndata: {\"users\":[{\"user_id\":\"7\",\"event_count\":2}]}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}, WithToken("s3cret"), WithHTTPClient(&http.Client{Timeout: time.Minute}))
	c.silence = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got, connections []string
	for u, err := range c.Stream(ctx, "e-0", OnConnection(func(live bool, reason error) {
		connections = append(connections, fmt.Sprintf("%v %v", live, reason != nil))
	})) {
		switch {
		case err != nil:
			t.Fatal(err)
		case u.EventTypes != nil:
			got = append(got, fmt.Sprintf("%s: %d in all", u.ID, u.EventTypes.Total))
		default:
			got = append(got, fmt.Sprintf("%s: %s has %d", u.ID, u.Users[0].UserID, u.Users[0].EventCount))
		}
		if u.ID == "e-4" {
			break
		}
	}
	if want := []string{"e-1: 7 has 1", "e-3: 1 in all", "e-4: 7 has 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := []string{"e-0", "e-1", "e-1", "e-3", "e-3"}; !slices.Equal(ids, want) {
		t.Errorf("resumed behind %q, want %q", ids, want)
	}
	if want := []string{"true false", "false true", "false true", "true false", "false true", "true false", "false true", "true false"}; !slices.Equal(connections, want) {
		t.Errorf("connections %q", connections)
	}
}

func TestStreamEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		status            int
		contentType, body string
		is                func(error) bool
	}{
		"unauthorized": {401, "application/problem+json", `{"title":"Unauthorized"}`, func(err error) bool {
			var p *Problem
			return errors.As(err, &p) && p.Status == 401
		}},
		"no stream": {200, "text/html", "<h1>", func(err error) bool { return errors.Is(err, errNotStream) }},
		"no JSON":   {200, "text/event-stream", "event: users\ndata: {\n\n", func(err error) bool { return err != nil }},
		"too large": {200, "text/event-stream", "data: " + strings.Repeat("x", 1000), func(err error) bool { return errors.Is(err, ErrTooLarge) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			})
			c.maxEvent = 900
			var last error
			n := 0
			for _, err := range c.Stream(t.Context(), "") {
				last = err
				n++
			}
			if n != 1 || !tc.is(last) {
				t.Errorf("%d yields, last %v", n, last)
			}
		})
	}
}

func TestStreamEndsWithTheContext(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	for _, err := range c.Stream(ctx, "", OnConnection(func(bool, error) { cancel() })) {
		t.Errorf("yields %v", err)
	}
	if c, err := New("http://127.0.0.1:1"); err != nil { // and when nobody is there
		t.Error(err)
	} else {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for _, err := range c.Stream(ctx, "") {
			t.Errorf("yields %v", err)
		}
	}
}
