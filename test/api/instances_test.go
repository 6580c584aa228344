package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/broker"
	"github.com/potok-streams/potok/test/loopback"
)

const (
	token = "the-tests-own-token"
	// deadline bounds every wait. The machine may be busy.
	deadline = 2 * time.Minute
)

// instances are running programs on a broker of their own: `potok run`, and a `potok view` that asks for a token.
type instances struct {
	open, closed string // URLs
	endBroker    func()
}

// TestRunning asks instances that run. It takes minutes and needs schemathesis: see `make api`.
func TestRunning(t *testing.T) {
	if os.Getenv("POTOK_REQUIRE_API") != "1" {
		t.Skip("make api asks for it")
	}
	p := start(t)
	t.Run("stream", func(t *testing.T) { stream(t, p) })
	t.Run("schemathesis", func(t *testing.T) { schemathesis(t, p) })
	t.Run("problems", func(t *testing.T) { problems(t, p) }) // the last: it ends the broker
}

// start returns when all of the data is in the answers.
func start(t *testing.T) *instances {
	t.Helper()
	b, err := broker.Start(broker.Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	endBroker := sync.OnceFunc(b.Close)
	t.Cleanup(endBroker)
	potok := filepath.Join(t.TempDir(), "potok")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", potok, "./cmd/potok")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &instances{open: loopback.FreeAddress(t), closed: loopback.FreeAddress(t), endBroker: endBroker}
	for name, args := range map[string][]string{
		"run":  {"run", "--listen", p.open},
		"view": {"view", "--listen", p.closed, "--auth-token-file", tokenFile},
	} {
		cmd := exec.Command(potok, append(args, "--partitions", "4", "--data-dir", t.TempDir(), "--log-format", "json")...)
		cmd.Env = append(os.Environ(), "KAFKA_BOOTSTRAP_SERVERS="+b.Addresses()[0])
		run(t, name, cmd)
	}
	p.open, p.closed = "http://"+p.open, "http://"+p.closed
	// Both have made the topics when they are ready.
	p.eventually(t, p.open+"/readyz", func(resp *http.Response, _ []byte) bool { return resp.StatusCode == http.StatusOK })
	users, events := publish(t, b)
	for _, url := range []string{p.open, p.closed} {
		p.eventually(t, url+"/v1/stats", func(resp *http.Response, body []byte) bool {
			var s struct {
				UsersKnown       int `json:"users_known"`
				EventsCounted    int `json:"events_counted"`
				MessagesRejected int `json:"messages_rejected"`
			}
			return resp.Header.Get("Potok-Lag") == "0" && json.Unmarshal(body, &s) == nil && s.UsersKnown == users && s.EventsCounted == events && s.MessagesRejected == 2
		})
	}
	return p
}

// publish publishes users, events of some of them and of others, and two messages that are rejected.
func publish(t *testing.T, b *broker.Broker) (users, events int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	value := func(fields map[string]string) []byte {
		fields["event_timestamp"] = "2026-11-22 10:00:00"
		v, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	ids := []string{"", ".", "..", "__offset", "a/b", "a%2Fb", "😀", "with blanks ", "\x00", strings.Repeat("long", 1000)}
	for n := range 200 {
		ids = append(ids, fmt.Sprint("u", n))
	}
	var records []*kgo.Record
	for n, id := range ids {
		if n%5 != 4 {
			users++
			records = append(records, &kgo.Record{Topic: "CorpAppsTopic", Value: value(map[string]string{"user_id": id, "name": fmt.Sprint("Имя ", n), "email": fmt.Sprintf("m%d@mail.ru", n)})})
		}
		for k := range n % 7 {
			events++
			event := []string{"click", "scroll", "", "вид", "a/b"}[k%5]
			records = append(records, &kgo.Record{Topic: "test", Value: value(map[string]string{"user_id": id, "page": "/", "event": event})})
		}
	}
	records = append(records, &kgo.Record{Topic: "CorpAppsTopic", Value: []byte("{")}, &kgo.Record{Topic: "test", Value: []byte(`{"event":1}`)})
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return users, events
}

// run starts a program that ends with the test, and must end well.
func run(t *testing.T, name string, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Process.Signal(syscall.SIGTERM) // Wait says how it ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("potok %s: %v", name, err)
		}
		b, err := os.ReadFile(log.Name())
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(b), "panicked") || t.Failed() {
			t.Errorf("log of potok %s:\n%s", name, b)
		}
	})
}

// eventually asks until the answer is as it should be.
func (p *instances) eventually(t *testing.T, url string, good func(*http.Response, []byte) bool) {
	t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(100 * time.Millisecond) {
		resp, body, err := p.ask(t, http.MethodGet, url, "Authorization", "Bearer "+token)
		if err == nil && good(resp, body) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v, %v, %s", url, deadline, err, resp, body)
		}
	}
}

// ask asks without following anything.
func (p *instances) ask(t *testing.T, method, url string, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}
