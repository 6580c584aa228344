package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// asked answers the first question only.
type asked struct {
	goka.TopicManager
	times int
}

var errAway = errors.New("no broker answers")

func (a *asked) Partitions(string) ([]int32, error) {
	if a.times++; a.times > 1 {
		return nil, errAway
	}
	return []int32{0, 1}, nil
}

// TestPartitionsStayKnown: goka panics when the brokers can't tell it the partitions in the middle of setting up a session.
func TestPartitionsStayKnown(t *testing.T) {
	t.Parallel()
	m := topicManager{TopicManager: new(asked), known: new(sync.Map)}
	for range 3 {
		if got, err := m.Partitions("table"); err != nil || !slices.Equal(got, []int32{0, 1}) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := m.Partitions("another"); !errors.Is(err, errAway) {
		t.Errorf("of a topic that it knows nothing of: %v", err)
	}
}

// TestOffsetOfANewTopic: brokers that don't know yet who leads a partition are asked again; what does not pass by itself is said at once.
func TestOffsetOfANewTopic(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		asks int
	}{
		{"no leader yet", kerr.NotLeaderForPartition, 3},
		{"no such topic", kerr.UnknownTopicOrPartition, 3},
		{"not allowed", kerr.TopicAuthorizationFailed, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			asks := 0
			list := func(context.Context, ...string) (kadm.ListedOffsets, error) {
				o := kadm.ListedOffset{Topic: "table", Partition: 1, Offset: 42}
				if asks++; asks < 3 {
					o = kadm.ListedOffset{Topic: "table", Partition: 1, Offset: -1, Err: c.err}
				}
				return kadm.ListedOffsets{"table": {1: o}}, nil
			}
			got, err := offset(t.Context(), list, "table", 1)
			if known := c.asks == 3; asks != c.asks || known != (err == nil) || known && got != 42 || !known && !errors.Is(err, c.err) {
				t.Errorf("%d, %v after %d questions", got, err, asks)
			}
		})
	}
}
