package log

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"allod"
)

// Uses of signing keys, as in the vault object.
const (
	UseCapture  = "capture"
	UseMaintain = "maintain"
	UseUndo     = "undo"
	UseErase    = "erase"
	UseSlot     = "slot"
	UseLedger   = "ledger"
)

// Kind of a log entry.
type Kind string

// The kinds of entries.
const (
	KindCapture   Kind = "capture"
	KindUndo      Kind = "undo"
	KindOffice    Kind = "office"
	KindCompact   Kind = "compact"
	KindExpire    Kind = "expire"
	KindErase     Kind = "erase"
	KindRestrict  Kind = "restrict"
	KindRectify   Kind = "rectify"
	KindSchema    Kind = "schema"
	KindSlot      Kind = "slot"
	KindSigner    Kind = "signer"
	KindRecipient Kind = "recipient"
)

// MaySign returns the uses whose keys may sign entries of the kind; none for
// an unknown kind.
func MaySign(k Kind) []string {
	switch k {
	case KindCapture, KindSchema, KindOffice:
		return []string{UseCapture}
	case KindUndo:
		return []string{UseUndo}
	case KindCompact, KindExpire:
		return []string{UseMaintain}
	case KindErase, KindRestrict, KindRectify:
		return []string{UseErase}
	case KindSlot, KindSigner, KindRecipient:
		return []string{UseSlot}
	}
	return nil
}

// ObjectRole says what an object is to the entry that names it.
type ObjectRole string

// The roles of objects.
const (
	RolePack ObjectRole = "pack" // packs/<digest>
	RoleFile ObjectRole = "file" // files/<digest>
)

// Object is an object that an entry makes part of the vault.
type Object struct {
	Digest Digest     `json:"digest"` // SHA-256 of the object's bytes: its name
	Size   int64      `json:"size"`   // bytes
	Role   ObjectRole `json:"role"`
	// Trailer is the SHA-256 of the pack's plain trailer: it ties index,
	// blocks, filter and manifest to this entry. Zero for files.
	Trailer Digest `json:"trailer,omitzero"`
	// Tier of a pack: 0 capture, 1 day, 2 month, 3 year or base.
	Tier int `json:"tier,omitempty"`
}

// Name returns the object's name in the store.
func (o Object) Name() string {
	if o.Role == RoleFile {
		return "files/" + o.Digest.String()
	}
	return "packs/" + o.Digest.String()
}

// Counts of an entry: rows.
type Counts struct {
	Rows    int64 `json:"rows"` // alive in the environment after the entry
	Created int64 `json:"created"`
	Updated int64 `json:"updated"`
	Deleted int64 `json:"deleted"`
}

// LedgerRoot is a head of the ledger that the writer had seen.
type LedgerRoot struct {
	Size int64  `json:"size"`
	Hash Digest `json:"hash"`
}

// Moved is an earlier root of the key tree whose epoch an entry moves, and the
// digests of its absent list.
type Moved struct {
	Root         uint64 `json:"root"`
	AbsentBefore Digest `json:"absent_before"`
	AbsentAfter  Digest `json:"absent_after"`
}

// Entry is one log entry. Times are UTC with whole milliseconds.
type Entry struct {
	Magic  string    `json:"magic"`
	Format int       `json:"format"`
	Vault  string    `json:"vault"` // 32 hexadecimal digits
	N      uint64    `json:"n"`     // from 1
	Prev   Digest    `json:"prev"`  // SHA-256 of entry n-1; zeros for n = 1
	Kind   Kind      `json:"kind"`
	Run    string    `json:"run"` // 32 hexadecimal digits; entries of one run share it
	Time   time.Time `json:"time"`

	Environment uint32 `json:"environment"` // number; 0 = office
	Capture     uint64 `json:"capture"`     // number within the environment, from 1; 0 = not a capture
	Base        uint64 `json:"base"`        // last capture number that the writer knew; 0 = none
	Line        uint64 `json:"line"`

	Root         uint64 `json:"root"`  // current root of the key tree
	Epoch        uint64 `json:"epoch"` // its epoch from this entry on
	AbsentBefore Digest `json:"absent_before,omitzero"`
	AbsentAfter  Digest `json:"absent_after,omitzero"`
	// Roots are the earlier roots of the key tree, all of them, of an entry that
	// moves the epoch: theirs moves with it, to the same number.
	Roots []Moved `json:"roots,omitempty"`

	Objects []Object `json:"objects"`
	// Compact says which packs the objects replace: of an entry of kind compact.
	Compact  *Compaction `json:"compact,omitempty"`
	Counts   Counts      `json:"counts"`
	From     time.Time   `json:"from,omitzero"`
	To       time.Time   `json:"to,omitzero"`
	Complete bool        `json:"complete"`
	Ledger   LedgerRoot  `json:"ledger,omitzero"`

	// Sealed is what only holders of the index key read (FORMAT.md, "Sealed
	// part"); nil = nothing.
	Sealed []byte `json:"sealed,omitempty"`
	Signer Key    `json:"signer"` // public key that signs
}

