package platform

import (
	"net/http"
	"strconv"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/exchange"
	"allod/internal/emulator/dataverse/recycle"
	"allod/internal/emulator/dataverse/wire"
)

// bin keeps the row that goes in the recycle bin, with its files; false says
// that the bin does not take it.
func (a *Act) bin(t *entity.Table, id, root allod.GUID, was row) bool {
	if !a.Tx.Has(recycle.Config) {
		return false
	}
	return recycle.Keep(a.Tx, a.NewID, recycle.Deletion{
		Table: t, Row: id, Root: root, By: a.User, When: a.Now, Cells: cells(was), Blobs: a.blobs(t, id),
	})
}

// blobs lists the files of the row.
func (a *Act) blobs(t *entity.Table, id allod.GUID) []allod.GUID {
	var out []allod.GUID
	r := a.Tx.Get(t.LogicalName, id)
	for _, c := range t.Columns {
		column := c.LogicalName
		switch c.Kind {
		case "Image":
			column += "id"
		case "File":
		default:
			continue
		}
		if blob := a.Tx.Value(t.LogicalName, r, column).GUID(); !blob.IsZero() {
			out = append(out, blob)
		}
	}
	return out
}

// Restore brings a row back from the recycle bin with the rows that its
// deletion took along (protocols/dataverse.md §6.13). What the payload sets
// wins over what the row had. Lookups to rows that are gone become null.
func (a *Act) Restore(t *entity.Table, id allod.GUID, p *wire.Payload) error {
	if err := a.Allow("Create", t); err != nil {
		return err
	}
	refuse := func(code, format string, args ...any) error {
		status, err := strconv.Atoi(a.Assume("restore-refused-status"))
		if err != nil {
			status = http.StatusBadRequest
		}
		return wire.Refuse(status, code, format, args...)
	}
	list, err := recycle.Take(a.Tx, t.LogicalName, id, a.Now)
	if err != nil {
		return err
	}
	if len(list) == 0 || !recycle.On(a.Tx, t) {
		return refuse("0x80049959", "The record with id %v of entity %s cannot be restored: it was not found in the recycle bin.", id, t.LogicalName)
	}
	for _, k := range list {
		if a.Tx.Has(k.Table) && a.Tx.Get(k.Table, k.Row) != nil {
			return refuse("0x80049939", "Please delete the existing conflicting record '%s' with primary key '%v' before attempting restore.", k.Table, k.Row)
		}
	}
	for i, k := range list {
		kt := a.Schema.Model.Table(k.Table)
		if kt == nil || !a.Tx.Has(k.Table) {
			continue // the table is gone, and with it its rows
		}
		r := row{}
		for _, c := range k.Cells {
			r[c.Column] = c.Value
		}
		if i == 0 {
			if err := a.override(kt, k.Row, r, p); err != nil {
				return err
			}
		}
		for _, c := range kt.Columns {
			if fits(kt, c, a.get(kt, r, c.LogicalName)) != nil && c.Kind == "Picklist" {
				return refuse("0x80049949", "The value of the choice column '%s' of entity %s no longer exists.", c.LogicalName, kt.LogicalName)
			}
		}
		if err := a.checkKeys(kt, k.Row, r); err != nil {
			return refuse("0x80049929", "A record with the same alternate key exists already in entity %s.", kt.LogicalName)
		}
		a.put(kt, k.Row, r)
		a.audit(kt, k.Row, audit.Create, nil, r)
	}
	recycle.Done(a.Tx, list)
	a.unhook(list)
	a.tell(t, id, exchange.Created)
	return nil
}

func (a *Act) override(t *entity.Table, id allod.GUID, r row, p *wire.Payload) error {
	if err := a.assign(t, id, r, p, true); err != nil {
		return err
	}
	return a.bindBefore(t, r, p)
}

// unhook nulls the lookups of restored rows whose targets are gone.
func (a *Act) unhook(list []recycle.Kept) {
	for _, k := range list {
		t := a.Schema.Model.Table(k.Table)
		if t == nil || !a.Tx.Has(k.Table) {
			continue
		}
		r := a.load(a.Tx.Get(k.Table, k.Row))
		changed := false
		for _, c := range t.Columns {
			target, id := a.get(t, r, c.LogicalName).Target()
			if target != "" && !id.IsZero() && a.Tx.Has(target) && !a.existsAs(target, id) {
				a.set(t, r, c.LogicalName, allod.NullValue())
				changed = true
			}
		}
		if changed {
			a.put(t, k.Row, r)
		}
	}
}

// existsAs looks for the row in the table and in those derived from it.
func (a *Act) existsAs(table string, id allod.GUID) bool {
	for _, t := range a.rowsOf(table) {
		if a.Tx.Get(t.LogicalName, id) != nil {
			return true
		}
	}
	return false
}
