// Package keyring keeps the secrets of a vault in slots: small objects, each
// sealed to one post-quantum hybrid age recipient whose private half is held by
// a passphrase, a key file, paper, or a KMS. Slots are the only thing of a
// vault that must be deletable; they lie in erasable places. The bytes are
// described in FORMAT.md, "Slots".
package keyring

import (
	"context"
	"crypto/ed25519"
	"time"

	"allod"
	"allod/internal/blob"
)

// Wrapper holds the private half of slots in one way: it seals the half when
// the slot is made, and opens it when the slot is opened. Wrap is called once
// in the life of a slot; rotation needs neither. Methods may be called from
// several goroutines.
type Wrapper interface {
	// Kind names the way, a word such as "passphrase"; Unwrap is only called
	// with what a Wrapper of the same Kind wrapped.
	Kind() string
	// Wrap seals secret (at most 8 KiB).
	Wrap(secret []byte) ([]byte, error)
	// Unwrap opens what Wrap returned. Denied if this is not the right
	// passphrase, key file or paper; Corrupt if the bytes make no sense.
	Unwrap(wrapped []byte) ([]byte, error)
}

// Kinds of the wrappers in this package.
const (
	KindPassphrase = "passphrase"
	KindKeyFile    = "key-file"
	KindPaper      = "paper"
)

// Slot is the public half of a slot: what is needed to write it for a new
// epoch, and nothing that opens it without the Wrapper.
type Slot struct {
	Name      string // lower-case letters, digits and -, at most 40, e.g. "passphrase"; unique in the vault
	Kind      string // the Wrapper's
	Role      Role
	Recipient string // age1pq1…
	Wrapped   []byte // the private half, sealed by the Wrapper
}

// Pin is what the configuration remembers about a vault's slots; a place that
// says otherwise is not obeyed.
type Pin struct {
	Vault   allod.GUID
	Signers []ed25519.PublicKey // whose slots count; none = no slot opens
}

// Opened describes an opened slot.
type Opened struct {
	Name  string
	Kind  string
	Role  Role
	Root  uint64
	Epoch uint64
}

// Proof records that a slot was opened for real.
type Proof struct {
	Slot  string    `json:"slot"`
	Kind  string    `json:"kind"`
	Role  Role      `json:"role"`
	Root  uint64    `json:"root"`
	Epoch uint64    `json:"epoch"`
	At    time.Time `json:"at"` // UTC
}

var _ = context.Canceled
var _ blob.Mutable
