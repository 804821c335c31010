package csdl

import "strings"

// TermAlternateKeys is the annotation that lists alternate keys
// (protocols/dataverse.md §3.1).
const TermAlternateKeys = "OData.Community.Keys.V1.AlternateKeys"

type index struct {
	alias      map[string]string // alias → namespace
	entities   map[string]*EntityType
	complexes  map[string]*ComplexType
	enums      map[string]*EnumType
	functions  map[string][]*Operation
	actions    map[string][]*Operation
	sets       map[string]*EntitySet
	singletons map[string]*Singleton
	imports    map[string]*OperationImport // "f:" or "a:" and the name
	setOf      map[string]*EntitySet       // qualified type → its first set
}

// Index makes the lookups work. ParseCSDL calls it; whoever builds or changes a
// Model by hand calls it before anybody else reads the Model. Where a name
// occurs twice the first one counts.
func (m *Model) Index() {
	x := &index{
		alias: map[string]string{}, entities: map[string]*EntityType{}, complexes: map[string]*ComplexType{},
		enums: map[string]*EnumType{}, functions: map[string][]*Operation{}, actions: map[string][]*Operation{},
		sets: map[string]*EntitySet{}, singletons: map[string]*Singleton{}, imports: map[string]*OperationImport{},
		setOf: map[string]*EntitySet{},
	}
	m.index = x
	for _, r := range m.References {
		for _, i := range r.Includes {
			if i.Alias != "" {
				first(x.alias, i.Alias, i.Namespace)
			}
		}
	}
	for _, s := range m.Schemas {
		if s.Alias != "" {
			x.alias[s.Alias] = s.Namespace
		}
	}
	for _, s := range m.Schemas {
		x.addTypes(s)
	}
	for _, s := range m.Schemas {
		if s.Container != nil {
			m.addContainer(s.Container)
		}
	}
}

func first[V any](m map[string]V, key string, v V) {
	if _, ok := m[key]; !ok {
		m[key] = v
	}
}

func (x *index) addTypes(s *Schema) {
	q := s.Namespace + "."
	for _, t := range s.EntityTypes {
		first(x.entities, q+t.Name, t)
	}
	for _, t := range s.ComplexTypes {
		first(x.complexes, q+t.Name, t)
	}
	for _, t := range s.EnumTypes {
		first(x.enums, q+t.Name, t)
	}
	for _, f := range s.Functions {
		x.functions[q+f.Name] = append(x.functions[q+f.Name], f)
	}
	for _, a := range s.Actions {
		x.actions[q+a.Name] = append(x.actions[q+a.Name], a)
	}
}

func (m *Model) addContainer(c *EntityContainer) {
	x := m.index
	for _, s := range c.EntitySets {
		first(x.sets, s.Name, s)
		first(x.setOf, m.Qualify(s.EntityType), s)
	}
	for _, s := range c.Singletons {
		first(x.singletons, s.Name, s)
	}
	for _, f := range c.FunctionImports {
		first(x.imports, "f:"+f.Name, f)
	}
	for _, a := range c.ActionImports {
		first(x.imports, "a:"+a.Name, a)
	}
}

