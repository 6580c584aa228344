package processors

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/internal/kafka"
)

// The group's callbacks. offsetsFetched and startOffsets run beside the loop, and leave what they learn under mu; revoked
// and lostPartitions have the loop's fields to themselves (see rekeyLoop).

// offsetsFetched keeps what was committed, and for which incarnation of the topic.
func (l *rekeyLoop) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metadata = map[int32]committed{}
	keep := func(partition int32, offset int64, metadata *string) {
		if offset >= 0 && metadata != nil {
			l.metadata[partition] = committed{offset, *metadata}
		}
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			keep(p.Partition, p.Offset, p.Metadata)
		}
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				keep(p.Partition, p.Offset, p.Metadata)
			}
		}
	}
	return nil
}

// startOffsets says where to start on newly assigned partitions: where the commit says if it is this incarnation's, else
// at the beginning, and never before the first offset that is still there.
func (l *rekeyLoop) startOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	partitions := slices.Collect(maps.Keys(offsets[l.stage.rawTopic]))
	starts, err := kafka.Offsets(ctx, l.admin.ListStartOffsets, l.stage.rawTopic, partitions...)
	if err != nil {
		return nil, err
	}
	ends, err := kafka.Offsets(ctx, l.admin.ListCommittedOffsets, l.stage.rawTopic, partitions...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id := fmt.Sprintf("%x", l.topic)
	for _, partition := range partitions {
		a := assignment{partition: partition, start: starts[partition], end: ends[partition]}
		if c, ok := l.metadata[partition]; ok && c.topic == id {
			a.committed = c.offset
		}
		l.assigned = append(l.assigned, a)
		offsets[l.stage.rawTopic][partition] = kgo.NewOffset().At(max(a.committed, a.start))
	}
	return offsets, nil
}

// joined says that the stage is at work, with or without partitions.
func (l *rekeyLoop) joined(context.Context, *kgo.Client, map[string][]int32) { l.onJoined() }

// noticeAssignments takes in what startOffsets has left.
func (l *rekeyLoop) noticeAssignments() {
	l.mu.Lock()
	assigned := l.assigned
	l.assigned = nil
	l.mu.Unlock()
	for _, a := range assigned {
		if a.committed < a.start {
			l.noteLost(a.partition, a.committed, a.start)
		}
		l.next[a.partition] = max(a.committed, a.start)
		l.ends[a.partition] = a.end
	}
}

// revoked finishes what is pending before partitions go to somebody else.
func (l *rekeyLoop) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	<-l.made
	l.noticeAssignments()
	if err := l.drain(); err != nil {
		l.end(fmt.Errorf("give up partitions: %w", err))
	}
	l.forget(partitions)
}

// lostPartitions ends the stage: somebody else may have the partitions by now, so that nothing that is pending can be
// committed. The stage starts again from what is.
func (l *rekeyLoop) lostPartitions(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	l.forget(partitions)
	l.end(fmt.Errorf("group %s took partitions of %s away", l.stage.group, l.stage.rawTopic))
}

func (l *rekeyLoop) forget(partitions map[string][]int32) {
	for _, p := range partitions[l.stage.rawTopic] {
		delete(l.next, p)
		delete(l.ends, p)
	}
}
