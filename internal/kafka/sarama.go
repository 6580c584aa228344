package kafka

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/xdg-go/scram"
)

// retryPause is between attempts at what the brokers can't do yet, such as finding a leader or a coordinator; sarama's own
// two seconds are longer than most of it takes.
const retryPause = 250 * time.Millisecond

// Sarama returns a new configuration for goka's consumers and topic manager; goka's builders write into what they are
// given, so that each gets its own. instance is the static group member's name; empty: a dynamic member. alive, if not
// nil, is called when the group's coordinator has answered, with the time when it was asked, and with the zero time when
// the member begins to wait to be let in, which may take long and is no silence. The connections are closed
// when ctx ends: some of sarama's requests can't be called off otherwise, and a join waits for the slowest member.
func (c Config) Sarama(ctx context.Context, instance string, alive func(asked time.Time)) (*sarama.Config, error) {
	dial, err := c.Dialer()
	if err != nil {
		return nil, err
	}
	s := goka.DefaultConfig() // brings goka's co-partitioning strategy
	s.ClientID = c.ClientID
	// From 2.4 on sarama asks for offsets in a way that some brokers answer with an error for a group that has never
	// committed. 2.3 is enough for static membership, and Kafka 4 still speaks it.
	s.Version = sarama.V2_3_0_0
	s.ApiVersionsRequest = false
	s.MetricRegistry = newUnmeasured()
	s.Metadata.AllowAutoTopicCreation = false
	s.Metadata.RefreshFrequency = time.Minute
	// Once nothing can be connected any more, the pauses between attempts, which don't look at ctx, are what holds up a stop.
	s.Metadata.Retry.BackoffFunc = func(int, int) time.Duration {
		if ctx.Err() != nil {
			return 0
		}
		return retryPause
	}
	s.ChannelBufferSize = 256 // messages that are decoded ahead, of each partition
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	s.Consumer.Offsets.AutoCommit.Interval = 200 * time.Millisecond
	s.Consumer.IsolationLevel = sarama.ReadCommitted
	s.Consumer.Fetch.Default = 256 << 10 // decoded it is several times as much, and a program has dozens of readers
	s.Consumer.MaxWaitTime = 100 * time.Millisecond
	s.Consumer.MaxProcessingTime = 10 * time.Second
	s.Consumer.Retry.Backoff = retryPause
	s.Consumer.Group.Rebalance.Retry.Backoff = retryPause
	s.Consumer.Group.Rebalance.Retry.Max = 32 // eight seconds, as sarama's four at its own pause
	s.Consumer.Group.InstanceId = instance
	s.Consumer.Group.Session.Timeout = c.SessionTimeout
	s.Consumer.Group.Rebalance.Timeout = c.RebalanceTimeout()
	s.Consumer.Group.Heartbeat.Interval = c.HeartbeatInterval()
	s.Net.DialTimeout = dialTimeout
	// Our own dialer does TLS as well, so that the heartbeats can be watched beneath it.
	s.Net.Proxy.Enable = true
	s.Net.Proxy.Dialer = saramaDialer{ctx, dial, alive}
	if c.usesSASL() {
		s.Net.SASL.Enable = true
		s.Net.SASL.User, s.Net.SASL.Password = c.Username, string(c.Password)
		s.Net.SASL.Mechanism = sarama.SASLMechanism(c.SASLMechanism)
		switch c.SASLMechanism {
		case MechanismSHA256:
			s.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA256} }
		case MechanismSHA512:
			s.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: scram.SHA512} }
		}
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("sarama configuration: %w", err)
	}
	return s, nil
}

type saramaDialer struct {
	ctx   context.Context // sarama's dialer has no parameter for it
	dial  func(ctx context.Context, network, host string) (net.Conn, error)
	alive func(time.Time)
}

// Dial implements sarama's proxy dialer.
func (d saramaDialer) Dial(network, host string) (net.Conn, error) {
	c, err := d.dial(d.ctx, network, host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(d.ctx, func() { c.Close() })
	w := &watchedConn{Conn: c, closed: stop}
	if d.alive == nil {
		return w, nil
	}
	return &heartbeatConn{Conn: w, alive: d.alive, asked: map[uint32]time.Time{}}, nil
}

// watchedConn is closed when its dialer's context ends.
type watchedConn struct {
	net.Conn
	closed func() bool
}

func (c *watchedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// scramClient is what sarama wants of a SCRAM library.
type scramClient struct {
	hash scram.HashGeneratorFcn
	conv *scram.ClientConversation
}

func (s *scramClient) Begin(user, password, authzID string) error {
	c, err := s.hash.NewClient(user, password, authzID)
	if err != nil {
		return err
	}
	s.conv = c.NewConversation()
	return nil
}

func (s *scramClient) Step(challenge string) (string, error) { return s.conv.Step(challenge) }
func (s *scramClient) Done() bool                            { return s.conv.Done() }
