package kafka

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TestOffsets: brokers that don't know yet who leads a partition are asked again; what does not pass is said at once, and
// what is wrong with a partition that nobody asks for does not matter.
func TestOffsets(t *testing.T) {
	t.Parallel()
	with := func(partition int32, err error) kadm.ListedOffsets {
		l := kadm.ListedOffsets{"table": {0: {Partition: 0, Offset: 40}, 1: {Partition: 1, Offset: 41}}}
		if err != nil {
			l["table"][partition] = kadm.ListedOffset{Partition: partition, Offset: -1, Err: err}
		}
		return l
	}
	for _, c := range []struct {
		name  string
		first kadm.ListedOffsets // answer to the first two questions
		of    []int32
		want  map[int32]int64
		err   error
		asks  int
	}{
		{name: "all", first: with(0, nil), want: map[int32]int64{0: 40, 1: 41}, asks: 1},
		{name: "one", first: with(0, nil), of: []int32{1}, want: map[int32]int64{1: 41}, asks: 1},
		{name: "no leader yet", first: with(1, kerr.NotLeaderForPartition), want: map[int32]int64{0: 40, 1: 41}, asks: 3},
		{name: "leader does not know yet", first: with(1, kerr.UnknownTopicOrPartition), of: []int32{1}, want: map[int32]int64{1: 41}, asks: 3},
		{name: "leader of the topic", first: with(-1, kerr.LeaderNotAvailable), of: []int32{1}, want: map[int32]int64{1: 41}, asks: 3},
		{name: "another one has no leader", first: with(0, kerr.NotLeaderForPartition), of: []int32{1}, want: map[int32]int64{1: 41}, asks: 1},
		{name: "not allowed", first: with(1, kerr.TopicAuthorizationFailed), err: kerr.TopicAuthorizationFailed, asks: 1},
		{name: "no such topic", first: with(-1, kerr.UnknownTopicOrPartition), of: []int32{1}, err: ErrNoTopic, asks: 1},
		{name: "nothing", first: kadm.ListedOffsets{}, err: ErrNoTopic, asks: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			asks := 0
			list := func(context.Context, ...string) (kadm.ListedOffsets, error) {
				if asks++; asks < 3 {
					return c.first, nil
				}
				return with(0, nil), nil
			}
			got, err := Offsets(t.Context(), list, "table", c.of...)
			if asks != c.asks || !maps.Equal(got, c.want) || !errors.Is(err, c.err) {
				t.Errorf("%v, %v after %d questions", got, err, asks)
			}
		})
	}
	list := func(context.Context, ...string) (kadm.ListedOffsets, error) { return with(0, nil), nil }
	if got, err := Offsets(t.Context(), list, "table", 2); err == nil {
		t.Errorf("of a partition that is not there: %v", got)
	}
}
