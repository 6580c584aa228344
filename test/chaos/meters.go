//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// meters sums counters over all lives of all processes: a counter starts anew with every process, and what it had counted
// in the last second before a kill is not seen.
type meters struct {
	mu   sync.Mutex
	last map[*life]map[string]float64
}

// scrapeClient asks those that may be stopped.
func scrapeClient() *http.Client { return &http.Client{Timeout: 2 * time.Second} }

// follow reads the counters of a set of processes until ctx ends.
func (s *meters) follow(ctx context.Context, members func() []*member) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, m := range members() {
			if l := m.now(); l != nil && l.alive() {
				l.mu.Lock()
				stopped := l.stopped
				l.mu.Unlock()
				if !stopped {
					s.scrape(m, l)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *meters) scrape(m *member, l *life) {
	resp, err := scrapeClient().Get(m.url("/metrics"))
	if err != nil {
		return // it is starting, or ending
	}
	defer resp.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "potok_") {
			continue
		}
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	if lines.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[l] = values
}

// sum adds up the counters whose names have the prefix and contain the text.
func (s *meters) sum(prefix, part string) (total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, values := range s.last {
		for name, v := range values {
			if strings.HasPrefix(name, prefix) && strings.Contains(name, part) {
				total += int(v)
			}
		}
	}
	return total
}

// fetch reads a text over HTTP, for the files that a failed run leaves.
func fetch(url string) string {
	resp, err := scrapeClient().Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s\n%s", resp.Status, b)
}
