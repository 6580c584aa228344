package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/lovoo/goka/storage"
)

// Registry opens the stores of one goka processor or view and finds them again: goka hands a callback a proxy of its own,
// and a producer only a topic and a partition.
type Registry struct {
	dir    string
	opts   Options
	lookup func(topic string, partition int32) (Changelog, error)

	mu     sync.RWMutex
	stores map[key]*Store
	ends   map[key]span
	opened func(*Store) error
}

type key struct {
	topic     string
	partition int32
}

// span is what a recovery has set out to read: from the first offset there is up to the end.
type span struct {
	start, end int64
	done       bool
}

// NewRegistry keeps its stores below dir. lookup says what a changelog is right now; opts' Dir and Changelog are set for
// each store. opened, if not nil, is called with every store before goka gets it.
func NewRegistry(dir string, opts Options, lookup func(topic string, partition int32) (Changelog, error), opened func(*Store) error) *Registry {
	return &Registry{dir: dir, opts: opts, lookup: lookup, stores: map[key]*Store{}, ends: map[key]span{}, opened: opened}
}

// Build is goka's storage.Builder.
func (r *Registry) Build(topic string, partition int32) (storage.Storage, error) {
	c, err := r.lookup(topic, partition)
	if err != nil {
		return nil, fmt.Errorf("look up changelog %s/%d: %w", topic, partition, err)
	}
	// goka leaves tables open when it fails while it sets up others.
	if old := r.Get(topic, partition); old != nil {
		if err := old.Close(); err != nil {
			return nil, err
		}
	}
	opts := r.opts
	opts.Dir, opts.Changelog = filepath.Join(r.dir, topic, fmt.Sprint(partition)), c
	s, err := Open(opts)
	if err != nil {
		return nil, err
	}
	if r.opened != nil {
		if err := r.opened(s); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	r.mu.Lock()
	r.stores[key{topic, partition}] = s
	delete(r.ends, key{topic, partition})
	r.mu.Unlock()
	return recovering{s, r, new(atomic.Bool)}, nil
}

// Get returns the store of a changelog partition that was opened last, or nil.
func (r *Registry) Get(topic string, partition int32) *Store {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.stores[key{topic, partition}]
}

// Acked passes an acknowledgement to the store that it concerns, if it is one of this registry's.
func (r *Registry) Acked(topic string, partition int32, offset int64) {
	if s := r.Get(topic, partition); s != nil {
		s.Acked(offset)
	}
}

// Recoveries calls f with every open store: the changelog offset that it holds, the end that its recovery had to reach, and
// whether it is recovered.
func (r *Registry) Recoveries(f func(topic string, partition int32, offset, end int64, done bool)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for k, s := range r.stores {
		if s.isClosed() { // its partition is somebody else's now
			continue
		}
		end := r.ends[k].end
		f(k.topic, k.partition, s.Offset(), end, r.ends[k].done)
	}
}

// Recovered calls f with every open store that is recovered.
func (r *Registry) Recovered(f func(*Store)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for k, s := range r.stores {
		if r.ends[k].done && !s.isClosed() {
			f(s)
		}
	}
}

// Close closes what goka has left open.
func (r *Registry) Close() error {
	var errs []error
	r.Each(func(s *Store) { errs = append(errs, s.Close()) })
	return errors.Join(errs...)
}

// Each calls f with every open store.
func (r *Registry) Each(f func(*Store)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.stores {
		f(s)
	}
}

// RecoverFrom and RecoverTo learn what a recovery is about to read: the offsets that goka asked the topic manager for.
func (r *Registry) RecoverFrom(topic string, partition int32, start int64) {
	r.expect(topic, partition, func(s *span) { s.start = start })
}

// RecoverTo: see RecoverFrom.
func (r *Registry) RecoverTo(topic string, partition int32, end int64) {
	r.expect(topic, partition, func(s *span) { s.end = end })
}

func (r *Registry) expect(topic string, partition int32, set func(*span)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.ends[key{topic, partition}]
	set(&s)
	r.ends[key{topic, partition}] = s
}

// Name returns the topic and partition of a store.
func (s *Store) Name() (topic string, partition int32) {
	return s.opts.Changelog.Topic, s.opts.Changelog.Partition
}

// recovering is what goka gets: a store whose MarkRecovered knows how far the recovery had to go.
type recovering struct {
	*Store
	r      *Registry
	loaded *atomic.Bool // goka has begun to load the table
}

// errCalledOff is what goka is told when it closes a store that it has not begun to load.
var errCalledOff = errors.New("setting up the table was called off")

// Close closes the store. goka goes on with a table whose setting up was called off while the store was being opened, as if
// there was one, and falls over it; an error makes it stop.
func (s recovering) Close() error {
	err := s.Store.Close()
	if !s.loaded.Load() {
		err = errors.Join(err, errCalledOff)
	}
	return err
}

// GetOffset implements goka's storage.Storage: it is the first thing that goka asks when it loads a table.
func (s recovering) GetOffset(def int64) (int64, error) {
	s.loaded.Store(true)
	return s.Store.GetOffset(def)
}

func (s recovering) MarkRecovered() error {
	topic, partition := s.Name()
	s.r.mu.RLock()
	want, known := s.r.ends[key{topic, partition}]
	s.r.mu.RUnlock()
	if !known {
		return fmt.Errorf("recovery of %s/%d: its end was never asked for", topic, partition)
	}
	if err := s.Store.Recovered(want.start, want.end); err != nil {
		return err
	}
	s.r.expect(topic, partition, func(s *span) { s.done = true })
	return nil
}
