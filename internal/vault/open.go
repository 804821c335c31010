package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/ledger"
	"allod/internal/vault/custody"
	"allod/internal/vault/escrow"
	"allod/internal/vault/found"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/stage"
	"allod/internal/vault/status"
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
	var secrets keyring.Secrets
	site := found.Site{Store: cfg.Store, Places: cfg.Slots, Now: cfg.Now}
	if secrets, cfg.Pin, err = found.New(ctx, site, opts.Wrappers, rand.Reader); err != nil {
		return nil, Pin{}, err
	}
	v, err := openWith(ctx, cfg, secrets)
	if err == nil && len(opts.Wrappers) > 0 {
		v.wrapper = opts.Wrappers[0].Wrapper
	}
	return v, cfg.Pin, err
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
	secrets, err := v.Slots().Open(ctx, v.log.Epoch(), w)
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

// unlock takes the secrets and, where the role has keys of rows, loads the key
// trees.
func (v *Vault) unlock(ctx context.Context, s keyring.Secrets) error {
	v.secrets = s
	if s.Role == keyring.RoleMaintain {
		return nil
	}
	var err error
	if s.Role == keyring.RoleCapture || s.Role == keyring.RoleAll { // Begin asks again
		if v.signer, err = s.Signer(keyring.SignCapture); err != nil {
			return err
		}
	}
	if v.content, err = content.Open(ctx, v.cfg.Store, v.log, s); err != nil {
		return err
	}
	v.finder = &custody.Finder{Places: v.cfg.Slots, Pin: escrow.Pin{Vault: v.ID(), Signers: v.cfg.Pin.Keys(vlog.UseErase)}, Log: v.log, Index: s.Index}
	if err := v.openIndex(ctx); err != nil {
		return err
	}
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
	if role := v.secrets.Role; role != "" {
		return allod.Errorf(allod.Denied, "%s: the slot of role %s has no keys of rows", what, role)
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
	if v.secrets.Role == "" {
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
	of := status.Of{Vault: v.ID(), Log: v.log, Rack: v.Slots(), Role: v.held().Role, Now: v.cfg.Now(), Pending: v.pending(ctx)}
	if v.content != nil {
		of.Trees = v.content.Trees()
	}
	return of.Describe(ctx)
}
