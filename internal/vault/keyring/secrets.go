package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"io"
	"slices"

	"filippo.io/age"

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

// Separation says in one sentence what a process with a slot of the role can
// do, and what it cannot; "" for no role.
func (r Role) Separation() string {
	switch r {
	case RoleAll:
		return "none: this process holds all roles (embedded mode)"
	case RoleCapture:
		return "this process captures: it opens no row of the past"
	case RoleMaintain:
		return "this process maintains: it opens packs, and no row in them"
	case RoleErase:
		return "this process erases: it opens no pack"
	case RoleRead:
		return "this process reads: it writes nothing but decisions"
	case RoleRestore:
		return "this process reads and restores: it captures nothing but what it is about to change"
	}
	return ""
}

// signs lists the uses of signing keys that the role has.
func (r Role) signs() []string {
	switch r {
	case RoleCapture:
		return []string{SignCapture, SignLedger}
	case RoleMaintain:
		return []string{SignLedger, SignMaintain}
	case RoleRestore:
		return []string{SignLedger, SignUndo}
	case RoleErase:
		return []string{SignErase, SignLedger, SignSlot}
	case RoleAll:
		return []string{SignCapture, SignErase, SignLedger, SignMaintain, SignSlot, SignUndo}
	default:
		return []string{SignLedger}
	}
}

// The uses of signing keys. A reader of the log refuses an entry whose kind its
// signer may not sign.
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

// SigningKey is the Ed25519 seed for one use.
type SigningKey struct {
	Use  string // one of Sign*
	Seed [32]byte
}

// Secrets are what the slots of a vault keep. A slot holds the part that its
// role may have; what a role lacks is zero. Never log or print a Secrets.
type Secrets struct {
	Vault      allod.GUID
	Role       Role         // which part this is; RoleAll when it is everything
	RootKey                 // the current root
	Older      []RootKey    // earlier roots, ascending by Root; at most 1,000
	Index      [32]byte     // index key: leaves and tags of records
	Pseudonyms [32]byte     // key of the opaque names in the ledger; every role
	Identity   string       // age hybrid identity that opens packs; readers and maintain
	Signing    []SigningKey // sorted by Use
}

// NewSecrets draws the secrets of a new vault: root 1, epoch 1.
func NewSecrets(vault allod.GUID) (Secrets, error) {
	if vault.IsZero() {
		return Secrets{}, allod.Errorf(allod.Invalid, "make the secrets of a vault: it has no id")
	}
	s := Secrets{Vault: vault, Role: RoleAll, RootKey: RootKey{Root: 1, Epoch: 1}}
	for _, k := range []*[32]byte{&s.State, &s.Index, &s.Pseudonyms} {
		if err := draw(k[:]); err != nil {
			return Secrets{}, err
		}
	}
	for _, use := range RoleAll.signs() {
		k := SigningKey{Use: use}
		if err := draw(k.Seed[:]); err != nil {
			return Secrets{}, err
		}
		s.Signing = append(s.Signing, k)
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return Secrets{}, allod.Errorf(allod.Internal, "make the read identity: %w", err)
	}
	s.Identity = id.String()
	return s, nil
}

func draw(b []byte) error {
	if _, err := io.ReadFull(rand.Reader, b); err != nil {
		return allod.Errorf(allod.Internal, "draw a key: %w", err)
	}
	return nil
}

// For returns the part of s that the role may have. It shares no memory with
// s. Denied if s, being a part itself, lacks something of it.
func (s Secrets) For(r Role) (Secrets, error) {
	if !r.known() {
		return Secrets{}, allod.Errorf(allod.Invalid, "choose the secrets of role %q: no such role", r)
	}
	out := Secrets{Vault: s.Vault, Role: r, RootKey: RootKey{Root: s.Root, Epoch: s.Epoch}, Pseudonyms: s.Pseudonyms}
	if r != RoleMaintain {
		out.Index, out.State = s.Index, s.State
		if r != RoleCapture {
			out.Older = slices.Clone(s.Older)
		}
	}
	if r.Reader() || r == RoleMaintain {
		out.Identity = s.Identity
	}
	for _, use := range r.signs() {
		for _, k := range s.Signing {
			if k.Use == use {
				out.Signing = append(out.Signing, k)
			}
		}
	}
	if err := out.check(); err != nil {
		return Secrets{}, allod.Errorf(allod.Denied, "choose the secrets of role %s from those of role %s: %w", r, s.Role, err)
	}
	return out, nil
}

