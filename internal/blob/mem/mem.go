// Package mem keeps objects in memory, for tests and for demonstrations that
// leave nothing behind. It can lock objects and keep versions. Nothing in it is
// durable.
package mem

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/blob"
)

// Store is a map of objects. Use New.
type Store struct {
	now      func() time.Time
	versions bool
	facts    blob.Facts

	mu      sync.RWMutex
	objects map[string][]object // versions, the oldest first; never empty
	last    int64               // number of the newest version
}

// object is one version; never changed but for its lock.
type object struct {
	id       string
	data     []byte
	marker   bool
	modified time.Time
	retain   time.Time
}

var (
	_ blob.Mutable   = (*Store)(nil)
	_ blob.Versioned = (*Store)(nil)
	_ blob.Locker    = (*Store)(nil)
	_ blob.Describer = (*Store)(nil)
)

// Options of a Store.
type Options struct {
	Now      func() time.Time // the store's clock; nil = time.Now
	Versions bool             // keep what is replaced or hidden, as a versioned bucket does
	Facts    blob.Facts       // what Describe says beyond Kind, Versions and Locks
}

// New returns an empty store.
func New(opts Options) *Store {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{now: opts.Now, versions: opts.Versions, facts: opts.Facts, objects: map[string][]object{}}
	s.facts.Kind, s.facts.Locks, s.facts.Versions = "memory", true, blob.KeepsNone
	if opts.Versions {
		s.facts.Versions = blob.KeepsAll
	}
	return s
}

// current returns what Get shows of a name. The caller holds the lock.
func (s *Store) current(name string) (object, bool) {
	all := s.objects[name]
	if len(all) == 0 || all[len(all)-1].marker {
		return object{}, false
	}
	return all[len(all)-1], true
}

// add stores a version. The caller holds the lock.
func (s *Store) add(name string, o object) {
	o.id, o.modified = "null", s.now().UTC()
	if !s.versions {
		s.objects[name] = []object{o}
		return
	}
	s.last++
	o.id = strconv.FormatInt(s.last, 10)
	s.objects[name] = append(slices.Clip(s.objects[name]), o)
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	if err := check(ctx, "put", name); err != nil {
		return err
	}
	limit := size
	if size < 0 {
		limit = 1<<63 - 2
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "put %s: %w", name, err)
	}
	if size >= 0 && int64(len(data)) != size {
		return allod.Errorf(allod.Invalid, "put %s: size differs from the %d bytes announced", name, size)
	}
	if err := ctx.Err(); err != nil {
		return allod.Errorf(allod.Unavailable, "put %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.current(name); ok {
		return allod.Errorf(allod.Conflict, "put %s: %w", name, blob.ErrExists)
	}
	s.add(name, object{data: data, retain: opts.RetainUntil})
	return nil
}

// Replace implements blob.Mutable. Without versions a locked object cannot be
// replaced; with them it stays behind, locked.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	if err := check(ctx, "replace", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, ok := s.current(name); ok && !s.versions && s.now().Before(o.retain) {
		return allod.Errorf(allod.Denied, "replace %s: %w", name, blob.ErrLocked)
	}
	s.add(name, object{data: bytes.Clone(data)})
	return nil
}

