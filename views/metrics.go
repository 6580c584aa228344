package views

import (
	"errors"
	"time"

	"github.com/potok-streams/potok/codecs"
	"github.com/prometheus/client_golang/prometheus"
)

// Why a stream was ended by us, or not begun.
const (
	dropStalled = "stalled" // the client took nothing
	dropRefused = "refused" // there are too many
	dropFailed  = "failed"  // a row could not be read
)

// metrics are what the package tells Prometheus.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	pages     *prometheus.HistogramVec
	streams   prometheus.Counter
	dropped   *prometheus.CounterVec
	sent      prometheus.Counter
}

func newMetrics(cfg Config, f *frames) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "potok_http_requests_total", Help: "HTTP requests answered, by the route's pattern; a stream counts when it ends.",
		}, []string{"route", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "potok_http_request_duration_seconds", Help: "Time to answer an HTTP request, streams aside.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 3, 10),
		}, []string{"route", "code"}),
		pages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "potok_http_page_read_rows", Help: "Rows of the index read for a page of users: about the page for a list, the rows that were tested for a search.",
			Buckets: prometheus.ExponentialBuckets(1, 10, 8),
		}, []string{"kind"}),
		streams: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "potok_sse_streams_total", Help: "Streams begun.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "potok_sse_dropped_total", Help: "Streams ended because the client took nothing (stalled) or a row could not be read (failed), or not begun because there are too many (refused).",
		}, []string{"reason"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "potok_sse_sent_bytes_total", Help: "Bytes written to streams.",
		}),
	}
	// Known from the start, so that the first one is an increase.
	for _, reason := range []string{dropStalled, dropRefused, dropFailed} {
		m.dropped.WithLabelValues(reason)
	}
	for _, kind := range []string{"list", "search"} {
		m.pages.WithLabelValues(kind)
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.durations, m.pages, m.streams, m.dropped, m.sent, newCollector(cfg, f)} {
		errs = append(errs, cfg.Registry.Register(c))
	}
	return m, errors.Join(errs...)
}

// pageCost returns what is told how many rows were read for a page.
func (m *metrics) pageCost(search bool) func(rows int) {
	kind := "list"
	if search {
		kind = "search"
	}
	return func(rows int) { m.pages.WithLabelValues(kind).Observe(float64(rows)) }
}

// collector reads the figures that are there anyway.
type collector struct {
	cfg    Config
	frames *frames

	rejected, lost, rows, events, clients  *prometheus.Desc
	updates, updateSeconds                 *prometheus.Desc
	lag, age, measured, published, commits *prometheus.Desc
}

func newCollector(cfg Config, f *frames) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{
		cfg: cfg, frames: f,
		rejected:      desc("potok_messages_rejected_total", "Raw records that are not valid, each counted once, by all instances together.", "topic", "reason"),
		lost:          desc("potok_messages_lost_total", "Raw records that expired before they were read, by all instances together.", "topic"),
		rows:          desc("potok_view_rows", "Rows in the index: complete ones are in result A.", "result"),
		events:        desc("potok_view_events", "Valid events counted."),
		clients:       desc("potok_sse_clients", "Streams open."),
		updates:       desc("potok_view_index_updates_total", "Rows brought up to date in the index's orders."),
		updateSeconds: desc("potok_view_index_update_seconds_total", "Time spent on bringing the index's orders up to date."),
		lag:           desc("potok_lag_records", "Records of a topic that its reader has not read; their sum is what is not in the answers yet.", "kind", "topic", "reader"),
		age:           desc("potok_lag_seconds", "Age of the oldest record of a topic that its reader has not read. For what was there before this program started: the time since then.", "kind", "topic", "reader"),
		measured:      desc("potok_lag_measured_timestamp_seconds", "When lag was measured last."),
		published:     desc("potok_raw_published_records_total", "Records of a raw topic: the sum of its partitions' ends.", "topic"),
		commits:       desc("potok_raw_committed_records_total", "Records of a raw topic that are read for good: the sum of its partitions' commits.", "topic"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.rejected, c.lost, c.rows, c.events, c.clients, c.updates, c.updateSeconds, c.lag, c.age, c.measured, c.published, c.commits,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	// A counter that grows while the table is being restored would look like new rejections.
	if c.cfg.Readiness.Restored() {
		c.collectCounters(emit)
	}
	x := c.cfg.Index
	sizes := x.sizes()
	emit(c.rows, prometheus.GaugeValue, float64(sizes.Complete), "complete")
	emit(c.rows, prometheus.GaugeValue, float64(sizes.Rest), "rest")
	_, total, _ := x.eventTypes(false)
	emit(c.events, prometheus.GaugeValue, float64(total))
	emit(c.clients, prometheus.GaugeValue, float64(c.frames.readerCount()))
	emit(c.updates, prometheus.CounterValue, float64(x.updates.rows.Load()))
	emit(c.updateSeconds, prometheus.CounterValue, time.Duration(x.updates.nanoseconds.Load()).Seconds())
	c.collectLag(emit)
}

// collectCounters tells of Potok's own counters. A raw topic has those for losses, and for each reason to reject a record, from the
// start, so that the first one is an increase.
func (c *collector) collectCounters(emit func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
	type cause struct {
		topic  string
		reason codecs.Reason
	}
	lost, rejected := map[string]uint64{}, map[cause]uint64{}
	for _, topic := range c.cfg.RawTopics {
		lost[topic] = 0
		for _, reason := range codecs.Reasons() {
			rejected[cause{topic, reason}] = 0
		}
	}
	for _, own := range c.cfg.Index.ownCounts() {
		switch own.Kind {
		case codecs.Rejected:
			rejected[cause{own.Topic, own.Reason}] = own.Count // a later Potok's reason, too
		case codecs.Lost:
			lost[own.Topic] = own.Count
		}
	}
	for cause, n := range rejected {
		emit(c.rejected, prometheus.CounterValue, float64(n), cause.topic, string(cause.reason))
	}
	for topic, n := range lost {
		emit(c.lost, prometheus.CounterValue, float64(n), topic)
	}
}

func (c *collector) collectLag(emit func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
	latest := c.cfg.LagMeter.Latest()
	if latest.At.IsZero() {
		return
	}
	emit(c.measured, prometheus.GaugeValue, float64(latest.At.UnixMilli())/1000)
	for _, r := range latest.Readers {
		emit(c.lag, prometheus.GaugeValue, float64(r.Records), r.Kind, r.Topic, r.Reader)
		emit(c.age, prometheus.GaugeValue, r.Age.Seconds(), r.Kind, r.Topic, r.Reader)
	}
	ends, commits := map[string]int64{}, map[string]int64{}
	for _, p := range latest.Partitions {
		ends[p.Topic] += p.End
		commits[p.Topic] += p.Position
	}
	for topic := range ends {
		emit(c.published, prometheus.CounterValue, float64(ends[topic]), topic)
		emit(c.commits, prometheus.CounterValue, float64(commits[topic]), topic)
	}
}
