package sight

import (
	"testing"

	"allod"
	"allod/internal/source"
)

func TestDoubtsAreSpread(t *testing.T) {
	var d Doubts
	for n := range 10*maxDoubts + 7 {
		d.add(Doubt{Version: uint64(n)})
	}
	if d.Rows != 10*maxDoubts+7 || len(d.List) > maxDoubts || len(d.List) < maxDoubts/2 {
		t.Fatalf("%d of %d rows are kept", len(d.List), d.Rows)
	}
	for i, x := range d.List {
		if x.Version != uint64(i*d.every) {
			t.Fatalf("row %d stands at place %d, one in %d is kept", x.Version, i, d.every)
		}
	}
}

// A value proves the nulls beside it, unless the rows of a page come from
// several answers.
func TestPageProves(t *testing.T) {
	row := func(n byte, v allod.Value) allod.Row {
		return allod.Row{Key: allod.GUID{n}, Cells: []allod.Value{allod.IDValue(allod.GUID{n}), v}}
	}
	page := &source.Page{Rows: []allod.Row{row(1, allod.NullValue()), row(2, allod.StringValue("a")), row(3, allod.NullValue())}}
	for _, tt := range []struct {
		mixed bool
		want  int
	}{{false, 0}, {true, 2}} {
		var d Doubts
		page.Mixed = tt.mixed
		if d.Page(page, []int{1}); d.Rows != tt.want {
			t.Errorf("mixed %v: %d rows in doubt, want %d", tt.mixed, d.Rows, tt.want)
		}
	}
	page.Rows = page.Rows[:1]
	var d Doubts
	if d.Page(page, []int{0, 1}); d.Rows != 1 || len(d.List[0].Columns) != 1 || d.List[0].Columns[0] != 1 {
		t.Errorf("got %+v", d.List)
	}
}
