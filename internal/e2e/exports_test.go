package e2e_test

import (
	"encoding/xml"
	"testing"

	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/entity/export"
	"allod/internal/source/dataverse"

	"github.com/google/go-cmp/cmp"
)

// exported is what an EntityMetadata export says of a table's columns.
type exported struct {
	Attributes []struct {
		LogicalName                                        string
		IsValidForCreate, IsValidForRead, IsValidForUpdate bool
	} `xml:"Attributes>AttributeMetadata"`
}

// What the connector holds for unwritable is exactly what exports of a real
// organisation call so: with the emulator refined by them, in each of their
// columns; with a $metadata file alone, which says nothing of writing, in each
// column that both know.
func TestUnwritableColumnsEqualExports(t *testing.T) {
	names := []string{"account", "connection", "team", "systemform"}
	plain, refined := realModel(t, realSchemas[0]+".xml.gz"), realModel(t, realSchemas[0]+".xml.gz")
	for _, name := range names {
		if err := export.Refine(refined, openShared(t, "entitymetadata-"+name+".xml.gz")); err != nil {
			t.Fatal(err)
		}
	}
	derived, exact := unwritable(t, plain), unwritable(t, refined)
	for _, name := range names {
		var x exported
		if err := xml.NewDecoder(openShared(t, "entitymetadata-"+name+".xml.gz")).Decode(&x); err != nil {
			t.Fatal(err)
		}
		wantAll, wantBoth := map[string]bool{}, map[string]bool{}
		gotAll, gotBoth := map[string]bool{}, map[string]bool{}
		columns := 0
		for _, a := range x.Attributes {
			if !a.IsValidForRead {
				continue
			}
			columns++
			no := !a.IsValidForCreate && !a.IsValidForUpdate
			wantAll[a.LogicalName] = no
			if got, known := exact[name][a.LogicalName]; known {
				gotAll[a.LogicalName] = got
			}
			if got, known := derived[name][a.LogicalName]; known {
				wantBoth[a.LogicalName], gotBoth[a.LogicalName] = no, got
			}
		}
		if len(wantBoth) < 30 {
			t.Errorf("%s: only %d columns in both", name, len(wantBoth))
		}
		if d := cmp.Diff(gotAll, wantAll); d != "" {
			t.Errorf("%s refined, whether unwritable (-got +want):\n%s", name, d)
		}
		if d := cmp.Diff(gotBoth, wantBoth); d != "" {
			t.Errorf("%s from $metadata alone, whether unwritable (-got +want):\n%s", name, d)
		}
		t.Logf("%s: %d columns of the export, %d of them in the $metadata", name, columns, len(wantBoth))
	}
}

// unwritable says of each column that can be read whether the connector holds
// it for unwritable.
func unwritable(t *testing.T, m *entity.Model) map[string]map[string]bool {
	t.Helper()
	server, err := emu.New(emu.Options{Model: m, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	src, err := dataverse.New(dataverse.Options{Environment: "real", URL: serve(t, server).url})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{}
	for i := range schema.Tables {
		x := &schema.Tables[i]
		out[x.Name] = map[string]bool{}
		for j := range x.Columns {
			if c := &x.Columns[j]; c.Unreadable != "not valid for read" {
				out[x.Name][c.Name] = c.Unwritable != ""
			}
		}
	}
	return out
}
