package erasure

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"allod"
	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/log/certificate"
	"allod/internal/vault/puncture"
)

// HandOver has an erasure carried out by a process that holds the keys of role
// erase alone, within rights.HandedFor: what it needs stands in the office's
// state, which that process can open. Conflict when something stands against
// the erasure still; Invalid for one that seals rows anew, since nobody does
// that who cannot read.
func HandOver(ctx context.Context, o *act.Office, id allod.GUID) (*Open, error) {
	d := open(o)
	e, err := Find(ctx, o, id.String())
	if err != nil {
		return nil, err
	}
	if e.Past || e.Rectify != nil {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "hand over erasure %s: it seals rows anew, which takes a slot that reads", id), "`allod vault erasures run` carries it out.")
	}
	if e.Next.Step != rights.StepErase {
		return nil, allod.Errorf(allod.Conflict, "hand over erasure %s: %s", id, strings.Join(e.Next.Reasons, "; "))
	}
	if free, err := d.free(ctx, e.Tags); err != nil || !free {
		return nil, cmp.Or(err, allod.WithHint(allod.Errorf(allod.Invalid, "hand over erasure %s: a hold or a restriction names one of its records, and their keys go into escrow", id), "`allod vault erasures run` carries it out."))
	}
	_, spent, err := d.spent(ctx, &e.Erasure)
	if err != nil {
		return nil, err
	}
	s, err := d.session(ctx, gate.ActionErase, e.Environment)
	if err != nil {
		return nil, err
	}
	saved, err := d.save(ctx, id, nil, func(was *rights.Erasure) (*rights.Erasure, error) {
		if was == nil || !was.Cancelled.IsZero() || !was.Committed.IsZero() {
			return nil, allod.Errorf(allod.Conflict, "hand over erasure %s: it was taken back or carried out meanwhile", id)
		}
		approvedBy(was, e.Approval)
		h := &puncture.Handed{Run: runOf(was), Environment: was.Environment, Tags: was.Tags, Spent: spent, Until: d.now().Add(rights.HandedFor)}
		was.Handed = h
		return was, d.vault.Hand(s, h)
	})
	if err != nil {
		return nil, err
	}
	if err := d.gate.Act(ctx, s, "erasure-handed", map[string]int64{certificate.Records: int64(len(saved.Tags))}); err != nil {
		return nil, err
	}
	return d.where(ctx, o, saved)
}

// free reports whether neither a hold nor a restriction names any of the records.
func (d *desk) free(ctx context.Context, tags []vault.RecordTag) (bool, error) {
	h, err := d.holds(ctx, tags)
	if err != nil || len(h) > 0 {
		return false, err
	}
	why, err := d.vault.Absences(tags)
	return !slices.ContainsFunc(why, func(s string) bool { return s != "" }), err
}

// handed returns what is handed over still: of all erasures those that no hold
// and no restriction has come to name since.
func (d *desk) handed(ctx context.Context, all []rights.Erasure) ([]puncture.Handed, error) {
	var out []puncture.Handed
	for _, h := range rights.Handed(all, d.now()) {
		free, err := d.free(ctx, h.Tags)
		if err != nil {
			return nil, err
		}
		if free {
			out = append(out, h)
		}
	}
	return out, nil
}

// Blind reports whether the office was opened with keys that destroy and do not
// read: then Fulfil takes the place of Run.
func Blind(o *act.Office) bool {
	v, _, _, _ := o.Inside()
	return v.Role() == keyring.RoleErase
}

// Fulfilled is an erasure that a process of role erase has carried out. Its
// register, and the certificate, wait for who can read.
type Fulfilled struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	Records     int    `json:"records"`
	Entry       uint64 `json:"entry"` // log number
	Left        int    `json:"left"`  // places of slots that still have older ones
}

// Fulfil carries out what was handed over, with the keys of role erase and
// without reading a row: it destroys the keys and removes the slots of before.
func Fulfil(ctx context.Context, o *act.Office) ([]Fulfilled, error) {
	d := open(o)
	state, err := d.vault.OfficeState(ctx)
	if err != nil {
		return nil, err
	}
	out, bad := []Fulfilled{}, []failure(nil)
	for i := range state.Handed {
		f, err := d.fulfil(ctx, o, &state.Handed[i])
		if err != nil && ctx.Err() != nil {
			return out, err
		}
		if err != nil {
			bad = append(bad, failure{state.Handed[i].Run, err})
		}
		if f != nil {
			out = append(out, *f)
		}
	}
	return out, several("carry out what was handed over: not done", len(state.Handed), bad)
}

func (d *desk) fulfil(ctx context.Context, o *act.Office, h *puncture.Handed) (*Fulfilled, error) {
	if !d.now().Before(h.Until) {
		return nil, nil // it has to be handed over again
	}
	if err := h.Check(d.vault.ID(), d.vault.Pin().Keys(vlog.UseErase)); err != nil {
		return nil, err
	}
	s, err := d.session(ctx, gate.ActionErase, h.Environment)
	if err != nil {
		return nil, err
	}
	done, err := d.vault.ErasedBy(ctx, h.Run)
	if err != nil {
		return nil, err
	}
	if done == nil {
		if _, err := d.vault.Erase(ctx, s, h.Tags, vault.EraseOptions{Run: h.Run, Spent: h.Spent, Check: func(ctx context.Context) error { return d.stillHanded(ctx, h) }}); err != nil {
			return nil, err
		}
		if done, err = d.vault.ErasedBy(ctx, h.Run); err != nil || done == nil {
			return nil, errors.Join(err, allod.Errorf(allod.Internal, "erase: the log has no entry of it"))
		}
		if err := d.gate.Act(ctx, s, "erasure-fulfilled", map[string]int64{certificate.Records: int64(len(h.Tags))}); err != nil {
			return nil, err
		}
		if _, err := keys.Renew(ctx, o); err != nil { // the new slots are locked before the old ones go
			return nil, err
		}
	}
	places, err := d.vault.DestroySlots(ctx, s)
	if err != nil {
		return nil, err
	}
	f := &Fulfilled{Run: h.Run, Environment: h.Environment, Records: len(h.Tags), Entry: done.Entry}
	for _, p := range places {
		if p.Err != nil {
			f.Left++
		}
	}
	return f, nil
}

// stillHanded refuses at the last moment what was taken back.
func (d *desk) stillHanded(ctx context.Context, h *puncture.Handed) error {
	state, err := d.vault.OfficeState(ctx)
	if err != nil {
		return err
	}
	if !d.now().Before(h.Until) || !slices.ContainsFunc(state.Handed, func(o puncture.Handed) bool { return o.Is(h) }) {
		return allod.Errorf(allod.Conflict, "erase: it was taken back, or its time is over")
	}
	return nil
}
