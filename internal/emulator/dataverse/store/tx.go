package store

import (
	"strings"

	"allod"
)

// Tx reads, and in Update also writes, the store at one moment. It is valid
// only until the function it was given to returns.
type Tx struct {
	s        *Store
	writable bool
	before   uint64
	undo     []undo
	local    map[*table]map[int]postings // of a reader: indexes of its own, nil at the first search
}

type undo struct {
	t     *table
	key   allod.GUID
	old   *Row
	log   int
	quiet bool // Rewrite
	blob  bool
	was   *Blob
}

// Store returns the store the transaction belongs to.
func (tx *Tx) Store() *Store { return tx.s }

// Version returns the highest row version given out.
func (tx *Tx) Version() uint64 { return tx.s.version }

// Has reports whether the table exists.
func (tx *Tx) Has(table string) bool { return tx.s.tables[table] != nil }

// Len returns the number of rows, 0 for an unknown table.
func (tx *Tx) Len(table string) int {
	if t := tx.s.tables[table]; t != nil {
		return t.rows.n
	}
	return 0
}

// Column returns the position of a column of the table, or -1.
func (tx *Tx) Column(table, column string) int {
	if t := tx.s.tables[table]; t != nil {
		if i, ok := t.byName[column]; ok {
			return i
		}
	}
	return -1
}

// ColumnNames returns the logical names of the table's columns by position.
// The caller must not change the slice.
func (tx *Tx) ColumnNames(table string) []string {
	if t := tx.s.tables[table]; t != nil {
		return t.columns
	}
	return nil
}

// Get returns the row, or nil.
func (tx *Tx) Get(table string, key allod.GUID) *Row {
	if t := tx.s.tables[table]; t != nil {
		return t.rows.get(key)
	}
	return nil
}

// Value returns one cell of a row of the table, null when it has none.
func (tx *Tx) Value(table string, r *Row, column string) allod.Value {
	i := tx.Column(table, column)
	if r == nil || i < 0 {
		return allod.NullValue()
	}
	return tx.s.cell(r, i)
}

func (s *Store) cell(r *Row, column int) allod.Value {
	var raw Raw
	for c := r.Cursor(); c.Next(&raw); {
		if raw.Column == column {
			return raw.Value(s)
		}
		if raw.Column > column {
			break
		}
	}
	return allod.NullValue()
}

// Cells unpacks the row.
func (tx *Tx) Cells(r *Row) []Cell {
	var out []Cell
	var raw Raw
	for c := r.Cursor(); c.Next(&raw); {
		out = append(out, Cell{Column: raw.Column, Value: raw.Value(tx.s)})
	}
	return out
}

// Page returns up to max rows in primary key order behind the key after
// (exclusive; nil = from the first).
func (tx *Tx) Page(table string, after *allod.GUID, max int) []*Row {
	if t := tx.s.tables[table]; t != nil {
		return t.rows.after(after, max)
	}
	return nil
}

// Changed returns up to max rows whose version lies above since and not above
// until, by version. A row written again later appears only there.
func (tx *Tx) Changed(table string, since, until uint64, max int) []*Row {
	t := tx.s.tables[table]
	if t == nil {
		return nil
	}
	var out []*Row
	for i := t.since(since); i < len(t.log) && len(out) < max; i++ {
		c := t.log[i]
		if c.Version > until {
			break
		}
		if c.Deleted {
			continue
		}
		if r := t.rows.get(c.Key); r != nil && r.Version == c.Version {
			out = append(out, r)
		}
	}
	return out
}

// Deleted returns up to max deletions above since and not above until, by
// version, of rows that do not exist now.
func (tx *Tx) Deleted(table string, since, until uint64, max int) []Change {
	t := tx.s.tables[table]
	if t == nil {
		return nil
	}
	var out []Change
	seen := map[allod.GUID]bool{}
	for i := t.since(since); i < len(t.log) && len(out) < max; i++ {
		c := t.log[i]
		if c.Version > until {
			break
		}
		if c.Deleted && !seen[c.Key] && t.rows.get(c.Key) == nil {
			seen[c.Key] = true
			out = append(out, c)
		}
	}
	return out
}

