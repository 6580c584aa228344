package codecs_test

import (
	"testing"

	"github.com/potok-streams/potok/codecs"
)

// BenchmarkDecodeRow decodes what the stages read of a record, for each event or nearly so.
func BenchmarkDecodeRow(b *testing.B) {
	batch := &codecs.Batch{
		Topic: codecs.TopicID{1}, Labels: []string{"click", "focus"}, Span: codecs.Span{First: 1_700_000_000_000, Last: 1_700_000_000_000, Known: true},
		Sources: []codecs.Source{{Partition: 1, Runs: []codecs.Run{{Offset: 700_000, Length: 1, Label: 0}, {Offset: 700_003, Length: 1, Label: 1}}}},
	}
	row := &codecs.Activity{User: &codecs.User{Name: "Anna Ivanovna Petrova", Email: "anna@example.org", Version: codecs.Version{Timestamp: 1_700_000_000_000, Offset: 1}}}
	for p := range int32(4) {
		batch.Sources[0].Partition = p
		row.Tally.Add(batch)
	}
	rowBytes, batchBytes := codecs.AppendActivity(nil, row), codecs.AppendBatch(nil, batch)
	for name, decode := range map[string]func() error{
		"activity": func() error { _, err := codecs.DecodeActivity(rowBytes); return err },
		"summary":  func() error { _, err := codecs.DecodeSummary(rowBytes); return err },
		"batch":    func() error { _, err := codecs.DecodeBatch(batchBytes); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
