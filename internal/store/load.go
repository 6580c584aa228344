package store

import (
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// A store that starts empty and has much to recover is loading until [Store.Recovered] or an iterator ends that. It then
// writes its buffer only when it is full, each time as one table, and LevelDB merges tables only when there are very many:
// writing all rows anew, again and again, to keep them in order is what a restore would take most of its time for. Nothing else
// is different. LevelDB takes other options only when it is opened, so the database is closed and opened anew.

// minLoad is how many changelog records are worth that.
const minLoad = 1 << 16

// writeBuffer is LevelDB's, of which it has two, and what it makes tables of. It is small because a program has dozens of stores;
// smaller ones make more tables, each with an fsync.
const writeBuffer = 256 << 10

// levelDB returns the database's options.
func (s *Store) levelDB(loading bool) *opt.Options {
	o := &opt.Options{
		Filter:              filter.NewBloomFilter(10),
		WriteBuffer:         writeBuffer,
		CompactionTableSize: 1 << 20, // LevelDB keeps a buffer of that size for each compaction, of which it fills a block
		// A large flush writes rows in the order of their keys, so that its tables don't overlap, and a row is looked for in one of
		// each flush. Merging few of them with the tables below, which are far larger, writes most rows anew for nothing.
		CompactionL0Trigger:    32,
		WriteL0SlowdownTrigger: 48,
		WriteL0PauseTrigger:    80,
		CompactionTotalSize:    32 << 20, // of level 1: each level that there is not saves writing all of it again
		DisableSeeksCompaction: true,     // look-ups for what is not there are no reason to write tables anew
		// A table that is open has its index and its filter, a seventieth of it, in memory: that makes a quarter of a look-up's time less
		// than to find them in a cache. Other blocks are not kept: rows that are asked for again are kept as rows.
		DisableBlockCache:      true,
		OpenFilesCacheCapacity: 64,
		// By default a damaged stretch of a journal is skipped and what comes after it is taken: rows would be missing
		// below the offset.
		Strict: opt.StrictAll,
	}
	if s.opts.Memory == nil { // a view's: rows are seldom looked for, so that there may be twice as many tables to look in
		o.CompactionL0Trigger, o.WriteL0SlowdownTrigger, o.WriteL0PauseTrigger = 64, 96, 128
	}
	if loading {
		o.WriteBuffer = maxDirtyBytes + 1<<20 // a table takes all that is written at once
		o.CompactionL0Trigger = 48
		o.WriteL0SlowdownTrigger = 72
	}
	return o
}

func (s *Store) isLoading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loading
}

// loaded ends the loading, if it has not ended: what is left is written, and the database is opened for use.
func (s *Store) loaded() error {
	if !s.isLoading() {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	if s.isClosed() || !s.isLoading() {
		return nil
	}
	err := s.reopen(false)
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failRead(err)
	return s.failure
}

// reopen opens the database anew, for loading or for use. The caller holds disk, or is the only one that knows the store.
func (s *Store) reopen(loading bool) error {
	s.walk.close()
	if err := s.db.Close(); err != nil {
		return err
	}
	db, err := leveldb.Open(s.files, s.levelDB(loading))
	if err != nil {
		return err
	}
	s.db = db
	s.mu.Lock()
	s.loading = loading
	s.mu.Unlock()
	return nil
}
