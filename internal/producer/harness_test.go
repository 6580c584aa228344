package producer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
)

const topic = "t"

func newBroker(t *testing.T, partitions int32, opts ...kfake.Opt) (*kfake.Cluster, kafka.Config) {
	t.Helper()
	b, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	conf := kafka.Defaults()
	conf.BootstrapServers = b.ListenAddrs()
	return b, conf
}

func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// read returns all records of the topic.
func read(t *testing.T, b *kfake.Cluster, conf kafka.Config) []*kgo.Record {
	t.Helper()
	n := int64(0)
	for _, p := range b.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	cl, err := conf.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var all []*kgo.Record
	for int64(len(all)) < n {
		f := cl.PollFetches(soon(t))
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, f.Records()...)
	}
	return all
}

func record(n int) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: fmt.Append(nil, n), Value: []byte("v")}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}
