package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/potok-streams/potok/views/client"
)

const (
	// lagEvery is how often the lag is looked at.
	lagEvery = 200 * time.Millisecond
	// settleLimit is how long after the load's end a client may show an older value.
	settleLimit = 30 * time.Second
	// dropLimit is how long after the load's end one that never reads may still be connected: a view waits for 30 s.
	dropLimit = time.Minute
	// perClient is how many bytes of memory a client may cost the view.
	perClient = 256 << 10
	// keptUp is the share of the published events that must be counted at once.
	keptUp = 0.95
)

// clientsResult is one load, without clients or with them.
type clientsResult struct {
	Clients   int     `json:"clients"`
	Stalled   int     `json:"stalled"`
	Published float64 `json:"published_per_second"`
	Counted   float64 `json:"counted_per_second"`
	LagMean   float64 `json:"lag_mean"` // records
	LagMax    int64   `json:"lag_max"`
	CaughtUp  float64 `json:"caught_up_seconds"` // from the load's end until the lag is 0
	Cores     float64 `json:"cores"`
	Peak      int64   `json:"peak_bytes"` // since the process's start
	Settled   float64 `json:"settled_seconds,omitempty"`
	Received  float64 `json:"received_bytes_per_second,omitempty"`
	Dropped   int     `json:"dropped"`
}

// clients measures what many streams cost, and checks that each ends with all final values, but for those that never read:
// they are dropped.
func clients(ctx context.Context, b *bench) (err error) {
	d, err := b.fill(ctx, b.plan)
	if err != nil {
		return err
	}
	p, err := b.counted(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove(ctx)) }()
	b.logf("%s events/s for %s without clients", thousands(int64(b.writeRate)), b.warmup+b.duration)
	alone, err := b.underLoad(ctx, p, nil)
	if err != nil {
		return err
	}

	streaming, cancel := context.WithCancel(ctx)
	f := newFleet(p)
	defer f.close()
	defer cancel()
	b.logf("connecting %d clients, %d of which never read", b.clients, b.stalled)
	if err := f.open(streaming, b.clients, b.stalled); err != nil {
		return err
	}
	if err := f.settle(ctx, p.final(), settleLimit); err != nil {
		return fmt.Errorf("first values: %w", err)
	}
	b.logf("the same with clients")
	with, wrong := b.underLoad(ctx, p, f)
	if wrong != nil && !errors.Is(wrong, errWrong) {
		return wrong
	}
	fail := func(format string, args ...any) {
		wrong = errors.Join(wrong, fmt.Errorf("%w: "+format, append([]any{errWrong}, args...)...))
	}
	wrong = errors.Join(wrong, p.check(ctx)) // so what the clients were compared with is what the API says
	if with.Dropped != b.stalled {
		fail("%d streams were dropped as stalled, want %d", with.Dropped, b.stalled)
	}
	if limit := int64(b.clients) * perClient; with.Peak-alone.Peak > limit {
		fail("the clients cost %.0f MB, more than %.0f", megabytes(with.Peak-alone.Peak), megabytes(limit))
	}
	if with.Counted < keptUp*with.Published {
		fail("of %.0f events/s only %.0f were counted at once", with.Published, with.Counted)
	}
	t := table{head: []string{"clients", "published/s", "counted/s", "lag, mean", "lag, max", "caught up s", "cores", "peak MB", "sent MB/s", "all values s", "dropped"}}
	for _, r := range []clientsResult{alone, with} {
		b.record(r)
		t.add(thousands(int64(r.Clients)), thousands(int64(r.Published)), thousands(int64(r.Counted)), decimal(r.LagMean), thousands(r.LagMax), hundredths(r.CaughtUp),
			hundredths(r.Cores), mb(r.Peak), decimal(r.Received/1e6), decimal(r.Settled), strconv.Itoa(r.Dropped))
	}
	b.logf("%d clients that read, %d that do not: every final value seen, memory bounded, processors not held up: %v", b.clients-b.stalled, b.stalled, wrong == nil)
	b.print(t)
	return wrong
}

// final is the result that was published, by number.
func (p *potok) final() []uint32 {
	want := make([]uint32, p.d.users)
	for i := range want {
		want[i] = uint32(p.d.want.users[i].total())
	}
	return want
}

// underLoad measures one load. A fleet must have all final values after it.
func (b *bench) underLoad(ctx context.Context, p *potok, f *fleet) (r clientsResult, err error) {
	end := b.background(ctx, p.d, b.writeRate, p.d.more.draw)
	stop := func() error {
		if end == nil {
			return nil
		}
		var err error
		r.Published, err = end()
		end = nil
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := p.process.pause(ctx, b.warmup); err != nil {
		return r, err
	}
	received := int64(0)
	if f != nil {
		r.Clients, r.Stalled, received = b.clients, b.stalled, f.bytes.Load()
	}
	if err := p.lags(ctx, b.duration, &r); err != nil {
		return r, err
	}
	if f != nil {
		r.Received = float64(f.bytes.Load()-received) / b.duration.Seconds()
	}
	if err := stop(); err != nil {
		return r, err
	}
	ended := time.Now()
	if err := p.complete(ctx); err != nil {
		return r, err
	}
	r.CaughtUp = since(ended)
	var wrong error
	if f != nil {
		wrong = f.settle(ctx, p.final(), settleLimit)
		r.Settled = since(ended)
		for r.Dropped < b.stalled && since(ended) < dropLimit.Seconds() {
			if err := p.process.pause(ctx, time.Second/2); err != nil {
				return r, err
			}
			if r.Dropped, err = p.dropped(ctx); err != nil {
				return r, err
			}
		}
	}
	used, err := p.process.usage()
	if err != nil && !errors.Is(err, errUnmeasured) {
		return r, err
	}
	r.Peak = used.Peak
	return r, wrong
}

// lags looks at the lag for a while, and at what the process uses and counts meanwhile.
func (p *potok) lags(ctx context.Context, d time.Duration, r *clientsResult) error {
	before, usageErr := p.process.usage()
	began, n, sum := time.Now(), 0, int64(0)
	var first client.EventTypes
	for {
		t, err := p.view.EventTypes(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			first, began = t, time.Now()
		}
		n, sum, r.LagMax = n+1, sum+t.Lag, max(r.LagMax, t.Lag)
		if took := time.Since(began); took >= d {
			r.LagMean, r.Counted = float64(sum)/float64(n), float64(t.Total-first.Total)/took.Seconds()
			break
		}
		if err := p.process.pause(ctx, lagEvery); err != nil {
			return err
		}
	}
	if errors.Is(usageErr, errUnmeasured) {
		return nil
	}
	after, err := p.process.usage()
	r.Cores = after.since(before).CPU / since(began)
	return errors.Join(usageErr, err)
}

// dropped asks how many streams the view has dropped because they took nothing.
func (p *potok) dropped(ctx context.Context) (n int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.view.URL()+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), `potok_sse_dropped_total{reason="stalled"} `); ok {
			return strconv.Atoi(value)
		}
	}
	return 0, errors.New("/metrics does not say how many streams were dropped")
}
