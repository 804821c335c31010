package entity

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"

	"allod"
	"allod/internal/odata/csdl"
)

const baseType = "crmbaseentity"

// FromCSDL makes the model that a real $metadata document describes. What the
// document does not say is derived: kinds of columns from type and name,
// validity for create and update from documented platform rules, choices from
// a reviewed list and otherwise made up from the column's name, ids by hashing
// names, so that the same document always gives the same model
// (protocols/dataverse.md §3). A document without crmbaseentity is Invalid.
//
// The model keeps doc as its Document and indexes it; the caller must not
// change it afterwards.
func FromCSDL(doc *csdl.Model) (*Model, error) {
	doc.Index()
	m := &Model{Document: doc}
	b := &builder{m: m, doc: doc, types: map[string]*csdl.EntityType{}}
	for _, s := range doc.Schemas {
		for _, et := range s.EntityTypes {
			if b.isTable(et) {
				b.types[et.Name] = et
				m.Tables = append(m.Tables, b.table(et))
			}
		}
	}
	if len(m.Tables) == 0 {
		return nil, allod.Errorf(allod.Invalid, "read metadata document: no entity type derives from %s; is it the $metadata of a Dataverse organisation?", baseType)
	}
	m.Seal()
	b.relationships()
	m.Seal()
	Derive(m)
	return m, nil
}

type builder struct {
	m     *Model
	doc   *csdl.Model
	types map[string]*csdl.EntityType
	name  map[string]int // schema names of relationships given out
}

func (b *builder) isTable(et *csdl.EntityType) bool {
	if et.Name == baseType || et.Name == "expando" || et.OpenType {
		return false
	}
	bases := b.doc.Bases(et)
	return bases[len(bases)-1].Name == baseType
}

// table makes the table with its columns; relationships come later.
func (b *builder) table(et *csdl.EntityType) *Table {
	t := &Table{LogicalName: et.Name, Abstract: et.Abstract}
	if base := unqualify(et.BaseType); base != baseType {
		t.BaseType = base
	}
	if set := b.doc.SetOf(namespace + "." + et.Name); set != nil {
		t.SetName = set.Name
	}
	if key := b.doc.Key(et); len(key) == 1 {
		t.ODataKey = key[0].Name
	}
	for _, own := range b.doc.Bases(et) {
		if own.Name == baseType {
			continue
		}
		for i := range own.Properties {
			t.Columns = append(t.Columns, newColumn(&own.Properties[i], own != et))
		}
	}
	for _, k := range et.AlternateKeys() {
		cols := make([]string, 0, len(k))
		for _, name := range k {
			cols = append(cols, logicalName(name))
		}
		t.Keys = append(t.Keys, &Key{Columns: cols})
	}
	return t
}

func newColumn(p *csdl.Property, inherited bool) *Column {
	c := &Column{LogicalName: logicalName(p.Name), EdmType: p.Type, Inherited: inherited, MaxLength: max(p.MaxLength, 0)}
	if c.LogicalName != p.Name {
		c.Kind = "Lookup"
	}
	return c
}

// logicalName turns _x_value into x.
func logicalName(property string) string {
	if x, ok := strings.CutPrefix(property, "_"); ok {
		if x, ok := strings.CutSuffix(x, "_value"); ok {
			return x
		}
	}
	return property
}

