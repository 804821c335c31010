package entity

// relIndex finds relationships by the tables they join.
type relIndex struct {
	manyToOne  map[string][]*Relationship // by Referencing
	oneToMany  map[string][]*Relationship // by Referenced
	manyToMany map[string][]*Relationship // by Entity1 and Entity2
	bySchema   map[string]*Relationship
	intersect  map[string][]*Relationship
}

func indexRelationships(rels []*Relationship) relIndex {
	x := relIndex{
		manyToOne:  make(map[string][]*Relationship),
		oneToMany:  make(map[string][]*Relationship),
		manyToMany: make(map[string][]*Relationship),
		bySchema:   make(map[string]*Relationship, len(rels)),
		intersect:  make(map[string][]*Relationship),
	}
	for _, r := range rels {
		x.bySchema[r.SchemaName] = r
		if r.Intersect == "" {
			x.manyToOne[r.Referencing] = append(x.manyToOne[r.Referencing], r)
			x.oneToMany[r.Referenced] = append(x.oneToMany[r.Referenced], r)
			continue
		}
		x.intersect[r.Intersect] = append(x.intersect[r.Intersect], r)
		x.manyToMany[r.Entity1] = append(x.manyToMany[r.Entity1], r)
		if r.Entity2 != r.Entity1 {
			x.manyToMany[r.Entity2] = append(x.manyToMany[r.Entity2], r)
		}
	}
	return x
}

// ManyToOne returns the relationships in which the table is the referencing
// side and which it declares itself, not its base type.
func (m *Model) ManyToOne(table string) []*Relationship { return m.rels.manyToOne[table] }

// OneToMany returns the relationships in which the table is referenced. The
// owner relationships stand under "owner" (protocols/dataverse.md §3.4).
func (m *Model) OneToMany(table string) []*Relationship { return m.rels.oneToMany[table] }

// ManyToMany returns the N:N relationships of the table.
func (m *Model) ManyToMany(table string) []*Relationship { return m.rels.manyToMany[table] }

// Relationship returns the relationship with the schema name, or nil.
func (m *Model) Relationship(schemaName string) *Relationship { return m.rels.bySchema[schemaName] }

// OfIntersect returns the N:N relationships whose pairs the intersect table
// holds; listmember and campaignitem hold several.
func (m *Model) OfIntersect(table string) []*Relationship { return m.rels.intersect[table] }

// Bases returns the table and the tables it derives from in $metadata, the
// table first.
func (m *Model) Bases(t *Table) []*Table {
	var out []*Table
	for t != nil && len(out) < 8 {
		out = append(out, t)
		t = m.byName[t.BaseType]
	}
	return out
}

// Lookup returns the relationship by which the column of the table refers to
// the target table: that of the table itself before that of its base type. A
// target "systemuser" or "team" finds the relationship to "owner" where there
// is no other. nil = the column cannot refer to the target.
func (m *Model) Lookup(t *Table, column, target string) *Relationship {
	var owner *Relationship
	for _, b := range m.Bases(t) {
		for _, r := range m.rels.manyToOne[b.LogicalName] {
			if r.ReferencingAttr != column {
				continue
			}
			if r.Referenced == target {
				return r
			}
			if owner == nil && r.Referenced == ownerTable && (target == "systemuser" || target == "team") {
				owner = r
			}
		}
	}
	return owner
}

// Single returns the N:1 relationship whose single-valued navigation property
// on the table (or its base type) has the name, nil if there is none. The name
// is case-sensitive (protocols/dataverse.md §6.4).
func (m *Model) Single(t *Table, nav string) *Relationship {
	for _, b := range m.Bases(t) {
		for _, r := range m.rels.manyToOne[b.LogicalName] {
			if r.ReferencingNav == nav {
				return r
			}
		}
	}
	return nil
}

// Collection returns the relationship whose collection-valued navigation
// property on the table (or its base type) has the name: a 1:N relationship
// the table is referenced by, or an N:N one. nil if there is none.
func (m *Model) Collection(t *Table, nav string) *Relationship {
	for _, b := range m.Bases(t) {
		name := b.LogicalName
		if name == principalTable {
			name = ownerTable
		}
		for _, r := range m.rels.oneToMany[name] {
			if r.ReferencedNav == nav {
				return r
			}
		}
		for _, r := range m.rels.manyToMany[b.LogicalName] {
			if r.Entity1 == b.LogicalName && r.Nav1 == nav || r.Entity2 == b.LogicalName && r.Nav2 == nav {
				return r
			}
		}
	}
	return nil
}

// The owner relationships name "owner" in EntityDefinitions and the type
// principal in $metadata (protocols/dataverse.md §3.1, §3.4).
const (
	ownerTable     = "owner"
	principalTable = "principal"
)
