package processors

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
)

var topics = codecs.DefaultNames()

// startGroup runs a group on goka's own tester, which has one partition and no broker.
func startGroup(t *testing.T, g engine.Group) *tester.Tester {
	t.Helper()
	gt := tester.New(t)
	p, err := goka.NewProcessor(nil, g.Graph, goka.WithTester(gt), goka.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the processor does not stop")
		}
	})
	return gt
}

func clicks(from, to int64) *codecs.Batch {
	return &codecs.Batch{Topic: rawTopic, Labels: []string{"click"}, Sources: []codecs.Source{{Partition: 1, Runs: []codecs.Run{{Offset: from, Length: to - from, Label: 0}}}}}
}

// written reads all rows that were written to a table since the last call.
func written(q *tester.QueueTracker) (rows [][]byte, keys []string) {
	for {
		key, value, ok := q.NextRaw()
		if !ok {
			return rows, keys
		}
		rows, keys = append(rows, value), append(keys, key)
	}
}

// TestRepeatsAreWritten: a record that holds nothing new, and a touch, write the row anew, the same: a local store may be
// ahead of its changelog after a crash, and a stale row is put right in this way.
func TestRepeatsAreWritten(t *testing.T) {
	t.Run("event types", func(t *testing.T) {
		gt := startGroup(t, EventTypes(topics, nil, nil))
		q := gt.NewQueueTracker(topics.EventTypesTable())
		stream := topics.EventTypesStream()
		older := new(codecs.Tally)
		older.Add(clicks(0, 2))
		repeats(t, q, func() { gt.Consume(stream, "click", clicks(0, 5)) }, func() { gt.Consume(stream, "click", &codecs.Batch{Row: codecs.AppendTally(nil, older)}) })
		if got := gt.TableValue(goka.Table(topics.EventTypesTable()), "click").(*codecs.Tally).Count; got != 5 {
			t.Errorf("count %d", got)
		}
	})
	t.Run("activity", func(t *testing.T) {
		gt := startGroup(t, Activity(topics, nil, nil))
		q := gt.NewQueueTracker(topics.ActivityTable())
		stream := topics.ActivityStream()
		older := new(codecs.Activity)
		older.Tally.Add(clicks(0, 2))
		repeats(t, q, func() { gt.Consume(stream, "u", clicks(0, 5)) }, func() { gt.Consume(stream, "u", &codecs.Batch{Row: codecs.AppendActivity(nil, older)}) })
	})
	t.Run("users", func(t *testing.T) {
		gt := startGroup(t, Users(topics, nil, nil))
		q := gt.NewQueueTracker(topics.UsersTable())
		publish := func() { gt.Consume(topics.UsersStream(), "u", version("n", 5)) }
		repeats(t, q, publish, publish)
	})
}

func repeats(t *testing.T, q *tester.QueueTracker, fresh, touch func()) {
	t.Helper()
	fresh()
	first, _ := written(q)
	if len(first) != 1 {
		t.Fatalf("%d rows written", len(first))
	}
	fresh()
	touch()
	again, _ := written(q)
	if len(again) != 2 || !bytes.Equal(again[0], first[0]) || !bytes.Equal(again[1], first[0]) {
		t.Fatalf("a repeat and a touch wrote %x, the row is %x", again, first)
	}
}

func version(name string, ms int64) *codecs.User {
	return &codecs.User{Name: name, Email: name + "@example.org", Version: codecs.Version{Timestamp: ms}}
}

