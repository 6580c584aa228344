package kafka

import (
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lastDialError keeps why the last connection failed: when time runs out, franz-go says only that it did.
type lastDialError struct {
	mu  sync.Mutex
	err error
}

var _ kgo.HookBrokerConnect = new(lastDialError)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (l *lastDialError) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
}

func (l *lastDialError) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
