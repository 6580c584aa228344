package main

import (
	"context"
	"errors"
	"fmt"
)

// The programs, as --with names them.
const (
	programPotok = "potok"
	programEOS   = "streams-eos"
	programALO   = "streams-alo"
	programScan  = "scan"

	programEOSDefaults = "streams-eos-defaults"
	programALOSmall    = "streams-alo-small"
)

func programNames() []string {
	return []string{programPotok, programEOS, programALO, programScan, programEOSDefaults, programALOSmall}
}

// titles are the programs as tables name them.
var titles = map[string]string{
	programPotok: "Potok",
	programEOS:   "Kafka Streams, exactly_once_v2",
	programALO:   "Kafka Streams, at-least-once",
	programScan:  "bare consumer that scans and counts",

	programEOSDefaults: "Kafka Streams, exactly_once_v2, defaults",
	programALOSmall:    "Kafka Streams, at-least-once, small cache",
}

// throughput runs the programs in turn over the same topics, round after round, and compares them.
func throughput(ctx context.Context, b *bench) error {
	d, err := b.fill(ctx, b.plan)
	if err != nil {
		return err
	}
	all, err := b.rounds(ctx, d, "")
	b.print(throughputTable(all))
	if t := ratioTable(all); len(t.rows) > 0 {
		b.print(t)
	}
	return err
}

// rounds runs every program once, then every program again, so that what else happens on the machine meets all of them. The
// rounds that warm the broker up come first, once for each broker, and are not among the results. It goes on behind a wrong
// result and says so in the end.
func (b *bench) rounds(ctx context.Context, d *data, title string, potokFlags ...string) (all []measurement, err error) {
	warmups := b.warmups
	b.warmups = 0
	for run := 1 - warmups; run <= b.runs; run++ {
		round := fmt.Sprintf("run %d of %d", run, b.runs)
		if run < 1 {
			round = fmt.Sprintf("warm-up %d of %d", run+warmups, warmups)
		}
		for _, name := range b.with {
			b.logf("%s%s: %s", prefixed(title), round, titles[name])
			m, failed := b.measure(ctx, d, name, potokFlags...)
			if failed != nil {
				failed = fmt.Errorf("%s: %w", name, failed)
			}
			if failed != nil && !errors.Is(failed, errWrong) {
				return all, errors.Join(err, failed)
			}
			err = errors.Join(err, failed)
			m.Case, m.Run, m.Events = title, run, int(d.want.types.total())
			m.Rate = float64(m.Events) / m.Seconds
			b.logf("%s: %s events/s, %.1f CPU s, %.0f MB, exact: %v", name, thousands(int64(m.Rate)), m.CPU, megabytes(m.Peak), m.Exact)
			if run < 1 {
				continue
			}
			b.record(m)
			all = append(all, m)
		}
	}
	return all, err
}

func prefixed(title string) string {
	if title == "" {
		return ""
	}
	return title + ", "
}

func (b *bench) measure(ctx context.Context, d *data, name string, potokFlags ...string) (measurement, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.timeout, fmt.Errorf("not done within %s", b.timeout))
	defer cancel()
	switch name {
	case programPotok:
		return measurePotok(ctx, b, d, potokFlags...)
	case programEOS:
		return measureStreams(ctx, b, d, name, "EOS")
	case programALO:
		return measureStreams(ctx, b, d, name, "ALO")
	case programEOSDefaults:
		return measureStreams(ctx, b, d, name, "EOS_DEFAULTS")
	case programALOSmall:
		return measureStreams(ctx, b, d, name, "ALO_SMALL")
	case programScan:
		return measureScan(ctx, b, d)
	}
	return measurement{}, fmt.Errorf("unknown program %q", name)
}

// medians returns, for each program in the order of its first run, a measurement of the medians of its figures.
func medians(all []measurement) (mid []measurement) {
	var names []string
	by := map[string][]measurement{}
	for _, m := range all {
		if by[m.Program] == nil {
			names = append(names, m.Program)
		}
		by[m.Program] = append(by[m.Program], m)
	}
	for _, name := range names {
		runs := by[name]
		m := measurement{Case: runs[0].Case, Program: name, Events: runs[0].Events, Run: len(runs), Exact: true}
		for _, r := range runs {
			m.Exact = m.Exact && r.Exact
		}
		m.Seconds = medianOf(runs, func(m measurement) float64 { return m.Seconds })
		m.Rate = medianOf(runs, func(m measurement) float64 { return m.Rate })
		m.CPU = medianOf(runs, func(m measurement) float64 { return m.CPU })
		m.BrokerCPU = medianOf(runs, func(m measurement) float64 { return m.BrokerCPU })
		m.OtherCPU = medianOf(runs, func(m measurement) float64 { return m.OtherCPU })
		m.Peak = medianOf(runs, func(m measurement) int64 { return m.Peak })
		m.Topics = medianOf(runs, func(m measurement) int64 { return m.Topics })
		m.BrokerWritten = medianOf(runs, func(m measurement) int64 { return m.BrokerWritten })
		m.Disk = medianOf(runs, func(m measurement) int64 { return m.Disk })
		m.DiskWritten = medianOf(runs, func(m measurement) int64 { return m.DiskWritten })
		m.LiveRows = medianOf(runs, func(m measurement) int64 { return m.LiveRows })
		mid = append(mid, m)
	}
	return mid
}

// throughputTable has a row of medians for each program.
func throughputTable(all []measurement) table {
	t := table{head: []string{"median of runs", "events/s", "lowest–highest", "CPU s", "broker CPU s", "other CPU s", "peak MB", "topics MB", "broker wrote MB", "disk MB", "wrote MB", "exact"}}
	for _, m := range medians(all) {
		low, high := m.Rate, m.Rate
		for _, r := range all {
			if r.Program == m.Program {
				low, high = min(low, r.Rate), max(high, r.Rate)
			}
		}
		t.add(titles[m.Program], thousands(int64(m.Rate)), thousands(int64(low))+"–"+thousands(int64(high)), decimal(m.CPU), decimal(m.BrokerCPU), decimal(m.OtherCPU),
			mb(m.Peak), mb(m.Topics), mb(m.BrokerWritten), mb(m.Disk), mb(m.DiskWritten), yes(m.Exact))
	}
	return t
}

// ratioTable says how Potok compares with each of the others: above 1, Potok has more of it.
func ratioTable(all []measurement) table {
	t := table{head: []string{"Potok against", "events/s", "CPU an event", "peak memory", "topics", "disk", "disk writes"}}
	mid := medians(all)
	for _, p := range mid {
		if p.Program != programPotok {
			continue
		}
		for _, o := range mid {
			if o.Program == programPotok {
				continue
			}
			t.add(titles[o.Program], ratio(p.Rate, o.Rate), ratio(p.CPU/float64(p.Events), o.CPU/float64(o.Events)), ratio(float64(p.Peak), float64(o.Peak)),
				ratio(float64(p.Topics), float64(o.Topics)), ratio(float64(p.Disk), float64(o.Disk)), ratio(float64(p.DiskWritten), float64(o.DiskWritten)))
		}
	}
	return t
}
