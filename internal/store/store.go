// Package store keeps a table's rows of one partition on local disk, for goka: LevelDB behind a write buffer.
//
// What may be relied on:
//   - Rows and the offset up to which they hold the changelog reach the disk in one atomic write, so that what is found
//     after a crash is a state that the table really had, and its offset is never ahead of its rows.
//   - The offset never jumps. It moves only by [Store.Applied] (a changelog record was read and merged; gaps are
//     compaction's; see [Store.Hold] for what may keep it back) and by [Store.Acked] (the changelog took our own row at
//     exactly the next offset). goka's SetOffset is
//     ignored: goka would take an acknowledgement's offset for "recovered up to here", with rows of others in between
//     unread.
//   - State that is not this changelog's (the topic was made anew), that claims to be ahead of it, or that LevelDB finds
//     corrupt is removed when it is opened, with a log line, and is rebuilt by goka's recovery. It is never served.
//   - A failed write is never forgotten: it fails every later call, and [Options.OnFailure] hears of it.
//
// All methods may be called at the same time by any number of goroutines.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	lstorage "github.com/syndtr/goleveldb/leveldb/storage"
)

// rowPrefix keeps rows apart from our own data: a user may well be called like a key of ours.
const (
	rowPrefix = "r"
	metaKey   = "m"
)

// corruptFile in a store's directory says that LevelDB found damage while it ran: the next opening removes the state.
const corruptFile = "CORRUPT"

// NoOffset is the offset of a store that holds nothing yet.
const NoOffset int64 = -1

const (
	flushInterval = 30 * time.Second // what a crash takes is in the changelog; a flush costs two fsyncs, which hold up everybody
	maxDirtyBytes = 4 << 20          // of rows that wait for the disk, and as much again of rows on their way to it
	rowOverhead   = 64               // what a row costs in memory beside its key and value, about
)

// ErrClosed is returned by calls on a closed store.
var ErrClosed = errors.New("store is closed")

// errInUse is no failure of the disk: the directory is free when its user has ended.
var errInUse = errors.New("another process uses the directory")

// Changelog says which topic a store's rows come from, and how far that topic goes.
type Changelog struct {
	Topic     string
	Partition int32
	ID        [16]byte // of the topic's present incarnation
	Start     int64    // first offset that is there
	End       int64    // offset of the next record
}

// Options configure a [Store].
type Options struct {
	Dir       string // of this store alone
	Changelog Changelog
	Logger    *slog.Logger
	Memory    *Memory     // shared by several stores; nil: none
	OnFailure func(error) // called once, from any goroutine, when the disk fails, in Open as well
	// OnForeign is told that somebody else has written the changelog's offsets from up to, not including, to: an owner that
	// was paused, most likely. It is called in the order of the acknowledgements, and must not wait.
	OnForeign func(topic string, partition int32, from, to int64)
	// OnFlush, if not nil, is told of every flush that has gone well: how many rows it wrote, and how long that took.
	OnFlush func(rows int, took time.Duration)
	// OpenFiles opens LevelDB's files; nil means the directory. Tests put a failing disk here.
	OpenFiles func(dir string) (lstorage.Storage, error)
}

// Store implements goka's storage.Storage.
type Store struct {
	opts Options
	disk sync.RWMutex // locked for writing: db is replaced or closed
	db   *leveldb.DB
	// LevelDB closes only files that it has opened itself; ours hold the directory's lock.
	files lstorage.Storage
	walk  walk

	mu      sync.Mutex
	roomy   sync.Cond         // dirty rows went to the disk, or the store failed
	dirty   map[string][]byte // newest rows; nil value: deleted
	flying  map[string][]byte // being written
	clean   *rowCache         // rows as they are on disk
	seen    *seen             // nil: there may be rows that it does not know
	bytes   int               // of dirty
	version uint64            // of what is on disk: how many flushes there were
	offset  int64             // of the changelog, up to which dirty+flying+disk hold it
	saved   int64             // offset on disk
	held    []int64           // see Hold
	acked   int64             // highest offset of a row of ours
	gap     bool              // an acknowledgement was not the next offset: keep the offset until the next recovery
	loading bool              // see load.go; changes only with disk locked, too
	failure error

	kick   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	closed sync.Once
}

