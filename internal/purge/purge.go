// Package purge deletes from Potok's streams what every reader has committed, as Kafka Streams does with its repartition
// topics. The streams have no time limit: a reader that is away for long misses nothing, and without the purge they would
// grow for ever.
package purge

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/topology"
)

const (
	every   = 30 * time.Second
	timeout = 20 * time.Second
)

// Purger purges the streams of one deployment.
type Purger struct {
	kafka  kafka.Config
	topics topology.Config
	log    *slog.Logger
}

// New returns a purger. Any number of them may run.
func New(k kafka.Config, t topology.Config, log *slog.Logger) *Purger { return &Purger{k, t, log} }

// Run purges now and then until ctx ends.
func (p *Purger) Run(ctx context.Context, ready func()) error {
	cl, err := p.kafka.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	ready()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.Once(ctx, admin); err != nil && ctx.Err() == nil {
			// Streams that stay long for a while do no harm; the next round may do better.
			p.log.Warn("streams are not purged", "error", err)
		}
	}
}

// Once deletes, from every stream, the records below the lowest offset that all its readers have committed.
func (p *Purger) Once(ctx context.Context, admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	below := kadm.Offsets{}
	for _, t := range p.topics.Topics() {
		if t.Kind != topology.Stream {
			continue
		}
		starts, err := admin.ListStartOffsets(ctx, t.Name)
		if err != nil {
			return fmt.Errorf("first offsets of %s: %w", t.Name, err)
		}
		committed := make([]kadm.OffsetResponses, len(t.Readers))
		for i, group := range t.Readers {
			if committed[i], err = kafka.Committed(ctx, admin, group); err != nil {
				return err
			}
		}
		starts.Each(func(start kadm.ListedOffset) {
			lowest := int64(math.MaxInt64)
			for _, of := range committed {
				c, _ := of.Lookup(t.Name, start.Partition) // a reader that has not begun is at 0, or at -1
				lowest = min(lowest, c.At)
			}
			if start.Err == nil && lowest > start.Offset {
				below.AddOffset(t.Name, start.Partition, lowest, -1)
			}
		})
	}
	if len(below) == 0 {
		return nil
	}
	r, err := admin.DeleteRecords(ctx, below)
	if err == nil {
		err = r.Error()
	}
	return err
}
