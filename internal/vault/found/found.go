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

// Vault stores a vault with the given secrets and returns what is to be pinned
// of it. Slots are written before the vault object, so that what a crash leaves
// behind is not yet a vault; after an error it removes what it wrote, unless it
// may be a vault by then. Conflict if a place holds slots.
func Vault(ctx context.Context, site Site, secrets keyring.Secrets, slots []keyring.Slot, rnd io.Reader) (vlog.Pin, error) {
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
