package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/kafka"
)

const (
	dashboardFile = "../../deploy/grafana/dashboards/potok.json"
	alertsFile    = "../../deploy/prometheus/alerts.yml"
	documentFile  = "../../docs/ARCHITECTURE.md"
)

// TestMetricsOfRun makes everything happen that is counted, looks at all metrics by Prometheus' rules for names and texts, and holds
// the dashboard's and the alerts' queries against them.
func TestMetricsOfRun(t *testing.T) {
	t.Parallel()
	env := with(t, embedded(t), t.TempDir())
	env["POTOK_METRICS_LISTEN"] = "127.0.0.1:0"
	w := newWorld(t, env)
	w.some(rand.New(rand.NewPCG(9, 9)), 400)
	w.bad(&kgo.Record{Topic: w.names.Events, Value: []byte("{")})
	i := start(t, env, "run")
	w.settled(i)
	w.staleRow()
	w.repeatedBatch("click")
	stream, err := http.Get(i.url + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()

	own := ownURL(t, i)
	var here, there *exposition
	eventually(t, "all that happened is counted", func() error {
		here, there = scrape(t, i.url), scrape(t, own)
		for _, name := range []string{"potok_stale_rows_total", "potok_batches_repeated_total", "potok_raw_rejected_total", "potok_sse_streams_total"} {
			if here.types[name] == "" {
				return fmt.Errorf("no %s", name)
			}
		}
		return nil
	})
	for name := range here.types {
		if there.types[name] == "" {
			t.Errorf("%s is served by the views, and not at --metrics-listen", name)
		}
	}
	for url, e := range map[string]*exposition{"the views": here, "--metrics-listen": there} {
		problems, err := promlint.New(strings.NewReader(e.text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", url, p.Metric, p.Text)
		}
	}
	for _, want := range []string{
		`potok_stage_ready{stage="activity"} 1`, `potok_stage_ready{stage="lag"} 1`, `potok_stage_starts_total{stage="rekey-users"} 1`, `potok_stage_failures_total{stage="users"} 0`,
		`potok_table_partitions{stage="activity",state="restored",table="potok-users-table"} 4`, `potok_restore_left_records{stage="view-potok-activity-table",table="potok-activity-table"} 0`,
		`potok_messages_rejected_total{reason="not_json",topic="test"} 1`, `potok_messages_lost_total{topic="CorpAppsTopic"} 0`,
		`potok_lag_records{kind="raw",reader="potok-rekey-events",topic="test"} 0`, `potok_sse_clients 1`,
		`potok_build_info{go_version="` + runtime.Version() + `",version="` + version + `"} 1`,
	} {
		if !strings.Contains(here.text, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	checkQueries(t, here)
	checkDocument(t, here)
}

// staleRow writes an old row of a user to the users table, as an owner does that was paused.
func (w *world) staleRow() {
	w.t.Helper()
	for id := range w.users {
		old := codecs.AppendUser(nil, &codecs.User{Name: "old", Email: "old", Version: codecs.Version{Timestamp: 1}})
		w.inject(w.names.UsersTable(), id, old)
		return
	}
}

// repeatedBatch sends the first event of a raw partition again, as a rekey stage does after a crash.
func (w *world) repeatedBatch(event string) {
	w.t.Helper()
	topics, err := w.admin.ListTopics(context.Background(), w.names.Events)
	if err != nil {
		w.t.Fatal(err)
	}
	b := codecs.Batch{Topic: codecs.TopicID(topics[w.names.Events].ID), Sources: []codecs.Source{{Runs: []codecs.Run{{Length: 1, Label: codecs.NoLabel}}}}}
	w.inject(w.names.EventTypesStream(), event, codecs.AppendBatch(nil, &b))
}

// inject writes a record where its key belongs in one of Potok's topics.
func (w *world) inject(topic, key string, value []byte) {
	w.t.Helper()
	r := &kgo.Record{Topic: topic, Partition: kafka.PartitionOf([]byte(key), 4), Key: []byte(key), Value: value}
	if err := w.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// ownURL returns where --metrics-listen listens, as the log says.
func ownURL(t *testing.T, i *instance) string {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(i.log.String()))
	for lines.Scan() {
		var l struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == "serving metrics" {
			return l.URL
		}
	}
	t.Fatalf("the log does not say where the metrics are:\n%s", i.log)
	return ""
}

// exposition is what /metrics answers.
type exposition struct {
	text   string
	types  map[string]string          // counter, gauge, histogram, summary
	labels map[string]map[string]bool // that a metric has been seen with
}

func scrape(t *testing.T, url string) *exposition {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", url, resp.Status, err)
	}
	e := &exposition{text: string(body), types: map[string]string{}, labels: map[string]map[string]bool{}}
	for line := range strings.Lines(e.text) {
		if words := strings.Fields(line); len(words) == 4 && words[1] == "TYPE" {
			e.types[words[2]] = words[3]
			continue
		}
		m := selector.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if e.labels[m[1]] == nil {
			e.labels[m[1]] = map[string]bool{}
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			e.labels[m[1]][l[1]] = true
		}
	}
	return e
}

var (
	// metricName finds what is a metric of ours, of Go's runtime or of the process in a query whose texts are taken out.
	metricName = regexp.MustCompile(`\b(?:potok|go|process)_[a-zA-Z0-9_:]+`)
	selector   = regexp.MustCompile(`\b((?:potok|go|process)_[a-zA-Z0-9_:]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)\s*"`)
	grouping   = regexp.MustCompile(`\b(?:by|on)\s*\([^)]*\)`) // go_version may be a label there
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// check returns what is wrong with a query: metrics and labels that nobody exposes, and functions that do not go with a metric's type.
func (e *exposition) check(query string) (problems []string) {
	names := metricName.FindAllString(grouping.ReplaceAllString(quoted.ReplaceAllString(query, `""`), ""), -1)
	for _, name := range names {
		kind := e.types[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if family, ok := strings.CutSuffix(name, suffix); ok && kind == "" && e.types[family] == "histogram" {
				kind = "a part of a histogram"
			}
		}
		at := strings.Index(query, name)
		rated := regexp.MustCompile(`(rate|increase)\($`).MatchString(query[:at])
		switch {
		case kind == "":
			problems = append(problems, name+" does not exist")
		case kind == "histogram":
			problems = append(problems, name+" is a histogram: use _bucket, _sum or _count")
		case rated && kind == "gauge":
			problems = append(problems, name+" is a gauge, and has no rate")
		}
	}
	for _, s := range selector.FindAllStringSubmatch(query, -1) {
		for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
			if label := l[1]; label != "instance" && label != "job" && !e.labels[s[1]][label] {
				problems = append(problems, s[1]+" has no label "+label)
			}
		}
	}
	if len(names) == 0 && !strings.HasPrefix(query, "up{") {
		problems = append(problems, "names no metric")
	}
	return problems
}

// checkDocument wants the list of metrics in the documentation to be complete, and no other metric named there.
func checkDocument(t *testing.T, e *exposition) {
	t.Helper()
	b, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, name := range regexp.MustCompile("`(potok_[a-z_]+)`").FindAllStringSubmatch(string(b), -1) {
		listed[name[1]] = true
		if e.types[name[1]] == "" {
			t.Errorf("%s: %s does not exist", documentFile, name[1])
		}
	}
	for name := range e.types {
		if strings.HasPrefix(name, "potok_") && !listed[name] {
			t.Errorf("%s does not list %s", documentFile, name)
		}
	}
}

// checkQueries checks those of the dashboard and of the alerts.
func checkQueries(t *testing.T, e *exposition) {
	t.Helper()
	used := map[string]bool{}
	for where, queries := range map[string][]string{"dashboard": dashboardQueries(t), "alerts": alertQueries(t)} {
		if len(queries) < 10 {
			t.Errorf("%s: only %d queries were found", where, len(queries))
		}
		for _, q := range queries {
			for _, problem := range e.check(q) {
				if strings.HasPrefix(problem, "process_") && runtime.GOOS != "linux" {
					continue // not every system tells all of these
				}
				t.Errorf("%s: %s: %s", where, q, problem)
			}
			for _, name := range metricName.FindAllString(q, -1) {
				used[name] = true
			}
		}
	}
	for name, kind := range e.types {
		if strings.HasPrefix(name, "potok_") && !used[name] && (kind != "histogram" || !used[name+"_bucket"] && !used[name+"_count"]) {
			t.Errorf("neither the dashboard nor an alert looks at %s", name)
		}
	}
}

// dashboardQueries returns every query of the dashboard, those of its variables included, wherever it is in the file.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(b, &root); err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	ids := map[float64]bool{}
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				visit(x)
			}
		case map[string]any:
			if id, ok := v["gridPos"]; ok && id != nil {
				if n := v["id"].(float64); ids[n] || v["title"] == "" {
					t.Errorf("panel %v (%v) has no id or title of its own", n, v["title"])
				} else {
					ids[n] = true
				}
			}
			for _, key := range []string{"expr", "definition"} {
				if q, ok := v[key].(string); ok {
					queries = append(queries, q)
				}
			}
			for _, key := range slices.Sorted(maps.Keys(v)) {
				visit(v[key])
			}
		}
	}
	visit(root)
	return queries
}

