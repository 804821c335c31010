package wire

import (
	"maps"
	"slices"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/formula"
)

// NavKind tells navigation properties apart.
type NavKind uint8

// The kinds of navigation properties.
const (
	NavLookup     NavKind = iota + 1 // many to one: sets Column
	NavCollection                    // one to many: rows of Target whose Column refers here
	NavPairs                         // many to many through Intersect
)

// Nav is a navigation property of a table.
type Nav struct {
	Name         string
	Kind         NavKind
	Target       string // table at the other end; "owner" or "principal" for owners
	Column       string // lookup column: of this table (NavLookup) or of Target (NavCollection)
	Intersect    string // NavPairs
	Near, Far    string // NavPairs: columns of Intersect holding this row's and the other row's id
	Relationship *entity.Relationship
}

// Schema is a model with the indexes that serving needs. It is read-only.
type Schema struct {
	Model    *entity.Model
	navs     map[string]map[string]*Nav
	children map[string][]*entity.Relationship
	lookups  map[string]map[string]string // table, column+"\x00"+target: nav name

	env      formula.Env
	formulas map[*entity.Column]*formula.Formula // of calculated columns
}

// NewSchema indexes the model. What formulas depend on beside rows is env.
func NewSchema(m *entity.Model, env formula.Env) *Schema {
	s := &Schema{
		Model: m, navs: map[string]map[string]*Nav{}, children: map[string][]*entity.Relationship{}, lookups: map[string]map[string]string{},
		env: env, formulas: formulas(m),
	}
	for _, r := range m.Relationships {
		if r.Intersect != "" {
			s.add(r.Entity1, &Nav{Name: r.Nav1, Kind: NavPairs, Target: r.Entity2, Intersect: r.Intersect, Near: r.Attribute1, Far: r.Attribute2, Relationship: r})
			if r.Nav2 != r.Nav1 || r.Entity1 != r.Entity2 {
				s.add(r.Entity2, &Nav{Name: r.Nav2, Kind: NavPairs, Target: r.Entity1, Intersect: r.Intersect, Near: r.Attribute2, Far: r.Attribute1, Relationship: r})
			}
			continue
		}
		s.add(r.Referencing, &Nav{Name: r.ReferencingNav, Kind: NavLookup, Target: r.Referenced, Column: r.ReferencingAttr, Relationship: r})
		s.add(r.Referenced, &Nav{Name: r.ReferencedNav, Kind: NavCollection, Target: r.Referencing, Column: r.ReferencingAttr, Relationship: r})
		s.children[r.Referenced] = append(s.children[r.Referenced], r)
		if r.ReferencingNav != "" {
			l := s.lookups[r.Referencing]
			if l == nil {
				l = map[string]string{}
				s.lookups[r.Referencing] = l
			}
			l[r.ReferencingAttr+"\x00"+r.Referenced] = r.ReferencingNav
		}
	}
	return s
}

func (s *Schema) add(table string, n *Nav) {
	if n.Name == "" {
		return
	}
	m := s.navs[table]
	if m == nil {
		m = map[string]*Nav{}
		s.navs[table] = m
	}
	if _, taken := m[n.Name]; !taken {
		m[n.Name] = n
	}
}

// Nav returns the navigation property (case-sensitive) of the table or of the
// types it derives from, or nil.
func (s *Schema) Nav(table, name string) *Nav {
	for range 4 {
		if n := s.navs[table][name]; n != nil {
			return n
		}
		t := s.Model.Table(table)
		if t == nil || t.BaseType == "" {
			return nil
		}
		table = t.BaseType
	}
	return nil
}

// Navs returns the names of the navigation properties of the table and of the types
// it derives from, sorted.
func (s *Schema) Navs(table string) []string {
	var out []string
	for range 4 {
		out = slices.AppendSeq(out, maps.Keys(s.navs[table]))
		t := s.Model.Table(table)
		if t == nil || t.BaseType == "" {
			break
		}
		table = t.BaseType
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// NavOf returns the name that binds the lookup column of the table to the
// target table, "" when there is none (§2.3: associatednavigationproperty).
func (s *Schema) NavOf(table, column, target string) string {
	for range 4 {
		l := s.lookups[table]
		for _, to := range [...]string{target, "owner", "principal"} {
			if to != target && target != "systemuser" && target != "team" {
				break
			}
			if n := l[column+"\x00"+to]; n != "" {
				return n
			}
		}
		t := s.Model.Table(table)
		if t == nil || t.BaseType == "" {
			return ""
		}
		table = t.BaseType
	}
	return ""
}

// Children returns the relationships in which the table, or a type it derives
// from, is the one side.
func (s *Schema) Children(table string) []*entity.Relationship {
	var out []*entity.Relationship
	for range 4 {
		out = append(out, s.children[table]...)
		if table == "systemuser" || table == "team" {
			out = append(out, s.children["owner"]...)
			out = append(out, s.children["principal"]...)
		}
		t := s.Model.Table(table)
		if t == nil || t.BaseType == "" {
			break
		}
		table = t.BaseType
	}
	return out
}

// Derived returns the tables whose BaseType is the table.
func (s *Schema) Derived(table string) []*entity.Table {
	var out []*entity.Table
	for _, t := range s.Model.Tables {
		if t.BaseType == table {
			out = append(out, t)
		}
	}
	return out
}

// Fits reports whether a lookup that navigates to target may hold rows of the
// table.
func (s *Schema) Fits(target, table string) bool {
	if target == table {
		return true
	}
	if (target == "owner" || target == "principal") && (table == "systemuser" || table == "team") {
		return true
	}
	t := s.Model.Table(table)
	return t != nil && t.BaseType != "" && t.BaseType == target
}

// IsLookup reports whether the column holds references.
func IsLookup(c *entity.Column) bool {
	switch c.Kind {
	case "Lookup", "Customer", "Owner":
		return true
	}
	return false
}

// Selectable reports whether the column is a property of rows.
func Selectable(c *entity.Column) bool {
	return c.EdmType != "" && c.ValidOData
}
