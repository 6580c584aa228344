package engine_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestStopWhileJoining: a processor that waits to be let into its group, which may take as long as its slowest member, stops
// at once.
func TestStopWhileJoining(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	tb := newTable(t, c.ListenAddrs())
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	first := sync.OnceFunc(func() { close(asked) })
	c.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		first()
		c.SleepControl(func() { <-release })
		return nil, nil, false
	})
	p := tb.restore(t, t.TempDir(), slog.New(slog.DiscardHandler), nil)
	await(t, asked, "the processor asks to be let in")
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 2*time.Second { // 3 s are for those who have something to finish
		t.Errorf("the stop took %s", took)
	}
}
