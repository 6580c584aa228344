package kafka_test

import (
	"context"
	"testing"

	"github.com/potok-streams/potok/internal/kafka"
)

// TestNoPauseAtTheEnd: when the connections are closed for good, nothing waits between attempts that can't succeed.
func TestNoPauseAtTheEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := kafka.Defaults()
	c.BootstrapServers = []string{"127.0.0.1:1"}
	s, err := c.Sarama(ctx, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	pause := s.Metadata.Retry.BackoffFunc
	if d := pause(1, 3); d <= 0 {
		t.Errorf("a pause of %s before the end", d)
	}
	cancel()
	if d := pause(1, 3); d != 0 {
		t.Errorf("a pause of %s after it", d)
	}
}
