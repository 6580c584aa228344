package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/topology"
)

// group is what is known of a consumer group at one time.
type group struct {
	name     string
	state    string
	members  []string
	readings []reading
}

// reading is how far a group is in a partition.
type reading struct {
	topic     string
	partition int32
	begun     bool  // something was committed
	position  int64 // next offset to read
	start     int64
	end       int64 // of what can be read: of a raw topic, the last stable offset
	written   int64 // high watermark: what lies from end up to it waits for a transaction
}

func (g group) lag() (n int64) {
	for _, r := range g.readings {
		n += max(r.end-max(r.position, r.start), 0)
	}
	return n
}

func (g group) undecided() (n int64) {
	for _, r := range g.readings {
		n += r.written - r.end
	}
	return n
}

func (g group) rebalancing() bool {
	return strings.Contains(strings.ToLower(g.state), "rebalanc") || strings.Contains(strings.ToLower(g.state), "assigning")
}

// groups looks at all groups that read our topics.
func (o Options) groups(ctx context.Context, admin *kadm.Client, facts []topic) (out []group, err error) {
	n := o.Topics.Names
	names := []string{n.RekeyUsersGroup(), n.RekeyEventsGroup(), n.UsersGroup(), n.ActivityGroup(), n.EventTypesGroup()}
	described, err := admin.DescribeGroups(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe groups: %w", err)
	}
	for _, name := range names {
		d := described[name]
		if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
			return nil, fmt.Errorf("describe group %s: %w", name, d.Err)
		}
		g := group{name: name, state: d.State}
		for _, m := range d.Members {
			id := m.MemberID
			if m.InstanceID != nil {
				id = *m.InstanceID
			}
			g.members = append(g.members, id)
		}
		committed, err := kafka.Committed(ctx, admin, name)
		if err != nil {
			return nil, err
		}
		for _, t := range facts {
			if !slices.Contains(t.readers, name) {
				continue
			}
			readings, err := readingsOf(ctx, admin, t, committed)
			if err != nil {
				return nil, err
			}
			g.readings = append(g.readings, readings...)
		}
		out = append(out, g)
	}
	return out, nil
}

func readingsOf(ctx context.Context, admin *kadm.Client, t topic, committed kadm.OffsetResponses) (out []reading, err error) {
	listed := func(list kafka.Listing) kadm.ListedOffsets {
		l, e := list(ctx, t.name)
		if e == nil {
			e = l.Error()
		}
		err = errors.Join(err, e)
		return l
	}
	starts, ends, written := listed(admin.ListStartOffsets), listed(admin.ListCommittedOffsets), listed(admin.ListEndOffsets)
	if err != nil {
		return nil, fmt.Errorf("look up offsets of %s: %w", t.name, err)
	}
	for _, p := range t.partitions {
		r := reading{topic: t.name, partition: p.Partition, start: starts[t.name][p.Partition].Offset, written: written[t.name][p.Partition].Offset}
		r.end = min(ends[t.name][p.Partition].Offset, r.written)
		if t.kind != topology.Raw {
			r.end = r.written
		}
		c, ok := committed.Lookup(t.name, p.Partition)
		// A commit on a raw topic says which incarnation of the topic it is of.
		if ok && c.At >= 0 && (t.kind != topology.Raw || c.Metadata == "" || c.Metadata == fmt.Sprintf("%x", t.id)) {
			r.begun, r.position = true, c.At
		}
		out = append(out, r)
	}
	return out, nil
}

// judgeGroup compares two looks at a group.
func judgeGroup(before, after group, apart time.Duration) (findings []Finding) {
	add := func(level Level, what, advice string) {
		findings = append(findings, Finding{level, "groups", after.name, what, advice})
	}
	const seeLog = "see /readyz and the log of potok process"
	lag := after.lag()
	switch {
	case len(after.members) == 0:
		what := "has no members: nobody processes"
		if lag > 0 {
			what += fmt.Sprintf(", %d records wait", lag)
		}
		add(Warning, what, "start potok process or potok run")
	case before.rebalancing() && after.rebalancing():
		add(Warning, fmt.Sprintf("is %s, and was so %s ago: partitions are not processed meanwhile", after.state, apart), seeLog+": does an instance come and go?")
	default:
		if stuck := stuckPartitions(before, after); len(stuck) > 0 {
			add(Warning, fmt.Sprintf("has members, but has not moved for %s in %s", apart, strings.Join(stuck, ", ")), seeLog)
		}
	}
	var held []string
	for i, r := range after.readings {
		if r.written > r.end && i < len(before.readings) && before.readings[i].end == r.end && before.readings[i].written > r.end {
			held = append(held, fmt.Sprintf("%s/%d from offset %d on", r.topic, r.partition, r.end))
		}
	}
	if len(held) > 0 {
		add(Warning, "a transaction that is open holds back "+strings.Join(held, ", "), "kafka-transactions find-hanging says whose it is; it can be aborted there")
	}
	if len(findings) == 0 {
		level := OK
		if lag > 0 {
			level = Info
		}
		add(level, fmt.Sprintf("%d member(s), lag %d", len(after.members), lag), "")
	}
	return findings
}

// stuckPartitions are those with something to read in which the group has not moved.
func stuckPartitions(before, after group) (stuck []string) {
	for i, r := range after.readings {
		if i < len(before.readings) && before.readings[i].end > max(before.readings[i].position, r.start) && before.readings[i].position == r.position {
			stuck = append(stuck, fmt.Sprintf("%s/%d (%d waiting)", r.topic, r.partition, r.end-max(r.position, r.start)))
		}
	}
	return stuck
}