const (
	entryMagic  = "allod log"
	entrySigned = "allod log v1\n"

	// MaxEntry is the most bytes an entry may have.
	MaxEntry = 64 << 20
	// MaxRoots is how many roots before the current one a key tree may have.
	MaxRoots = 1000
)

// EntryName returns log/<20 digits>.
func EntryName(n uint64) string { return fmt.Sprintf("%s%020d", EntryPrefix, n) }

// ParseEntryName reads the number out of a name.
func ParseEntryName(name string) (uint64, bool) {
	if len(name) != len(EntryPrefix)+20 {
		return 0, false
	}
	n, err := strconv.ParseUint(name[len(EntryPrefix):], 10, 64)
	if err != nil || EntryName(n) != name {
		return 0, false
	}
	return n, true
}

// formatOf returns the format version of entries of a kind.
func formatOf(k Kind) int {
	if k == KindCompact {
		return FormatCompact
	}
	return Format
}

// Encode completes Magic, Format and Signer, signs, and returns the object and
// its digest, which the next entry names.
func (e *Entry) Encode(key ed25519.PrivateKey) ([]byte, Digest, error) {
	e.Magic, e.Format = entryMagic, formatOf(e.Kind)
	copy(e.Signer[:], key.Public().(ed25519.PublicKey))
	e.Time, e.From, e.To = stamp(e.Time), stamp(e.From), stamp(e.To)
	if e.Objects == nil {
		e.Objects = []Object{}
	}
	if err := e.check(); err != nil {
		return nil, Digest{}, err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return nil, Digest{}, allod.Errorf(allod.Internal, "encode log entry %d: %w", e.N, err)
	}
	b := sign(entrySigned, line, key)
	if len(b) > MaxEntry {
		return nil, Digest{}, allod.Errorf(allod.Invalid, "encode log entry %d: %d bytes are more than %d", e.N, len(b), MaxEntry)
	}
	return b, sha256.Sum256(b), nil
}

