package vault

import (
	"testing"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/verify"
)

func officeSession(t *testing.T, v *testVault, a gate.Action, env string) gate.Session {
	t.Helper()
	s, err := v.gate.Open(t.Context(), gate.Request{Actor: "os:test", Action: a, Purpose: allod.PurposeOperate, Resource: gate.Resource{Environment: env, Class: allod.ClassContent}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func officeTable(name string, id byte) allod.Table {
	return allod.Table{Name: name, ID: allod.GUID{id}, Key: name + "id", Class: allod.ClassData, Columns: []allod.Column{{Name: "text", ID: allod.GUID{id, 1}, Type: allod.String}}}
}

func texts(t *testing.T, snap *Snapshot, table string) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	for row, err := range snap.Rows(t.Context(), table) {
		if err != nil {
			t.Fatal(err)
		}
		got[row.Cell(0).Text()] = true
	}
	return got
}

func TestOffice(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	ctx := t.Context()
	s := officeSession(t, v, gate.ActionOffice, Office)
	empty, err := v.ReadOffice(ctx, s)
	if err != nil || empty != nil {
		t.Fatalf("an office that nobody wrote: got %v, %v", empty, err)
	}
	a, b := officeTable("a", 1), officeTable("b", 2)
	row := func(table string, key byte, text string) allod.Row {
		return allod.Row{Table: table, Key: allod.GUID{key}, Cells: []allod.Value{allod.StringValue(text)}}
	}
	if err := v.WriteOffice(ctx, s, nil, []allod.Table{b}, []allod.Row{row("b", 1, "one"), row("b", 2, "two")}); err != nil {
		t.Fatal(err)
	}
	first, err := v.ReadOffice(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.WriteOffice(ctx, s, first, []allod.Table{a}, []allod.Row{row("a", 1, "uno")}); err != nil {
		t.Fatal(err)
	}
	for _, seen := range []*Snapshot{nil, first} {
		if err := v.WriteOffice(ctx, s, seen, []allod.Table{b}, []allod.Row{row("b", 2, "lost")}); allod.KindOf(err) != allod.Conflict {
			t.Errorf("written after what was not the newest: got %v, want kind conflict", err)
		}
	}
	again := v.reopen(v.store)
	s = officeSession(t, again, gate.ActionOffice, Office)
	now, err := again.ReadOffice(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, now, "b"); len(got) != 2 || !got["one"] || !got["two"] {
		t.Errorf("table b after a write to a: %v", got)
	}
	if got := texts(t, now, "a"); len(got) != 1 || !got["uno"] {
		t.Errorf("table a: %v", got)
	}
	for _, e := range again.log.Entries() {
		if e.Kind != vlog.KindOffice || e.Environment != 0 {
			t.Errorf("entry %d is of kind %s and environment %d", e.N, e.Kind, e.Environment)
		}
	}
	rep, err := again.Verify(ctx, verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 || rep.Rows != 3 {
		t.Errorf("verify: %d rows, %+v, %v", rep.Rows, rep.Bad, err)
	}
}

// Neither capture nor a session for another environment gets at the office, and
// a session of the office gets nowhere else.
func TestOfficeIsApart(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	ctx := t.Context()
	for name, s := range map[string]gate.Session{
		"capture of the office": officeSession(t, v, gate.ActionCapture, Office), "the office of another": officeSession(t, v, gate.ActionOffice, "contoso"), "nobody": {},
	} {
		if err := v.WriteOffice(ctx, s, nil, []allod.Table{officeTable("a", 1)}, nil); allod.KindOf(err) != allod.Denied {
			t.Errorf("%s: got %v, want kind denied", name, err)
		}
	}
	if _, err := v.Begin(ctx, officeSession(t, v, gate.ActionOffice, "contoso"), RunOptions{Environment: "contoso"}); allod.KindOf(err) != allod.Denied {
		t.Errorf("a capture under a session of the office: got %v, want kind denied", err)
	}
}
