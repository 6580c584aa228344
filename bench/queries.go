package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/potok-streams/potok/views/client"
)

const (
	queryWorkers = 64 // requests of a kind that may be under way at the same time
	deepLimit    = 1000
	pageKinds    = 4 // pages that are asked for
)

// query is a kind of question.
type query struct {
	name   string
	listen string        // who is asked
	rate   int           // a second
	offset time.Duration // in time: those who ask for different pages do not do it in the same instant
	path   func(rng *rand.Rand) string
	begins string // how a good answer does
}

func constant(path string) func(*rand.Rand) string { return func(*rand.Rand) string { return path } }

// queryResult is how long the answers to a kind of question took.
type queryResult struct {
	Name     string  `json:"name"`
	Rate     int     `json:"rate"`
	Answered float64 `json:"answered_per_second"` // in time: below Rate, it was too much
	Failed   int     `json:"failed"`
	Request  spread  `json:"from_request"` // from when it was sent
	Due      spread  `json:"from_due"`     // from when it should have been sent: with the wait behind slow ones

	first  error
	inTime int
	due    []time.Duration
	sent   []time.Duration
}

// queries measures answers of a view with many users while events come in.
func queries(ctx context.Context, b *bench) (err error) {
	d, err := b.fill(ctx, b.plan)
	if err != nil {
		return err
	}
	p, err := b.counted(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove(ctx)) }()
	b.logf("all is counted; looking for the middle of the listings")
	kinds, err := p.queries(ctx)
	if err != nil {
		return err
	}
	fixed, question, err := b.startControl(ctx, p.dir)
	if err != nil {
		return err
	}
	defer fixed.end()
	kinds = append(kinds, question)
	b.logf("asking, with %s events/s", thousands(int64(b.writeRate)))
	end := b.background(ctx, d, b.writeRate, d.more.draw)
	results, cores, err := b.ask(ctx, p, kinds)
	published, endErr := end()
	if err := errors.Join(err, endErr); err != nil {
		return err
	}
	if err := p.complete(ctx); err != nil {
		return err
	}
	wrong := p.check(ctx)
	b.logf("published %s events/s, potok used %s of a core, both results exact: %v", thousands(int64(published)), percent(cores), wrong == nil)
	t := table{head: append([]string{"question", "asked/s", "answered/s", "failed"}, append(spreadHead(), "p99 ms, from due")...)}
	for _, r := range results {
		b.record(r)
		t.add(append(append([]string{r.Name, thousands(int64(r.Rate)), thousands(int64(r.Answered + 0.5)), thousands(int64(r.Failed))}, cellsFine(r.Request)...), hundredths(r.Due.P99))...)
		if r.first != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %w", r.Name, r.first))
		}
	}
	b.print(t)
	return wrong
}

// queries are the kinds of questions. Deep pages begin in the middle of the listing.
func (p *potok) queries(ctx context.Context) ([]query, error) {
	kinds := []query{{name: "one user", listen: p.listen, rate: p.b.getRate, begins: `{"user_id":"`, path: func(rng *rand.Rand) string {
		return "/v1/users/" + url.PathEscape(p.d.userID(rng.IntN(p.d.users)))
	}}}
	page := func(name string, sort client.Sort, cursor string) {
		path := "/v1/users?" + url.Values{"sort": {string(sort)}, "cursor": {cursor}}.Encode()
		kinds = append(kinds, query{
			name: name, listen: p.listen, rate: p.b.pageRate, begins: `{"users":[{`, path: constant(path),
			offset: time.Duration(len(kinds)-1) * time.Second / time.Duration(pageKinds*p.b.pageRate),
		})
	}
	orders := []struct {
		name string
		sort client.Sort
	}{{"count", client.ByEventCountDesc}, {"name", client.ByName}}
	for _, o := range orders {
		page("first page by "+o.name, o.sort, "")
	}
	for _, o := range orders {
		seen, cursor := 0, ""
		for page, err := range p.view.UserPages(ctx, client.UsersQuery{Sort: o.sort, Limit: deepLimit}) {
			if err != nil {
				return nil, err
			}
			cursor = page.NextCursor
			if seen += len(page.Users); seen >= p.d.users/2 {
				break
			}
		}
		if cursor == "" {
			return nil, errors.New("too few users for deep pages")
		}
		page("deep page by "+o.name, o.sort, cursor)
	}
	return kinds, nil
}

