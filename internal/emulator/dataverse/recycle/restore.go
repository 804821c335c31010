package recycle

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Kept is a row in the bin.
type Kept struct {
	Table string
	Row   allod.GUID
	Cells []store.Cell
	key   allod.GUID
}

// find returns the bin's own keys of the row.
func find(tx *store.Tx, table string, id allod.GUID) []allod.GUID {
	var out []allod.GUID
	for _, k := range tx.Find(kept, "id", allod.IDValue(id)) {
		if tx.Value(kept, tx.Get(kept, k), "table").Text() == table {
			out = append(out, k)
		}
	}
	return out
}

// expired reports whether the time the table's rows are kept is over: its own
// interval if it has one, else that of the environment; -1 has no end.
func expired(tx *store.Tx, r *store.Row, now time.Time) bool {
	days := int64(-1)
	for _, name := range []string{organization, tx.Value(kept, r, "table").Text()} {
		if v := tx.Value(Config, config(tx, name), "cleanupintervalindays"); v.Type() == allod.Integer && v.Int() > 0 {
			days = v.Int()
		}
	}
	return days > 0 && tx.Value(kept, r, "when").Text() < wire.Stamp(now.AddDate(0, 0, -int(days)))
}

// Purge removes rows whose time is over, with their files; the oldest come
// first, so it stops at the first that stays.
func Purge(tx *store.Tx, now time.Time) {
	if !tx.Has(kept) {
		return
	}
	for _, r := range tx.Changed(kept, 0, tx.Version(), tx.Len(kept)) {
		if !expired(tx, r, now) {
			return
		}
		for _, b := range strings.Split(tx.Value(kept, r, "blobs").Text(), ",") {
			if id, err := allod.ParseGUID(b); err == nil {
				tx.DeleteBlob(id)
			}
		}
		drop(tx, r.Key)
	}
}

// drop removes a row from the bin and the reference to its deletion.
func drop(tx *store.Tx, key allod.GUID) {
	id := tx.Value(kept, tx.Get(kept, key), "id")
	for _, ref := range tx.Find(References, "deletedobject", id) {
		tx.Delete(References, ref)
	}
	tx.Delete(kept, key)
}

// Take returns the row with the rows its deletion took along, the row first;
// none when it is not in the bin or its time is over. They stay in the bin
// until Done.
func Take(tx *store.Tx, table string, id allod.GUID, now time.Time) ([]Kept, error) {
	if !tx.Has(kept) {
		return nil, nil
	}
	var out []Kept
	for _, key := range find(tx, table, id) {
		k, err := read(tx, key)
		if err != nil {
			return nil, err
		}
		if expired(tx, tx.Get(kept, key), now) {
			return nil, nil
		}
		out = append(out, k)
	}
	if len(out) == 0 {
		return nil, nil
	}
	for _, key := range tx.Find(kept, "root", allod.IDValue(id)) {
		if key == out[0].key {
			continue
		}
		k, err := read(tx, key)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

func read(tx *store.Tx, key allod.GUID) (Kept, error) {
	r := tx.Get(kept, key)
	k := Kept{Table: tx.Value(kept, r, "table").Text(), Row: tx.Value(kept, r, "id").GUID(), key: key}
	var err error
	k.Cells, err = Unpack(tx, k.Table, tx.Value(kept, r, "cells").Text())
	return k, err
}

// Done takes restored rows out of the bin.
func Done(tx *store.Tx, rows []Kept) {
	for _, k := range rows {
		drop(tx, k.key)
	}
}

// Listed returns the rows of the table in the bin, in key order, as
// datasource='bin' shows them.
func Listed(tx *store.Tx, t *entity.Table, now time.Time) ([]*store.Row, error) {
	var out []*store.Row
	for _, key := range tx.Find(kept, "table", allod.StringValue(t.LogicalName)) {
		r := tx.Get(kept, key)
		if expired(tx, r, now) {
			continue
		}
		k, err := read(tx, key)
		if err != nil {
			return nil, err
		}
		out = append(out, tx.Loose(k.Row, r.Version, k.Cells))
	}
	slices.SortFunc(out, func(a, b *store.Row) int {
		if store.Less(a.Key, b.Key) {
			return -1
		}
		return cmp.Compare(1, 0)
	})
	return out, nil
}
