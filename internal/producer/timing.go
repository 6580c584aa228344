package producer

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Timing is told how long each request with records took, from the first byte written to the last byte of the answer. It is
// called by several goroutines.
type Timing func(took time.Duration)

var _ kgo.HookBrokerE2E = Timing(nil)

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (t Timing) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == kmsg.Produce.Int16() && e.Err() == nil {
		t(e.DurationE2E())
	}
}