// check reports whether s is exactly what its role has.
func (s Secrets) check() error {
	bad := func(what string) error {
		return allod.Errorf(allod.Corrupt, "the secrets of role %s: %s", s.Role, what)
	}
	zero := [32]byte{}
	tree := s.Role != RoleMaintain
	switch {
	case !s.Role.known() || s.Vault.IsZero() || s.Epoch == 0:
		return bad("vault, role or epoch missing")
	case s.Pseudonyms == zero:
		return bad("pseudonym key missing")
	case (s.Index != zero) != tree || (s.State != zero) != tree:
		return bad("index key or state key does not fit")
	case (s.Identity != "") != (s.Role.Reader() || s.Role == RoleMaintain):
		return bad("identity does not fit")
	case len(s.Older) > maxRoots || len(s.Older) > 0 && (s.Role == RoleCapture || !tree):
		return bad("earlier roots do not fit")
	}
	for i, k := range s.Older {
		if k.State == zero || k.Root >= s.Root || i > 0 && k.Root <= s.Older[i-1].Root {
			return bad("earlier roots are not in order")
		}
	}
	uses := s.Role.signs()
	if len(s.Signing) != len(uses) {
		return bad("signing keys do not fit")
	}
	for i, k := range s.Signing {
		if k.Use != uses[i] || k.Seed == zero {
			return bad("signing keys do not fit")
		}
	}
	return nil
}

// Signer returns the signing key for a use; Denied if these secrets lack it.
func (s Secrets) Signer(use string) (ed25519.PrivateKey, error) {
	for _, k := range s.Signing {
		if k.Use == use {
			return ed25519.NewKeyFromSeed(k.Seed[:]), nil
		}
	}
	return nil, allod.Errorf(allod.Denied, "sign as %s: the slot of role %s has no such key", use, s.Role)
}

// Recipient returns the age recipient that packs are sealed to; Denied if these
// secrets lack the identity.
func (s Secrets) Recipient() (string, error) {
	if s.Identity == "" {
		return "", allod.Errorf(allod.Denied, "name the read recipient: the slot of role %s has no identity", s.Role)
	}
	id, err := age.ParseHybridIdentity(s.Identity)
	if err != nil {
		return "", allod.Errorf(allod.Corrupt, "name the read recipient: the identity is not one")
	}
	return id.Recipient().String(), nil
}

// Wipe overwrites the keys that s holds. Identity is a Go string and can only
// be let go; copies made before, and what the collector moved, stay until the
// memory is used again (THREATS.md).
func (s *Secrets) Wipe() {
	clear(s.State[:])
	clear(s.Index[:])
	clear(s.Pseudonyms[:])
	for i := range s.Older {
		clear(s.Older[i].State[:])
	}
	for i := range s.Signing {
		clear(s.Signing[i].Seed[:])
	}
	*s = Secrets{}
}

// Limits of the sealed part of a slot.
const (
	maxRoots    = 1000
	maxSecrets  = 64 << 10
	maxIdentity = 4 << 10
)

// The two sealed parts of a slot begin so (FORMAT.md, Slots).
const (
	lastingMagic = "allod lasting\x00\x00\x01"
	epochMagic   = "allod epoch\x00\x00\x00\x00\x01"
)

