package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// The operations of an audit row (protocols/dataverse.md §10.1).
const (
	auditCreate = 1
	auditUpdate = 2
	auditDelete = 3
)

// audit writes down who did what to which row, where the organisation has a
// table for it. Only the summary: old and new values are not kept.
func (a *Act) audit(t *entity.Table, id allod.GUID, operation int64) {
	const table = "audit"
	if t.LogicalName == table || t.Intersect || !a.Tx.Has(table) {
		return
	}
	user := a.User
	var cells []store.Cell
	for column, v := range map[string]allod.Value{
		"operation": allod.IntegerValue(operation), "action": allod.IntegerValue(operation), "objecttypecode": allod.StringValue(t.LogicalName),
		"objectid": allod.LookupValue(t.LogicalName, id), "userid": allod.LookupValue("systemuser", user), "createdon": a.now(),
	} {
		if i := a.Tx.Column(table, column); i >= 0 {
			cells = append(cells, store.Cell{Column: i, Value: v})
		}
	}
	a.Tx.Put(table, a.NewID(), cells)
}
