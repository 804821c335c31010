package platform

import (
	"net/http"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/draft"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/exchange"
	"allod/internal/emulator/dataverse/filerow"
	"allod/internal/emulator/dataverse/share"
	"allod/internal/emulator/dataverse/wire"
)

// Delete removes the row and does to others what the cascade settings say
// (protocols/dataverse.md §6.12). A missing row is 404.
func (a *Act) Delete(t *entity.Table, id allod.GUID) error {
	if err := a.Allow("Delete", t); err != nil {
		return err
	}
	if t.LogicalName == "activitypointer" {
		for _, d := range a.Schema.Derived("activitypointer") {
			if a.Exists(d, id) {
				return a.Delete(d, id)
			}
		}
	}
	if t.LogicalName != "activitypointer" {
		if err := readOnly(t, "Delete"); err != nil {
			return err
		}
	}
	if !a.Exists(t, id) {
		return wire.NoRow(t.LogicalName, id.String())
	}
	if t.Intersect {
		return wire.Refuse(http.StatusBadRequest, "0x8004830F", "The entity %s is an intersect entity. Use Associate and Disassociate instead.", t.LogicalName)
	}
	if err := a.beside().Refuse(t.LogicalName, id, nil); err != nil {
		return err
	}
	if err := a.component(t, id, nil); err != nil {
		return err
	}
	return a.remove(t, id, id, map[allod.GUID]bool{})
}

// remove is Delete of one row of those that go with root.
func (a *Act) remove(t *entity.Table, id, root allod.GUID, going map[allod.GUID]bool) error {
	if going[id] {
		return nil
	}
	going[id] = true
	a.tell(t, id, exchange.Deleted)
	for _, x := range a.beside().Gone(t.LogicalName, id) {
		switch xt := a.Schema.Model.Table(x.Table); {
		case xt == nil || !a.Exists(xt, x.ID):
		case x.ID == id: // settings have the key of their user
			a.Tx.Delete(x.Table, id)
		default:
			if err := a.remove(xt, x.ID, root, going); err != nil {
				return err
			}
		}
	}
	type child struct {
		table  *entity.Table
		column string
		id     allod.GUID
		what   string
	}
	var children []child
	for _, rel := range a.Schema.Children(t.LogicalName) {
		if rel.Referencing == audit.Table || rel.Referencing == filerow.Table {
			continue // the history outlives the row (§10.3); rows of files follow from it
		}
		for _, ct := range a.rowsOf(rel.Referencing) {
			for _, cid := range a.Tx.Find(ct.LogicalName, rel.ReferencingAttr, allod.IDValue(id)) {
				if !going[cid] {
					children = append(children, child{ct, rel.ReferencingAttr, cid, rel.Cascade.Delete})
				}
			}
		}
	}
	for _, c := range children {
		if c.what == "Restrict" {
			return wire.Refuse(http.StatusMethodNotAllowed, "0x80040227", "The object you tried to delete is associated with another object and cannot be deleted.")
		}
	}
	for _, c := range children {
		if !a.Exists(c.table, c.id) {
			continue // gone with an earlier child
		}
		switch {
		case c.what == "Cascade" || c.table.LogicalName == "customeraddress" && c.column == "parentid" || c.table.LogicalName == "activityparty" && c.column == "activityid":
			if err := a.remove(c.table, c.id, root, going); err != nil {
				return err
			}
		case c.what == "NoCascade":
		default:
			a.unlink(c.table, c.id, c.column)
		}
	}
	was := a.load(a.Tx.Get(t.LogicalName, id))
	a.unpair(t, id)
	if a.Retain != nil {
		a.Retain(t, a.Tx.Get(t.LogicalName, id))
	} else if a.Final || !a.bin(t, id, root, was) {
		for _, blob := range a.blobs(t, id) {
			a.Tx.DeleteBlob(blob)
		}
	}
	a.Tx.Delete(t.LogicalName, id)
	filerow.Keep(a.Tx, t, id, "")
	draft.Drop(a.Tx, t, id)
	share.Drop(a.Tx, id)
	a.audit(t, id, audit.Delete, was, nil)
	a.priceTotals(t, was)
	return nil
}

// rowsOf returns the tables that hold rows of the type: itself, or what
// derives from it.
func (a *Act) rowsOf(name string) []*entity.Table {
	t := a.Schema.Model.Table(name)
	if t == nil {
		return nil
	}
	if name == "activitypointer" || t.Abstract {
		return a.Schema.Derived(name)
	}
	return []*entity.Table{t}
}

func (a *Act) unlink(t *entity.Table, id allod.GUID, column string) {
	r := a.load(a.Tx.Get(t.LogicalName, id))
	a.set(t, r, column, allod.NullValue())
	if a.Assume("removelink-touches-child") == "true" {
		a.put(t, id, r)
		return
	}
	a.Tx.Rewrite(t.LogicalName, id, cells(r))
}

