package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"allod"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCompareSchemas(t *testing.T) {
	id := func(n byte) allod.GUID { return allod.GUID{15: n} }
	col := func(name string, typ allod.Type, native string) allod.Column {
		return allod.Column{Name: name, Type: typ, Native: native}
	}
	account := func(columns ...allod.Column) *allod.Schema {
		return &allod.Schema{Tables: []allod.Table{{Name: "account", ID: id(1), Columns: columns}}}
	}
	withID := func(c allod.Column, n byte) allod.Column { c.ID = id(n); return c }
	label := col("industryname", allod.JSON, "Virtual")
	label.Unreadable = "not part of the Web API"
	name, memo := col("name", allod.String, "String"), col("name", allod.String, "Memo")
	born, day := col("born", allod.DateTime, "DateTime"), col("born", allod.Date, "DateTime")
	change := func(f func(*TableChange)) *SchemaDiff {
		c := TableChange{Table: "account", Added: []TypedColumn{}, Removed: []TypedColumn{}, Retyped: []ColumnChange{}, KeysAdded: []string{}, KeysRemoved: []string{}}
		f(&c)
		return diffOf(func(d *SchemaDiff) { d.Changed = []TableChange{c} })
	}
	nameCol := TypedColumn{"name", "string", "String"}
	for _, tc := range []struct {
		what string
		a, b *allod.Schema
		want *SchemaDiff
	}{
		{"the same", account(name), account(name), diffOf(nil)},
		{"label and length", account(name), account(allod.Column{Name: "name", Type: allod.String, Native: "String", Label: "Name", MaxLength: 9}), diffOf(nil)},
		{"table", &allod.Schema{Tables: []allod.Table{{Name: "lead"}}}, account(), diffOf(func(d *SchemaDiff) { d.Added, d.Removed = []string{"account"}, []string{"lead"} })},
		{"table made again", account(), &allod.Schema{Tables: []allod.Table{{Name: "account", ID: id(2)}}}, diffOf(func(d *SchemaDiff) { d.Added, d.Removed = []string{"account"}, []string{"account"} })},
		{"table whose id was not known", account(), &allod.Schema{Tables: []allod.Table{{Name: "account"}}}, diffOf(nil)},
		{"column added", account(), account(name, label), change(func(c *TableChange) { c.Added = []TypedColumn{nameCol} })},
		{"column removed", account(label, name), account(), change(func(c *TableChange) { c.Removed = []TypedColumn{nameCol} })},
		{"column made again", account(withID(name, 3)), account(withID(name, 4)), change(func(c *TableChange) { c.Added, c.Removed = []TypedColumn{nameCol}, []TypedColumn{nameCol} })},
		{"another type", account(born), account(day), change(func(c *TableChange) {
			c.Retyped = []ColumnChange{{"born", TypedColumn{"born", "datetime", "DateTime"}, TypedColumn{"born", "date", "DateTime"}}}
		})},
		{"another type of the source's", account(name), account(memo), change(func(c *TableChange) {
			c.Retyped = []ColumnChange{{"name", nameCol, TypedColumn{"name", "string", "Memo"}}}
		})},
		{"key of other columns", keyed("k", "name"), keyed("k", "name", "born"), change(func(c *TableChange) { c.KeysAdded, c.KeysRemoved = []string{"k"}, []string{"k"} })},
		{"relationships", edge("r", "account"), edge("s", "account"), diffOf(func(d *SchemaDiff) { d.RelationshipsAdded, d.RelationshipsRemoved = []string{"s"}, []string{"r"} })},
		{"relationship to another table", edge("r", "account"), edge("r", "contact"), diffOf(func(d *SchemaDiff) { d.RelationshipsAdded, d.RelationshipsRemoved = []string{"r"}, []string{"r"} })},
	} {
		t.Run(tc.what, func(t *testing.T) {
			got := CompareSchemas(tc.a, tc.b)
			if d := cmp.Diff(got, tc.want); d != "" {
				t.Errorf("-got +want:\n%s", d)
			}
			if got.Same() != cmp.Equal(tc.want, diffOf(nil)) {
				t.Errorf("Same() = %v", got.Same())
			}
		})
	}
}

func diffOf(f func(*SchemaDiff)) *SchemaDiff {
	d := &SchemaDiff{Added: []string{}, Removed: []string{}, Changed: []TableChange{}, RelationshipsAdded: []string{}, RelationshipsRemoved: []string{}}
	if f != nil {
		f(d)
	}
	return d
}

func keyed(name string, columns ...string) *allod.Schema {
	return &allod.Schema{Tables: []allod.Table{{Name: "account", Keys: []allod.AltKey{{Name: name, Columns: columns}}}}}
}

func edge(name, one string) *allod.Schema {
	return &allod.Schema{Relationships: []allod.Relationship{{Name: name, One: one, Many: "lead", Column: "parentid"}}}
}

// A schema is the same as itself; the other way round, added is removed; what
// is said of single tables adds up to the whole; neither schema is changed.
func TestCompareAnySchemas(t *testing.T) {
	schema := rapid.Custom(func(rt *rapid.T) *allod.Schema {
		s := &allod.Schema{}
		for i := range 4 {
			if !rapid.Bool().Draw(rt, "table") {
				continue
			}
			table := allod.Table{Name: fmt.Sprintf("t%d", i), ID: allod.GUID{15: rapid.Byte().Draw(rt, "id") % 3}}
			for j := range 3 {
				if rapid.Bool().Draw(rt, "column") {
					c := allod.Column{Name: fmt.Sprintf("c%d", j), Type: rapid.SampledFrom([]allod.Type{allod.String, allod.Date}).Draw(rt, "type")}
					c.Unreadable = rapid.SampledFrom([]string{"", "", "not valid for read"}).Draw(rt, "unreadable")
					table.Columns = append(table.Columns, c)
				}
			}
			s.Tables = append(s.Tables, table)
		}
		return s
	})
	text := func(s *allod.Schema) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, b := schema.Draw(rt, "a"), schema.Draw(rt, "b")
		before := text(a) + text(b)
		if d := CompareSchemas(a, a); !d.Same() {
			rt.Fatalf("a schema differs from itself: %+v", d)
		}
		there, back := CompareSchemas(a, b), CompareSchemas(b, a)
		if !slices.Equal(there.Added, back.Removed) || !slices.Equal(there.Removed, back.Added) {
			rt.Fatalf("tables there %+v, back %+v", there, back)
		}
		ta, tr, tt := there.Columns()
		ba, br, bt := back.Columns()
		if ta != br || tr != ba || tt != bt {
			rt.Fatalf("columns there %d %d %d, back %d %d %d", ta, tr, tt, ba, br, bt)
		}
		sum := diffOf(nil)
		for i := range 4 {
			one := there.Only(fmt.Sprintf("t%d", i))
			sum.Added, sum.Removed, sum.Changed = append(sum.Added, one.Added...), append(sum.Removed, one.Removed...), append(sum.Changed, one.Changed...)
		}
		if d := cmp.Diff(sum, there); d != "" {
			rt.Fatalf("table by table (-got +want):\n%s", d)
		}
		if text(a)+text(b) != before {
			rt.Fatal("a schema was changed")
		}
	})
}
