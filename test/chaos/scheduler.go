//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// kind is a fault that can be drawn. What it needs is taken for it alone, so that two faults at a time do not meet.
type kind struct {
	name   string
	what   string
	weight int
	takes  int // instances, or allOfThem
	broker bool
	view   bool
	do     func(*fault, context.Context)
}

const allOfThem = -1

// fault is one that has been drawn.
type fault struct {
	*run
	rnd     *rand.Rand // of this fault alone, so that what it decides does not depend on the others
	targets []*member
}

// scheduler draws faults and runs a few at a time.
type scheduler struct {
	r     *run
	rnd   *rand.Rand
	kinds []kind
	drawn int
}

func newScheduler(r *run) *scheduler {
	s := &scheduler{r: r, rnd: rand.New(rand.NewPCG(r.seed, 4))}
	only := list(r.o.faults)
	for _, k := range kinds() {
		if len(only) == 0 || slices.Contains(only, k.name) {
			s.kinds = append(s.kinds, k)
		}
	}
	return s
}

func (s *scheduler) draw() kind {
	total := 0
	for _, k := range s.kinds {
		total += k.weight
	}
	n := s.rnd.IntN(total)
	for _, k := range s.kinds {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	return s.kinds[0]
}

// run draws faults for a while, and returns when all of them are over. A fault that has begun is brought to its end.
func (s *scheduler) run(ctx context.Context, d time.Duration) {
	drawing, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var going sync.WaitGroup
	defer going.Wait()
	slots := make(chan struct{}, s.r.o.parallel)
	for {
		k, gap := s.draw(), time.Duration(300+s.rnd.IntN(3000))*time.Millisecond
		s.drawn++
		f := &fault{run: s.r, rnd: rand.New(rand.NewPCG(s.r.seed, uint64(1000+s.drawn)))}
		select {
		case <-time.After(gap):
		case <-drawing.Done():
			return
		}
		select {
		case slots <- struct{}{}:
		case <-drawing.Done():
			return
		}
		if !f.take(drawing, k) {
			return
		}
		s.r.summary.count(k.name)
		going.Go(func() {
			defer func() { <-slots }()
			defer f.giveBack(k)
			began := time.Now()
			k.do(f, ctx)
			var names []string
			for _, m := range f.targets {
				names = append(names, m.name)
			}
			s.r.journal.note("fault %s %s is over after %s", k.name, strings.Join(names, ","), time.Since(began).Round(10*time.Millisecond))
		})
	}
}

// take waits until what the fault needs is free. It says no when ctx has ended before.
func (f *fault) take(ctx context.Context, k kind) bool {
	stop := context.AfterFunc(ctx, func() { // wakes the waiting
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	order := f.rnd.Perm(maxInstances)
	for ; ctx.Err() == nil; f.changed.Wait() {
		if k.broker && f.brokerBusy || k.view && f.viewBusy {
			continue
		}
		n := k.takes
		if n == allOfThem {
			n = len(f.members)
		}
		var chosen []*member
		for _, i := range order {
			if i < len(f.members) && len(chosen) < n {
				chosen = append(chosen, f.members[i])
			}
		}
		if len(chosen) < n || slices.ContainsFunc(chosen, func(m *member) bool { return f.busy[m] }) {
			continue
		}
		for _, m := range chosen {
			f.busy[m] = true
		}
		f.brokerBusy, f.viewBusy = f.brokerBusy || k.broker, f.viewBusy || k.view
		f.targets = chosen
		return true
	}
	return false
}

func (f *fault) giveBack(k kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.targets {
		delete(f.busy, m)
	}
	if k.broker {
		f.brokerBusy = false
	}
	if k.view {
		f.viewBusy = false
	}
	f.changed.Broadcast()
}

// sleep waits for a time between two bounds.
func (f *fault) sleep(ctx context.Context, least, most time.Duration) {
	d := least
	if most > least {
		d += time.Duration(f.rnd.Int64N(int64(most - least)))
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
