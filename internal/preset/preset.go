// Package preset holds named lists of tables: what belongs to Sales, Customer
// Service, Field Service and Journeys. Select applies them to a schema and is
// pure: what rows of the lists refer to comes along, and what does not is said.
package preset

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"allod"
)

// Selection is what presets mean in one environment.
type Selection struct {
	Names   []string          // of the presets, as given
	Tables  map[string]bool   // to be read, by logical name
	Absent  []string          // tables the lists name and the environment has not, sorted
	LeftOut map[string]string // tables that are not read although rows refer to them → TABLE.COLUMN that does
}

// Names lists the presets.
func Names() []string {
	var out []string
	for _, l := range lists() {
		out = append(out, l.name)
	}
	return out
}

// Check refuses names that are no presets, with Invalid and the names there are.
func Check(names []string) error {
	for _, n := range names {
		if !slices.Contains(Names(), n) {
			return allod.WithHint(allod.Errorf(allod.Invalid, "there is no preset %q", n), "The presets are %s.", strings.Join(Names(), ", "))
		}
	}
	return nil
}

// widest is how many tables a lookup may refer to and still be followed. What a
// row is regarding, or whom a note is for, can be anything: that would take in
// every table there is.
const widest = 4

// Select returns what the presets mean in the schema. Beside their own tables
// it holds those of users, roles and sharing, the components of the
// application, and every table of data that their rows refer to by a lookup of
// at most four kinds of rows. Unknown names are Invalid.
func Select(schema *allod.Schema, names []string) (*Selection, error) {
	if err := Check(names); err != nil {
		return nil, err
	}
	s := &Selection{Names: names, Tables: map[string]bool{}, LeftOut: map[string]string{}}
	wanted := base
	for _, l := range lists() {
		if slices.Contains(names, l.name) {
			wanted += " " + l.tables
		}
	}
	absent := map[string]bool{}
	for want := range strings.FieldsSeq(wanted) {
		if !s.add(schema, want) && !strings.HasSuffix(want, "*") {
			absent[want] = true
		}
	}
	s.Absent = slices.Sorted(maps.Keys(absent))
	s.follow(schema)
	for want := range strings.FieldsSeq(components) {
		s.add(schema, want)
	}
	for i := range schema.Tables {
		if t := &schema.Tables[i]; t.Class == allod.ClassSecurity {
			s.Tables[t.Name] = true
		}
	}
	s.pairs(schema)
	maps.DeleteFunc(s.LeftOut, func(t, _ string) bool { return s.Tables[t] })
	return s, nil
}

// add takes in the tables a name or pattern means, and reports whether there
// are any.
func (s *Selection) add(schema *allod.Schema, want string) bool {
	head, open := strings.CutSuffix(want, "*")
	found := false
	for i := range schema.Tables {
		if name := schema.Tables[i].Name; name == want || open && strings.HasPrefix(name, head) {
			s.Tables[name], found = true, true
		}
	}
	return found
}

// follow takes in what is referred to, and what that refers to, to the end.
func (s *Selection) follow(schema *allod.Schema) {
	type lookup struct{ table, column string }
	targets := map[lookup][]string{}
	from := map[string][]lookup{}
	for i := range schema.Relationships {
		r := &schema.Relationships[i]
		at := lookup{r.Many, r.Column}
		if r.ManyToMany() || schema.Table(r.One) == nil || slices.Contains(targets[at], r.One) {
			continue
		}
		if targets[at] == nil {
			from[r.Many] = append(from[r.Many], at)
		}
		targets[at] = append(targets[at], r.One)
	}
	todo := slices.Sorted(maps.Keys(s.Tables))
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		for _, at := range from[name] {
			for _, target := range targets[at] {
				t := schema.Table(target)
				switch {
				case s.Tables[target] || t.Unreadable != "":
				case len(targets[at]) <= widest && t.Class == allod.ClassData:
					s.Tables[target] = true
					todo = append(todo, target)
				case t.Class == allod.ClassData || t.Class == allod.ClassLink:
					s.LeftOut[target] = cmp.Or(s.LeftOut[target], at.table+"."+at.column)
				}
			}
		}
	}
}

// pairs takes in the tables of pairs whose two ends are both read.
func (s *Selection) pairs(schema *allod.Schema) {
	for i := range schema.Relationships {
		r := &schema.Relationships[i]
		if r.ManyToMany() && s.Tables[r.Table1] && s.Tables[r.Table2] && schema.Table(r.Intersect) != nil {
			s.Tables[r.Intersect] = true
		}
	}
}

// Why says why a table is not read; "" for one that is.
func (s *Selection) Why(table string) string {
	if s == nil || s.Tables[table] {
		return ""
	}
	why := "not in the preset " + strings.Join(s.Names, ", ")
	if by := s.LeftOut[table]; by != "" {
		why += fmt.Sprintf("; rows that are read may refer to it (%s)", by)
	}
	return why
}
