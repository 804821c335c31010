package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/managed"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Kinds of components of solutions that are metadata
// (solutioncomponent.componenttype).
const (
	ComponentTable  = 1
	ComponentColumn = 2
)

// ComponentType is the kind of component of solutions that the rows of a table
// are; 0 = none. Connection references take the type code of their table
// (solutioncomponent.componenttype; protocols/dataverse.md §11.2).
func ComponentType(t *entity.Table) int {
	switch t.LogicalName {
	case "role":
		return 20
	case "savedquery":
		return 26
	case "workflow":
		return 29
	case "systemform":
		return 60
	case "webresource":
		return 61
	case "appmodule":
		return 80
	case "canvasapp":
		return 300
	case "environmentvariabledefinition":
		return 380
	case "environmentvariablevalue":
		return 381
	case "connectionreference":
		return t.TypeCode
	}
	return 0
}

// component refuses what a component of a managed solution does not allow; p is
// nil for a deletion.
func (a *Act) component(t *entity.Table, id allod.GUID, p *wire.Payload) error {
	if ComponentType(t) == 0 {
		return nil
	}
	return managed.Allowed(a.Tx, t, id, p)
}

// Join makes something a component of the solution that the request names, once;
// where it names none that exists, nothing happens (§2.2).
func (a *Act) Join(kind int, id allod.GUID, behavior int) {
	const components = "solutioncomponent"
	if a.Solution == "" || kind == 0 || !a.Tx.Has(components) || !a.Tx.Has("solution") {
		return
	}
	solutions := a.Tx.Find("solution", "uniquename", allod.StringValue(a.Solution))
	if len(solutions) == 0 {
		return
	}
	for _, old := range a.Tx.Find(components, "objectid", allod.IDValue(id)) {
		if _, in := a.Tx.Value(components, a.Tx.Get(components, old), "solutionid").Target(); in == solutions[0] {
			return
		}
	}
	now, user := allod.TextValue(allod.DateTime, wire.Stamp(a.Now)), allod.LookupValue("systemuser", a.User)
	var cells []store.Cell
	for column, v := range map[string]allod.Value{
		"solutionid": allod.LookupValue("solution", solutions[0]), "componenttype": allod.IntegerValue(int64(kind)), "objectid": allod.IDValue(id),
		"rootcomponentbehavior": allod.IntegerValue(int64(behavior)), "ismetadata": allod.BooleanValue(kind <= ComponentColumn),
		"createdon": now, "modifiedon": now, "createdby": user, "modifiedby": user,
	} {
		if at := a.Tx.Column(components, column); at >= 0 {
			cells = append(cells, store.Cell{Column: at, Value: v})
		}
	}
	a.Tx.Put(components, a.NewID(), cells)
}
