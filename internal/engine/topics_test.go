package engine

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lovoo/goka"
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
