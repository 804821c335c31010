package labels

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
)

// past is a moment that holds some accounts, and counts what it is asked.
type past struct {
	schema *allod.Schema
	names  map[allod.GUID]string
	err    error
	asked  []int // records of each question
}

func (p *past) Name() string          { return "prod@1" }
func (p *past) Schema() *allod.Schema { return p.schema }

func (p *past) Rows(context.Context, string) iter.Seq2[allod.Row, error] {
	return func(func(allod.Row, error) bool) {}
}

func (p *past) OpenFile(context.Context, *allod.Row, string) (io.ReadCloser, error) {
	return nil, allod.Errorf(allod.NotFound, "there are no files")
}

func (p *past) Get(_ context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	p.asked = append(p.asked, len(refs))
	var out []allod.Row
	if table != "account" {
		return nil, p.err
	}
	for _, r := range refs {
		if name, there := p.names[r.Key]; there {
			out = append(out, allod.Row{Table: table, Key: r.Key, Cells: []allod.Value{allod.StringValue(name)}})
		}
	}
	return out, p.err
}

func id(n byte) allod.GUID { return allod.GUID{15: n} }

func contacts() *allod.Table {
	return &allod.Table{Name: "contact", Title: "fullname", Columns: []allod.Column{
		{Name: "parentcustomerid", Type: allod.Lookup, Bind: map[string]string{"account": "parentcustomerid_account"}},
		{Name: "statecode", Type: allod.Integer, Options: []allod.Option{{Value: 0, Label: "Active"}, {Value: 1, Label: "Inactive"}}},
		{Name: "donotphone", Type: allod.Boolean, Options: []allod.Option{{Value: 0, Label: "Allow"}, {Value: 1, Label: "Do Not Allow"}}},
		{Name: "hobbies", Type: allod.Choices, Options: []allod.Option{{Value: 1, Label: "Chess"}, {Value: 2, Label: "Go"}}},
		{Name: "age", Type: allod.Integer},
	}}
}

func world() *past {
	return &past{
		names: map[allod.GUID]string{id(1): "Acme", id(2): "Bcme"},
		schema: &allod.Schema{
			Tables: []allod.Table{
				{Name: "account", Title: "name", Columns: []allod.Column{{Name: "name", Type: allod.String}}},
				{Name: "dog", Title: "name", Columns: []allod.Column{{Name: "name", Type: allod.String}}},
				{Name: "log", Columns: []allod.Column{{Name: "text", Type: allod.String}}},
			},
			Relationships: []allod.Relationship{
				{Name: "allies", Intersect: "ally", Table1: "account", Table2: "account", Column1: "one", Column2: "two"},
				{Name: "pets", Intersect: "ally", Table1: "dog", Table2: "account", Column1: "one", Column2: "two"},
			},
		},
	}
}

func contact(cells ...allod.Value) allod.Row {
	return allod.Row{Table: "contact", Key: id(99), Cells: cells}
}

