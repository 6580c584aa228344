//go:build unix

package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestChaos runs one seed against a real broker: the seed of the day, unless POTOK_CHAOS_SEED or the like is wanted, for which
// there is the command. POTOK_CHAOS_DURATION says for how long faults go on.
func TestChaos(t *testing.T) {
	required := os.Getenv("POTOK_REQUIRE_KAFKA") == "1"
	if !required && os.Getenv("POTOK_TEST_KAFKA") != "1" {
		t.Skip("needs a real Kafka broker: set POTOK_TEST_KAFKA=1")
	}
	for _, needed := range []string{"bash", "java"} {
		if _, err := exec.LookPath(needed); err != nil {
			if required {
				t.Fatalf("no Kafka broker: %s is missing", needed)
			}
			t.Skipf("no Kafka broker: %s is missing", needed)
		}
	}
	o := defaults()
	o.seed = uint64(time.Now().Unix() / 86400)
	if text := os.Getenv("POTOK_CHAOS_DURATION"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("POTOK_CHAOS_DURATION: %v", err)
		}
		o.duration = d
	}
	ok, err := execute(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Error("Potok did something wrong")
	}
}
