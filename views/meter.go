package views

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
)

const (
	measureEvery = 700 * time.Millisecond // so that a measurement is never older than a second
	meterTimeout = 10 * time.Second
	// How long measuring may fail before it is an error: the first group on a new cluster has no coordinator for a moment.
	toleratedSilence = 5 * time.Second
)

// Meter measures lag against the brokers: upstream first, so that what is on its way from one stage to the next is found
// by the later question if it was missed by the earlier. It implements [LagMeter].
type Meter struct {
	admin  *kadm.Client
	names  codecs.Names
	tables map[string]Positions
	latest atomic.Pointer[Lag]
}

// Positions calls f with each partition of a view and the next changelog offset that the view will apply there.
type Positions func(f func(partition int32, next int64))

// NewMeter returns a meter; tables are the views, by their table's topic.
func NewMeter(admin *kadm.Client, n codecs.Names, tables map[string]Positions) *Meter {
	return &Meter{admin: admin, names: n, tables: tables}
}

// Run measures about every second until ctx ends.
func (m *Meter) Run(ctx context.Context, ready func()) error {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	measured := time.Now()
	for {
		_, err := m.Measure(ctx)
		switch {
		case err == nil:
			measured = time.Now()
			ready()
		case ctx.Err() == nil && time.Since(measured) > toleratedSilence:
			return fmt.Errorf("measure lag: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Latest implements [LagMeter].
func (m *Meter) Latest() Lag {
	if l := m.latest.Load(); l != nil {
		return *l
	}
	return Lag{}
}

// Measure implements [LagMeter].
func (m *Meter) Measure(ctx context.Context) (Lag, error) {
	ctx, cancel := context.WithTimeout(ctx, meterTimeout)
	defer cancel()
	l := Lag{At: time.Now()}
	n := m.names
	raw, err := m.readers(ctx, m.admin.ListCommittedOffsets, map[string]string{n.Users: n.RekeyUsersGroup(), n.Events: n.RekeyEventsGroup()})
	if err != nil {
		return Lag{}, err
	}
	l.Partitions = raw
	streams, err := m.readers(ctx, m.admin.ListEndOffsets, map[string]string{
		n.UsersStream(): n.UsersGroup(), n.ActivityStream(): n.ActivityGroup(), n.EventTypesStream(): n.EventTypesGroup(),
	})
	if err != nil {
		return Lag{}, err
	}
	users, err := m.readers(ctx, m.admin.ListEndOffsets, map[string]string{n.UsersTable(): n.ActivityGroup()})
	if err != nil {
		return Lag{}, err
	}
	tables, err := m.views(ctx)
	if err != nil {
		return Lag{}, err
	}
	for _, stage := range [][]Partition{raw, streams, users, tables} {
		for _, p := range stage {
			l.Total += p.Lag
		}
	}
	if last := m.latest.Load(); last == nil || last.At.Before(l.At) {
		m.latest.Store(&l)
	}
	return l, nil
}

// readers measures topics that consumer groups read: first the ends, then what is committed.
func (m *Meter) readers(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), groups map[string]string) ([]Partition, error) {
	topics := make([]string, 0, len(groups))
	for t := range groups {
		topics = append(topics, t)
	}
	details, err := m.admin.ListTopics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := list(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var out []Partition
	for topic, group := range groups {
		committed, err := kafka.Committed(ctx, m.admin, group)
		if err != nil {
			return nil, err
		}
		id := fmt.Sprintf("%x", [16]byte(details[topic].ID))
		for _, end := range ends[topic] {
			if end.Err != nil {
				return nil, fmt.Errorf("end of %s/%d: %w", topic, end.Partition, end.Err)
			}
			p := Partition{Topic: topic, Partition: end.Partition, End: end.Offset}
			// A rekey stage's commit says which incarnation of the topic it is of; goka's have no metadata.
			if c, ok := committed.Lookup(topic, end.Partition); ok && c.At >= 0 && (c.Metadata == "" || c.Metadata == id) {
				p.Position = c.At
			}
			p.Lag = max(p.End-p.Position, 0)
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Partition) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out, nil
}

// views measures the tables: first their ends, then how far the views are.
func (m *Meter) views(ctx context.Context) ([]Partition, error) {
	var out []Partition
	for topic, positions := range m.tables {
		ends, err := m.admin.ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("end of %s: %w", topic, err)
		}
		next := map[int32]int64{}
		positions(func(partition int32, offset int64) { next[partition] = offset })
		for _, end := range ends[topic] {
			out = append(out, Partition{
				Topic: topic, Partition: end.Partition, Position: next[end.Partition], End: end.Offset,
				Lag: max(end.Offset-next[end.Partition], 0),
			})
		}
	}
	return out, nil
}
