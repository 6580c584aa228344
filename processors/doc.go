// Package processors holds Potok's stages, one consumer group a file: rekey (a plain consumer loop without state), and
// the three groups with a table, users, activity and event types.
//
// All of them deliver at least once, and their tables are exact all the same: users keep the newest publication, tallies
// count an occurrence only above their mark ([codecs.Tally.Add]). The callbacks here fetch a row, call a function of
// package codecs, and store the row; they write it even when nothing has changed, so that the changelog always ends up
// with what the local store has.
package processors

import (
	"errors"

	"github.com/lovoo/goka"
)

// errStopping keeps an input from being committed that came when its row could not be read any more.
var errStopping = errors.New("stage is stopping")

// rowOf returns the row of the context's key as its codec decodes it, nil if there is none. ok is false when the stage
// is stopping: then goka returns "no row" for one that it could not read, and going on would write a new row in its place.
func rowOf(ctx goka.Context) (row any, ok bool) {
	row = ctx.Value()
	if row == nil && ctx.Context().Err() != nil {
		ctx.DeferCommit()(errStopping)
		return nil, false
	}
	return row, true
}
