package message

import (
	"encoding/json"
	"net/http"

	"allod"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// The tables of model-driven apps and of what is in them (§11.2;
// AppModuleComponent table reference).
const (
	apps  = "appmodule"
	parts = "appmodulecomponent"
)

// partType is the componenttype of a row in an app, 0 for rows that are no
// component of apps.
func partType(t *entity.Table) int {
	switch t.LogicalName {
	case "savedqueryvisualization":
		return 59
	case "sitemap":
		return 62
	case "savedquery", "workflow", "systemform", "canvasapp":
		return platform.ComponentType(t)
	}
	return 0
}

// app returns the row of an app and what its parts name it by.
func app(tx *store.Tx, id allod.GUID) (allod.Value, error) {
	if !tx.Has(apps) || !tx.Has(parts) {
		return allod.Value{}, wire.NoSegment(parts)
	}
	r := tx.Get(apps, id)
	if r == nil {
		return allod.Value{}, wire.NoRow(apps, id.String())
	}
	if v := tx.Value(apps, r, "appmoduleidunique"); v.Type() == allod.ID {
		id = v.GUID()
	}
	return allod.LookupValue(apps, id), nil
}

// changeApp is AddAppComponents, or RemoveAppComponents.
func changeApp(add bool) func(change.Writer) (object, error) {
	return func(c change.Writer) (object, error) {
		var body struct {
			AppID      allod.GUID `json:"AppId"`
			Components []json.RawMessage
		}
		if err := json.Unmarshal(c.Body, &body); err != nil || body.AppID.IsZero() || len(body.Components) == 0 {
			return nil, wire.BadPayload("The properties 'AppId' and 'Components' were expected.")
		}
		return nil, c.Update(func(a *platform.Act) error {
			owner, err := app(a.Tx, body.AppID)
			if err != nil {
				return err
			}
			if err := a.Allow("Write", c.Schema.Model.Table(apps)); err != nil {
				return err
			}
			for _, raw := range body.Components {
				t, id, err := row(c, a, raw, "Components")
				if err != nil {
					return err
				}
				if err := changePart(a, owner, t, id, add); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func changePart(a *platform.Act, owner allod.Value, t *entity.Table, id allod.GUID, add bool) error {
	kind := partType(t)
	switch {
	case kind == 0:
		return wire.Refuse(http.StatusBadRequest, "0x80040203", "A row of '%s' cannot be a component of an app.", t.LogicalName)
	case add && !a.Exists(t, id):
		return wire.NoRow(t.LogicalName, id.String())
	}
	for _, old := range a.Tx.Find(parts, "objectid", allod.IDValue(id)) {
		if a.Tx.Value(parts, a.Tx.Get(parts, old), "appmoduleidunique").GUID() != owner.GUID() {
			continue
		}
		if !add {
			a.Tx.Delete(parts, old)
		}
		return nil
	}
	if !add {
		return wire.NoRow(parts, id.String())
	}
	now, user := allod.TextValue(allod.DateTime, wire.Stamp(a.Now)), allod.LookupValue("systemuser", a.User)
	var cells []store.Cell
	for column, v := range map[string]allod.Value{
		"appmoduleidunique": owner, "objectid": allod.IDValue(id), "componenttype": allod.IntegerValue(int64(kind)), "rootcomponentbehavior": allod.IntegerValue(0),
		"isdefault": allod.BooleanValue(false), "ismetadata": allod.BooleanValue(false), "appmodulecomponentidunique": allod.IDValue(a.NewID()),
		"createdon": now, "modifiedon": now, "createdby": user, "modifiedby": user,
	} {
		if at := a.Tx.Column(parts, column); at >= 0 {
			cells = append(cells, store.Cell{Column: at, Value: v})
		}
	}
	a.Tx.Put(parts, a.NewID(), cells)
	return nil
}

// appOf reads the parameter AppModuleId and calls f with each part of the app.
func appOf(c change.Writer, f func(tx *store.Tx, r *store.Row)) error {
	var id allod.GUID
	if json.Unmarshal(param(c, "AppModuleId"), &id) != nil {
		return wire.BadPayload("A parameter 'AppModuleId' was expected.")
	}
	return c.View(func(tx *store.Tx) error {
		owner, err := app(tx, id)
		if err != nil {
			return err
		}
		for _, part := range tx.Find(parts, "appmoduleidunique", allod.IDValue(owner.GUID())) {
			f(tx, tx.Get(parts, part))
		}
		return nil
	})
}

// appComponents is RetrieveAppComponents.
func appComponents(c change.Writer, _ *query.Segment) (object, error) {
	list := []object{}
	err := appOf(c, func(tx *store.Tx, r *store.Row) {
		value := func(column string) allod.Value { return tx.Value(parts, r, column) }
		list = append(list, object{
			"@odata.type": "#Microsoft.Dynamics.CRM." + parts, "appmodulecomponentid": r.Key.String(), "componenttype": value("componenttype").Int(), "objectid": value("objectid").GUID().String(),
			"rootcomponentbehavior": value("rootcomponentbehavior").Int(), "_appmoduleidunique_value": value("appmoduleidunique").GUID().String(),
		})
	})
	return object{"@odata.context": "appmodulecomponents", "value": list}, err
}

// validateApp is ValidateApp: an error for every component that is gone. What
// else the service finds wrong is not documented.
func validateApp(c change.Writer, _ *query.Segment) (object, error) {
	issues := []object{}
	err := appOf(c, func(tx *store.Tx, r *store.Row) {
		id, kind := tx.Value(parts, r, "objectid").GUID(), tx.Value(parts, r, "componenttype").Int()
		for _, t := range c.Schema.Model.Tables {
			if int64(partType(t)) == kind && tx.Get(t.LogicalName, id) != nil {
				return
			}
		}
		issues = append(issues, object{
			"ErrorType": "Error", "Message": "The component does not exist.", "DisplayName": "", "ComponentId": id.String(), "ComponentType": kind, "ComponentSubType": 0,
			"CRMErrorCode": -2147220969, "ParentEntityId": allod.GUID{}.String(), "ParentEntityName": "", "RequiredComponents": []object{}, // 0x80040217
		})
	})
	return object{"AppValidationResponse": object{"ValidationSuccess": len(issues) == 0, "ValidationIssueList": issues}}, err
}
