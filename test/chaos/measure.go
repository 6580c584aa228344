//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/kafka"
)

// measurements are what -measure can name.
var measurements = map[string]func(*bench, context.Context) error{
	"restart": (*bench).restart, "kill": (*bench).kill, "takeover": (*bench).takeover, "outage": (*bench).outage,
}

// bench is a run that measures instead of drawing faults.
type bench struct {
	*run
	w      *workshop
	probes *probes
}

// measureAll runs the measurements that were asked for, each on a run of its own.
func (w *workshop) measureAll(ctx context.Context) (ok bool, err error) {
	ok = true
	for i, name := range list(w.options.measure) {
		w := *w
		w.options.rate = min(w.options.rate, 300) // time is measured, not load
		w.options.standby = name == "takeover"
		r, finish, err := w.prepare(ctx, w.options.seed+uint64(i))
		if err != nil {
			return false, err
		}
		b := &bench{run: r, w: &w}
		if err := b.measure(ctx, name); err != nil {
			finish()
			return false, fmt.Errorf("measure %s: %w; logs are in %s", name, err, r.dir)
		}
		s, err := r.conclude(&w)
		finish()
		if err != nil {
			return false, err
		}
		ok = ok && len(s.wrong) == 0
	}
	return ok, nil
}

func (b *bench) measure(ctx context.Context, name string) error {
	working, stop := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer stop()
	helpers.Go(func() { b.load.publish(working) })
	if name == "takeover" {
		if err := b.fill(ctx); err != nil {
			return err
		}
	}
	if name != "outage" {
		b.probes = newProbes(b.run)
		helpers.Go(func() { b.probes.publish(working) })
		helpers.Go(func() { b.probes.watch(working) })
	}
	if err := b.sleep(ctx, 10*time.Second); err != nil {
		return err
	}
	for range b.o.repeat {
		if err := measurements[name](b, ctx); err != nil {
			return err
		}
	}
	return b.check(ctx, true)
}

func (b *bench) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.journal.note("%s", text)
	fmt.Fprintln(b.w.stdout, text)
}

func (b *bench) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fill publishes a user and an event for as many users as the tables are to have rows.
func (b *bench) fill(ctx context.Context) error {
	for i := range b.o.rows {
		for b.load.flying.Load() > maxFlying/2 {
			time.Sleep(time.Millisecond)
		}
		for _, users := range []bool{true, false} {
			b.load.send(message{users: users, user: int32(i + 1_000_000), timestamp: time.Now().UnixMilli(), partition: int32(i)})
		}
	}
	b.say("published %d users with an event each", b.o.rows)
	if err := b.load.pause(ctx); err != nil {
		return err
	}
	took, ok := b.settle(ctx, b.view, time.Now())
	if !ok {
		return errors.New("the tables do not fill")
	}
	b.say("lag is 0 after %s", round(took))
	b.load.resume()
	return nil
}

// restart measures a planned restart of one instance: until all that it had is processed again, by whomever.
func (b *bench) restart(ctx context.Context) error {
	m := b.instances()[0]
	began := time.Now()
	took := m.stop()
	if err := m.start(); err != nil {
		return err
	}
	gap, fresh, err := b.probes.observe(ctx, began)
	b.say("restart: %s ended after %s; longest standstill of a partition %s; all fresh again %s after SIGTERM (%s)", m.name, round(took), round(gap.worst), round(fresh), gap)
	return err
}

// kill measures kill -9 and a restart at once, within the session time-out.
func (b *bench) kill(ctx context.Context) error {
	m := b.instances()[0]
	began := time.Now()
	m.kill()
	if err := m.start(); err != nil {
		return err
	}
	gap, fresh, err := b.probes.observe(ctx, began)
	b.say("kill -9 and restart: longest standstill of a partition %s; all fresh again after %s (%s)", round(gap.worst), round(fresh), gap)
	return err
}

// takeover measures kill -9 without a restart: until others process what the instance had.
func (b *bench) takeover(ctx context.Context) error {
	m := b.instances()[0]
	began := time.Now()
	m.kill()
	gap, fresh, err := b.probes.observe(ctx, began)
	b.say("take-over at a session time-out of %s, %d rows: longest standstill of a partition %s; all fresh again after %s (%s)", b.o.session, b.o.rows, round(gap.worst), round(fresh), gap)
	if err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	_, _, err = b.probes.observe(ctx, time.Now())
	return err
}

