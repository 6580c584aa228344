package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans as an OpenTelemetry collector does.
type collector struct {
	url string

	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string // that the last ones came from
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := new(collector)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collectorpb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("request to %s: %v", r.URL, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range req.ResourceSpans {
			c.resource = attributes(rs.Resource.Attributes)
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

func attributes(list []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[kv.Key] = strconv.FormatInt(v.IntValue, 10)
		}
	}
	return m
}

// tree returns the spans of a trace, a line each, below the span that they are a part of: name, kind, attributes but for those
// that all have, and how many spans of other traces it points to.
func (c *collector) tree(trace, parent string) (lines []string) {
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) != trace || hex.EncodeToString(s.ParentSpanId) != parent {
			continue
		}
		var attrs []string
		for key, v := range attributes(s.Attributes) {
			switch key {
			case "messaging.system", "messaging.destination.name", "messaging.operation.name": // see TestTraceFromMessageToTable
			case "messaging.destination.partition.id", "messaging.kafka.offset":
				if len(parent) > 0 && parent != producerSpan { // where our records end up is not the test's
					v = "*"
				}
				fallthrough
			default:
				attrs = append(attrs, strings.TrimPrefix(key, "messaging.")+"="+v)
			}
		}
		slices.Sort(attrs)
		others := 0
		for _, l := range s.Links {
			if hex.EncodeToString(l.TraceId) != trace {
				others++
			}
		}
		kind := strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"))
		line := fmt.Sprintf("%s (%s) %s", s.Name, kind, strings.Join(attrs, " "))
		if others > 0 {
			line += fmt.Sprintf(" +%d", others)
		}
		below := c.tree(trace, hex.EncodeToString(s.SpanId))
		for i := range below {
			below[i] = "  " + strings.ReplaceAll(below[i], "\n", "\n  ")
		}
		lines = append(lines, strings.Join(append([]string{line}, below...), "\n"))
	}
	slices.Sort(lines)
	return lines
}

// producerSpan is the span that published a record, in a program of somebody else.
const producerSpan = "00f067aa0ba902b7"

// traceOf makes a trace's id.
func traceOf(n int) string { return fmt.Sprintf("4bf92f3577b34da6a3ce929d0e0e%04x", n) }

// traceparent is the header of a record that its producer traces, or knows not to be traced.
func traceparent(trace string, sampled bool) []kgo.RecordHeader {
	flags := "00"
	if sampled {
		flags = "01"
	}
	return []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-" + trace + "-" + producerSpan + "-" + flags)}}
}

// tracedWorld publishes a user and four events of theirs, the second of which is rejected, to one partition each.
func tracedWorld(t *testing.T, env map[string]string, headers ...[]kgo.RecordHeader) *world {
	w := newWorld(t, env)
	w.publish(&kgo.Record{Topic: w.names.Users, Partition: 1, Headers: headers[0], Value: []byte(`{"event_timestamp":"t","user_id":"u","name":"n","email":"e"}`)}, func(*kgo.Record) {
		w.users["u"] = publication{name: "n", email: "e"}
	})
	for i, event := range []string{"click", "", "click", "focus"} {
		r := &kgo.Record{Topic: w.names.Events, Partition: 3, Headers: headers[i+1], Value: fmt.Appendf(nil, `{"event_timestamp":"t","user_id":"u","page":"p","event":"%s"}`, event)}
		if event == "" {
			r.Value = []byte("no JSON")
			w.bad(r)
			continue
		}
		w.publish(r, func(*kgo.Record) {
			if w.events["u"] == nil {
				w.events["u"] = map[string]uint64{}
			}
			w.events["u"][event]++
		})
	}
	w.acked.Wait()
	return w
}

// carried returns the traceparent headers of all records of Potok's own topics but the dead letters, and fails the test for
// other headers.
func (w *world) carried() (traces []string) {
	w.t.Helper()
	streams := []string{w.names.UsersStream(), w.names.ActivityStream(), w.names.EventTypesStream()}
	for _, topic := range append(streams, w.names.UsersTable(), w.names.ActivityTable(), w.names.EventTypesTable()) {
		for _, r := range w.records(topic) {
			for _, h := range r.Headers {
				if h.Key != "traceparent" || !slices.Contains(streams, topic) {
					w.t.Errorf("a record of %s has the header %s", topic, h.Key)
				}
				traces = append(traces, string(h.Value[3:35]))
			}
		}
	}
	slices.Sort(traces)
	return traces
}

// records reads a topic from its start to its end.
func (w *world) records(topic string) (records []*kgo.Record) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), deadline)
	defer cancel()
	ends, err := w.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	cl, err := w.kafka.Client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	left := map[int32]int64{}
	for p, o := range ends[topic] {
		if o.Offset > 0 {
			left[p] = o.Offset
		}
	}
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records
}

