package change

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/wire"
)

// object is what a message returns.
type object = map[string]any

// Messages are the actions that answer POST, by name. What one returns becomes
// the members of the response; nil is 204.
func Messages() map[string]func(Writer) (map[string]any, error) {
	m := map[string]func(Writer) (object, error){
		"CloseIncident": func(c Writer) (object, error) {
			return nil, c.CloseBy(Closing{Activity: "IncidentResolution", Key: "incidentid", Table: "incident", State: 1})
		},
		"WinOpportunity": func(c Writer) (object, error) {
			return nil, c.CloseBy(Closing{Activity: "OpportunityClose", Key: "opportunityid", Table: "opportunity", State: 1})
		},
		"LoseOpportunity": func(c Writer) (object, error) {
			return nil, c.CloseBy(Closing{Activity: "OpportunityClose", Key: "opportunityid", Table: "opportunity", State: 2})
		},
	}
	blockActions(m)
	bodyActions(m)
	return m
}

// Closing is a message that closes a row.
type Closing struct {
	Activity string  // parameter that holds the closing activity, e.g. QuoteClose
	Key      string  // its lookup to the row
	Table    string  // of the row
	From     []int64 // states it starts from; nil = any
	State    int64   // state it leads to
}

// CloseBy runs the message: {"<activity>":{"<key>@odata.bind" or
// "<key>":{…}},"Status":n}. It keeps the closing activity when the model has
// its table.
func (c Writer) CloseBy(k Closing) error {
	activity, key, table, state := k.Activity, k.Key, k.Table, k.State
	var body map[string]json.RawMessage
	if err := json.Unmarshal(c.Body, &body); err != nil {
		return wire.BadPayload("Invalid JSON.")
	}
	var status int64
	if raw := body["Status"]; raw != nil && json.Unmarshal(raw, &status) != nil {
		return wire.BadPayload("'Status' must be a number.")
	}
	t := c.Schema.Model.Table(table)
	if t == nil {
		return wire.NoSegment(c.Req.Path[0].Name)
	}
	return c.Update(func(a *platform.Act) error {
		at := c.Schema.Model.Table(strings.ToLower(activity))
		id, err := closedRow(a, body[activity], key)
		if err != nil {
			return err
		}
		if !a.Exists(t, id) {
			return wire.NoRow(table, id.String())
		}
		if was := a.Tx.Value(table, a.Tx.Get(table, id), "statecode").Int(); k.From != nil && !slices.Contains(k.From, was) {
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "The %s with Id %v is in state %d, from which it cannot be closed by this message.", table, id, was)
		}
		if at != nil {
			if p, err := wire.ParsePayload(c.Schema, at, body[activity]); err == nil && len(p.Nested) == 0 {
				if _, err := a.Create(at, allod.GUID{}, p); err != nil {
					return err
				}
			}
		}
		return a.Close(t, id, state, status)
	})
}

// closedRow finds the row a closing activity names.
func closedRow(a *platform.Act, raw json.RawMessage, key string) (allod.GUID, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return allod.GUID{}, wire.BadPayload("The closing activity is missing.")
	}
	var text string
	if json.Unmarshal(fields[key+"@odata.bind"], &text) == nil {
		_, id, err := a.Resolve(text)
		return id, err
	}
	var nested map[string]json.RawMessage
	if json.Unmarshal(fields[key], &nested) == nil && json.Unmarshal(nested[key], &text) == nil {
		if id, err := allod.ParseGUID(text); err == nil {
			return id, nil
		}
	}
	return allod.GUID{}, wire.BadPayload("The closing activity does not name its '%s'.", key)
}
