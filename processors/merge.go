package processors

import (
	"bytes"
	"fmt"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
)

// MergeRows returns the rule for rows that are read from changelogs: a row never goes back. An owner that was paused past
// its session time-out may append rows that are older than its successor's; what is kept is the newer of the two, so that
// such a row does no harm.
func MergeRows(n codecs.Names, m *Metrics) engine.Merge {
	return func(topic string, old, incoming []byte) (kept []byte, stale bool, err error) {
		if bytes.Equal(old, incoming) {
			return incoming, false, nil
		}
		diverged := false
		switch topic {
		case n.UsersTable():
			kept, err = mergeUsers(old, incoming)
		case n.ActivityTable():
			kept, diverged, err = mergeActivities(old, incoming)
		case n.EventTypesTable():
			kept, diverged, err = mergeTallies(old, incoming)
		default:
			return nil, false, fmt.Errorf("no rule to merge rows of %s", topic)
		}
		if diverged {
			m.stale(topic, true)
		}
		return kept, err == nil && !bytes.Equal(kept, incoming), err
	}
}

func mergeUsers(old, incoming []byte) ([]byte, error) {
	o, err := codecs.DecodeUser(old)
	if err != nil {
		return nil, err
	}
	i, err := codecs.DecodeUser(incoming)
	if err != nil {
		return nil, err
	}
	if codecs.NewerUser(i, o) == i {
		return incoming, nil
	}
	return old, nil
}

func mergeTallies(old, incoming []byte) (kept []byte, diverged bool, err error) {
	o, err := codecs.DecodeTally(old)
	if err != nil {
		return nil, false, err
	}
	i, err := codecs.DecodeTally(incoming)
	if err != nil {
		return nil, false, err
	}
	later, diverged := codecs.MergeTallies(i, o)
	if later == i {
		return incoming, diverged, nil
	}
	return old, diverged, nil
}

func mergeActivities(old, incoming []byte) (kept []byte, diverged bool, err error) {
	if newer, err := codecs.ActivitySupersedes(incoming, old); newer || err != nil {
		return incoming, false, err
	}
	o, err := codecs.DecodeActivity(old)
	if err != nil {
		return nil, false, err
	}
	i, err := codecs.DecodeActivity(incoming)
	if err != nil {
		return nil, false, err
	}
	later, diverged := codecs.MergeActivities(i, o)
	return codecs.AppendActivity(nil, later), diverged, nil
}
