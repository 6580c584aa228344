package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"
)

// compared is what one build did while the others did the same beside it.
type compared struct {
	Build   string  `json:"build"`
	Seconds float64 `json:"backlog_seconds"`
	Backlog usage   `json:"backlog"`
	Cores   float64 `json:"cores_live"`
	Exact   bool    `json:"exact"`
}

// compare runs builds at the same time on the same topics: first they count what is there, then what comes in. What the machine
// does to one of them it does to all, so that small differences in CPU time show that no runs one after the other would.
func compare(ctx context.Context, b *bench) (err error) {
	d, err := b.fill(ctx, b.plan)
	if err != nil {
		return err
	}
	var all []*potok
	for _, binary := range append([]string{b.potok}, b.against...) {
		p, err := b.newPotok(d)
		if err != nil {
			return err
		}
		p.binary = binary
		defer func() { err = errors.Join(err, p.remove(ctx)) }()
		if err := p.start(ctx, "run"); err != nil {
			return err
		}
		all = append(all, p)
	}
	results := make([]compared, len(all))
	err = together(all, func(i int, p *potok) (err error) {
		r := &results[i]
		r.Build = p.binary
		if err := p.complete(ctx); err != nil {
			return err
		}
		r.Seconds = time.Since(p.process.started).Seconds()
		if r.Backlog, err = p.process.usage(); errors.Is(err, errUnmeasured) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	b.logf("%s events/s for %s", thousands(int64(b.writeRate)), b.warmup+b.duration)
	end := b.background(ctx, d, b.writeRate, d.more.draw)
	err = together(all, func(i int, p *potok) (err error) {
		if err := p.process.pause(ctx, b.warmup); err != nil {
			return err
		}
		results[i].Cores, err = p.cores(ctx, b.duration)
		return err
	})
	_, endErr := end()
	if err := errors.Join(err, endErr); err != nil {
		return err
	}
	var wrong error
	t := table{head: []string{"build", "backlog s", "CPU s", "ratio", "peak MB", "wrote MB", "live, % of a core", "ratio", "exact"}}
	for i, p := range all {
		if err := p.complete(ctx); err != nil {
			return err
		}
		r, first := &results[i], results[0]
		checked := p.check(ctx)
		r.Exact, wrong = checked == nil, errors.Join(wrong, checked)
		b.record(*r)
		t.add(filepath.Base(r.Build), decimal(r.Seconds), decimal(r.Backlog.CPU), ratio(r.Backlog.CPU, first.Backlog.CPU),
			mb(r.Backlog.Peak), mb(r.Backlog.Written), decimal(100*r.Cores), ratio(r.Cores, first.Cores), yes(r.Exact))
	}
	b.print(t)
	return wrong
}

// together does the same with all at the same time, and waits for all.
func together(all []*potok, do func(i int, p *potok) error) error {
	errs := make([]error, len(all))
	var work sync.WaitGroup
	for i, p := range all {
		work.Go(func() { errs[i] = do(i, p) })
	}
	work.Wait()
	return errors.Join(errs...)
}
