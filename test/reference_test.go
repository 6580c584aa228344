package test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/testkafka"
	"github.com/potok-streams/potok/test/loopback"
)

// TestReferencePrograms holds Potok against the Python programs: what they publish, Potok counts as pandas does, whenever
// it is started; and what Potok publishes, they take.
func TestReferencePrograms(t *testing.T) {
	broker := testkafka.Start(t)
	python := findPython(t)
	potok := buildPotok(t, "reference")

	for name, startAfter := range map[string]string{"started before": "", "started during": "users", "started after": "all"} {
		t.Run(name, func(t *testing.T) {
			prefix := strings.ReplaceAll(name, " ", "-")
			env := reference(t, broker, prefix)
			var p *exec.Cmd
			url := ""
			start := func() { p, url = startPotok(t, potok, env) }
			// Events come before their users, too: first all events, then the users twice over.
			steps := []struct{ after, order, seed string }{{"users", "mixed", "1"}, {"all", "events-first", "2"}}
			if startAfter == "" {
				start()
			}
			for _, s := range steps {
				python(t, env, "producer.py", "--users", "1000", "--repeat", "0.2", "--seed", s.seed, "--order", s.order,
					"--users-topic", env["POTOK_USERS_TOPIC"], "--events-topic", env["POTOK_EVENTS_TOPIC"])
				if s.after == startAfter {
					start()
				}
			}
			want := filepath.Join(t.TempDir(), "want.json")
			if err := os.WriteFile(want, python(t, env, "aggregate.py", "--users-topic", env["POTOK_USERS_TOPIC"], "--events-topic", env["POTOK_EVENTS_TOPIC"]), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", python(t, env, "compare.py", want, "--server", url, "--wait", "60"))
			stopPotok(t, p)
		})
	}

	t.Run("Potok's data", func(t *testing.T) {
		env := reference(t, broker, "emitted")
		p, url := startPotok(t, potok, env)
		command(t, env, potok, "emit", "users", "--count", "500", "--rate", "1000", "--seed", "3")
		command(t, env, potok, "emit", "events", "--idle-exit", "3s", "--seed", "3")
		topics := []string{"--users-topic", env["POTOK_USERS_TOPIC"], "--events-topic", env["POTOK_EVENTS_TOPIC"]}
		want := filepath.Join(t.TempDir(), "want.json")
		if err := os.WriteFile(want, python(t, env, "aggregate.py", topics...), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", python(t, env, "compare.py", want, "--server", url, "--wait", "60"))
		errorsFile := filepath.Join(t.TempDir(), "errors.txt")
		out := string(python(t, env, "original.py", append(topics, "--idle-exit", "3", "--errors", errorsFile)...))
		if !strings.Contains(out, "События по пользователям:") || !strings.Contains(out, "Количество видов событий:") {
			t.Errorf("the original program prints: %s", out)
		}
		if b, err := os.ReadFile(errorsFile); err == nil && len(b) > 0 {
			t.Errorf("the original program could not read: %s", b)
		}
		stopPotok(t, p)
	})
}

// reference makes topics as the exercise has them, three partitions of users and five of events, and returns the settings.
func reference(t *testing.T, b *testkafka.Broker, prefix string) map[string]string {
	t.Helper()
	env := maps.Clone(b.Env)
	env["POTOK_PREFIX"], env["POTOK_USERS_TOPIC"], env["POTOK_EVENTS_TOPIC"] = prefix, prefix+"-CorpAppsTopic", prefix+"-test"
	env["POTOK_PARTITIONS"], env["POTOK_DATA_DIR"] = "4", t.TempDir()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for topic, partitions := range map[string]int32{env["POTOK_USERS_TOPIC"]: 3, env["POTOK_EVENTS_TOPIC"]: 5} {
		r, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, topic)
		if err == nil {
			err = r.Err
		}
		if err != nil {
			t.Fatalf("make %s: %v", topic, err)
		}
	}
	return env
}

// findPython returns what runs one of the Python programs and returns what it prints.
func findPython(t *testing.T) func(t *testing.T, env map[string]string, program string, args ...string) []byte {
	t.Helper()
	if out, err := exec.Command("python3", "-c", "import faker, kafka, pandas").CombinedOutput(); err != nil {
		if os.Getenv("POTOK_REQUIRE_KAFKA") == "1" {
			t.Fatalf("python3 with the packages of reference/requirements.txt is needed: %v: %s", err, out)
		}
		t.Skip("needs python3 with the packages of reference/requirements.txt")
	}
	return func(t *testing.T, env map[string]string, program string, args ...string) []byte {
		t.Helper()
		return command(t, env, "python3", append([]string{filepath.Join("reference", program)}, args...)...)
	}
}

// environment returns the process's own, with settings.
func environment(settings map[string]string) []string {
	env := os.Environ()
	for k, v := range settings {
		env = append(env, k+"="+v)
	}
	return env
}

// command runs a command to its end, which must be good, and returns what it prints to standard output.
func command(t *testing.T, env map[string]string, path string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = environment(env), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(path), strings.Join(args, " "), err, out, &stderr)
	}
	return out
}

// startPotok starts `potok run` and returns when it is ready.
func startPotok(t *testing.T, path string, env map[string]string) (p *exec.Cmd, url string) {
	t.Helper()
	address := loopback.FreeAddress(t)
	p = exec.Command(path, "run", "--listen", address)
	var log bytes.Buffer
	p.Env, p.Stderr = environment(env), &log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill() // it has ended, most likely
		_ = p.Wait()
		if t.Failed() {
			t.Logf("log of potok: %s", &log)
		}
	})
	url = "http://" + address
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, url
			}
			err = fmt.Errorf("status %s", resp.Status)
		}
		if time.Now().After(end) {
			t.Fatalf("potok is not ready: %v", err)
		}
	}
}

// stopPotok ends it as an operator does; it must end well.
func stopPotok(t *testing.T, p *exec.Cmd) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("potok ended with %v", err)
	}
}
