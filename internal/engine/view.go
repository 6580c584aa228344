package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/internal/store"
)

// View follows one table to its end and keeps it on local disk.
type View struct {
	cfg      Config
	table    string
	codec    goka.Codec
	merge    Merge
	follower Follower
	current  atomic.Pointer[viewRun]
}

// Follower is who a view passes its rows on to, and who keeps in memory what is asked for of them. Its functions are called by one
// goroutine a partition.
type Follower struct {
	// Decode returns a row as the others take it.
	Decode func(row []byte) (any, error)
	// Applied is called with every row, those on disk first, and again whenever one has changed: no row on disk is newer than what
	// was applied last.
	Applied func(key string, row any)
	// Supersedes, if not nil, reports whether a row is known to be what merging it with the last that was applied would keep: then
	// the one on disk need not be read.
	Supersedes func(key string, row any) bool
}

// decode decodes a row that came, if it is known to be what merging it with the last would keep: superseding. There may be no follower.
func (f *Follower) decode(key string, value []byte) (row any, superseding bool, err error) {
	if f == nil || f.Supersedes == nil || value == nil {
		return nil, false, nil
	}
	row, err = f.Decode(value)
	return row, err == nil && f.Supersedes(key, row), err
}

type viewRun struct {
	*state
	view     *goka.View
	restored atomic.Bool // has been: later a view that lost its brokers still has its rows
}

// NewView makes a view of a table. A view may be run any number of times, one after the other.
func NewView(cfg Config, table string, codec goka.Codec, merge Merge, follower Follower) *View {
	cfg.Memory = nil // the follower has what is asked for
	return &View{cfg: cfg, table: table, codec: codec, merge: merge, follower: follower}
}

// Name returns the stage's name.
func (v *View) Name() string { return "view-" + v.table }

// ErrTableReplaced means that the table's topic was deleted and made anew while its view ran. Rows that were passed on
// are no longer true, and who has them has to forget them before the view is run again.
var ErrTableReplaced = errors.New("the table's topic was deleted and made anew")

// ErrNotReady is returned by Get while the table is being restored.
var ErrNotReady = errors.New("table is being restored")

// Restored reports whether the table has been read to its end, so that rows can be had. That stays so while the brokers
// are away.
func (v *View) Restored() bool {
	r := v.current.Load()
	return r != nil && r.restored.Load()
}

// Get returns a row as its codec decodes it, or nil.
func (v *View) Get(key string) (any, error) {
	r := v.current.Load()
	if r == nil || !r.restored.Load() {
		return nil, ErrNotReady
	}
	return r.view.Get(key)
}

// Positions calls f with each partition's position: the next changelog offset that the view will apply.
func (v *View) Positions(f func(partition int32, next int64)) {
	if r := v.current.Load(); r != nil {
		r.registry.Each(func(s *store.Store) {
			_, partition := s.Name()
			f(partition, s.Offset()+1)
		})
	}
}

// Progress reports on the recovery of the run that is going on.
func (v *View) Progress() []Progress {
	if r := v.current.Load(); r != nil {
		return r.progress()
	}
	return nil
}

// Run follows the table until ctx ends and returns nil then; ready is called when it has reached the end of the table as
// it was at the start.
func (v *View) Run(ctx context.Context, ready func()) error {
	st, err := newState(v.cfg, v.Name(), v.load, nil)
	if err != nil {
		return err
	}
	defer st.close()
	gv, err := goka.NewView(v.cfg.Kafka.BootstrapServers, goka.Table(v.table), v.codec,
		goka.WithViewClientID(v.cfg.Kafka.ClientID),
		goka.WithViewHasher(hasher()),
		goka.WithViewTopicManagerBuilder(st.topicManager),
		goka.WithViewConsumerSaramaBuilder(st.saramaConsumer),
		goka.WithViewStorageBuilder(st.registry.Build),
		goka.WithViewCallback(st.update(v.merge, nil, &v.follower)), // the owner and the standbys see to stale rows
		goka.WithViewAutoReconnect(),
		goka.WithViewBackoffBuilder(func() (goka.Backoff, error) { return goka.NewSimpleBackoff(500*time.Millisecond, 10*time.Second), nil }),
		goka.WithViewLogger(gokaLogger{v.cfg.Logger.With("stage", v.Name())}),
	)
	if err != nil {
		return fmt.Errorf("make view of %s: %w", v.table, err)
	}
	id, err := st.topicID(ctx, v.table)
	if err != nil {
		return err
	}
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if v.replaced(run, st, id) {
			cancel(fmt.Errorf("%s: %w", v.table, ErrTableReplaced))
		}
	}()
	current := &viewRun{state: st, view: gv}
	v.current.Store(current)
	defer v.current.Store(nil) // goka's view must not be asked once it is closed
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !gv.Recovered() {
			select {
			case <-run.Done():
				return
			case <-tick.C:
			}
		}
		current.restored.Store(true)
		ready()
	}()
	go st.logProgress(run, v.Name())
	err = gv.Run(run)
	switch {
	case ctx.Err() != nil:
		return nil
	case run.Err() != nil:
		return context.Cause(run)
	}
	return err
}

// replaced waits until the table's topic is another one, or ctx ends.
func (v *View) replaced(ctx context.Context, st *state, id kadm.TopicID) bool {
	tick := time.NewTicker(patrolEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		// A topic that is not there, and brokers that do not answer, say nothing: both may pass.
		if now, err := st.topicID(ctx, v.table); err == nil && now != id {
			return true
		}
	}
}

// load passes the rows that are on disk on.
func (v *View) load(s *store.Store) error {
	if s.Offset() == store.NoOffset { // all of them are still to come, and an iterator would end the store's loading
		return nil
	}
	it, err := s.Iterator()
	if err != nil {
		return err
	}
	defer it.Release()
	for it.Next() {
		row, err := it.Value()
		if err != nil {
			return err
		}
		decoded, err := v.follower.Decode(row)
		if err != nil {
			return err
		}
		v.follower.Applied(string(it.Key()), decoded)
	}
	return it.Err()
}
