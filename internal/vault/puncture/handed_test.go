package puncture

import (
	"crypto/ed25519"
	"testing"
	"time"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/keytree"
)

// What is handed over counts with the signature of one of the keys, for that
// vault, and with nothing changed in it.
func TestHandedIsSigned(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	vault := allod.GUID{1}
	sound := Handed{Run: "r", Environment: "prod", Tags: []escrow.Tag{{Environment: 1, Table: 2, Tag: keytree.Tag{3}}}, Until: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
	if err := sound.Sign(vault, key); err != nil {
		t.Fatal(err)
	}
	if err := sound.Check(vault, []ed25519.PublicKey{make(ed25519.PublicKey, ed25519.PublicKeySize), public}); err != nil {
		t.Errorf("as it was signed: %v", err)
	}
	other := escrow.Tag{Environment: 1, Table: 2, Tag: keytree.Tag{4}}
	for what, change := range map[string]func(*Handed){
		"run": func(h *Handed) { h.Run = "s" }, "environment": func(h *Handed) { h.Environment = "test" }, "until": func(h *Handed) { h.Until = h.Until.Add(time.Hour) },
		"tags": func(h *Handed) { h.Tags = []escrow.Tag{other} }, "spent": func(h *Handed) { h.Spent = []escrow.Tag{other} },
		"signature": func(h *Handed) { h.Signature = make([]byte, ed25519.SignatureSize) }, "no signature": func(h *Handed) { h.Signature = nil },
	} {
		h := sound
		change(&h)
		if err := h.Check(vault, []ed25519.PublicKey{public}); allod.KindOf(err) != allod.Denied {
			t.Errorf("%s changed: got %v, want kind denied", what, err)
		}
	}
	if err := sound.Check(allod.GUID{2}, []ed25519.PublicKey{public}); allod.KindOf(err) != allod.Denied {
		t.Errorf("another vault: got %v, want kind denied", err)
	}
	if err := sound.Check(vault, nil); allod.KindOf(err) != allod.Denied {
		t.Errorf("no key: got %v, want kind denied", err)
	}
}
