//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// logTally counts what the processes' logs say, line by line, without what differs from line to line.
type logTally struct {
	journal *journal

	mu     sync.Mutex
	counts map[string]int
	leases int
	gaps   int
	wipes  int
}

func newLogTally(j *journal) *logTally { return &logTally{journal: j, counts: map[string]int{}} }

var (
	numbers = regexp.MustCompile(`\d+(\.\d+)?(µs|ms|s|m\d+s)?`)
	hexes   = regexp.MustCompile(`\b[0-9a-f-]{20,}\b`)
)

// read takes in the log of a process that has ended.
func (t *logTally) read(path string) {
	f, err := os.Open(path)
	if err != nil {
		t.journal.note("log: %v", err)
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		t.line(path, lines.Text())
	}
}

func (t *logTally) line(path, text string) {
	var l struct {
		Level, Msg, Stage, Topic, Error string
	}
	if json.Unmarshal([]byte(text), &l) != nil {
		for _, bad := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", "concurrent map"} {
			if strings.HasPrefix(text, bad) {
				t.journal.wrong("%s has %q", path, text)
			}
		}
		return
	}
	if l.Level != "WARN" && l.Level != "ERROR" {
		return
	}
	what := hexes.ReplaceAllString(strings.Join([]string{l.Level, l.Stage, l.Topic, l.Msg, l.Error}, " | "), "…")
	what = numbers.ReplaceAllString(what, "N")
	if len(what) > 220 {
		what = what[:220]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what]++
	switch {
	case strings.Contains(l.Error, "lease lost"):
		t.leases++
	case strings.HasPrefix(l.Msg, "somebody else wrote"):
		t.gaps++
	case strings.HasPrefix(l.Msg, "removing local state"):
		t.wipes++
	}
	if strings.Contains(l.Error, "panic") || strings.Contains(l.Error, "is out of order") || strings.HasPrefix(l.Error, "decode") {
		t.journal.wrong("%s has %s", path, text[:min(len(text), 1000)])
	}
}

// report lists what was counted, the most frequent first.
func (t *logTally) report() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	keys := slices.SortedFunc(maps.Keys(t.counts), func(a, b string) int {
		if d := t.counts[b] - t.counts[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys {
		fmt.Fprintf(&b, "%6d  %s\n", t.counts[k], k)
	}
	return b.String()
}
