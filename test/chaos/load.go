//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load publishes messages until it is told to stop, with pauses when it is told to.
type load struct {
	journal *journal
	addr    string
	ledger  *ledger
	names   names
	seed    uint64
	users   int
	epoch   int64

	rate    atomic.Int64 // messages a second
	narrow  atomic.Bool  // only of the busiest users
	flying  atomic.Int64 // not acknowledged yet
	resumed chan struct{}

	mu     sync.Mutex
	paused bool
	active sync.WaitGroup // those who publish and have not seen the pause yet
	client *kgo.Client
	failed int // records whose outcome is unknown
	txns   [3]int
}

// maxFlying bounds what waits for a broker that is away.
const maxFlying = 20_000

// spread puts a record where its author said, among as many partitions as there are by now.
func spread() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, n int) int { return int(r.Partition) % n }
	})
}

func producerOptions(addr string, more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.ClientID("chaos"), kgo.RecordPartitioner(spread()), kgo.ProducerLinger(2 * time.Millisecond),
		kgo.MaxBufferedRecords(2 * maxFlying), kgo.MetadataMaxAge(3 * time.Second), kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.UnknownTopicRetries(-1), // idempotent, acknowledged by all, and without any limit by default
	}, more...)
}

func newLoad(j *journal, addr string, l *ledger, n names, seed uint64, o options) (*load, error) {
	d := &load{journal: j, addr: addr, ledger: l, names: n, seed: seed, users: o.users, epoch: time.Now().Add(-time.Hour).UnixMilli(), resumed: make(chan struct{})}
	d.rate.Store(int64(o.rate))
	var err error
	d.client, err = kgo.NewClient(producerOptions(addr)...)
	return d, err
}

func (d *load) author(stream uint64) *author {
	return &author{narrow: &d.narrow, rnd: rand.New(rand.NewPCG(d.seed, stream)), ledger: d.ledger, names: d.names, users: d.users, epoch: d.epoch}
}

// begin says whether one may publish now; then end is to be called. Otherwise it waits a while for the pause to end.
func (d *load) begin(ctx context.Context) bool {
	d.mu.Lock()
	if !d.paused {
		d.active.Add(1)
		d.mu.Unlock()
		return true
	}
	resumed := d.resumed
	d.mu.Unlock()
	select {
	case <-resumed:
	case <-ctx.Done():
	}
	return false
}

// pause returns when all that was published is acknowledged, or known not to be.
func (d *load) pause(ctx context.Context) error {
	d.mu.Lock()
	d.paused = true
	d.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.active.Wait()
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		return errors.New("the publishers do not pause")
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := d.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush what was published: %w", err)
	}
	return nil
}

func (d *load) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = false
	close(d.resumed)
	d.resumed = make(chan struct{})
}

// publish sends messages one by one at the given rate until ctx ends.
func (d *load) publish(ctx context.Context) {
	a := d.author(1)
	const step = 5 * time.Millisecond
	due := 0.0
	for last := time.Now(); ctx.Err() == nil; {
		if !d.begin(ctx) {
			last = time.Now()
			continue
		}
		now := time.Now()
		due = min(due+now.Sub(last).Seconds()*float64(d.rate.Load()), 2000)
		last = now
		for ; due >= 1 && d.flying.Load() < maxFlying; due-- {
			r, number := a.next()
			d.flying.Add(1)
			d.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
				d.flying.Add(-1)
				d.outcome(r, number, published, err)
			})
		}
		d.active.Done()
		time.Sleep(step)
	}
}

// outcome notes what became of a message.
func (d *load) outcome(r *kgo.Record, number int, as fate, err error) {
	if err != nil {
		as = uncertain
		d.mu.Lock()
		d.failed++
		first := d.failed == 1
		d.mu.Unlock()
		if first {
			d.journal.note("message %d: outcome unknown: %v", number, err)
		}
	}
	d.ledger.update(number, func(m *message) { m.fate, m.partition, m.offset = as, r.Partition, r.Offset })
}

// transact sends messages in transactions and aborts some of them, until ctx ends.
func (d *load) transact(ctx context.Context) {
	a := d.author(2)
	var cl *kgo.Client
	defer func() {
		if cl != nil {
			cl.Close()
		}
	}()
	for ctx.Err() == nil {
		if !d.begin(ctx) {
			continue
		}
		if cl == nil {
			var err error
			if cl, err = kgo.NewClient(producerOptions(d.addr, kgo.TransactionalID("chaos-"+d.names.prefix), kgo.TransactionTimeout(10*time.Second))...); err != nil {
				d.journal.note("transactional client: %v", err)
			}
		}
		if cl != nil && !d.transaction(a, cl) {
			// Whatever it was, a new client with the same name ends what the old one has left open.
			cl.Close()
			cl, _ = kgo.NewClient(producerOptions(d.addr, kgo.TransactionalID("chaos-"+d.names.prefix), kgo.TransactionTimeout(10*time.Second))...)
			if cl != nil {
				ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
				_, _, _ = cl.ProducerID(ctx) // the next use tells
				cancel()
			}
		}
		d.active.Done()
		time.Sleep(time.Duration(a.rnd.IntN(300)) * time.Millisecond)
	}
}

// transaction runs one transaction and says whether the client is still good.
func (d *load) transaction(a *author, cl *kgo.Client) bool {
	n, commit, linger := 1+a.rnd.IntN(60), a.rnd.IntN(3) > 0, time.Duration(a.rnd.IntN(150))*time.Millisecond
	if err := cl.BeginTransaction(); err != nil {
		return false
	}
	type sent struct {
		r      *kgo.Record
		number int
		err    error
	}
	all := make([]sent, n)
	var waiting sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for i := range all {
		r, number := a.next()
		all[i] = sent{r: r, number: number}
		waiting.Add(1)
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			all[i].err = err
			waiting.Done()
		})
	}
	waiting.Wait()
	time.Sleep(linger)
	good := true
	for _, s := range all {
		good = good && s.err == nil
	}
	try := kgo.TransactionEndTry(commit && good)
	err := cl.EndTransaction(ctx, try)
	fate, kind := dropped, 1
	switch {
	case try == kgo.TryCommit && err == nil:
		fate, kind = published, 0
	case try == kgo.TryCommit:
		fate, kind = uncertain, 2
	}
	d.mu.Lock()
	d.txns[kind]++
	d.mu.Unlock()
	for _, s := range all {
		d.ledger.update(s.number, func(m *message) { m.fate, m.partition, m.offset = fate, s.r.Partition, s.r.Offset })
	}
	return err == nil && good
}
