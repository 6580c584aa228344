//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// oracle knows what must be served. It learns from two sides that have to agree: what the broker acknowledged to the
// publishers, and what can be read of the raw topics. It shares no code with Potok.
type oracle struct {
	addr   string
	names  names
	ledger *ledger

	next     map[string]map[int32]int64 // where to read on
	seen     []bool                     // by number
	users    map[int32]version
	counts   map[int32]*tally
	types    map[int32]uint64
	rejected map[origin]int // number of the message
	records  int
}

type version struct {
	timestamp int64
	partition int32
	offset    int64
	number    int
}

func (v version) older(w version) bool {
	switch {
	case v.timestamp != w.timestamp:
		return v.timestamp < w.timestamp
	case v.partition != w.partition:
		return v.partition < w.partition
	default:
		return v.offset < w.offset
	}
}

type tally struct {
	events      map[int32]uint64
	first, last int64
}

type origin struct {
	topic     string
	partition int32
	offset    int64
}

func newOracle(addr string, n names, l *ledger) *oracle {
	return &oracle{
		addr: addr, names: n, ledger: l, next: map[string]map[int32]int64{n.users: {}, n.events: {}},
		users: map[int32]version{}, counts: map[int32]*tally{}, types: map[int32]uint64{}, rejected: map[origin]int{},
	}
}

// catchUp reads the raw topics to their ends, where nobody may be publishing. An error says that the broker or the harness
// has gone wrong, not Potok.
func (o *oracle) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ends, err := o.endsOf(ctx, o.names.users, o.names.events)
	if err != nil {
		return err
	}
	from, left := map[string]map[int32]kgo.Offset{}, 0
	for topic, partitions := range ends {
		from[topic] = map[int32]kgo.Offset{}
		for p, end := range partitions {
			if o.next[topic][p] < end {
				left++
			}
			from[topic][p] = kgo.NewOffset().At(o.next[topic][p])
		}
	}
	if left == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.addr), kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords()) // else the position stays behind a marker at the end
	if err != nil {
		return err
	}
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("read the raw topics: %d partitions are not at their ends: %w", left, ctx.Err())
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if e := o.take(r); e != nil {
				err = errors.Join(err, e)
			}
			end := ends[r.Topic][r.Partition]
			if before := o.next[r.Topic][r.Partition]; before < end && r.Offset+1 >= end {
				left--
			}
			o.next[r.Topic][r.Partition] = r.Offset + 1
		})
		if err != nil {
			return err
		}
	}
	return o.complete()
}

// endsOf waits until no transaction is open and returns the ends of topics.
func (o *oracle) endsOf(ctx context.Context, topics ...string) (map[string]map[int32]int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.addr))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	for {
		ends, err := admin.ListEndOffsets(ctx, topics...)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return nil, err
		}
		stable, err := admin.ListCommittedOffsets(ctx, topics...)
		if err == nil {
			err = stable.Error()
		}
		if err != nil {
			return nil, err
		}
		out, open := map[string]map[int32]int64{}, false
		ends.Each(func(e kadm.ListedOffset) {
			if out[e.Topic] == nil {
				out[e.Topic] = map[int32]int64{}
			}
			out[e.Topic][e.Partition] = e.Offset
			s, ok := stable.Lookup(e.Topic, e.Partition)
			open = open || !ok || s.Offset != e.Offset
		})
		if !open {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("a transaction stays open: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// take adds a raw record to what must be served.
func (o *oracle) take(r *kgo.Record) error {
	if r.Attrs.IsControl() {
		return nil
	}
	at := origin{r.Topic, r.Partition, r.Offset}
	number := -1
	for _, h := range r.Headers {
		if h.Key == headerNumber {
			number, _ = strconv.Atoi(string(h.Value))
		}
	}
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	if number < 0 || number >= len(o.ledger.messages) {
		return fmt.Errorf("raw record %v is nobody's", at)
	}
	m := &o.ledger.messages[number]
	for len(o.seen) < len(o.ledger.messages) {
		o.seen = append(o.seen, false)
	}
	switch {
	case m.fate == dropped:
		return fmt.Errorf("raw record %v: message %d was in an aborted transaction", at, number)
	case m.fate == published && (m.partition != r.Partition || m.offset != r.Offset):
		return fmt.Errorf("raw record %v: message %d was acknowledged at %d/%d", at, number, m.partition, m.offset)
	case r.Timestamp.UnixMilli() != m.timestamp:
		return fmt.Errorf("raw record %v: message %d had another time stamp", at, number)
	}
	o.seen[number] = true // an uncertain one may well be there twice, and then it counts twice
	o.records++
	switch {
	case m.bad:
		o.rejected[at] = number
	case m.users:
		v := version{m.timestamp, r.Partition, r.Offset, number}
		if known, ok := o.users[m.user]; !ok || known.older(v) {
			o.users[m.user] = v
		}
	default:
		t := o.counts[m.user]
		if t == nil {
			t = &tally{events: map[int32]uint64{}, first: m.timestamp, last: m.timestamp}
			o.counts[m.user] = t
		}
		t.events[m.event]++
		t.first, t.last = min(t.first, m.timestamp), max(t.last, m.timestamp)
		o.types[m.event]++
	}
	return nil
}

// complete checks that all that was acknowledged was read.
func (o *oracle) complete() error {
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	for number, m := range o.ledger.messages {
		if m.fate == published && (number >= len(o.seen) || !o.seen[number]) {
			return fmt.Errorf("message %d was acknowledged at %d/%d and can't be read there: the broker lost it", number, m.partition, m.offset)
		}
		if m.fate == pending {
			return fmt.Errorf("message %d is still pending", number)
		}
	}
	return nil
}

// want returns what the view must serve.
func (o *oracle) want() results {
	w := results{users: map[string]row{}, types: map[string]uint64{}}
	for u, v := range o.users {
		name, email := person(v.number), mail(v.number)
		w.users[userID(u)] = row{Name: &name, Email: &email, Events: map[string]uint64{}}
		w.stats.UsersKnown++
	}
	for u, t := range o.counts {
		r, known := w.users[userID(u)]
		r.Events = map[string]uint64{}
		for e, n := range t.events {
			r.Events[eventTypes[e]] = n
			r.Count += n
		}
		r.First, r.Last = &t.first, &t.last
		w.users[userID(u)] = r
		w.stats.Counted += r.Count
		if known {
			w.stats.WithEvents++
		} else {
			w.stats.UnknownEvents += r.Count
		}
	}
	for e, n := range o.types {
		w.types[eventTypes[e]] = n
	}
	w.stats.Rejected = uint64(len(o.rejected))
	return w
}