// outage kills the broker, starts it again after a while, and watches what the instances say about it.
func (b *bench) outage(ctx context.Context) error {
	if err := b.broker.kill(ctx); err != nil {
		return err
	}
	began := time.Now()
	b.say("the broker is down for %s", b.o.outage)
	unready, texts := map[string]time.Duration{}, map[string]string{}
	for time.Since(began) < b.o.outage && ctx.Err() == nil {
		for _, m := range append(b.instances(), b.view) {
			if !m.running() {
				b.journal.wrong("%s has ended while the broker is down", m.name)
			}
			answer := fetch(m.url("/readyz"))
			if strings.HasPrefix(answer, "503") {
				if _, ok := unready[m.name]; !ok {
					unready[m.name] = time.Since(began)
				}
				texts[m.name] = answer
			}
		}
		time.Sleep(time.Second)
	}
	for _, m := range append(b.instances(), b.view) {
		if at, ok := unready[m.name]; ok {
			b.say("%s: /readyz is 503 after %s: %.1500s", m.name, round(at), strings.TrimSpace(texts[m.name]))
		} else {
			b.journal.wrong("/readyz of %s never says that the broker is away", m.name)
		}
	}
	if err := b.broker.start(ctx); err != nil {
		return err
	}
	back := time.Now()
	if err := b.ready(ctx); err != nil {
		return err
	}
	b.say("all ready %s after the broker's return", round(time.Since(back)))
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// probes are users that are heard of all the time: one for each pair of a raw partition of events and a partition of
// Potok's own. How old the newest of its events is that the view knows of tells whether both are being processed.
type probes struct {
	r     *run
	users []probe

	mu    sync.Mutex
	since time.Time // of the observation
	worst []time.Duration
	now   []time.Duration
	polls int
}

type probe struct {
	user     int32
	raw, own int32
	newest   time.Time
}

const probeEvery = 100 * time.Millisecond

func newProbes(r *run) *probes {
	p := &probes{r: r}
	next := int32(9_000_000)
	for raw := range int32(eventsPartitions) {
		for own := range int32(r.o.partitions) {
			for ; kafka.PartitionOf([]byte(userID(next)), int32(r.o.partitions)) != own; next++ {
			}
			p.users = append(p.users, probe{user: next, raw: raw, own: own, newest: time.Now()})
			next++
		}
	}
	p.worst, p.now = make([]time.Duration, len(p.users)), make([]time.Duration, len(p.users))
	return p
}

func (p *probes) publish(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if p.r.load.begin(ctx) {
			for _, u := range p.users {
				p.r.load.send(message{user: u.user, timestamp: time.Now().UnixMilli(), partition: u.raw})
			}
			p.r.load.active.Done()
		}
		<-tick.C
	}
}

// watch asks the view for the probes again and again.
func (p *probes) watch(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		for i := range p.users {
			var row struct {
				Last *time.Time `json:"last_event_at"`
			}
			asked := time.Now()
			if _, err := ask(p.r.view.url(""), "/v1/users/"+url.PathEscape(userID(p.users[i].user)), &row); err != nil || row.Last == nil {
				continue
			}
			p.mu.Lock()
			p.now[i] = asked.Sub(*row.Last)
			if !p.since.IsZero() {
				p.worst[i] = max(p.worst[i], p.now[i])
			}
			p.mu.Unlock()
		}
		p.mu.Lock()
		p.polls++
		p.mu.Unlock()
	}
}

// standstill is the longest time for which nothing of a pair of partitions was processed.
type standstill struct {
	worst, median time.Duration
	byRaw, byOwn  []time.Duration
}

func (s standstill) String() string {
	return fmt.Sprintf("median of all pairs %s; by raw partition %v; by own partition %v", round(s.median), s.byRaw, s.byOwn)
}

const (
	fresh       = time.Second     // a pair that is processed lags less
	freshFor    = 5 * time.Second // and goes on to
	observeTime = 90 * time.Second
)

// observe waits until all pairs are processed and have been for a while.
func (p *probes) observe(ctx context.Context, began time.Time) (s standstill, until time.Duration, err error) {
	p.mu.Lock()
	p.since = began
	clear(p.worst)
	enough := p.polls + 2 // whole rounds since the beginning
	p.mu.Unlock()
	last := time.Now() // when something was not fresh
	for deadline := time.Now().Add(observeTime); time.Since(last) < freshFor; time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		if p.polls < enough || slices.Max(p.now) > fresh {
			last = time.Now()
		}
		p.mu.Unlock()
		if ctx.Err() != nil {
			return s, 0, ctx.Err()
		}
		if time.Now().After(deadline) {
			err = fmt.Errorf("partitions stand still for %s", observeTime)
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = time.Time{}
	s.worst, s.byRaw, s.byOwn = slices.Max(p.worst), make([]time.Duration, eventsPartitions), make([]time.Duration, p.r.o.partitions)
	for i, u := range p.users {
		s.byRaw[u.raw] = max(s.byRaw[u.raw], round(p.worst[i]))
		s.byOwn[u.own] = max(s.byOwn[u.own], round(p.worst[i]))
	}
	s.median = slices.Sorted(slices.Values(p.worst))[len(p.worst)/2]
	return s, last.Sub(began), err
}

// send publishes a message of the caller's choice.
func (d *load) send(m message) {
	topic, partition := d.names.events, m.partition
	if m.users {
		topic = d.names.users
	}
	number := d.ledger.add(m)
	a := author{names: d.names}
	r := &kgo.Record{Topic: topic, Partition: partition, Value: a.value(m, number), Timestamp: time.UnixMilli(m.timestamp), Headers: numberHeader(number)}
	d.flying.Add(1)
	d.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		d.flying.Add(-1)
		d.outcome(r, number, published, err)
	})
}
