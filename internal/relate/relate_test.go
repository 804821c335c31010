package relate

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/source"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// view is a source.View in memory; reads counts full reads of tables.
type view struct {
	schema *allod.Schema
	rows   map[string][]allod.Row
	reads  map[string]int
}

var _ source.View = (*view)(nil)

func (v *view) Name() string          { return "test@1" }
func (v *view) Schema() *allod.Schema { return v.schema }
func (v *view) Rows(_ context.Context, t string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		v.reads[t]++
		for _, r := range v.rows[t] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (v *view) Get(_ context.Context, t string, refs []allod.RecordRef) ([]allod.Row, error) {
	var out []allod.Row
	for _, r := range v.rows[t] {
		if slices.Contains(refs, r.Ref()) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (v *view) OpenFile(context.Context, *allod.Row, string) (io.ReadCloser, error) {
	return nil, allod.Errorf(allod.NotFound, "no file")
}

func id(n int) (g allod.GUID) { g[14], g[15] = byte(n>>8), byte(n); return g }

func newView() *view {
	look := func(names ...string) []allod.Column {
		out := []allod.Column{{Name: "id", Type: allod.ID}}
		for _, n := range names {
			out = append(out, allod.Column{Name: n, Type: allod.Lookup})
		}
		return out
	}
	t := func(name string, class allod.Class, cols []allod.Column) allod.Table {
		return allod.Table{Name: name, Class: class, Key: "id", Columns: cols}
	}
	task := t("task", allod.ClassData, look("regardingobjectid", "ownerid"))
	task.Activity = true
	pairs := allod.Table{Name: "pairs", Class: allod.ClassLink, Intersect: true, Key: "id", Columns: []allod.Column{{Name: "id", Type: allod.ID}, {Name: "accountid", Type: allod.ID}, {Name: "contactid", Type: allod.ID}}}
	pointer := t("activitypointer", allod.ClassData, look("regardingobjectid"))
	pointer.Unreadable = "derived"
	s := &allod.Schema{Tables: []allod.Table{
		t("account", allod.ClassData, look("parentaccountid", "ownerid")), pointer, t("activityparty", allod.ClassLink, look("activityid", "partyid")),
		t("annotation", allod.ClassData, look("objectid")), t("connection", allod.ClassData, look("record1id", "record2id")), t("contact", allod.ClassData, look("parentcustomerid")),
		pairs, t("systemuser", allod.ClassSecurity, look("managerid")), task,
	}, Relationships: []allod.Relationship{
		{Name: "account_contacts", One: "account", Many: "contact", Column: "parentcustomerid"},
		{Name: "account_pairs", Intersect: "pairs", Table1: "account", Table2: "contact", Column1: "accountid", Column2: "contactid"},
	}}
	return &view{schema: s, rows: map[string][]allod.Row{}, reads: map[string]int{}}
}

// add adds a row whose lookups, in order of the columns, are given as
// "table n" with n below 100, or "".
func (v *view) add(table string, n int, refs ...allod.Value) {
	v.rows[table] = append(v.rows[table], allod.Row{Table: table, Key: id(n), Cells: append([]allod.Value{allod.IDValue(id(n))}, refs...)})
}

func ref(table string, n int) allod.Value { return allod.LookupValue(table, id(n)) }

func sample() *view {
	v := newView()
	null := allod.NullValue()
	v.add("systemuser", 90)
	v.add("account", 1, null, ref("systemuser", 90))
	v.add("account", 2, ref("account", 1), ref("systemuser", 90))
	v.add("account", 3, ref("account", 2))
	v.add("contact", 10, ref("account", 1))
	v.add("contact", 11, ref("contact", 10))
	v.add("annotation", 20, ref("account", 1))
	v.add("task", 30, ref("account", 1), ref("systemuser", 90))
	v.add("activityparty", 40, ref("activitypointer", 30), ref("contact", 10))
	v.add("connection", 50, ref("account", 1), ref("contact", 10))
	v.rows["pairs"] = []allod.Row{{Table: "pairs", Key: id(60), Pair: [2]allod.GUID{id(1), id(10)}}}
	return v
}

// names renders members as "depth kind table n < parent via".
func names(g *Graph) []string {
	out := []string{}
	for _, m := range g.Members {
		n := int(m.Record.Key[15])
		if m.Record.IsPair() {
			n = int(m.Record.Pair[0][15])*100 + int(m.Record.Pair[1][15])
		}
		s := string(rune('0'+m.Depth)) + " " + m.Record.Table + " " + itoa(n)
		if m.Parent >= 0 {
			s += " < " + itoa(int(g.Members[m.Parent].Record.Key[15])) + " " + string(m.Kind) + " " + m.Via
		}
		out = append(out, s)
	}
	return out
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestClosure(t *testing.T) {
	one := []allod.RecordRef{{Table: "account", Key: id(1)}}
	for _, tc := range []struct {
		name   string
		roots  []allod.RecordRef
		follow string
		want   []string
	}{
		{"nothing", one, "", []string{"0 account 1"}},
		{"children", one, "children:1", []string{
			"0 account 1", "1 account 2 < 1 children account.parentaccountid", "1 annotation 20 < 1 children annotation.objectid",
			"1 connection 50 < 1 children connection.record1id", "1 contact 10 < 1 children account_contacts", "1 task 30 < 1 children task.regardingobjectid",
		}},
		{"notes", one, "notes", []string{"0 account 1", "1 annotation 20 < 1 notes annotation.objectid"}},
		{"activities and their parties", one, "activities:1 parties:2", []string{"0 account 1", "1 task 30 < 1 activities task.regardingobjectid", "2 activityparty 40 < 30 parties activityparty.activityid"}},
		{"pairs", one, "pairs", []string{"0 account 1", "1 pairs 110 < 1 pairs account_pairs"}},
		{"connections", one, "connections:2", []string{"0 account 1", "1 connection 50 < 1 connections connection.record1id"}},
		{"parents, not people", []allod.RecordRef{{Table: "account", Key: id(3)}}, "parents:2", []string{"0 account 3", "1 account 2 < 3 parents account.parentaccountid", "2 account 1 < 2 parents account.parentaccountid"}},
		{"both ways", []allod.RecordRef{{Table: "account", Key: id(2)}}, "parents:1 notes:2", []string{"0 account 2", "1 account 1 < 2 parents account.parentaccountid", "2 annotation 20 < 1 notes annotation.objectid"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var spec Spec
			for f := range strings.FieldsSeq(tc.follow) {
				p, err := Parse(f)
				if err != nil {
					t.Fatal(err)
				}
				spec.Follow = append(spec.Follow, p)
			}
			g, err := Closure(t.Context(), sample(), tc.roots, spec)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, names(g)); d != "" {
				t.Errorf("members (-want +got):\n%s", d)
			}
		})
	}
}

func TestClosureBounds(t *testing.T) {
	v := sample()
	g, err := Closure(t.Context(), v, []allod.RecordRef{{Table: "account", Key: id(1)}, {Table: "account", Key: id(99)}}, Spec{Follow: []Follow{{All, 3}}, Limit: 4})
	if err != nil || !g.Cut || len(g.Members) != 4 || g.Limit != 4 {
		t.Errorf("cut %v, %d members, %v", g.Cut, len(g.Members), err)
	}
	if len(g.Missing) != 1 || g.Missing[0].Key != id(99) {
		t.Errorf("missing: %v", g.Missing)
	}
	for table, n := range v.reads {
		if n > 1 {
			t.Errorf("table %s was read %d times", table, n)
		}
	}
	if _, err := Closure(t.Context(), v, []allod.RecordRef{{Table: "nix"}}, Spec{}); allod.KindOf(err) != allod.NotFound {
		t.Errorf("unknown table: %v", err)
	}
}

// Cycles end, each record comes once, and each member but a root was reached
// from one that is a step nearer.
func TestClosureOfAnyGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := newView()
		n := rapid.IntRange(1, 12).Draw(t, "accounts")
		parent := map[int]int{}
		for i := range n {
			cell := allod.NullValue()
			if rapid.Bool().Draw(t, "has") {
				parent[i] = rapid.IntRange(0, n-1).Draw(t, "parent")
				cell = ref("account", parent[i])
			}
			v.add("account", i, cell)
		}
		depth := rapid.IntRange(1, 9).Draw(t, "depth")
		g, err := Closure(context.Background(), v, []allod.RecordRef{{Table: "account", Key: id(0)}}, Spec{Follow: []Follow{{Children, depth}}})
		if err != nil {
			t.Fatal(err)
		}
		want := map[int]int{0: 0} // by the definition: repeatedly those whose parent is in
		for d := 1; d <= depth; d++ {
			for i, p := range parent {
				if at, ok := want[p]; ok && at == d-1 {
					if _, in := want[i]; !in {
						want[i] = d
					}
				}
			}
		}
		got := map[int]int{}
		for _, m := range g.Members {
			got[int(m.Record.Key[15])] = m.Depth
			if m.Depth > 0 && g.Members[m.Parent].Depth != m.Depth-1 {
				t.Fatalf("%v at depth %d comes from depth %d", m.Record, m.Depth, g.Members[m.Parent].Depth)
			}
		}
		if d := cmp.Diff(want, got); d != "" || len(got) != len(g.Members) {
			t.Fatalf("members (-want +got):\n%s", d)
		}
	})
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Follow{"children:2": {Children, 2}, "all": {All, 1}, "notes:9": {Notes, 9}} {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "children:", "children:0", "children:10", "cousins:1", "children:x", ":1"} {
		if _, err := Parse(s); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"children:2", "all:1", "x", "notes:-1", "parents:9999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := Parse(s); err == nil && (got.Depth < 1 || got.Depth > 9 || !slices.Contains(kinds[:], got.Kind)) {
			t.Errorf("%q: got %v", s, got)
		}
	})
}
