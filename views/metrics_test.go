package views

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/potok-streams/potok/codecs"
)

func TestMetrics(t *testing.T) {
	f := newTables()
	var cfg Config
	s, base := serve(t, f, func(c *Config) { cfg = *c; c.MaxStreams = 1 })
	f.put("1", activity("Anna", 3, 4))
	f.put("2", activity("Boris", 0, 0))
	f.index.ApplyCount(codecs.Counter{Kind: codecs.Rejected, Reason: codecs.NotJSON, Topic: "users"}.Key(), &codecs.Tally{Count: 3})
	f.index.ApplyCount(codecs.Counter{Kind: codecs.Lost, Topic: "events"}.Key(), &codecs.Tally{Count: 9})
	fetch(t, http.MethodGet, base+"/v1/users/1")
	fetch(t, http.MethodGet, base+"/v1/users?limit=1&include=all")
	fetch(t, http.MethodGet, base+"/v1/users?q=nobody")
	fetch(t, http.MethodGet, base+"/v1/users?limit=0")
	fetch(t, http.MethodGet, base+"/v1/nothing")
	events := listen(t, t.Context(), base+"/v1/stream", "")
	<-events
	fetch(t, http.MethodGet, base+"/v1/stream") // one too many

	_, body := fetch(t, http.MethodGet, base+"/metrics")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	for _, want := range []string{
		`potok_http_requests_total{code="200",route="/v1/users/{user_id}"} 1`,
		`potok_http_requests_total{code="404",route="other"} 1`,
		`potok_http_request_duration_seconds_count{code="422",route="/v1/users"} 1`,
		`potok_http_page_read_rows_sum{kind="list"} 2`,
		`potok_http_page_read_rows_count{kind="search"} 1`,
		`potok_sse_streams_total 1`, `potok_sse_clients 1`, `potok_sse_dropped_total{reason="refused"} 1`, `potok_sse_dropped_total{reason="stalled"} 0`,
		`potok_view_rows{result="complete"} 1`, `potok_view_rows{result="rest"} 1`, `potok_view_index_updates_total 2`,
		`potok_messages_rejected_total{reason="not_json",topic="users"} 3`, `potok_messages_rejected_total{reason="too_deep",topic="users"} 0`,
		`potok_messages_rejected_total{reason="not_json",topic="events"} 0`,
		`potok_messages_lost_total{topic="events"} 9`, `potok_messages_lost_total{topic="users"} 0`,
		`potok_lag_records{kind="raw",reader="g-events",topic="events"} 5`, `potok_lag_seconds{kind="raw",reader="g-events",topic="events"} 1.5`,
		`potok_lag_measured_timestamp_seconds 1.700000000123e+09`,
		`potok_raw_published_records_total{topic="events"} 15`, `potok_raw_committed_records_total{topic="events"} 10`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if strings.Contains(body, "\npotok_sse_sent_bytes_total 0\n") {
		t.Error("the stream has sent something")
	}
	if strings.Contains(body, `potok_http_request_duration_seconds_count{code="503",route="/v1/stream"}`) {
		t.Error("streams are in the durations")
	}
	// What a table says while it is being restored is not so.
	f.set(func() { f.unready = true })
	if _, body = fetch(t, http.MethodGet, base+"/metrics"); strings.Contains(body, "potok_messages_") {
		t.Error("the counters of a table that is being restored are served")
	}
	if err := cfg.Registry.Register(newCollector(s.cfg, nil)); !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
		t.Errorf("registered twice: %v", err)
	}
}
