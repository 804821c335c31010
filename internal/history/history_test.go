package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/source"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// view is a source.View in memory.
type view struct {
	name   string
	schema *allod.Schema
	rows   map[string][]allod.Row
	files  map[string]string // key/column
	gets   int
}

var _ source.View = (*view)(nil)

func (v *view) Name() string          { return v.name }
func (v *view) Schema() *allod.Schema { return v.schema }
func (v *view) Rows(_ context.Context, t string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		for _, r := range v.rows[t] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (v *view) Get(_ context.Context, t string, refs []allod.RecordRef) ([]allod.Row, error) {
	v.gets++
	var out []allod.Row
	for _, r := range v.rows[t] {
		if slices.Contains(refs, r.Ref()) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (v *view) OpenFile(_ context.Context, r *allod.Row, column string) (io.ReadCloser, error) {
	s, ok := v.files[r.Key.String()+"/"+column]
	if !ok {
		return nil, allod.Errorf(allod.NotFound, "no file")
	}
	return io.NopCloser(strings.NewReader(s)), nil
}

func id(n int) (g allod.GUID) { g[0], g[15] = byte(n>>8), byte(n); return g }

func col(name string, t allod.Type) allod.Column {
	return allod.Column{Name: name, Type: t, Create: true, Update: true}
}

func sampleSchema() *allod.Schema {
	computed := allod.Column{Name: "computed", Type: allod.String, Unwritable: allod.NotWritableComputed}
	platform := allod.Column{Name: "modifiedon", Type: allod.DateTime, Unwritable: allod.NotWritablePlatform}
	meta := allod.Column{Name: "legacy", Type: allod.String, Unwritable: allod.NotWritableMetadata}
	derived := col("labelname", allod.String)
	derived.Derived = "label"
	return &allod.Schema{Tables: []allod.Table{
		{Name: "account", Class: allod.ClassData, Key: "accountid", Columns: []allod.Column{
			col("accountid", allod.ID), col("name", allod.String), col("amount", allod.Decimal),
			col("when", allod.DateTime), col("owner", allod.Lookup), col("overriddencreatedon", allod.DateTime), col("file", allod.File), computed, platform, meta, derived,
		}},
		{Name: "activityparty", Class: allod.ClassLink, Key: "activitypartyid", Columns: []allod.Column{
			col("activitypartyid", allod.ID), col("activityid", allod.Lookup),
			col("partyid", allod.Lookup), col("participationtypemask", allod.Integer), col("addressused", allod.String),
		}},
		{Name: "pairs", Class: allod.ClassLink, Intersect: true, Key: "pairsid", Columns: []allod.Column{{Name: "pairsid", Type: allod.ID}, {Name: "one", Type: allod.ID}, {Name: "two", Type: allod.ID}}},
		{Name: "virtual", Class: allod.ClassPlatform, Unreadable: "virtual"},
	}}
}

func newView(name string) *view {
	return &view{name: name, schema: sampleSchema(), rows: map[string][]allod.Row{}, files: map[string]string{}}
}

// account adds a row; cells not named are null.
func (v *view) account(n int, c map[string]allod.Value) {
	v.add("account", allod.Row{Key: id(n)}, c)
}

func (v *view) add(table string, r allod.Row, c map[string]allod.Value) {
	t := v.schema.Table(table)
	r.Table = table
	for i := range t.Columns {
		val, ok := c[t.Columns[i].Name]
		if !ok {
			val = allod.NullValue()
		}
		r.Cells = append(r.Cells, val)
	}
	v.rows[table] = append(v.rows[table], r)
}

type cells = map[string]allod.Value

func str(s string) allod.Value { return allod.StringValue(s) }

func compare(t *testing.T, a, b *view, o Options) *Diff {
	t.Helper()
	d, err := Compare(t.Context(), a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCells(t *testing.T) {
	for _, tc := range []struct {
		name    string
		column  string
		a, b    allod.Value
		changed bool
		absent  int64
	}{
		{"equal", "name", str("x"), str("x"), false, 0},
		{"differ", "name", str("x"), str("y"), true, 0},
		{"null is not empty", "name", allod.NullValue(), str(""), true, 0},
		{"absent left", "name", allod.Value{}, str("x"), false, 1},
		{"absent right", "name", str("x"), allod.Value{}, false, 1},
		{"absent is not null", "name", allod.Value{}, allod.NullValue(), false, 1},
		{"both absent", "name", allod.Value{}, allod.Value{}, false, 1},
		{"trailing zeros", "amount", allod.TextValue(allod.Decimal, "1.5"), allod.TextValue(allod.Decimal, "1.5000"), false, 0},
		{"amount", "amount", allod.TextValue(allod.Decimal, "1.5"), allod.TextValue(allod.Decimal, "1.5001"), true, 0},
		{"absurd amount", "amount", allod.TextValue(allod.Decimal, "1e999999999"), allod.TextValue(allod.Decimal, "1e999999998"), true, 0},
		{"instant", "when", allod.TextValue(allod.DateTime, "2026-01-01T00:00:00Z"), allod.TextValue(allod.DateTime, "2026-01-01T00:00:00.000Z"), false, 0},
		{"lookup of unnamed table", "owner", allod.LookupValue("", id(9)), allod.LookupValue("team", id(9)), false, 0},
		{"lookup of other table", "owner", allod.LookupValue("systemuser", id(9)), allod.LookupValue("team", id(9)), true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newView("a"), newView("b")
			a.account(1, cells{tc.column: tc.a})
			b.account(1, cells{tc.column: tc.b})
			d := compare(t, a, b, Options{Rows: true, Columns: true})
			if got := d.Changed == 1; got != tc.changed || d.Added+d.Removed != 0 {
				t.Errorf("changed: got %v, want %v (%+v)", got, tc.changed, d)
			}
			if got := d.CellsNotCompared[ReasonAbsent]; got != tc.absent {
				t.Errorf("absent: got %d, want %d", got, tc.absent)
			}
			if tc.changed {
				if got := d.Tables[0].Rows[0].Columns; !slices.Equal(got, []string{tc.column}) {
					t.Errorf("columns: got %v", got)
				}
			}
			total := d.CellsCompared
			for _, n := range d.CellsNotCompared {
				total += n
			}
			if want := int64(len(a.schema.Tables[0].Columns)); total != want {
				t.Errorf("cells accounted for: got %d, want %d", total, want)
			}
		})
	}
}

func TestWritableCountsReasons(t *testing.T) {
	a, b := newView("a"), newView("b")
	a.account(1, cells{"computed": str("x"), "modifiedon": str("x"), "legacy": str("x"), "overriddencreatedon": str("x"), "labelname": str("x")})
	b.account(1, nil)
	d := compare(t, a, b, Options{ColumnOptions: ColumnOptions{Writable: true}})
	want := map[Reason]int64{ReasonComputed: 1, ReasonPlatform: 2, ReasonMetadata: 1, ReasonDerived: 1}
	if diff := cmp.Diff(want, d.CellsNotCompared); diff != "" || !d.Same() {
		t.Errorf("not compared (-want +got):\n%s same %v", diff, d.Same())
	}
	if d := compare(t, a, b, Options{}); d.Same() {
		t.Error("unwritable columns count without Writable")
	}
	if len(d.Classes) != 2 || d.Classes[0].CellsCompared != d.CellsCompared || cmp.Diff(d.Classes[0].CellsNotCompared, d.CellsNotCompared) != "" {
		t.Errorf("classes: got %+v, want those of the whole for class data", d.Classes)
	}
	d = compare(t, a, b, Options{ColumnOptions: ColumnOptions{Include: []string{"name", "account.legacy"}, Exclude: []string{"legacy"}}})
	if !d.Same() || d.CellsCompared != 1 || d.CellsNotCompared[ReasonExcluded] != 9 {
		t.Errorf("%+v", d)
	}
}

// What a source never shows has no cells; what is not stored because it follows
// from others is left out for the reason it cannot be written.
func TestColumnsWithoutCells(t *testing.T) {
	a, b := newView("a"), newView("b")
	for _, v := range []*view{a, b} {
		x := v.schema.Table("account")
		label := x.Columns[len(x.Columns)-1]
		label.Name, label.Unreadable = "unseenname", "not part of the Web API"
		version := label
		version.Name, version.Unreadable, version.Create, version.Update, version.Unwritable = "version", "", false, false, allod.NotWritablePlatform
		x.Columns = append(x.Columns, label, version)
		v.account(1, nil)
	}
	with := func(o Options) map[Reason]int64 { return compare(t, a, b, o).CellsNotCompared }
	if d := cmp.Diff(map[Reason]int64{ReasonDerived: 2}, with(Options{})); d != "" {
		t.Errorf("all columns (-want +got):\n%s", d)
	}
	want := map[Reason]int64{ReasonComputed: 1, ReasonPlatform: 3, ReasonMetadata: 1, ReasonDerived: 1}
	if d := cmp.Diff(want, with(Options{ColumnOptions: ColumnOptions{Writable: true}})); d != "" {
		t.Errorf("writable columns (-want +got):\n%s", d)
	}
}

func TestSchemasDiffer(t *testing.T) {
	a, b := newView("a"), newView("b")
	b.schema.Tables = slices.Insert(b.schema.Tables, 0, allod.Table{Name: "aaa", Class: allod.ClassData, Key: "aaaid", Columns: []allod.Column{col("aaaid", allod.ID)}})
	acc := b.schema.Table("account")
	slices.Reverse(acc.Columns) // the order says nothing
	acc.Columns = append(acc.Columns, col("new_column", allod.String))
	a.account(1, cells{"name": str("x"), "amount": allod.TextValue(allod.Decimal, "1")})
	b.account(1, cells{"name": str("x"), "amount": allod.TextValue(allod.Decimal, "1"), "new_column": str("y")})
	b.add("aaa", allod.Row{Key: id(7)}, nil)
	d := compare(t, a, b, Options{})
	if d.Changed != 0 || d.Added != 1 || d.Tables[0].OnlyIn != "b" || d.CellsNotCompared[ReasonOneSide] != 1 {
		t.Errorf("%+v", d)
	}
	if len(d.Skipped) != 1 || d.Skipped[0].Table != "virtual" {
		t.Errorf("skipped %+v", d.Skipped)
	}
	if _, err := Compare(t.Context(), a, b, Options{Tables: []string{"nix"}}); allod.KindOf(err) != allod.NotFound {
		t.Errorf("unknown table: %v", err)
	}
}

func TestPairsAndPartiesHaveNoIDs(t *testing.T) {
	a, b := newView("a"), newView("b")
	for i, v := range []*view{a, b} {
		v.add("pairs", allod.Row{Key: id(100 + i), Pair: [2]allod.GUID{id(1), id(2)}}, nil)
		for n := range 3 { // two of the three say the same thing
			v.add("activityparty", allod.Row{Key: id(200 + 10*i + n)}, cells{"activityid": allod.LookupValue("email", id(1)), "participationtypemask": allod.IntegerValue(int64(n / 2)), "partyid": allod.LookupValue("contact", id(3))})
		}
	}
	if d := compare(t, a, b, Options{}); !d.Same() || d.Equal != 4 {
		t.Errorf("%+v", d)
	}
	b.rows["activityparty"] = b.rows["activityparty"][1:]
	b.rows["pairs"] = nil
	d := compare(t, a, b, Options{Rows: true})
	if d.Removed != 2 || d.Added != 0 {
		t.Errorf("%+v", d)
	}
	want := allod.RecordRef{Table: "pairs", Pair: [2]allod.GUID{id(1), id(2)}}
	if got := d.Tables[slices.IndexFunc(d.Tables, func(t TableDiff) bool { return t.Table == "pairs" })].Rows[0].Record; got != want {
		t.Errorf("pair: got %v", got)
	}
}

func TestFiles(t *testing.T) {
	hash := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of hello
	ref := func(f allod.FileRef) allod.Value { return allod.FileValue(f) }
	for _, tc := range []struct {
		name     string
		a, b     allod.FileRef
		ca, cb   string // stored bytes, "-" = none
		changed  bool
		unread   int64
		skipRead bool
	}{
		{"digests", allod.FileRef{SHA256: hash}, allod.FileRef{SHA256: hash}, "-", "-", false, 0, false},
		{"digest against bytes", allod.FileRef{SHA256: hash}, allod.FileRef{Size: 5}, "-", "hello", false, 0, false},
		{"digest against other bytes", allod.FileRef{SHA256: hash}, allod.FileRef{Size: 5}, "-", "jello", true, 0, false},
		{"sizes", allod.FileRef{Size: 4}, allod.FileRef{Size: 5}, "-", "-", true, 0, false},
		{"names", allod.FileRef{Name: "x"}, allod.FileRef{Name: "y"}, "-", "-", true, 0, false},
		{"bytes", allod.FileRef{}, allod.FileRef{}, "hello", "hello", false, 0, false},
		{"unread", allod.FileRef{}, allod.FileRef{}, "hello", "-", false, 1, false},
		{"not to be read", allod.FileRef{}, allod.FileRef{}, "hello", "jello", false, 1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newView("a"), newView("b")
			a.account(1, cells{"file": ref(tc.a)})
			b.account(1, cells{"file": ref(tc.b)})
			for v, c := range map[*view]string{a: tc.ca, b: tc.cb} {
				if c != "-" {
					v.files[id(1).String()+"/file"] = c
				}
			}
			d := compare(t, a, b, Options{SkipFiles: tc.skipRead})
			if (d.Changed == 1) != tc.changed || d.CellsNotCompared[ReasonFile] != tc.unread {
				t.Errorf("changed %d, unread %d", d.Changed, d.CellsNotCompared[ReasonFile])
			}
			if got := d.CellsCompared + d.CellsNotCompared[ReasonDerived] + d.CellsNotCompared[ReasonFile]; got != 11 {
				t.Errorf("cells accounted for: got %d, want 11", got)
			}
		})
	}
	t.Run("no file on one side", func(t *testing.T) {
		a, b := newView("a"), newView("b")
		a.account(1, cells{"file": ref(allod.FileRef{SHA256: hash})})
		b.account(1, nil)
		if d := compare(t, a, b, Options{}); d.Changed != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// Columns that a whole side lacks do not make every row be read twice.
func TestAbsentColumnCostsNoSecondRead(t *testing.T) {
	a, b := newView("a"), newView("b")
	for i := range 1000 {
		a.account(i, cells{"name": {}})
		b.account(i, cells{"name": str("x")})
	}
	if d := compare(t, a, b, Options{}); !d.Same() || a.gets != 0 || d.CellsNotCompared[ReasonAbsent] != 1000 {
		t.Errorf("same %v, %d reads", d.Same(), a.gets)
	}
}

func TestValues(t *testing.T) {
	a, b := newView("a"), newView("b")
	a.account(1, cells{"name": str("old")})
	b.account(1, cells{"name": str("new")})
	got, err := Values(t.Context(), a, b, allod.RecordRef{Table: "account", Key: id(1)}, ColumnOptions{})
	if err != nil || len(got) != 1 || got[0] != (CellDiff{Column: "name", A: str("old"), B: str("new")}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Values(t.Context(), a, b, allod.RecordRef{Table: "account", Key: id(2)}, ColumnOptions{}); allod.KindOf(err) != allod.NotFound {
		t.Errorf("missing row: %v", err)
	}
}

// No value of any cell appears in what Compare returns.
func TestDiffHoldsNoContent(t *testing.T) {
	a, b := newView("a"), newView("b")
	a.account(1, cells{"name": str("SECRET")})
	b.account(1, cells{"name": str("SECRET2"), "owner": allod.LookupValue("SECRET", id(1))})
	js, err := json.Marshal(compare(t, a, b, Options{Rows: true, Columns: true}))
	if err != nil || bytes.Contains(js, []byte("SECRET")) {
		t.Errorf("%s %v", js, err)
	}
	for _, f := range []string{`"added":`, `"removed":`, `"changed":1`, `"tables":[{"table":"account"`} {
		if !bytes.Contains(js, []byte(f)) {
			t.Errorf("no %s in %s", f, js)
		}
	}
}

// Compare agrees with the plain definition: sets of keys, and cells one by one.
func TestCompareAgreesWithDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]allod.Value{{}, allod.NullValue(), str(""), str("a"), str("b")})
		side := func(name string) (*view, map[int]allod.Value) {
			v, m := newView(name), map[int]allod.Value{}
			for _, n := range rapid.SliceOfDistinct(rapid.IntRange(0, 20), rapid.ID[int]).Draw(t, name) {
				m[n] = value.Draw(t, "value")
				v.account(n, cells{"name": m[n]})
			}
			return v, m
		}
		a, ma := side("a")
		b, mb := side("b")
		var want Diff
		for n, v := range ma {
			w, ok := mb[n]
			switch {
			case !ok:
				want.Removed++
			case v == w || v.IsAbsent() || w.IsAbsent():
				want.Equal++
			default:
				want.Changed++
			}
		}
		for n := range mb {
			if _, ok := ma[n]; !ok {
				want.Added++
			}
		}
		d, err := Compare(context.Background(), a, b, Options{Rows: true})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(d.Added, d.Removed, d.Changed, d.Equal)
		if w := fmt.Sprint(want.Added, want.Removed, want.Changed, want.Equal); got != w {
			t.Fatalf("added, removed, changed, equal: got %s, want %s", got, w)
		}
		if n := int64(len(d.Tables[0].Rows)); n != want.Added+want.Removed+want.Changed {
			t.Fatalf("rows listed: %d", n)
		}
	})
}

func BenchmarkCompare(b *testing.B) {
	x, y := newView("a"), newView("b")
	for i := range 20_000 {
		c := cells{"name": str("name"), "amount": allod.TextValue(allod.Decimal, "1.0000")}
		x.account(i, c)
		y.account(i, maps.Clone(c))
	}
	for b.Loop() {
		if _, err := Compare(b.Context(), x, y, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
