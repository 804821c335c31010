package ledger

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

// memory is a store that can be told to fail its k-th Put.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	puts    int
	failAt  int  // 1 = the next Put; 0 = none
	stored  bool // the failing Put stores its object all the same
	down    bool
	gets    int
}

var _ blob.Store = (*memory)(nil)

var errDown = allod.Errorf(allod.Unavailable, "the store is down")

func newMemory() *memory { return &memory{objects: map[string][]byte{}} }

func (m *memory) Put(ctx context.Context, name string, r io.Reader, _ int64, _ blob.PutOptions) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	fail := m.down || m.failAt == m.puts
	if fail && !m.stored {
		return errDown
	}
	if _, ok := m.objects[name]; ok {
		return allod.Errorf(allod.Conflict, "put: %w", blob.ErrExists)
	}
	m.objects[name] = b
	if fail {
		return errDown
	}
	return nil
}

func (m *memory) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	b, ok := m.objects[name]
	if !ok {
		return nil, allod.Errorf(allod.NotFound, "get: %w", blob.ErrNotFound)
	}
	b = b[min(off, int64(len(b))):]
	if n >= 0 && n < int64(len(b)) {
		b = b[:n]
	}
	return io.NopCloser(bytes.NewReader(bytes.Clone(b))), nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, name := range m.names(prefix) {
			if !yield(blob.Info{Name: name}, nil) {
				return
			}
		}
	}
}

func (m *memory) names(prefix string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.objects {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *memory) Stat(context.Context, string) (blob.Info, error) {
	return blob.Info{}, blob.ErrNotFound
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

// snapshot copies the store without its faults.
func (m *memory) snapshot() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemory()
	for k, v := range m.objects {
		c.objects[k] = bytes.Clone(v)
	}
	return c
}
