package keyring

import (
	"allod"
)

// Role says which secrets a slot gives (design/vault.md, "Roles").
type Role string

// The roles. RoleAll is embedded mode: one process holds everything.
const (
	RoleCapture  Role = "capture"  // index key, current root; no identity
	RoleMaintain Role = "maintain" // identity; neither index key nor tree
	RoleRead     Role = "read"     // index key, all roots, identity
	RoleRestore  Role = "restore"  // as read, and signs undo
	RoleErase    Role = "erase"    // index key, all roots; no identity
	RoleAll      Role = "all"
)

func (r Role) known() bool {
	switch r {
	case RoleCapture, RoleMaintain, RoleRead, RoleRestore, RoleErase, RoleAll:
		return true
	}
	return false
}

// Reader reports whether slots of the role open rows: they hold the identity,
// the index key and the tree.
func (r Role) Reader() bool { return r == RoleRead || r == RoleRestore || r == RoleAll }

// The purposes of signing keys. A reader of the log refuses an entry whose
// kind its signer may not sign.
const (
	SignCapture  = "capture"
	SignMaintain = "maintain"
	SignUndo     = "undo"
	SignErase    = "erase"
	SignSlot     = "slot"   // slot objects
	SignLedger   = "ledger" // entries and checkpoints of the ledger; every role has it
)

// RootKey opens one root of the key tree at one epoch.
type RootKey struct {
	Root  uint64
	Epoch uint64
	State [32]byte // state key: seals keytree/<root>/<epoch>/
}

// SigningKey is the Ed25519 seed for one purpose.
type SigningKey struct {
	Use  string // one of Sign*
	Seed [32]byte
}

// Secrets are what the slots of a vault keep. A slot holds the part that its
// role may have; what a role lacks is zero.
type Secrets struct {
	Vault      allod.GUID
	Role       Role         // which part this is; RoleAll when it is everything
	RootKey                 // the current root
	Older      []RootKey    // earlier roots, ascending; readers and erase
	Index      [32]byte     // index key: leaves and tags of records
	Pseudonyms [32]byte     // key of the opaque names in the ledger; every role
	Identity   string       // age hybrid identity that opens packs; reader roles and maintain
	Signing    []SigningKey // sorted by Use
}
