package vault

import (
	"context"

	"allod/internal/vault/internal/content"
	"allod/internal/vault/keyring"
	"allod/internal/vault/pack"
	"allod/internal/vault/verify"
)

// Verify checks what is stored: form, chain and signatures of the log, names
// and digests of every object it names, checkpoints, signatures of slots in all
// their places, every object of the ledger; with keys also the key tree,
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
		t.Roots = content.Roots(v.held())
	}
	if role == keyring.RoleMaintain {
		if t.Identity, err = pack.ParseIdentity(v.held().Identity); err != nil {
			return verify.Report{}, err
		}
	}
	return verify.Run(ctx, t, opts)
}
