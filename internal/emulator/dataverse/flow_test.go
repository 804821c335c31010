package dataverse_test

import (
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// Trap: rows of business process flows appear by themselves.
func TestProcessFlowRowsAppear(t *testing.T) {
	for assume, want := range map[string]int{"on": 1, "off": 0} {
		m := withTables(model(), "opportunitysalesprocess opportunitysalesprocesses businessprocessflowinstanceid name:String opportunityid:Lookup>opportunity")
		c := start(t, dvemu.Options{Model: m, Assume: map[string]string{"process-flows": assume}})
		id := c.want(204, "POST", "opportunities", `{"name":"o"}`).id()
		if rows := c.want(200, "GET", "opportunitysalesprocesses?$filter=_opportunityid_value eq "+id, "").rows(); len(rows) != want {
			t.Errorf("%s: got %d rows, want %d", assume, len(rows), want)
		}
	}
}
