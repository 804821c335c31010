package inspect

import (
	"encoding/json"
	"strings"
)

// FlowTrigger reads from the clientdata of a cloud flow whether rows that are
// written set it off, and of which table; "" = not said. The shape is that of
// the documentation on managing flows with code (protocols/dataverse.md §11):
// properties.definition.triggers, the trigger's parameters as
// subscriptionRequest/entityname. What cannot be read counts as fired: a flow
// too many is a smaller mistake than one too few.
func FlowTrigger(clientdata string) (fires bool, table string) {
	var doc struct {
		Properties struct {
			Definition struct {
				Triggers map[string]struct {
					Type   string `json:"type"`
					Inputs struct {
						Parameters map[string]json.RawMessage `json:"parameters"`
					} `json:"inputs"`
				} `json:"triggers"`
			} `json:"definition"`
		} `json:"properties"`
	}
	if clientdata == "" || json.Unmarshal([]byte(clientdata), &doc) != nil || len(doc.Properties.Definition.Triggers) == 0 {
		return true, ""
	}
	for _, t := range doc.Properties.Definition.Triggers {
		if strings.EqualFold(t.Type, "Recurrence") || strings.EqualFold(t.Type, "Request") {
			continue // by the clock, by a button or a call
		}
		fires = true
		var name string
		if json.Unmarshal(t.Inputs.Parameters["subscriptionRequest/entityname"], &name) == nil {
			table = name
		}
	}
	return fires, table
}
