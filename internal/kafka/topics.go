package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Existing returns those of the topics that exist.
func Existing(ctx context.Context, admin *kadm.Client, names ...string) (kadm.TopicDetails, error) {
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	for name, d := range details {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
			delete(details, name)
		case d.Err != nil && !errors.Is(d.Err, kerr.LeaderNotAvailable):
			return nil, fmt.Errorf("look up topic %s: %w", name, d.Err)
		}
	}
	return details, nil
}