func TestTraceFromMessageToTable(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		user, click, rejected, again := traceOf(1), traceOf(2), traceOf(3), traceOf(4)
		w := tracedWorld(t, env, traceparent(user, true), traceparent(click, true), traceparent(rejected, true), traceparent(again, true), traceparent(traceOf(5), false))
		rnd := rand.New(rand.NewPCG(1, 1))
		w.event(rnd, "v", "focus") // comes without a trace, and does not begin one
		w.acked.Wait()
		c := startCollector(t)
		env = with(t, env, t.TempDir())
		env["OTEL_EXPORTER_OTLP_ENDPOINT"] = c.url
		env["OTEL_TRACES_SAMPLER"] = "parentbased_always_off"
		i := start(t, env, "run")
		w.settled(i)
		carried := w.carried()
		i.stop() // what has not been delivered is now

		if diff := cmp.Diff([]string{user, click, click}, carried); diff != "" {
			t.Errorf("traces that Potok's records carry (-want +got):\n%s", diff)
		}
		want := map[string]string{
			user: `process CorpAppsTopic (consumer) consumer.group.name=potok-rekey-users destination.partition.id=1 kafka.offset=0 operation.type=process
  commit CorpAppsTopic (client) batch.message_count=1 consumer.group.name=potok-rekey-users operation.type=settle
  send potok-users-stream (producer) destination.partition.id=* kafka.offset=* operation.type=send
    process potok-users-stream (consumer) consumer.group.name=potok-users destination.partition.id=* kafka.offset=* operation.type=process
      send potok-users-table (producer) destination.partition.id=* kafka.offset=* operation.type=send`,
			click: `process test (consumer) consumer.group.name=potok-rekey-events destination.partition.id=3 kafka.offset=0 operation.type=process
  commit test (client) batch.message_count=5 consumer.group.name=potok-rekey-events operation.type=settle +2
  send potok-activity-stream (producer) destination.partition.id=* kafka.offset=* operation.type=send +1
    process potok-activity-stream (consumer) consumer.group.name=potok-activity destination.partition.id=* kafka.offset=* operation.type=process
      send potok-activity-table (producer) destination.partition.id=* kafka.offset=* operation.type=send
  send potok-event-types-stream (producer) destination.partition.id=* kafka.offset=* operation.type=send +1
    process potok-event-types-stream (consumer) consumer.group.name=potok-event-types destination.partition.id=* kafka.offset=* operation.type=process
      send potok-event-types-table (producer) destination.partition.id=* kafka.offset=* operation.type=send`,
			rejected: `process test (consumer) consumer.group.name=potok-rekey-events destination.partition.id=3 error.type=not_json kafka.offset=1 operation.type=process`,
			again:    `process test (consumer) consumer.group.name=potok-rekey-events destination.partition.id=3 kafka.offset=2 operation.type=process`,
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		got := map[string]string{}
		for trace := range want {
			got[trace] = strings.Join(c.tree(trace, producerSpan), "\n")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("traces (-want +got):\n%s", diff)
		}
		lines := 0
		for _, tree := range want {
			lines += strings.Count(tree, "\n") + 1
		}
		if len(c.spans) != lines {
			t.Errorf("%d spans, of which %d are wanted", len(c.spans), lines)
		}
		for _, s := range c.spans {
			a := attributes(s.Attributes)
			if a["messaging.system"] != "kafka" || s.Name != a["messaging.operation.name"]+" "+a["messaging.destination.name"] {
				t.Errorf("%s has the attributes %v", s.Name, a)
			}
			if s.EndTimeUnixNano < s.StartTimeUnixNano {
				t.Errorf("%s has not ended", s.Name)
			}
		}
		if c.resource["service.name"] != "potok" || c.resource["service.instance.id"] == "" {
			t.Errorf("resource: %v", c.resource)
		}
	})
}

// TestNoTracesByDefault: whatever the producers do.
func TestNoTracesByDefault(t *testing.T) {
	t.Parallel()
	env := embedded(t)
	h := traceparent(traceOf(1), true)
	w := tracedWorld(t, env, h, h, h, h, h)
	i := start(t, with(t, env, t.TempDir()), "run")
	w.settled(i)
	if carried := w.carried(); len(carried) > 0 {
		t.Errorf("records carry traces: %v", carried)
	}
}

// TestTracesDisturbNothing: neither a collector that is away nor one that hangs, and every record is followed.
func TestTracesDisturbNothing(t *testing.T) {
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	for name, tc := range map[string]struct{ set, to, says string }{
		"away":    {"OTEL_EXPORTER_OTLP_ENDPOINT", away.URL, "traces can't be delivered"},
		"hanging": {"OTEL_EXPORTER_OTLP_ENDPOINT", hanging.URL, "the last spans were not delivered"},
		"grpc":    {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "there will be no traces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := embedded(t)
			w := newWorld(t, env)
			rnd := rand.New(rand.NewPCG(1, 1))
			w.some(rnd, 1000)
			env = with(t, env, t.TempDir())
			env["OTEL_TRACES_EXPORTER"], env["OTEL_TRACES_SAMPLER"], env[tc.set] = "otlp", "always_on", tc.to
			i := start(t, env, "run")
			w.some(rnd, 1000)
			w.settled(i)
			i.stop()
			if n := strings.Count(i.log.String(), tc.says); n != 1 || strings.Contains(i.log.String(), `"level":"ERROR"`) {
				t.Errorf("the log says %d times that %s:\n%s", n, tc.says, i.log)
			}
		})
	}
}
