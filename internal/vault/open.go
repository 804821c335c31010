package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/ledger"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/stage"
	"allod/internal/vault/verify"
)

func (c Config) complete() (Config, error) {
	if c.Store == nil {
		return c, allod.Errorf(allod.Invalid, "open a vault: no store is named")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.TempDir = cmp.Or(c.TempDir, os.TempDir())
	return c, nil
}

// Create makes a new vault in an empty store and returns it open, with the Pin
// to keep in the configuration. Conflict if the store holds one already, or if
// a place holds slots: writing its own would destroy the keys of another vault.
// Slots are written first and the vault object last, so that what a crash
// leaves behind is not yet a vault; after an error Create removes what it wrote.
func Create(ctx context.Context, cfg Config, opts CreateOptions) (*Vault, Pin, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, Pin{}, err
	}
	if _, err := cfg.Store.Stat(ctx, vlog.VaultName); err == nil {
		return nil, Pin{}, allod.Errorf(allod.Conflict, "create a vault: the store holds one already")
	} else if !errors.Is(err, blob.ErrNotFound) {
		return nil, Pin{}, allod.Errorf(allod.KindOf(err), "create a vault: %w", err)
	}
	var id allod.GUID
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return nil, Pin{}, allod.Errorf(allod.Internal, "create a vault: %w", err)
	}
	secrets, err := keyring.NewSecrets(id)
	if err != nil {
		return nil, Pin{}, err
	}
	var slots []keyring.Slot
	for _, w := range opts.Wrappers {
		slot, err := keyring.NewSlot(ctx, id, w.Name, keyring.RoleAll, w.Wrapper)
		if err != nil {
			return nil, Pin{}, err
		}
		slots = append(slots, slot)
	}
	v, pin, err := create(ctx, cfg, secrets, slots, rand.Reader)
	if err == nil && len(opts.Wrappers) > 0 {
		v.wrapper = opts.Wrappers[0].Wrapper
	}
	return v, pin, err
}

// create stores a vault with the given secrets.
func create(ctx context.Context, cfg Config, secrets keyring.Secrets, slots []keyring.Slot, rnd io.Reader) (*Vault, Pin, error) {
	pin, err := pinOf(secrets)
	if err != nil {
		return nil, Pin{}, err
	}
	slotKey, err := secrets.Signer(keyring.SignSlot)
	if err != nil {
		return nil, Pin{}, err
	}
	tree, err := keytree.New(secrets.Vault, secrets.Root, rnd)
	if err != nil {
		return nil, Pin{}, err
	}
	objects, err := tree.Seal(secrets.State)
	if err != nil {
		return nil, Pin{}, err
	}
	b, err := vlog.EncodeVault(pin, slotKey)
	if err != nil {
		return nil, Pin{}, err
	}
	if err := keyring.Empty(ctx, cfg.Slots); err != nil {
		return nil, Pin{}, err
	}
	undo := &object.Written{Store: cfg.Store}
	for i := 0; i < len(objects) && err == nil; i++ {
		err = undo.Put(ctx, objects[i].Name, objects[i].Data)
	}
	var places []blob.Mutable
	if err == nil {
		places = cfg.Slots // nobody else writes there: the tree's objects were put if absent
		err = keyring.Write(ctx, cfg.Slots, slots, secrets, cfg.Now)
	}
	if err == nil {
		err = undo.Put(ctx, vlog.VaultName, b)
	}
	if err != nil && undo.Unknown { // it may be a vault by now: touch nothing
		return nil, Pin{}, err
	}
	if err != nil {
		errs := []error{err, undo.Remove(context.WithoutCancel(ctx))}
		for _, place := range places {
			for _, s := range slots {
				errs = append(errs, place.Delete(context.WithoutCancel(ctx), keyring.ObjectName(s.Name, secrets.Epoch)))
			}
		}
		return nil, Pin{}, errors.Join(errs...)
	}
	cfg.Pin = pin
	v, err := openWith(ctx, cfg, secrets)
	return v, pin, err
}

