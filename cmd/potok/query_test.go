package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ask runs a command to its end.
func ask(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, func(k string) string { return env[k] }, &out, &err)
	return code, out.String(), err.String()
}

const (
	annaJSON = `{"user_id":"-42","name":"Анна","email":"anna@example.org","event_count":1207,"events":{"focus":400,"click":800,"\u001b[2J":7},"first_event_at":"2026-01-02T03:04:05Z","last_event_at":"2026-01-02T03:04:05.678Z"}`
	wangJSON = `{"user_id":"../7","name":"王` + "\u009b" + `\n","email":"w@example.org","event_count":3,"events":{"click":3},"first_event_at":"2026-01-02T03:04:05Z","last_event_at":null}`
	nullJSON = `{"user_id":"","name":null,"email":null,"event_count":1,"events":{"click":1},"first_event_at":null,"last_event_at":null}`
	typeJSON = `{"event_types":[{"event":"click","count":804},{"event":"фокус","count":7}],"total":811}`
	statJSON = `{"users_known":2,"users_with_events":2,"events_counted":811,"events_of_unknown_users":1,"messages_rejected":4,"lost":5,"rejected":[{"topic":"test","reason":"not_json","count":4}],"partitions":[{"topic":"test","partition":1,"position":20,"end":23,"lag":3}]}`
)

