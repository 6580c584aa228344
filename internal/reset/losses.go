package reset

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

const (
	// lastRows is how many of the newest rows of each partition of the event-types table are looked at for marks of earlier
	// incarnations of the raw topics. A row keeps its marks for ever, so that any row of a type that still occurs has them.
	lastRows    = 200
	readTimeout = 20 * time.Second
)

// findLosses adds what the raw topics do not hold any more.
func (o Options) findLosses(ctx context.Context, p *Plan, existing kadm.TopicDetails) error {
	ids := map[codecs.TopicID]bool{}
	for _, raw := range []string{o.Topics.Names.Users, o.Topics.Names.Events} {
		if !existing.Has(raw) {
			if len(p.Topics) > 0 {
				p.Losses = append(p.Losses, Loss{Topic: raw, Partition: -1, Records: -1, What: raw + " does not exist: nothing of it can be recomputed"})
			}
			continue
		}
		ids[codecs.TopicID(existing[raw].ID)] = true
		starts, err := o.Admin.ListStartOffsets(ctx, raw)
		if err == nil {
			err = starts.Error()
		}
		if err != nil {
			return fmt.Errorf("look up first offsets of %s: %w", raw, err)
		}
		for _, s := range starts.Offsets().Sorted() {
			if s.At > 0 {
				p.Losses = append(p.Losses, Loss{Topic: raw, Partition: s.Partition, Records: s.At, What: fmt.Sprintf(
					"%s/%d: %d records, those below offset %d, have expired and can't be recomputed", raw, s.Partition, s.At, s.At)})
			}
		}
	}
	table := o.Topics.Names.EventTypesTable()
	if !existing.Has(table) {
		return nil
	}
	foreign, err := o.foreignMarks(ctx, table, ids)
	if err != nil {
		return err
	}
	for _, id := range foreign {
		p.Losses = append(p.Losses, Loss{Partition: -1, Records: -1, What: fmt.Sprintf(
			"%s has counted records of a raw topic that is gone (topic id %s): they can't be recomputed", table, base64.RawURLEncoding.EncodeToString(id[:]))})
	}
	return nil
}

// foreignMarks returns the topic ids in the newest rows' marks that are none of those given.
func (o Options) foreignMarks(ctx context.Context, table string, ids map[codecs.TopicID]bool) ([]codecs.TopicID, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	starts, err := o.Admin.ListStartOffsets(ctx, table)
	if err != nil {
		return nil, fmt.Errorf("look up offsets of %s: %w", table, err)
	}
	ends, err := o.Admin.ListEndOffsets(ctx, table)
	if err == nil {
		err = errors.Join(starts.Error(), ends.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("look up offsets of %s: %w", table, err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for partition, end := range ends[table] {
		start := max(starts[table][partition].Offset, end.Offset-lastRows)
		if start < end.Offset {
			from[partition], left[partition] = kgo.NewOffset().At(start), end.Offset
		}
	}
	if len(from) == 0 {
		return nil, nil
	}
	cl, err := o.Kafka.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{table: from}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var found []codecs.TopicID
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the newest rows of %s: %w", table, err)
		}
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		for r := range fetches.RecordsAll() {
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
			row, err := codecs.DecodeTally(r.Value)
			if err != nil {
				continue // it can be deleted all the same
			}
			for _, m := range row.Marks {
				if !ids[m.Topic] && !slices.Contains(found, m.Topic) {
					found = append(found, m.Topic)
				}
			}
		}
	}
	return found, nil
}
