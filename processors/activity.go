package processors

import (
	"github.com/lovoo/goka"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/tracing"
)

// Activity returns the group that joins events with users and counts them: a row has what is known of the user, and what
// they did. The join finds a user who is known before their first event, the users table as an input one who comes later, and
// changes. They are two independent readers of one topic, either may be ahead: the row keeps the newer user.
func Activity(n codecs.Names, m *Metrics, t *tracing.Tracer) engine.Group {
	users := goka.Table(n.UsersTable())
	did := func(ctx goka.Context, msg any) {
		row, ok := activityOf(ctx)
		if !ok {
			return
		}
		batch := msg.(*codecs.Batch)
		if batch.Row != nil {
			touch, err := codecs.DecodeActivity(batch.Row)
			if err != nil {
				ctx.Fail(err)
			}
			merged, diverged := codecs.MergeActivities(row, touch)
			if diverged {
				m.stale(n.ActivityTable(), true)
			}
			row = merged
		}
		if row.User == nil { // else the input will bring whoever is newer, and each event need not read two tables
			row.User, _ = ctx.Join(users).(*codecs.User)
		}
		m.counted("activity", row.Tally.Add(batch))
		ctx.SetValue(row)
	}
	known := func(ctx goka.Context, msg any) {
		row, ok := activityOf(ctx)
		if !ok {
			return
		}
		row.User = codecs.NewerUser(row.User, msg.(*codecs.User))
		ctx.SetValue(row)
	}
	return engine.Group{
		Name: "activity",
		Graph: goka.DefineGroup(goka.Group(n.ActivityGroup()),
			goka.Input(goka.Stream(n.ActivityStream()), codecs.BatchCodec{}, t.Process(did)),
			goka.Input(goka.Stream(users), codecs.UserCodec{}, known),
			goka.Join(users, codecs.UserCodec{}),
			goka.Persist(codecs.ActivityCodec{}),
		),
		Merge: MergeRows(n, m),
		Touch: func(row []byte) (string, []byte) { return n.ActivityStream(), touch(row) },
		Stale: func(topic string) { m.stale(topic, false) },
	}
}

func activityOf(ctx goka.Context) (*codecs.Activity, bool) {
	row, ok := rowOf(ctx)
	if !ok {
		return nil, false
	}
	if a, ok := row.(*codecs.Activity); ok {
		return a, true
	}
	return new(codecs.Activity), true
}

func touch(row []byte) []byte { return codecs.AppendBatch(nil, &codecs.Batch{Row: row}) }
