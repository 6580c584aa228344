package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve returns a client, impatient for a test, of a handler.
func serve(t *testing.T, h http.HandlerFunc, opts ...Option) *Client {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	t.Cleanup(ts.CloseClientConnections)
	c, err := New(ts.URL, opts...)
	if err != nil {
		t.Fatal(err)
	}
	c.pause, c.reopen = time.Millisecond, time.Millisecond
	return c
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://u:secret@x", "http://x?q", "http://x#f", "http://s%zecret"} {
		if _, err := New(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		} else if strings.Contains(err.Error(), "ecret@") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	if _, err := New("http://x", WithToken("a\nb")); err == nil || strings.Contains(err.Error(), "a\nb") {
		t.Errorf("token with a line break: %v", err)
	}
	if c, err := New("https://x/potok/"); err != nil || c.URL() != "https://x/potok" {
		t.Errorf("%v %v", c, err)
	}
}

// TestConnectionsAreKept: questions that are asked at the same time find the connections of those before them.
func TestConnectionsAreKept(t *testing.T) {
	const together, rounds = 16, 3
	var asked sync.WaitGroup // all of a round
	var mu sync.Mutex
	connections := map[string]bool{}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		asked.Done()
		asked.Wait()
		io.WriteString(w, `{"user_id":"7"}`)
	})
	for range rounds {
		asked.Add(together)
		var answered sync.WaitGroup
		for range together {
			answered.Go(func() {
				if _, err := c.User(t.Context(), "7"); err != nil {
					t.Error(err)
				}
			})
		}
		answered.Wait()
	}
	if len(connections) != together {
		t.Errorf("%d connections for %d questions at a time", len(connections), together)
	}
}

func TestUserIDsAreOneSegment(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		id, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/v1/users/"))
		if err != nil || strings.Count(r.URL.EscapedPath(), "/") != 3 {
			t.Errorf("path %q: %v", r.URL.EscapedPath(), err)
		}
		fmt.Fprintf(w, `{"user_id":%q,"name":null,"email":null,"event_count":1,"events":{},"first_event_at":null,"last_event_at":null}`, id)
	})
	for _, id := range []string{"", ".", "..", "/", "a/b", "../x", "%2F", "a b", "a+b", "?", "#", "🦊", "-12", "я", "__offset", `"`} {
		u, err := c.User(t.Context(), id)
		if err != nil || u.UserID != id || u.Name != nil {
			t.Errorf("%q: %+v %v", id, u, err)
		}
	}
}

func TestAnotherUserIsAnError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"user_id":"8"}`) })
	if _, err := c.User(t.Context(), "7"); err == nil {
		t.Error("no error")
	}
}

func TestUsers(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		w.Header().Set("Potok-Lag", "7")
		w.Header().Set("Potok-Lag-Time", "2026-01-02T03:04:05.678Z")
		next := map[string]string{"": `,"next_cursor":"a+b"`, "a+b": `,"next_cursor":"c"`, "c": ""}[r.URL.Query().Get("cursor")]
		fmt.Fprintf(w, `{"users":[{"user_id":%q,"name":"Анна","email":"a@b","event_count":18446744073709551615,"events":{"click":3},`+
			`"first_event_at":"2026-01-02T03:04:05Z","last_event_at":null,"marks":{"user":{"timestamp":1,"partition":2,"offset":3},"events":[]}}]%s}`, fmt.Sprint(len(asked)), next)
	}, WithToken("s3cret"))
	page, err := c.Users(t.Context(), UsersQuery{Limit: 5, Sort: ByName, Query: "Анна &", IncludeAll: true, Marks: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := "include=all&limit=5&marks=1&q=%D0%90%D0%BD%D0%BD%D0%B0+%26&sort=name"; asked[0] != want {
		t.Errorf("asked %s, want %s", asked[0], want)
	}
	u := page.Users[0]
	if u.EventCount != 1<<64-1 || *u.Name != "Анна" || u.FirstEventAt.Unix() != 1767323045 || u.LastEventAt != nil || u.Marks.User.Offset != 3 {
		t.Errorf("%+v", u)
	}
	if page.Lag != 7 || page.LagTime.UnixMilli() != 1767323045678 || !strings.HasPrefix(string(page.Body), `{"users"`) || page.NextCursor != "a+b" {
		t.Errorf("reply: %+v", page.Reply)
	}
	asked = nil
	var ids []string
	for u, err := range c.AllUsers(t.Context(), UsersQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, u.UserID)
	}
	if !slices.Equal(ids, []string{"1", "2", "3"}) || !slices.Equal(asked, []string{"", "cursor=a%2Bb", "cursor=c"}) {
		t.Errorf("ids %q, asked %q", ids, asked)
	}
	asked = nil
	for range c.AllUsers(t.Context(), UsersQuery{}) {
		break
	}
	if len(asked) != 1 {
		t.Errorf("asked %q after the loop was left", asked)
	}
}

func TestPagesThatDoNotEnd(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"users":[],"next_cursor":"x"}`) })
	pages, failed := 0, false
	for _, err := range c.UserPages(t.Context(), UsersQuery{}) {
		pages, failed = pages+1, err != nil
	}
	if pages != 2 || !failed {
		t.Errorf("%d pages, failed %v", pages, failed)
	}
}

