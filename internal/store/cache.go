package store

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Memory is what all stores of a program keep of what is on disk: rows that were written lately.
type Memory struct {
	seed maphash.Seed

	// Rows are kept in two generations and no list: when the young one takes half of what there is, it becomes the old one, and
	// the old one goes. What is asked for in the old one moves to the young one, so that what is in use stays.
	limit int64
	young atomic.Int64 // bytes

	mu     sync.Mutex
	caches map[*rowCache]struct{}
}

// NewMemory returns memory of so many bytes.
func NewMemory(bytes int) *Memory {
	return &Memory{seed: maphash.MakeSeed(), limit: int64(bytes), caches: map[*rowCache]struct{}{}}
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

func (m *Memory) hash(key string) uint32 { return uint32(maphash.String(m.seed, key)) }

// turn makes the young generation the old one, if it is large enough.
func (m *Memory) turn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.young.Load() <= m.limit/2 {
		return // somebody was quicker
	}
	for c := range m.caches {
		c.mu.Lock()
		m.young.Add(-c.young.bytes)
		c.old, c.young = c.young, generation{}
		c.mu.Unlock()
	}
}

// rowCache keeps rows of a store as they are on disk: one that was written is likely to be asked for again. One that was only read is
// not kept: it is mostly read to be written, and kept then.
type rowCache struct {
	memory *Memory // nil: keep nothing

	mu         sync.Mutex // no other is locked while this one is
	young, old generation
}

// get returns a copy of a row, nil for one that is known not to be there.
func (c *rowCache) get(key string) (row []byte, ok bool) {
	if c.memory == nil {
		return nil, false
	}
	hash := c.memory.hash(key)
	c.mu.Lock()
	row, ok = c.young.get(hash, key)
	old := false
	if !ok && !c.young.has(hash) { // else the old row may not be the latest: a newer one may have given way to another key's
		row, old = c.old.get(hash, key)
	}
	c.mu.Unlock()
	if old {
		c.keep(hash, key, row)
	}
	return row, ok || old
}

// put keeps a copy of a row.
func (c *rowCache) put(key string, row []byte) {
	if c.memory != nil {
		c.keep(c.memory.hash(key), key, row)
	}
}

// keep puts a row into the young generation. Whoever calls get or put holds the store's mutex, so that get can't put an old row
// over a newer one.
func (c *rowCache) keep(hash uint32, key string, row []byte) {
	c.mu.Lock()
	young := c.memory.young.Add(c.young.put(hash, key, row))
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
	c.memory.young.Add(-c.young.bytes)
	c.young, c.old = generation{}, generation{}
}
