package store

import (
	"errors"

	"github.com/lovoo/goka/storage"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// Iterator returns the rows as they are now, in the order of their keys.
func (s *Store) Iterator() (storage.Iterator, error) { return s.IteratorWithRange(nil, nil) }

// IteratorWithRange returns the rows with start <= key < limit; nil leaves a side open. (goka's own storage takes a nil
// limit for a prefix scan; this one does not.)
func (s *Store) IteratorWithRange(start, limit []byte) (storage.Iterator, error) {
	if err := s.loaded(); err != nil { // later it would take the database from under the iterator
		return nil, err
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	s.disk.RLock()
	defer s.disk.RUnlock()
	r := util.BytesPrefix([]byte(rowPrefix))
	r.Start = append(r.Start, start...)
	if limit != nil {
		r.Limit = append([]byte(rowPrefix), limit...)
	}
	return rows{s, s.db.NewIterator(r, nil)}, nil
}

type rows struct {
	store *Store
	it    iterator.Iterator
}

func (r rows) Next() bool             { return r.it.Next() }
func (r rows) Key() []byte            { return r.it.Key()[len(rowPrefix):] }
func (r rows) Value() ([]byte, error) { return r.it.Value(), nil }
func (r rows) Release()               { r.it.Release() }

// Err fails the store, too: damage that only an iterator meets would be met again after every restart.
func (r rows) Err() error {
	err := r.it.Error()
	if err != nil && !errors.Is(err, leveldb.ErrClosed) && !errors.Is(err, iterator.ErrIterReleased) {
		r.store.mu.Lock()
		r.store.failRead(err)
		r.store.mu.Unlock()
	}
	return err
}

// Seek makes the next call of Next find the first row at or after key, as goka's contract says.
func (r rows) Seek(key []byte) bool {
	found := r.it.Seek(append([]byte(rowPrefix), key...))
	if found {
		r.it.Prev()
	}
	return found
}
