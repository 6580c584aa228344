package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// stragglers is how long after the load's end an event may still be seen; one that is not is missing.
const stragglers = 10 * time.Second

// latencyResult is what one rate showed.
type latencyResult struct {
	Rate      int     `json:"rate"`
	Published float64 `json:"published_per_second"`
	IdleCPU   float64 `json:"cores_without_readers"`
	BusyCPU   float64 `json:"cores_with_readers"`
	Stream    spread  `json:"stream"`
	HTTP      spread  `json:"http"`
	Missing   int     `json:"missing"`
}

// latency measures how long an event takes from its publication to an answer that has it. It follows events of users who
// make exactly one, so that the first answer with a count of 1 is the one.
func latency(ctx context.Context, b *bench) (err error) {
	d, err := b.fill(ctx, b.plan)
	if err != nil {
		return err
	}
	perRate := int((b.duration+stragglers).Seconds()+1) * b.samples
	first := d.users
	if err := b.registerMore(ctx, d, perRate*len(b.rates)); err != nil {
		return err
	}
	p, err := b.counted(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove(ctx)) }()
	t := table{head: append([]string{"events/s", "seen by"}, append(spreadHead(), "missing", "published/s", "core, no readers", "core, readers")...)}
	for i, rate := range b.rates {
		b.logf("%s events/s for %s", thousands(int64(rate)), b.warmup+b.duration)
		r, err := b.latencyAt(ctx, p, rate, first+i*perRate)
		if err != nil {
			return err
		}
		b.record(r)
		shared := []string{strconv.Itoa(r.Missing), thousands(int64(r.Published)), percent(r.IdleCPU), percent(r.BusyCPU)}
		for _, by := range []struct {
			name string
			spread
		}{{"SSE", r.Stream}, {"HTTP", r.HTTP}} {
			t.add(slices.Concat([]string{thousands(int64(rate)), by.name}, by.cells(), shared)...)
		}
		if err := p.complete(ctx); err != nil {
			return err
		}
	}
	wrong := p.check(ctx)
	b.logf("both results exact: %v", wrong == nil)
	b.print(t)
	return wrong
}

// registerMore registers users beyond the plan's, who make no events but those they are told to.
func (b *bench) registerMore(ctx context.Context, d *data, n int) error {
	from := len(d.want.users)
	d.want.users = append(d.want.users, make([]counts, n)...)
	return b.register(ctx, d, from, from+n)
}

// latencyAt measures one rate. Users from number first on are those to follow.
func (b *bench) latencyAt(ctx context.Context, p *potok, rate, first int) (r latencyResult, err error) {
	r.Rate = rate
	asking, stopAsking := context.WithCancel(ctx)
	f := newFollower(p)
	defer f.wait()
	defer stopAsking()
	var following atomic.Bool
	tracked, sent := 0, 0
	every := rate / b.samples
	end := b.background(ctx, p.d, rate, func() event {
		e := p.d.more.draw()
		if sent++; following.Load() && sent%every == 0 {
			e.user = first + tracked
			f.published(asking, p.d.userID(e.user), b.httpSamples > 0 && tracked%(b.samples/max(b.httpSamples, 1)) == 0)
			tracked++
		}
		return e
	})
	ended := false
	finish := func() (err error) {
		if !ended {
			ended = true
			r.Published, err = end()
		}
		return err
	}
	defer func() { err = errors.Join(err, finish()) }()

	// First with nobody looking. The beginning is left out: buffers grow, pools fill.
	if err := p.process.pause(ctx, b.warmup/5); err != nil {
		return r, err
	}
	if r.IdleCPU, err = p.cores(ctx, b.warmup-b.warmup/5); err != nil {
		return r, err
	}
	if err := f.watch(asking); err != nil {
		return r, err
	}
	following.Store(true)
	if r.BusyCPU, err = p.cores(ctx, b.duration); err != nil {
		return r, err
	}
	following.Store(false)
	if err := finish(); err != nil {
		return r, err
	}
	if err := f.settle(ctx, stragglers); err != nil {
		return r, err
	}
	stopAsking()
	f.wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Stream, r.HTTP, r.Missing = spreadOf(f.stream), spreadOf(f.http), len(f.unseen)+f.unanswered
	return r, nil
}

func percent(f float64) string {
	if f == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f%%", 100*f)
}