// Qualify replaces an alias in front of a name by its namespace, inside
// Collection() too: "mscrm.account" → "Microsoft.Dynamics.CRM.account".
func (m *Model) Qualify(name string) string {
	if item, ok := SplitCollection(name); ok {
		return "Collection(" + m.Qualify(item) + ")"
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || m.index == nil {
		return name
	}
	if ns, ok := m.index.alias[name[:dot]]; ok {
		return ns + name[dot:]
	}
	return name
}

// EntityType finds an entity type by its qualified name (namespace or alias),
// or nil.
func (m *Model) EntityType(name string) *EntityType {
	if m.index == nil {
		return nil
	}
	return m.index.entities[m.Qualify(name)]
}

// ComplexType finds a complex type by its qualified name, or nil.
func (m *Model) ComplexType(name string) *ComplexType {
	if m.index == nil {
		return nil
	}
	return m.index.complexes[m.Qualify(name)]
}

// EnumType finds an enumeration by its qualified name, or nil.
func (m *Model) EnumType(name string) *EnumType {
	if m.index == nil {
		return nil
	}
	return m.index.enums[m.Qualify(name)]
}

// EntitySet finds an entity set by name, or nil.
func (m *Model) EntitySet(name string) *EntitySet {
	if m.index == nil {
		return nil
	}
	return m.index.sets[name]
}

// SetOf finds the first entity set of exactly this type, or nil.
func (m *Model) SetOf(entityType string) *EntitySet {
	if m.index == nil {
		return nil
	}
	return m.index.setOf[m.Qualify(entityType)]
}

// Singleton finds a singleton by name, or nil.
func (m *Model) Singleton(name string) *Singleton {
	if m.index == nil {
		return nil
	}
	return m.index.singletons[name]
}

// FunctionImport finds a function import by name, or nil.
func (m *Model) FunctionImport(name string) *OperationImport {
	if m.index == nil {
		return nil
	}
	return m.index.imports["f:"+name]
}

// ActionImport finds an action import by name, or nil.
func (m *Model) ActionImport(name string) *OperationImport {
	if m.index == nil {
		return nil
	}
	return m.index.imports["a:"+name]
}

// Functions returns the overloads of a function by its qualified name.
func (m *Model) Functions(name string) []*Operation {
	if m.index == nil {
		return nil
	}
	return m.index.functions[m.Qualify(name)]
}

// Actions returns the overloads of an action by its qualified name.
func (m *Model) Actions(name string) []*Operation {
	if m.index == nil {
		return nil
	}
	return m.index.actions[m.Qualify(name)]
}

// maxBases is how long a chain of base types may be; a longer one is a cycle.
const maxBases = 32

// Bases returns t and its base types, t first. A base that does not exist, or
// a cycle, ends the list.
func (m *Model) Bases(t *EntityType) []*EntityType {
	var chain []*EntityType
	for t != nil && len(chain) < maxBases {
		for _, seen := range chain {
			if seen == t {
				return chain
			}
		}
		chain = append(chain, t)
		if t.BaseType == "" {
			break
		}
		t = m.EntityType(t.BaseType)
	}
	return chain
}

// IsA reports whether t is the type with the qualified name base or derives
// from it.
func (m *Model) IsA(t *EntityType, base string) bool {
	want := m.EntityType(base)
	if want == nil {
		return false
	}
	for _, b := range m.Bases(t) {
		if b == want {
			return true
		}
	}
	return false
}

// Key returns the names of the key properties of t, inherited ones included.
func (m *Model) Key(t *EntityType) []PropertyRef {
	for _, b := range m.Bases(t) {
		if len(b.Key) > 0 {
			return b.Key
		}
	}
	return nil
}

// Property finds a structural property of t or its base types, or nil.
func (m *Model) Property(t *EntityType, name string) *Property {
	for _, b := range m.Bases(t) {
		for i := range b.Properties {
			if b.Properties[i].Name == name {
				return &b.Properties[i]
			}
		}
	}
	return nil
}

// Properties returns all structural properties of t, those of base types
// first.
func (m *Model) Properties(t *EntityType) []*Property {
	var out []*Property
	chain := m.Bases(t)
	for i := len(chain) - 1; i >= 0; i-- {
		for k := range chain[i].Properties {
			out = append(out, &chain[i].Properties[k])
		}
	}
	return out
}

// NavigationProperty finds a navigation property of t or its base types, or
// nil.
func (m *Model) NavigationProperty(t *EntityType, name string) *NavigationProperty {
	for _, b := range m.Bases(t) {
		for i := range b.Navigation {
			if b.Navigation[i].Name == name {
				return &b.Navigation[i]
			}
		}
	}
	return nil
}

// NavigationProperties returns all navigation properties of t, those of base
// types first.
func (m *Model) NavigationProperties(t *EntityType) []*NavigationProperty {
	var out []*NavigationProperty
	chain := m.Bases(t)
	for i := len(chain) - 1; i >= 0; i-- {
		for k := range chain[i].Navigation {
			out = append(out, &chain[i].Navigation[k])
		}
	}
	return out
}

// Binding returns the set that the navigation path of an entity set leads to,
// "" if the model does not say.
func (s *EntitySet) Binding(path string) string {
	for _, b := range s.Bindings {
		if b.Path == path {
			return b.Target
		}
	}
	return ""
}

// AlternateKeys returns the alternate keys that t's own annotations declare,
// each as the names of its properties.
func (t *EntityType) AlternateKeys() [][]string {
	var keys [][]string
	for i := range t.Annotations {
		if t.Annotations[i].Term != TermAlternateKeys {
			continue
		}
		each(t.Annotations[i].Children, "Collection", func(c *Element) {
			each(c.Children, "Record", func(r *Element) {
				if key := keyOfRecord(r); len(key) > 0 {
					keys = append(keys, key)
				}
			})
		})
	}
	return keys
}

func keyOfRecord(r *Element) []string {
	var key []string
	each(r.Children, "PropertyValue", func(p *Element) {
		if p.Attr("Property") != "Key" {
			return
		}
		each(p.Children, "Collection", func(c *Element) {
			each(c.Children, "Record", func(ref *Element) {
				each(ref.Children, "PropertyValue", func(v *Element) {
					if v.Attr("Property") == "Name" && v.Attr("PropertyPath") != "" {
						key = append(key, v.Attr("PropertyPath"))
					}
				})
			})
		})
	})
	return key
}

func each(list []Element, name string, f func(*Element)) {
	for i := range list {
		if list[i].Name == name {
			f(&list[i])
		}
	}
}

// AlternateKeysAnnotation makes the annotation that AlternateKeys reads.
func AlternateKeysAnnotation(keys [][]string) Annotation {
	all := Element{Name: "Collection"}
	for _, key := range keys {
		refs := Element{Name: "Collection"}
		for _, col := range key {
			refs.Children = append(refs.Children, Element{
				Name: "Record", Attrs: []Attr{{"Type", "OData.Community.Keys.V1.PropertyRef"}},
				Children: []Element{
					{Name: "PropertyValue", Attrs: []Attr{{"Property", "Alias"}, {"String", col}}},
					{Name: "PropertyValue", Attrs: []Attr{{"Property", "Name"}, {"PropertyPath", col}}},
				},
			})
		}
		all.Children = append(all.Children, Element{
			Name: "Record", Attrs: []Attr{{"Type", "OData.Community.Keys.V1.AlternateKey"}},
			Children: []Element{{Name: "PropertyValue", Attrs: []Attr{{"Property", "Key"}}, Children: []Element{refs}}},
		})
	}
	return Annotation{Term: TermAlternateKeys, Children: []Element{all}}
}
