package gate

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
)

// fakeSession keeps the highest mark of each partition, as sarama does.
type fakeSession struct {
	sarama.ConsumerGroupSession
	ctx    context.Context
	claims map[string][]int32

	mu    sync.Mutex
	marks map[partition]int64
	order map[partition][]int64
}

func newSession(ctx context.Context, topic string, partitions ...int32) *fakeSession {
	return &fakeSession{ctx: ctx, claims: map[string][]int32{topic: partitions}, marks: map[partition]int64{}, order: map[partition][]int64{}}
}

func (s *fakeSession) Claims() map[string][]int32 { return s.claims }
func (s *fakeSession) GenerationID() int32        { return 1 }
func (s *fakeSession) Context() context.Context   { return s.ctx }
func (s *fakeSession) MarkOffset(topic string, p int32, next int64, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := partition{topic, p}
	s.marks[id] = max(s.marks[id], next)
	s.order[id] = append(s.order[id], next)
}

func (s *fakeSession) marked(topic string, p int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[partition{topic, p}]
}

type fakeClaim struct {
	sarama.ConsumerGroupClaim
	topic     string
	partition int32
	messages  chan *sarama.ConsumerMessage
}

func newClaim(topic string, p int32) *fakeClaim {
	return &fakeClaim{topic: topic, partition: p, messages: make(chan *sarama.ConsumerMessage, 8)}
}

func (c *fakeClaim) Topic() string                            { return c.topic }
func (c *fakeClaim) Partition() int32                         { return c.partition }
func (c *fakeClaim) InitialOffset() int64                     { return 0 }
func (c *fakeClaim) HighWaterMarkOffset() int64               { return 0 }
func (c *fakeClaim) Messages() <-chan *sarama.ConsumerMessage { return c.messages }

func (c *fakeClaim) deliver(offset int64) {
	c.messages <- &sarama.ConsumerMessage{Topic: c.topic, Partition: c.partition, Offset: offset, Key: []byte("k"), Value: []byte("v")}
}

// fakeHandler hands what it gets to the test.
type fakeHandler struct {
	setup   func(sarama.ConsumerGroupSession) error
	consume func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error
	cleanup func(sarama.ConsumerGroupSession) error
}

func (h fakeHandler) Setup(s sarama.ConsumerGroupSession) error {
	if h.setup != nil {
		return h.setup(s)
	}
	return nil
}

func (h fakeHandler) Cleanup(s sarama.ConsumerGroupSession) error {
	if h.cleanup != nil {
		return h.cleanup(s)
	}
	return nil
}

func (h fakeHandler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	return h.consume(s, c)
}

// fakeGroup runs one session after the other as its function says.
type fakeGroup struct {
	sarama.ConsumerGroup
	session func(ctx context.Context, h sarama.ConsumerGroupHandler) error
}

func (g fakeGroup) Consume(ctx context.Context, _ []string, h sarama.ConsumerGroupHandler) error {
	return g.session(ctx, h)
}

// pass sends offsets of one partition through a gate and returns how to finish them, and the marked offset.
func pass(t *testing.T, offsets ...int64) (finish func(offset int64), marked func() int64) {
	t.Helper()
	raw, claim := newSession(t.Context(), "in", 0), newClaim("in", 0)
	ready, got := make(chan sarama.ConsumerGroupSession), make(chan int64)
	h := &handler{ConsumerGroupHandler: fakeHandler{consume: func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
		ready <- s
		for m := range c.Messages() {
			got <- m.Offset
		}
		return nil
	}}}
	if err := h.Setup(raw); err != nil {
		t.Fatal(err)
	}
	go h.ConsumeClaim(raw, claim)
	s := <-ready
	for _, o := range offsets {
		claim.deliver(o)
		if have := <-got; have != o {
			t.Fatalf("offset %d came as %d", o, have)
		}
	}
	t.Cleanup(func() { close(claim.messages) })
	return func(o int64) { s.MarkMessage(&sarama.ConsumerMessage{Topic: "in", Offset: o}, "") }, func() int64 { return raw.marked("in", 0) }
}