// TestActivityJoins in every order in which the two readers of the users table may be ahead of one another.
func TestActivityJoins(t *testing.T) {
	users, table := topics.UsersTable(), goka.Table(topics.ActivityTable())
	type step func(gt *tester.Tester)
	event := func(from, to int64) step {
		return func(gt *tester.Tester) { gt.Consume(topics.ActivityStream(), "u", clicks(from, to)) }
	}
	joined := func(u *codecs.User) step {
		return func(gt *tester.Tester) { gt.SetTableValue(goka.Table(users), "u", u) }
	}
	input := func(u *codecs.User) step { return func(gt *tester.Tester) { gt.Consume(users, "u", u) } }
	old, recent := version("old", 1), version("recent", 2)
	for name, tc := range map[string]struct {
		steps []step
		want  *codecs.User
		count uint64
	}{
		"event of an unknown user":         {[]step{event(0, 3)}, nil, 3},
		"event, then user":                 {[]step{event(0, 3), input(old)}, old, 3},
		"user, then event":                 {[]step{input(old), event(0, 3)}, old, 3},
		"known by the join only":           {[]step{joined(old), event(0, 3)}, old, 3},
		"the join is ahead":                {[]step{joined(recent), event(0, 3), input(old), event(3, 4)}, recent, 4},
		"a change comes by the input":      {[]step{input(old), joined(recent), event(0, 3), input(recent)}, recent, 3},
		"the input is ahead":               {[]step{joined(old), input(recent), event(0, 3)}, recent, 3},
		"the join is behind":               {[]step{input(recent), joined(old), event(0, 3)}, recent, 3},
		"an older one comes later":         {[]step{input(recent), event(0, 3), input(old)}, recent, 3},
		"a repeat still brings the user":   {[]step{event(0, 3), joined(recent), event(0, 3)}, recent, 3},
		"a touch still brings the user":    {[]step{event(0, 3), joined(recent), func(gt *tester.Tester) { gt.Consume(topics.ActivityStream(), "u", new(codecs.Batch)) }}, recent, 3},
		"overlapping batches and new user": {[]step{event(0, 3), input(old), event(2, 7), input(recent), event(1, 4)}, recent, 7},
	} {
		t.Run(name, func(t *testing.T) {
			gt := startGroup(t, Activity(topics, nil, nil))
			for _, s := range tc.steps {
				s(gt)
			}
			row, ok := gt.TableValue(table, "u").(*codecs.Activity)
			if !ok {
				t.Fatal("no row")
			}
			if diff := cmp.Diff(tc.want, row.User); diff != "" || row.Tally.Count != tc.count {
				t.Errorf("count %d, want %d; %s", row.Tally.Count, tc.count, diff)
			}
		})
	}
}

func TestUsersKeepTheNewest(t *testing.T) {
	gt := startGroup(t, Users(topics, nil, nil))
	for _, ms := range []int64{5, 3, 9, 9, 1} {
		gt.Consume(topics.UsersStream(), "u", version("n", ms))
	}
	if got := gt.TableValue(goka.Table(topics.UsersTable()), "u").(*codecs.User).Version.Timestamp; got != 9 {
		t.Error(got)
	}
}

// gokaContext is goka.Context by a name that is not that of one of its methods.
type gokaContext = goka.Context

// stopping is the context of a callback whose stage is going down.
type stopping struct {
	gokaContext
	ctx      context.Context
	row      any
	deferred []error
}

func (s *stopping) Value() any               { return s.row }
func (s *stopping) Context() context.Context { return s.ctx }
func (s *stopping) DeferCommit() func(error) {
	return func(err error) { s.deferred = append(s.deferred, err) }
}

// TestNoRowWhileStopping: goka returns "no row" for one that it can't read any more. It must not be taken for a new one,
// nor the input be committed.
func TestNoRowWhileStopping(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s := &stopping{ctx: ended}
	if _, ok := rowOf(s); ok || len(s.deferred) != 1 || !errors.Is(s.deferred[0], errStopping) {
		t.Errorf("ok %v, %v", ok, s.deferred)
	}
	s = &stopping{ctx: ended, row: new(codecs.Tally)}
	if row, ok := rowOf(s); !ok || row == nil || len(s.deferred) != 0 {
		t.Error("a row that was read is not used")
	}
	s = &stopping{ctx: t.Context()}
	if row, ok := rowOf(s); !ok || row != nil || len(s.deferred) != 0 {
		t.Error("a new row can't begin")
	}
}