// Hide puts a delete marker over an object, as whoever may delete in a
// versioned bucket can; without versions it deletes the object.
func (s *Store) Hide(ctx context.Context, name string) error {
	if !s.versions {
		return s.Delete(ctx, name)
	}
	if err := check(ctx, "hide", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(name, object{marker: true})
	return nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	return s.get(ctx, name, off, n, func() (object, bool) { return s.current(name) })
}

// GetVersion implements blob.Versioned.
func (s *Store) GetVersion(ctx context.Context, name, id string, off, n int64) (io.ReadCloser, error) {
	return s.get(ctx, name, off, n, func() (object, bool) {
		for _, o := range s.objects[name] {
			if o.id == id {
				return o, !o.marker
			}
		}
		return object{}, false
	})
}

func (s *Store) get(ctx context.Context, name string, off, n int64, find func() (object, bool)) (io.ReadCloser, error) {
	if err := check(ctx, "get", name); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, allod.Errorf(allod.Invalid, "get %s: offset %d", name, off)
	}
	s.mu.RLock()
	o, ok := find()
	s.mu.RUnlock()
	if !ok {
		return nil, allod.Errorf(allod.NotFound, "get %s: %w", name, blob.ErrNotFound)
	}
	data := o.data[min(off, int64(len(o.data))):]
	if n >= 0 {
		data = data[:min(n, int64(len(data)))]
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := check(ctx, "stat", name); err != nil {
		return blob.Info{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.current(name)
	if !ok {
		return blob.Info{}, allod.Errorf(allod.NotFound, "stat %s: %w", name, blob.ErrNotFound)
	}
	return info(name, o), nil
}

// Delete implements blob.Store and, with versions, what blob.Versioned says of
// it.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := check(ctx, "delete", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, now := s.objects[name], s.now()
	left := slices.DeleteFunc(slices.Clone(all), func(o object) bool { return !now.Before(o.retain) })
	if len(left) == 0 {
		delete(s.objects, name)
		return nil
	}
	if newest := all[len(all)-1]; left[len(left)-1].id != newest.id {
		left = append(left, newest)
	}
	s.objects[name] = left
	return allod.Errorf(allod.Denied, "delete %s: %w", name, blob.ErrLocked)
}

// DeleteVersion implements blob.Versioned.
func (s *Store) DeleteVersion(ctx context.Context, name, id string) error {
	if err := check(ctx, "delete a version of", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.objects[name]
	i := slices.IndexFunc(all, func(o object) bool { return o.id == id })
	if i < 0 {
		return nil
	}
	if s.now().Before(all[i].retain) {
		return allod.Errorf(allod.Denied, "delete a version of %s: %w", name, blob.ErrLocked)
	}
	if s.objects[name] = slices.Delete(slices.Clone(all), i, i+1); len(all) == 1 {
		delete(s.objects, name)
	}
	return nil
}

// KeepsVersions implements blob.Versioned.
func (s *Store) KeepsVersions() bool { return s.versions }

// Lock implements blob.Locker.
func (s *Store) Lock(ctx context.Context, name string, until time.Time) error {
	if err := check(ctx, "lock", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.current(name)
	if !ok {
		return allod.Errorf(allod.NotFound, "lock %s: %w", name, blob.ErrNotFound)
	}
	if until.Before(o.retain) && s.now().Before(o.retain) {
		return allod.Errorf(allod.Denied, "shorten the lock of %s: %w", name, blob.ErrLocked)
	}
	all := slices.Clone(s.objects[name])
	all[len(all)-1].retain = until
	s.objects[name] = all
	return nil
}

// LockedUntil implements blob.Locker.
func (s *Store) LockedUntil(ctx context.Context, name string) (time.Time, error) {
	if err := check(ctx, "ask for the lock of", name); err != nil {
		return time.Time{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.current(name)
	if !ok {
		return time.Time{}, allod.Errorf(allod.NotFound, "ask for the lock of %s: %w", name, blob.ErrNotFound)
	}
	return o.retain.UTC(), nil
}

// Describe implements blob.Describer.
func (s *Store) Describe(ctx context.Context) (blob.Facts, error) {
	if err := ctx.Err(); err != nil {
		return blob.Facts{}, allod.Errorf(allod.Unavailable, "describe the store: %w", err)
	}
	return s.facts, nil
}

// List implements blob.Store. It shows the names of the moment it began,
// except those deleted since.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		s.walk(ctx, prefix, func(err error) { yield(blob.Info{}, err) }, func(name string) bool {
			s.mu.RLock()
			o, ok := s.current(name)
			s.mu.RUnlock()
			return !ok || yield(info(name, o), nil)
		})
	}
}

// Versions implements blob.Versioned. It shows the names of the moment it
// began, except those deleted since.
func (s *Store) Versions(ctx context.Context, prefix string) iter.Seq2[blob.Version, error] {
	return func(yield func(blob.Version, error) bool) {
		s.walk(ctx, prefix, func(err error) { yield(blob.Version{}, err) }, func(name string) bool {
			s.mu.RLock()
			all := s.objects[name]
			s.mu.RUnlock()
			for i, o := range slices.Backward(all) {
				if !yield(blob.Version{Info: info(name, o), ID: o.id, Current: i == len(all)-1, Marker: o.marker}, nil) {
					return false
				}
			}
			return true
		})
	}
}

// walk calls visit for the names that begin with prefix, ascending, until it
// returns false.
func (s *Store) walk(ctx context.Context, prefix string, fail func(error), visit func(name string) bool) {
	if err := blob.CheckPrefix(prefix); err != nil {
		fail(err)
		return
	}
	s.mu.RLock()
	names := slices.Sorted(maps.Keys(s.objects))
	s.mu.RUnlock()
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := ctx.Err(); err != nil {
			fail(allod.Errorf(allod.Unavailable, "list %s: %w", prefix, err))
			return
		}
		if !visit(name) {
			return
		}
	}
}

func info(name string, o object) blob.Info {
	return blob.Info{Name: name, Size: int64(len(o.data)), Modified: o.modified}
}

func check(ctx context.Context, what, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return allod.Errorf(allod.Unavailable, "%s %s: %w", what, name, err)
	}
	return nil
}
