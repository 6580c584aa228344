package views

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Partition is how far the reading of one raw partition is.
type Partition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Position  int64  `json:"position" doc:"The next offset to read"`
	End       int64  `json:"end" doc:"The next offset to be written"`
	Lag       int64  `json:"lag"`
}

// Lag is one measurement of what is not in the answers yet.
type Lag struct {
	At         time.Time // when it was begun; zero: there is none
	Total      int64     // raw topics, streams and changelogs together, measured upstream first
	Partitions []Partition
	Readers    []ReaderLag // of all these topics; they add up to Total
}

// ReaderLag is how far behind the reader of a topic is.
type ReaderLag struct {
	Kind    string // raw, stream or table
	Topic   string
	Reader  string // its consumer group, or "view"
	Records int64
	Age     time.Duration // of the first record that is not read: of the partition where that is oldest. See [ages.observe]
}

// LagMeter measures lag. Both methods may be called concurrently.
type LagMeter interface {
	// Latest returns the latest measurement, at most a second old while the brokers answer. It does not wait.
	Latest() Lag
	// Measure begins a measurement after the call and waits for it.
	Measure(ctx context.Context) (Lag, error)
}

const (
	lagHeader     = "Potok-Lag"
	lagTimeHeader = "Potok-Lag-Time"
)

func setLag(h http.Header, l Lag) {
	if l.At.IsZero() {
		return
	}
	h.Set(lagHeader, strconv.FormatInt(l.Total, 10))
	// Cut, not rounded: the time promises that everything before it is in the answer.
	h.Set(lagTimeHeader, l.At.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z"))
}