func TestOnlyTheFinishedPrefixIsMarked(t *testing.T) {
	for name, tc := range map[string]struct {
		delivered []int64
		finish    []int64
		want      []int64 // marked after each
	}{
		"in order":               {[]int64{0, 1, 2}, []int64{0, 1, 2}, []int64{1, 2, 3}},
		"late":                   {[]int64{0, 1, 2}, []int64{1, 2, 0}, []int64{0, 0, 3}},
		"one never":              {[]int64{5, 6, 7, 8}, []int64{5, 7, 8}, []int64{6, 6, 6}},
		"gaps":                   {[]int64{10, 17, 18, 90}, []int64{17, 10, 90, 18}, []int64{0, 18, 18, 91}},
		"twice":                  {[]int64{0, 1, 2}, []int64{1, 1, 0, 0, 1}, []int64{0, 0, 2, 2, 2}},
		"what was not delivered": {[]int64{3, 5}, []int64{4, 2, 99, 3, 4}, []int64{0, 0, 0, 4, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			finish, marked := pass(t, tc.delivered...)
			for i, o := range tc.finish {
				finish(o)
				if got := marked(); got != tc.want[i] {
					t.Fatalf("after %v: marked %d, want %d", tc.finish[:i+1], got, tc.want[i])
				}
			}
		})
	}
}

// TestRandomFinishes: partitions with gaps, records finished by many goroutines in any order while others arrive. The mark
// never passes a delivered record that is not finished, and is at the end when all are.
func TestRandomFinishes(t *testing.T) {
	const partitions, records = 8, 9000 // enough for the queue to be moved down
	raw := newSession(t.Context(), "in", 0, 1, 2, 3, 4, 5, 6, 7)
	h := &handler{}
	var all sync.WaitGroup
	h.ConsumerGroupHandler = fakeHandler{consume: func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
		r := rand.New(rand.NewPCG(uint64(c.Partition()), 0))
		var mu sync.Mutex
		pending := map[int64]bool{} // delivered and not finished
		check := func() {
			mark := raw.marked("in", c.Partition())
			for o := range pending {
				if o < mark {
					t.Errorf("partition %d: %d is marked, %d is not finished", c.Partition(), mark, o)
				}
			}
		}
		work := make(chan int64, 64)
		var finishers sync.WaitGroup
		for range 3 {
			finishers.Add(1)
			go func() {
				defer finishers.Done()
				for o := range work {
					mu.Lock()
					delete(pending, o)
					mu.Unlock()
					s.MarkMessage(&sarama.ConsumerMessage{Topic: "in", Partition: c.Partition(), Offset: o}, "")
				}
			}()
		}
		var window []int64
		last := int64(0)
		for m := range c.Messages() {
			mu.Lock()
			pending[m.Offset] = true
			if r.IntN(50) == 0 {
				check()
			}
			mu.Unlock()
			last = m.Offset
			if window = append(window, m.Offset); len(window) > 40 {
				i := r.IntN(len(window))
				work <- window[i]
				window = slices.Delete(window, i, i+1)
			}
		}
		r.Shuffle(len(window), func(i, j int) { window[i], window[j] = window[j], window[i] })
		for _, o := range window {
			work <- o
		}
		close(work)
		finishers.Wait()
		if got := raw.marked("in", c.Partition()); got != last+1 {
			t.Errorf("partition %d: all is finished, but %d is marked, not %d", c.Partition(), got, last+1)
		}
		return nil
	}}
	if err := h.Setup(raw); err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		c := newClaim("in", p)
		all.Add(2)
		go func() {
			defer all.Done()
			h.ConsumeClaim(raw, c)
		}()
		go func() {
			defer all.Done()
			r := rand.New(rand.NewPCG(uint64(p), 1))
			for o, n := int64(0), 0; n < records; n++ {
				c.deliver(o)
				o += 1 + int64(r.IntN(2)*r.IntN(4))
			}
			close(c.messages)
		}()
	}
	all.Wait()
	for id, order := range raw.order {
		if !slices.IsSorted(order) {
			t.Errorf("marks of %v do not rise", id)
		}
	}
	for id, p := range h.session.prefixes {
		if d := p.depth(); d != 0 || len(p.offsets) > 3*4096 {
			t.Errorf("%v: %d wait, queue of %d", id, d, len(p.offsets))
		}
	}
}

