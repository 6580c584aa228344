package processors

import (
	"github.com/lovoo/goka"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/tracing"
)

// Users returns the group that keeps the newest publication of each user.
func Users(n codecs.Names, m *Metrics, t *tracing.Tracer) engine.Group {
	callback := func(ctx goka.Context, msg any) {
		row, ok := rowOf(ctx)
		if !ok {
			return
		}
		known, _ := row.(*codecs.User)
		ctx.SetValue(codecs.NewerUser(known, msg.(*codecs.User)))
	}
	return engine.Group{
		Name: "users",
		Graph: goka.DefineGroup(goka.Group(n.UsersGroup()),
			goka.Input(goka.Stream(n.UsersStream()), codecs.UserCodec{}, t.Process(callback)),
			goka.Persist(codecs.UserCodec{}),
		),
		Merge: MergeRows(n, m),
		Touch: func(row []byte) (string, []byte) { return n.UsersStream(), row }, // what is newer is kept, and written, anyway
		Stale: func(topic string) { m.stale(topic, false) },
	}
}
