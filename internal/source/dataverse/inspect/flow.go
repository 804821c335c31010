package inspect

import (
	"encoding/json"
	"strings"
)

// FlowTrigger reads from the clientdata of a cloud flow whether rows that are
// written set it off, and of which table; "" = not said. The shape is that of
// the documentation on managing flows with code (protocols/dataverse.md §11):
// properties.definition.triggers, the trigger's parameters as
// subscriptionRequest/entityname; subscriptionRequest/message is the number of
// what it waits for (Power Automate, Dataverse trigger: Change type). What cannot be read counts as fired: a flow
// too many is a smaller mistake than one too few.
func FlowTrigger(clientdata string) (fires bool, table string, messages []string) {
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
		return true, "", nil
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
		var number int
		if json.Unmarshal(t.Inputs.Parameters["subscriptionRequest/message"], &number) == nil {
			messages = changes(number)
		}
	}
	return fires, table, messages
}

// changes are the change types of the number: 1 added, 2 deleted, 3 modified, and
// their sums in the documentation's order.
func changes(number int) []string {
	switch number {
	case 1:
		return []string{"Create"}
	case 2:
		return []string{"Delete"}
	case 3:
		return []string{"Update"}
	case 4:
		return []string{"Create", "Update"}
	case 5:
		return []string{"Create", "Delete"}
	case 6:
		return []string{"Update", "Delete"}
	}
	return nil
}
