package kafka

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"
)

// TestSaramaMeasuresNothing: sarama asks, fetches and publishes with our configuration, and no metric comes of it.
func TestSaramaMeasuresNothing(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c := Defaults()
	c.BootstrapServers = cluster.ListenAddrs()
	conf, err := c.Sarama(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	conf.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer(c.BootstrapServers, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: "t", Value: sarama.StringEncoder("hello")}); err != nil {
		t.Fatal(err)
	}
	consumer, err := sarama.NewConsumer(c.BootstrapServers, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition("t", 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	defer partition.Close()
	select {
	case m := <-partition.Messages():
		if string(m.Value) != "hello" {
			t.Errorf("read %q", m.Value)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing to read")
	}
	conf.MetricRegistry.Each(func(name string, _ any) { t.Errorf("%s is registered", name) })
	if all := conf.MetricRegistry.GetAll(); len(all) > 0 {
		t.Errorf("metrics %v", all)
	}
	// Before it encodes a fetch request it finds out how long that will be, and then counts it without asking for a registry.
	metrics.Each(func(name string, _ any) {
		if !strings.HasPrefix(name, "consumer-fetch-rate-for-topic-") {
			t.Errorf("%s is registered with all the process", name)
		}
	})
}

// TestUnmeasured: whatever is asked for is of the type that the caller asserts, does nothing and is not kept.
func TestUnmeasured(t *testing.T) {
	t.Parallel()
	r := newUnmeasured()
	sample := metrics.NewUniformSample(1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, got := range []any{
				metrics.GetOrRegisterCounter("", r), r.GetOrRegister("", metrics.NewCounter()),
				metrics.GetOrRegisterGauge("", r), r.GetOrRegister("", metrics.NewGauge()),
				metrics.GetOrRegisterGaugeFloat64("", r), r.GetOrRegister("", metrics.NewGaugeFloat64()),
				metrics.GetOrRegisterHistogram("", r, sample), r.GetOrRegister("", metrics.NewHistogram(sample)),
				metrics.GetOrRegisterMeter("", r), r.GetOrRegister("", new(metrics.StandardMeter)),
				metrics.GetOrRegisterTimer("", r), r.GetOrRegister("", new(metrics.StandardTimer)),
			} {
				switch got.(type) {
				case metrics.NilCounter, metrics.NilGauge, metrics.NilGaugeFloat64, metrics.NilHistogram, metrics.NilMeter, metrics.NilTimer:
				default:
					t.Errorf("%T measures", got)
				}
			}
			if err := r.Register("counter", metrics.NewCounter()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.Each(func(name string, _ any) { t.Errorf("%s is registered", name) })
	if m := r.Get("counter"); m != nil {
		t.Errorf("kept %v", m)
	}
	r.Unregister("counter")
	r.UnregisterAll()

	// Kinds that are not known.
	check := metrics.NewHealthcheck(func(metrics.Healthcheck) {})
	if got := r.GetOrRegister("", check); got != check {
		t.Errorf("got %v", got)
	}
	if got := r.GetOrRegister("", func() metrics.Healthcheck { return check }); got != check {
		t.Errorf("got %v", got)
	}
	if got := r.GetOrRegister("", nil); got != nil {
		t.Errorf("got %v", got)
	}
}
