package processors

import (
	"github.com/lovoo/goka"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
)

// Activity returns the group that joins events with users and counts them: a row has what is known of the user, and what
// they did. The join finds a user who is known before the event, the users table as an input one who comes later. They
// are two independent readers of one topic, either may be ahead: the row keeps the newer user.
func Activity(n codecs.Names, m *Metrics) engine.Group {
	users := goka.Table(n.UsersTable())
	did := func(ctx goka.Context, msg any) {
		row, ok := activityOf(ctx)
		if !ok {
			return
		}
		batch := msg.(*codecs.Batch)
		if len(batch.Sources) == 0 && row.User == nil && len(row.Tally.Marks) == 0 {
			return // a touch for a row that is not there
		}
		if user, ok := ctx.Join(users).(*codecs.User); ok {
			row.User = codecs.NewerUser(row.User, user)
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
			goka.Input(goka.Stream(n.ActivityStream()), codecs.BatchCodec{}, did),
			goka.Input(goka.Stream(users), codecs.UserCodec{}, known),
			goka.Join(users, codecs.UserCodec{}),
			goka.Persist(codecs.ActivityCodec{}),
		),
		Merge: MergeRows(n, m),
		Touch: func([]byte) (string, []byte, error) { return n.ActivityStream(), touch(), nil },
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

// touch is a batch without occurrences.
func touch() []byte { return codecs.AppendBatch(nil, new(codecs.Batch)) }
