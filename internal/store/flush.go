package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
)

func (s *Store) flushLoop() {
	defer close(s.done)
	next := time.NewTimer(rand.N(flushInterval)) // not with all other stores of the program at once
	defer next.Stop()
	for {
		select {
		case <-next.C:
			next.Reset(flushInterval)
			s.walk.close()     // nobody may walk on, and there may be nothing to flush
			if s.isLoading() { // after a crash, what is lost is read again
				continue
			}
		case <-s.kick:
		case <-s.stop:
			return
		}
		s.flush()
	}
}

// flush writes the dirty rows and the offset, all or nothing. Only one flush runs at a time; a second waits for it.
func (s *Store) flush() error {
	s.mu.Lock()
	for s.flying != nil && s.failure == nil {
		s.roomy.Wait()
	}
	offset := s.offset
	if len(s.held) > 0 {
		offset = min(offset, slices.Min(s.held)-1)
	}
	if s.failure != nil || len(s.dirty) == 0 && offset == s.saved {
		defer s.mu.Unlock()
		return s.failure
	}
	size := s.bytes
	s.flying, s.dirty, s.bytes = s.dirty, map[string][]byte{}, 0
	s.roomy.Broadcast()
	rows := s.flying
	s.mu.Unlock()

	begin := time.Now()
	err := s.write(rows, size, offset)
	if err == nil && s.opts.OnFlush != nil {
		s.opts.OnFlush(len(rows), time.Since(begin))
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.fail(fmt.Errorf("write state of %s/%d to %s: %w", s.opts.Changelog.Topic, s.opts.Changelog.Partition, s.opts.Dir, err))
		return s.failure
	}
	if !s.loading { // a row that was restored is not asked for soon
		for k, v := range rows {
			s.clean.put(k, v)
		}
	}
	s.flying, s.saved = nil, offset
	s.version++
	s.roomy.Broadcast()
	return nil
}

// write writes rows of about so many bytes and the offset to LevelDB, all or nothing.
func (s *Store) write(rows map[string][]byte, size int, offset int64) error {
	s.disk.RLock()
	defer s.disk.RUnlock()
	meta := append(s.opts.Changelog.ID[:16:16], make([]byte, 8)...)
	binary.BigEndian.PutUint64(meta[16:], uint64(offset))
	key := make([]byte, 0, 64)
	if size < writeBuffer {
		b := leveldb.MakeBatch(size)
		for k, v := range rows {
			key = append(append(key[:0], rowPrefix...), k...)
			if v == nil {
				b.Delete(key)
			} else {
				b.Put(key, v)
			}
		}
		b.Put([]byte(metaKey), meta)
		return s.db.Write(b, nil)
	}
	// A transaction goes to tables at once, without the journal. LevelDB does so itself with a large batch, which is one more
	// copy of all rows.
	tx, err := s.db.OpenTransaction()
	if err != nil {
		return err
	}
	defer tx.Discard()                                 // does nothing after Commit
	for _, k := range slices.Sorted(maps.Keys(rows)) { // tables that don't overlap, and in less time than unsorted
		key = append(append(key[:0], rowPrefix...), k...)
		if v := rows[k]; v == nil {
			err = tx.Delete(key, nil)
		} else {
			err = tx.Put(key, v, nil)
		}
		if err != nil {
			return err
		}
	}
	if err := tx.Put([]byte(metaKey), meta, nil); err != nil {
		return err
	}
	return tx.Commit()
}
