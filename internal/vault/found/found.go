// Package found writes what a new vault consists of: its key tree, its slots
// and, last, the object that makes it a vault.
package found

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

// Site is where the vault will lie.
type Site struct {
	Store  blob.Store
	Places []blob.Mutable // of slots
	Now    func() time.Time
}

// NamedWrapper is a slot to be made: its name and what wraps the secrets.
type NamedWrapper struct {
	Name    string // e.g. "passphrase", "paper"; lower-case letters, digits, "-"
	Wrapper keyring.Wrapper
}

// New makes secrets and a slot with all of them for each wrapper, and stores a
// vault: Conflict if the store holds one already.
func New(ctx context.Context, site Site, wrappers []NamedWrapper, rnd io.Reader) (none keyring.Secrets, pin vlog.Pin, err error) {
	if _, err := site.Store.Stat(ctx, vlog.VaultName); err == nil {
		return none, pin, allod.Errorf(allod.Conflict, "create a vault: the store holds one already")
	} else if !errors.Is(err, blob.ErrNotFound) {
		return none, pin, allod.Errorf(allod.KindOf(err), "create a vault: %w", err)
	}
	var id allod.GUID
	if _, err := io.ReadFull(rnd, id[:]); err != nil {
		return none, pin, allod.Errorf(allod.Internal, "create a vault: %w", err)
	}
	secrets, err := keyring.NewSecrets(id)
	if err != nil {
		return none, pin, err
	}
	var slots []keyring.Slot
	for _, w := range wrappers {
		slot, err := keyring.NewSlot(ctx, id, w.Name, keyring.RoleAll, w.Wrapper)
		if err != nil {
			return none, pin, err
		}
		slots = append(slots, slot)
	}
	pin, err = store(ctx, site, secrets, slots, rnd)
	return secrets, pin, err
}

// store stores a vault with the given secrets and returns what is to be pinned
// of it. Slots are written before the vault object, so that what a crash leaves
// behind is not yet a vault; after an error it removes what it wrote, unless it
// may be a vault by then. Conflict if a place holds slots.
func store(ctx context.Context, site Site, secrets keyring.Secrets, slots []keyring.Slot, rnd io.Reader) (vlog.Pin, error) {
	pin, err := pinOf(secrets)
	if err != nil {
		return vlog.Pin{}, err
	}
	slotKey, err := secrets.Signer(keyring.SignSlot)
	if err != nil {
		return vlog.Pin{}, err
	}
	tree, err := keytree.New(secrets.Vault, secrets.Root, rnd)
	if err != nil {
		return vlog.Pin{}, err
	}
	objects, err := tree.Seal(secrets.State)
	if err != nil {
		return vlog.Pin{}, err
	}
	b, err := vlog.EncodeVault(pin, slotKey)
	if err != nil {
		return vlog.Pin{}, err
	}
	if err := keyring.Empty(ctx, site.Places); err != nil {
		return vlog.Pin{}, err
	}
	undo := &object.Written{Store: site.Store}
	for i := 0; i < len(objects) && err == nil; i++ {
		err = undo.Put(ctx, objects[i].Name, objects[i].Data)
	}
	var places []blob.Mutable
	if err == nil {
		places = site.Places // nobody else writes there: the tree's objects were put if absent
		err = keyring.Write(ctx, site.Places, slots, secrets, site.Now)
	}
	if err == nil {
		err = undo.Put(ctx, vlog.VaultName, b)
	}
	if err != nil && undo.Unknown { // it may be a vault by now: touch nothing
		return vlog.Pin{}, err
	}
	if err != nil {
		errs := []error{err, undo.Remove(context.WithoutCancel(ctx))}
		for _, place := range places {
			for _, s := range slots {
				errs = append(errs, place.Delete(context.WithoutCancel(ctx), keyring.ObjectName(s.Name, secrets.Epoch)))
			}
		}
		return vlog.Pin{}, errors.Join(errs...)
	}
	return pin, nil
}

func pinOf(s keyring.Secrets) (vlog.Pin, error) {
	recipient, err := s.Recipient()
	if err != nil {
		return vlog.Pin{}, err
	}
	pin := vlog.Pin{Vault: s.Vault, Recipients: []string{recipient}}
	for _, k := range s.Signing {
		key := ed25519.NewKeyFromSeed(k.Seed[:]).Public().(ed25519.PublicKey)
		pin.Signers = append(pin.Signers, vlog.Signer{Use: k.Use, Key: vlog.Key(key)})
	}
	slices.SortFunc(pin.Signers, func(a, b vlog.Signer) int {
		return cmp.Or(cmp.Compare(a.Use, b.Use), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return pin, nil
}
