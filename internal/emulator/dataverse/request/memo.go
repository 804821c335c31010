package request

import (
	"sync"

	"allod/internal/emulator/dataverse/wire"
)

// memoBytes bounds the bodies that a Memo keeps.
const memoBytes = 64 << 20

// Memo keeps answers that hang on nothing but the request and the schema, since
// clients ask for every table's definition again and again. The zero Memo is
// empty; it may be used concurrently.
type Memo struct {
	mu      sync.Mutex
	schema  *wire.Schema
	shape   uint64
	replies map[string]Reply
	size    int
}

// Reply answers url under a schema and a shape of the store, by make unless it
// was asked before. Refusals are not kept. Nobody may change the body.
func (m *Memo) Reply(schema *wire.Schema, shape uint64, url string, make func() (*Reply, error)) (*Reply, error) {
	if r, ok := m.kept(schema, shape, url); ok {
		return &r, nil
	}
	r, err := make()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.schema == schema && m.shape == shape && m.size+len(r.Body) <= memoBytes {
		m.replies[url] = *r
		m.size += len(r.Body)
	}
	return r, nil
}

// kept looks an answer up, and forgets all when the schema is another one.
func (m *Memo) kept(schema *wire.Schema, shape uint64, url string) (Reply, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.schema != schema || m.shape != shape {
		m.schema, m.shape, m.replies, m.size = schema, shape, map[string]Reply{}, 0
	}
	r, ok := m.replies[url]
	return r, ok
}
