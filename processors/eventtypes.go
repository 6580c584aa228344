package processors

import (
	"github.com/lovoo/goka"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/tracing"
)

// EventTypes returns the group that counts events by type, and beside them what Potok itself counts (see
// [codecs.Counter]).
func EventTypes(n codecs.Names, m *Metrics, t *tracing.Tracer) engine.Group {
	callback := func(ctx goka.Context, msg any) {
		row, ok := rowOf(ctx)
		if !ok {
			return
		}
		batch := msg.(*codecs.Batch)
		tally, known := row.(*codecs.Tally)
		if !known {
			tally = new(codecs.Tally)
		}
		if batch.Row != nil {
			touch, err := codecs.DecodeTally(batch.Row)
			if err != nil {
				ctx.Fail(err)
			}
			merged, diverged := codecs.MergeTallies(tally, touch)
			if diverged {
				m.stale(n.EventTypesTable(), true)
			}
			tally = merged
		}
		m.counted("event-types", tally.Add(batch))
		ctx.SetValue(tally)
	}
	return engine.Group{
		Name: "event-types",
		Graph: goka.DefineGroup(goka.Group(n.EventTypesGroup()),
			goka.Input(goka.Stream(n.EventTypesStream()), codecs.BatchCodec{}, t.Process(callback)),
			goka.Persist(codecs.TallyCodec{}),
		),
		Merge: MergeRows(n, m),
		Touch: func(row []byte) (string, []byte) { return n.EventTypesStream(), touch(row) },
		Stale: func(topic string) { m.stale(topic, false) },
	}
}
