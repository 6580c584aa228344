package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestBench measures a little, finds all counts right, and leaves nothing behind.
func TestBench(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		dir := t.TempDir()
		env = with(t, env, dir)
		says(t, env, []string{"bench", "--users", "300", "--events-per-user", "4"}, exitDone, "wrong counts", "1200")
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in --data-dir: %v, %v", left, err)
		}
		w := newWorld(t, env)
		eventually(t, "its topics and groups are gone", func() error {
			topics, err := w.admin.ListTopics(t.Context())
			if err != nil {
				return err
			}
			groups, err := w.admin.ListGroups(t.Context())
			if err != nil {
				return err
			}
			for _, name := range append(topics.Names(), groups.Groups()...) {
				if strings.Contains(name, "-bench-") {
					return fmt.Errorf("%s is left", name)
				}
			}
			return nil
		})
	})
}

// TestBenchEmbedded needs no broker.
func TestBenchEmbedded(t *testing.T) {
	t.Parallel()
	env := with(t, map[string]string{"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, t.TempDir())
	says(t, env, []string{"bench", "--embedded", "--users", "50", "--events-per-user", "2"}, exitDone, "100")
	says(t, env, []string{"bench", "--users", "0"}, exitWrongUse, "--users")
}

// TestBenchFindsWrongCounts: a measurement of wrong results is none.
func TestBenchFindsWrongCounts(t *testing.T) {
	t.Parallel()
	published := map[string]uint64{"a": 1, "b": 2, "c": 3}
	if n := differences(published, map[string]uint64{"a": 1, "b": 3, "d": 1}); n != 3 {
		t.Errorf("%d differences, want 3: one other, one missing, one too many", n)
	}
	var out bytes.Buffer
	l := benchLoad{events: 6}
	if err := l.report(&out, 2, 1); !errors.Is(err, errDifference) {
		t.Errorf("a wrong count ends with %v", err)
	}
	if err := l.report(&out, 2, 0); err != nil || !strings.Contains(out.String(), "3") {
		t.Errorf("%v, %s", err, out.String())
	}
}
