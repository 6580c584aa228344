package store

import (
	"sync/atomic"

	"github.com/syndtr/goleveldb/leveldb/cache"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// NewBlocks returns so many bytes of memory for [Options.Blocks].
func NewBlocks(bytes int) opt.Cacher { return opt.PassthroughCacher(cache.NewLRU(bytes)) }

// Budget bounds the memory that the caches of several stores take together, in bytes of keys and values.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{limit: bytes} }

// rowCache keeps rows as they are on disk: a row that was written or read is likely to be asked for again. It has two
// generations and no list: when the budget is used up, the old one goes, and what is asked for there moves to the young
// one, so that what is in use stays. The store's mutex guards it.
type rowCache struct {
	budget     *Budget // nil: keep nothing
	young, old map[string][]byte
	bytes      [2]int64 // of young and old, as counted in the budget
}

func rowBytes(key string, row []byte) int64 { return int64(len(key)+len(row)) + rowOverhead }

// get returns a row, nil for one that is known not to be there.
func (c *rowCache) get(key string) (row []byte, ok bool) {
	if row, ok = c.young[key]; ok {
		return row, true
	}
	if row, ok = c.old[key]; ok {
		c.put(key, row)
	}
	return row, ok
}

func (c *rowCache) put(key string, row []byte) {
	if c.budget == nil {
		return
	}
	n := rowBytes(key, row)
	if known, ok := c.young[key]; ok {
		n -= rowBytes(key, known)
	}
	if c.young == nil {
		c.young = map[string][]byte{}
	}
	c.young[key] = row
	c.bytes[0] += n
	// Half for each generation: the young one is to live to become the old one.
	if c.budget.used.Add(n) > c.budget.limit && c.bytes[0] > c.bytes[1]/2 {
		c.budget.used.Add(-c.bytes[1])
		c.old, c.young = c.young, nil
		c.bytes = [2]int64{0, c.bytes[0]}
	}
}

// drop lets go of everything.
func (c *rowCache) drop() {
	if c.budget != nil {
		c.budget.used.Add(-c.bytes[0] - c.bytes[1])
	}
	*c = rowCache{}
}
