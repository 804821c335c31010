// Package sdk keeps the rows that say which tables know a message
// (sdkmessage, sdkmessagefilter), for clients that ask before they use
// CreateMultiple and its like (protocols/dataverse.md §6.10; Use bulk operation
// messages).
package sdk

import (
	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// The tables; a model that lacks them has no such rows.
const (
	messages = "sdkmessage"
	filters  = "sdkmessagefilter"
)

func known() []string {
	return []string{"Create", "Update", "Delete", "CreateMultiple", "UpdateMultiple", "UpsertMultiple", "DeleteMultiple"}
}

// Knows reports whether rows of the table can be written by the message.
func Knows(t *entity.Table, message string) bool {
	if t.Abstract || t.Intersect || t.SetName == "" || t.LogicalName == "audit" || t.LogicalName == "fileattachment" || t.LogicalName == "activitypointer" || t.TableType == "Virtual" {
		return false
	}
	return message != "DeleteMultiple" || elastic.Is(t)
}

// Add writes the rows of the messages and of the tables.
func Add(tx *store.Tx, stamp string, tables ...*entity.Table) {
	if !tx.Has(messages) || !tx.Has(filters) {
		return
	}
	at := allod.TextValue(allod.DateTime, stamp)
	for _, message := range known() {
		id := access.NamedID("message " + message)
		if tx.Get(messages, id) == nil {
			put(tx, messages, id, map[string]allod.Value{
				"name": allod.StringValue(message), "isprivate": allod.BooleanValue(false), "isactive": allod.BooleanValue(true), "isreadonly": allod.BooleanValue(false),
				"availability": allod.IntegerValue(0), "createdon": at, "modifiedon": at,
			})
		}
		for _, t := range tables {
			if !Knows(t, message) {
				continue
			}
			put(tx, filters, access.NamedID("message "+message+" of "+t.LogicalName), map[string]allod.Value{
				"sdkmessageid": allod.LookupValue(messages, id), "primaryobjecttypecode": allod.StringValue(t.LogicalName), "secondaryobjecttypecode": allod.StringValue("none"),
				"availability": allod.IntegerValue(0), "iscustomprocessingstepallowed": allod.BooleanValue(true), "isvisible": allod.BooleanValue(true), "createdon": at, "modifiedon": at,
			})
		}
	}
}

// Drop removes the rows of a table that is gone.
func Drop(tx *store.Tx, table string) {
	if !tx.Has(filters) {
		return
	}
	for _, id := range tx.Find(filters, "primaryobjecttypecode", allod.StringValue(table)) {
		tx.Delete(filters, id)
	}
}

func put(tx *store.Tx, table string, id allod.GUID, values map[string]allod.Value) {
	var cells []store.Cell
	for column, v := range values {
		if i := tx.Column(table, column); i >= 0 {
			cells = append(cells, store.Cell{Column: i, Value: v})
		}
	}
	tx.Put(table, id, cells)
}
