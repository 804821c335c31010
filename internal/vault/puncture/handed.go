package puncture

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"time"

	"allod"
	"allod/internal/vault/escrow"
)

// Handed is an erasure that was asked for and approved, as far as who holds the
// keys of role erase alone has to know it: nobody reads a row for it. It stands
// in the state of the office, which whoever captures can write, and is signed
// by a key of use erase, which they have not (FORMAT.md §3.1).
type Handed struct {
	Run         string       `json:"run"`             // id of the act, as the log entry will bear it
	Environment string       `json:"environment"`     // name
	Tags        []escrow.Tag `json:"tags"`            // whose keys are to go
	Spent       []escrow.Tag `json:"spent,omitempty"` // of the office, in the same step
	Until       time.Time    `json:"until"`           // UTC; not to be carried out later
	Signature   []byte       `json:"signature"`
}

// signed is what the signature is made over.
func (h *Handed) signed(vault allod.GUID) ([]byte, error) {
	plain := *h
	plain.Signature = nil
	b, err := json.Marshal(&plain)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "hand over an erasure: %w", err)
	}
	return append([]byte("allod handed v1\n"+vault.String()+"\n"), b...), nil
}

// Sign signs it for the vault.
func (h *Handed) Sign(vault allod.GUID, key ed25519.PrivateKey) error {
	b, err := h.signed(vault)
	if err == nil {
		h.Signature = ed25519.Sign(key, b)
	}
	return err
}

// Check is Denied unless one of the keys has signed it for the vault.
func (h *Handed) Check(vault allod.GUID, keys []ed25519.PublicKey) error {
	b, err := h.signed(vault)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return ed25519.Verify(k, b, h.Signature) }) {
		return nil
	}
	return allod.Errorf(allod.Denied, "carry out what was handed over: no key of use erase has signed it")
}

// Is reports whether both are the same.
func (h *Handed) Is(o *Handed) bool { return slices.Equal(h.Signature, o.Signature) }