// TestForeignMarks: marks of what is no claim of this session go nowhere.
func TestForeignMarks(t *testing.T) {
	raw := newSession(t.Context(), "in", 0)
	h := &handler{ConsumerGroupHandler: fakeHandler{}}
	if err := h.Setup(raw); err != nil {
		t.Fatal(err)
	}
	h.session.MarkOffset("in", 1, 5, "")
	h.session.MarkOffset("other", 0, 5, "")
	h.session.MarkOffset("in", 0, 5, "")
	if len(raw.marks) != 0 {
		t.Fatal(raw.marks)
	}
}

// TestHandlerStopsEarly: what was handed over and not taken is not marked, and the hand-over ends.
func TestHandlerStopsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, c := newSession(t.Context(), "in", 0), newClaim("in", 0)
		h := &handler{ConsumerGroupHandler: fakeHandler{consume: func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
			s.MarkMessage(<-c.Messages(), "")
			return errors.New("enough")
		}}}
		if err := h.Setup(raw); err != nil {
			t.Fatal(err)
		}
		go func() {
			for o := range int64(20) {
				c.deliver(o)
			}
			close(c.messages)
		}()
		if err := h.ConsumeClaim(raw, c); err == nil {
			t.Fatal("no error")
		}
		for range c.messages { // sarama drains what nobody takes
		}
		synctest.Wait() // and then no goroutine is left: the bubble would not end
		if got := raw.marked("in", 0); got != 1 {
			t.Fatalf("marked %d", got)
		}
	})
}

// TestRejoins: a session that ends without an error is followed by another after a short pause, not goka's five seconds;
// an error and the end of the context end it.
func TestRejoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start, sessions := time.Now(), 0
		g := Wrap(fakeGroup{session: func(context.Context, sarama.ConsumerGroupHandler) error {
			if sessions++; sessions == 10 {
				cancel()
			}
			return nil
		}}, nil)
		if err := g.Consume(ctx, nil, fakeHandler{}); err != nil || sessions != 10 {
			t.Fatalf("%d sessions, %v", sessions, err)
		}
		if took := time.Since(start); took != 9*rejoinPause {
			t.Fatalf("ten sessions took %s", took)
		}

		broken := errors.New("broken")
		sessions = 0
		g = Wrap(fakeGroup{session: func(context.Context, sarama.ConsumerGroupHandler) error {
			if sessions++; sessions == 3 {
				return broken
			}
			return nil
		}}, nil)
		if err := g.Consume(t.Context(), nil, fakeHandler{}); !errors.Is(err, broken) || sessions != 3 {
			t.Fatalf("%d sessions, %v", sessions, err)
		}
	})
}

// TestEachSessionStartsAnew: a late mark of the session before must not pass for one of this session's, whose records were
// delivered again.
func TestEachSessionStartsAnew(t *testing.T) {
	var late sarama.ConsumerGroupSession
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var second *fakeSession
	g := Wrap(fakeGroup{session: func(ctx context.Context, h sarama.ConsumerGroupHandler) error {
		n++
		s, c := newSession(ctx, "in", 0), newClaim("in", 0)
		c.deliver(4)
		c.deliver(5)
		close(c.messages)
		if err := h.Setup(s); err != nil {
			return err
		}
		if err := h.ConsumeClaim(s, c); err != nil {
			return err
		}
		if n == 2 {
			second = s
			cancel()
		}
		return h.Cleanup(s)
	}}, nil)
	err := g.Consume(ctx, nil, fakeHandler{consume: func(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
		for m := range c.Messages() {
			if n == 2 {
				late.MarkMessage(m, "")
			}
		}
		late = s
		return nil
	}})
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if len(second.marks) != 0 {
		t.Fatalf("marks of the first session reached the second: %v", second.marks)
	}
}

// TestReady: a session that has been set up counts as ready, one that is over by then does not, and only its own partitions
// are owned, while it lasts.
func TestReady(t *testing.T) {
	ready := 0
	g := Wrap(nil, func() { ready++ })
	for _, over := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if over {
			cancel()
		}
		h, s := &handler{ConsumerGroupHandler: fakeHandler{}, group: g}, newSession(ctx, "in", 1, 2)
		if err := h.Setup(s); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 0, false: 1}[over]; ready != want {
			t.Errorf("over: %t; ready %d times, want %d", over, ready, want)
		}
		if !g.Owns(2) || g.Owns(3) {
			t.Error("owns the wrong partitions")
		}
		if err := h.Cleanup(s); err != nil {
			t.Fatal(err)
		}
		if g.Owns(2) {
			t.Error("owns partitions without a session")
		}
	}
}
