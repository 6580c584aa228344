package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

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
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, names.Events))
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
