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
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/pack"
)

const (
	blockCache = 16 << 20 // plain blocks kept for point reads, bytes
	packMemory = 64 << 20 // indexes and filters of open packs, bytes
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
// to keep in the configuration. Conflict if the store holds one already.
// Slots are written first and the vault object last, so that what a crash
// leaves behind is not yet a vault.
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
		slot, err := keyring.NewSlot(w.Name, keyring.RoleAll, w.Wrapper)
		if err != nil {
			return nil, Pin{}, err
		}
		slots = append(slots, slot)
	}
	return create(ctx, cfg, secrets, slots, rand.Reader)
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
	for _, o := range objects {
		if err := putBytes(ctx, cfg.Store, o.Name, o.Data); err != nil {
			return nil, Pin{}, err
		}
	}
	if err := keyring.Write(ctx, cfg.Slots, slots, secrets, cfg.Now); err != nil {
		return nil, Pin{}, err
	}
	b, err := vlog.EncodeVault(pin, slotKey)
	if err != nil {
		return nil, Pin{}, err
	}
	if err := putBytes(ctx, cfg.Store, vlog.VaultName, b); err != nil {
		return nil, Pin{}, err
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
func Open(ctx context.Context, cfg Config, w keyring.Wrapper) (*Vault, error) {
	v, err := OpenPublic(ctx, cfg)
	if err != nil {
		return nil, err
	}
	pin := keyring.Pin{Vault: v.cfg.Pin.Vault, Signers: v.cfg.Pin.Keys(vlog.UseSlot)}
	epoch := v.epoch()
	var refused error
	for _, place := range v.cfg.Slots {
		secrets, _, err := keyring.OpenSlot(ctx, place, pin, epoch, w)
		if err == nil {
			return v, v.unlock(ctx, secrets)
		}
		if refused == nil || allod.KindOf(refused) == allod.NotFound {
			refused = err
		}
	}
	if refused == nil {
		refused = allod.Errorf(allod.Invalid, "open the vault: no place of slots is configured")
	}
	return nil, refused
}

// epoch returns the epoch that the log says is in force for its last root; 0
// when the log is empty.
func (v *Vault) epoch() uint64 {
	var root, epoch uint64
	for r, e := range v.log.chain.Epochs {
		if r >= root {
			root, epoch = r, e
		}
	}
	return epoch
}

// OpenPublic opens the vault without keys: verify, snapshots without names. It
// reads and checks the whole log. Corrupt if anything in it is not what its
// writer signed; Invalid if it is of a newer format.
func OpenPublic(ctx context.Context, cfg Config) (*Vault, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	b, err := getBytes(ctx, cfg.Store, vlog.VaultName, 1<<20)
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
	v := &Vault{cfg: cfg, life: context.WithoutCancel(ctx), fileObject: smallFile}
	v.packs = newPackCache(v, packMemory, pack.NewCache(blockCache))
	v.env.schemas, v.env.names = map[schemaKey]*schemaInfo{}, map[uint32]string{}
	if v.recipients, err = pack.ParseRecipients(pin.Recipients); err != nil {
		return nil, err
	}
	if err := v.refresh(ctx); err != nil {
		return nil, err
	}
	return v, v.continues(cfg.Seen)
}

// continues is Corrupt unless the log has the entry that h names.
func (v *Vault) continues(h Head) error {
	all := v.log.snapshot()
	var err error
	switch {
	case h.N == 0:
		return nil
	case h.N > uint64(len(all)):
		err = allod.Errorf(allod.Corrupt, "read %s: it is missing: the log ends with entry %d and has been longer; its end was cut off", vlog.EntryName(h.N), len(all))
	case all[h.N-1].digest != h.Digest:
		err = allod.Errorf(allod.Corrupt, "read %s: it is not the entry that was seen there before; the log was put back and went another way", vlog.EntryName(h.N))
	default:
		return nil
	}
	return allod.WithHint(err, "Keep this store as it is, and look at its versions, its copies and who could write to it.")
}

// Head returns the end of the log as this process knows it: what to remember
// outside the store, and to give to a later Open as Config.Seen.
func (v *Vault) Head() Head {
	all := v.log.snapshot()
	if len(all) == 0 {
		return Head{}
	}
	return Head{N: all[len(all)-1].N, Digest: all[len(all)-1].digest}
}

// forget drops what was read of packs and schemas.
func (v *Vault) forget() {
	v.packs.clear()
	v.env.mu.Lock()
	defer v.env.mu.Unlock()
	clear(v.env.schemas)
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
	if v.identity, err = pack.ParseIdentity(s.Identity); err != nil {
		return err
	}
	if v.signer, err = s.Signer(keyring.SignCapture); err != nil {
		return err
	}
	v.trees = map[uint64]*keytree.State{}
	for _, k := range append([]keyring.RootKey{s.RootKey}, s.Older...) {
		tree, err := keytree.Load(s.Vault, k.Root, k.Epoch, k.State, func(name string) ([]byte, error) {
			b, err := getBytes(ctx, v.cfg.Store, name, 256<<20)
			if errors.Is(err, blob.ErrNotFound) {
				err = allod.Errorf(allod.Corrupt, "open %s: it is missing", name)
			}
			return b, err
		})
		if err != nil {
			return err
		}
		v.trees[k.Root] = tree
	}
	v.secrets, v.keyed = s, true
	return nil
}

// Close forgets the keys. The vault must not be used afterwards.
func (v *Vault) Close() error {
	v.keyed = false
	v.secrets.Wipe()
	v.trees, v.identity, v.signer = nil, nil, nil
	v.packs.clear()
	return nil
}

// needKeys is Denied for a vault opened without keys.
func (v *Vault) needKeys(what string) error {
	if v.keyed {
		return nil
	}
	return allod.Errorf(allod.Denied, "%s: the vault was opened without keys", what)
}

// tree returns the current key tree.
func (v *Vault) tree() *keytree.State { return v.trees[v.secrets.Root] }

// ID returns the vault id.
func (v *Vault) ID() allod.GUID { return v.cfg.Pin.Vault }

// Pin returns what the configuration should remember.
func (v *Vault) Pin() Pin { return v.cfg.Pin }

// LedgerConfig returns what ledger.Open needs for this vault, with the head of
// the ledger that the log remembers: a ledger whose end was cut off before it
// does not open. The key is nil when the vault was opened without keys.
func (v *Vault) LedgerConfig() (ledger.Config, error) {
	c := ledger.Config{Store: v.cfg.Store, Vault: v.ID(), Trusted: v.cfg.Pin.Keys(vlog.UseLedger), Pseudonyms: v.secrets.Pseudonyms, Now: v.cfg.Now,
		Remembered: ledgerSeen(v.log.snapshot())}
	if !v.keyed {
		return c, nil
	}
	var err error
	c.Key, err = v.secrets.Signer(keyring.SignLedger)
	return c, err
}

// Status describes the vault.
func (v *Vault) Status(ctx context.Context) (Status, error) {
	if err := v.refresh(ctx); err != nil {
		return Status{}, err
	}
	s := Status{Vault: fmt.Sprintf("%x", v.cfg.Pin.Vault[:]), Format: vlog.Format, Entries: v.log.chain.N}
	for _, e := range v.log.snapshot() {
		for _, o := range e.Objects {
			s.Bytes += o.Size
			if o.Role == vlog.RoleFile {
				s.Files++
			} else {
				s.Packs++
			}
		}
	}
	for _, tree := range v.trees {
		s.Roots = append(s.Roots, RootStatus{Root: uint32(tree.Root()), Epoch: tree.Epoch(), Punctures: tree.Punctures()})
	}
	slices.SortFunc(s.Roots, func(a, b RootStatus) int { return cmp.Compare(a.Root, b.Root) })
	if v.keyed && v.secrets.Role == keyring.RoleAll {
		s.RoleSeparation = "none: this process holds all roles (embedded mode)"
	}
	return s, v.slotStatus(ctx, &s)
}
