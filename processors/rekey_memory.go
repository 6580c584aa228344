package processors

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchMemory is what raw records are decompressed and decoded into, one fetch after the other: making it anew each time is a third of
// all memory that a backlog takes. A batch's memory is used again when all its records were recycled; where one is kept, as a rejected
// one is until it is sent, all of it is.
type fetchMemory struct{ bytes, records sync.Pool }

// Batches that are larger than this have memory of their own: all of it is cleared before it is used again.
const (
	maxFetchBytes   = 4 << 20
	maxFetchRecords = 1 << 15
)

// GetDecompressBytes implements kgo.PoolDecompressBytes.
func (m *fetchMemory) GetDecompressBytes([]byte, kgo.CompressionCodecType) []byte {
	if b, ok := m.bytes.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (m *fetchMemory) PutDecompressBytes(b []byte) {
	if cap(b) <= maxFetchBytes {
		m.bytes.Put(&b)
	}
}

// GetRecords implements kgo.PoolRecords.
func (m *fetchMemory) GetRecords(n int) []kgo.Record {
	if r, ok := m.records.Get().(*[]kgo.Record); ok && cap(*r) >= n {
		return *r
	}
	return make([]kgo.Record, 0, n)
}

// PutRecords implements kgo.PoolRecords.
func (m *fetchMemory) PutRecords(r []kgo.Record) {
	if cap(r) <= maxFetchRecords {
		m.records.Put(&r)
	}
}
