// Package broker is a Kafka broker inside the process, for the demo, for development and for tests: franz-go's kfake over
// real TCP. It listens on the loopback only, has a replication factor of 1, and trusts whoever connects. Code that talks
// to it does not know it from Apache Kafka.
package broker

import (
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/potok-streams/potok/internal/topology"
)

const compactEvery = 10 * time.Second

// Config says what the broker is to be like.
type Config struct {
	Address string // host:port to listen on; port 0 takes a free one
	Dir     string // keep the data here; empty: in memory
}

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	stop    chan struct{}
}

// Start starts a broker.
func Start(cfg Config) (*Broker, error) {
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("broker address %q: %w", cfg.Address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("broker address %q: the embedded broker asks nobody who they are, and listens on the loopback only: use 127.0.0.1", cfg.Address)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID(topology.EmbeddedCluster),
		kfake.DefaultNumPartitions(topology.EmbeddedPartitions),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, cfg.Address) }),
		// Its own timers do not resume after a restart, and rows of tables older than its default would be dropped then.
		kfake.BrokerConfigs(map[string]string{"log.retention.ms": "-1", "group.initial.rebalance.delay.ms": "0"}),
	}
	if cfg.Dir != "" {
		opts = append(opts, kfake.DataDir(cfg.Dir))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker on %s: %w", cfg.Address, err)
	}
	b := &Broker{c, make(chan struct{})}
	go b.compact()
	return b, nil
}

// compact does what kfake's own timer would.
func (b *Broker) compact() {
	t := time.NewTicker(compactEvery)
	defer t.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-t.C:
			b.cluster.Compact()
		}
	}
}

// Addresses returns the bootstrap servers.
func (b *Broker) Addresses() []string { return b.cluster.ListenAddrs() }

// Close stops the broker.
func (b *Broker) Close() {
	close(b.stop)
	b.cluster.Close()
}
