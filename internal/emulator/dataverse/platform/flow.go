package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// flow names the table that holds the instances of the business process flow
// that comes with the product, and its lookup to the row it is about
// (Work with business process flows using code).
func flow(table string) (instances, column string) {
	switch table {
	case "lead":
		return "leadtoopportunitysalesprocess", "leadid"
	case "opportunity":
		return "opportunitysalesprocess", "opportunityid"
	case "incident":
		return "phonetocaseprocess", "incidentid"
	}
	return "", ""
}

// startFlow makes the instance of the business process flow that a new row
// gets by itself, where that is assumed and the model has its table.
func (a *Act) startFlow(t *entity.Table, id allod.GUID) {
	instances, column := flow(t.LogicalName)
	it := a.Schema.Model.Table(instances)
	if it == nil || !a.Tx.Has(instances) || a.Assume("process-flows") != "on" {
		return
	}
	r := row{}
	a.set(it, r, column, allod.LookupValue(t.LogicalName, id))
	a.stampNew(it, r)
	if it.Column("statecode") != nil {
		a.set(it, r, "statecode", allod.IntegerValue(0))
		a.set(it, r, "statuscode", allod.IntegerValue(1))
	}
	a.put(it, a.NewID(), r)
}
