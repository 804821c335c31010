// Package filerow keeps the rows of fileattachment: one for each file in a file
// column, which says how it is called, how long it is and where it belongs
// (protocols/dataverse.md §8.2; FileAttachment table reference). Its key is the
// id that the column holds. Nobody writes it but the platform. The files of
// image columns have none here: the service hangs theirs on imagedescriptor, a
// table that is not documented.
package filerow

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// Table is the table of the rows.
const Table = "fileattachment"

const (
	object = "objectid"           // the row whose file it is
	column = "regardingfieldname" // the column the file is in
)

// Of lists the file columns of the table.
func Of(t *entity.Table) []*entity.Column {
	var out []*entity.Column
	for _, c := range t.Columns {
		if c.Kind == "File" {
			out = append(out, c)
		}
	}
	return out
}

// Keep makes the rows of the files of a row those of its columns, after it was
// written or deleted. stamp is the time of new ones, as rows hold times.
func Keep(tx *store.Tx, t *entity.Table, row allod.GUID, stamp string) {
	columns := Of(t)
	if len(columns) == 0 || !tx.Has(Table) {
		return
	}
	r := tx.Get(t.LogicalName, row)
	held := map[allod.GUID]bool{}
	for _, c := range columns {
		id := tx.Value(t.LogicalName, r, c.LogicalName).GUID()
		if id.IsZero() {
			continue
		}
		held[id] = true
		if tx.Get(Table, id) == nil {
			tx.Put(Table, id, cells(tx, t, row, c, tx.Blob(id), stamp))
		}
	}
	for _, id := range tx.Find(Table, object, allod.IDValue(row)) {
		if !held[id] {
			tx.Delete(Table, id)
		}
	}
}

func cells(tx *store.Tx, t *entity.Table, row allod.GUID, c *entity.Column, b *store.Blob, stamp string) []store.Cell {
	values := map[string]allod.Value{
		object: allod.LookupValue(t.LogicalName, row), "objecttypecode": allod.StringValue(t.LogicalName), column: allod.StringValue(c.LogicalName),
		"createdon": allod.TextValue(allod.DateTime, stamp),
	}
	if b != nil {
		values["filename"], values["mimetype"], values["filesizeinbytes"] = allod.StringValue(b.Name), allod.StringValue(b.MIME), allod.IntegerValue(b.Size)
	}
	var out []store.Cell
	for name, v := range values {
		if at := tx.Column(Table, name); at >= 0 {
			out = append(out, store.Cell{Column: at, Value: v})
		}
	}
	return out
}

// Load makes the rows of all files there are, for a store that was loaded in
// bulk.
func Load(tx *store.Tx, m *entity.Model, stamp string) {
	for _, t := range m.Tables {
		if len(Of(t)) == 0 || !tx.Has(Table) || !tx.Has(t.LogicalName) {
			continue
		}
		for _, r := range tx.Page(t.LogicalName, nil, tx.Len(t.LogicalName)) {
			at := stamp
			if made := tx.Value(t.LogicalName, r, "createdon").Text(); made != "" {
				at = made
			}
			Keep(tx, t, r.Key, at)
		}
	}
}

// Sweep takes away the rows of the file columns that the second model lacks,
// with their files.
func Sweep(tx *store.Tx, before, after *entity.Model) {
	gone := map[string]bool{}
	for _, t := range before.Tables {
		x := after.Table(t.LogicalName)
		for _, c := range Of(t) {
			if x != t && (x == nil || x.Column(c.LogicalName) == nil) {
				gone[t.LogicalName+"."+c.LogicalName] = true
			}
		}
	}
	if len(gone) == 0 || !tx.Has(Table) {
		return
	}
	for _, r := range tx.Page(Table, nil, tx.Len(Table)) {
		table, _ := tx.Value(Table, r, object).Target()
		if gone[table+"."+tx.Value(Table, r, column).Text()] {
			tx.Delete(Table, r.Key)
			tx.DeleteBlob(r.Key)
		}
	}
}

// Relate gives each table with file columns its relationship with the rows,
// {table}_FileAttachments. What it changes of the model are copies.
func Relate(m *entity.Model, newID func() allod.GUID) {
	for _, t := range m.Tables {
		name, i := t.LogicalName+"_FileAttachments", slices.IndexFunc(m.Tables, func(x *entity.Table) bool { return x.LogicalName == Table })
		if i < 0 || len(Of(t)) == 0 || m.Relationship(name) != nil {
			continue
		}
		many := m.Tables[i].Clone()
		k := slices.IndexFunc(many.Columns, func(c *entity.Column) bool { return c.LogicalName == object })
		if k < 0 {
			return
		}
		c := *many.Columns[k]
		c.Targets = append(slices.Clone(c.Targets), t.LogicalName)
		many.Columns[k], m.Tables[i] = &c, many
		m.Relationships = append(m.Relationships, &entity.Relationship{
			SchemaName: name, MetadataID: newID(), Referenced: t.LogicalName, ReferencedAttr: t.PrimaryID, Referencing: Table, ReferencingAttr: object,
			ReferencedNav: name, ReferencingNav: object + "_" + t.LogicalName,
			Cascade: entity.Cascade{Assign: "NoCascade", Delete: "Cascade", Merge: "NoCascade", Reparent: "NoCascade", Share: "NoCascade", Unshare: "NoCascade"},
		})
		m.Index()
	}
}
