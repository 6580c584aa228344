package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// defaultPartitions is how many partitions Potok's own topics have by default.
const defaultPartitions = 16

// growth measures throughput as the data grow: more users, more events, more partitions.
func growth(ctx context.Context, b *bench) error {
	type size struct {
		name string
		plan plan
	}
	with := func(name string, change func(*plan)) size {
		p := b.plan
		change(&p)
		return size{name, p}
	}
	sizes := []size{
		{"base", b.plan},
		with(fmt.Sprintf("%d× users", b.factor), func(p *plan) { p.users *= b.factor }),
		with(fmt.Sprintf("%d× events", b.factor), func(p *plan) { p.events *= b.factor }),
		with(fmt.Sprintf("%d× both", b.factor), func(p *plan) { p.users *= b.factor; p.events *= b.factor }),
	}
	for _, n := range b.counts {
		sizes = append(sizes, with(fmt.Sprintf("%d partitions", n), func(p *plan) { p.partitions = n }))
	}
	t := table{head: []string{"case", "program", "users", "events", "partitions", "events/s", "of base", "CPU µs an event", "peak MB", "topics MB", "disk MB", "live rows MB", "disk/rows", "exact"}}
	base := map[string]float64{}
	var wrong error
	for _, s := range sizes {
		all, err := b.grown(ctx, s.name, s.plan)
		for _, m := range medians(all) {
			if s.name == "base" {
				base[m.Program] = m.Rate
			}
			t.add(s.name, titles[m.Program], thousands(int64(s.plan.users)), thousands(int64(m.Events)), strconv.Itoa(s.plan.partitions), thousands(int64(m.Rate)),
				percent(m.Rate/base[m.Program]), decimal(1e6*m.CPU/float64(m.Events)), mb(m.Peak), mb(m.Topics), mb(m.Disk), mb(m.LiveRows),
				ratio(float64(m.Disk), float64(m.LiveRows)), yes(m.Exact))
		}
		if err != nil && !errors.Is(err, errWrong) {
			b.print(t) // hours of work may be in it
			return errors.Join(wrong, err)
		}
		wrong = errors.Join(wrong, err)
	}
	b.print(t)
	return wrong
}

// grown measures one size. Its topics are deleted when done: the next may be as large.
func (b *bench) grown(ctx context.Context, name string, p plan) (all []measurement, err error) {
	d, err := b.fill(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.drop(context.WithoutCancel(ctx), b.raw())) }()
	var flags []string
	if p.partitions > defaultPartitions {
		flags = []string{"--partitions", strconv.Itoa(p.partitions)} // as whoever has so many would
	}
	return b.rounds(ctx, d, name, flags...)
}
