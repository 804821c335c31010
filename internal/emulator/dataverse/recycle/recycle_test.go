package recycle

import (
	"fmt"
	"testing"

	"allod/internal/emulator/dataverse/entity"
)

// What the recycle bin does not cover (protocols/dataverse.md §6.13): virtual
// and elastic tables, solution components, wide tables, and some by name.
func TestEligible(t *testing.T) {
	wide := func(columns int) *entity.Table {
		w := &entity.Table{LogicalName: "new_wide", SetName: "new_wides", TableType: "Standard"}
		for i := range columns {
			w.Columns = append(w.Columns, &entity.Column{LogicalName: fmt.Sprint("new_c", i)})
		}
		return w
	}
	component := &entity.Table{LogicalName: "savedquery", SetName: "savedqueries", TableType: "Standard", Columns: []*entity.Column{{LogicalName: "componentstate"}}}
	(&entity.Model{Tables: []*entity.Table{component}}).Seal()
	for _, tc := range []struct {
		t    *entity.Table
		want bool
	}{
		{&entity.Table{LogicalName: "account", SetName: "accounts", TableType: "Standard"}, true},
		{&entity.Table{LogicalName: "new_boat", SetName: "new_boats", TableType: "Standard"}, true},
		{wide(600), true},
		{wide(601), false},
		{&entity.Table{LogicalName: "new_reading", SetName: "new_readings", TableType: "Elastic"}, false},
		{&entity.Table{LogicalName: "new_order", SetName: "new_orders", TableType: "Virtual"}, false},
		{&entity.Table{LogicalName: "new_boat_port", SetName: "new_boat_portset", TableType: "Standard", Intersect: true}, false},
		{&entity.Table{LogicalName: "principal", TableType: "Standard", Abstract: true}, false},
		{component, false},
		{&entity.Table{LogicalName: "appointment", SetName: "appointments", TableType: "Standard"}, false},
		{&entity.Table{LogicalName: "queue", SetName: "queues", TableType: "Standard"}, false},
		{&entity.Table{LogicalName: "businessunit", SetName: "businessunits", TableType: "Standard"}, false},
		{&entity.Table{LogicalName: "audit", SetName: "audits", TableType: "Standard"}, false},
		{&entity.Table{LogicalName: Config, SetName: "recyclebinconfigs", TableType: "Standard"}, false},
		{&entity.Table{LogicalName: References, SetName: "deleteditemreferences", TableType: "Standard"}, false},
	} {
		if got := Eligible(tc.t); got != tc.want {
			t.Errorf("%s, %s, %d columns: got %v", tc.t.LogicalName, tc.t.TableType, len(tc.t.Columns), got)
		}
	}
}
