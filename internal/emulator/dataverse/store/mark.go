package store

import (
	"maps"
	"slices"

	"allod"
)

// moment is everything Rewind brings back.
type moment struct {
	version uint64
	tables  map[string]*table
	blobs   map[allod.GUID]*Blob
}

// Mark remembers the present under a name, replacing an older mark of that
// name. Rows are shared with the present, so it costs about 24 bytes a row.
func (s *Store) Mark(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks[name] = s.copy(s.version, s.tables, s.blobs)
}

func (s *Store) copy(version uint64, tables map[string]*table, blobs map[allod.GUID]*Blob) *moment {
	m := &moment{version: version, tables: make(map[string]*table, len(tables)), blobs: maps.Clone(blobs)}
	for name, t := range tables {
		m.tables[name] = &table{
			name:    t.name,
			columns: slices.Clone(t.columns),
			byName:  maps.Clone(t.byName),
			rows:    t.rows.clone(),
			log:     slices.Clone(t.log),
			stale:   t.stale,
			index:   map[int]postings{},
		}
	}
	return m
}

// Rewind makes the marked moment the present again: rows, log and version
// counter, so that versions given out since are given out again, as after a
// native restore. The mark stays. An unknown mark is NotFound.
func (s *Store) Rewind(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.marks[name]
	if m == nil {
		return allod.Errorf(allod.NotFound, "rewind to mark %q: no such mark", name)
	}
	m = s.copy(m.version, m.tables, m.blobs)
	s.version, s.tables, s.blobs = m.version, m.tables, m.blobs
	s.shape++
	return nil
}

// Marks returns the names of the marked moments, sorted.
func (s *Store) Marks() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.marks))
}
