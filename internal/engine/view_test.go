package engine_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/processors"
	"github.com/potok-streams/potok/views"
)

// TestViewKeepsNewest: the states of rows come in any order, and a view shows what merging them one after the other gives, at each step.
// It merges only where that is not what came.
func TestViewKeepsNewest(t *testing.T) {
	t.Parallel()
	table := newTable(t, embedded(t))
	r := rand.New(rand.NewPCG(7, 7))
	// The counts of a row's states lie on one chain, and their users on another.
	state := func(step int) *codecs.Activity {
		at := func() int { // mostly further than before
			if r.IntN(5) == 0 {
				return r.IntN(step + 1)
			}
			return step
		}
		a := &codecs.Activity{}
		if n := at(); n > 0 {
			a.Tally = codecs.Tally{Count: uint64(n), Marks: []codecs.Mark{{Topic: codecs.TopicID{1}, Partition: 2, Offset: 10 * int64(n)}}}
		}
		if n := at(); n > 0 {
			a.User = &codecs.User{Name: "Anna", Version: codecs.Version{Timestamp: int64(n)}}
		}
		return a
	}
	const rows, states = 100, 2000
	cl, err := table.kafka.Client(kgo.DefaultProduceTopic(table.names.ActivityTable()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	shown, newest, mixed := map[string][]string{}, map[string]*codecs.Activity{}, 0
	for range states {
		key := table.key(r.IntN(rows))
		came := state(len(shown[key]) / 2)
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Key: []byte(key), Value: codecs.AppendActivity(nil, came)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		kept, diverged := codecs.MergeActivities(came, newest[key])
		if diverged {
			t.Fatalf("%+v and %+v are not on one chain", came, newest[key])
		}
		if string(codecs.AppendActivity(nil, kept)) != string(codecs.AppendActivity(nil, came)) {
			mixed++
		}
		newest[key] = kept
		shown[key] = append(shown[key], string(codecs.AppendActivity(nil, kept)))
	}

	var mu sync.Mutex
	merged, applied := 0, 0
	merge := func(topic string, old, incoming []byte) ([]byte, bool, error) {
		mu.Lock()
		merged++
		mu.Unlock()
		return processors.MergeRows(table.names, nil)(topic, old, incoming)
	}
	index := views.NewIndex()
	v := engine.NewView(engine.Config{Kafka: table.kafka, Dir: t.TempDir(), Memory: engine.NewMemory(), Logger: slog.New(slog.DiscardHandler), OnDiskFailure: func(err error) { t.Error(err) }},
		table.names.ActivityTable(), codecs.ActivityCodec{}, merge, engine.Follower{
			Decode: func(row []byte) (any, error) { return codecs.DecodeActivity(row) },
			Applied: func(key string, row any) {
				a := row.(*codecs.Activity)
				index.ApplyActivity(key, a)
				mu.Lock()
				defer mu.Unlock()
				if want, got := shown[key], string(codecs.AppendActivity(nil, a)); len(want) == 0 || got != want[0] {
					t.Errorf("row %s is shown as %x, want %x", key, got, want)
				} else {
					shown[key] = want[1:]
				}
				if applied++; applied%50 == 0 {
					index.Sizes() // brings the rows up to date
				}
			},
			Supersedes: func(key string, row any) bool { return index.Supersedes(key, row.(*codecs.Activity).Age()) },
		})
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- v.Run(ctx, func() { close(ready) }) }()
	await(t, ready, "the view is ready")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if applied != states || merged != mixed {
		t.Errorf("%d rows of %d were shown, %d merged; %d had to be", applied, states, merged, mixed)
	}
}
