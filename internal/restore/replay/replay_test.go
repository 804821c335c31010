package replay

import (
	"context"
	"fmt"
	"io"
	"iter"
	"testing"
	"time"

	"allod"
	"allod/internal/govern/rights"
	"allod/internal/restore/plan"
)

type fake struct{ rows []allod.Row }

func (fake) Name() string { return "prod@1" }

func (fake) Schema() *allod.Schema {
	return &allod.Schema{Tables: []allod.Table{{Name: "contact", Key: "contactid", Columns: []allod.Column{{Name: "lastname", Type: allod.String}, {Name: "age", Type: allod.Integer}}}}}
}

func (f fake) Rows(context.Context, string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		for _, r := range f.rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (f fake) Get(context.Context, string, []allod.RecordRef) ([]allod.Row, error) {
	return append([]allod.Row(nil), f.rows...), nil
}

func (fake) OpenFile(context.Context, *allod.Row, string) (io.ReadCloser, error) { return nil, nil }

// TestReplay corrects one of two rows by two corrections, the later of which
// wins, on both ways of reading; the snapshot itself stays as it is.
func TestReplay(t *testing.T) {
	ref := func(n byte) allod.RecordRef { return allod.RecordRef{Table: "contact", Key: allod.GUID{n}} }
	row := func(n byte) allod.Row {
		return allod.Row{Table: "contact", Key: allod.GUID{n}, Cells: []allod.Value{allod.StringValue("Maier"), allod.IntegerValue(30)}}
	}
	day := func(n int) time.Time { return time.Date(2026, 5, n, 0, 0, 0, 0, time.UTC) }
	f := fake{[]allod.Row{row(1), row(2)}}
	v := &View{View: f, by: map[allod.RecordRef][]rights.Correction{ref(1): {
		{ID: allod.GUID{1}, Set: map[string]string{"lastname": "Meier"}, At: day(1)},
		{ID: allod.GUID{2}, Set: map[string]string{"lastname": "Meyer"}, Clear: []string{"age"}, Only: map[string]string{"age": "31"}, At: day(2), Ground: "letter"},
	}}, used: map[allod.RecordRef][]plan.Replayed{}}
	var got []string
	for r, err := range v.Rows(t.Context(), "contact") {
		got = append(got, fmt.Sprint(r.Cells, err))
	}
	rows, err := v.Get(t.Context(), "contact", nil)
	for _, r := range rows {
		got = append(got, fmt.Sprint(r.Cells, err))
	}
	if want := "[[Meyer 30] <nil> [Maier 30] <nil> [Meyer 30] <nil> [Maier 30] <nil>]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if f.rows[0].Cells[0].Text() != "Maier" {
		t.Error("the row of the snapshot was changed")
	}
	want := "[{contact 01000000-0000-0000-0000-000000000000 [lastname] correction 01000000 of 2026-05-01} {contact 01000000-0000-0000-0000-000000000000 [lastname] correction 02000000 of 2026-05-02: letter}]"
	if got := fmt.Sprint(v.Replayed()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	v.by[ref(2)] = []rights.Correction{{ID: allod.GUID{3}, Set: map[string]string{"age": "secret"}}}
	if _, err := v.Get(t.Context(), "contact", nil); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
		t.Errorf("a value that the column cannot have: got %v", err)
	}
}
