package rowjson

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
)

// A row is one JSON object, whatever its cells hold; what was not read is not
// there.
func TestAppend(t *testing.T) {
	id := allod.GUID{15: 1}
	table := &allod.Table{Name: "contact", Columns: []allod.Column{
		{Name: "contactid", Type: allod.ID},
		{Name: "parentid", Type: allod.Lookup},
		{Name: "name", Type: allod.String},
		{Name: "age", Type: allod.Integer},
		{Name: "hidden", Type: allod.String},
		{Name: "picture", Type: allod.File},
	}}
	row := &allod.Row{Table: "contact", Key: id, Version: 42, Cells: []allod.Value{
		allod.IDValue(id), allod.LookupValue("account", id), allod.StringValue("a \"b\", {c}"), allod.NullValue(),
		{},
		allod.FileValue(allod.FileRef{Name: "p,.png", MIME: "image/png", Size: 3}),
	}}
	var got map[string]any
	if err := json.Unmarshal(Append(nil, table, row), &got); err != nil {
		t.Fatalf("%v: %s", err, Append(nil, table, row))
	}
	want := map[string]any{
		"@odata.etag": `W/"42"`, "contactid": id.String(), "_parentid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "account",
		"_parentid_value": id.String(), "name": `a "b", {c}`, "age": nil,
		"picture": map[string]any{"name": "p,.png", "mime": "image/png", "size": 3.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got the difference\n%s", diff)
	}
	// Without a version the first member is a column.
	row.Version = 0
	if raw := Append(nil, table, row); !json.Valid(raw) {
		t.Errorf("not JSON: %s", raw)
	}
}
