// Package testkafka runs a real Apache Kafka broker for a test, by way of test/kafka/kafka.sh.
//
// A test that calls [Start] is skipped unless POTOK_TEST_KAFKA=1 or POTOK_REQUIRE_KAFKA=1 is set, so that `go test ./...` needs
// nothing but Go. With POTOK_TEST_KAFKA=1 it is also skipped where Java or Maven is missing; with POTOK_REQUIRE_KAFKA=1 it
// fails there: nothing can skip it.
//
// A broker starts in about 4 s, uses up to 1 GB of memory (POTOK_KAFKA_JAVA_OPTS) and is reached on 127.0.0.1. Several can run at a
// time. It ends with the test, and within seconds of the test process where that is killed. It makes no topics by itself, is kind to
// quick group tests (no initial rebalance delay, session time-outs from 1 s), and keeps data, port and passwords over a
// [Broker.Restart]. The very first start on a machine also fetches Kafka.
package testkafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// commandDeadline bounds one run of the script: it has deadlines of its own, but the first start fetches Kafka.
	commandDeadline = 5 * time.Minute

	// exitMissing is the script's exit code where Java or Maven is missing.
	exitMissing = 69

	// logTail is how much of the broker's log a failed test shows.
	logTail = 8 << 10
)

// Broker is one running broker. Its methods end the test when they fail, so they are for the test's goroutine. Addrs and
// Env stay valid over restarts.
type Broker struct {
	Addrs []string          // host:port of the clients' listener
	Env   map[string]string // the settings that lead to it, under the names of Potok's environment (KAFKA_*, POTOK_TLS_CA_FILE)
	Dir   string            // data, log, server.properties

	t      testing.TB
	script string
}

// Option changes how [Start] sets a broker up.
type Option func(*options)

type options struct{ args []string }

// SASL makes clients come in by SASL_SSL with SCRAM-SHA-256; user, password and certificate are in [Broker.Env].
func SASL() Option { return func(o *options) { o.args = append(o.args, "--sasl") } }

// Set gives the broker a setting of server.properties.
func Set(key, value string) Option {
	return func(o *options) { o.args = append(o.args, "--set", key+"="+value) }
}

// Start runs a broker in a temporary directory and returns when it answers. It skips or fails the test as the package says.
func Start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	required := os.Getenv("POTOK_REQUIRE_KAFKA") == "1"
	if !required && os.Getenv("POTOK_TEST_KAFKA") != "1" {
		t.Skip("needs a real Kafka broker: set POTOK_TEST_KAFKA=1")
	}
	missing := t.Skipf
	if required {
		missing = t.Fatalf
	}
	if _, err := exec.LookPath("bash"); err != nil {
		missing("no Kafka broker: bash is missing")
	}
	script, err := findScript()
	if err != nil {
		t.Fatal(err)
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}

	b := &Broker{Dir: t.TempDir(), t: t, script: script}
	t.Cleanup(func() {
		if t.Failed() {
			b.showLog()
		}
		b.Kill() // the data go as well: nothing is gained by an orderly stop
	})
	env, err := b.start(o.args...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == exitMissing {
		missing("no Kafka broker: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if b.Env, err = parseEnv(env); err != nil {
		t.Fatal(err)
	}
	b.Addrs = strings.Split(b.Env["KAFKA_BOOTSTRAP_SERVERS"], ",")
	return b
}

// Stop ends the broker in an orderly way. Stopping a broker that is not running does nothing.
func (b *Broker) Stop() {
	b.t.Helper()
	b.must(b.run("stop", b.Dir))
}

// Kill ends the broker with SIGKILL. Killing a broker that is not running does nothing.
func (b *Broker) Kill() {
	b.t.Helper()
	b.must(b.run("kill", b.Dir))
}

// Restart starts the broker again on its data and port, after stopping it if it runs. After a [Broker.Kill] it takes some
// 3 s longer: Kafka waits until the killed broker's registration has timed out.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	b.must(b.start())
}

// start has the script watch this process as well, for a test that is killed runs no cleanup.
func (b *Broker) start(args ...string) (string, error) {
	return b.run("start", append([]string{b.Dir, "--until-exit", strconv.Itoa(os.Getpid())}, args...)...)
}

// run returns what the script printed; the error has what it complained of.
func (b *Broker) run(command string, args ...string) (string, error) {
	// Not the test's context: it is done before the cleanup runs.
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", append([]string{b.script, command}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kafka.sh %s: %w\n%s", command, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

func (b *Broker) must(_ string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *Broker) showLog() {
	log, err := os.ReadFile(filepath.Join(b.Dir, "log"))
	if errors.Is(err, fs.ErrNotExist) {
		return // it never got so far, and the error says why
	}
	if err != nil {
		b.t.Logf("the broker's log can't be read: %v", err)
		return
	}
	b.t.Logf("the end of the broker's log:\n%s", log[max(0, len(log)-logTail):])
}

// findScript looks upwards from the directory of the test's package, where `go test` runs it.
func findScript() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find kafka.sh: %w", err)
	}
	for {
		script := filepath.Join(dir, "test", "kafka", "kafka.sh")
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find kafka.sh: no test/kafka/kafka.sh above the test's directory")
		}
		dir = parent
	}
}

// parseEnv reads lines of KEY=value as the script writes them for a shell: the value bare, or between single quotes.
func parseEnv(text string) (map[string]string, error) {
	env := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("kafka.sh printed a line without =, of %d bytes", len(line)) // it may be a secret
		}
		if quoted, ok := strings.CutPrefix(value, "'"); ok {
			value = strings.ReplaceAll(strings.TrimSuffix(quoted, "'"), `'\''`, "'")
		}
		env[key] = value
	}
	return env, nil
}
