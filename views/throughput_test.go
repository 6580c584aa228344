package views

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestThroughput(t *testing.T) {
	tp := NewThroughput("users", "events")
	at := time.Unix(1_700_000_000, 500)
	sample := func(seconds int, parts ...Partition) {
		tp.Sample(Lag{At: at.Add(time.Duration(seconds) * time.Second), Partitions: parts})
	}
	part := func(p int32, position, end int64) Partition {
		return Partition{Topic: "users", Partition: p, Position: position, End: end, Lag: end - position}
	}
	sample(0, part(0, 5, 10))
	sample(1, part(0, 8, 20))
	sample(1, part(0, 9, 30))                 // not newer
	sample(4, part(0, 20, 27), part(1, 0, 3)) // three seconds; a partition more
	sample(5, part(0, 0, 1))                  // made anew
	points := tp.Points()[0].Points
	want := []struct{ published, consumed, lag int64 }{{0, 0, 5}, {10, 3, 12}, {3, 4, 10}, {3, 4, 10}, {4, 4, 10}, {0, 0, 1}}
	if len(points) != len(want) {
		t.Fatalf("%d points: %+v", len(points), points)
	}
	for i, w := range want {
		p := points[i]
		if p.Published != w.published || p.Consumed != w.consumed || p.Lag != w.lag || p.Time.Unix() != at.Unix()+int64(i) {
			t.Errorf("point %d: %+v, want %+v", i, p, w)
		}
	}
	for i := range 4000 {
		sample(10+i, part(0, int64(i), int64(i)))
	}
	if points = tp.Points()[0].Points; len(points) != throughputPoints || points[899].Published != 1 {
		t.Errorf("%d points", len(points))
	}
}

func TestMetricNames(t *testing.T) {
	f := newTables()
	var reg *prometheus.Registry
	_, base := serve(t, f, func(c *Config) { reg = c.Registry })
	f.put("1", activity("Anna", 3, 4))
	fetch(t, "GET", base+"/v1/users/1")
	_, body := fetch(t, "GET", base+"/metrics")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	for _, want := range []string{`potok_http_requests_total{code="200",route="/v1/users/{user_id}"} 1`, `potok_view_rows{result="complete"}`, `potok_raw_lag_records{topic="events"} 5`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if err := reg.Register(newCollector(f.index, f, nil)); err == nil {
		t.Error("registered twice")
	}
}
