package producer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/internal/kafka"
)

func nobody(string, int32, int64) {}

// inFlight watches produce requests for a second record of a key: it sees what is sent and when it is acknowledged.
type inFlight struct {
	mu   sync.Mutex
	keys map[string]int
	bad  []string
}

func (f *inFlight) OnProduceRecordBuffered(r *kgo.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys[string(r.Key)]++; f.keys[string(r.Key)] > 1 {
		f.bad = append(f.bad, string(r.Key))
	}
}

func (f *inFlight) OnProduceRecordUnbuffered(r *kgo.Record, _ error) {
	f.mu.Lock()
	f.keys[string(r.Key)]--
	f.mu.Unlock()
}

// TestChangelog: many goroutines, few keys, acknowledgements that come late and are lost. Every promise is completed once,
// after its acknowledgement was told of, in the order of offsets; the topic ends with each key's last value.
func TestChangelog(t *testing.T) {
	const workers, keysEach, rounds, partitions = 6, 5, 300, 4
	b, conf := newBroker(t, partitions)
	b.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotEnoughReplicasAfterAppend, Count: 8},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: 4},
	)
	watch := &inFlight{keys: map[string]int{}}
	c := newClient(t, Options{Kafka: conf, Linger: time.Millisecond, Extra: []kgo.Opt{kgo.WithHooks(watch)}})
	var mu sync.Mutex
	told := map[int32]int64{}
	p := NewChangelog(c, func(_ string, partition int32, offset int64) {
		mu.Lock()
		defer mu.Unlock()
		if last, ok := told[partition]; ok && offset <= last {
			t.Errorf("partition %d: offset %d is told of after %d", partition, offset, last)
		}
		told[partition] = offset
	})
	var completed, writers sync.WaitGroup
	var total atomic.Int64
	for w := range workers {
		writers.Add(1)
		go func() {
			defer writers.Done()
			r := rand.New(rand.NewPCG(uint64(w), 0))
			for n := range rounds {
				k := r.IntN(keysEach)
				key := fmt.Sprint(w, "/", k)
				if w == 0 && k == 0 {
					key = "" // a key like any other
				}
				value := binary.BigEndian.AppendUint64(nil, uint64(n))
				completed.Add(1)
				var times atomic.Int32
				p.Emit(topic, key, value).ThenWithMessage(func(m *sarama.ProducerMessage, err error) {
					if err != nil || times.Add(1) != 1 {
						t.Errorf("completed %d times, %v", times.Load(), err)
						return
					}
					mu.Lock()
					if last, ok := told[m.Partition]; !ok || last < m.Offset {
						t.Errorf("offset %d of partition %d was not told of before its promise", m.Offset, m.Partition)
					}
					mu.Unlock()
					if want := kafka.PartitionOf([]byte(key), partitions); m.Partition != want {
						t.Errorf("key %q went to partition %d, not %d", key, m.Partition, want)
					}
					total.Add(1)
					completed.Done()
				})
			}
			for k := range keysEach { // the last value of each
				key := fmt.Sprint(w, "/", k)
				if w == 0 && k == 0 {
					key = ""
				}
				completed.Add(1)
				p.Emit(topic, key, binary.BigEndian.AppendUint64(nil, rounds+uint64(k))).Then(func(error) { completed.Done() })
			}
		}()
	}
	done := make(chan struct{})
	go func() { writers.Wait(); completed.Wait(); close(done) }()
	select {
	case <-done:
	case <-soon(t).Done():
		t.Fatal("promises wait for ever")
	}
	if n := total.Load(); n != workers*rounds {
		t.Errorf("%d promises were kept", n)
	}
	watch.mu.Lock()
	if len(watch.bad) != 0 {
		t.Errorf("two records at a time of keys %q", watch.bad)
	}
	watch.mu.Unlock()
	all := read(t, b, conf)
	if len(all) >= workers*(rounds+keysEach) {
		t.Errorf("%d records: no value was passed over", len(all))
	}
	last := map[string]uint64{}
	for _, r := range all { // each key in its partition's order
		v := binary.BigEndian.Uint64(r.Value)
		if old, ok := last[string(r.Key)]; ok && v < old {
			t.Errorf("key %q: %d after %d", r.Key, v, old)
		}
		last[string(r.Key)] = v
	}
	if len(last) != workers*keysEach {
		t.Errorf("%d keys", len(last))
	}
	for k, v := range last {
		if v < rounds {
			t.Errorf("key %q ends with %d", k, v)
		}
	}
	p.mu.Lock()
	if len(p.slots) != 0 || p.bytes != 0 {
		t.Errorf("%d keys and %d bytes are left", len(p.slots), p.bytes)
	}
	p.mu.Unlock()
}