// Find returns the keys of the rows whose column holds the value: the id of a
// lookup or ID, or a text without regard to case. The first search of a
// column builds an index that later writes keep true, which is why it needs a
// writable transaction; a read-only one walks the table the first time and
// makes an index for itself the second.
func (tx *Tx) Find(name, column string, v allod.Value) []allod.GUID {
	t := tx.s.tables[name]
	col := tx.Column(name, column)
	if col < 0 {
		return nil
	}
	want, ok := indexKey(v)
	if !ok {
		return nil
	}
	if idx := t.index[col]; idx != nil {
		return append([]allod.GUID(nil), idx[want]...)
	}
	if tx.writable {
		t.index[col] = t.postings(tx.s, col)
		return append([]allod.GUID(nil), t.index[col][want]...)
	}
	if idx, again := tx.local[t][col]; again {
		if idx == nil {
			idx = t.postings(tx.s, col)
			tx.local[t][col] = idx
		}
		return append([]allod.GUID(nil), idx[want]...)
	}
	if tx.local == nil {
		tx.local = map[*table]map[int]postings{}
	}
	if tx.local[t] == nil {
		tx.local[t] = map[int]postings{}
	}
	tx.local[t][col] = nil
	var out []allod.GUID
	for _, c := range t.rows.chunks {
		for _, r := range c.rows {
			if k, ok := indexKey(tx.s.cell(r, col)); ok && k == want {
				out = append(out, r.Key)
			}
		}
	}
	return out
}

// postings is the index of one column: the keys of the rows by value.
type postings map[string][]allod.GUID

func (t *table) postings(s *Store, col int) postings {
	idx := postings{}
	for _, c := range t.rows.chunks {
		for _, r := range c.rows {
			idx.add(s, r, col)
		}
	}
	return idx
}

func (p postings) add(s *Store, r *Row, col int) {
	if k, ok := indexKey(s.cell(r, col)); ok {
		p[k] = append(p[k], r.Key)
	}
}

func (p postings) drop(s *Store, r *Row, col int) {
	k, ok := indexKey(s.cell(r, col))
	if !ok {
		return
	}
	keys := p[k]
	for i, g := range keys {
		if g == r.Key {
			keys = append(keys[:i:i], keys[i+1:]...)
			break
		}
	}
	if len(keys) == 0 {
		delete(p, k)
		return
	}
	p[k] = keys
}

func indexKey(v allod.Value) (string, bool) {
	switch v.Type() {
	case allod.Absent, allod.Null:
		return "", false
	case allod.ID, allod.Lookup:
		id := v.GUID()
		return string(id[:]), true
	case allod.Integer, allod.Boolean:
		return v.String(), true
	default:
		return strings.ToLower(v.Text()), true
	}
}

// Put writes the row with exactly these cells and gives it the next version.
// It panics in a read-only transaction, a defect of the caller; a table that is
// not there ends Update with NotFound.
func (tx *Tx) Put(table string, key allod.GUID, cells []Cell) *Row {
	t := tx.table(table)
	tx.s.version++
	r := &Row{Key: key, Version: tx.s.version, data: pack(cells, tx.s)}
	u := undo{t: t, key: key, log: len(t.log)}
	u.old = tx.s.set(t, r)
	if u.old != nil {
		t.stale++
	}
	t.log = append(t.log, Change{Version: r.Version, Key: key})
	tx.undo = append(tx.undo, u)
	return r
}

// Rewrite replaces the cells of a row that exists without giving it a new
// version and without logging it.
func (tx *Tx) Rewrite(table string, key allod.GUID, cells []Cell) {
	t := tx.table(table)
	old := t.rows.get(key)
	if old == nil {
		panic("store: rewrite of a missing row of " + table)
	}
	u := undo{t: t, key: key, log: len(t.log), quiet: true}
	u.old = tx.s.set(t, &Row{Key: key, Version: old.Version, data: pack(cells, tx.s)})
	tx.undo = append(tx.undo, u)
}

// Delete removes the row and logs it; false when there is none.
func (tx *Tx) Delete(table string, key allod.GUID) bool {
	t := tx.table(table)
	old := tx.s.unset(t, key)
	if old == nil {
		return false
	}
	tx.s.version++
	tx.undo = append(tx.undo, undo{t: t, key: key, old: old, log: len(t.log)})
	t.stale++
	t.log = append(t.log, Change{Version: tx.s.version, Key: key, Deleted: true, When: tx.s.Now().UTC()})
	return true
}

func (tx *Tx) table(name string) *table {
	if !tx.writable {
		panic("store: write in a read-only transaction")
	}
	t := tx.s.tables[name]
	if t == nil {
		panic(noTable(name))
	}
	return t
}

// Point returns a place in the transaction that Back returns to.
func (tx *Tx) Point() int { return len(tx.undo) }

// Back takes back everything written since the point. Versions given out
// meanwhile are not used again.
func (tx *Tx) Back(point int) { tx.rollback(point) }

func (tx *Tx) rollback(point int) {
	for i := len(tx.undo) - 1; i >= point; i-- {
		u := tx.undo[i]
		switch {
		case u.blob && u.was == nil:
			delete(tx.s.blobs, u.key)
			continue
		case u.blob:
			tx.s.blobs[u.key] = u.was
			continue
		case u.old == nil:
			tx.s.unset(u.t, u.key)
		default:
			tx.s.set(u.t, u.old)
			if !u.quiet {
				u.t.stale--
			}
		}
		u.t.log = u.t.log[:u.log]
	}
	tx.undo = tx.undo[:point]
}
