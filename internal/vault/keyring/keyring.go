// Package keyring keeps the secrets of a vault in slots: small objects, each
// sealed to one post-quantum hybrid age recipient whose private half is held by
// a passphrase, a key file, paper, or a KMS. Slots are the only thing of a
// vault that must be deletable; they lie in erasable places. The bytes are
// described in FORMAT.md, "Slots".
//
// Writing slots for a new epoch needs their public halves only: the private
// half, sealed once by its Wrapper, is carried forward as it is.
package keyring

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
)

// Wrapper holds the private half of slots in one way: it seals the half when
// the slot is made, and opens it when the slot is opened. Wrap is called once
// in the life of a slot; rotation calls neither. Methods may be called from
// several goroutines.
type Wrapper interface {
	// Kind names the way: lower-case letters, digits and -, e.g.
	// "passphrase". Unwrap is given only what a Wrapper of the same Kind
	// wrapped.
	Kind() string
	// Wrap seals secret, at most 8 KiB, into at most 16 KiB, for one slot.
	Wrap(ctx context.Context, of Of, secret []byte) ([]byte, error)
	// Unwrap opens what Wrap returned for the same slot; the caller clears it.
	// Denied if this is not the right passphrase, key file, paper or key;
	// Corrupt if the bytes make no sense; Unavailable if a service that holds
	// the key does not answer. The bytes were checked to come from a pinned
	// signer.
	Unwrap(ctx context.Context, of Of, wrapped []byte) ([]byte, error)
}

// Of says whose private half is wrapped. Wrappers whose key serves several
// slots bind what they wrap to it; those with a key of their own may ignore it.
type Of struct {
	Vault allod.GUID
	Slot  string // its name
}

// Kinds of the wrappers in this package.
const (
	KindPassphrase = "passphrase"
	KindKeyFile    = "key-file"
	KindPaper      = "paper"
)

// Slot is the public half of a slot: what is needed to write it for another
// epoch, and nothing that opens it without the Wrapper.
type Slot struct {
	Name      string // lower-case letters, digits and -, at most 40, e.g. "passphrase"; unique in the vault
	Kind      string // the Wrapper's
	Role      Role
	Recipient string // age1pq1…
	Wrapped   []byte // the private half, sealed by the Wrapper

	// Lasting is what the slot holds beside the keys of the roots (index key,
	// identity, signing keys), sealed to Recipient when the slot was first
	// written and carried forward since: who rotates need not have it. Empty
	// in a new slot.
	Lasting []byte
}

// Pin is what the configuration remembers about a vault's slots; a place that
// says otherwise is not obeyed.
type Pin struct {
	Vault   allod.GUID
	Signers []ed25519.PublicKey // of SignSlot: whose slots count; none = no slot opens
}

// Placed is a slot as it lies in a place. Its signature was checked.
type Placed struct {
	Slot
	Root    uint64
	Epoch   uint64
	Written time.Time // UTC, milliseconds, by the clock of who wrote it
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

const slotPrefix = "slots/"

// ObjectName returns the name of a slot's object for an epoch, e.g.
// "slots/paper@1".
func ObjectName(slot string, epoch uint64) string {
	return fmt.Sprintf("%s%s@%d", slotPrefix, slot, epoch)
}

func parseObjectName(name string) (slot string, epoch uint64, ok bool) {
	slot, digits, _ := strings.Cut(strings.TrimPrefix(name, slotPrefix), "@")
	epoch, err := strconv.ParseUint(digits, 10, 64)
	return slot, epoch, err == nil && word(slot) && ObjectName(slot, epoch) == name
}

// NewSlot makes a slot of the vault and role whose private half w holds.
func NewSlot(ctx context.Context, vault allod.GUID, name string, role Role, w Wrapper) (Slot, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return Slot{}, allod.Errorf(allod.Internal, "make slot %s: %w", name, err)
	}
	s := Slot{Name: name, Kind: w.Kind(), Role: role, Recipient: id.Recipient().String()}
	if !s.valid() {
		return Slot{}, allod.Errorf(allod.Invalid, "make slot %q of kind %q and role %q: names are lower-case letters, digits and -, at most %d", name, s.Kind, role, maxName)
	}
	half := []byte(id.String())
	defer clear(half)
	if s.Wrapped, err = w.Wrap(ctx, Of{Vault: vault, Slot: name}, half); err != nil {
		return Slot{}, allod.Errorf(allod.KindOf(err), "make slot %s: %w", name, err)
	}
	if !s.valid() {
		return Slot{}, allod.Errorf(allod.Internal, "make slot %s: the wrapper returned %d bytes", name, len(s.Wrapped))
	}
	return s, nil
}

