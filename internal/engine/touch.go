package engine

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/producer"
)

// maxTouches bounds the touches that wait for their acknowledgement.
const maxTouches = 1024

// toucher has stale rows' owners write them anew, before compaction can drop the good ones. A touch brings the good row
// along: once it is acknowledged, no disk that holds the row is needed any more.
type toucher struct {
	out    *producer.Client
	record func(row []byte) (topic string, value []byte)
	flying chan struct{} // has an element for each
}

func newToucher(out *producer.Client, record func(row []byte) (topic string, value []byte)) *toucher {
	return &toucher{out, record, make(chan struct{}, maxTouches)}
}

// send sends a touch and calls done, from another goroutine, when it is acknowledged or the producer has failed, which ends
// the stage. It waits while too many are on their way. Touches for one partition are done in the order in which they are sent.
func (t *toucher) send(key string, row []byte, done func(error)) {
	topic, value := t.record(row)
	t.flying <- struct{}{} // comes: a client that gets nowhere fails all its records
	t.out.Send(&kgo.Record{Topic: topic, Key: []byte(key), Value: value}, func(_ *kgo.Record, err error) {
		<-t.flying
		done(err)
	})
}