// marshalLasting writes what does not change with the epoch, for the named
// slot. Clear the result.
func (s Secrets) marshalLasting(slot string) []byte {
	b := s.begin(lastingMagic, slot)
	b = append(b, s.Index[:]...)
	b = append(b, s.Pseudonyms[:]...)
	b = appendText(b, s.Identity)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Signing)))
	for _, k := range s.Signing {
		b = appendText(b, k.Use)
		b = append(b, k.Seed[:]...)
	}
	return b
}

// marshalEpoch writes the keys of the roots, for the named slot. Clear the
// result.
func (s Secrets) marshalEpoch(slot string) []byte {
	b := appendRoot(s.begin(epochMagic, slot), s.RootKey)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Older)))
	for _, k := range s.Older {
		b = appendRoot(b, k)
	}
	return b
}

func (s Secrets) begin(magic, slot string) []byte {
	b := make([]byte, 0, 4<<10+len(s.Older)*48)
	b = append(b, magic...)
	b = append(b, s.Vault[:]...)
	b = appendText(b, string(s.Role))
	return appendText(b, slot)
}

// roots returns the part of s that changes with the epoch, for a role.
func (s Secrets) roots(r Role) (Secrets, error) {
	out := Secrets{Vault: s.Vault, Role: r, RootKey: s.RootKey}
	switch {
	case r == RoleMaintain:
		clear(out.State[:])
	case s.State == [32]byte{} || r != RoleCapture && s.Role == RoleCapture:
		return Secrets{}, allod.Errorf(allod.Denied, "seal the tree's keys for role %s: the slot of role %s does not have them", r, s.Role)
	case r != RoleCapture:
		out.Older = slices.Clone(s.Older)
	}
	return out, nil
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func appendRoot(b []byte, k RootKey) []byte {
	b = binary.BigEndian.AppendUint64(b, k.Root)
	b = binary.BigEndian.AppendUint64(b, k.Epoch)
	return append(b, k.State[:]...)
}

// unmarshalSecrets reads what marshalLasting and marshalEpoch wrote for the
// named slot of the vault and role.
func unmarshalSecrets(lasting, epoch []byte, vault allod.GUID, role Role, slot string) (Secrets, error) {
	bad := func(what string) (Secrets, error) {
		return Secrets{}, allod.Errorf(allod.Corrupt, "read the secrets of a slot: %s", what)
	}
	s := Secrets{Vault: vault, Role: role}
	a, ok := bytes.CutPrefix(lasting, s.begin(lastingMagic, slot))
	b, ok2 := bytes.CutPrefix(epoch, s.begin(epochMagic, slot))
	if !ok || !ok2 {
		return bad("they were sealed for another slot, or in a format that this Allod does not know")
	}
	r := reader{b: a}
	r.copy(s.Index[:])
	r.copy(s.Pseudonyms[:])
	s.Identity = r.text(maxIdentity)
	for range min(int(r.uint16()), len(RoleAll.signs())+1) {
		k := SigningKey{Use: r.text(maxName)}
		r.copy(k.Seed[:])
		s.Signing = append(s.Signing, k)
	}
	if r.bad || len(r.b) > 0 {
		return bad("wrong length")
	}
	r = reader{b: b}
	s.RootKey = r.root()
	n := int(r.uint16())
	if n > maxRoots || n*48 != len(r.b) {
		return bad("wrong number of roots")
	}
	for range n {
		s.Older = append(s.Older, r.root())
	}
	if r.bad || len(r.b) > 0 {
		return bad("wrong length")
	}
	if err := s.check(); err != nil {
		return Secrets{}, err
	}
	return s, nil
}

// reader takes fields off a hostile slice; after a field that is not there it
// is bad and yields zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) copy(dst []byte) { copy(dst, r.take(len(dst))) }

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// text reads a 16-bit length and as many bytes, at most limit.
func (r *reader) text(limit int) string {
	n := int(r.uint16())
	if n > limit {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

func (r *reader) root() RootKey {
	k := RootKey{Root: r.uint64(), Epoch: r.uint64()}
	r.copy(k.State[:])
	return k
}
