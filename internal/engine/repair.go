package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/producer"
	"github.com/potok-streams/potok/internal/store"
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
	patrolEvery   = 5 * time.Second
)

// repair reads what somebody else wrote into our changelog and has every row that is older than ours written anew. A
// recovering or standing-by instance would do so, too; but there may be none before compaction drops the better row.
func (p *Processor) repair(ctx context.Context, st *state, touches *toucher, stretches <-chan foreign) error {
	patrol := time.NewTicker(patrolEvery)
	defer patrol.Stop()
	ends := map[*store.Store]int64{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-stretches:
			if err := p.repairStretch(ctx, st, touches, f); err != nil {
				return fmt.Errorf("%s/%d from offset %d to %d: %w", f.topic, f.partition, f.from, f.to, err)
			}
		case <-patrol.C:
			if err := p.patrol(ctx, st, touches.out, ends); err != nil {
				p.cfg.Logger.Debug("look at the ends of changelogs", "stage", p.group.Name, "error", err) // next time
			}
		}
	}
}

// patrol finds what somebody else has written to changelogs that we write nothing to ourselves: what was the end of one
// a patrol ago has to be read, or acknowledged as ours, by now, unless something of ours is on its way.
func (p *Processor) patrol(ctx context.Context, st *state, out *producer.Client, ends map[*store.Store]int64) error {
	ctx, cancel := context.WithTimeout(ctx, patrolEvery)
	defer cancel()
	group := st.group.Load()
	if group == nil {
		return nil
	}
	own := p.group.Graph.GroupTable().Topic()
	offsets, err := st.admin.ListEndOffsets(ctx, own)
	if err != nil {
		return err
	}
	if out.Waiting() > 0 {
		return nil // changelogs that we write to tell by themselves
	}
	before := maps.Clone(ends)
	clear(ends)
	st.registry.Recovered(func(s *store.Store) {
		topic, partition := s.Name()
		if o, ok := offsets.Lookup(own, partition); topic == own && group.Owns(partition) && ok && o.Err == nil {
			if end, known := before[s]; known {
				s.Ends(end)
			}
			ends[s] = o.Offset
		}
	})
	return nil
}

func (p *Processor) repairStretch(ctx context.Context, st *state, touches *toucher, f foreign) error {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	cl, err := p.cfg.Kafka.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: {f.partition: kgo.NewOffset().At(f.from)}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	var flying sync.WaitGroup
	defer flying.Wait()
	for { // the last record of a log is always there, so that one at the end of the stretch or after it comes
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		for _, r := range fetches.Records() {
			if r.Offset >= f.from && r.Offset < f.to {
				if err := p.repairRow(st, touches, r, &flying); err != nil {
					return err
				}
			}
			if r.Offset >= f.to-1 {
				return nil
			}
		}
	}
}

// repairRow has our row written anew if the record is older.
func (p *Processor) repairRow(st *state, touches *toucher, r *kgo.Record, flying *sync.WaitGroup) error {
	key := string(r.Key)
	ours, err := st.registry.Get(r.Topic, r.Partition).Get(key)
	if errors.Is(err, store.ErrClosed) {
		return nil // the partition is somebody else's now, who reads all of this
	}
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
	flying.Add(1)
	touches.send(key, kept, func(error) { flying.Done() }) // an error ends the stage
	return nil
}
