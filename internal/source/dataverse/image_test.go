package dataverse_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"allod"
)

// An image is read in full size; where the service keeps the thumbnail only
// (204), that; and where there is none, nothing is made up
// (protocols/dataverse.md §8.3).
func TestImagesAreReadInFull(t *testing.T) {
	const at = "GET accounts(" + id1 + ")/entityimage/$value"
	for _, c := range []struct {
		name, full, small, want string
		kind                    allod.Kind
	}{
		{name: "full", full: "ten megabytes", small: "thumbnail", want: "ten megabytes"},
		{name: "thumbnail only", small: "thumbnail", want: "thumbnail"},
		{name: "none any more", kind: allod.NotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			answer := func(body string) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					if body == "" {
						w.WriteHeader(http.StatusNoContent)
						return
					}
					fmt.Fprint(w, body)
				}
			}
			s.on(at+"?size=full", answer(c.full))
			s.on(at, answer(c.small))
			f, err := s.source(t).OpenFile(t.Context(), accounts(), &allod.Row{Table: "account", Key: guid(t, id1)}, "entityimage")
			if c.kind != 0 {
				if allod.KindOf(err) != c.kind {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f)
			if err != nil || string(b) != c.want {
				t.Errorf("got %q, %v; want %q", b, err, c.want)
			}
		})
	}
}

// Numbers are kept digit by digit, choices of several as they came, dates
// without a zone without one.
func TestValuesAreKeptAsTheyCame(t *testing.T) {
	table := &allod.Table{
		Name: "thing", Set: "things", Key: "thingid",
		Columns: []allod.Column{
			{Name: "thingid", Type: allod.ID},
			{Name: "amount", Type: allod.Decimal},
			{Name: "born", Type: allod.Date},
			{Name: "colours", Type: allod.Choices},
			{Name: "seen", Type: allod.DateTime},
			{Name: "weight", Type: allod.Double},
		},
	}
	s := newService(t)
	s.json("GET things("+id1+")", `{"@odata.etag":"W/\"5\"","thingid":"`+id1+`","amount":100000000000.0000000001,"born":"1980-02-29","colours":"3,1,2","seen":"2023-04-07T21:59:01Z","weight":1E-07}`)
	rows, err := s.source(t).Get(t.Context(), table, []allod.GUID{guid(t, id1)}, nil)
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %v, %v", rows, err)
	}
	for i, want := range []allod.Value{
		allod.IDValue(guid(t, id1)), allod.TextValue(allod.Decimal, "100000000000.0000000001"), allod.TextValue(allod.Date, "1980-02-29"),
		allod.TextValue(allod.Choices, "3,1,2"), allod.TextValue(allod.DateTime, "2023-04-07T21:59:01Z"), allod.TextValue(allod.Double, "1E-07"),
	} {
		if got := rows[0].Cell(i); got != want {
			t.Errorf("%s: got %v, want %v", table.Columns[i].Name, got, want)
		}
	}
}
