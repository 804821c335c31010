package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/history"

	"github.com/google/go-cmp/cmp"
)

func TestSchemaHistoryText(t *testing.T) {
	column := func(name string, kind allod.Type, native string) allod.Column {
		return allod.Column{Name: name, Type: kind, Native: native}
	}
	before := &allod.Schema{
		Tables: []allod.Table{
			{Name: "contact", Columns: []allod.Column{column("born", allod.DateTime, "DateTime"), column("note", allod.String, "String"), column("old", allod.Integer, "Picklist")}},
			{Name: "lead"},
		},
		Relationships: []allod.Relationship{{Name: "lead_contact", One: "lead", Many: "contact", Column: "leadid"}},
	}
	after := &allod.Schema{
		Tables: []allod.Table{
			{Name: "alp_card", Columns: []allod.Column{column("alp_name", allod.String, "String")}},
			{
				Name: "contact", Columns: []allod.Column{column("alp_cardid", allod.Lookup, "Lookup"), column("born", allod.Date, "DateTime"), column("note", allod.String, "Memo")},
				Keys: []allod.AltKey{{Name: "alp_number", Columns: []string{"note"}}},
			},
		},
		Relationships: []allod.Relationship{{Name: "alp_card_contact", One: "alp_card", Many: "contact", Column: "alp_cardid"}},
	}
	keys := &allod.Schema{Tables: []allod.Table{{Name: "contact", Keys: []allod.AltKey{{Name: "alp_number"}}}}}
	noKeys := &allod.Schema{Tables: []allod.Table{{Name: "contact"}}}
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	h := act.SchemaHistory{Environment: "prod", First: 1, FirstTo: at, Tables: 2, Snapshots: 4}
	show := func() string {
		var out bytes.Buffer
		(&app{deps: Deps{Out: &out}}).showSchemaHistory(&h)
		return out.String()
	}
	want := "prod@1, read until 2026-11-20T10:00:00Z: 2 tables.\nThe same in all of 4 snapshots.\n"
	if d := cmp.Diff(show(), want); d != "" {
		t.Errorf("without a change (-got +want):\n%s", d)
	}
	h.Changes = []act.SchemaChange{
		{Before: 3, Snapshot: 4, To: at.Add(time.Hour), SchemaDiff: history.CompareSchemas(before, after)},
		{Before: 4, To: at.Add(2 * time.Hour), SchemaDiff: history.CompareSchemas(keys, noKeys)},
	}
	want = `prod@1, read until 2026-11-20T10:00:00Z: 2 tables.
prod@4, read until 2026-11-20T11:00:00Z; tables: 1 added, 1 removed; columns: 1
  added, 1 removed, 2 of another type; relationships: 1 added, 1 removed.
  + table alp_card
  - table lead
  + column contact.alp_cardid (Lookup)
  - column contact.old (Picklist)
  ~ column contact.born (DateTime, datetime) is now (DateTime, date)
  ~ column contact.note (String) is now (Memo)
  + key alp_number of contact
prod@live, read until 2026-11-20T12:00:00Z; alternate keys changed.
  - key alp_number of contact
`
	got := show()
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
	for line := range strings.Lines(got) {
		if len(line) > 81 {
			t.Errorf("wider than 80 columns: %q", line)
		}
	}
}
