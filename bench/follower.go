package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// pollEvery is how often a user is asked for until the event is there: what HTTP's figures are exact to.
const pollEvery = 2 * time.Millisecond

// follower waits for events to be seen, over the stream and over HTTP.
type follower struct {
	p    *potok
	work sync.WaitGroup

	mu         sync.Mutex
	unseen     map[string]time.Time // when the user's event was published; until the stream has it
	stream     []time.Duration
	http       []time.Duration
	unanswered int // followed over HTTP and not seen yet
	err        error
}

func newFollower(p *potok) *follower { return &follower{p: p, unseen: map[string]time.Time{}} }

// published is called right before a user's only event is handed to the Kafka client.
func (f *follower) published(ctx context.Context, id string, ask bool) {
	now := time.Now()
	f.mu.Lock()
	f.unseen[id] = now
	if ask {
		f.unanswered++
	}
	f.mu.Unlock()
	if ask {
		f.work.Go(func() { f.ask(ctx, id, now) })
	}
}

// ask asks for one user until the event is there or ctx ends.
func (f *follower) ask(ctx context.Context, id string, published time.Time) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		u, err := f.p.view.User(ctx, id)
		if err == nil && u.EventCount > 0 {
			took := time.Since(published)
			f.mu.Lock()
			f.http = append(f.http, took)
			f.unanswered--
			f.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watch opens the stream and reads it until ctx ends. It returns when the stream is open.
func (f *follower) watch(ctx context.Context) error {
	// Without the rows that are there already: they are not what is being waited for, and there are many.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.p.view.URL()+"/v1/stream?snapshot=none", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return fmt.Errorf("stream: status %s", resp.Status)
	}
	f.work.Go(func() {
		defer resp.Body.Close()
		in := bufio.NewReaderSize(resp.Body, 1<<20)
		for {
			line, err := in.ReadBytes('\n')
			if err == nil {
				err = f.seen(line, time.Now())
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				f.mu.Lock()
				f.err = fmt.Errorf("stream: %w", err)
				f.mu.Unlock()
				return
			}
		}
	})
	return nil
}

// seen notes the users in a line of the stream. It looks only for ids: whoever made no event before is there because of
// the one. Decoding all rows would take more of the machine than what is measured.
func (f *follower) seen(line []byte, now time.Time) error {
	field := []byte(`"user_id":`)
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		at := bytes.Index(line, field)
		if at < 0 {
			return nil
		}
		line = line[at+len(field):]
		end := bytes.IndexByte(line[1:], '"')
		if end < 0 {
			return fmt.Errorf("an id without an end")
		}
		text := line[:end+2]
		var id string
		if bytes.IndexByte(text, '\\') >= 0 {
			if err := json.Unmarshal(text, &id); err != nil {
				return err
			}
		} else {
			id = string(text[1 : len(text)-1])
		}
		if published, ok := f.unseen[id]; ok {
			delete(f.unseen, id)
			f.stream = append(f.stream, now.Sub(published))
		}
	}
}

// settle waits until everything has been seen, for a while at most.
func (f *follower) settle(ctx context.Context, limit time.Duration) error {
	end := time.Now().Add(limit)
	for {
		f.mu.Lock()
		left, err := len(f.unseen)+f.unanswered, f.err
		f.mu.Unlock()
		if err != nil || left == 0 || time.Now().After(end) {
			return err
		}
		if err := f.p.process.pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// wait returns when nobody asks or watches any more.
func (f *follower) wait() { f.work.Wait() }