// Write seals the keys of the roots to every slot, writes the objects of epoch
// s.Epoch to every place, replacing what is there, and reads each back. It
// stops at the first failure; slots of other epochs stay as they are. For a new
// slot (Lasting empty) s must hold all that the slot's role has; to rotate
// slots that List returned, the keys of the roots and the slot signing key are
// enough (RoleErase). now gives the time that the objects bear.
func Write(ctx context.Context, places []blob.Mutable, slots []Slot, s Secrets, now func() time.Time) error {
	if len(places) == 0 || len(slots) == 0 {
		return allod.Errorf(allod.Invalid, "write slots: no place or no slot was named")
	}
	key, err := s.Signer(SignSlot)
	if err != nil {
		return err
	}
	pin := Pin{Vault: s.Vault, Signers: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
	seen := map[string]bool{}
	for _, slot := range slots {
		if !slot.valid() || seen[slot.Name] {
			return allod.Errorf(allod.Invalid, "write slot %q: a name that is no name, or one given twice", slot.Name)
		}
		seen[slot.Name] = true
		o := object{Slot: slot, vault: s.Vault, root: s.Root, epoch: s.Epoch, written: now().UTC()}
		if o.sealed, err = o.seal(s); err != nil {
			return err
		}
		b := marshalSlot(o, key)
		if _, err := parseSlot(b, pin); err != nil {
			return allod.Errorf(allod.Internal, "write slot %s: %w", slot.Name, err)
		}
		for _, place := range places {
			if err := put(ctx, place, ObjectName(slot.Name, s.Epoch), b); err != nil {
				return err
			}
		}
	}
	return nil
}

func put(ctx context.Context, place blob.Mutable, name string, b []byte) error {
	if err := place.Replace(ctx, name, b); err != nil {
		return allod.Errorf(allod.KindOf(err), "write %s: %w", name, err)
	}
	stored, err := get(ctx, place, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored, b) {
		return allod.Errorf(allod.Corrupt, "write %s: the place gave back other bytes", name)
	}
	return nil
}

func get(ctx context.Context, place blob.Store, name string) ([]byte, error) {
	r, err := place.Get(ctx, name, 0, maxSlot+1)
	if err != nil {
		kind := allod.KindOf(err)
		if errors.Is(err, blob.ErrNotFound) {
			kind = allod.NotFound
		}
		return nil, allod.Errorf(kind, "read %s: %w", name, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxSlot+1))
	_ = r.Close() // nothing was written; what was read is checked by its signature
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
	}
	return b, nil
}

// maxObjects bounds how many slot objects of one place are looked at, and
// maxTries how many of them one Wrapper is tried on.
const (
	maxObjects = 4096
	maxTries   = 16
)

