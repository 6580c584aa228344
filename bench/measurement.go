package main

import (
	"errors"
	"os"
	"time"
)

// measurement is one run of one program over all the data. What could not be measured is 0.
type measurement struct {
	Case          string  `json:"case,omitempty"` // of a command that measures several
	Program       string  `json:"program"`
	Run           int     `json:"run"`
	Events        int     `json:"events"`
	Seconds       float64 `json:"seconds"` // from the process's start until both results are complete and can be asked for
	Rate          float64 `json:"events_per_second"`
	CPU           float64 `json:"cpu_seconds"` // of the program's process
	BrokerCPU     float64 `json:"broker_cpu_seconds"`
	OtherCPU      float64 `json:"other_cpu_seconds"` // of everything else on the machine: how quiet it was
	Peak          int64   `json:"peak_bytes"`        // of the process's resident memory
	Topics        int64   `json:"topic_bytes"`       // of the program's own topics, as the broker keeps them
	BrokerWritten int64   `json:"broker_written_bytes"`
	Disk          int64   `json:"disk_bytes"`               // of the program's directory after its stop
	DiskWritten   int64   `json:"written_bytes"`            // given to the file system by the program
	LiveRows      int64   `json:"live_row_bytes,omitempty"` // latest records of the tables, keys included
	Exact         bool    `json:"exact"`
}

// meter holds what was used before a program's start.
type meter struct {
	b      *bench
	broker usage
	own    usage
	system float64
}

func (b *bench) meter() (*meter, error) {
	t := &meter{b: b}
	return t, t.take(&t.broker, &t.own, &t.system)
}

// take reads what there is to be read.
func (t *meter) take(broker, own *usage, system *float64) (err error) {
	if *system, err = systemCPU(); errors.Is(err, errUnmeasured) {
		return nil
	} else if err != nil {
		return err
	}
	if *own, err = processUsage(os.Getpid()); err != nil {
		return err
	}
	if t.b.broker.pid != 0 {
		*broker, err = processUsage(t.b.broker.pid)
	}
	return err
}

// read fills in what a program has used, at the moment when it is done.
func (t *meter) read(m *measurement, p *process) error {
	m.Seconds = time.Since(p.started).Seconds()
	used, err := p.usage()
	if errors.Is(err, errUnmeasured) {
		return nil
	}
	if err != nil {
		return errors.Join(err, p.failed())
	}
	var broker, own usage
	var system float64
	if err := t.take(&broker, &own, &system); err != nil {
		return err
	}
	broker, own = broker.since(t.broker), own.since(t.own)
	m.CPU, m.Peak, m.DiskWritten = used.CPU, used.Peak, used.Written
	m.BrokerCPU, m.BrokerWritten = broker.CPU, broker.Written
	m.OtherCPU = max(0, system-t.system-used.CPU-broker.CPU-own.CPU)
	return nil
}

// since returns seconds.
func since(t time.Time) float64 { return time.Since(t).Seconds() }
