package message

import (
	"encoding/json"
	"net/http"

	"allod"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// calculateRollup is CalculateRollupField(Target=…,FieldName=…): it reckons the
// column anew at once and returns the row with that column ("Formula,
// calculated, and rollup columns using code").
func calculateRollup(c change.Writer, _ *query.Segment) (object, error) {
	var name string
	if json.Unmarshal(param(c, "FieldName"), &name) != nil || name == "" {
		return nil, wire.BadPayload("A parameter 'FieldName' was expected.")
	}
	var out object
	err := c.Update(func(a *platform.Act) error {
		t, id, err := row(c, a, param(c, "Target"), "Target")
		if err != nil {
			return err
		}
		if err := a.Allow("Write", t); err != nil {
			return err
		}
		col := t.Column(name)
		if col == nil || col.LogicalName != name {
			return wire.NoProperty(name, t.LogicalName)
		}
		ok, err := a.Rollup(t, col, id)
		if err != nil {
			return err
		}
		if !ok {
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "The field %s of %s is no rollup field, or its definition is not evaluated here.", name, t.LogicalName)
		}
		out = object{"@odata.type": "#Microsoft.Dynamics.CRM." + t.LogicalName, t.PrimaryID: id.String()}
		for _, part := range []string{"", "_date", "_state"} {
			v := a.Tx.Value(t.LogicalName, a.Tx.Get(t.LogicalName, id), name+part)
			if out[name+part] = plain(v); v.IsNull() {
				out[name+part] = nil
			}
		}
		return nil
	})
	return out, err
}

// plain is a value as JSON has it.
func plain(v allod.Value) any {
	switch v.Type() {
	case allod.Integer:
		return v.Int()
	case allod.Decimal, allod.Double:
		return json.Number(v.Text())
	default:
		return v.Text()
	}
}
