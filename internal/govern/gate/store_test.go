package gate

import (
	"bytes"
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"allod"
	"allod/internal/blob"
)

// memory is a store that can be down, or see a context that was cancelled.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	down    bool
}

var _ blob.Store = (*memory)(nil)

func (m *memory) Put(ctx context.Context, name string, r io.Reader, _ int64, _ blob.PutOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return allod.Errorf(allod.Unavailable, "the store is read-only")
	}
	if _, ok := m.objects[name]; ok {
		return blob.ErrExists
	}
	b, err := io.ReadAll(r)
	m.objects[name] = b
	return err
}

func (m *memory) Get(ctx context.Context, name string, _, n int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return nil, blob.ErrNotFound
	}
	return io.NopCloser(io.LimitReader(bytes.NewReader(b), n)), nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		m.mu.Lock()
		var names []string
		for name := range m.objects {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		m.mu.Unlock()
		slices.Sort(names)
		for _, name := range names {
			if !yield(blob.Info{Name: name}, nil) {
				return
			}
		}
	}
}

func (m *memory) Stat(context.Context, string) (blob.Info, error) {
	return blob.Info{}, blob.ErrNotFound
}

func (m *memory) Delete(context.Context, string) error { return blob.ErrLocked }