// Open opens the state in opts.Dir, or starts an empty one where there is none that may be used.
func Open(opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.OpenFiles == nil {
		opts.OpenFiles = func(dir string) (lstorage.Storage, error) { return lstorage.OpenFile(dir, false) }
	}
	s := &Store{opts: opts, dirty: map[string][]byte{}, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	s.roomy.L = &s.mu
	reason, err := s.open()
	if err == nil && reason != "" {
		opts.Logger.Warn("removing local state, it will be rebuilt from the changelog", "topic", opts.Changelog.Topic,
			"partition", opts.Changelog.Partition, "reason", reason, "dir", opts.Dir)
		if err = os.RemoveAll(opts.Dir); err == nil {
			if reason, err = s.open(); err == nil && reason != "" {
				err = fmt.Errorf("state is unusable after it was removed: %s", reason)
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("open state of %s/%d in %s: %w", opts.Changelog.Topic, opts.Changelog.Partition, opts.Dir, err)
		if opts.OnFailure != nil && !errors.Is(err, errInUse) {
			go opts.OnFailure(err) // whoever opens it again and again keeps its partition from those with a better disk
		}
		return nil, err
	}
	s.clean = opts.Memory.open()
	go s.flushLoop()
	return s, nil
}

// open opens the database and reads its meta data. A reason means: this state must not be used.
func (s *Store) open() (reason string, err error) {
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(s.opts.Dir, corruptFile)); err == nil {
		return "it was found corrupt", nil
	}
	files, err := s.opts.OpenFiles(s.opts.Dir)
	if errors.Is(err, syscall.EAGAIN) {
		return "", fmt.Errorf("%w: %w", errInUse, err)
	}
	if err != nil {
		return "", err
	}
	files = bufferedTables{files}
	db, err := leveldb.Open(files, s.levelDB(false))
	if err != nil {
		files.Close()
		if corrupt(err) || errors.Is(err, os.ErrNotExist) {
			return fmt.Sprintf("it is corrupt: %v", err), nil
		}
		return "", err
	}
	s.offset, s.acked = NoOffset, NoOffset
	meta, err := db.Get([]byte(metaKey), nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound): // nothing was ever written
		s.seen = newSeen(s.opts.Changelog.End - s.opts.Changelog.Start)
	case err != nil && corrupt(err), err == nil && len(meta) != 24:
		reason = "its meta data are corrupt"
	case err != nil:
		db.Close()
		files.Close()
		return "", err
	default:
		s.offset = int64(binary.BigEndian.Uint64(meta[16:]))
		switch {
		case [16]byte(meta[:16]) != s.opts.Changelog.ID:
			reason = "it belongs to an earlier incarnation of the topic"
		case s.offset >= s.opts.Changelog.End:
			reason = fmt.Sprintf("it is ahead of its changelog: it holds offset %d, the changelog ends at %d", s.offset, s.opts.Changelog.End)
		}
	}
	if reason != "" {
		return reason, errors.Join(db.Close(), files.Close())
	}
	s.db, s.files, s.saved = db, files, s.offset
	if s.seen != nil && s.opts.Changelog.End-s.opts.Changelog.Start >= minLoad {
		if err := s.reopen(true); err != nil {
			files.Close()
			return "", err
		}
	}
	return "", nil
}

// fail keeps the first failure and tells about it. The caller holds mu.
func (s *Store) fail(err error) {
	if s.failure != nil {
		return
	}
	s.failure = err
	s.roomy.Broadcast()
	if corrupt(err) {
		// Best effort: without the file, opening finds the damage by itself, most likely.
		_ = os.WriteFile(filepath.Join(s.opts.Dir, corruptFile), []byte(err.Error()+"\n"), 0o600)
	}
	if s.opts.OnFailure != nil {
		go s.opts.OnFailure(err)
	}
}

// corrupt reports whether LevelDB has found damage; its own function does not look into wrapped errors.
func corrupt(err error) bool {
	var table *lerrors.ErrCorrupted
	var files *lstorage.ErrCorrupted
	return errors.As(err, &table) || errors.As(err, &files)
}

// Open implements goka's storage.Storage; the store is open since [Open].
func (s *Store) Open() error { return nil }

// Close writes what is dirty and closes the files. Later calls do nothing.
func (s *Store) Close() error {
	err := error(nil)
	s.closed.Do(func() {
		close(s.stop)
		<-s.done
		err = s.flush()
		s.mu.Lock()
		if s.failure == nil {
			s.failure = ErrClosed
		}
		s.clean.close()
		s.roomy.Broadcast()
		s.mu.Unlock()
		s.disk.Lock()
		s.walk.close()
		err = errors.Join(err, s.db.Close(), s.files.Close())
		s.disk.Unlock()
	})
	return err
}

func (s *Store) isClosed() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Get returns a row, or nil if there is none. The caller must not change the bytes.
func (s *Store) Get(key string) ([]byte, error) {
	s.mu.Lock()
	v, ok := s.dirty[key]
	if !ok {
		v, ok = s.flying[key]
	}
	if !ok {
		v, ok = s.clean.get(key)
	}
	if !ok && s.seen != nil {
		ok = !s.seen.has(key) // there is none
	}
	failure, version := s.failure, s.version
	s.mu.Unlock()
	if failure != nil {
		return nil, failure
	}
	if ok {
		return v, nil
	}
	v, err := s.read([]byte(rowPrefix+key), version)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failRead(err)
		return nil, s.failure
	}
	return v, nil
}

