package traps

import (
	"testing"

	"allod"
)

// Every table with a trap has a reason to be refused, and no other has.
func TestUnproven(t *testing.T) {
	for _, name := range []string{
		"email", "appointment", "recurringappointmentmaster", "serviceappointment", "incident", "opportunity", "quotedetail", "salesorderdetail", "invoicedetail", "opportunityproduct",
		"customeraddress", "leadaddress", "incidentresolution", "opportunityclose", "quoteclose", "orderclose",
	} {
		if Unproven(&allod.Table{Name: name}) == "" {
			t.Errorf("%s is not refused", name)
		}
	}
	for _, process := range []allod.Table{
		{Name: "leadtoopportunitysalesprocess", Key: "businessprocessflowinstanceid"},
		{Name: "new_flow", Key: "new_flowid", Columns: []allod.Column{{Name: "businessprocessflowinstanceid"}}},
	} {
		if Unproven(&process) == "" {
			t.Errorf("%s, a process, is not refused", process.Name)
		}
	}
	for _, name := range []string{"account", "contact", "task", "annotation", "lead", "quote", "salesorder", "invoice", "phonecall"} {
		if why := Unproven(&allod.Table{Name: name, Activity: name == "task" || name == "phonecall"}); why != "" {
			t.Errorf("%s is refused: %s", name, why)
		}
	}
}

// What closing makes is known from both ends.
func TestCloseTablesAgree(t *testing.T) {
	for parent, lookup := range map[string]string{"incident": "incidentid", "opportunity": "opportunityid", "quote": "quoteid", "salesorder": "salesorderid", "account": ""} {
		if got := CloseParent(&allod.Table{Name: CloseTable(parent)}); got != lookup {
			t.Errorf("%s: closing makes %q, which refers back by %q, want %q", parent, CloseTable(parent), got, lookup)
		}
	}
}

func TestConsequences(t *testing.T) {
	for name, want := range map[string]int{"incident": 2, "opportunity": 1, "lead": 1, "appointment": 1, "quotedetail": 1, "contact": 1, "account": 0} {
		if got := Consequences(&allod.Table{Name: name}); len(got) != want {
			t.Errorf("%s: got %v, want %d sentences", name, got, want)
		}
	}
}