func unqualify(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// relationships pairs the navigation properties of both sides.
func (b *builder) relationships() {
	b.name = map[string]int{}
	for _, t := range b.m.Tables {
		et := b.types[t.LogicalName]
		for i := range et.Navigation {
			n := &et.Navigation[i]
			target := b.types[unqualify(n.Type)]
			if target == nil {
				continue
			}
			if !n.Collection {
				b.oneToMany(t, n, target)
			} else if back := b.partner(target, n); back != nil && back.Collection {
				b.manyToMany(t, n, b.m.Table(target.Name), back)
			}
		}
	}
	slices.SortFunc(b.m.Relationships, func(x, y *Relationship) int { return cmp.Compare(x.SchemaName, y.SchemaName) })
}

func (b *builder) partner(target *csdl.EntityType, n *csdl.NavigationProperty) *csdl.NavigationProperty {
	if n.Partner == "" {
		return nil
	}
	return b.doc.NavigationProperty(target, n.Partner)
}

func (b *builder) oneToMany(t *Table, n *csdl.NavigationProperty, target *csdl.EntityType) {
	r := &Relationship{
		Referenced:     target.Name,
		Referencing:    t.LogicalName,
		ReferencingNav: n.Name,
		ReferencedNav:  n.Partner,
	}
	one := b.m.Table(target.Name)
	r.ReferencedAttr = one.primaryID()
	if len(n.Constraints) > 0 && t.Column(logicalName(n.Constraints[0].Property)) != nil {
		r.ReferencingAttr = logicalName(n.Constraints[0].Property)
		if target.Name != principalTable {
			r.ReferencedAttr = logicalName(n.Constraints[0].ReferencedProperty)
		}
	} else {
		r.ReferencingAttr = columnOfNav(t, n.Name)
	}
	if target.Name == principalTable {
		r.Referenced, r.ReferencedAttr = ownerTable, "ownerid"
	}
	r.SchemaName = b.unique(cmp.Or(n.Partner, t.LogicalName+"_"+n.Name), t.LogicalName)
	b.m.Relationships = append(b.m.Relationships, r)
}

// columnOfNav finds the column behind a navigation property that has no
// referential constraint because the column belongs to the base type: the
// longest column name the property's name begins with, as in
// regardingobjectid_account_task. A property without a column gets one that
// cannot be read, as deprecated lookups have.
func columnOfNav(t *Table, nav string) string {
	low := strings.ToLower(nav)
	var best *Column
	for _, c := range t.Columns {
		x := c.LogicalName
		if low != x && !strings.HasPrefix(low, x+"_") {
			continue
		}
		if best == nil || len(x) > len(best.LogicalName) {
			best = c
		}
	}
	if best != nil {
		return best.LogicalName
	}
	if strings.HasPrefix(low, "sla_") && t.Column("slaid") != nil {
		return "slaid"
	}
	c := &Column{LogicalName: low, Kind: "Lookup"}
	t.Columns = append(t.Columns, c)
	t.byColumn[low] = c
	return low
}

// unique gives a schema name once; relationship names that would clash get the
// referencing table's name in front.
func (b *builder) unique(name, table string) string {
	b.name[name]++
	if b.name[name] == 1 {
		return name
	}
	return b.unique(table+"_"+name, table)
}

func (b *builder) manyToMany(t *Table, n *csdl.NavigationProperty, other *Table, back *csdl.NavigationProperty) {
	if t.LogicalName > other.LogicalName || t == other && n.Name > back.Name {
		return // met from the other side
	}
	r := &Relationship{Entity1: t.LogicalName, Entity2: other.LogicalName, Nav1: n.Name, Nav2: back.Name}
	if k, ok := knownIntersects[n.Name]; ok && b.m.Table(k.table).has(k.attr1, k.attr2) {
		r.Intersect, r.Attribute1, r.Attribute2 = k.table, k.attr1, k.attr2
		if k.entity1 != t.LogicalName { // the list names the sides in the platform's order
			r.Attribute1, r.Attribute2 = k.attr2, k.attr1
		}
	} else {
		b.guessIntersect(r, t, other, n.Name)
	}
	if r.Intersect == "" {
		return
	}
	r.SchemaName = b.unique(n.Name, t.LogicalName)
	b.m.Table(r.Intersect).Intersect = true
	b.m.Relationships = append(b.m.Relationships, r)
}

// has reports whether the table is there and has the columns.
func (t *Table) has(columns ...string) bool {
	for _, c := range columns {
		if t == nil || t.Column(c) == nil {
			return false
		}
	}
	return true
}

// guessIntersect looks for the table of pairs: one named like the relationship,
// else the one with the fewest columns that has both ids as plain columns.
func (b *builder) guessIntersect(r *Relationship, t, other *Table, nav string) {
	id1, id2 := t.primaryID(), other.primaryID()
	if t == other {
		id1, id2 = id1+"one", id2+"two"
	}
	low := strings.ToLower(nav)
	var best *Table
	for _, x := range b.m.Tables {
		if x.Column(id1) == nil || x.Column(id2) == nil || x.primaryID() == id1 || x.primaryID() == id2 {
			continue
		}
		if x.LogicalName == low || x.LogicalName == strings.TrimSuffix(low, "_association") {
			best = x
			break
		}
		if len(x.Columns) <= 9 && (best == nil || len(x.Columns) < len(best.Columns)) {
			best = x
		}
	}
	if best != nil {
		r.Intersect, r.Attribute1, r.Attribute2 = best.LogicalName, id1, id2
	}
}

// primaryID is the primary key column: the OData key, but name+"id" for the
// types that inherit the key ownerid from principal (protocols/dataverse.md
// §3.1).
func (t *Table) primaryID() string {
	if t.PrimaryID != "" {
		return t.PrimaryID
	}
	if t.BaseType == principalTable && t.ODataKey == "ownerid" {
		return t.LogicalName + "id"
	}
	return t.ODataKey
}

// idOf makes the deterministic MetadataId of something by its name.
func idOf(parts ...string) allod.GUID {
	h := sha256.Sum256([]byte("dataverse metadata\x00" + strings.Join(parts, "\x00")))
	var g allod.GUID
	copy(g[:], h[:16])
	g[6] = g[6]&0x0f | 0x80 // version 8, RFC 9562 §5.8
	g[8] = g[8]&0x3f | 0x80
	return g
}
