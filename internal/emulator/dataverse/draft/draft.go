// Package draft keeps changes of components that are not published yet: a form, a view
// or a web resource that is changed stays as it was for everybody until it is
// published (protocols/dataverse.md §11.2; "Publish customizations"). What is new is
// published at once, and what is deleted is gone at once.
package draft

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/recycle"
	"allod/internal/emulator/dataverse/store"
)

// kept holds the drafts: no table of the model has an @ in its name.
const kept = "unpublished@rows"

// state is the column that tells layers apart: 0 published, 1 unpublished.
const state = "componentstate"

// Kept reports whether changes of rows of the table wait for being published: it is one
// to which RetrieveUnpublished is bound.
func Kept(t *entity.Table) bool {
	switch t.LogicalName {
	case "savedquery", "savedqueryvisualization", "systemform", "webresource", "sitemap", "appmodule",
		"customcontroldefaultconfig", "mobileofflineprofile", "mobileofflineprofileitem":
		return true
	}
	return false
}

// Get is the draft of a row, nil where there is none.
func Get(tx *store.Tx, t *entity.Table, id allod.GUID) (*store.Row, error) {
	if !tx.Has(kept) {
		return nil, nil
	}
	for _, key := range tx.Find(kept, "id", allod.IDValue(id)) {
		if r := tx.Get(kept, key); tx.Value(kept, r, "table").Text() == t.LogicalName {
			return row(tx, t, r)
		}
	}
	return nil, nil
}

func row(tx *store.Tx, t *entity.Table, r *store.Row) (*store.Row, error) {
	cells, err := recycle.Unpack(tx, t.LogicalName, tx.Value(kept, r, "cells").Text())
	if err != nil {
		return nil, err
	}
	return tx.Loose(tx.Value(kept, r, "id").GUID(), r.Version, cells), nil
}

// Put keeps a draft of a row instead of the one there was.
func Put(tx *store.Tx, newID func() allod.GUID, t *entity.Table, id allod.GUID, cells []store.Cell) {
	Drop(tx, t, id)
	tx.Ensure(kept, []string{"table", "id", "cells"})
	var out []store.Cell
	for name, v := range map[string]allod.Value{
		"table": allod.StringValue(t.LogicalName), "id": allod.IDValue(id), "cells": allod.StringValue(recycle.Pack(tx, t.LogicalName, with(tx, t, cells, 1))),
	} {
		out = append(out, store.Cell{Column: tx.Column(kept, name), Value: v})
	}
	tx.Put(kept, newID(), out)
}

// with returns the cells with another state, where the table has one.
func with(tx *store.Tx, t *entity.Table, cells []store.Cell, n int64) []store.Cell {
	at := tx.Column(t.LogicalName, state)
	out := make([]store.Cell, 0, len(cells)+1)
	for _, c := range cells {
		if c.Column != at {
			out = append(out, c)
		}
	}
	if at >= 0 {
		out = append(out, store.Cell{Column: at, Value: allod.IntegerValue(n)})
	}
	return out
}

// Drop forgets the draft of a row.
func Drop(tx *store.Tx, t *entity.Table, id allod.GUID) {
	if !tx.Has(kept) {
		return
	}
	for _, key := range tx.Find(kept, "id", allod.IDValue(id)) {
		if tx.Value(kept, tx.Get(kept, key), "table").Text() == t.LogicalName {
			tx.Delete(kept, key)
		}
	}
}

// Publish makes drafts the rows that everybody reads: those for which of holds.
func Publish(tx *store.Tx, m *entity.Model, of func(t *entity.Table, draft *store.Row) bool) error {
	if !tx.Has(kept) {
		return nil
	}
	for _, r := range tx.Page(kept, nil, tx.Len(kept)) {
		t := m.Table(tx.Value(kept, r, "table").Text())
		if t == nil || tx.Get(t.LogicalName, tx.Value(kept, r, "id").GUID()) == nil {
			tx.Delete(kept, r.Key)
			continue
		}
		d, err := row(tx, t, r)
		if err != nil {
			return err
		}
		if !of(t, d) {
			continue
		}
		tx.Put(t.LogicalName, d.Key, with(tx, t, tx.Cells(d), 0))
		tx.Delete(kept, r.Key)
	}
	return nil
}
