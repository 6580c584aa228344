package processors

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

// Metrics are what the stages tell Prometheus. A nil *Metrics takes everything and does nothing.
type Metrics struct {
	records  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	rejected *prometheus.CounterVec
	flush    *prometheus.HistogramVec
	batch    *prometheus.HistogramVec
	fresh    *prometheus.CounterVec
	repeated *prometheus.CounterVec
	merged   *prometheus.CounterVec
}

// NewMetrics registers the stages' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		records:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "potok_raw_records_total", Help: "Raw records read, valid or not."}, []string{"stage"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "potok_raw_bytes_total", Help: "Bytes of keys and values of the raw records read."}, []string{"stage"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "potok_raw_rejected_total", Help: "Raw records sent to the dead letter queue by this process, repeats included."}, []string{"stage", "reason"}),
		flush:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "potok_flush_duration_seconds", Help: "Time from closing a batch until all of it is acknowledged, and committed if that is due.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"stage"}),
		batch:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "potok_flush_records", Help: "Records that a batch became.", Buckets: prometheus.ExponentialBuckets(1, 4, 11)}, []string{"stage"}),
		fresh:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "potok_occurrences_counted_total", Help: "Occurrences that were new to a row."}, []string{"stage"}),
		repeated: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "potok_batches_repeated_total", Help: "Batches that held nothing new to their row."}, []string{"stage"}),
		merged:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "potok_stale_rows_total", Help: "Changelog rows that were older than what was there; diverged ones point to a defect."}, []string{"table", "kind"}),
	}
	// What may never happen is known from the start, so that the first time is an increase.
	for _, stage := range []string{"activity", "event-types"} {
		m.fresh.WithLabelValues(stage)
		m.repeated.WithLabelValues(stage)
	}
	for _, stage := range []string{rekeyUsers, rekeyEvents} {
		for _, reason := range codecs.Reasons() {
			m.rejected.WithLabelValues(stage, string(reason))
		}
	}
	r.MustRegister(m.records, m.bytes, m.rejected, m.flush, m.batch, m.fresh, m.repeated, m.merged)
	return m
}

func (m *Metrics) read(stage string, records []*kgo.Record) {
	if m == nil {
		return
	}
	bytes := 0
	for _, r := range records {
		bytes += len(r.Key) + len(r.Value)
	}
	m.records.WithLabelValues(stage).Add(float64(len(records)))
	m.bytes.WithLabelValues(stage).Add(float64(bytes))
}

func (m *Metrics) reject(stage string, reason codecs.Reason) {
	if m != nil {
		m.rejected.WithLabelValues(stage, string(reason)).Inc()
	}
}

func (m *Metrics) flushed(stage string, records int, took time.Duration) {
	if m != nil {
		m.flush.WithLabelValues(stage).Observe(took.Seconds())
		m.batch.WithLabelValues(stage).Observe(float64(records))
	}
}

func (m *Metrics) counted(stage string, fresh int64) {
	if m == nil {
		return
	}
	if fresh > 0 {
		m.fresh.WithLabelValues(stage).Add(float64(fresh))
	} else {
		m.repeated.WithLabelValues(stage).Inc()
	}
}

func (m *Metrics) stale(table string, diverged bool) {
	if m == nil {
		return
	}
	kind := "stale"
	if diverged {
		kind = "diverged"
	}
	m.merged.WithLabelValues(table, kind).Inc()
}
