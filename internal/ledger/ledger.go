// Package ledger keeps the tamper-evident record of every decision about
// stored content and of every act under one: a Merkle tree as in RFC 6962
// (golang.org/x/mod/sumdb/tlog) whose entries, tiles and signed checkpoints
// are immutable objects under ledger/ in the vault's store. The bytes are
// described in FORMAT.md, "Ledger".
//
// An entry object is a signed note (C2SP signed-note) that names the tree hash
// of all entries before it; putting it, if absent, is the commit point and the
// only mutual exclusion between processes. Tiles and checkpoints follow from
// the entries and can be made again.
package ledger

import (
	"crypto/ed25519"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
	"allod/internal/blob"
)

// Config says where a ledger lies and whose word counts in it.
type Config struct {
	Store blob.Store
	Vault allod.GUID // goes into every entry and checkpoint

	// Key signs what this process appends; nil = read only, Append is Denied.
	Key ed25519.PrivateKey
	// Trusted are the public keys, pinned by the configuration, whose entries
	// and checkpoints count. The public half of Key counts too.
	Trusted []ed25519.PublicKey

	// Pseudonyms is the key under which Opaque makes names opaque. All
	// processes of a vault share it, so that an actor looks the same in each.
	Pseudonyms [32]byte

	// Remembered is a head seen earlier (vault log, database). A ledger that
	// is shorter, or has another hash at that size, is Corrupt. Zero = none.
	Remembered Head

	Now func() time.Time // required when Key is set
}

// Head is a state of the ledger: how many entries and the hash of their tree.
type Head struct {
	Size int64
	Hash tlog.Hash
}
