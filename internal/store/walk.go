package store

import (
	"bytes"
	"sync"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
)

// walk reads rows from the disk for one who asks for them in the order of their keys, as whoever applies a large batch does: the next
// row is mostly the next one on the disk, which costs a seventh of finding it by itself. The zero value walks nowhere.
type walk struct {
	mu      sync.Mutex
	it      iterator.Iterator // nil: rows are not asked for in order
	version uint64            // of the disk that it reads
	at      []byte            // the last key that was asked for
	run     int               // how many keys rose, without an iterator
	need    int               // how many have to before there is one
	saved   int               // how many rows it has found, or found missing, since its last seek
}

const (
	minRun   = 32
	maxRun   = 1 << 12
	maxSteps = 16 // to the next row; finding it costs about as much
	seekCost = 32 // an iterator has to find its place in every table
)

// get returns a copy of a row, nil if there is none, as the disk of this version or a later one has it. It is not ok if the row has to
// be found by itself.
func (w *walk) get(db *leveldb.DB, version uint64, key []byte) (row []byte, ok bool, err error) {
	if !w.mu.TryLock() {
		return nil, false, nil // another one walks
	}
	defer w.mu.Unlock()
	rises := bytes.Compare(key, w.at) > 0
	w.at = append(w.at[:0], key...)
	if w.it != nil && !rises && w.saved < seekCost {
		w.postpone()
	}
	if w.it != nil && (!rises || w.version < version) {
		w.end()
	}
	if w.it == nil {
		if w.run++; !rises {
			w.run = 0
		}
		if w.run < max(w.need, minRun) {
			return nil, false, nil
		}
		w.it, w.version = db.NewIterator(nil, nil), version
		w.it.Seek(key)
	}
	for steps := 0; w.it.Valid() && bytes.Compare(w.it.Key(), key) < 0; steps++ {
		switch {
		case steps < maxSteps:
			w.it.Next()
		case w.saved < seekCost:
			w.postpone()
			w.end()
			return nil, false, nil
		default:
			w.saved = 0
			w.it.Seek(key)
		}
	}
	if err := w.it.Error(); err != nil {
		w.end()
		return nil, false, err
	}
	w.saved++
	if w.it.Valid() && bytes.Equal(w.it.Key(), key) {
		row = append([]byte{}, w.it.Value()...)
	}
	return row, true, nil
}

// postpone has an iterator that did not pay come later and later: the rows are far from each other, or few at a time.
func (w *walk) postpone() { w.need = min(2*max(w.need, minRun), maxRun) }

// end lets go of the iterator, which keeps the files that it reads.
func (w *walk) end() {
	if w.it == nil {
		return
	}
	w.it.Release()
	if w.saved >= seekCost {
		w.need = minRun
	}
	w.it, w.run, w.saved = nil, 0, 0
}

func (w *walk) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}
