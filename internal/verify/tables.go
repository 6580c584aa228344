package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/views/client"
)

const waitPause = 250 * time.Millisecond

// step is one stretch of the way from the raw topics to the tables: a group that has to have read a topic so far.
type step struct {
	group, topic string
	id           string // what the commit's metadata must say; empty: anything
	ends         map[int32]int64
}

// behind returns the first partition that the group has not read so far, or an empty text.
func (s step) behind(committed kadm.OffsetResponses) string {
	for _, p := range slices.Sorted(maps.Keys(s.ends)) {
		end := s.ends[p]
		if end == 0 {
			continue
		}
		c, ok := committed.Lookup(s.topic, p)
		if !ok || c.At < 0 || s.id != "" && c.Metadata != s.id {
			return fmt.Sprintf("group %s has read nothing of %s/%d, which ended at offset %d", s.group, s.topic, p, end)
		}
		if c.At < end {
			return fmt.Sprintf("group %s is at offset %d of %s/%d, which ended at %d", s.group, c.At, s.topic, p, end)
		}
	}
	return ""
}

// await waits until the tables have passed the fixed ends. settled says that the view was seen to have everything, too;
// else, with writes going on, it is about to.
func (v *verification) await(ctx context.Context) (settled bool, err error) {
	n := v.Names
	raw := func(group string, t *rawTopic) step {
		ends := map[int32]int64{}
		for p, part := range t.parts {
			ends[p] = part.fixed
		}
		return step{group: group, topic: t.name, id: fmt.Sprintf("%x", t.id), ends: ends}
	}
	// Each stage is looked at when the one before has read everything: what it has to read is then in its topics.
	stages := []func() ([]step, error){
		func() ([]step, error) {
			return []step{raw(n.RekeyUsersGroup(), v.users), raw(n.RekeyEventsGroup(), v.events)}, nil
		},
		func() ([]step, error) {
			return v.steps(ctx, [2]string{n.UsersGroup(), n.UsersStream()}, [2]string{n.ActivityGroup(), n.ActivityStream()}, [2]string{n.EventTypesGroup(), n.EventTypesStream()})
		},
		func() ([]step, error) { return v.steps(ctx, [2]string{n.ActivityGroup(), n.UsersTable()}) },
	}
	reported := time.Now()
	behind := ""
	defer func() { // whatever was under way when the time was over
		if behind != "" && err != nil && ctx.Err() != nil {
			err = fmt.Errorf("the tables have not passed the fixed ends: %s: see whether all stages of potok process run: %w", behind, context.Cause(ctx))
		}
	}()
	for _, stage := range stages {
		steps, err := stage()
		if err != nil {
			return false, err
		}
		for {
			if settled, _, err = v.caughtUp(ctx); settled || err != nil {
				return settled, err
			}
			text, err := v.behind(ctx, steps)
			if err != nil {
				return false, err
			}
			if behind = text; behind == "" {
				break
			}
			if time.Since(reported) > reportEvery {
				reported = time.Now()
				v.Logger.Info("waiting for the tables to pass the fixed ends", "behind", behind)
			}
			if !pause(ctx, waitPause) {
				return false, ctx.Err()
			}
		}
	}
	for {
		settled, ready, err := v.caughtUp(ctx)
		if ready || err != nil {
			return settled, err
		}
		if !pause(ctx, waitPause) {
			return false, fmt.Errorf("the view at %s is not ready: %w", v.Server.URL(), context.Cause(ctx))
		}
	}
}

// steps fixes where the topics end that groups read.
func (v *verification) steps(ctx context.Context, readers ...[2]string) (out []step, err error) {
	for _, r := range readers {
		ends, err := kafka.Offsets(ctx, v.reader.admin.ListEndOffsets, r[1])
		if err != nil {
			return nil, err
		}
		out = append(out, step{group: r[0], topic: r[1], ends: ends})
	}
	return out, nil
}

func (v *verification) behind(ctx context.Context, steps []step) (string, error) {
	for _, s := range steps {
		committed, err := kafka.Committed(ctx, v.reader.admin, s.group)
		if err != nil {
			return "", err
		}
		if text := s.behind(committed); text != "" {
			return text, nil
		}
	}
	return "", nil
}

// caughtUp reports whether the view has everything that was published before the call, and whether it answers at all: while
// it restores its tables it does not.
func (v *verification) caughtUp(ctx context.Context) (caught, ready bool, err error) {
	s, err := v.Server.Stats(ctx) // measures anew
	if problem := (*client.Problem)(nil); errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("ask the view: %w", err)
	}
	for _, t := range []*rawTopic{v.users, v.events} {
		of := func(p client.Partition) bool { return p.Topic == t.name }
		if len(s.Partitions) > 0 && !slices.ContainsFunc(s.Partitions, of) {
			return false, false, fmt.Errorf("the view at %s does not know %s: check --server, --users-topic and --events-topic", v.Server.URL(), t.name)
		}
	}
	return s.Lag == 0 && !s.LagTime.IsZero(), true, nil
}

// pause reports whether it ended before ctx did.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
