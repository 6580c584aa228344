package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/producer"
)

// foreign is a stretch of our changelog that somebody else has written.
type foreign struct {
	topic     string
	partition int32
	from, to  int64 // to is not part of it
}

const (
	maxRepairs    = 256 // stretches that may wait
	repairTimeout = 30 * time.Second
)

// repair reads what somebody else wrote into our changelog and has every row that is older than ours written anew. A
// recovering or standing-by instance would do so, too; but there may be none before compaction drops the better row.
func (p *Processor) repair(ctx context.Context, st *state, out *producer.Client, stretches <-chan foreign) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-stretches:
			if err := p.repairStretch(ctx, st, out, f); err != nil {
				return fmt.Errorf("%s/%d from offset %d to %d: %w", f.topic, f.partition, f.from, f.to, err)
			}
		}
	}
}

func (p *Processor) repairStretch(ctx context.Context, st *state, out *producer.Client, f foreign) error {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	cl, err := p.cfg.Kafka.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: {f.partition: kgo.NewOffset().At(f.from)}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for { // our own row at f.to ends the stretch, or a later one if compaction has taken that
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		for _, r := range fetches.Records() {
			if r.Offset >= f.to {
				return nil
			}
			if r.Offset < f.from {
				continue
			}
			if err := p.repairRow(st, out, r); err != nil {
				return err
			}
		}
	}
}

// repairRow has our row written anew if the record is older.
func (p *Processor) repairRow(st *state, out *producer.Client, r *kgo.Record) error {
	key := string(r.Key)
	ours, err := st.registry.Get(r.Topic, r.Partition).Get(key)
	if err != nil || ours == nil {
		return err
	}
	kept, stale := ours, true
	if r.Value != nil {
		if kept, stale, err = p.group.Merge(r.Topic, ours, r.Value); err != nil || !stale {
			return err
		}
	}
	p.group.Stale(r.Topic)
	return p.touch(out, key, kept)
}
