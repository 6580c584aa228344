package processors

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFetchMemory: what a dead letter has of its record stays as it was while other records' memory is used again.
func TestFetchMemory(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("events"), kgo.DefaultProduceTopic("events"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.WithPools(new(fetchMemory)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	const rounds, each = 20, 50
	bad := func(n int) string { return fmt.Sprint("bad ", n, strings.Repeat("x", 100)) }
	l := deadLoop(t)
	for round := range rounds { // a batch each, all but one of its records valid in every second
		var records []*kgo.Record
		for i := range each {
			r := &kgo.Record{Value: rawEvent(fmt.Sprint("user", round, i), "click"), Timestamp: time.Now()}
			if i == 0 && round%2 == 0 {
				r.Value = []byte(bad(round))
			}
			records = append(records, r)
		}
		if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for read := 0; read < each; {
			fetches := cl.PollRecords(t.Context(), each)
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				l.takeRecord(r)
				read++
			})
		}
	}
	if l.open.keyed.(*keyedEvents).users.n != rounds*each-rounds/2 || len(l.open.dead) != rounds/2 {
		t.Fatalf("%d occurrences, %d dead letters", l.open.keyed.(*keyedEvents).users.n, len(l.open.dead))
	}
	for i, letter := range l.open.dead {
		if string(letter.Value) != bad(2*i) {
			t.Errorf("dead letter %d is %.40q", i, letter.Value)
		}
	}
}
