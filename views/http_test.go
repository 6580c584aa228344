package views

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/potok-streams/potok/codecs"
)

func TestProblems(t *testing.T) {
	f := newTables()
	f.put("7", activity("Anna", 1, 0))
	_, base := serve(t, f, nil)
	for name, tc := range map[string]struct {
		method, path string
		status       int
	}{
		"unknown path":         {"GET", "/v1/nothing", 404},
		"v1 alone":             {"GET", "/v1", 404},
		"v1 with a slash":      {"GET", "/v1/", 404},
		"outside of v1":        {"GET", "/nothing", 404},
		"double slash":         {"GET", "//v1/users", 404},
		"dirty path":           {"GET", "/v1/./users", 404},
		"escaped path":         {"GET", "/v1%2Fusers", 404},
		"slash in the id":      {"GET", "/v1/users/a/b", 404},
		"no such user":         {"GET", "/v1/users/8", 404},
		"not UTF-8":            {"GET", "/v1/users/%ff", 404},
		"too long":             {"GET", "/v1/users/" + strings.Repeat("x", 4097), 404},
		"method":               {"POST", "/v1/users", 405},
		"method on one":        {"DELETE", "/v1/users/7", 405},
		"made-up method":       {"BREW", "/v1/users", 405},
		"options":              {"OPTIONS", "/v1/users", 405},
		"made-up method, path": {"BREW", "/v1/coffee", 404},
		"limit 0":              {"GET", "/v1/users?limit=0", 422},
		"limit 1001":           {"GET", "/v1/users?limit=1001", 422},
		"limit x":              {"GET", "/v1/users?limit=x", 422},
		"cursor too long":      {"GET", "/v1/users?cursor=" + strings.Repeat("x", 355_005), 400},
		"limit empty":          {"GET", "/v1/users?limit=", 400},
		"limit twice":          {"GET", "/v1/users?limit=1&limit=2", 400},
		"sort":                 {"GET", "/v1/users?sort=email", 422},
		"include":              {"GET", "/v1/users?include=some", 422},
		"marks":                {"GET", "/v1/users?marks=yes", 422},
		"cursor":               {"GET", "/v1/users?cursor=zzz", 400},
		"q not UTF-8":          {"GET", "/v1/users?q=%ff", 400},
		"q too long":           {"GET", "/v1/users?q=" + strings.Repeat("x", 1001), 422},
		"bad escape":           {"GET", "/v1/users?q=%zz", 400},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := fetch(t, tc.method, base+tc.path)
			checkProblem(t, resp, body, tc.status)
			if tc.status == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", resp.Header.Get("Allow"))
			}
			if strings.HasPrefix(tc.path, "/v1/") && resp.Header.Get(lagHeader) != "7" {
				t.Errorf("Potok-Lag is %q", resp.Header.Get(lagHeader))
			}
		})
	}
}

