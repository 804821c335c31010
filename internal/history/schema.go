package history

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"allod"
)

// SchemaDiff is how schema B differs from schema A: what is added is in B only,
// what is removed in A only. Every list is sorted and never nil.
//
// A table or column that was deleted and made again under its name (the
// source's immutable ids are known and differ) is removed and added. Columns
// that the source never gives a value for, such as labels of choices, come and
// go with the column they belong to and are left out.
type SchemaDiff struct {
	Added                []string      `json:"added"`   // tables, by logical name
	Removed              []string      `json:"removed"` // tables
	Changed              []TableChange `json:"changed"` // tables that both have, with a difference
	RelationshipsAdded   []string      `json:"relationships_added"`
	RelationshipsRemoved []string      `json:"relationships_removed"` // one with other ends under its name is removed and added
}

// TableChange is how a table that both schemas have differs.
type TableChange struct {
	Table       string         `json:"table"`
	Added       []TypedColumn  `json:"added"`
	Removed     []TypedColumn  `json:"removed"`
	Retyped     []ColumnChange `json:"retyped"`
	KeysAdded   []string       `json:"keys_added"`
	KeysRemoved []string       `json:"keys_removed"` // one of other columns under its name is removed and added
}

// TypedColumn is a column with what its values are.
type TypedColumn struct {
	Column string `json:"column"`
	Type   string `json:"type"`   // allod.Type as text, e.g. "datetime"
	Native string `json:"native"` // the source's own name of the type, e.g. "DateTime"
}

// ColumnChange is a column whose type, or the source's own name of it, changed.
type ColumnChange struct {
	Column string      `json:"column"`
	From   TypedColumn `json:"from"`
	To     TypedColumn `json:"to"`
}

// Same reports whether nothing differs.
func (d *SchemaDiff) Same() bool {
	return len(d.Added)+len(d.Removed)+len(d.Changed)+len(d.RelationshipsAdded)+len(d.RelationshipsRemoved) == 0
}

// Columns counts the columns added to, removed from and retyped in tables that
// both schemas have.
func (d *SchemaDiff) Columns() (added, removed, retyped int) {
	for i := range d.Changed {
		c := &d.Changed[i]
		added, removed, retyped = added+len(c.Added), removed+len(c.Removed), retyped+len(c.Retyped)
	}
	return added, removed, retyped
}

// Only returns what d says of one table, its relationships left out.
func (d *SchemaDiff) Only(table string) *SchemaDiff {
	other := func(name string) bool { return name != table }
	return &SchemaDiff{
		Added:   slices.DeleteFunc(slices.Clone(d.Added), other),
		Removed: slices.DeleteFunc(slices.Clone(d.Removed), other),
		Changed: slices.DeleteFunc(slices.Clone(d.Changed), func(c TableChange) bool { return c.Table != table }), RelationshipsAdded: []string{}, RelationshipsRemoved: []string{},
	}
}

// CompareSchemas compares two schemas by the names and types in them; labels,
// options, lengths and rights are not part of it. It changes neither.
func CompareSchemas(a, b *allod.Schema) *SchemaDiff {
	d := &SchemaDiff{Changed: []TableChange{}}
	tables := func(s *allod.Schema) map[string]*allod.Table {
		out := make(map[string]*allod.Table, len(s.Tables))
		for i := range s.Tables {
			out[s.Tables[i].Name] = &s.Tables[i]
		}
		return out
	}
	from, to := tables(a), tables(b)
	d.Added, d.Removed = names(from, to, func(x, y *allod.Table) bool { return sameID(x.ID, y.ID) })
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if was := from[name]; was != nil && sameID(was.ID, to[name].ID) {
			if c := compareTables(was, to[name]); len(c.Added)+len(c.Removed)+len(c.Retyped)+len(c.KeysAdded)+len(c.KeysRemoved) > 0 {
				d.Changed = append(d.Changed, c)
			}
		}
	}
	d.RelationshipsAdded, d.RelationshipsRemoved = names(edges(a), edges(b), func(x, y string) bool { return x == y })
	return d
}

func compareTables(a, b *allod.Table) TableChange {
	from, to := columns(a), columns(b)
	c := TableChange{Table: b.Name, Added: []TypedColumn{}, Removed: []TypedColumn{}, Retyped: []ColumnChange{}}
	added, removed := names(from, to, func(x, y *allod.Column) bool { return sameID(x.ID, y.ID) })
	for _, name := range added {
		if to[name].Unreadable == "" {
			c.Added = append(c.Added, typed(to[name]))
		}
	}
	for _, name := range removed {
		if from[name].Unreadable == "" {
			c.Removed = append(c.Removed, typed(from[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		was, is := from[name], to[name]
		if was == nil || !sameID(was.ID, is.ID) || was.Unreadable != "" && is.Unreadable != "" {
			continue
		}
		if x, y := typed(was), typed(is); x != y {
			c.Retyped = append(c.Retyped, ColumnChange{Column: name, From: x, To: y})
		}
	}
	keys := func(t *allod.Table) map[string]string {
		out := map[string]string{}
		for _, k := range t.Keys {
			out[k.Name] = strings.Join(k.Columns, ",")
		}
		return out
	}
	c.KeysAdded, c.KeysRemoved = names(keys(a), keys(b), func(x, y string) bool { return x == y })
	return c
}

func columns(t *allod.Table) map[string]*allod.Column {
	out := make(map[string]*allod.Column, len(t.Columns))
	for i := range t.Columns {
		out[t.Columns[i].Name] = &t.Columns[i]
	}
	return out
}

// edges are the relationships by name, with what they connect.
func edges(s *allod.Schema) map[string]string {
	out := make(map[string]string, len(s.Relationships))
	for i := range s.Relationships {
		r := &s.Relationships[i]
		out[r.Name] = strings.Join([]string{r.One, r.Many, r.Column, r.Intersect, r.Table1, r.Table2, r.Column1, r.Column2}, "\x00")
	}
	return out
}

// names returns the keys that to has and from has not, or not as the same
// thing, and the reverse.
func names[T any](from, to map[string]T, same func(a, b T) bool) (added, removed []string) {
	added, removed = []string{}, []string{}
	for name, x := range to {
		if was, ok := from[name]; !ok || !same(was, x) {
			added = append(added, name)
		}
	}
	for name, x := range from {
		if is, ok := to[name]; !ok || !same(x, is) {
			removed = append(removed, name)
		}
	}
	slices.Sort(added)
	slices.Sort(removed)
	return added, removed
}

// sameID reports whether two ids may be of one thing: they are equal, or one of
// them is not known.
func sameID(a, b allod.GUID) bool { return a.IsZero() || b.IsZero() || a == b }

func typed(c *allod.Column) TypedColumn {
	return TypedColumn{Column: c.Name, Type: c.Type.String(), Native: cmp.Or(c.Native, c.Type.String())}
}
