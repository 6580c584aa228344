package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	pause = 50 * time.Millisecond
	// A partition that was just made, or that moves, has no leader for some time: seconds where brokers have much to do.
	leaderPatience = 10 * time.Second
	namePatience   = 250 * time.Millisecond
)

// ErrNoTopic is wrapped by the error of [Offsets] of a topic that does not exist.
var ErrNoTopic = errors.New("there is no such topic")

// Listing is one of [kadm.Client]'s methods that list offsets.
type Listing func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)

// Offsets returns an offset of each partition of a topic, or of only those that are named. It waits for their leaders.
func Offsets(ctx context.Context, list Listing, topic string, partitions ...int32) (offsets map[int32]int64, err error) {
	err = persist(ctx, leaderPatience, kerr.IsRetriable, func() (err error) {
		offsets, err = listed(ctx, list, topic, partitions)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up offsets of %s: %w", topic, err)
	}
	return offsets, nil
}

func listed(ctx context.Context, list Listing, topic string, partitions []int32) (map[int32]int64, error) {
	listed, err := list(ctx, topic)
	if err != nil {
		return nil, err
	}
	answers := listed[topic]
	// What is wrong with the whole topic has no partition.
	if whole := answers[-1].Err; len(answers) == 0 || errors.Is(whole, kerr.UnknownTopicOrPartition) {
		return nil, ErrNoTopic
	} else if whole != nil {
		return nil, whole
	}
	if len(partitions) == 0 {
		partitions = slices.Collect(maps.Keys(answers))
	}
	out := make(map[int32]int64, len(partitions))
	for _, p := range partitions {
		switch o, ok := answers[p]; {
		case !ok:
			return nil, fmt.Errorf("it has no partition %d", p)
		case o.Err != nil:
			return nil, fmt.Errorf("partition %d: %w", p, o.Err)
		default:
			out[p] = o.Offset
		}
	}
	return out, nil
}

// Committed returns what a consumer group has committed. A group that does not exist yet has committed nothing.
func Committed(ctx context.Context, admin *kadm.Client, group string) (offsets kadm.OffsetResponses, err error) {
	// The answer names topics by id, and franz-go looks the names up in its cache of metadata, where another request may
	// just have dropped them.
	noName := func(err error) bool { return errors.Is(err, kerr.UnknownTopicID) }
	err = persist(ctx, namePatience, noName, func() (err error) {
		if offsets, err = admin.FetchOffsets(ctx, group); err != nil {
			return err
		}
		return offsets.Error()
	})
	if errors.Is(err, kerr.GroupIDNotFound) {
		return kadm.OffsetResponses{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up committed offsets of group %s: %w", group, err)
	}
	return offsets, nil
}

// persist asks again for as long as patience lasts while the error is one that passes.
func persist(ctx context.Context, patience time.Duration, passes func(error) bool, ask func() error) error {
	for began := time.Now(); ; {
		err := ask()
		if !passes(err) || time.Since(began) > patience {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