// TestMergeRows: what is kept of a row when another state of it is read from the changelog, whichever came first.
func TestMergeRows(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	merge := MergeRows(topics, m)
	tally := func(to int64) *codecs.Tally {
		row := new(codecs.Tally)
		row.Add(clicks(0, to))
		return row
	}
	activity := func(u *codecs.User, to int64) []byte {
		a := &codecs.Activity{User: u}
		if to > 0 {
			a.Tally = *tally(to)
		}
		return codecs.AppendActivity(nil, a)
	}
	user := func(ms int64) []byte { return codecs.AppendUser(nil, version("n", ms)) }
	types := func(to int64) []byte { return codecs.AppendTally(nil, tally(to)) }
	for name, tc := range map[string]struct {
		topic               string
		old, incoming, kept []byte
		stale               bool
	}{
		"newer user":             {topics.UsersTable(), user(1), user(2), user(2), false},
		"older user":             {topics.UsersTable(), user(2), user(1), user(2), true},
		"same user":              {topics.UsersTable(), user(2), user(2), user(2), false},
		"later tally":            {topics.EventTypesTable(), types(3), types(9), types(9), false},
		"earlier tally":          {topics.EventTypesTable(), types(9), types(3), types(9), true},
		"later activity":         {topics.ActivityTable(), activity(nil, 3), activity(version("n", 1), 9), activity(version("n", 1), 9), false},
		"earlier activity":       {topics.ActivityTable(), activity(version("n", 1), 9), activity(nil, 3), activity(version("n", 1), 9), true},
		"later with older user":  {topics.ActivityTable(), activity(version("n", 2), 3), activity(version("n", 1), 9), activity(version("n", 2), 9), true},
		"newer user, no events":  {topics.ActivityTable(), activity(version("n", 1), 3), activity(version("n", 2), 0), activity(version("n", 2), 3), true},
		"a tombstone of a tally": {topics.EventTypesTable(), types(9), nil, types(9), true},
		"a tombstone of a user":  {topics.UsersTable(), user(2), nil, user(2), true},
		"a tombstone of a row":   {topics.ActivityTable(), activity(version("n", 1), 9), nil, activity(version("n", 1), 9), true},
	} {
		t.Run(name, func(t *testing.T) {
			kept, stale, err := merge(tc.topic, tc.old, tc.incoming)
			if err != nil || !bytes.Equal(kept, tc.kept) || stale != tc.stale {
				t.Errorf("kept %x, stale %v, %v; want %x, %v", kept, stale, err, tc.kept, tc.stale)
			}
		})
	}
	for _, topic := range []string{topics.UsersTable(), topics.ActivityTable(), topics.EventTypesTable()} {
		for _, pair := range [][2][]byte{{[]byte("\x08\x02"), []byte("\x08\x01")}, {[]byte("\x08\x01"), []byte("\x08\x02")}} {
			if _, _, err := merge(topic, pair[0], pair[1]); err == nil {
				t.Errorf("%s: a row of a newer format was merged", topic)
			}
		}
	}
	if _, _, err := merge("other", []byte("a"), []byte("b")); err == nil {
		t.Error("rows of a topic that is none of ours were merged")
	}
	other := new(codecs.Tally)
	other.Add(&codecs.Batch{Topic: rawTopic, Sources: []codecs.Source{{Partition: 9, Runs: []codecs.Run{{Length: 1, Label: codecs.NoLabel}}}}})
	if _, _, err := merge(topics.EventTypesTable(), types(3), codecs.AppendTally(nil, other)); err != nil {
		t.Error(err)
	}
	var told dto.Metric
	if err := m.merged.WithLabelValues(topics.EventTypesTable(), "diverged").Write(&told); err != nil || told.Counter.GetValue() != 1 {
		t.Errorf("%v divergences were told of", told.Counter.GetValue())
	}
}

// TestTouch: what is sent for a stale row makes an owner that has lost the good one write it.
func TestTouch(t *testing.T) {
	user := version("n", 1)
	tally := new(codecs.Tally)
	tally.Add(clicks(0, 5))
	older := new(codecs.Tally)
	older.Add(clicks(0, 2))
	for _, tc := range []struct {
		group      engine.Group
		table      string
		good, lost []byte
	}{
		{Users(topics, nil, nil), topics.UsersTable(), codecs.AppendUser(nil, user), codecs.AppendUser(nil, version("m", 0))},
		{EventTypes(topics, nil, nil), topics.EventTypesTable(), codecs.AppendTally(nil, tally), codecs.AppendTally(nil, older)},
		{
			Activity(topics, nil, nil), topics.ActivityTable(), codecs.AppendActivity(nil, &codecs.Activity{User: user, Tally: *tally}),
			codecs.AppendActivity(nil, &codecs.Activity{Tally: *older}),
		},
	} {
		for name, row := range map[string][]byte{"none": nil, "an older one": tc.lost, "the same": tc.good} {
			t.Run(tc.group.Name+"/"+name, func(t *testing.T) {
				gt := startGroup(t, tc.group)
				q := gt.NewQueueTracker(tc.table)
				touch := func(row []byte) {
					stream, value := tc.group.Touch(row)
					if tc.table == topics.UsersTable() {
						user, err := codecs.DecodeUser(value)
						if err != nil {
							t.Fatal(err)
						}
						gt.Consume(stream, "key", user)
						return
					}
					batch, err := codecs.DecodeBatch(value)
					if err != nil {
						t.Fatal(err)
					}
					gt.Consume(stream, "key", batch)
				}
				if row != nil {
					touch(row)
					written(q)
				}
				touch(tc.good)
				if rows, keys := written(q); len(rows) != 1 || keys[0] != "key" || !bytes.Equal(rows[0], tc.good) {
					t.Errorf("wrote %x of %q, want %x", rows, keys, tc.good)
				}
			})
		}
	}
}