// fakeView answers as a view does; it has three users on two pages.
func fakeView(t *testing.T) (url string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	users := map[string]string{"-42": annaJSON, "..%2F7": wangJSON, "": nullJSON}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.URL.RequestURI())
		mu.Unlock()
		problem := func(status int, detail string) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"title":%q,"status":%d,"detail":%q}`, http.StatusText(status), status, detail)
		}
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			problem(http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		path := r.URL.EscapedPath()
		id, isUser := strings.CutPrefix(path, "/v1/users/")
		switch {
		case path == "/v1/users" && r.URL.Query().Get("cursor") == "":
			fmt.Fprintf(w, `{"users":[%s,%s],"next_cursor":"next"}`+"\n", annaJSON, wangJSON)
		case path == "/v1/users":
			fmt.Fprintf(w, `{"users":[%s]}`+"\n", nullJSON)
		case isUser && users[id] != "":
			fmt.Fprintln(w, users[id])
		case isUser:
			problem(http.StatusNotFound, "neither a user nor an event with this user_id is known")
		case path == "/v1/event-types":
			fmt.Fprintln(w, typeJSON)
		case path == "/v1/stats":
			fmt.Fprintln(w, statJSON)
		case path == "/v1/stream":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: event-types\nid: x-1\ndata: %s\n\nevent: users\nid: x-1\ndata: {\"users\":[%s]}\n\n", typeJSON, annaJSON)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(ts.Close)
	t.Cleanup(ts.CloseClientConnections)
	return ts.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

func tokenFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestQueryTables(t *testing.T) {
	url, _ := fakeView(t)
	env := map[string]string{"POTOK_SERVER": url, "POTOK_AUTH_TOKEN_FILE": tokenFile(t)}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"users": {[]string{"users"}, "Events by user:\n" +
			"user_id  name      email             event_count\n" +
			"-42      Анна      anna@example.org         1207\n" +
			"../7     王\\x9b\\n  w@example.org               3\n"},
		"all users": {[]string{"users", "--all", "--lang", "ru"}, "События по пользователям:\n" +
			"user_id  name      email             event_count\n" +
			"-42      Анна      anna@example.org         1207\n" +
			"../7     王\\x9b\\n  w@example.org               3\n" +
			"         -         -                           1\n"},
		"user": {[]string{"user", "-42"}, "field           value\n" +
			"user_id         -42\n" +
			"name            Анна\n" +
			"email           anna@example.org\n" +
			"event_count     1207\n" +
			"  click         800\n" +
			"  focus         400\n" +
			"  \\x1b[2J       7\n" +
			"first_event_at  2026-01-02T03:04:05Z\n" +
			"last_event_at   2026-01-02T03:04:05.678Z\n"},
		"event types":         {[]string{"event-types"}, "Events by type:\nevent  count\nclick    804\nфокус      7\n"},
		"event types Russian": {[]string{"event-types", "--lang=ru"}, "Количество видов событий:\nevent  count\nclick    804\nфокус      7\n"},
		"stats": {[]string{"stats"}, "total                    count\n" +
			"users_known                  2\n" +
			"users_with_events            2\n" +
			"events_counted             811\n" +
			"events_of_unknown_users      1\n" +
			"messages_rejected            4\n" +
			"lost                         5\n" +
			"\n" +
			"topic  rejected  count\n" +
			"test   not_json      4\n" +
			"\n" +
			"topic  partition  position  end  lag\n" +
			"test           1        20   23    3\n"},
		"user Russian": {[]string{"user", "", "--lang=ru"}, "поле            значение\n" +
			"user_id\n" +
			"name            -\n" +
			"email           -\n" +
			"event_count     1\n" +
			"  click         1\n" +
			"first_event_at\n" +
			"last_event_at\n"},
		"stats Russian": {[]string{"stats", "--lang=ru"}, "показатель               количество\n" +
			"users_known                       2\n" +
			"users_with_events                 2\n" +
			"events_counted                  811\n" +
			"events_of_unknown_users           1\n" +
			"messages_rejected                 4\n" +
			"lost                              5\n" +
			"\n" +
			"топик  отклонено  количество\n" +
			"test   not_json            4\n" +
			"\n" +
			"топик  партиция  прочитано до  конец  отставание\n" +
			"test          1            20     23           3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := ask(t, env, append([]string{"query"}, tc.args...)...)
			if code != exitDone || out != tc.want || errs != "" {
				t.Errorf("exit code %d, stderr %q, got\n%swant\n%s", code, errs, out, tc.want)
			}
		})
	}
}

// TestQueryTellsOfMoreUsers has a terminal that nobody reads: the end of a pair that a program would be shown on.
func TestQueryTellsOfMoreUsers(t *testing.T) {
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil || !isTerminal(tty) {
		t.Skipf("no terminal can be made here: %v", err)
	}
	defer tty.Close()
	url, _ := fakeView(t)
	env := map[string]string{"POTOK_SERVER": url, "POTOK_AUTH_TOKEN_FILE": tokenFile(t)}
	for lang, want := range map[string]string{"en": "there are more users: --all shows all\n", "ru": "есть ещё пользователи: --all покажет всех\n"} {
		var errs bytes.Buffer
		code := run(t.Context(), []string{"query", "users", "--lang", lang}, func(k string) string { return env[k] }, tty, &errs)
		if code != exitDone || errs.String() != want {
			t.Errorf("%s: exit code %d, %q; want %q", lang, code, errs.String(), want)
		}
	}
}

func TestQueryJSON(t *testing.T) {
	url, asked := fakeView(t)
	env := map[string]string{"POTOK_SERVER": url, "POTOK_AUTH_TOKEN_FILE": tokenFile(t)}
	for name, tc := range map[string]struct {
		args  []string
		want  string
		asked []string
	}{
		"users": {
			[]string{"users", "--limit", "5", "--sort=name", "-q", "Анна", "--include-all"},
			`{"users":[` + annaJSON + `,` + wangJSON + `],"next_cursor":"next"}`,
			[]string{"/v1/users?include=all&limit=5&q=%D0%90%D0%BD%D0%BD%D0%B0&sort=name"},
		},
		"page":          {[]string{"users", "--cursor", "next"}, `{"users":[` + nullJSON + `]}`, []string{"/v1/users?cursor=next&limit=100&sort=-event_count"}},
		"all":           {[]string{"users", "--all"}, `{"users":[` + annaJSON + `,` + wangJSON + `,` + nullJSON + `]}`, []string{"/v1/users?limit=1000&sort=-event_count", "/v1/users?cursor=next&limit=1000&sort=-event_count"}},
		"negative id":   {[]string{"user", "-42"}, annaJSON, []string{"/v1/users/-42"}},
		"behind dashes": {[]string{"user", "--", "-42"}, annaJSON, []string{"/v1/users/-42"}},
		"odd id":        {[]string{"user", "../7"}, wangJSON, []string{"/v1/users/..%2F7"}},
		"empty id":      {[]string{"user", ""}, nullJSON, []string{"/v1/users/"}},
		"event types":   {[]string{"event-types"}, typeJSON, []string{"/v1/event-types"}},
		"stats":         {[]string{"stats"}, statJSON, []string{"/v1/stats"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(asked())
			args := append([]string{"query", tc.args[0], "-o", "json"}, tc.args[1:]...)
			code, out, errs := ask(t, env, args...)
			var got, want any
			if json.Unmarshal([]byte(out), &got) != nil || json.Unmarshal([]byte(tc.want), &want) != nil {
				t.Fatalf("not JSON: %s", out)
			}
			if code != exitDone || errs != "" || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("exit code %d, stderr %q, got %s", code, errs, out)
			}
			if strings.ContainsAny(out, "\u009b\x1b") {
				t.Errorf("a terminal would act on %q", out)
			}
			if got := asked()[before:]; !slices.Equal(got, tc.asked) {
				t.Errorf("asked %q, want %q", got, tc.asked)
			}
		})
	}
}

func TestQueryCSV(t *testing.T) {
	url, _ := fakeView(t)
	env := map[string]string{"POTOK_SERVER": url, "POTOK_AUTH_TOKEN_FILE": tokenFile(t), "POTOK_OUTPUT": "csv"}
	head := []string{"user_id", "name", "email", "event_count", "first_event_at", "last_event_at", "events"}
	anna := []string{"-42", "Анна", "anna@example.org", "1207", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678Z", `{"\u001b[2J":7,"click":800,"focus":400}`}
	wang := []string{"../7", "王\u009b\n", "w@example.org", "3", "2026-01-02T03:04:05Z", "", `{"click":3}`}
	for name, tc := range map[string]struct {
		args []string
		want [][]string
	}{
		"users":       {[]string{"users", "--all"}, [][]string{head, anna, wang, {"", "", "", "1", "", "", `{"click":1}`}}},
		"user":        {[]string{"user", "-42"}, [][]string{head, anna}},
		"event types": {[]string{"event-types"}, [][]string{{"event", "count"}, {"click", "804"}, {"фокус", "7"}}},
		"stats": {[]string{"stats"}, [][]string{
			{"name", "topic", "partition", "reason", "value"},
			{"users_known", "", "", "", "2"},
			{"users_with_events", "", "", "", "2"},
			{"events_counted", "", "", "", "811"},
			{"events_of_unknown_users", "", "", "", "1"},
			{"messages_rejected", "", "", "", "4"},
			{"lost", "", "", "", "5"},
			{"rejected", "test", "", "not_json", "4"},
			{"position", "test", "1", "", "20"},
			{"end", "test", "1", "", "23"},
			{"lag", "test", "1", "", "3"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := ask(t, env, append([]string{"query"}, tc.args...)...)
			got, err := csv.NewReader(strings.NewReader(out)).ReadAll()
			if code != exitDone || errs != "" || err != nil || !slices.EqualFunc(got, tc.want, slices.Equal) {
				t.Errorf("exit code %d, stderr %q, %v, got %q", code, errs, err, got)
			}
		})
	}
}

func TestQueryFailures(t *testing.T) {
	url, _ := fakeView(t)
	env := map[string]string{"POTOK_SERVER": url, "POTOK_AUTH_TOKEN_FILE": tokenFile(t)}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blanks := filepath.Join(t.TempDir(), "blanks")
	if err := os.WriteFile(blanks, []byte("a secret of words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"unknown user":       {[]string{"query", "user", "no\x1bbody"}, exitFailed, `user "no\x1bbody" is not known`},
		"not a view":         {[]string{"query", "user", "7", "--server", url + "/elsewhere"}, exitFailed, "404 Not Found"},
		"nobody there":       {[]string{"query", "stats", "--server", "http://127.0.0.1:1"}, exitFailed, "connection refused"},
		"no token":           {[]string{"query", "stats", "--auth-token-file", ""}, exitFailed, "401 Unauthorized: a bearer token is needed"},
		"nothing asked":      {[]string{"query"}, exitWrongUse, "say users, user"},
		"unknown question":   {[]string{"query", "people"}, exitWrongUse, "people"},
		"no id":              {[]string{"query", "user"}, exitWrongUse, "1 arg"},
		"two ids":            {[]string{"query", "user", "-1", "-2"}, exitWrongUse, "1 arg"},
		"argument":           {[]string{"query", "users", "7"}, exitWrongUse, "7"},
		"user flag":          {[]string{"query", "user", "7", "--nothing"}, exitWrongUse, "--nothing"},
		"format":             {[]string{"query", "stats", "-o", "xml"}, exitWrongUse, "table, json or csv"},
		"user format":        {[]string{"query", "user", "7", "-o", "xml"}, exitWrongUse, "table, json or csv"},
		"limit":              {[]string{"query", "users", "--limit", "1001"}, exitWrongUse, "--limit"},
		"sort":               {[]string{"query", "users", "--sort", "email"}, exitWrongUse, "-last_event_at"},
		"server":             {[]string{"query", "stats", "--server", "localhost:8080"}, exitWrongUse, "--server"},
		"token file missing": {[]string{"query", "stats", "--auth-token-file", empty + "x"}, exitWrongUse, "--auth-token-file"},
		"token file empty":   {[]string{"query", "stats", "--auth-token-file", empty}, exitWrongUse, "is empty"},
		"token of words":     {[]string{"query", "stats", "--auth-token-file", blanks}, exitWrongUse, "without blanks or line breaks inside; make one with"},
		"view: the same":     {[]string{"view", "--auth-token-file", blanks}, exitWrongUse, "without blanks or line breaks inside; make one with"},
		"view: empty token":  {[]string{"view", "--auth-token-file", empty}, exitWrongUse, "is empty"},
		"authorities":        {[]string{"query", "stats", "--http-ca-file", empty}, exitWrongUse, "has no certificate"},
		"interval":           {[]string{"watch", "--interval", "0s"}, exitWrongUse, "--interval"},
		"watch rows":         {[]string{"watch", "--limit", "0"}, exitWrongUse, "--limit"},
		"watch, no token":    {[]string{"watch", "--auth-token-file", ""}, exitFailed, "401"},
	} {
		t.Run(name, func(t *testing.T) {
			given := env
			if strings.HasSuffix(name, "no token") {
				given = map[string]string{"POTOK_SERVER": url}
			}
			code, out, errs := ask(t, given, tc.args...)
			if code != tc.code || out != "" || !strings.Contains(errs, tc.says) {
				t.Errorf("exit code %d, want %d; stdout %q, stderr %q", code, tc.code, out, errs)
			}
		})
	}
	if code, out, _ := ask(t, env, "query", "user", "--help"); code != exitDone || !strings.Contains(out, "--server") {
		t.Errorf("help: exit code %d, %s", code, out)
	}
}

func TestQueryOverTLS(t *testing.T) {
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, typeJSON) }))
	ts.Config.ErrorLog = log.New(io.Discard, "", 0)
	ts.StartTLS()
	defer ts.Close()
	if code, _, errs := ask(t, nil, "query", "event-types", "--server", ts.URL); code != exitFailed || !strings.Contains(errs, "certificate") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := ask(t, nil, "query", "event-types", "-o", "json", "--server", ts.URL, "--http-ca-file", ca); code != exitDone || strings.TrimSpace(out) != typeJSON {
		t.Errorf("exit code %d, %s %s", code, out, errs)
	}
}

func TestWatchWithoutATerminal(t *testing.T) {
	url, _ := fakeView(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs syncBuffer
	done := make(chan int, 1)
	env := map[string]string{"POTOK_AUTH_TOKEN_FILE": tokenFile(t), "POTOK_LANG": "ru"}
	go func() {
		done <- run(ctx, []string{"watch", "--server", url, "--interval", "10ms"}, func(k string) string { return env[k] }, &out, &errs)
	}()
	want := "События по пользователям:\n" +
		"user_id  name      email             event_count\n" +
		"-42      Анна      anna@example.org         1207\n" +
		"../7     王\\x9b\\n  w@example.org               3\n" +
		"…\n\nКоличество видов событий:\nevent  count\nclick    804\nфокус      7\n\n"
	eventually(t, "both tables", func() error {
		if out.String() != want {
			return fmt.Errorf("got\n%s", out.String())
		}
		return nil
	})
	cancel() // as SIGTERM does
	select {
	case code := <-done:
		if code != exitDone || out.String() != want {
			t.Errorf("exit code %d, stderr %s, stdout %s", code, errs.String(), out.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("watch does not end")
	}
}

func TestQueryCompletion(t *testing.T) {
	for flag, want := range map[string]string{"--sort": "-event_count\nevent_count\nuser_id\nname\n-last_event_at\n", "--output": "table\njson\ncsv\n"} {
		if code, out, _ := ask(t, nil, "__complete", "query", "users", flag, ""); code != exitDone || !strings.HasPrefix(out, want) {
			t.Errorf("%s: exit code %d, %s", flag, code, out)
		}
	}
}
