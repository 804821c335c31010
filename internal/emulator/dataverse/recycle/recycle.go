package recycle

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// The tables of the recycle bin that clients see, where the model has them.
const (
	Config     = "recyclebinconfig"     // where it is on, and for how long
	References = "deleteditemreference" // one row for each deletion a user asked for
)

const (
	kept         = "recyclebin@rows" // no table of the model: no name has an @
	organization = "organization"    // name of the configuration of the whole environment
	maxColumns   = 600               // of a table whose rows are kept
)

func configColumns() []string {
	return []string{"name", "cleanupintervalindays", "isreadyforrecyclebin", "extensionofrecordid", "statecode", "statuscode"}
}

func keptColumns() []string { return []string{"table", "id", "root", "when", "by", "cells", "blobs"} }

// Eligible reports whether rows of the table can be kept at all: not those of
// virtual and elastic tables, of solution components, of very wide tables and
// of the tables the documentation excepts.
func Eligible(t *entity.Table) bool {
	switch t.LogicalName {
	case "appointment", "queue", "businessunit", "organization", "systemuser", "team", "role", "audit", "principalobjectaccess",
		Config, References, "asyncoperation", "bulkdeleteoperation", "activitypointer", "fileattachment":
		return false
	}
	return t.TableType == "Standard" && !t.Intersect && !t.Abstract && t.SetName != "" && len(t.Columns) <= maxColumns && t.Column("componentstate") == nil
}

// config returns the configuration row of the name, or nil.
func config(tx *store.Tx, name string) *store.Row {
	for _, id := range tx.Find(Config, "name", allod.StringValue(name)) {
		return tx.Get(Config, id)
	}
	return nil
}

func ready(tx *store.Tx, r *store.Row) bool {
	return r != nil && tx.Value(Config, r, "isreadyforrecyclebin").Bool() && tx.Value(Config, r, "statecode").Int() == 0
}

// On reports whether deleted rows of the table are kept: the environment and
// the table must have the bin on.
func On(tx *store.Tx, t *entity.Table) bool {
	return tx.Has(Config) && Eligible(t) && ready(tx, config(tx, organization)) && ready(tx, config(tx, t.LogicalName))
}

// part reports whether rows of the table are parts of the row they go with.
func part(table string) bool { return table == "customeraddress" || table == "activityparty" }

// Spread does what switching the bin on or off for the environment does: each
// eligible table gets a configuration of its own unless it has one.
func Spread(tx *store.Tx, m *entity.Model, newID func() allod.GUID) {
	org := config(tx, organization)
	if !ready(tx, org) {
		return
	}
	for _, t := range m.Tables {
		if Eligible(t) && config(tx, t.LogicalName) == nil {
			put(tx, Config, newID(), map[string]allod.Value{
				"name": allod.StringValue(t.LogicalName), "cleanupintervalindays": allod.IntegerValue(-1), "isreadyforrecyclebin": allod.BooleanValue(true),
				"extensionofrecordid": allod.LookupValue("entity", t.MetadataID), "statecode": allod.IntegerValue(0), "statuscode": allod.IntegerValue(1),
			})
		}
	}
}

// Switch turns the bin of the environment on, for so many days (-1 = no end),
// or off.
func Switch(tx *store.Tx, m *entity.Model, newID func() allod.GUID, on bool, days int) {
	tx.Ensure(Config, configColumns())
	id := access.NamedID("recycle bin of the environment")
	if r := config(tx, organization); r != nil {
		id = r.Key
	}
	state := int64(1)
	if on {
		state = 0
	}
	put(tx, Config, id, map[string]allod.Value{
		"name": allod.StringValue(organization), "cleanupintervalindays": allod.IntegerValue(int64(days)), "isreadyforrecyclebin": allod.BooleanValue(on),
		"statecode": allod.IntegerValue(state), "statuscode": allod.IntegerValue(state + 1),
	})
	Spread(tx, m, newID)
}

func put(tx *store.Tx, table string, id allod.GUID, values map[string]allod.Value) {
	var cells []store.Cell
	for c, v := range values {
		if i := tx.Column(table, c); i >= 0 {
			cells = append(cells, store.Cell{Column: i, Value: v})
		}
	}
	tx.Put(table, id, cells)
}

