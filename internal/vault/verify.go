package vault

import (
	"context"

	"allod/internal/govern/gate"
	"allod/internal/vault/compact"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/pack"
	"allod/internal/vault/verify"
)

// Compactor returns what merges packs, and has no key of a row. The session must
// have been opened to compact. Denied for a slot that may not: all but those of
// role maintain and all.
func (v *Vault) Compactor(s gate.Session) (*compact.Compactor, error) {
	if err := v.mayAct(s, gate.ActionCompact); err != nil {
		return nil, err
	}
	held, seen := v.held(), s.Ledger()
	key, err := held.Signer(keyring.SignMaintain)
	if err != nil {
		return nil, err
	}
	identity, err := pack.ParseIdentity(held.Identity)
	return compact.New(compact.Site{
		Store: v.cfg.Store, Log: v.log, Pin: v.cfg.Pin, Identity: identity, Key: key, Now: v.cfg.Now, TempDir: v.cfg.TempDir,
		Ledger: vlog.LedgerRoot{Size: seen.Size, Hash: vlog.Digest(seen.Hash)}, Name: v.envName,
	}), err
}

// Verify checks what is stored: form, chain and signatures of the log, names
// and digests of every object it names, checkpoints, signatures of slots and of
// escrow in all their places, every object of the ledger; with keys also the key tree,
// manifests and schemas, and the share of the rows (and every file, if the
// share is 1) that the options name, decrypted and decoded. Of that a slot
// checks what its role opens: maintain every pack and file to its end, and no
// row; capture and erase the key tree. Findings go into the report; the error is
// for a check that could not be carried out: Unavailable, or an interrupted
// context. Denied without keys, unless the options ask for what needs none.
func (v *Vault) Verify(ctx context.Context, opts verify.Options) (verify.Report, error) {
	role := v.held().Role
	if !opts.Public && role != keyring.RoleMaintain {
		if err := v.needKeys("verify rows"); err != nil {
			return verify.Report{}, err
		}
	}
	c, err := v.LedgerConfig()
	if err != nil {
		return verify.Report{}, err
	}
	t := verify.Target{Store: v.cfg.Store, Pin: v.cfg.Pin, Log: v.log, Slots: v.cfg.Slots, Slot: v.keyringPin(), Ledger: c}
	if role.Reader() {
		t.Reader = v.content
	}
	if v.content != nil {
		t.Roots, t.Tree, t.Escrow = content.Roots(v.held()), v.content.Tree(), v.finder.Facts(v.content.Tree())
	}
	if role == keyring.RoleMaintain {
		if t.Identity, err = pack.ParseIdentity(v.held().Identity); err != nil {
			return verify.Report{}, err
		}
	}
	return verify.Run(ctx, t, opts)
}
