package vault

import (
	"testing"
	"time"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/keyring"
)

// An erasure is pending as long as its place keeps an old slot, if only as a
// version that somebody has hidden.
func TestPendingBehindAMarker(t *testing.T) {
	c := &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	place := mem.New(mem.Options{Versions: true, Now: c.now})
	v := newVaultAt(t, mem.New(mem.Options{}), place, c)
	v.mustCapture(ModeFull, numbered(3, "x"))
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Erase(t.Context(), v.session(gate.ActionErase), tags, EraseOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := place.Hide(t.Context(), keyring.ObjectName("plain", 1)); err != nil {
		t.Fatal(err)
	}
	if st, err := v.Status(t.Context()); err != nil || len(st.Slots) != 1 || st.ErasuresPending != 1 {
		t.Errorf("hidden: got %+v, %v, want one slot and one erasure pending", st, err)
	}
	if _, err := v.DestroySlots(t.Context(), v.session(gate.ActionErase)); err != nil {
		t.Fatal(err)
	}
	if st, err := v.Status(t.Context()); err != nil || st.ErasuresPending != 0 {
		t.Errorf("destroyed: got %+v, %v, want nothing pending", st, err)
	}
}

// A slot that is added opens the vault, and stays after a rotation; a session
// for anything else does not add one.
func TestAddSlot(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	key, err := keyring.NewKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.AddSlot(t.Context(), v.session(gate.ActionRead), "file", keyring.RoleAll, key); allod.KindOf(err) != allod.Denied {
		t.Errorf("with a session to read: got %v, want kind denied", err)
	}
	s := v.session(gate.ActionKeys)
	if err := v.AddSlot(t.Context(), s, "file", keyring.RoleAll, key); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Rotate(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(t.Context(), v.cfg, key)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := opened.Snapshots(t.Context(), "contoso"); err != nil || len(all) != 1 || all[0].ID != first.ID {
		t.Errorf("opened with the new slot: got %+v, %v", all, err)
	}
}

// A slot that only reads opens the vault to read it, and captures nothing.
func TestReaderSlot(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	key, err := keyring.NewKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.AddSlot(t.Context(), v.session(gate.ActionKeys), "auditor", keyring.RoleRead, key); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(t.Context(), v.cfg, key)
	if err != nil {
		t.Fatal(err)
	}
	v.Vault = opened
	v.openGate()
	v.wantRows(first.ID, numbered(3, "x"))
	if _, err := v.Begin(t.Context(), v.session(gate.ActionCapture), RunOptions{Environment: "contoso"}); allod.KindOf(err) != allod.Denied {
		t.Errorf("begin a capture: got %v, want kind denied", err)
	}
	if err := v.AddSlot(t.Context(), v.session(gate.ActionKeys), "more", keyring.RoleAll, key); allod.KindOf(err) != allod.Denied {
		t.Errorf("add a slot: got %v, want kind denied", err)
	}
	if _, err := v.Rotate(t.Context(), v.session(gate.ActionKeys)); allod.KindOf(err) != allod.Denied {
		t.Errorf("rotate: got %v, want kind denied", err)
	}
}
