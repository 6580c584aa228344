package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Committed returns what a consumer group has committed. A group that does not exist yet has committed nothing.
func Committed(ctx context.Context, admin *kadm.Client, group string) (kadm.OffsetResponses, error) {
	for try := 1; ; try++ {
		offsets, err := admin.FetchOffsets(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return kadm.OffsetResponses{}, nil
		}
		if err == nil {
			err = offsets.Error()
		}
		switch {
		case err == nil:
			return offsets, nil
		case errors.Is(err, kerr.UnknownTopicID) && try < maxTries && ctx.Err() == nil:
			// The answer names topics by id, and franz-go looks the names up in its cache of metadata, where another
			// request may just have dropped them.
			select {
			case <-time.After(offsetsPause):
			case <-ctx.Done():
			}
		default:
			return nil, fmt.Errorf("look up committed offsets of group %s: %w", group, err)
		}
	}
}

const (
	maxTries     = 5
	offsetsPause = 50 * time.Millisecond
)
