//go:build unix

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// summary is what a run, or several, came to.
type summary struct {
	mu       sync.Mutex
	seeds    []uint64
	messages int // in the raw topics
	bad      int
	unknown  int // records and transactions whose outcome was unknown to their publisher
	txns     [3]int
	faults   map[string]int
	restarts int
	lags     []time.Duration
	verified bool
	stale    int
	diverged int
	repeated int
	leases   int
	gaps     int
	wipes    int
	wrong    []string
}

func newSummary(seed uint64) *summary {
	return &summary{seeds: []uint64{seed}, faults: map[string]int{}}
}

func (s *summary) count(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[kind]++
}

func (s *summary) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarts++
}

// add puts another run's figures to these.
func (s *summary) add(o *summary) {
	s.seeds = append(s.seeds, o.seeds...)
	s.messages += o.messages
	s.bad += o.bad
	s.unknown += o.unknown
	for i, n := range o.txns {
		s.txns[i] += n
	}
	if s.faults == nil {
		s.faults = map[string]int{}
	}
	for k, n := range o.faults {
		s.faults[k] += n
	}
	s.restarts += o.restarts
	s.lags = append(s.lags, o.lags...)
	s.stale += o.stale
	s.diverged += o.diverged
	s.repeated += o.repeated
	s.leases += o.leases
	s.gaps += o.gaps
	s.wipes += o.wipes
	s.wrong = append(s.wrong, o.wrong...)
}

func (s *summary) total() (n int) {
	for _, k := range s.faults {
		n += k
	}
	return n
}

func (s *summary) line() string {
	return fmt.Sprintf("%d messages, %d rejected, %d faults, %d restarts, lag 0 after %v, stale rows %d, diverged %d, leases lost %d", s.messages, s.bad,
		s.total(), s.restarts, s.lags, s.stale, s.diverged, s.leases)
}

func (s *summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seeds                %v\n", s.seeds)
	fmt.Fprintf(&b, "raw messages         %d, of them rejected %d\n", s.messages, s.bad)
	fmt.Fprintf(&b, "transactions         %d committed, %d aborted, %d of unknown outcome; %d other records of unknown outcome\n", s.txns[0], s.txns[1], s.txns[2], s.unknown)
	fmt.Fprintf(&b, "faults               %d\n", s.total())
	for _, k := range slices.Sorted(maps.Keys(s.faults)) {
		fmt.Fprintf(&b, "  %-18s %d\n", k, s.faults[k])
	}
	fmt.Fprintf(&b, "restarts             %d\n", s.restarts)
	if len(s.lags) > 0 {
		sorted := slices.Sorted(slices.Values(s.lags))
		fmt.Fprintf(&b, "until lag 0          %d times, median %s, longest %s\n", len(sorted), sorted[len(sorted)/2].Round(time.Millisecond), sorted[len(sorted)-1].Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "rows found stale     %d, diverged %d; batches repeated %d\n", s.stale, s.diverged, s.repeated)
	fmt.Fprintf(&b, "leases lost          %d; changelogs with foreign rows %d; local states removed %d\n", s.leases, s.gaps, s.wipes)
	fmt.Fprintf(&b, "wrong                %d\n", len(s.wrong))
	for _, w := range s.wrong {
		fmt.Fprintf(&b, "  %s\n", w)
	}
	return b.String()
}
