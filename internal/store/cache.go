package store

import (
	"sync"
	"sync/atomic"

	"github.com/syndtr/goleveldb/leveldb/cache"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// Memory is what all stores of a program keep of what is on disk: rows that were written lately, and what LevelDB has read.
type Memory struct {
	blocks opt.Cacher

	// Rows are kept in two generations and no list: when the young one takes half of what there is, it becomes the old one, and
	// the old one goes. What is asked for in the old one moves to the young one, so that what is in use stays.
	limit int64
	young atomic.Int64 // bytes, about

	mu     sync.Mutex
	caches map[*rowCache]struct{}
}

// NewMemory returns memory of so many bytes for rows and for LevelDB.
func NewMemory(rows, blocks int) *Memory {
	return &Memory{blocks: opt.PassthroughCacher(cache.NewLRU(blocks)), limit: int64(rows), caches: map[*rowCache]struct{}{}}
}

// open returns the cache of one store.
func (m *Memory) open() *rowCache {
	c := &rowCache{memory: m}
	if m != nil {
		m.mu.Lock()
		m.caches[c] = struct{}{}
		m.mu.Unlock()
	}
	return c
}

// turn makes the young generation the old one, if it is large enough.
func (m *Memory) turn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.young.Load() <= m.limit/2 {
		return // somebody was quicker
	}
	for c := range m.caches {
		c.mu.Lock()
		c.old, c.young = c.young, nil
		m.young.Add(-c.bytes)
		c.bytes = 0
		c.mu.Unlock()
	}
}

// rowCache keeps rows of a store as they are on disk: one that was written is likely to be asked for again. One that was only read
// is not kept, for it is mostly read to be written.
type rowCache struct {
	memory *Memory // nil: keep nothing

	mu         sync.Mutex // no other is locked while this one is
	young, old map[string][]byte
	bytes      int64 // of young
}

func rowBytes(key string, row []byte) int64 { return int64(len(key)+len(row)) + rowOverhead }

// get returns a row, nil for one that is known not to be there.
func (c *rowCache) get(key string) (row []byte, ok bool) {
	c.mu.Lock()
	row, ok = c.young[key]
	old := false
	if !ok {
		row, old = c.old[key]
	}
	c.mu.Unlock()
	if old {
		c.put(key, row)
	}
	return row, ok || old
}

func (c *rowCache) put(key string, row []byte) {
	if c.memory == nil {
		return
	}
	n := rowBytes(key, row)
	c.mu.Lock()
	if known, ok := c.young[key]; ok {
		n -= rowBytes(key, known)
	}
	if c.young == nil {
		c.young = map[string][]byte{}
	}
	c.young[key] = row
	c.bytes += n
	young := c.memory.young.Add(n)
	c.mu.Unlock()
	if young > c.memory.limit/2 {
		c.memory.turn()
	}
}

// close lets go of everything. Nothing is to be put afterwards.
func (c *rowCache) close() {
	if c.memory == nil {
		return
	}
	c.memory.mu.Lock()
	delete(c.memory.caches, c)
	c.memory.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.young.Add(-c.bytes)
	c.young, c.old, c.bytes = nil, nil, 0
}
