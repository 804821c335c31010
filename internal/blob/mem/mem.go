// Package mem keeps objects in memory, for tests and for demonstrations that
// leave nothing behind. It can lock objects. Nothing in it is durable.
package mem

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/blob"
)

// Store is a map of objects. Use New.
type Store struct {
	now func() time.Time

	mu      sync.RWMutex
	objects map[string]object
}

type object struct {
	data     []byte // never changed; replaced as a whole
	modified time.Time
	retain   time.Time
}

var _ blob.Mutable = (*Store)(nil)

// Options of a Store.
type Options struct {
	Now func() time.Time // the store's clock; nil = time.Now
}

// New returns an empty store.
func New(opts Options) *Store {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Store{now: opts.Now, objects: map[string]object{}}
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
	if _, ok := s.objects[name]; ok {
		return allod.Errorf(allod.Conflict, "put %s: %w", name, blob.ErrExists)
	}
	s.objects[name] = object{data: data, modified: s.now().UTC(), retain: opts.RetainUntil}
	return nil
}

// Replace implements blob.Mutable. A locked object cannot be replaced.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	if err := check(ctx, "replace", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[name]; s.now().Before(o.retain) {
		return allod.Errorf(allod.Denied, "replace %s: %w", name, blob.ErrLocked)
	}
	s.objects[name] = object{data: bytes.Clone(data), modified: s.now().UTC()}
	return nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, "get", name); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, allod.Errorf(allod.Invalid, "get %s: offset %d", name, off)
	}
	s.mu.RLock()
	o, ok := s.objects[name]
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
	o, ok := s.objects[name]
	if !ok {
		return blob.Info{}, allod.Errorf(allod.NotFound, "stat %s: %w", name, blob.ErrNotFound)
	}
	return info(name, o), nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := check(ctx, "delete", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Before(s.objects[name].retain) {
		return allod.Errorf(allod.Denied, "delete %s: %w", name, blob.ErrLocked)
	}
	delete(s.objects, name)
	return nil
}

// List implements blob.Store. It shows the names of the moment it began,
// except those deleted since.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, err)
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
				yield(blob.Info{}, allod.Errorf(allod.Unavailable, "list %s: %w", prefix, err))
				return
			}
			s.mu.RLock()
			o, ok := s.objects[name]
			s.mu.RUnlock()
			if ok && !yield(info(name, o), nil) {
				return
			}
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
