package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"syscall"
)

// restartResult is one start.
type restartResult struct {
	Case     string  `json:"case"`
	Run      int     `json:"run"`
	Ready    float64 `json:"ready_seconds"`    // from the process's start until /readyz says so
	Complete float64 `json:"complete_seconds"` // until everything published is in both results
	Events   int     `json:"events"`           // that it had to count
	CPU      float64 `json:"cpu_seconds"`
	Peak     int64   `json:"peak_bytes"`
}

// restartCase is a way to start, and what happens before.
type restartCase struct {
	name    string
	command string
	signal  os.Signal // ends the process that runs before
	remove  bool      // its local state, then
	backlog int       // events published, then
}

// restart measures how long Potok takes to be there again.
func restart(ctx context.Context, b *bench) (err error) {
	d, err := b.fill(ctx, b.plan)
	if err != nil {
		return err
	}
	p, err := b.newPotok(d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove(ctx)) }()
	cases := []restartCase{
		{name: "warm: stopped (SIGTERM)", command: "run", signal: syscall.SIGTERM},
		{name: "killed (SIGKILL)", command: "run", signal: os.Kill},
		{name: "cold: stopped, state removed", command: "run", signal: syscall.SIGTERM, remove: true},
		{name: "stopped, with a backlog", command: "run", signal: syscall.SIGTERM, backlog: b.backlog},
		{name: "view alone, warm", command: "view", signal: syscall.SIGTERM},
	}
	b.logf("first start")
	first, err := p.again(ctx, restartCase{name: "first, from the raw topics", command: "run"})
	if err != nil {
		return err
	}
	first.Run, first.Events = 1, b.events
	results := [][]restartResult{{first}}
	b.record(first)
	for _, c := range cases {
		var runs []restartResult
		for run := 1; run <= b.runs; run++ {
			b.logf("%s, %d of %d", c.name, run, b.runs)
			r, err := p.again(ctx, c)
			if err != nil {
				return err
			}
			r.Run = run
			b.record(r)
			runs = append(runs, r)
		}
		results = append(results, runs)
	}
	wrong := p.check(ctx)
	b.logf("both results exact: %v", wrong == nil)
	b.print(restartTable(results))
	return wrong
}

// again ends the process as the case says, starts it, and measures until everything is there.
func (p *potok) again(ctx context.Context, c restartCase) (r restartResult, err error) {
	r = restartResult{Case: c.name, Events: c.backlog}
	if err := p.stop(c.signal); err != nil {
		return r, err
	}
	if c.remove {
		if err := os.RemoveAll(p.state()); err != nil {
			return r, err
		}
	}
	if c.backlog > 0 {
		if err := p.b.append(ctx, p.d, c.backlog); err != nil {
			return r, err
		}
	}
	var extra []string
	if c.command == "run" {
		// A name of its own, as whoever replaces a disk would give: its consumers need not wait until those of the lost one
		// have timed out.
		extra = []string{"--instance-id", "bench"}
	}
	if err := p.start(ctx, c.command, extra...); err != nil {
		return r, err
	}
	started := p.process.started
	if err := p.until(ctx, "ready", p.ready); err != nil {
		return r, err
	}
	r.Ready = since(started)
	if err := p.complete(ctx); err != nil {
		return r, err
	}
	r.Complete = since(started)
	used, err := p.process.usage()
	if err != nil && !errors.Is(err, errUnmeasured) {
		return r, err
	}
	r.CPU, r.Peak = used.CPU, used.Peak
	return r, nil
}

// ready asks once.
func (p *potok) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.view.URL()+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func restartTable(results [][]restartResult) table {
	t := table{head: []string{"start", "ready s", "complete s", "events to count", "events/s", "CPU s", "peak MB"}}
	for _, runs := range results {
		mid := func(of func(restartResult) float64) float64 {
			values := make([]float64, len(runs))
			for i, r := range runs {
				values[i] = of(r)
			}
			return median(values)
		}
		complete := mid(func(r restartResult) float64 { return r.Complete })
		events, rate := runs[0].Events, "–"
		if events > 0 {
			rate = thousands(int64(float64(events) / complete))
		}
		t.add(runs[0].Case, hundredths(mid(func(r restartResult) float64 { return r.Ready })), hundredths(complete), thousands(int64(events)), rate,
			decimal(mid(func(r restartResult) float64 { return r.CPU })), mb(int64(mid(func(r restartResult) float64 { return float64(r.Peak) }))))
	}
	return t
}
