package main

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/potok-streams/potok/internal/testkafka"
)

// TestSASL runs everything over SASL_SSL with SCRAM-SHA-256, settings from the usual environment.
func TestSASL(t *testing.T) {
	env := testkafka.Start(t, testkafka.SASL()).Env
	secret := env["KAFKA_SASL_PASSWORD"]
	w := newWorld(t, env)
	rnd := rand.New(rand.NewPCG(4, 4))
	w.some(rnd, 1000)
	i := start(t, with(t, env, t.TempDir()), "run", "--log-level", "debug")
	w.some(rnd, 1000)
	w.settled(i)
	i.stop()
	if strings.Contains(i.log.String(), secret) {
		t.Error("the password is in the log")
	}

	t.Run("password from a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env := maps.Clone(env)
		delete(env, "KAFKA_SASL_PASSWORD")
		if code, out := runOnce(t, env, "topics", "--partitions", "4", "--sasl-password-file", file); code != exitDone {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	wrong := func(name, says string, settings map[string]string) {
		t.Run(name, func(t *testing.T) {
			env := with(t, env, t.TempDir())
			maps.Copy(env, settings)
			begin := time.Now()
			code, out := runOnce(t, env, "run")
			if took := time.Since(begin); code != exitFailed || took > 15*time.Second || !strings.Contains(out, says) {
				t.Errorf("exit code %d after %s: %s; want %d within 15 s and %q", code, took, out, exitFailed, says)
			}
			if strings.Contains(out, env["KAFKA_SASL_PASSWORD"]) {
				t.Errorf("a secret is printed: %s", out)
			}
		})
	}
	wrong("wrong password", "check the user name and the password", map[string]string{"KAFKA_SASL_PASSWORD": "not-the-password"})
	wrong("wrong mechanism", "check", map[string]string{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"})
	wrong("untrusted certificate", "check --tls-ca-file", map[string]string{"POTOK_TLS_CA_FILE": ""})
	wrong("no TLS", "check --bootstrap-servers and --security-protocol", map[string]string{"POTOK_TLS_CA_FILE": "", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"})
}

// runOnce runs a command to its end and returns its exit code and all that it has written.
func runOnce(t *testing.T, env map[string]string, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), args, func(k string) string { return env[k] }, &out, &out)
	return code, out.String()
}
