package gate

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"log"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
)

type fakeTopics struct{ goka.TopicManager }

func (fakeTopics) EnsureTableExists(string, int) error           { return nil }
func (fakeTopics) EnsureStreamExists(string, int) error          { return nil }
func (fakeTopics) Partitions(string) ([]int32, error)            { return []int32{0}, nil }
func (fakeTopics) GetOffset(string, int32, int64) (int64, error) { return 0, nil }
func (fakeTopics) Close() error                                  { return nil }

type fakeConsumer struct{ sarama.Consumer }

func (fakeConsumer) Close() error                               { return nil }
func (fakeConsumer) HighWaterMarks() map[string]map[int32]int64 { return nil }

func (g fakeGroup) Errors() <-chan error { return make(chan error) }
func (g fakeGroup) Close() error         { return nil }

// fakeProducer gives the test the promise of each write, by its number.
type fakeProducer struct {
	mu       sync.Mutex
	promises []goka.PromiseFinisher
	wrote    chan int
}

func (p *fakeProducer) Emit(string, string, []byte) *goka.Promise {
	promise, finish := goka.NewPromiseWithFinisher()
	p.mu.Lock()
	p.promises = append(p.promises, finish)
	n := len(p.promises) - 1
	p.mu.Unlock()
	p.wrote <- n
	return promise
}

func (p *fakeProducer) EmitWithHeaders(t, k string, v []byte, _ goka.Headers) *goka.Promise {
	return p.Emit(t, k, v)
}
func (p *fakeProducer) Close() error { return nil }

// runGoka runs a goka processor over records 0, 1 and 2 and lets the test complete their writes; it returns the offset
// that is committed at the end of the session. skip is the offset of a record that the callback ignores.
func runGoka(t *testing.T, gated bool, skip int64, complete func(finish []goka.PromiseFinisher)) int64 {
	t.Helper()
	out := &fakeProducer{wrote: make(chan int, 16)}
	var raw *fakeSession
	writes := 3
	if skip >= 0 {
		writes--
	}
	skipped := make(chan struct{}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var group sarama.ConsumerGroup = fakeGroup{session: func(ctx context.Context, h sarama.ConsumerGroupHandler) error {
		session, end := context.WithCancel(ctx)
		defer end()
		raw = newSession(session, "in", 0)
		c := newClaim("in", 0)
		if err := h.Setup(raw); err != nil {
			return err
		}
		go func() {
			for o := range int64(3) {
				c.messages <- &sarama.ConsumerMessage{Topic: "in", Key: fmt.Append(nil, o), Value: []byte("v"), Offset: o}
			}
			for range writes {
				<-out.wrote
			}
			if skip >= 0 {
				<-skipped
			}
			complete(out.promises)
			cancel()
			close(c.messages)
		}()
		err := h.ConsumeClaim(raw, c)
		end()
		return errors.Join(err, h.Cleanup(raw))
	}}
	if gated {
		group = Wrap(group, nil)
	}
	callback := func(ctx goka.Context, _ any) {
		if ctx.Offset() == skip {
			skipped <- struct{}{}
			return
		}
		ctx.SetValue("x")
	}
	p, err := goka.NewProcessor([]string{"none"}, goka.DefineGroup("g", goka.Input("in", new(codec.String), callback), goka.Persist(new(codec.String))),
		goka.WithTopicManagerBuilder(func([]string) (goka.TopicManager, error) { return fakeTopics{}, nil }),
		goka.WithConsumerSaramaBuilder(func([]string, string) (sarama.Consumer, error) { return fakeConsumer{}, nil }),
		goka.WithConsumerGroupBuilder(func([]string, string, string) (sarama.ConsumerGroup, error) { return group, nil }),
		goka.WithProducerBuilder(func([]string, string, func() hash.Hash32) (goka.Producer, error) { return out, nil }),
		goka.WithStorageBuilder(storage.MemoryBuilder()),
		goka.WithLogger(log.New(io.Discard, "", 0)),
	)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Run(ctx) // with an error where a write failed
	return raw.marked("in", 0)
}

// TestGoka shows with goka itself that it commits past what is in flight or has failed, and that the gate does not.
func TestGoka(t *testing.T) {
	ok := func(f goka.PromiseFinisher) { f(&sarama.ProducerMessage{}, nil) }
	failed := errors.New("write failed")
	for name, tc := range map[string]struct {
		skip        int64
		complete    func(finish []goka.PromiseFinisher)
		want, naked int64 // committed, with the gate and without
	}{
		"all acknowledged, the first last": {-1, func(f []goka.PromiseFinisher) { ok(f[1]); ok(f[2]); ok(f[0]) }, 3, 3},
		"the first write fails": {-1, func(f []goka.PromiseFinisher) {
			ok(f[1])
			ok(f[2])
			f[0](nil, failed)
		}, 0, 3},
		"the second write fails": {-1, func(f []goka.PromiseFinisher) {
			ok(f[0])
			ok(f[2])
			f[1](nil, failed)
		}, 1, 3},
		"a record without a write between": {1, func(f []goka.PromiseFinisher) { ok(f[1]); f[0](nil, failed) }, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := runGoka(t, true, tc.skip, tc.complete); got != tc.want {
				t.Errorf("committed %d, want %d", got, tc.want)
			}
			if got := runGoka(t, false, tc.skip, tc.complete); got != tc.naked {
				t.Errorf("without the gate goka committed %d, not %d: is the gate still needed?", got, tc.naked)
			}
		})
	}
}