// ask asks all kinds of questions at once, first for the warm-up, then measured.
func (b *bench) ask(ctx context.Context, p *potok, kinds []query) ([]queryResult, float64, error) {
	measured := time.Now().Add(b.warmup)
	asking, cancel := context.WithDeadline(ctx, measured.Add(b.duration))
	defer cancel()
	results := make([]queryResult, len(kinds))
	var work sync.WaitGroup
	for i, k := range kinds {
		host := &fasthttp.HostClient{Addr: k.listen, MaxConns: queryWorkers, ReadTimeout: time.Minute, MaxIdemponentCallAttempts: 1}
		defer host.CloseIdleConnections()
		work.Go(func() { results[i] = k.run(host, asking, measured, measured.Add(b.duration), b.seed) })
	}
	defer work.Wait()
	if err := p.process.pause(ctx, b.warmup); err != nil {
		cancel()
		return nil, 0, err
	}
	cores, err := p.cores(ctx, b.duration)
	if err != nil {
		cancel()
		return nil, 0, err
	}
	work.Wait()
	for i := range results {
		r := &results[i]
		r.Answered = float64(r.inTime) / b.duration.Seconds()
		r.Request, r.Due = spreadOf(r.sent), spreadOf(r.due)
	}
	return results, cores, nil
}

// run asks at a fixed rate until asking ends, whether or not answers have come: a slow answer delays nobody else's question.
// What was due before the measurement begins is left out.
func (k query) run(host *fasthttp.HostClient, asking context.Context, measured, end time.Time, seed uint64) queryResult {
	r := queryResult{Name: k.name, Rate: k.rate}
	var mu sync.Mutex
	var work sync.WaitGroup
	due := make(chan time.Time, 1<<16)
	for w := range queryWorkers {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for at := range due {
				sent := time.Now()
				err := k.ask(host, k.path(rng))
				done := time.Now()
				if at.Before(measured) {
					continue
				}
				mu.Lock()
				if err != nil {
					r.Failed++
					r.first = err
				} else {
					if done.Before(end) {
						r.inTime++
					}
					r.sent, r.due = append(r.sent, done.Sub(sent)), append(r.due, done.Sub(at))
				}
				mu.Unlock()
			}
		})
	}
	began := time.Now().Add(k.offset)
	gap := time.Second / time.Duration(k.rate)
	for n := 0; ; n++ {
		at := began.Add(time.Duration(n) * gap)
		select {
		case <-asking.Done():
			close(due)
			work.Wait()
			return r
		case <-time.After(time.Until(at)):
			due <- at
		}
	}
}

// ask asks and reads the answer. It does not decode it, and takes it as a client that does not ask for compression: what is measured
// is the view, which shares the machine's cores with this client.
func (k query) ask(host *fasthttp.HostClient, path string) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI("http://" + host.Addr + path)
	switch err := host.Do(req, resp); {
	case err != nil:
		return err
	case resp.StatusCode() != http.StatusOK || !bytes.HasPrefix(resp.Body(), []byte(k.begins)):
		return fmt.Errorf("%s: %d: %.200s", path, resp.StatusCode(), resp.Body())
	default:
		return nil
	}
}

// cellsFine is cells for answers that take less than a millisecond.
func cellsFine(s spread) []string {
	return []string{thousands(int64(s.Samples)), hundredths(s.P50), hundredths(s.P99), hundredths(s.P999), hundredths(s.Max)}
}
