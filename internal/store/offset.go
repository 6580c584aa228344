package store

import (
	"fmt"
	"slices"
)

// Applied says that the changelog record at offset was read and its row merged into the store.
func (s *Store) Applied(offset int64) {
	s.mu.Lock()
	s.offset = max(s.offset, offset)
	s.gap, s.acked = false, NoOffset
	s.mu.Unlock()
}

// Acked says that the changelog took a row of ours at offset. It is called in the order of the offsets, before the row's
// writer hears of it. When the offset is not the next one, somebody else has written in between: the store keeps the
// offset that it has, the next recovery reads from there, and [Options.OnForeign] is told.
func (s *Store) Acked(offset int64) {
	s.mu.Lock()
	next := max(s.offset, s.acked) + 1
	s.acked = max(s.acked, offset)
	s.gap = s.gap || offset > next
	if offset == next && !s.gap {
		s.offset = offset
	}
	s.mu.Unlock()
	s.tellForeign(next, offset)
}

// Ends says that the changelog's end was at an offset, and that all rows of ours below it must be acknowledged by now. What
// is then neither ours nor read is somebody else's, as with [Store.Acked].
func (s *Store) Ends(end int64) {
	s.mu.Lock()
	next := max(s.offset, s.acked) + 1
	if end > next {
		s.acked, s.gap = end-1, true
	}
	s.mu.Unlock()
	s.tellForeign(next, end)
}

// tellForeign tells of a stretch that somebody else wrote, if it is not empty.
func (s *Store) tellForeign(from, to int64) {
	if from >= to {
		return
	}
	s.opts.Logger.Warn("somebody else wrote to the changelog, this part of it will be read again", "topic", s.opts.Changelog.Topic,
		"partition", s.opts.Changelog.Partition, "from_offset", from, "to_offset", to)
	if s.opts.OnForeign != nil {
		s.opts.OnForeign(s.opts.Changelog.Topic, s.opts.Changelog.Partition, from, to)
	}
}

// Hold keeps the offset on disk below that of a changelog record until [Store.Release]: something has to happen first that
// must happen again, after a crash, when the record is read again.
func (s *Store) Hold(offset int64) {
	s.mu.Lock()
	s.held = append(s.held, offset)
	s.mu.Unlock()
}

// Release ends a hold, however often it was asked for.
func (s *Store) Release(offset int64) {
	s.mu.Lock()
	s.held = slices.DeleteFunc(s.held, func(o int64) bool { return o == offset })
	s.mu.Unlock()
}

// Offset returns the changelog offset up to which the store holds every record, or [NoOffset].
func (s *Store) Offset() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset
}

// GetOffset implements goka's storage.Storage.
func (s *Store) GetOffset(def int64) (int64, error) {
	if o := s.Offset(); o != NoOffset {
		return o, nil
	}
	return def, nil
}

// SetOffset implements goka's storage.Storage and does nothing: see the package's comment.
func (s *Store) SetOffset(int64) error { return nil }

// Recovered checks that the changelog was read to the end that the recovery had set out for: goka also calls a recovery
// done when its consumer has just gone away. If it was, the store's loading ends.
func (s *Store) Recovered(start, end int64) error {
	s.mu.Lock()
	if start >= end { // nothing was there to read
		s.offset = max(s.offset, end-1)
	}
	offset := s.offset
	s.mu.Unlock()
	if offset < end-1 {
		return fmt.Errorf("recovery of %s/%d stopped at offset %d, before the end at %d", s.opts.Changelog.Topic, s.opts.Changelog.Partition, offset, end)
	}
	return s.loaded()
}

// MarkRecovered implements goka's storage.Storage; a [Registry]'s builder adds the check.
func (s *Store) MarkRecovered() error { return nil }
