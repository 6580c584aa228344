package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/potok-streams/potok/codecs"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	thousand := make([]int, 1000)
	for i := range thousand {
		thousand[i] = i + 1
	}
	for name, tc := range map[string]struct {
		sorted []int
		q      float64
		want   int
	}{
		"none":             {nil, 0.5, 0},
		"one":              {[]int{7}, 0.999, 7},
		"lower middle":     {[]int{1, 2, 3, 4}, 0.5, 2},
		"middle":           {[]int{1, 2, 3}, 0.5, 2},
		"lowest":           {[]int{1, 2, 3}, 0, 1},
		"highest":          {[]int{1, 2, 3}, 1, 3},
		"p99":              {thousand, 0.99, 990},
		"p99.9":            {thousand, 0.999, 999},
		"p99.9 of too few": {thousand[:100], 0.999, 100},
	} {
		if got := quantile(tc.sorted, tc.q); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
	values := []int{3, 1, 2}
	if got := median(values); got != 2 || !slices.Equal(values, []int{3, 1, 2}) {
		t.Errorf("median: got %d and left %v", got, values)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	got := spreadOf([]time.Duration{3 * time.Millisecond, time.Millisecond, 2500 * time.Microsecond})
	if want := (spread{Samples: 3, P50: 2.5, P99: 3, P999: 3, Max: 3}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	tab := table{head: []string{"имя", "events/s"}}
	tab.add("Potok", thousands(1234567))
	tab.add("a longer name")
	want := `| имя           |  events/s |
|---------------|----------:|
| Potok         | 1,234,567 |
| a longer name |           |
`
	if got := tab.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		thousands(0): "0", thousands(999): "999", thousands(1000): "1,000", thousands(-1000): "-1,000", thousands(-100): "-100",
		mb(0): "–", mb(1_500_000): "2", decimal(0): "–", ratio(30, 2): "15×", ratio(1, 0): "–", ratio(1, 3): "0.333×", percent(0.404): "40%",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMedians(t *testing.T) {
	t.Parallel()
	all := []measurement{
		{Program: programPotok, Events: 10, Rate: 100, CPU: 1, Peak: 5, Exact: true},
		{Program: programEOS, Events: 10, Rate: 10, CPU: 10, Peak: 10, Exact: true},
		{Program: programPotok, Events: 10, Rate: 300, CPU: 3, Peak: 6, Exact: false},
		{Program: programPotok, Events: 10, Rate: 200, CPU: 2, Peak: 4, Exact: true},
	}
	mid := medians(all)
	if len(mid) != 2 || mid[0].Program != programPotok || mid[0].Rate != 200 || mid[0].CPU != 2 || mid[0].Peak != 5 || mid[0].Exact {
		t.Errorf("got %+v", mid)
	}
	rows := ratioTable(all).rows
	if len(rows) != 1 || !slices.Equal(rows[0][1:4], []string{"20×", "0.2×", "0.5×"}) {
		t.Errorf("ratios: %q", rows)
	}
}

// TestRecords holds what is published against Potok's own decoder and against what is expected of the results.
func TestRecords(t *testing.T) {
	t.Parallel()
	p := plan{users: 50, events: 300, seed: 3}
	ids := map[string]bool{}
	var dec codecs.Decoder
	for i := range p.users {
		value := p.appendUser(nil, i)
		got, err := dec.User(value)
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		name, email := p.user(i)
		if string(got.Name) != name || string(got.Email) != email || string(got.UserID) != p.userID(i) {
			t.Errorf("%s: got %q", value, got)
		}
		ids[p.userID(i)] = true
	}
	if len(ids) != p.users {
		t.Errorf("%d ids of %d users", len(ids), p.users)
	}
	for s := range p.events {
		e := event{number: s, user: s % p.users, page: s % pageCount, kind: s % len(eventNames)}
		value := p.appendEvent(nil, e)
		got, err := dec.Event(value)
		if err != nil || string(got.UserID) != p.userID(e.user) || string(got.Event) != eventNames[e.kind] {
			t.Fatalf("%s: %q, %v", value, got, err)
		}
		if id := stringField(value, `"user_id": "`); string(id) != p.userID(e.user) {
			t.Errorf("%s: scanned %q", value, id)
		}
		if !json.Valid(value) {
			t.Errorf("not JSON: %s", value)
		}
	}
}

// TestDraw wants the same events from the same plan, the share that skew says, and everybody's where it is to cover all.
func TestDraw(t *testing.T) {
	t.Parallel()
	p := plan{users: 1000, events: 20_000, seed: 7, skew: 0.9}
	list := func(p plan) (all []event) {
		s := p.draw()
		for range p.events {
			all = append(all, s.draw())
		}
		return all
	}
	first := list(p)
	if !slices.Equal(first, list(p)) {
		t.Error("the same plan gives other events")
	}
	other := p
	other.seed++
	if slices.Equal(first, list(other)) || p.userID(1) == other.userID(1) {
		t.Error("another seed gives the same")
	}
	hot := 0
	for _, e := range first {
		if e.user < hotUsers {
			hot++
		}
	}
	if share := float64(hot) / float64(len(first)); math.Abs(share-0.9) > 0.02 {
		t.Errorf("the hot users make %.2f of the events", share)
	}
	p.cover = true
	for i, e := range list(p)[:p.users] {
		if e.user != i || e.number != i {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
}

// TestCheck wants every kind of mistake to be found.
func TestCheck(t *testing.T) {
	t.Parallel()
	p := plan{users: 3, seed: 1}
	x := newExpected(p)
	for _, e := range []event{{user: 0, kind: 0}, {user: 0, kind: 1}, {user: 1, kind: 1}} {
		x.add(e)
	}
	name0, email0 := p.user(0)
	name1, email1 := p.user(1)
	name2, email2 := p.user(2)
	right := func() []row {
		return []row{
			{p.userID(0), name0, email0, 2, map[string]uint64{"click": 1, "scroll": 1}},
			{p.userID(1), name1, email1, 1, map[string]uint64{"scroll": 1}},
			{p.userID(2), name2, email2, 0, nil},
		}
	}
	for name, tc := range map[string]struct {
		change func([]row) []row
		scroll uint64
		idle   bool
		want   string
	}{
		"right":             {nil, 2, true, ""},
		"no idle users":     {func(r []row) []row { return r[:2] }, 2, false, ""},
		"an idle user less": {func(r []row) []row { return r[:2] }, 2, true, "1 users are missing"},
		"a user less":       {func(r []row) []row { return r[1:] }, 2, false, "1 users are missing"},
		"a user twice":      {func(r []row) []row { return append(r, r[0]) }, 2, true, "twice"},
		"a stranger":        {func(r []row) []row { return append(r, row{id: "x"}) }, 2, true, "user x does not exist"},
		"another name":      {func(r []row) []row { r[0].name = "x"; return r }, 2, true, "another name"},
		"one too many":      {func(r []row) []row { r[1].count++; return r }, 2, true, "has 2 events, want 1"},
		"another type":      {func(r []row) []row { r[1].events = map[string]uint64{"click": 1}; return r }, 2, true, "want 0"},
		"a made-up type":    {func(r []row) []row { r[1].events["x"] = 0; return r }, 2, true, "unknown type"},
		"types":             {nil, 3, true, "there are 3 of scroll, want 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := right()
			if tc.change != nil {
				rows = tc.change(rows)
			}
			c := x.check()
			for _, r := range rows {
				c.user(r)
			}
			c.kind("click", 1)
			c.kind("scroll", tc.scroll)
			err := c.wrong(tc.idle)
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, errWrong) || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if err := x.check().wrongCounts(map[string]uint64{p.userID(0): 2, p.userID(1): 1}); err == nil || !strings.Contains(err.Error(), "there are 0 of click, want 1") {
		t.Errorf("event types of a scan: %v", err)
	}
}

func TestCheckFile(t *testing.T) {
	t.Parallel()
	p := plan{users: 1, seed: 1}
	x := newExpected(p)
	x.add(event{kind: 2})
	name, email := p.user(0)
	write := func(event string) string {
		file := filepath.Join(t.TempDir(), "result")
		text := `{"id":"` + p.userID(0) + `","name":"` + name + `","email":"` + email + `","events":{"submit":1}}` + "\n" + event
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if err := x.checkFile(write(`{"event":"submit","count":1}` + "\n")); err != nil {
		t.Error(err)
	}
	if err := x.checkFile(write("")); !errors.Is(err, errWrong) {
		t.Errorf("without event types: %v", err)
	}
}

// TestSeen wants users found in a line of the stream, whatever else is in it.
func TestSeen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFollower(nil)
	f.unseen["1"], f.unseen[`a"b`], f.unseen["2"] = now, now, now
	line := `data: {"users":[{"user_id":"1","name":"x"},{"user_id":"a\u0022b"},{"user_id":"3"}]}`
	if err := f.seen([]byte(line), now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, left := f.unseen["2"]; len(f.unseen) != 1 || !left || !slices.Equal(f.stream, []time.Duration{time.Second, time.Second}) {
		t.Errorf("unseen %v, took %v", f.unseen, f.stream)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		command string
		args    string
		ok      bool
	}{
		"defaults":        {"throughput", "", true},
		"queries":         {"queries", "--write-rate=10", true},
		"apart":           {"queries", "--apart=nice", true},
		"flags of no run": {"queries", "--apart=nice --potok-flags=--lang=ru", false},
		"rates":           {"latency", "--rates=1000,2000", true},
		"low rate":        {"latency", "--rates=10", false},
		"no number":       {"latency", "--rates=x", false},
		"programs":        {"throughput", "--with=potok,scan", true},
		"unknown program": {"throughput", "--with=flink", false},
		"skew":            {"throughput", "--skew=1.1", false},
		"no users":        {"restart", "--users=0", false},
		"an argument":     {"growth", "more", false},
		"another's flag":  {"growth", "--rates=1000", false},
		"clients":         {"clients", "--clients=5 --stalled=5", true},
		"builds":          {"compare", "--against=a,b", true},
		"no builds":       {"compare", "", false},
		"too many stall":  {"clients", "--clients=5 --stalled=6", false},
	} {
		_, err := parse(tc.command, strings.Fields(tc.args), io.Discard)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	got := clean([]string{"PATH=/bin", "POTOK_PARTITIONS=1", "KAFKA_BOOTSTRAP_SERVERS=x", "POTOK_KAFKA_JAVA_OPTS=-Xmx2g"})
	if want := []string{"PATH=/bin", "POTOK_KAFKA_JAVA_OPTS=-Xmx2g"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
