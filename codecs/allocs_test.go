package codecs_test

import (
	"fmt"
	"testing"

	"github.com/potok-streams/potok/codecs"
)

// TestAllocations holds what each event or row passes through to what it allocated when the limit was set. Unlike times,
// allocations are the same on every machine, and they are most of what a row costs. Who needs more says why, here.
func TestAllocations(t *testing.T) {
	event := []byte(records["event"])
	user := []byte(records["user/escaped"])
	batch := typicalBatch()
	row := &codecs.Activity{User: goldenUser()}
	row.Tally.Add(batch)
	wire, rowWire := codecs.AppendBatch(nil, batch), codecs.AppendActivity(nil, row)
	var decoder codecs.Decoder
	for _, tc := range []struct {
		name  string
		limit float64
		f     func() error
	}{
		{"judge an event", 0, func() error { _, err := decoder.Event(event); return err }},
		{"judge a user", 0, func() error { _, err := decoder.User(user); return err }},
		{"decode a batch of 5 labels from 4 partitions", 12, func() error { _, err := codecs.DecodeBatch(wire); return err }}, // one for each; the batch, and its lists of both
		{"count a batch", 0, func() error { row.Tally.Add(batch); return nil }},
		{"decode a row", 5, func() error { _, err := codecs.DecodeActivity(rowWire); return err }},              // the user, the labels, the marks; the texts of user and tally
		{"decode a row's summary", 4, func() error { _, err := codecs.DecodeSummary(rowWire); return err }},     // the same without the marks
		{"encode a row", 1, func() error { _, err := codecs.ActivityCodec{}.Encode(row); return err }},          // as large as it is
		{"encode a user", 1, func() error { _, err := codecs.UserCodec{}.Encode(row.User); return err }},        // the same
		{"compare rows", 4, func() error { _, err := codecs.ActivitySupersedes(rowWire, rowWire); return err }}, // two users' versions, two tallies' marks
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(100, func() {
				if err := tc.f(); err != nil {
					t.Fatal(err)
				}
			}); got > tc.limit {
				t.Errorf("%v allocations, the limit is %v", got, tc.limit)
			}
		})
	}
}

// TestRowsHaveNoSlack: rows stay in memory for long, as they were encoded.
func TestRowsHaveNoSlack(t *testing.T) {
	row := &codecs.Activity{User: goldenUser()}
	row.Tally.Add(typicalBatch())
	b := encode(t, row)
	if slack := cap(b) - len(b); slack > len(b)/8+16 {
		t.Errorf("a row of %d bytes takes %d", len(b), cap(b))
	}
}

func typicalBatch() *codecs.Batch {
	b := &codecs.Batch{Topic: topicA, Span: codecs.Span{First: 1763805600000, Last: 1763805600123, Known: true}}
	for n := range 5 {
		b.Labels = append(b.Labels, fmt.Sprint("label ", n))
	}
	for p := range int32(4) {
		s := codecs.Source{Partition: p}
		for n := range 5 {
			s.Runs = append(s.Runs, codecs.Run{Offset: int64(1000*n) + 7, Length: 1, Label: n})
		}
		b.Sources = append(b.Sources, s)
	}
	return b
}