func pinOf(s keyring.Secrets) (Pin, error) {
	recipient, err := s.Recipient()
	if err != nil {
		return Pin{}, err
	}
	pin := Pin{Vault: s.Vault, Recipients: []string{recipient}}
	for _, k := range s.Signing {
		key := ed25519.NewKeyFromSeed(k.Seed[:]).Public().(ed25519.PublicKey)
		pin.Signers = append(pin.Signers, vlog.Signer{Use: k.Use, Key: vlog.Key(key)})
	}
	slices.SortFunc(pin.Signers, func(a, b vlog.Signer) int {
		return cmp.Or(cmp.Compare(a.Use, b.Use), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return pin, nil
}

// Open opens the vault with full rights (embedded mode): a slot that w opens,
// in the first of the places that has one for the epoch in force.
// Invalid without a Pin: whoever can write the vault object would choose whose
// slots and log count.
func Open(ctx context.Context, cfg Config, w keyring.Wrapper) (*Vault, error) {
	if cfg.Pin.IsZero() {
		return nil, allod.Errorf(allod.Invalid, "open the vault: nothing is pinned of it")
	}
	v, err := OpenPublic(ctx, cfg)
	if err != nil {
		return nil, err
	}
	secrets, err := v.openSlot(ctx, w)
	if err != nil {
		return nil, err
	}
	v.wrapper = w
	return v, v.unlock(ctx, secrets)
}

// OpenPublic opens the vault without keys: verify, snapshots without names. It
// reads and checks the whole log. Corrupt if anything in it is not what its
// writer signed; Invalid if it is of a newer format.
func OpenPublic(ctx context.Context, cfg Config) (*Vault, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	b, err := object.Get(ctx, cfg.Store, vlog.VaultName, 1<<20)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, allod.WithHint(allod.Errorf(allod.NotFound, "open the vault: there is none in this store"), "Make one with `allod init`, or name the right folder.")
	}
	if err != nil {
		return nil, err
	}
	pin, err := vlog.DecodeVault(b, cfg.Pin)
	if err != nil {
		return nil, err
	}
	cfg.Pin = pin
	v := &Vault{cfg: cfg, log: journal.New(cfg.Store, pin), fileObject: stage.SmallFile}
	if v.recipients, err = pack.ParseRecipients(pin.Recipients); err != nil {
		return nil, err
	}
	if err := v.log.Refresh(ctx); err != nil {
		return nil, err
	}
	return v, v.log.Continues(cfg.Seen.N, cfg.Seen.Digest)
}

// Head returns the end of the log as this process knows it: what to remember
// outside the store, and to give to a later Open as Config.Seen.
func (v *Vault) Head() Head {
	c := v.log.Chain()
	return Head{N: c.N, Digest: c.Last}
}

func openWith(ctx context.Context, cfg Config, secrets keyring.Secrets) (*Vault, error) {
	v, err := OpenPublic(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return v, v.unlock(ctx, secrets)
}

// unlock takes the secrets and loads the key trees.
func (v *Vault) unlock(ctx context.Context, s keyring.Secrets) error {
	var err error
	if v.signer, err = s.Signer(keyring.SignCapture); err != nil && !s.Role.Reader() { // Begin asks again
		return err
	}
	if v.content, err = content.Open(ctx, v.cfg.Store, v.log, s); err != nil {
		return err
	}
	v.secrets = s
	return v.inForce(ctx)
}

// Close forgets the keys. The vault must not be used afterwards.
func (v *Vault) Close() error {
	v.keys.Lock()
	defer v.keys.Unlock()
	v.secrets.Wipe()
	v.wrapper = nil
	if v.content != nil {
		v.content.Close()
	}
	v.content, v.signer = nil, nil
	return nil
}

// needKeys is Denied for a vault opened without keys.
func (v *Vault) needKeys(what string) error {
	if v.content != nil {
		return nil
	}
	return allod.Errorf(allod.Denied, "%s: the vault was opened without keys", what)
}

// ID returns the vault id.
func (v *Vault) ID() allod.GUID { return v.cfg.Pin.Vault }

// Pin returns what the configuration should remember.
func (v *Vault) Pin() Pin { return v.cfg.Pin }

// LedgerConfig returns what ledger.Open needs for this vault, with the head of
// the ledger that the log remembers: a ledger whose end was cut off before it
// does not open. The key is nil when the vault was opened without keys.
func (v *Vault) LedgerConfig() (ledger.Config, error) {
	c := ledger.Config{
		Store: v.cfg.Store, Vault: v.ID(), Trusted: v.cfg.Pin.Keys(vlog.UseLedger), Pseudonyms: v.secrets.Pseudonyms, Now: v.cfg.Now,
		Remembered: verify.LedgerSeen(v.log.Entries()),
	}
	if v.content == nil {
		return c, nil
	}
	var err error
	c.Key, err = v.secrets.Signer(keyring.SignLedger)
	return c, err
}

// Status describes the vault.
func (v *Vault) Status(ctx context.Context) (Status, error) {
	if err := v.log.Refresh(ctx); err != nil {
		return Status{}, err
	}
	s := Status{Vault: fmt.Sprintf("%x", v.cfg.Pin.Vault[:]), Format: vlog.Format, Entries: v.log.Chain().N}
	for _, e := range v.log.Entries() {
		for _, o := range e.Objects {
			s.Bytes += o.Size
			if o.Role == vlog.RoleFile {
				s.Files++
			} else {
				s.Packs++
			}
		}
	}
	if v.content != nil {
		for _, tree := range v.content.Trees() {
			s.Roots = append(s.Roots, RootStatus{Root: uint32(tree.Root()), Epoch: tree.Epoch(), Punctures: tree.Punctures()})
		}
	}
	if v.secrets.Role == keyring.RoleAll {
		s.RoleSeparation = "none: this process holds all roles (embedded mode)"
	}
	return s, v.slotStatus(ctx, &s)
}