// TestNewestValueWins: while a record is in flight, only the newest value of its key waits; one acknowledgement stands for
// all that it passes over.
func TestNewestValueWins(t *testing.T) {
	b, conf := newBroker(t, 1)
	release, held := hold(b)
	defer release()
	p := NewChangelog(newClient(t, Options{Kafka: conf}), nobody)
	var offsets [5]chan int64
	for n := range offsets {
		offsets[n] = make(chan int64, 1)
		p.Emit(topic, "k", fmt.Append(nil, n)).ThenWithMessage(func(m *sarama.ProducerMessage, err error) {
			if err != nil {
				t.Error(err)
			}
			offsets[n] <- m.Offset
		})
		if n == 0 {
			eventually(t, "the first is on its way", func() bool { return held.Load() > 0 })
		}
	}
	release()
	for n, want := range []int64{0, 1, 1, 1, 1} {
		if got := <-offsets[n]; got != want {
			t.Errorf("value %d is at offset %d, want %d", n, got, want)
		}
	}
	all := read(t, b, conf)
	if len(all) != 2 || string(all[0].Value) != "0" || string(all[1].Value) != "4" {
		t.Errorf("%d records: %+v", len(all), all)
	}
}

// TestFailureCompletesAll: those in flight, those that wait behind them, those that come later, each once and all with one
// error.
func TestFailureCompletesAll(t *testing.T) {
	for name, end := range map[string]func(*kfake.Cluster, *Changelog, func()) error{
		"the broker refuses": func(b *kfake.Cluster, _ *Changelog, release func()) error {
			b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
			release()
			return kerr.TopicAuthorizationFailed
		},
		"it is closed": func(_ *kfake.Cluster, p *Changelog, _ func()) error {
			if err := p.Close(); err != nil {
				return err
			}
			return ErrClosed
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, conf := newBroker(t, 4)
			release, held := hold(b)
			defer release()
			p := NewChangelog(newClient(t, Options{Kafka: conf}), nobody)
			const n = 90
			var times [n]atomic.Int32
			errs := make(chan error, n)
			emit := func(i int) {
				p.Emit(topic, fmt.Sprint(i%30), []byte("v")).Then(func(err error) { times[i].Add(1); errs <- err })
			}
			for i := range 60 {
				emit(i)
			}
			eventually(t, "a request is on its way", func() bool { return held.Load() > 0 })
			want := end(b, p, release)
			for i := 60; i < n; i++ {
				emit(i)
			}
			for range n {
				select {
				case err := <-errs:
					if !errors.Is(err, want) {
						t.Fatalf("failed with %v, want %v", err, want)
					}
				case <-soon(t).Done():
					t.Fatal("a promise waits for ever")
				}
			}
			for i := range times {
				if times[i].Load() != 1 {
					t.Errorf("promise %d was completed %d times", i, times[i].Load())
				}
			}
			eventually(t, "nothing is left", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.slots) == 0 && p.bytes == 0
			})
		})
	}
}

// TestBackPressure: with the broker silent Emit blocks at the bound, and goes on, or fails, with it.
func TestBackPressure(t *testing.T) {
	for name, fail := range map[string]bool{"the broker answers": false, "the client is closed": true} {
		t.Run(name, func(t *testing.T) {
			b, conf := newBroker(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "104857600"}))
			release, _ := hold(b)
			defer release()
			p := NewChangelog(newClient(t, Options{Kafka: conf}), nobody)
			value := bytes.Repeat([]byte("v"), 4<<20)
			var emitted atomic.Int32
			var completed sync.WaitGroup
			done := make(chan struct{})
			go func() {
				defer close(done)
				for n := range 40 {
					completed.Add(1)
					p.Emit(topic, fmt.Sprint(n%25), value).Then(func(error) { completed.Done() })
					emitted.Add(1)
				}
				completed.Wait()
			}()
			full := func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.bytes >= maxBytesInFlight
			}
			eventually(t, "the bound is reached", full)
			if n := emitted.Load(); int(n) > maxBytesInFlight/len(value) {
				t.Errorf("%d values of %d bytes were taken", n, len(value))
			}
			if fail {
				p.Close()
			} else {
				release()
			}
			select {
			case <-done:
			case <-soon(t).Done():
				t.Fatal("Emit waits for ever")
			}
		})
	}
}
