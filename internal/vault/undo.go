package vault

import (
	"context"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/preimage"
)

// PreImages is where rows of an environment are kept from before restores wrote
// to them. The session must have been opened to restore or to undo, with content
// of the environment. NotFound for one without a snapshot: records have no number.
func (v *Vault) PreImages(ctx context.Context, s gate.Session, env string) (*preimage.Site, error) {
	if err := s.AllowsAction(gate.ActionRestore, gate.ActionUndo); err != nil {
		return nil, err
	}
	if err := v.mayRead(s); err != nil {
		return nil, err
	}
	j, err := v.job(ctx, s, env)
	if err != nil {
		return nil, err
	}
	office, err := v.OfficeState(ctx)
	if err != nil {
		return nil, err
	}
	key, err := v.held().Signer(keyring.SignUndo)
	if allod.KindOf(err) != allod.Denied && err != nil {
		return nil, err
	}
	seen := s.Ledger()
	return &preimage.Site{Job: j, Log: v.log, Key: key, Now: v.cfg.Now, Ledger: vlog.LedgerRoot{Size: seen.Size, Hash: vlog.Digest(seen.Hash)}, Settle: v.settle, Index: v.held().Index, Name: env, Hidden: office.Hidden}, nil
}
