// Package retention is long-term retention: it chooses rows by the policies of a
// table, moves them and what a deletion takes along out of the live tables,
// writes down the run, and keeps the rows for who asks for them (protocols/dataverse.md §13.1; "Long-term
// data retention" and "View long term retained data" of the documentation).
package retention

import (
	"cmp"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/recycle"
	"allod/internal/emulator/dataverse/store"
)

// kept holds the retained rows: no table of the model has an @ in its name.
const kept = "retention@rows"

func keptColumns() []string { return []string{"table", "id", "cells"} }

// keep retains a row of the table. An older one of the same key is replaced.
func keep(tx *store.Tx, newID func() allod.GUID, t *entity.Table, r *store.Row) {
	tx.Ensure(kept, keptColumns())
	if key, ok := find(tx, t.LogicalName, r.Key); ok {
		tx.Delete(kept, key)
	}
	put(tx, kept, newID(), map[string]allod.Value{
		"table": allod.StringValue(t.LogicalName), "id": allod.IDValue(r.Key), "cells": allod.StringValue(recycle.Pack(tx, t.LogicalName, tx.Cells(r))),
	})
}

// Listed returns the retained rows of the table in key order, as
// datasource='retained' shows them.
func Listed(tx *store.Tx, t *entity.Table) ([]*store.Row, error) {
	if !tx.Has(kept) {
		return nil, nil
	}
	var out []*store.Row
	for _, key := range tx.Find(kept, "table", allod.StringValue(t.LogicalName)) {
		r := tx.Get(kept, key)
		cells, err := recycle.Unpack(tx, t.LogicalName, tx.Value(kept, r, "cells").Text())
		if err != nil {
			return nil, err
		}
		out = append(out, tx.Loose(tx.Value(kept, r, "id").GUID(), r.Version, cells))
	}
	slices.SortFunc(out, func(a, b *store.Row) int { return cmp.Compare(string(a.Key[:]), string(b.Key[:])) })
	return out, nil
}

// Remove deletes a retained row for good; false when there is none. Its files
// are no longer reached by anything and stay until the server ends.
func Remove(tx *store.Tx, table string, id allod.GUID) bool {
	key, ok := find(tx, table, id)
	return ok && tx.Delete(kept, key)
}

func find(tx *store.Tx, table string, id allod.GUID) (allod.GUID, bool) {
	for _, key := range tx.Find(kept, "id", allod.IDValue(id)) {
		if strings.EqualFold(tx.Value(kept, tx.Get(kept, key), "table").Text(), table) {
			return key, true
		}
	}
	return allod.GUID{}, false
}

// put writes a row with those of the columns that the table has.
func put(tx *store.Tx, table string, id allod.GUID, values map[string]allod.Value) {
	var cells []store.Cell
	for c, v := range values {
		if i := tx.Column(table, c); i >= 0 && !v.IsNull() {
			cells = append(cells, store.Cell{Column: i, Value: v})
		}
	}
	tx.Put(table, id, cells)
}
