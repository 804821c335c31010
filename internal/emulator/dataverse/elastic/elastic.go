// Package elastic is what tables kept in Azure Cosmos DB do that others do not
// (protocols/dataverse.md §4.8; Use elastic tables using code): rows that
// expire.
package elastic

import (
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// expiry is the table of rows that end; no model has a name with an @.
const expiry = "elastic@expiry"

// Is reports whether the table is elastic.
func Is(t *entity.Table) bool { return t.TableType == "Elastic" }

// Note remembers when the row that was just written ends: ttlinseconds after
// its last change; null or -1 has no end.
func Note(tx *store.Tx, t *entity.Table, id allod.GUID, now time.Time) {
	ttl := tx.Value(t.LogicalName, tx.Get(t.LogicalName, id), "ttlinseconds")
	if ttl.Type() != allod.Integer || ttl.Int() < 0 {
		if tx.Has(expiry) {
			tx.Delete(expiry, id)
		}
		return
	}
	columns := []string{"table", "ends"}
	tx.Ensure(expiry, columns)
	end := now.Add(time.Duration(ttl.Int()) * time.Second)
	tx.Put(expiry, id, []store.Cell{
		{Column: tx.Column(expiry, "table"), Value: allod.StringValue(t.LogicalName)},
		{Column: tx.Column(expiry, "ends"), Value: allod.StringValue(wire.Stamp(end))},
	})
}

// Ended returns the rows of the table that have come to their end.
func Ended(tx *store.Tx, t *entity.Table, now time.Time) []allod.GUID {
	var out []allod.GUID
	for _, r := range tx.Page(expiry, nil, tx.Len(expiry)) {
		if tx.Value(expiry, r, "table").Text() == t.LogicalName && tx.Value(expiry, r, "ends").Text() <= wire.Stamp(now) {
			out = append(out, r.Key)
		}
	}
	return out
}

// Remove takes ended rows away.
func Remove(tx *store.Tx, t *entity.Table, ids []allod.GUID) {
	for _, id := range ids {
		tx.Delete(t.LogicalName, id)
		tx.Delete(expiry, id)
	}
}
