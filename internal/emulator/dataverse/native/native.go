// Package native does to an organization what a restore by the platform does
// besides bringing back its data: cloud flows are off, connections have to be
// made again, canvas apps have other ids, and the audit is left behind unless it
// is asked for (protocols/dataverse.md §12.1).
package native

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
)

// cloudFlow is the category of a workflow that runs in Power Automate.
const cloudFlow = 5

// Settle changes what a restore has just brought back.
func Settle(a *platform.Act, keepAudit bool) {
	turnOff(a.Tx)
	disconnect(a.Tx)
	renumber(a)
	if !keepAudit {
		empty(a.Tx, "audit")
	}
}

// turnOff makes drafts of cloud flows.
func turnOff(tx *store.Tx) {
	for _, r := range rows(tx, "workflow") {
		if tx.Value("workflow", r, "category").Int() == cloudFlow {
			set(tx, "workflow", r, map[string]allod.Value{"statecode": allod.IntegerValue(0), "statuscode": allod.IntegerValue(1)})
		}
	}
}

// disconnect takes the connections out of connection references.
func disconnect(tx *store.Tx) {
	for _, r := range rows(tx, "connectionreference") {
		set(tx, "connectionreference", r, map[string]allod.Value{"connectionid": allod.NullValue()})
	}
}

// renumber gives canvas apps other ids, also where solutions and apps name them.
func renumber(a *platform.Act) {
	ids := map[allod.GUID]allod.GUID{}
	for _, r := range rows(a.Tx, "canvasapp") {
		ids[r.Key] = a.NewID()
		cells := a.Tx.Cells(r)
		a.Tx.Delete("canvasapp", r.Key)
		a.Tx.Put("canvasapp", ids[r.Key], cells)
	}
	for _, table := range []string{"solutioncomponent", "appmodulecomponent"} {
		for _, r := range rows(a.Tx, table) {
			if id, ok := ids[a.Tx.Value(table, r, "objectid").GUID()]; ok {
				set(a.Tx, table, r, map[string]allod.Value{"objectid": allod.IDValue(id)})
			}
		}
	}
}

func empty(tx *store.Tx, table string) {
	for _, r := range rows(tx, table) {
		tx.Delete(table, r.Key)
	}
}

func rows(tx *store.Tx, table string) []*store.Row {
	if !tx.Has(table) {
		return nil
	}
	return slices.Clone(tx.Page(table, nil, tx.Len(table)))
}

// set writes columns that the table has and that differ.
func set(tx *store.Tx, table string, r *store.Row, values map[string]allod.Value) {
	cells, changed := tx.Cells(r), false
	for column, v := range values {
		at := tx.Column(table, column)
		if at < 0 || tx.Value(table, r, column) == v {
			continue
		}
		changed = true
		cells = slices.DeleteFunc(cells, func(c store.Cell) bool { return c.Column == at })
		if !v.IsNull() {
			cells = append(cells, store.Cell{Column: at, Value: v})
		}
	}
	if changed {
		tx.Put(table, r.Key, cells)
	}
}
