package platform

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/entity"
)

// audit writes down what a write did to the row, where the organisation and
// the table are audited (protocols/dataverse.md §10.1). A nil row is none.
func (a *Act) audit(t *entity.Table, id allod.GUID, operation int64, old, now row) {
	on := audit.On(a.Tx, t)
	if !on && t.LogicalName != "organization" {
		return
	}
	e := audit.Event{Table: t, Row: id, Operation: operation, Changes: a.changes(t, old, now)}
	changed := func(column string) bool {
		return slices.ContainsFunc(e.Changes, func(c audit.Change) bool { return c.Column.LogicalName == column })
	}
	switch {
	case t.LogicalName == "organization" && changed("isauditenabled"):
		e.Action = audit.ActOrganization
		on = a.Tx.Has(audit.Table)
	case operation == audit.Update && changed("ownerid"):
		e.Action = audit.ActAssign
	}
	if on {
		a.Record(e)
	}
	if t.LogicalName == "organization" && changed("isuseraccessauditenabled") && a.Tx.Has(audit.Table) && audit.Enabled(a.Tx) {
		action := int64(audit.ActAccessOff)
		if a.get(t, now, "isuseraccessauditenabled").Bool() {
			action = audit.ActAccessOn
		}
		a.Record(audit.Event{Table: t, Row: id, Operation: audit.Access, Action: action})
	}
}

// Accessed writes down that the user works with the organisation.
func (a *Act) Accessed(hours int64) {
	if t := a.Schema.Model.Table("systemuser"); t != nil {
		a.Record(audit.Event{Table: t, Row: a.User, Operation: audit.Access, Action: audit.ActAccess, Hours: hours})
	}
}

// Record completes the event with who and when and writes it down; whether the
// table is audited is the caller's to ask.
func (a *Act) Record(e audit.Event) {
	if a.transaction.IsZero() {
		a.transaction = a.NewID()
	}
	e.User, e.Caller, e.Transaction, e.When = a.User, a.RealUser, a.transaction, a.Now
	audit.Record(a.Tx, a.NewID(), e)
}

// changes lists the columns in which two states of a row differ, in the order
// of the table.
func (a *Act) changes(t *entity.Table, old, now row) []audit.Change {
	var out []audit.Change
	for _, c := range t.Columns {
		was, is := a.get(t, old, c.LogicalName), a.get(t, now, c.LogicalName)
		if !equal(was, is) {
			out = append(out, audit.Change{Column: c, Old: was, New: is})
		}
	}
	return out
}

func equal(a, b allod.Value) bool {
	return a.Type() == b.Type() && a.Text() == b.Text() && a.Int() == b.Int() && a.GUID() == b.GUID()
}

// auditPair writes down that two rows were linked by an N:N relationship or no
// longer are, for each of the two that is audited.
func (a *Act) auditPair(action int64, relationship string, t *entity.Table, id allod.GUID, other *entity.Table, far allod.GUID) {
	ends := [2]struct {
		t  *entity.Table
		id allod.GUID
	}{{t, id}, {other, far}}
	for i, e := range ends {
		o := ends[1-i]
		if e.t == nil || o.t == nil || !audit.On(a.Tx, e.t) {
			continue
		}
		a.Record(audit.Event{
			Table: e.t, Row: e.id, Operation: audit.Update, Action: action,
			Link: &audit.Link{Relationship: relationship, Targets: []string{o.t.LogicalName + "," + o.id.String()}},
		})
	}
}