// Deletion is one row that goes.
type Deletion struct {
	Table *entity.Table
	Row   allod.GUID
	Root  allod.GUID // the row whose deletion takes this one along; Row itself at the root
	By    allod.GUID
	When  time.Time
	Cells []store.Cell
	Blobs []allod.GUID // files of the row, which stay while it is kept
}

// Keep keeps the row if its table has the bin on, or if it is part of a row
// that is kept; false says that nothing is kept of it.
func Keep(tx *store.Tx, newID func() allod.GUID, d Deletion) bool {
	if !On(tx, d.Table) && !(part(d.Table.LogicalName) && d.Root != d.Row && ready(tx, config(tx, organization))) {
		return false
	}
	tx.Ensure(kept, keptColumns())
	Purge(tx, d.When)
	for _, id := range find(tx, d.Table.LogicalName, d.Row) {
		drop(tx, id) // an older row of the same key
	}
	blobs := make([]string, len(d.Blobs))
	for i, b := range d.Blobs {
		blobs[i] = b.String()
	}
	put(tx, kept, newID(), map[string]allod.Value{
		"table": allod.StringValue(d.Table.LogicalName), "id": allod.IDValue(d.Row), "root": allod.IDValue(d.Root), "by": allod.IDValue(d.By),
		"when": allod.StringValue(wire.Stamp(d.When)), "cells": allod.StringValue(Pack(tx, d.Table.LogicalName, d.Cells)), "blobs": allod.StringValue(strings.Join(blobs, ",")),
	})
	if d.Root == d.Row && tx.Has(References) {
		user := allod.LookupValue("systemuser", d.By)
		stamp := allod.TextValue(allod.DateTime, wire.Stamp(d.When))
		name := allod.NullValue()
		for _, c := range d.Cells {
			if c.Column == tx.Column(d.Table.LogicalName, d.Table.PrimaryName) {
				name = c.Value
			}
		}
		put(tx, References, newID(), map[string]allod.Value{
			"name": name, "deletedobject": allod.LookupValue(d.Table.LogicalName, d.Row),
			"createdon": stamp, "modifiedon": stamp, "createdby": user, "modifiedby": user,
		})
	}
	return true
}

// cell is one kept cell: column, type and content of the value.
type cell struct {
	Column string     `json:"c"`
	Type   allod.Type `json:"t"`
	Text   string     `json:"v,omitempty"`
	Num    int64      `json:"n,omitempty"`
	ID     string     `json:"i,omitempty"`
}

// Pack writes the cells of a row of the table as text, columns by name.
func Pack(tx *store.Tx, table string, cells []store.Cell) string {
	names := tx.ColumnNames(table)
	out := make([]cell, 0, len(cells))
	for _, c := range cells {
		k := cell{Column: names[c.Column], Type: c.Value.Type()}
		switch k.Type {
		case allod.Lookup:
			target, id := c.Value.Target()
			k.Text, k.ID = target, id.String()
		case allod.ID:
			k.ID = c.Value.GUID().String()
		case allod.Integer, allod.Boolean:
			k.Num = c.Value.Int()
		default:
			k.Text = c.Value.Text()
		}
		out = append(out, k)
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("recycle: texts and numbers do not marshal: " + err.Error())
	}
	return string(b)
}

// Unpack reads what Pack wrote; it leaves out columns that the table no longer has.
func Unpack(tx *store.Tx, table, text string) ([]store.Cell, error) {
	var list []cell
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("read a kept row of %s: %w", table, err)
	}
	var out []store.Cell
	for _, k := range list {
		i := tx.Column(table, k.Column)
		if i < 0 {
			continue
		}
		var id allod.GUID
		if k.ID != "" {
			var err error
			if id, err = allod.ParseGUID(k.ID); err != nil {
				return nil, fmt.Errorf("read a kept row of %s: %w", table, err)
			}
		}
		var v allod.Value
		switch k.Type {
		case allod.Lookup:
			v = allod.LookupValue(k.Text, id)
		case allod.ID:
			v = allod.IDValue(id)
		case allod.Integer:
			v = allod.IntegerValue(k.Num)
		case allod.Boolean:
			v = allod.BooleanValue(k.Num != 0)
		default:
			v = allod.TextValue(k.Type, k.Text)
		}
		out = append(out, store.Cell{Column: i, Value: v})
	}
	return out, nil
}
