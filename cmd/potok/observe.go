package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/producer"
)

// stageMetrics registers metrics of one stage, whose name is their label.
type stageMetrics struct {
	registry prometheus.Registerer
	stage    string
}

func (m stageMetrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets, ConstLabels: prometheus.Labels{"stage": m.stage}})
	m.registry.MustRegister(h)
	return h
}

func (m stageMetrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"stage": m.stage}}, value))
}

// stores returns what is told of flushes to the local disk.
func (m stageMetrics) stores() func(rows int, took time.Duration) {
	seconds := m.histogram("potok_store_flush_duration_seconds", "Time to write changed rows to the local disk.", prometheus.ExponentialBuckets(0.0001, 3, 11))
	sizes := m.histogram("potok_store_flush_rows", "Rows written to the local disk at once.", prometheus.ExponentialBuckets(1, 4, 10))
	return func(rows int, took time.Duration) {
		seconds.Observe(took.Seconds())
		sizes.Observe(float64(rows))
	}
}

// producer returns what is told of requests with records.
func (m stageMetrics) producer() producer.Timing {
	seconds := m.histogram("potok_produce_request_duration_seconds", "Time until the brokers have acknowledged a request with records.", prometheus.ExponentialBuckets(0.0005, 2, 14))
	return func(took time.Duration) { seconds.Observe(took.Seconds()) }
}

// pending registers what of a stage with a table is on its way.
func (m stageMetrics) pending(p *engine.Processor) {
	m.gauge("potok_commit_gate_depth_records", "Records of its input that a stage has been given and that are not ready to be committed.", func() float64 {
		input, _ := p.Pending()
		return float64(input)
	})
	m.gauge("potok_table_in_flight_records", "Records of a stage's table that were sent and are not acknowledged.", func() float64 {
		_, table := p.Pending()
		return float64(table)
	})
}
