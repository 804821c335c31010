package e2e_test

import (
	"testing"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// TestTableInParts reads a table in parts at once, breaks off, and goes on at
// the cursor: every row comes, and none but those of the page that was read last
// comes twice.
func TestTableInParts(t *testing.T) {
	co := startCompany(t, &clock{}, nil)
	src, err := dataverse.New(dataverse.Options{Environment: "demo", URL: co.url})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := schema.Table("contact")
	by := src.DivideBy(table)
	whole, _, _ := readTable(t, src, source.ReadRequest{Table: table})
	d := &source.Division{Parts: 5, AtOnce: 3}
	for i := range whole {
		d.Sample = append(d.Sample, whole[i].Cell(table.ColumnIndex(by)))
	}
	seen := map[allod.GUID]int{}
	var left source.Cursor
	pages := 0
	for page, err := range src.Read(t.Context(), source.ReadRequest{Table: table, PageSize: 20, Divide: d}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Rows {
			seen[page.Rows[i].Key]++
		}
		left = page.Next
		if pages++; pages == 4 {
			break
		}
	}
	rest, _, _ := readTable(t, src, source.ReadRequest{Table: table, Cursor: left, Divide: &source.Division{AtOnce: 2}})
	for i := range rest {
		seen[rest[i].Key]++
	}
	if len(whole) < 100 || len(seen) != len(whole) {
		t.Fatalf("%d of %d rows came", len(seen), len(whole))
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("row %v came %d times", key, n)
		}
	}
}
