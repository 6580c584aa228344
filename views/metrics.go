package views

import (
	"errors"

	"github.com/potok-streams/potok/codecs"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the package tells Prometheus.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	stalled   prometheus.Counter
}

func newMetrics(reg *prometheus.Registry, x *Index, meter LagMeter, f *frames) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "potok_http_requests_total", Help: "HTTP requests answered.",
		}, []string{"route", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "potok_http_request_duration_seconds", Help: "Time to answer an HTTP request, streams aside.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 3, 10),
		}, []string{"route"}),
		stalled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "potok_sse_stalled_total", Help: "Streams dropped because the client took nothing.",
		}),
	}
	return m, errors.Join(reg.Register(m.requests), reg.Register(m.durations), reg.Register(m.stalled),
		reg.Register(newCollector(x, meter, f)))
}

// collector reads the figures that the index has anyway.
type collector struct {
	index                                  *Index
	meter                                  LagMeter
	frames                                 *frames
	rejected, lost, rows, lag, all, events *prometheus.Desc
	clients                                *prometheus.Desc
}

func newCollector(x *Index, meter LagMeter, f *frames) *collector {
	desc := prometheus.NewDesc
	return &collector{
		index: x, meter: meter, frames: f,
		rejected: desc("potok_messages_rejected_total", "Raw records that are not valid.", []string{"topic", "reason"}, nil),
		lost:     desc("potok_messages_lost_total", "Raw records that expired before they were read.", []string{"topic"}, nil),
		rows:     desc("potok_view_rows", "Rows in the index: complete ones are in result A.", []string{"result"}, nil),
		events:   desc("potok_view_events", "Valid events counted.", nil, nil),
		lag:      desc("potok_raw_lag_records", "Records of a raw topic not read yet.", []string{"topic"}, nil),
		all:      desc("potok_lag_records", "Records not in the answers yet: raw topics, streams and changelogs.", nil, nil),
		clients:  desc("potok_sse_clients", "Streams open.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.rejected, c.lost, c.rows, c.events, c.lag, c.all, c.clients} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	for _, own := range c.index.ownCounts() {
		switch own.Kind {
		case codecs.Rejected:
			emit(c.rejected, prometheus.CounterValue, float64(own.Count), own.Topic, string(own.Reason))
		case codecs.Lost:
			emit(c.lost, prometheus.CounterValue, float64(own.Count), own.Topic)
		}
	}
	sizes := c.index.sizes()
	emit(c.rows, prometheus.GaugeValue, float64(sizes.Complete), "complete")
	emit(c.rows, prometheus.GaugeValue, float64(sizes.Rest), "rest")
	_, total, _ := c.index.eventTypes(false)
	emit(c.events, prometheus.GaugeValue, float64(total))
	emit(c.clients, prometheus.GaugeValue, float64(c.frames.readerCount()))
	latest := c.meter.Latest()
	if latest.At.IsZero() {
		return
	}
	emit(c.all, prometheus.GaugeValue, float64(latest.Total))
	lag := make(map[string]int64)
	for _, p := range latest.Partitions {
		lag[p.Topic] += p.Lag
	}
	for topic, n := range lag {
		emit(c.lag, prometheus.GaugeValue, float64(n), topic)
	}
}
