package erasure

import (
	"context"
	"fmt"
	"slices"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob/place"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/ledger"
	"allod/internal/vault/log/certificate"
)

// residue is what is left of an erased record until compaction drops it
// (design/vault.md "What must not survive").
const residue = "of each stored version: its tag, table, capture number, operation and padded length, which who holds the index key and knows the id can match"

// residueBefore is what is left of the versions that a rectification replaced.
const residueBefore = "of each version before: its tag, table, capture number, operation and padded length, which who holds the index key and knows the id can match"

// Certify issues the certificate of an erasure or rectification that was committed: signed, and
// checked by allod-verify without this program. It says what is pending; issue
// it again when that is done. Conflict before the keys are destroyed.
func Certify(ctx context.Context, o *act.Office, e *Open) ([]byte, *certificate.Certificate, error) {
	if e.Committed.IsZero() {
		return nil, nil, allod.WithHint(allod.Errorf(allod.Conflict, "certify erasure %s: its keys are not destroyed", e.ID), "`allod vault erasures` says what it waits for.")
	}
	d := open(o)
	s, err := d.session(ctx, gate.ActionErase, e.Environment)
	if err != nil {
		return nil, nil, err
	}
	digest, err := e.Digest()
	if err != nil {
		return nil, nil, err
	}
	c := &certificate.Certificate{
		Erasure: e.ID, Issued: d.now(), Asked: e.Asked, Form: certificate.Forget, Urgent: e.Urgent,
		Approval: certificate.Approval{Request: e.Erasure.Approval, Plan: digest.String(), OnePerson: e.OnePerson},
		Puncture: certificate.Puncture{Entry: e.Entry, Root: e.Root, EpochBefore: e.EpochBefore, Epoch: e.Epoch, AbsentBefore: e.AbsentBefore, AbsentAfter: e.AbsentAfter},
		Residue:  []string{residue}, SlotHistory: o.Config().AcceptSlotHistory,
	}
	if e.Past {
		c.Form = certificate.ForgetPast
	}
	if r := e.Rectify; r != nil {
		c.Form, c.Residue = certificate.Rectify, []string{residueBefore}
		c.Rectified = &certificate.Rectified{Columns: r.Columns, Values: r.Commitment, Generation: r.Generation, Versions: r.Sealed, Corrected: r.Corrected}
	}
	for _, t := range e.Tags {
		c.Tags = append(c.Tags, certificate.Tag{Environment: t.Environment, Table: t.Table, Tag: fmt.Sprintf("%x", t.Tag[:])})
	}
	for _, key := range e.Approvers {
		c.Approval.Approvers = append(c.Approval.Approvers, d.ledger.Opaque("actor", key))
	}
	slices.Sort(c.Approval.Approvers)
	for _, k := range e.Kept {
		c.Kept = append(c.Kept, certificate.Kept{Table: k.Table, Column: k.Column, Records: k.Records, Ground: k.Ground})
	}
	d.places(ctx, e, c)
	waits, err := d.waits(ctx, &e.Erasure)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range waits {
		c.Pending = append(c.Pending, certificate.Item{What: "keys of before in " + w.Place, Until: w.Until, Next: w.Next})
	}
	if c.Ledger, err = d.proof(ctx, &e.Erasure); err != nil {
		return nil, nil, err
	}
	b, err := d.vault.Certify(ctx, s, c)
	if err != nil {
		return nil, nil, err
	}
	return b, c, d.gate.Act(ctx, s, "certified", map[string]int64{certificate.Records: int64(len(c.Tags))})
}

// places counts where keys lay, and says what is pending there.
func (d *desk) places(ctx context.Context, e *Open, c *certificate.Certificate) {
	stores := d.vault.Slots().Places
	for i, p := range e.Places {
		out := certificate.Place{Name: p.Name, Kind: "unknown", Destroyed: p.Destroyed, LatencyDays: -1}
		keeps := false
		if i < len(stores) {
			if facts, verdict, err := place.Look(ctx, stores[i]); err == nil {
				out.Kind, out.LatencyDays, keeps = facts.Kind, verdict.LatencyDays, facts.Versions != "off"
			}
		}
		switch {
		case p.Destroyed.IsZero(): // it is pending, below
		case keeps:
			out.Means = "every version deleted by its id"
		default:
			out.Means = "deleted"
		}
		c.Places = append(c.Places, out)
	}
}

// proof shows that the ledger has the act: that it is final, or that the keys
// were destroyed.
func (d *desk) proof(ctx context.Context, e *rights.Erasure) (ledger.Proof, error) {
	want, session := certificate.ActErased, e.Session
	if e.Rectify != nil {
		want = certificate.ActRectified
	}
	if !e.Final.IsZero() {
		want, session = certificate.ActFinal, e.FinalSession
	}
	head, err := d.ledger.Refresh(ctx)
	if err != nil {
		return ledger.Proof{}, err
	}
	for n := head.Size - 1; n >= 0; n-- {
		entry, err := d.ledger.Get(ctx, n)
		if err != nil {
			return ledger.Proof{}, err
		}
		if entry.Kind == ledger.KindAct && entry.Action == want && entry.Session == session {
			return d.ledger.Prove(ctx, n)
		}
		if entry.Time.Before(e.Asked.Add(-time.Hour)) {
			break
		}
	}
	return ledger.Proof{}, allod.Errorf(allod.Corrupt, "certify erasure %s: the ledger has no act %s of it", e.ID, want)
}