func alertQueries(t *testing.T) (queries []string) {
	t.Helper()
	b, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Expr string }
		}
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatalf("%s: %v", alertsFile, err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			queries = append(queries, r.Expr)
		}
	}
	return queries
}

// TestDashboardCheck shows that the check finds what it is there for.
func TestDashboardCheck(t *testing.T) {
	t.Parallel()
	e := &exposition{
		types:  map[string]string{"potok_a_total": "counter", "potok_b": "gauge", "potok_c_seconds": "histogram"},
		labels: map[string]map[string]bool{"potok_a_total": {"stage": true}},
	}
	for query, want := range map[string]int{
		`sum by (stage) (rate(potok_a_total{stage="x",instance=~"y"}[5m]))`: 0,
		`potok_b`: 0,
		`histogram_quantile(0.9, rate(potok_c_seconds_bucket[5m]))`:       0,
		`rate(potok_c_seconds_sum[5m]) / rate(potok_c_seconds_count[5m])`: 0,
		`potok_c_seconds`:                     1,
		`rate(potok_b[5m])`:                   1,
		`potok_a_total_bucket`:                1,
		`potok_d`:                             1,
		`potok_a_total{topic="potok_d"}`:      1,
		`potok_a_total{stage="potok_d"} or x`: 0,
		`count by (go_version) (potok_b)`:     0,
		`vector(0)`:                           1,
	} {
		if got := e.check(query); len(got) != want {
			t.Errorf("%s: %q, want %d", query, got, want)
		}
	}
}

func TestMetricsOfRestores(t *testing.T) {
	t.Parallel()
	got := restores([]engine.Progress{
		{Table: "a", Partition: 0, Offset: 9, End: 10},
		{Table: "a", Partition: 1, Offset: -1, End: 5},
		{Table: "a", Partition: 2, Offset: 20, End: 5, Done: true},
		{Table: "b", Partition: 0, Offset: -1, End: 7, Done: true},
	})
	want := map[string]restore{"a": {left: 5, restored: 1, restoring: 2}, "b": {restored: 1}}
	if !maps.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
