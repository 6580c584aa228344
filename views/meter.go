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
	ages   ages
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
	raw, err := m.readers(ctx, kindRaw, m.admin.ListCommittedOffsets, map[string]string{n.Users: n.RekeyUsersGroup(), n.Events: n.RekeyEventsGroup()})
	if err != nil {
		return Lag{}, err
	}
	for _, r := range raw {
		l.Partitions = append(l.Partitions, r.partitions...)
	}
	streams, err := m.readers(ctx, kindStream, m.admin.ListEndOffsets, map[string]string{
		n.UsersStream(): n.UsersGroup(), n.ActivityStream(): n.ActivityGroup(), n.EventTypesStream(): n.EventTypesGroup(),
	})
	if err != nil {
		return Lag{}, err
	}
	users, err := m.readers(ctx, kindTable, m.admin.ListEndOffsets, map[string]string{n.UsersTable(): n.ActivityGroup()})
	if err != nil {
		return Lag{}, err
	}
	tables, err := m.views(ctx)
	if err != nil {
		return Lag{}, err
	}
	for _, r := range slices.Concat(raw, streams, users, tables) {
		reader := r.lag(&m.ages, l.At)
		l.Readers = append(l.Readers, reader)
		l.Total += reader.Records
	}
	if last := m.latest.Load(); last == nil || last.At.Before(l.At) {
		m.latest.Store(&l)
	}
	return l, nil
}

// The kinds of topics that have a lag.
const (
	kindRaw    = "raw"
	kindStream = "stream"
	kindTable  = "table"
)

// viewReader stands for the group of a reader that has none.
const viewReader = "view"

// reading is how far a topic is read.
type reading struct {
	kind, topic, reader string
	id                  kadm.TopicID
	partitions          []Partition
}

func (r reading) lag(a *ages, at time.Time) ReaderLag {
	out := ReaderLag{Kind: r.kind, Topic: r.topic, Reader: r.reader}
	for _, p := range r.partitions {
		out.Records += p.Lag
		out.Age = max(out.Age, a.observe(r.id, p, at))
	}
	return out
}

// readers measures topics that consumer groups read: first the ends, then what is committed.
func (m *Meter) readers(ctx context.Context, kind string, list kafka.Listing, groups map[string]string) ([]reading, error) {
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
	var out []reading
	for topic, group := range groups {
		committed, err := kafka.Committed(ctx, m.admin, group)
		if err != nil {
			return nil, err
		}
		r := reading{kind: kind, topic: topic, reader: group, id: details[topic].ID}
		id := fmt.Sprintf("%x", [16]byte(r.id))
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
			r.partitions = append(r.partitions, p)
		}
		slices.SortFunc(r.partitions, func(a, b Partition) int { return cmp.Compare(a.Partition, b.Partition) })
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b reading) int { return strings.Compare(a.topic, b.topic) })
	return out, nil
}

// views measures the tables: first their ends, then how far the views are.
func (m *Meter) views(ctx context.Context) ([]reading, error) {
	var out []reading
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
		r := reading{kind: kindTable, topic: topic, reader: viewReader}
		for _, end := range ends[topic] {
			r.partitions = append(r.partitions, Partition{
				Topic: topic, Partition: end.Partition, Position: next[end.Partition], End: end.Offset,
				Lag: max(end.Offset-next[end.Partition], 0),
			})
		}
		out = append(out, r)
	}
	return out, nil
}
