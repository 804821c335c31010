package dataverse_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"allod"
	"allod/internal/source"
)

// What changed in the schema, as RetrieveMetadataChanges tells it
// (protocols/dataverse.md §3.5).
func TestSchemaChanges(t *testing.T) {
	const (
		first = "GET RetrieveMetadataChanges(Query=@p1)"
		later = "GET RetrieveMetadataChanges(Query=@p1,ClientVersionStamp=@p2,DeletedMetadataFilters=@p3)"
		table = "55555555-5555-5555-5555-555555555555"
		gone  = "66666666-6666-6666-6666-666666666666"
	)
	s := newService(t)
	refuse := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"code":%q,"message":"no"}}`, code)
		}
	}
	for _, status := range []int{400, 403, 404, 501} {
		s.on(first, refuse(status, "0x80040220"))
		if mark, err := s.source(t).SchemaMark(t.Context()); mark != "" || err != nil {
			t.Errorf("status %d: got %q, %v; want no mark", status, mark, err)
		}
		s.on(later, refuse(status, "0x80044352"))
		if _, err := s.source(t).SchemaSince(t.Context(), "1!x"); !errors.Is(err, source.ErrMarkExpired) {
			t.Errorf("status %d: got %v, want ErrMarkExpired", status, err)
		}
	}
	s.json(first, `{"EntityMetadata":[{"LogicalName":"organization","MetadataId":"`+table+`"}],"ServerVersionStamp":"8579!09/01/2023","DeletedMetadata":null}`)
	if mark, err := s.source(t).SchemaMark(t.Context()); mark != "8579!09/01/2023" || err != nil {
		t.Fatalf("got %q, %v", mark, err)
	}
	s.on(later, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("@p2") != "'8579!09/01/2023'" || q.Get("@p3") != "Microsoft.Dynamics.CRM.DeletedMetadataFilters'All'" || r.Header.Get("Consistency") != "Strong" {
			t.Errorf("asked for %v, Consistency %q", q, r.Header.Get("Consistency"))
		}
		fmt.Fprint(w, `{"EntityMetadata":[
			{"LogicalName":"account","MetadataId":"`+table+`","HasChanged":false,"Attributes":[{"LogicalName":"name","IsSecured":true,"HasChanged":true},{"LogicalName":"fax","IsSecured":false,"HasChanged":true}]},
			{"LogicalName":"contact","MetadataId":"`+table+`","HasChanged":true,"Attributes":[]}],
			"ServerVersionStamp":"8600!09/02/2023","DeletedMetadata":{"Count":2,"IsReadOnly":false,"Keys":["Attribute","Label"],"Values":[{"Items":["`+gone+`"]},{"Items":["`+table+`"]}]}}`)
	})
	c, err := s.source(t).SchemaSince(t.Context(), "8579!09/01/2023")
	if err != nil {
		t.Fatal(err)
	}
	want, err := allod.ParseGUID(gone)
	if err != nil {
		t.Fatal(err)
	}
	secured, changed := c.Columns["account"]["name"]
	open, is := c.Columns["account"]["fax"]
	if c.Mark != "8600!09/02/2023" || !secured || !changed || open || !is || len(c.Columns) != 1 || len(c.Made) != 1 || c.Made["contact"].IsZero() || len(c.Gone) != 1 || c.Gone[0] != want {
		t.Errorf("got %+v", c)
	}
}
