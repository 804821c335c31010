package office

import (
	"context"
	"io"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/vault"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/verify"
)

func now() time.Time { return time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC) }

type testVault struct {
	*vault.Vault
	cfg  vault.Config
	key  keyring.Wrapper
	gate *gate.Gate
}

func newVault(t *testing.T) *testVault {
	t.Helper()
	key, err := keyring.NewKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg := vault.Config{Store: mem.New(mem.Options{}), Slots: []blob.Mutable{mem.New(mem.Options{})}, Now: now, TempDir: t.TempDir()}
	v, pin, err := vault.Create(t.Context(), cfg, vault.CreateOptions{Wrappers: []vault.NamedWrapper{{Name: "file", Wrapper: key}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pin = pin
	return withGate(t, v, cfg, key)
}

func withGate(t *testing.T, v *vault.Vault, cfg vault.Config, key keyring.Wrapper) *testVault {
	t.Helper()
	c, err := v.LedgerConfig()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return &testVault{v, cfg, key, gate.New(gate.ShippedMatrix(), l, now)}
}

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

func texts(t *testing.T, snap *vault.Snapshot, table string) map[string]bool {
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

func entry(t *testing.T, v *testVault, n uint64) *vlog.Entry {
	t.Helper()
	r, err := v.cfg.Store.Get(t.Context(), vlog.EntryName(n), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := vlog.Decode(b, n, v.Pin())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOffice(t *testing.T) {
	v := newVault(t)
	ctx := t.Context()
	s := officeSession(t, v, gate.ActionOffice, vault.Office)
	empty, err := Read(ctx, v.Vault, s)
	if err != nil || empty != nil {
		t.Fatalf("an office that nobody wrote: got %v, %v", empty, err)
	}
	a, b := officeTable("a", 1), officeTable("b", 2)
	row := func(table string, key byte, text string) allod.Row {
		return allod.Row{Table: table, Key: allod.GUID{key}, Cells: []allod.Value{allod.StringValue(text)}}
	}
	if err := Write(ctx, v.Vault, s, nil, []allod.Table{b}, []allod.Row{row("b", 1, "one"), row("b", 2, "two")}, now()); err != nil {
		t.Fatal(err)
	}
	first, err := Read(ctx, v.Vault, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(ctx, v.Vault, s, first, []allod.Table{a}, []allod.Row{row("a", 1, "uno")}, now()); err != nil {
		t.Fatal(err)
	}
	for _, seen := range []*vault.Snapshot{nil, first} {
		if err := Write(ctx, v.Vault, s, seen, []allod.Table{b}, []allod.Row{row("b", 2, "lost")}, now()); allod.KindOf(err) != allod.Conflict {
			t.Errorf("written after what was not the newest: got %v, want kind conflict", err)
		}
	}
	opened, err := vault.Open(ctx, v.cfg, v.key)
	if err != nil {
		t.Fatal(err)
	}
	again := withGate(t, opened, v.cfg, v.key)
	s = officeSession(t, again, gate.ActionOffice, vault.Office)
	now, err := Read(ctx, again.Vault, s)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, now, "b"); len(got) != 2 || !got["one"] || !got["two"] {
		t.Errorf("table b after a write to a: %v", got)
	}
	if got := texts(t, now, "a"); len(got) != 1 || !got["uno"] {
		t.Errorf("table a: %v", got)
	}
	for n := uint64(1); n <= 2; n++ {
		if e := entry(t, v, n); e.Kind != vlog.KindOffice || e.Environment != 0 {
			t.Errorf("entry %d is of kind %s and environment %d", n, e.Kind, e.Environment)
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
	v := newVault(t)
	ctx := t.Context()
	for name, s := range map[string]gate.Session{
		"capture of the office": officeSession(t, v, gate.ActionCapture, vault.Office), "the office of another": officeSession(t, v, gate.ActionOffice, "contoso"), "nobody": {},
	} {
		if err := Write(ctx, v.Vault, s, nil, []allod.Table{officeTable("a", 1)}, nil, now()); allod.KindOf(err) != allod.Denied {
			t.Errorf("%s: got %v, want kind denied", name, err)
		}
	}
	if _, err := v.Begin(ctx, officeSession(t, v, gate.ActionOffice, "contoso"), vault.RunOptions{Environment: "contoso"}); allod.KindOf(err) != allod.Denied {
		t.Errorf("a capture under a session of the office: got %v, want kind denied", err)
	}
}
