// Package share gives single rows to users and teams (Share and assign
// records): principalobjectaccess holds who may do what with which row. Its
// functions run inside the transaction of the request they belong to.
package share

import (
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Change is a change of the rights of one principal to one row and to the rows
// below it whose relationship cascades sharing.
type Change struct {
	Schema    *wire.Schema
	Table     *entity.Table
	Row       allod.GUID
	Type      string // systemuser or team
	Principal allod.GUID
	Now       time.Time
	NewID     func() allod.GUID
}

func columns() []string {
	return []string{"objectid", "objecttypecode", "principalid", "principaltypecode", "accessrightsmask", "inheritedaccessrightsmask", "changedon"}
}

// Grant adds rights and returns what they were and are. No rights at all
// change nothing.
func (c Change) Grant(tx *store.Tx, mask int64) (old, now int64) {
	old, _ = rights(tx, c.find(tx, c.Row))
	if mask != 0 {
		c.set(tx, old|mask)
	}
	return old, old | mask
}

// Modify replaces the rights.
func (c Change) Modify(tx *store.Tx, mask int64) (old, now int64) {
	old, _ = rights(tx, c.find(tx, c.Row))
	c.set(tx, mask)
	return old, mask
}

// set writes own rights to the row and inherited ones below it.
func (c Change) set(tx *store.Tx, mask int64) {
	tx.Ensure(access.Shares, columns())
	r := c.find(tx, c.Row)
	_, inherited := rights(tx, r)
	c.write(tx, c.Table, c.Row, r, mask, inherited)
	c.below(tx, c.Table, c.Row, mask, map[allod.GUID]bool{c.Row: true})
}

// below gives the rights to the rows under the row.
func (c Change) below(tx *store.Tx, t *entity.Table, id allod.GUID, mask int64, done map[allod.GUID]bool) {
	for _, rel := range c.Schema.Children(t.LogicalName) {
		if rel.Cascade.Share != "Cascade" {
			continue
		}
		for _, ct := range c.tables(rel.Referencing) {
			for _, child := range tx.Find(ct.LogicalName, rel.ReferencingAttr, allod.IDValue(id)) {
				if done[child] {
					continue
				}
				done[child] = true
				r := c.find(tx, child)
				own, _ := rights(tx, r)
				c.write(tx, ct, child, r, own, mask)
				c.below(tx, ct, child, mask, done)
			}
		}
	}
}

func (c Change) tables(name string) []*entity.Table {
	t := c.Schema.Model.Table(name)
	switch {
	case t == nil:
		return nil
	case name == "activitypointer" || t.Abstract:
		return c.Schema.Derived(name)
	}
	return []*entity.Table{t}
}

// write keeps the rights, or removes the row that would hold none.
func (c Change) write(tx *store.Tx, t *entity.Table, id allod.GUID, r *store.Row, own, inherited int64) {
	if own|inherited == 0 {
		if r != nil {
			tx.Delete(access.Shares, r.Key)
		}
		return
	}
	key := c.NewID
	if r != nil {
		key = func() allod.GUID { return r.Key }
	}
	var cells []store.Cell
	for column, v := range map[string]allod.Value{
		"objectid": allod.IDValue(id), "objecttypecode": allod.StringValue(t.LogicalName), "principalid": allod.IDValue(c.Principal), "principaltypecode": allod.StringValue(c.Type),
		"accessrightsmask": allod.IntegerValue(own), "inheritedaccessrightsmask": allod.IntegerValue(inherited), "changedon": allod.TextValue(allod.DateTime, wire.Stamp(c.Now)),
	} {
		cells = append(cells, store.Cell{Column: tx.Column(access.Shares, column), Value: v})
	}
	tx.Put(access.Shares, key(), cells)
}

// find returns the row that holds the principal's rights to a row, or nil.
func (c Change) find(tx *store.Tx, row allod.GUID) *store.Row {
	for _, id := range tx.Find(access.Shares, "objectid", allod.IDValue(row)) {
		if r := tx.Get(access.Shares, id); tx.Value(access.Shares, r, "principalid").GUID() == c.Principal {
			return r
		}
	}
	return nil
}

func rights(tx *store.Tx, r *store.Row) (own, inherited int64) {
	return tx.Value(access.Shares, r, "accessrightsmask").Int(), tx.Value(access.Shares, r, "inheritedaccessrightsmask").Int()
}

// Entry is one principal with own rights to a row.
type Entry struct {
	Type      string
	Principal allod.GUID
	Mask      int64
}

// With lists the principals the row was shared with, by key of the share;
// inherited rights do not count.
func With(tx *store.Tx, row allod.GUID) []Entry {
	var out []Entry
	for _, id := range tx.Find(access.Shares, "objectid", allod.IDValue(row)) {
		r := tx.Get(access.Shares, id)
		if own, _ := rights(tx, r); own != 0 {
			out = append(out, Entry{tx.Value(access.Shares, r, "principaltypecode").Text(), tx.Value(access.Shares, r, "principalid").GUID(), own})
		}
	}
	return out
}

// Drop forgets the rights to a row that goes.
func Drop(tx *store.Tx, row allod.GUID) {
	if tx.Len(access.Shares) == 0 {
		return
	}
	for _, id := range tx.Find(access.Shares, "objectid", allod.IDValue(row)) {
		tx.Delete(access.Shares, id)
	}
}
