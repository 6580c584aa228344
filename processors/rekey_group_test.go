package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/topology"
)

// TestUnownedPartition: a stable group has a partition that nobody owns, as when a static member dies between the two
// halves of a cooperative rebalance and is back before anybody has noticed. The group hands it out all the same.
func TestUnownedPartition(t *testing.T) {
	t.Parallel()
	names := codecs.DefaultNames()
	c, conf := newBroker(t, names, 2)
	var half atomic.Bool // the first assignment has been cut to one partition
	c.ControlKey(int16(kmsg.SyncGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := request.(*kmsg.SyncGroupRequest)
		if r.Group == names.RekeyEventsGroup() && len(r.GroupAssignment) == 1 && half.CompareAndSwap(false, true) {
			only := kmsg.NewConsumerMemberAssignment()
			only.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: names.Events, Partitions: []int32{0}}}
			r.GroupAssignment[0].MemberAssignment = only.AppendTo(nil)
		}
		return nil, nil, false
	})
	stage := RekeyEvents(names)
	stage.Kafka, stage.Instance, stage.Logger = conf, "a", slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx, func() {}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	cl, err := conf.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	for p := range int32(2) {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: names.Events, Partition: p, Value: rawEvent("u", "click")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(cl)
	for end, problem := time.Now().Add(30*time.Second), errors.New("not asked"); problem != nil; time.Sleep(20 * time.Millisecond) {
		offsets, err := kafka.Committed(t.Context(), admin, names.RekeyEventsGroup())
		if problem = err; err == nil {
			for p := range int32(2) {
				if o := offsets[names.Events][p]; o.At != 1 {
					problem = fmt.Errorf("partition %d is committed up to %d, want 1", p, o.At)
				}
			}
		}
		if problem != nil && time.Now().After(end) {
			t.Fatal(problem)
		}
	}
	if !half.Load() {
		t.Error("all partitions were owned from the start")
	}
}

// TestLiveLoad: a batch of a live load takes a few fetches, however many messages come one by one; it is committed now and then and
// not with each batch, what is left when the load ends is committed soon, and what is left when the stage stops, at once.
func TestLiveLoad(t *testing.T) {
	t.Parallel()
	names := codecs.DefaultNames()
	c, conf := newBroker(t, names, 1)
	var commits, fetches atomic.Int64
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	c.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		commits.Add(1)
		return nil, nil, false
	})
	cl, err := conf.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	admin := kadm.NewClient(cl)
	committed := func() int64 {
		offsets, err := kafka.Committed(t.Context(), admin, names.RekeyEventsGroup())
		if err != nil {
			t.Fatal(err)
		}
		return offsets[names.Events][0].At
	}
	published := int64(0)
	publish := func() {
		r := &kgo.Record{Topic: names.Events, Value: rawEvent("u", "click")}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		published++
	}
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	stage := RekeyEvents(names)
	stage.Kafka, stage.Instance, stage.Logger, stage.Metrics = conf, "a", slog.New(slog.DiscardHandler), metrics
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx, func() {}) }()

	publishUntil := func(batches uint64) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); sampleCount(t, registry, "potok_flush_records") < batches; {
			if time.Now().After(deadline) {
				t.Fatalf("no %d batches after 20 s", batches)
			}
			publish()
		}
	}
	begin := time.Now()
	publishUntil(50)
	t.Logf("50 batches of %d messages in %s: %d fetches, %d commits", published, time.Since(begin), fetches.Load(), commits.Load())
	if most := int64(4 * 50); published < 2*most || fetches.Load() > most {
		t.Errorf("%d fetches of %d messages, want %d at most, and many more messages", fetches.Load(), published, most)
	}
	if most := int64(time.Since(begin)/commitInterval) + 1; commits.Load() > most {
		t.Errorf("%d commits in %s, want %d at most", commits.Load(), time.Since(begin), most)
	}
	for deadline := time.Now().Add(20 * time.Second); committed() != published; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("committed up to %d of %d", committed(), published)
		}
	}

	publishUntil(sampleCount(t, registry, "potok_flush_records") + 5) // the first is committed at once, the others are not
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if read := int64(testutil.ToFloat64(metrics.records.WithLabelValues(stage.Name()))); committed() != read {
		t.Errorf("committed up to %d after the stop, %d records were read", committed(), read)
	}
}

// newBroker returns a broker with so many raw partitions of events, and Potok's topics.
func newBroker(t *testing.T, names codecs.Names, partitions int32) (*kfake.Cluster, kafka.Config) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, names.Events))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	conf := kafka.Defaults()
	conf.BootstrapServers = c.ListenAddrs()
	m, err := topology.NewManager(t.Context(), topology.Config{Names: names, Partitions: 1}, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, conf
}

// sampleCount returns how often a histogram was told something, over all its labels.
func sampleCount(t *testing.T, registry *prometheus.Registry, name string) (n uint64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}
