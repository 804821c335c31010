package act

import (
	"cmp"
	"context"
	"slices"
	"time"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/runlog"
	"allod/internal/vault"
	"allod/internal/vault/verify"
)

// VaultStatus describes the vault, and warns of places of slots that keep what
// is deleted and of tampering that was noticed so far.
func (o *Office) VaultStatus(ctx context.Context) (vault.Status, error) {
	s, err := o.vault.Status(ctx)
	s.Warnings = append(s.Warnings, o.placeWarnings()...)
	return s, err
}

// Verify checks what is stored. Bad findings are in the report; the error is
// Corrupt when there are any, so that a script notices.
func (o *Office) Verify(ctx context.Context, opts verify.Options) (verify.Report, error) {
	if opts.Public {
		rep, err := o.vault.Verify(ctx, opts)
		o.addTampering(&rep)
		return rep, cmp.Or(err, found(rep))
	}
	s, err := o.session(ctx, gate.ActionVerify, gate.AllEnvironments, allod.PurposeOperate)
	if err != nil {
		return verify.Report{}, err
	}
	rep, err := o.vault.Verify(ctx, opts)
	if err != nil {
		return rep, o.failed(ctx, s, err)
	}
	o.addTampering(&rep)
	counts := map[string]int64{"objects": rep.Objects, "rows": rep.Rows, "files": rep.Files, runlog.Bad: int64(len(rep.Bad))}
	return rep, cmp.Or(found(rep), o.gate.Act(ctx, s, runlog.Verified, counts))
}

// found makes an error of what a check found bad.
func found(rep verify.Report) error {
	if len(rep.Bad) == 0 {
		return nil
	}
	objects := map[string]bool{}
	for _, b := range rep.Bad {
		objects[b.Object] = true
	}
	hint := "Keep this store as it is and put the named objects back from a copy; snapshots that do not need them can still be read."
	if !slices.ContainsFunc(rep.Bad, func(b verify.Bad) bool { return b.Kind != tampered }) {
		hint = "Nothing is lost: it is read through. Find out who could write there, and remove what stands in front (docs/stores.md)."
	}
	return allod.WithHint(allod.Errorf(allod.Corrupt, "verify the vault: %d of %d objects are not what was stored; the first is %s", len(objects), rep.Objects, rep.Bad[0].Object), "%s", hint)
}

// ownProof is how often the key in daily use is put on record as working.
const ownProof = 7 * 24 * time.Hour

// proveOwn records that the key this vault was opened with opens its slot, once
// a week: what is used every day needs no exercise of its own.
func (o *Office) proveOwn(ctx context.Context) error {
	name := o.config.Keys.SlotOf(o.spec)
	s, err := o.vault.Status(ctx)
	if err != nil {
		return err
	}
	for _, slot := range s.Slots {
		if slot.Name == name && o.deps.Now().Sub(slot.Proved) > ownProof {
			return o.vault.Slots().Prove(ctx, name, o.key)
		}
	}
	return nil
}
