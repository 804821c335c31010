package entity

import (
	"strings"

	"allod/internal/odata/csdl"
)

const (
	namespace      = "Microsoft.Dynamics.CRM"
	namespaceAlias = "mscrm"
)

// CSDL makes the $metadata document of the model: tables, navigation
// properties, sets and bindings from the model itself, everything else copied
// from Document (protocols/dataverse.md §3.1). The result shares parts with
// Document and must not be changed.
func (m *Model) CSDL() *csdl.Model {
	doc, schema := m.frame()
	w := &writer{m: m, types: map[string]*csdl.EntityType{}, own: map[string]map[string]bool{}}
	for _, t := range m.Tables {
		et := w.entityType(t)
		w.types[t.LogicalName] = et
		schema.EntityTypes = append(schema.EntityTypes, et)
	}
	for _, r := range m.Relationships {
		w.navigation(r)
	}
	sets := make([]*csdl.EntitySet, 0, len(m.Tables))
	for _, t := range m.Tables {
		if t.SetName != "" {
			sets = append(sets, w.entitySet(t))
		}
	}
	schema.Container.EntitySets = append(sets, schema.Container.EntitySets...)
	doc.Index()
	return doc
}

// frame copies Document without its tables and their sets.
func (m *Model) frame() (*csdl.Model, *csdl.Schema) {
	doc := &csdl.Model{Version: "4.0"}
	schema := &csdl.Schema{Namespace: namespace, Alias: namespaceAlias, Container: &csdl.EntityContainer{Name: "System"}}
	if m.Document == nil {
		schema.EntityTypes = []*csdl.EntityType{{Name: baseType, Abstract: true}}
		doc.Schemas = []*csdl.Schema{schema}
		return doc, schema
	}
	doc.Version, doc.References = m.Document.Version, m.Document.References
	b := builder{doc: m.Document}
	for i, s := range m.Document.Schemas {
		c := *s
		c.EntityTypes = nil
		for _, et := range s.EntityTypes {
			if !b.isTable(et) {
				c.EntityTypes = append(c.EntityTypes, et)
			}
		}
		if s.Container != nil || i == 0 {
			c.Container = otherSets(m.Document, s.Container)
			schema = &c
		}
		doc.Schemas = append(doc.Schemas, &c)
	}
	return doc, schema
}

func otherSets(doc *csdl.Model, from *csdl.EntityContainer) *csdl.EntityContainer {
	c := csdl.EntityContainer{Name: "System"}
	if from != nil {
		c = *from
	}
	c.EntitySets = nil
	b := builder{doc: doc}
	if from != nil {
		for _, s := range from.EntitySets {
			if et := doc.EntityType(s.EntityType); et == nil || !b.isTable(et) {
				c.EntitySets = append(c.EntitySets, s)
			}
		}
	}
	return &c
}

type writer struct {
	m     *Model
	types map[string]*csdl.EntityType
	own   map[string]map[string]bool // properties declared by the type itself
}

func (w *writer) entityType(t *Table) *csdl.EntityType {
	et := &csdl.EntityType{Name: t.LogicalName, Abstract: t.Abstract, BaseType: namespaceAlias + "." + baseType}
	if t.BaseType != "" {
		et.BaseType = namespaceAlias + "." + t.BaseType
	}
	own := map[string]bool{}
	w.own[t.LogicalName] = own
	for _, c := range t.Columns {
		if c.EdmType == "" || !c.ValidOData {
			continue
		}
		if c.Inherited {
			continue
		}
		p := csdl.Property{Name: c.Property(), Type: c.EdmType}
		switch c.EdmType {
		case "Edm.String":
			p.NotUnicode = true
		case "Edm.Decimal":
			p.Scale = "Variable"
		}
		et.Properties = append(et.Properties, p)
		own[c.LogicalName] = true
	}
	if t.ODataKey != "" { // restated by types that inherit it, as in real documents
		et.Key = []csdl.PropertyRef{{Name: t.ODataKey}}
	}
	if len(t.Keys) > 0 {
		et.Annotations = []csdl.Annotation{csdl.AlternateKeysAnnotation(keyProperties(t))}
	}
	return et
}

// keyProperties lists the alternate keys by property name.
func keyProperties(t *Table) [][]string {
	out := make([][]string, 0, len(t.Keys))
	for _, k := range t.Keys {
		names := make([]string, 0, len(k.Columns))
		for _, x := range k.Columns {
			if c := t.Column(x); c != nil {
				x = c.Property()
			}
			names = append(names, x)
		}
		out = append(out, names)
	}
	return out
}

// navigation adds the navigation properties of both sides. As in real
// documents they all say Nullable="false", and the referential constraint is
// there when both columns belong to the types themselves.
func (w *writer) navigation(r *Relationship) {
	if r.Intersect != "" {
		one, two := w.types[r.Entity1], w.types[r.Entity2]
		if one == nil || two == nil {
			return
		}
		one.Navigation = append(one.Navigation, csdl.NavigationProperty{Name: r.Nav1, Type: typeName(r.Entity2), Collection: true, Partner: r.Nav2})
		if r.Entity1 != r.Entity2 || r.Nav1 != r.Nav2 {
			two.Navigation = append(two.Navigation, csdl.NavigationProperty{Name: r.Nav2, Type: typeName(r.Entity1), Collection: true, Partner: r.Nav1})
		}
		return
	}
	referenced := typeOf(r.Referenced)
	many, one := w.types[r.Referencing], w.types[referenced]
	if many == nil || one == nil || r.ReferencingNav == "" {
		return
	}
	n := csdl.NavigationProperty{Name: r.ReferencingNav, Type: typeName(referenced), NotNull: true, Partner: r.ReferencedNav}
	if w.own[r.Referencing][r.ReferencingAttr] && w.own[referenced][r.ReferencedAttr] {
		n.Constraints = []csdl.ReferentialConstraint{{
			Property:           w.m.Table(r.Referencing).Column(r.ReferencingAttr).Property(),
			ReferencedProperty: w.m.Table(referenced).Column(r.ReferencedAttr).Property(),
		}}
	}
	many.Navigation = append(many.Navigation, n)
	if r.ReferencedNav != "" {
		one.Navigation = append(one.Navigation, csdl.NavigationProperty{Name: r.ReferencedNav, Type: typeName(r.Referencing), Collection: true, Partner: r.ReferencingNav})
	}
}

func typeOf(table string) string {
	if table == ownerTable {
		return principalTable
	}
	return table
}

func typeName(table string) string { return namespaceAlias + "." + table }

// entitySet binds the navigation properties the type declares itself to the
// sets of their targets. Real documents bind owners to a set "owners" that does
// not exist; so does this one.
func (w *writer) entitySet(t *Table) *csdl.EntitySet {
	s := &csdl.EntitySet{Name: t.SetName, EntityType: namespace + "." + t.LogicalName}
	for _, n := range w.types[t.LogicalName].Navigation {
		target := strings.TrimPrefix(n.Type, namespaceAlias+".")
		set := ""
		if target == principalTable {
			set = "owners"
		} else if x := w.m.Table(target); x != nil {
			set = x.SetName
		}
		if set != "" {
			s.Bindings = append(s.Bindings, csdl.Binding{Path: n.Name, Target: set})
		}
	}
	return s
}