func checkProblem(t *testing.T, resp *http.Response, body string, status int) {
	t.Helper()
	if resp.StatusCode != status {
		t.Errorf("status %d, want %d: %s", resp.StatusCode, status, body)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q", ct)
	}
	var p struct {
		Status int
		Title  string
		Detail string
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != status || p.Title == "" || p.Detail == "" {
		t.Errorf("problem %+v (%v) in %s", p, err, body)
	}
}

func TestFailures(t *testing.T) {
	f := newTables()
	f.put("7", activity("Anna", 1, 0))
	_, base := serve(t, f, nil)
	f.set(func() { f.lookup = errors.New("disk of secrets") })
	for _, path := range []string{"/v1/users?marks=1", "/v1/users/7?marks=1"} { // without, they need no table
		resp, body := fetch(t, "GET", base+path)
		checkProblem(t, resp, body, 500)
		if strings.Contains(body, "secrets") {
			t.Errorf("the error leaks: %s", body)
		}
	}
	f.set(func() { f.lag.At = f.lag.At.AddDate(-3000, 0, 0); f.lag = Lag{} })
	resp, body := fetch(t, "GET", base+"/v1/stats")
	checkProblem(t, resp, body, 503)
	if resp.Header.Get(lagHeader) != "" {
		t.Error("a lag that nobody measured")
	}
	f.set(func() { f.unready = true })
	for _, path := range []string{"/v1/users", "/v1/users/", "/v1/users/7", "/v1/event-types", "/v1/stats", "/v1/throughput", "/v1/stream"} {
		resp, body := fetch(t, "GET", base+path)
		checkProblem(t, resp, body, 503)
	}
	resp, body = fetch(t, "GET", base+"/readyz")
	if resp.StatusCode != 503 || !strings.Contains(body, `"done":10`) {
		t.Errorf("readyz: %d %s", resp.StatusCode, body)
	}
	if resp, _ = fetch(t, "GET", base+"/healthz"); resp.StatusCode != 200 {
		t.Errorf("healthz: %d", resp.StatusCode)
	}
}

// Before the first measurement there is no answer, for it could not say how current it is.
func TestUnmeasured(t *testing.T) {
	f := newTables()
	measured := f.lag
	f.lag = Lag{}
	f.put("7", activity("Anna", 1, 0))
	_, base := serve(t, f, nil)
	paths := []string{"/v1/users", "/v1/users/7", "/v1/event-types", "/v1/stats", "/v1/throughput", "/v1/stream"}
	for _, path := range paths {
		resp, body := fetch(t, "HEAD", base+path)
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	resp, body := fetch(t, "GET", base+"/v1/users/7")
	checkProblem(t, resp, body, 503)
	f.set(func() { f.lag = measured })
	for _, path := range paths {
		if resp, _ := fetch(t, "HEAD", base+path); resp.StatusCode != 200 || resp.Header.Get(lagHeader) == "" || resp.Header.Get(lagTimeHeader) == "" {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
}

func TestUserIDs(t *testing.T) {
	f := newTables()
	_, base := serve(t, f, nil)
	ids := map[string]string{ // id: as sent, where url.PathEscape is not it
		"": "", "7": "", "-12": "", "a/b": "", "/": "", "%2F": "", "%252F": "", "a b": "", "a+b": "a+b", "\"'": "", "🦊": "", "__offset": "",
		".": "%2E", "..": "%2E%2E", "../x": "..%2Fx", "?": "", "#": "", "\x00": "", "\n": "", "a;b=c": "a;b=c", "A": "%41", "я": "",
		strings.Repeat("ы", 2048): "", "{user_id}": "", "*": "*", "users/": "",
	}
	for id := range ids {
		f.put(id, activity("user "+id, 1, 2))
	}
	for id, sent := range ids {
		if sent == "" {
			sent = url.PathEscape(id)
		}
		u := getJSON[User](t, base+"/v1/users/"+sent)
		if u.UserID != id || u.EventCount != 3 || *u.Name != "user "+id {
			t.Errorf("%q: got %q", id, u.UserID)
		}
	}
	if page := getJSON[UsersPage](t, base+"/v1/users?limit=1000"); len(page.Users) != len(ids) {
		t.Errorf("%d of %d users", len(page.Users), len(ids))
	}
}

func TestUserJSON(t *testing.T) {
	f := newTables()
	f.put("1", activity("Анна <b>", 3, 4))
	f.put("2", activity("", 1, 0))
	f.put("3", activity("Bob", 0, 0))
	late := activity("Late", 1, 0)
	late.Tally.Span = codecs.Span{First: 0, Last: 1 << 60, Known: true}
	late.Tally.Truncated = true
	f.put("4", late)
	f.put("5", new(codecs.Activity))
	_, base := serve(t, f, nil)
	for path, want := range map[string]string{
		"1": `{"user_id":"1","name":"Анна <b>","email":"Анна <b>@example.org","event_count":7,"events":{"click":3,"focus":4},"first_event_at":"1970-01-01T00:00:01Z","last_event_at":"1970-01-01T00:00:01.007Z"}`,
		"2": `{"user_id":"2","name":null,"email":null,"event_count":1,"events":{"click":1},"first_event_at":"1970-01-01T00:00:01Z","last_event_at":"1970-01-01T00:00:01.001Z"}`,
		"3": `{"user_id":"3","name":"Bob","email":"Bob@example.org","event_count":0,"events":{},"first_event_at":null,"last_event_at":null}`,
		"4": `{"user_id":"4","name":"Late","email":"Late@example.org","event_count":1,"events":{"click":1},"events_truncated":true,"first_event_at":"1970-01-01T00:00:00Z","last_event_at":null}`,
		"3?marks=1": `{"user_id":"3","name":"Bob","email":"Bob@example.org","event_count":0,"events":{},"first_event_at":null,"last_event_at":null,` +
			`"marks":{"user":{"timestamp":5,"partition":1,"offset":2},"events":[]}}`,
		"2?marks=1": `{"user_id":"2","name":null,"email":null,"event_count":1,"events":{"click":1},"first_event_at":"1970-01-01T00:00:01Z","last_event_at":"1970-01-01T00:00:01.001Z",` +
			`"marks":{"events":[{"topic_id":"AQAAAAAAAAAAAAAAAAAAAA","partition":3,"offset":1}]}}`,
	} {
		resp, body := fetch(t, "GET", base+"/v1/users/"+path)
		if strings.TrimSpace(body) != want {
			t.Errorf("%s:\n got %s\nwant %s", path, body, want)
		}
		if resp.Header.Get(lagHeader) != "7" || resp.Header.Get(lagTimeHeader) != "2023-11-14T22:13:20.123Z" {
			t.Errorf("lag headers: %v", resp.Header)
		}
	}
	if resp, body := fetch(t, "GET", base+"/v1/users/5"); resp.StatusCode != 404 {
		t.Errorf("a row without user and events: %s", body)
	}
}

func TestTotals(t *testing.T) {
	f := newTables()
	f.put("1", activity("Anna", 3, 4))
	f.put("2", activity("", 5, 0))
	f.put("3", activity("Bob", 0, 0))
	count := func(key string, n uint64) { f.index.ApplyCount(key, &codecs.Tally{Count: n}) }
	count("focus", 4)
	count("click", 8)
	count("", 8)
	count("empty", 0)
	count(codecs.Counter{Kind: codecs.Rejected, Topic: "users", Reason: "not_json"}.Key(), 2)
	count(codecs.Counter{Kind: codecs.Rejected, Topic: "events", Reason: "not_json"}.Key(), 3)
	count(codecs.Counter{Kind: codecs.Lost, Topic: "events"}.Key(), 9)
	count("\xffodd", 100)
	_, base := serve(t, f, nil)

	resp, body := fetch(t, "GET", base+"/v1/event-types")
	if want := `{"event_types":[{"event":"","count":8},{"event":"click","count":8},{"event":"focus","count":4}],"total":20}`; strings.TrimSpace(body) != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	again, body := fetch(t, "GET", base+"/v1/event-types", "If-None-Match", resp.Header.Get("ETag"))
	if again.StatusCode != 304 || again.Header.Get(lagHeader) != "7" || body != "" {
		t.Errorf("conditional: %d %v %s", again.StatusCode, again.Header, body)
	}
	for _, name := range []string{"Cache-Control", "ETag"} { // a cache goes on with those of the 304
		if was, is := resp.Header.Values(name), again.Header.Values(name); len(was) != 1 || !slices.Equal(was, is) {
			t.Errorf("%s is %q, and %q when it has not changed", name, was, is)
		}
	}
	count("focus", 5)
	if again, _ := fetch(t, "GET", base+"/v1/event-types", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != 200 {
		t.Errorf("conditional after a change: %d", again.StatusCode)
	}
	resp, body = fetch(t, "GET", base+"/v1/stats")
	if want := `{"users_known":2,"users_with_events":1,"events_counted":21,"events_of_unknown_users":5,"messages_rejected":5,"lost":9,` +
		`"rejected":[{"topic":"events","reason":"not_json","count":3},{"topic":"users","reason":"not_json","count":2}],` +
		`"partitions":[{"topic":"users","partition":0,"position":3,"end":5,"lag":2},{"topic":"events","partition":1,"position":10,"end":15,"lag":5}]}`; strings.TrimSpace(body) != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	if got := resp.Header.Values(lagHeader); len(got) != 1 || got[0] != "1001" {
		t.Errorf("stats did not measure anew: %q", got)
	}
	points := getJSON[ThroughputPoints](t, base+"/v1/throughput")
	for deadline := time.Now().Add(20 * time.Second); len(points.Topics) == 2 && len(points.Topics[0].Points) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // Run, which samples, may not have begun
		points = getJSON[ThroughputPoints](t, base+"/v1/throughput")
	}
	if len(points.Topics) != 2 || len(points.Topics[0].Points) != 1 || points.Topics[1].Points[0].Lag != 5 {
		t.Errorf("throughput: %+v", points)
	}
}

func TestHeadersAndMethods(t *testing.T) {
	f := newTables()
	f.put("1", activity(strings.Repeat("Anna", 1000), 3, 4))
	_, base := serve(t, f, nil)
	for _, path := range []string{"/", "/page/app.js", "/openapi.json", "/metrics", "/healthz", "/readyz", "/v1/users", "/v1/users/1", "/v1/event-types", "/v1/stats", "/v1/throughput", "/v1/stream"} {
		resp, body := fetch(t, "HEAD", base+path)
		if resp.StatusCode != 200 || body != "" {
			t.Errorf("HEAD %s: %d %q", path, resp.StatusCode, body)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: CORS is on", path)
		}
	}
	resp, _ := fetch(t, "GET", base+"/v1/users", "Accept-Encoding", "gzip")
	if resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("not compressed: %v", resp.Header)
	}
	if resp, _ = fetch(t, "GET", base+"/"); !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || strings.Contains(resp.Header.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("page: %v", resp.Header)
	}
	if again, _ := fetch(t, "GET", base+"/", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("page again: %d", again.StatusCode)
	}
}

func TestAuth(t *testing.T) {
	f := newTables()
	f.put("1", activity("Anna", 3, 4))
	_, base := serve(t, f, func(c *Config) { c.AuthToken = "s3cret" })
	for path, open := range map[string]bool{
		"/": true, "/page/app.js": true, "/healthz": true, "/readyz": true,
		"/v1/users": false, "/v1/users/1": false, "/v1/event-types": false, "/v1/stats": false, "/v1/throughput": false, "/v1/stream": false,
		"/metrics": false, "/openapi.json": false, "/v1/nothing": false, "/page%2Fv1": true,
	} {
		for _, header := range []string{"", "Bearer", "Bearer wrong", "Basic s3cret", "s3cret"} {
			resp, body := fetch(t, "GET", base+path, "Authorization", header)
			if open {
				if resp.StatusCode == 401 {
					t.Errorf("%s: closed", path)
				}
				continue
			}
			checkProblem(t, resp, body, 401)
			if resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no challenge", path)
			}
		}
		if resp, _ := fetch(t, "HEAD", base+path, "Authorization", "bearer s3cret"); resp.StatusCode == 401 {
			t.Errorf("%s: the token does not open", path)
		}
	}
	if resp, _ := fetch(t, "GET", base+"/v1/users?token=s3cret"); resp.StatusCode != 401 {
		t.Errorf("a token in the query: %d", resp.StatusCode)
	}
}

// A token that no Authorization header can carry would shut everybody out.
func TestTokenThatCannotBeSent(t *testing.T) {
	f := newTables()
	for _, token := range []string{"two words", "line\nbreak", "ключ", " ", "tab\t"} {
		_, err := NewServer(Config{Index: f.index, Lookup: f.get, LagMeter: f, Readiness: f, Registry: prometheus.NewRegistry(), AuthToken: token})
		if err == nil || strings.Contains(err.Error(), token) && token != " " {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// The longest cursor that a page can end with is taken.
func TestLongestCursor(t *testing.T) {
	f := newTables()
	f.put(strings.Repeat("a", maxID), activity(strings.Repeat("n", codecs.MaxNameBytes), 1, 0))
	f.put("b", activity(strings.Repeat("n", codecs.MaxNameBytes), 1, 0))
	_, base := serve(t, f, nil)
	first := getJSON[UsersPage](t, base+"/v1/users?sort=name&limit=1")
	if n := len(first.NextCursor); n != 355_004 { // a header of a request has room for it
		t.Errorf("the longest cursor has %d characters", n)
	}
	if second := getJSON[UsersPage](t, base+"/v1/users?sort=name&limit=1&cursor="+first.NextCursor); len(second.Users) != 1 || second.Users[0].UserID != "b" {
		t.Errorf("%d users behind it", len(second.Users))
	}
}

func TestOpenAPI(t *testing.T) {
	_, base := serve(t, newTables(), nil)
	doc := getJSON[struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Schema   struct {
					Type      string
					Enum      []any
					MaxLength int
				}
			}
			Responses map[string]struct {
				Headers map[string]any
				Content map[string]any
			}
		}
	}](t, base+"/openapi.json")
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	paths := []string{"/", "/healthz", "/metrics", "/openapi.json", "/readyz", "/v1/event-types", "/v1/stats", "/v1/stream", "/v1/throughput", "/v1/users", "/v1/users/", "/v1/users/{user_id}"}
	for _, p := range paths {
		get, ok := doc.Paths[p]["get"]
		if !ok {
			t.Errorf("%s is missing", p)
		}
		for _, q := range get.Parameters { // an unknown last_event_id is not an error, however long; a cursor is bounded by what a request may have
			if q.In != "header" && q.Schema.Type == "string" && len(q.Schema.Enum) == 0 && q.Schema.MaxLength == 0 && q.Name != "last_event_id" && q.Name != "cursor" {
				t.Errorf("%s: %s can be of any length", p, q.Name)
			}
		}
		for status, r := range get.Responses {
			if strings.HasPrefix(p, "/v1") && r.Headers[lagHeader] == nil {
				t.Errorf("%s %s: no lag header", p, status)
			}
			if status >= "400" && p != "/readyz" && r.Content["application/problem+json"] == nil {
				t.Errorf("%s %s: no problem document", p, status)
			}
		}
	}
	for _, p := range []string{"/", "/openapi.json", "/v1/event-types"} {
		resp, _ := fetch(t, "GET", base+p)
		again, _ := fetch(t, "GET", base+p, "If-None-Match", resp.Header.Get("ETag"))
		if r, ok := doc.Paths[p]["get"].Responses[fmt.Sprint(again.StatusCode)]; again.StatusCode != 304 || !ok || r.Content != nil {
			t.Errorf("%s: %d is not described, or with a body: %v", p, again.StatusCode, r.Content)
		}
	}
	if len(doc.Paths) != len(paths) {
		t.Errorf("%d paths, want %d", len(doc.Paths), len(paths))
	}
}

// Listings that come one after the other find the rows up to date: with nobody asking, they are brought so more seldom.
func TestListingsAreKeptUpWith(t *testing.T) {
	f := newTables()
	s, url := serve(t, f, nil)
	if got := s.pause(); got < 100*time.Millisecond {
		t.Errorf("with nobody asking, changes are gathered for %s", got)
	}
	if resp, body := fetch(t, http.MethodGet, url+"/v1/users"); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if got := s.pause(); got > 5*time.Millisecond {
		t.Errorf("just after a listing, changes are gathered for %s", got)
	}
}