// list reads the slot objects of a place, newest epoch first, then by name.
// Objects that are not slots of the pin are returned as errors.
func list(ctx context.Context, place blob.Store, pin Pin) (good []object, bad []error, err error) {
	if len(pin.Signers) == 0 || pin.Vault.IsZero() {
		err := allod.Errorf(allod.Denied, "read the slots: the configuration pins no vault or no signer")
		return nil, nil, allod.WithHint(err, "Take both from the configuration of the vault, or from the printed recovery sheet.")
	}
	count := 0
	listed := map[string]bool{}
	for info, err := range place.List(ctx, slotPrefix) {
		if err != nil {
			return nil, nil, allod.Errorf(allod.KindOf(err), "list the slots: %w", err)
		}
		if count++; count > maxObjects {
			return nil, nil, allod.Errorf(allod.Corrupt, "list the slots: more than %d objects", maxObjects)
		}
		if listed[info.Name] {
			continue // a store may list an object twice
		}
		listed[info.Name] = true
		name, epoch, ok := parseObjectName(info.Name)
		if !ok {
			bad = append(bad, allod.Errorf(allod.Corrupt, "%s: not the name of a slot", info.Name))
			continue
		}
		b, err := get(ctx, place, info.Name)
		if allod.KindOf(err) == allod.NotFound {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, nil, err
		}
		o, err := parseSlot(b, pin)
		if err == nil && (o.Name != name || o.epoch != epoch) {
			err = allod.Errorf(allod.Corrupt, "holds slot %s of epoch %d", o.Name, o.epoch)
		}
		if err != nil {
			bad = append(bad, keep(err, "%s: %w", info.Name, err))
			continue
		}
		good = append(good, o)
	}
	slices.SortFunc(good, func(a, b object) int { return cmp.Or(cmp.Compare(b.epoch, a.epoch), cmp.Compare(a.Name, b.Name)) })
	return good, bad, nil
}

func keep(err error, format string, args ...any) error {
	return allod.Errorf(allod.KindOf(err), format, args...)
}

// List returns the slots of a place that the pin vouches for, newest epoch
// first, then by name, and what else lies there as errors (Corrupt, or Denied
// for another vault's).
func List(ctx context.Context, place blob.Store, pin Pin) (slots []Placed, bad []error, err error) {
	objects, bad, err := list(ctx, place, pin)
	for _, o := range objects {
		slots = append(slots, Placed{Slot: o.Slot, Root: o.root, Epoch: o.epoch, Written: o.written})
	}
	return slots, bad, err
}

// OpenSlot opens a slot of the epoch with w and returns its secrets; epoch 0
// stands for the newest epoch that w opens. The epoch in force is the log's,
// never a slot's: callers that know the log ask for its epoch. Denied if w
// fits none, or if the slots are another vault's; NotFound if there is none of
// w's kind; Corrupt if those that there are cannot be read.
func OpenSlot(ctx context.Context, place blob.Store, pin Pin, epoch uint64, w Wrapper) (Secrets, Placed, error) {
	return open(ctx, place, pin, w, func(o object) bool { return epoch == 0 || o.epoch == epoch })
}

func open(ctx context.Context, place blob.Store, pin Pin, w Wrapper, want func(object) bool) (Secrets, Placed, error) {
	objects, bad, err := list(ctx, place, pin)
	if err != nil {
		return Secrets{}, Placed{}, err
	}
	var refused error
	tries := 0
	for _, o := range objects {
		if o.Kind != w.Kind() || !want(o) {
			continue
		}
		if tries++; tries > maxTries {
			break
		}
		s, err := o.open(ctx, w)
		if err == nil {
			return s, Placed{Slot: o.Slot, Root: o.root, Epoch: o.epoch, Written: o.written}, nil
		}
		if refused == nil || allod.KindOf(err) == allod.Denied {
			refused = err
		}
	}
	switch {
	case refused != nil:
		return Secrets{}, Placed{}, refused
	case len(bad) > 0:
		return Secrets{}, Placed{}, keep(bad[0], "open a slot: %w", bad[0])
	}
	err = allod.Errorf(allod.NotFound, "open a slot: there is none of kind %s for the epoch asked for", w.Kind())
	return Secrets{}, Placed{}, allod.WithHint(err, "See `allod vault status` for the slots there are and where they lie.")
}

// Prove opens the named slot of the epoch (0 = its newest) for real, wipes what
// it found, and returns the record that it opens as of now.
func Prove(ctx context.Context, place blob.Store, pin Pin, epoch uint64, name string, w Wrapper, now func() time.Time) (Proof, error) {
	s, p, err := open(ctx, place, pin, w, func(o object) bool { return o.Name == name && (epoch == 0 || o.epoch == epoch) })
	if err != nil {
		return Proof{}, err
	}
	s.Wipe()
	return Proof{Slot: p.Name, Kind: p.Kind, Role: p.Role, Root: p.Root, Epoch: p.Epoch, At: now().UTC()}, nil
}
