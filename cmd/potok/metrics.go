package main

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/potok-streams/potok/internal/app"
	"github.com/potok-streams/potok/internal/engine"
)

// newRegistry returns a registry with what is the same for all commands that have one: the runtime's figures, how the
// stages are, and what is left of the disk that dir is on.
func newRegistry(health *app.Health, dir string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newStageCollector(health, dir))
	return r
}

// stageCollector tells how the stages are when somebody asks.
type stageCollector struct {
	health *app.Health
	dir    string

	build, ready, starts, failures, left, partitions, free, size *prometheus.Desc
}

func newStageCollector(health *app.Health, dir string) *stageCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &stageCollector{
		health: health, dir: dir,
		build:      desc("potok_build_info", "Always 1; the labels say what is running.", "version", "go_version"),
		ready:      desc("potok_stage_ready", "Whether a stage does its work (1) or is starting, restoring its tables or failing (0).", "stage"),
		starts:     desc("potok_stage_starts_total", "Starts of a stage, the first one included.", "stage"),
		failures:   desc("potok_stage_failures_total", "Failures of a stage; it is started again after each.", "stage"),
		left:       desc("potok_restore_left_records", "Changelog records, those that are compacted away included, that a stage has still to read until its copy of a table is as the table was at the start.", "stage", "table"),
		partitions: desc("potok_table_partitions", "Partitions of a table that a stage has open, by whether they are restored.", "stage", "table", "state"),
		free:       desc("potok_data_dir_free_bytes", "What is left to this user on the file system of --data-dir."),
		size:       desc("potok_data_dir_size_bytes", "The size of the file system of --data-dir."),
	}
}

// Describe implements prometheus.Collector.
func (c *stageCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.build, c.ready, c.starts, c.failures, c.left, c.partitions, c.free, c.size} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stageCollector) Collect(ch chan<- prometheus.Metric) {
	emit := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	emit(c.build, prometheus.GaugeValue, 1, version, runtime.Version())
	if free, size, known := fileSystem(c.dir); known {
		emit(c.free, prometheus.GaugeValue, float64(free))
		emit(c.size, prometheus.GaugeValue, float64(size))
	}
	for _, s := range c.health.States() {
		ready := 0.0
		if s.Ready {
			ready = 1
		}
		emit(c.ready, prometheus.GaugeValue, ready, s.Stage)
		emit(c.starts, prometheus.CounterValue, float64(s.Starts), s.Stage)
		emit(c.failures, prometheus.CounterValue, float64(s.Failures), s.Stage)
		tables, _ := s.Progress.([]engine.Progress)
		for table, p := range restores(tables) {
			emit(c.left, prometheus.GaugeValue, float64(p.left), s.Stage, table)
			emit(c.partitions, prometheus.GaugeValue, float64(p.restored), s.Stage, table, "restored")
			emit(c.partitions, prometheus.GaugeValue, float64(p.restoring), s.Stage, table, "restoring")
		}
	}
}

// restore is how far the recovery of a table is, over its partitions.
type restore struct{ left, restored, restoring int64 }

func restores(progress []engine.Progress) map[string]restore {
	tables := map[string]restore{}
	for _, p := range progress {
		r := tables[p.Table]
		if p.Done {
			r.restored++
		} else {
			r.restoring++
			r.left += max(p.End-p.Offset-1, 0)
		}
		tables[p.Table] = r
	}
	return tables
}
