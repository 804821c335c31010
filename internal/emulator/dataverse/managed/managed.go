// Package managed says what may be done with components that a managed solution
// brought (protocols/dataverse.md §11.2).
package managed

import (
	"encoding/json"
	"net/http"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Codes of refusals for the sake of a managed property (Web service error
// codes; a failed import of a managed solution shows the first).
const (
	failedProperty = "0x8004F026"
	failedDeletion = "0x8004F032" // CannotDeleteMetadata
)

// Allowed refuses changes of a component, a row of the table, that a managed
// solution brought. It can be changed where iscustomizable lets it, and deleted
// where canbedeleted does; a table without that column never lets go of one, and
// what says nothing of iscustomizable is customizable. A process can be switched
// on and off all the same. All this is assumed, apart from the codes. p is nil
// for a deletion.
func Allowed(tx *store.Tx, t *entity.Table, id allod.GUID, p *wire.Payload) error {
	r := tx.Get(t.LogicalName, id)
	if r == nil || !tx.Value(t.LogicalName, r, "ismanaged").Bool() {
		return nil
	}
	operation, property, code, open := "Update", "iscustomizable", failedProperty, true
	if p == nil {
		operation, property, code, open = "Delete", "canbedeleted", failedDeletion, false
	} else if statesOnly(p) {
		return nil
	}
	var said struct{ Value *bool }
	if v := tx.Value(t.LogicalName, r, property); !v.IsNull() && json.Unmarshal([]byte(v.Text()), &said) == nil && said.Value != nil {
		open = *said.Value
	}
	if open {
		return nil
	}
	return wire.Refuse(http.StatusBadRequest, code, "The evaluation of the current component(name=%s, id=%v) in the current operation (%s) failed during managed property evaluation of condition: Managed Property Name: %s; Component Name: %s; Attribute Name: %s;", t.LogicalName, id, operation, property, t.LogicalName, property)
}

// statesOnly reports whether the payload changes the state of a row and nothing
// else.
func statesOnly(p *wire.Payload) bool {
	for _, v := range p.Values {
		if v.Column.LogicalName != "statecode" && v.Column.LogicalName != "statuscode" {
			return false
		}
	}
	return len(p.Values) > 0 && len(p.Binds) == 0 && len(p.Nested) == 0
}