// unpair removes the N:N pairs of the row.
func (a *Act) unpair(t *entity.Table, id allod.GUID) {
	for _, rel := range a.Schema.Model.Relationships {
		if rel.Intersect == "" || !a.Tx.Has(rel.Intersect) {
			continue
		}
		for _, end := range [...][2]string{{rel.Entity1, rel.Attribute1}, {rel.Entity2, rel.Attribute2}} {
			if end[0] != t.LogicalName {
				continue
			}
			for _, pair := range a.Tx.Find(rel.Intersect, end[1], allod.IDValue(id)) {
				a.Tx.Delete(rel.Intersect, pair)
			}
		}
	}
}

// Associate links two rows through a collection navigation property, or sets
// the lookup behind a single-valued one (§6.5). A pair that exists is the 412
// of a duplicate.
func (a *Act) Associate(t *entity.Table, id allod.GUID, nav *wire.Nav, other *entity.Table, far allod.GUID) error {
	if !a.Exists(t, id) {
		return wire.NoRow(t.LogicalName, id.String())
	}
	if !a.Exists(other, far) {
		return wire.NoRow(other.LogicalName, far.String())
	}
	if !a.Schema.Fits(nav.Target, other.LogicalName) {
		return wire.BadPayload("A '%s' cannot be associated through '%s'.", other.LogicalName, nav.Name)
	}
	switch nav.Kind {
	case wire.NavLookup:
		return a.relink(t, id, nav.Column, allod.LookupValue(other.LogicalName, far))
	case wire.NavCollection:
		return a.relink(other, far, nav.Column, allod.LookupValue(t.LogicalName, id))
	case wire.NavPairs:
	}
	if err := a.Allow("Append", t); err != nil {
		return err
	}
	if _, found := a.pair(nav, id, far); found {
		return wire.Refuse(http.StatusPreconditionFailed, "0x80040237", "Cannot insert duplicate key.")
	}
	it := a.Schema.Model.Table(nav.Intersect)
	if it == nil || !a.Tx.Has(nav.Intersect) {
		return wire.NoSegment(nav.Name)
	}
	r := row{}
	a.set(it, r, nav.Near, pairEnd(it, nav.Near, t, id))
	a.set(it, r, nav.Far, pairEnd(it, nav.Far, other, far))
	a.put(it, a.NewID(), r)
	a.auditPair(audit.ActAssociate, nav.Relationship.SchemaName, t, id, other, far)
	return nil
}

// pairEnd is one end of a pair: in most intersect tables a plain id, in some a
// lookup.
func pairEnd(it *entity.Table, column string, t *entity.Table, id allod.GUID) allod.Value {
	if c := it.Column(column); c != nil && wire.IsLookup(c) {
		return allod.LookupValue(t.LogicalName, id)
	}
	return allod.IDValue(id)
}

func (a *Act) relink(t *entity.Table, id allod.GUID, column string, v allod.Value) error {
	if err := a.Allow("Write", t); err != nil {
		return err
	}
	return a.Move(t, id, column, v)
}

// Move makes a lookup of the row refer to v, null = to nothing, whatever the
// caller may do.
func (a *Act) Move(t *entity.Table, id allod.GUID, column string, v allod.Value) error {
	old := a.Tx.Get(t.LogicalName, id)
	if old == nil {
		return wire.NoRow(t.LogicalName, id.String())
	}
	r := a.load(old)
	a.setLookup(t, r, column, v)
	a.stampChanged(t, r)
	a.customer(t, r)
	a.put(t, id, r)
	a.audit(t, id, audit.Update, a.load(old), r)
	return nil
}

// pair finds the row of the intersect table that links the two.
func (a *Act) pair(nav *wire.Nav, near, far allod.GUID) (allod.GUID, bool) {
	for _, key := range a.Tx.Find(nav.Intersect, nav.Near, allod.IDValue(near)) {
		if a.Tx.Value(nav.Intersect, a.Tx.Get(nav.Intersect, key), nav.Far).GUID() == far {
			return key, true
		}
	}
	return allod.GUID{}, false
}

// Disassociate undoes Associate; far is zero to clear a single-valued one.
func (a *Act) Disassociate(t *entity.Table, id allod.GUID, nav *wire.Nav, far allod.GUID) error {
	if !a.Exists(t, id) {
		return wire.NoRow(t.LogicalName, id.String())
	}
	switch nav.Kind {
	case wire.NavLookup:
		return a.relink(t, id, nav.Column, allod.NullValue())
	case wire.NavCollection:
		return a.relink(a.Schema.Model.Table(nav.Target), far, nav.Column, allod.NullValue())
	case wire.NavPairs:
	}
	key, found := a.pair(nav, id, far)
	if !found {
		return wire.NoRow(nav.Target, far.String())
	}
	a.Tx.Delete(nav.Intersect, key)
	a.auditPair(audit.ActDisassociate, nav.Relationship.SchemaName, t, id, a.Schema.Model.Table(nav.Target), far)
	return nil
}
