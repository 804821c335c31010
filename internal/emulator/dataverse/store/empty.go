package store

import (
	"cmp"
	"maps"
	"slices"

	"allod"
)

// Empty removes the rows of the tables that gone names, with their history,
// but for those whose keys are in keep, and every reference to them from rows
// that stay. Nothing is logged: it is as if the rows had never been. Bytes of
// files are kept. It is meant for a store that nobody has read from yet.
func (s *Store) Empty(gone func(table string) bool, keep map[allod.GUID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, old := range s.tables {
		if !gone(name) {
			continue
		}
		t := &table{name: name, columns: old.columns, byName: old.byName, index: map[int]postings{}}
		s.tables[name] = t
		for key := range keep {
			if r := old.rows.get(key); r != nil {
				s.set(t, r)
				t.log = append(t.log, Change{Version: r.Version, Key: key})
			}
		}
		slices.SortFunc(t.log, func(a, b Change) int { return cmp.Compare(a.Version, b.Version) })
	}
	tx := &Tx{s: s, writable: true, before: s.version}
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		tx.unlink(name, func(target string, key allod.GUID) bool { return gone(target) && !keep[key] })
	}
}

// unlink clears the references of a table's rows to rows that are gone.
func (tx *Tx) unlink(name string, gone func(table string, key allod.GUID) bool) {
	var after *allod.GUID
	for {
		page := tx.Page(name, after, 1000)
		if len(page) == 0 {
			return
		}
		after = &page[len(page)-1].Key
		for _, r := range page {
			cells := tx.Cells(r)
			kept := slices.DeleteFunc(slices.Clone(cells), func(c Cell) bool {
				target, key := c.Value.Target()
				return c.Value.Type() == allod.Lookup && target != "" && gone(target, key)
			})
			if len(kept) < len(cells) {
				tx.Rewrite(name, r.Key, kept)
			}
		}
	}
}