func of(t *testing.T, l *Labeler, rows ...allod.Row) []map[string]string {
	t.Helper()
	got, err := l.of(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Lookups show names, options labels; what is not there stays an id or a number.
func TestOf(t *testing.T) {
	w := world()
	l := newLabeler(w, contacts(), Most)
	l.why = func(_ context.Context, refs []allod.RecordRef) ([]string, error) {
		why := make([]string, len(refs))
		for i, r := range refs {
			why[i] = map[allod.GUID]string{id(7): "erased", id(8): "restricted"}[r.Key]
		}
		return why, nil
	}
	shown := int64(0)
	l.act = func(_ context.Context, n int64) error { shown += n; return nil }
	got := of(t, l,
		contact(allod.LookupValue("account", id(1)), allod.IntegerValue(1), allod.BooleanValue(true), allod.TextValue(allod.Choices, "2,1,9"), allod.IntegerValue(0)),
		contact(allod.LookupValue("", id(2)), allod.IntegerValue(5)),
		contact(allod.LookupValue("account", id(7))),
		contact(allod.LookupValue("account", id(8)), allod.NullValue(), allod.NullValue(), allod.NullValue()),
		contact(allod.LookupValue("account", id(3))),
		contact(allod.LookupValue("log", id(1))),
		contact(allod.LookupValue("nothing", id(1))),
		contact(allod.LookupValue("account", id(1))),
	)
	want := []map[string]string{
		{"parentcustomerid": "Acme", "statecode": "Inactive", "donotphone": "Do Not Allow", "hobbies": "Go; Chess; 9"},
		{"parentcustomerid": "Bcme"},
		{"parentcustomerid": "(erased)"},
		{"parentcustomerid": "(restricted)"},
		{},
		{},
		{},
		{"parentcustomerid": "Acme"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	of(t, l, contact(allod.LookupValue("account", id(1))), contact(allod.LookupValue("account", id(3))))
	if !slices.Equal(w.asked, []int{5}) {
		t.Errorf("asked for %v records, want one question for 5: none is asked for twice", w.asked)
	}
	if err := l.record(t.Context()); err != nil {
		t.Fatal(err)
	}
	if shown != 2 {
		t.Errorf("%d names are on record, want 2", shown)
	}
}

// A table that may not be seen gives no labels, a damaged one says so, and any
// other error is one.
func TestErrors(t *testing.T) {
	for kind, want := range map[allod.Kind]map[string]string{allod.Denied: {}, allod.NotFound: {}, allod.Corrupt: {"parentcustomerid": "(unreadable)"}, allod.Conflict: nil} {
		w := world()
		w.err = allod.Errorf(kind, "no")
		got, err := newLabeler(w, contacts(), Most).One(t.Context(), new(contact(allod.LookupValue("account", id(1)))))
		if want == nil {
			if allod.KindOf(err) != kind {
				t.Errorf("%v: got the error %v", kind, err)
			}
			continue
		}
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%v: got %v, %v, want %v", kind, got, err, want)
		}
	}
}

// Beyond the bound nothing is looked up, and what is known stays known.
func TestBound(t *testing.T) {
	w := world()
	l := newLabeler(w, contacts(), 1)
	got := of(t, l, contact(allod.LookupValue("account", id(1))), contact(allod.LookupValue("account", id(2))), contact(allod.LookupValue("account", id(1))))
	if got[0]["parentcustomerid"] != "Acme" || len(got[1]) != 0 || got[2]["parentcustomerid"] != "Acme" {
		t.Errorf("got %v", got)
	}
	if n, bound := l.Over(); n != 1 || bound != 1 {
		t.Errorf("got %d beyond the bound of %d", n, bound)
	}
}

// A long list asks once a page, shows every row, and pairs show both ends.
func TestEach(t *testing.T) {
	w := world()
	l := newLabeler(w, &allod.Table{Name: "ally", Intersect: true}, Most)
	rows := func(yield func(allod.Row, error) bool) {
		for range page + 1 {
			if !yield(allod.Row{Table: "ally", Pair: [2]allod.GUID{id(1), id(3)}}, nil) {
				return
			}
		}
	}
	n, shown := 0, int64(0)
	l.act = func(_ context.Context, n int64) error { shown += n; return nil }
	err := l.Each(t.Context(), rows, func(_ *allod.Row, said map[string]string) error {
		n++
		if got := l.Pair(said); got != "Acme / ?" {
			t.Fatalf("got %q", got)
		}
		return nil
	})
	if err != nil || shown != 1 || n != page+1 || !slices.Equal(w.asked, []int{2, 1}) {
		t.Errorf("%d rows, %v, asked for %v", n, err, w.asked)
	}
}

// The labels are one member more, and the row is as it was.
func TestAppendJSON(t *testing.T) {
	table := contacts()
	for _, row := range []allod.Row{contact(), contact(allod.LookupValue("account", id(1)), allod.IntegerValue(1))} {
		var got map[string]any
		raw := AppendJSON(nil, table, &row, map[string]string{"statecode": `In "active", {`, "parentcustomerid": "Acme"})
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if diff := cmp.Diff(map[string]any{"statecode": `In "active", {`, "parentcustomerid": "Acme"}, got["labels"]); diff != "" {
			t.Error(diff)
		}
		if len(row.Cells) > 0 && got["statecode"] != 1.0 {
			t.Errorf("got %s", raw)
		}
	}
	table.Columns = append(table.Columns, allod.Column{Name: "labels", Type: allod.String})
	row := contact()
	if got := string(AppendJSON(nil, table, &row, map[string]string{"statecode": "Active"})); got != "{}" {
		t.Errorf("got %s of a table with a column of that name", got)
	}
}

// Rows that came before an error are shown, and the error is told.
func TestEachUntilAnError(t *testing.T) {
	l := newLabeler(world(), contacts(), Most)
	rows := func(yield func(allod.Row, error) bool) {
		if yield(contact(allod.LookupValue("account", id(1))), nil) {
			yield(allod.Row{}, allod.Errorf(allod.Corrupt, "no"))
		}
	}
	n := 0
	err := l.Each(t.Context(), rows, func(*allod.Row, map[string]string) error { n++; return nil })
	if n != 1 || allod.KindOf(err) != allod.Corrupt {
		t.Errorf("%d rows, %v", n, err)
	}
}