func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Decode reads entry n and checks form, number, vault and signature; the chain
// is checked by Chain. A newer format is Invalid, anything else wrong Corrupt.
func Decode(b []byte, n uint64, pin Pin) (*Entry, Digest, error) {
	what := "log entry " + strconv.FormatUint(n, 10)
	if len(b) > MaxEntry {
		return nil, Digest{}, allod.Errorf(allod.Corrupt, "read %s: %d bytes are too many", what, len(b))
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if err := checkFormat(line, entryMagic, FormatCompact, what); err != nil {
		return nil, Digest{}, err
	}
	e := new(Entry)
	signer, err := decodeSigned(b, entrySigned, pin, e, what)
	if err != nil {
		return nil, Digest{}, err
	}
	if e.N != n || e.Vault != fmt.Sprintf("%x", pin.Vault[:]) {
		return nil, Digest{}, allod.Errorf(allod.Corrupt, "read %s: it is another entry, or of another vault", what)
	}
	allowed := slices.ContainsFunc(pin.Signers, func(s Signer) bool {
		return s.Key == e.Signer && slices.Contains(MaySign(e.Kind), s.Use)
	})
	if !allowed || e.Signer != signer {
		return nil, Digest{}, allod.Errorf(allod.Corrupt, "read %s: its signer may not sign entries of kind %q, or names another", what, e.Kind)
	}
	if err := e.check(); err != nil {
		return nil, Digest{}, allod.Errorf(allod.Corrupt, "read %s: %w", what, err)
	}
	if e.Format != formatOf(e.Kind) {
		return nil, Digest{}, allod.Errorf(allod.Corrupt, "read %s: entries of kind %q have another format", what, e.Kind)
	}
	return e, sha256.Sum256(b), nil
}

// check refuses what no writer may write.
func (e *Entry) check() error {
	bad := func(why string) error { return allod.Errorf(allod.Invalid, "log entry %d: %s", e.N, why) }
	switch {
	case e.N == 0:
		return bad("numbers begin at 1")
	case len(MaySign(e.Kind)) == 0:
		return bad("unknown kind")
	case e.Capture != 0 && e.Base >= e.Capture:
		return bad("base is not before the capture")
	case e.Counts.Rows < 0 || e.Counts.Created < 0 || e.Counts.Updated < 0 || e.Counts.Deleted < 0:
		return bad("negative counts")
	case e.Ledger.Size < 0:
		return bad("negative ledger size")
	case len(e.Run) > 64:
		return bad("run id too long")
	case (e.Kind == KindCompact) != (e.Compact != nil) || e.Compact != nil && !e.compacts():
		return bad("it does not say what it replaces, or has what no compaction has")
	case len(e.Roots) > MaxRoots || len(e.Roots) > 0 && !mayMoveEpoch(e.Kind):
		return bad("too many earlier roots, or a kind that may not move them")
	}
	for i, r := range e.Roots {
		if r.Root == 0 || r.Root >= e.Root || i > 0 && r.Root <= e.Roots[i-1].Root {
			return bad("earlier roots are not in order")
		}
	}
	for _, o := range e.Objects {
		if o.Role != RolePack && o.Role != RoleFile || o.Size < 0 || o.Tier < 0 || o.Tier > 3 {
			return bad("an object is not described")
		}
	}
	return nil
}

// Chain checks entries as they follow one another. The zero Chain stands
// before entry 1; a Chain taken from a checkpoint stands behind its entry.
type Chain struct {
	N       uint64
	Last    Digest
	Time    time.Time
	Epochs  map[uint64]uint64 // root → epoch in force
	Capture map[uint32]uint64 // environment → last capture number
}

// Root returns the current root of the key tree: the highest that an entry
// named; 0 before entry 1.
func (c *Chain) Root() uint64 {
	root := uint64(0)
	for r := range c.Epochs {
		root = max(root, r)
	}
	return root
}

// Epoch returns the epoch in force, which all roots have; 0 before entry 1.
func (c *Chain) Epoch() uint64 { return c.Epochs[c.Root()] }

// Add checks that e, whose object has digest d, follows, and moves on.
// Anything else is Corrupt: numbers and chain, time not going back, capture
// numbers rising, the epoch not going back, nor moved, nor another root begun,
// by an entry whose kind may not; an epoch moved for some roots alone.
func (c *Chain) Add(e *Entry, d Digest) error {
	bad := func(why string) error { return allod.Errorf(allod.Corrupt, "check log entry %d: %s", e.N, why) }
	root, epoch := c.Root(), c.Epoch()
	switch {
	case e.N != c.N+1:
		return bad(fmt.Sprintf("it does not follow entry %d", c.N))
	case e.Prev != c.Last:
		return bad("it does not name the entry before it")
	case e.Time.Before(c.Time):
		return bad("it is earlier than the entry before it")
	case e.Capture != 0 && (e.Capture <= c.Capture[e.Environment] || e.Base != c.Capture[e.Environment]):
		return bad("its capture number does not follow")
	case e.Root == 0 || e.Epoch == 0:
		return bad("roots and epochs begin at 1")
	case e.Epoch < epoch:
		return bad("its epoch is older than the one in force")
	case root != 0 && (e.Root != root || e.Epoch != epoch) && !mayMoveEpoch(e.Kind):
		return bad("an entry of this kind may not move the epoch or name another root")
	case root != 0 && e.Root != root && (e.Root != root+1 || e.Epoch == epoch):
		return bad("a root follows the one before it, in an epoch of its own")
	case root != 0 && !c.moves(e):
		return bad("an epoch moves for all roots, or for none")
	}
	if c.Epochs == nil {
		c.Epochs, c.Capture = map[uint64]uint64{}, map[uint32]uint64{}
	}
	c.N, c.Last, c.Time = e.N, d, e.Time
	c.Epochs[e.Root] = e.Epoch
	for _, r := range e.Roots {
		c.Epochs[r.Root] = e.Epoch
	}
	if e.Capture != 0 {
		c.Capture[e.Environment] = e.Capture
	}
	return nil
}

// moves reports whether e names every earlier root where it moves the epoch, and
// none where it does not.
func (c *Chain) moves(e *Entry) bool {
	want := 0
	if e.Epoch != c.Epoch() {
		want = len(c.Epochs)
		if _, known := c.Epochs[e.Root]; known {
			want--
		}
	}
	return len(e.Roots) == want && !slices.ContainsFunc(e.Roots, func(r Moved) bool { return c.Epochs[r.Root] == 0 })
}

func mayMoveEpoch(k Kind) bool {
	return k == KindErase || k == KindRestrict || k == KindRectify || k == KindSlot
}