// read returns a row, or nil, as the disk of this version or a later one has it.
func (s *Store) read(key []byte, version uint64) ([]byte, error) {
	s.disk.RLock()
	defer s.disk.RUnlock()
	v, ok, err := s.walk.get(s.db, version, key)
	if ok || err != nil {
		return v, err
	}
	v, err = s.db.Get(key, nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
		return nil, nil
	case v == nil && err == nil:
		v = []byte{} // LevelDB's answer for an empty row that is in a table
	}
	return v, err
}

// failRead is fail for what can't be read. The caller holds mu.
func (s *Store) failRead(err error) {
	s.fail(fmt.Errorf("read state of %s/%d in %s: %w", s.opts.Changelog.Topic, s.opts.Changelog.Partition, s.opts.Dir, err))
}

// Has reports whether there is a row.
func (s *Store) Has(key string) (bool, error) {
	v, err := s.Get(key)
	return v != nil, err
}

// Set puts a row. It waits when the disk is slower than the rows come, so that memory stays bounded. The store keeps
// value: the caller must not change it.
func (s *Store) Set(key string, value []byte) error {
	if value == nil {
		value = []byte{} // a nil in the buffer means: deleted
	}
	return s.put(key, value)
}

// Delete removes a row.
func (s *Store) Delete(key string) error { return s.put(key, nil) }

func (s *Store) put(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes >= maxDirtyBytes && s.failure == nil { // a flush has been asked for
		s.roomy.Wait()
	}
	if s.failure != nil {
		return s.failure
	}
	select {
	case <-s.stop: // the last flush may be over
		return ErrClosed
	default:
	}
	if old, ok := s.dirty[key]; ok {
		s.bytes += len(value) - len(old)
	} else {
		s.bytes += len(key) + len(value) + rowOverhead
	}
	s.dirty[key] = value
	if s.seen != nil && !s.seen.add(key) {
		s.seen = nil
	}
	if s.bytes >= maxDirtyBytes {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	return nil
}
