package bin

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
	"allod/internal/source/odataclient"
)

func refused(code string) error {
	return &allod.Error{Kind: allod.Invalid, Err: &odataclient.StatusError{Status: 400, Code: code}}
}

// What becomes of a create by what the service says to Restore, and whether the
// row is there: never is one overwritten that somebody made since.
func TestCreate(t *testing.T) {
	table := &allod.Table{Name: "account", Key: "accountid", Columns: []allod.Column{{Name: "name"}, {Name: "donotemail", Native: "Boolean"}, {Name: "fax", Native: "String"}}}
	cells := map[string]allod.Value{"name": allod.StringValue("a"), "donotemail": allod.NullValue(), "fax": allod.NullValue()}
	for _, tc := range []struct {
		name   string
		err    error
		there  bool
		want   string
		kind   allod.Kind
		fields int
	}{
		{"it comes back", nil, true, "update", 0, 3},
		{"it came back with another", refused("0x80049959"), true, "update", 0, 3},
		{"it is in no bin", refused("0x80049959"), false, "make", 0, 2},
		{"somebody made it anew", refused("0x80049939"), true, "make", 0, 2},
		{"another has its alternate key", refused("0x80049929"), false, "make", 0, 2},
		{"a choice is gone", refused("0x80049949"), false, "make", 0, 2},
		{"the line is down", &allod.Error{Kind: allod.Unavailable, Err: refused("")}, false, "", allod.Unavailable, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			did, body := "", ""
			var wrote source.Op
			do := func(what string) func(context.Context, *source.Op) source.Result {
				return func(_ context.Context, op *source.Op) source.Result {
					did, wrote = what, *op
					return source.Result{Version: 7, Note: "more"}
				}
			}
			res := Create(t.Context(), &source.Op{Kind: source.OpCreate, FromBin: true, Table: table, Key: allod.GUID{15: 1}, Cells: cells}, Writes{
				Restore: func(b []byte) error { body = string(b); return tc.err },
				There:   func(context.Context) (bool, uint64, error) { return tc.there, 0, nil },
				Update:  do("update"), Make: do("make"),
			})
			if did != tc.want || allod.KindOf(res.Err) != tc.kind || len(wrote.Cells) != tc.fields {
				t.Errorf("got %q with %d cells, %v; want %q with %d", did, len(wrote.Cells), res.Err, tc.want, tc.fields)
			}
			if did == "make" && (wrote.FromBin || wrote.Kind != source.OpCreate) || did == "update" && wrote.Kind != source.OpUpdate {
				t.Errorf("wrote %+v", wrote)
			}
			if d := cmp.Diff(`{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"00000000-0000-0000-0000-000000000001"}}`, body); d != "" {
				t.Errorf("body (-want +got):\n%s", d)
			}
		})
	}
}