func TestOtherAnswers(t *testing.T) {
	bodies := map[string]string{
		"/v1/event-types?marks=1": `{"event_types":[{"event":"click","count":7,"marks":[{"topic_id":"x","partition":1,"offset":2}]}],"total":7}`,
		"/v1/stats":               `{"users_known":3,"users_with_events":2,"events_counted":7,"events_of_unknown_users":1,"messages_rejected":4,"lost":5,"rejected":[{"topic":"test","reason":"not_json","count":4}],"partitions":[{"topic":"test","partition":1,"position":2,"end":3,"lag":1}]}`,
		"/v1/throughput":          `{"topics":[{"topic":"test","points":[{"time":"2026-01-02T03:04:05Z","published":1,"consumed":2,"lag":3}]}]}`,
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, bodies[r.URL.RequestURI()]) })
	types, err := c.EventTypes(t.Context(), WithMarks)
	if err != nil || types.Total != 7 || types.Types[0].Marks[0].Offset != 2 || !types.LagTime.IsZero() {
		t.Errorf("%+v %v", types, err)
	}
	stats, err := c.Stats(t.Context())
	if err != nil || stats.Lost != 5 || stats.Rejected[0].Count != 4 || stats.Partitions[0].Lag != 1 {
		t.Errorf("%+v %v", stats, err)
	}
	points, err := c.Throughput(t.Context())
	if err != nil || points.Topics[0].Points[0].Consumed != 2 {
		t.Errorf("%+v %v", points, err)
	}
}

func TestProblem(t *testing.T) {
	for name, tc := range map[string]struct {
		status            int
		contentType, body string
		want              string
		tries             int32
	}{
		"document":    {422, "application/problem+json", `{"title":"Unprocessable Entity","status":422,"detail":"validation failed","errors":[{"message":"expected number <= 1000","location":"query.limit"}]}`, "422 Unprocessable Entity: validation failed; query.limit expected number <= 1000", 1},
		"html":        {404, "text/html", "<h1>", "404 Not Found", 1},
		"broken":      {500, "application/problem+json", "{", "500 Internal Server Error", 1},
		"escape":      {400, "application/problem+json", `{"title":"x\u001b[2J\n"}`, "400 x\ufffd[2J\ufffd", 1},
		"unavailable": {503, "application/problem+json", `{"title":"Service Unavailable","detail":"restoring"}`, "503 Service Unavailable: restoring", 3},
		"gateway":     {502, "", "", "502 Bad Gateway", 3},
		"redirect":    {307, "", "", "307 Temporary Redirect", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				w.Header().Set("Content-Type", tc.contentType)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			}, WithRetries(2))
			_, err := c.Stats(t.Context())
			var p *Problem
			if !errors.As(err, &p) || p.Status != tc.status || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if tries.Load() != tc.tries {
				t.Errorf("%d tries, want %d", tries.Load(), tc.tries)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	var tries atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch tries.Add(1) {
		case 1: // the connection ends without an answer
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
		case 2: // and in the middle of one
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"event_types"`)
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			io.WriteString(w, `{"event_types":[],"total":9}`)
		}
	})
	types, err := c.EventTypes(t.Context())
	if err != nil || types.Total != 9 || tries.Load() != 4 {
		t.Errorf("%+v %v after %d tries", types, err, tries.Load())
	}
}

func TestRetryEndsWithTheContext(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := c.Stats(ctx)
	var p *Problem
	if !errors.As(err, &p) || p.RetryAfter != 3*time.Second || time.Since(begin) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Stats(ctx); !errors.Is(err, context.Canceled) || !errors.As(err, &p) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestErrorsTellNoNames(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, WithRetries(0))
	_, err := c.Users(t.Context(), UsersQuery{Query: "Anna"})
	if err == nil || strings.Contains(err.Error(), "Anna") || !strings.Contains(err.Error(), "/v1/users") {
		t.Errorf("%v", err)
	}
	if _, err = c.User(t.Context(), "4711"); err == nil || strings.Contains(err.Error(), "4711") {
		t.Errorf("%v", err)
	}
}
