package plan

import (
	"slices"
	"strings"
	"testing"

	"allod"

	"pgregory.net/rapid"
)

// schemaOf builds tables from lines "table: column>target column!>target":
// ! makes a lookup required.
func schemaOf(lines ...string) *allod.Schema {
	s := &allod.Schema{}
	for _, l := range lines {
		name, rest, _ := strings.Cut(l, ":")
		t := allod.Table{Name: name, Class: allod.ClassData}
		for _, f := range strings.Fields(rest) {
			column, to, _ := strings.Cut(f, ">")
			column, required := strings.CutSuffix(column, "!")
			t.Columns = append(t.Columns, allod.Column{Name: column, Type: allod.Lookup, Create: true, Required: required, Bind: map[string]string{to: column}})
		}
		s.Tables = append(s.Tables, t)
	}
	slices.SortFunc(s.Tables, func(x, y allod.Table) int { return strings.Compare(x.Name, y.Name) })
	return s
}

func TestTableOrder(t *testing.T) {
	for _, tc := range []struct {
		name   string
		schema []string
		want   string
	}{
		{"targets first", []string{"a: b>b", "b: c>c", "c:"}, "c b a"},
		{"itself", []string{"a: parent>a"}, "a"},
		{"by name where nothing else says", []string{"b:", "a:"}, "a b"},
		{"cycle: the required lookup decides", []string{"account: contact>contact", "contact: account!>account"}, "account contact"},
		{"cycle: the other way round", []string{"account: contact!>contact", "contact: account>account"}, "contact account"},
		{"cycle of three", []string{"a: b!>b", "b: c!>c", "c: a>a"}, "c b a"},
		{"target outside", []string{"a: b>elsewhere", "b: a>a"}, "a b"},
		{"one required outweighs many optional", []string{"a: x>b y>b z>b", "b: a!>a"}, "a b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := schemaOf(tc.schema...)
			var names []string
			for i := range s.Tables {
				names = append(names, s.Tables[i].Name)
			}
			if got := strings.Join(TableOrder(s, names), " "); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// The order has every table once, and without cycles nothing refers forward.
func TestAnyTableOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e", "f"}
		rank := rapid.Permutation(names).Draw(t, "rank")
		acyclic := rapid.Bool().Draw(t, "acyclic")
		var lines []string
		for i, n := range rank {
			l := n + ":"
			for j, to := range rank {
				if (!acyclic || j < i) && rapid.Bool().Draw(t, "refers") {
					l += " to" + to + ">" + to
				}
			}
			lines = append(lines, l)
		}
		s := schemaOf(lines...)
		got := TableOrder(s, names)
		if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, names) {
			t.Fatalf("got %v", got)
		}
		for i, n := range got {
			for _, c := range s.Table(n).Columns {
				if to := strings.TrimPrefix(c.Name, "to"); acyclic && slices.Index(got, to) > i {
					t.Fatalf("%v: %s refers to %s, which comes later", got, n, to)
				}
			}
		}
	})
}
