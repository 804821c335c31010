package store

import "allod"

// Ensure makes the table if there is none and adds the columns it lacks; for
// what the server keeps beside what its model shows. It is not taken back when
// the transaction fails. It panics in a read-only transaction.
func (tx *Tx) Ensure(name string, columns []string) {
	if !tx.writable {
		panic("store: ensure table " + name + " in a read-only transaction")
	}
	t := tx.s.tables[name]
	if t == nil {
		t = &table{name: name, byName: make(map[string]int, len(columns)), index: map[int]postings{}}
		tx.s.tables[name] = t
	}
	for _, c := range columns {
		t.addColumn(c)
	}
}

// Loose makes a row of the table with these cells that is not in it: for
// showing what was there.
func (tx *Tx) Loose(key allod.GUID, version uint64, cells []Cell) *Row {
	return &Row{Key: key, Version: version, data: pack(cells, tx.s)}
}
