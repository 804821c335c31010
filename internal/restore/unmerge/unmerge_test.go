package unmerge

import (
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
)

// view is rows in memory.
type view struct {
	name   string
	schema *allod.Schema
	rows   map[string][]allod.Row
}

func (v *view) Name() string          { return v.name }
func (v *view) Schema() *allod.Schema { return v.schema }
func (v *view) Rows(_ context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		for _, r := range v.rows[table] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (v *view) Get(_ context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	var out []allod.Row
	for _, r := range v.rows[table] {
		if slices.Contains(refs, r.Ref()) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (v *view) OpenFile(context.Context, *allod.Row, string) (io.ReadCloser, error) {
	return nil, allod.Errorf(allod.NotFound, "no file")
}

func id(n byte) allod.GUID       { return allod.GUID{15: n} }
func account(n byte) allod.Value { return allod.LookupValue("account", id(n)) }
func (v *view) put(t string, n byte, cells ...allod.Value) {
	v.rows[t] = append(v.rows[t], allod.Row{Table: t, Key: id(n), Cells: append([]allod.Value{allod.IDValue(id(n))}, cells...)})
}

func schema() *allod.Schema {
	lookup := func(name string, writable bool) allod.Column {
		return allod.Column{Name: name, Type: allod.Lookup, Update: writable}
	}
	key := func(name string) allod.Column { return allod.Column{Name: name, Type: allod.ID} }
	return &allod.Schema{
		Tables: []allod.Table{
			{Name: "account", Key: "accountid", Class: allod.ClassData, Columns: []allod.Column{key("accountid"), lookup("masterid", false), lookup("parentid", true)}},
			{Name: "contact", Key: "contactid", Class: allod.ClassData, Columns: []allod.Column{key("contactid"), lookup("parentid", true), lookup("followsid", false), {Name: "title", Type: allod.String, Update: true}}},
		},
		Relationships: []allod.Relationship{
			{Name: "a", One: "account", Many: "account", Column: "masterid"},
			{Name: "b", One: "account", Many: "account", Column: "parentid"},
			{Name: "c", One: "account", Many: "contact", Column: "parentid"},
			{Name: "d", One: "account", Many: "contact", Column: "followsid"},
		},
	}
}

// Account 2 was merged into 1. Contacts 1 and 2 referred to it; 2 has been given to
// account 3 since, 3 was deleted, and 4 has always been of account 1.
func TestFind(t *testing.T) {
	null, text := allod.NullValue(), allod.StringValue
	snap, live := &view{"prod@1", schema(), map[string][]allod.Row{}}, &view{"prod@live", schema(), map[string][]allod.Row{}}
	snap.put("account", 1, null, null)
	snap.put("account", 2, null, null)
	snap.put("account", 3, null, account(2))
	for n := range byte(3) {
		snap.put("contact", n+1, account(2), account(2), text("was"))
	}
	snap.put("contact", 4, account(1), account(1), text("was"))
	snap.put("contact", 5, account(2), account(2), text("was"))
	live.put("contact", 5, account(2), account(2), text("came later"))
	live.put("account", 1, null, null)
	live.put("account", 2, account(1), null)
	live.put("account", 3, null, account(1))
	live.put("contact", 1, account(1), account(1), text("is"))
	live.put("contact", 2, account(3), account(3), text("is"))
	live.put("contact", 4, account(1), account(1), text("is"))
	f, err := Find(t.Context(), snap, live, "account:"+id(2).String())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range f.Selection.Tables {
		for _, k := range s.IDs {
			got = append(got, s.Table+" "+k.String()[35:])
		}
	}
	if d := cmp.Diff([]string{"account 2", "account 3", "contact 1"}, got); d != "" || !f.Selection.Exact {
		t.Errorf("selected (-want +got):\n%s", d)
	}
	rows, err := f.View.Get(t.Context(), "contact", []allod.RecordRef{{Table: "contact", Key: id(1)}})
	if err != nil || len(rows) != 1 || rows[0].Cell(1) != account(2) || !rows[0].Cell(2).IsAbsent() || !rows[0].Cell(3).IsAbsent() {
		t.Errorf("of a row that referred to it more is shown than the reference: %v, %v", rows, err)
	}
	var left []string
	for _, s := range f.Skipped {
		left = append(left, s.ID.String()[35:]+" "+s.Reason)
	}
	if d := cmp.Diff([]string{"2 parentid has been changed to something else since the merge", "3 it referred to the merged record and is gone"}, left); d != "" {
		t.Errorf("left alone (-want +got):\n%s", d)
	}
	if all := strings.Join(f.Warnings, "\n"); !strings.Contains(all, "2 references to it with it") || !strings.Contains(all, "masterid and merged stay as they are") {
		t.Errorf("got %s", all)
	}
	for text, want := range map[string]allod.Kind{
		"account":                   allod.Invalid,
		"account:x":                 allod.Invalid,
		"account:" + id(1).String(): allod.Invalid,
		"contact:" + id(1).String(): allod.Invalid,
		"account:" + id(9).String(): allod.NotFound,
		"nothing:" + id(1).String(): allod.NotFound,
	} {
		if _, err := Find(t.Context(), snap, live, text); allod.KindOf(err) != want {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
	}
	if _, err := Find(t.Context(), live, live, "account:"+id(2).String()); allod.KindOf(err) != allod.Invalid {
		t.Errorf("merged before: %v", err)
	}
}
