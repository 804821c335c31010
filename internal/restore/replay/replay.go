// Package replay shows a snapshot with the corrections that are kept for it:
// versions that were wrong stay in history, and what is restored of them is
// corrected (design/rights.md "rectified").
package replay

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/restore/plan"
	"allod/internal/source"
	"allod/internal/vault"
	"allod/internal/vault/office"
)

// View is a snapshot whose rows are corrected as they are read. Methods may be
// called from several goroutines.
type View struct {
	source.View
	by map[allod.RecordRef][]rights.Correction // in the order of replay

	mu   sync.Mutex
	used map[allod.RecordRef][]plan.Replayed
}

// At opens the snapshot for the session, as vault.At does, with the corrections
// that cover it. They are read from the office, for the session's actor, where
// there are any.
func At(ctx context.Context, v *vault.Vault, g *gate.Gate, s gate.Session, env string, id allod.SnapshotID) (*View, error) {
	snap, err := v.At(ctx, s, env, id)
	if err != nil {
		return nil, err
	}
	return Over(ctx, v, g, s.Actor(), snap, env, snap.Meta().Capture)
}

// Over puts the corrections over rows of an environment that are as they were at
// a capture.
func Over(ctx context.Context, v *vault.Vault, g *gate.Gate, actor allod.Actor, view source.View, env string, capture uint64) (*View, error) {
	out := &View{View: view, by: map[allod.RecordRef][]rights.Correction{}, used: map[allod.RecordRef][]plan.Replayed{}}
	all, err := Kept(ctx, v, g, actor)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.Environment == env && c.Shown(capture) {
			out.by[c.Record] = append(out.by[c.Record], c)
		}
	}
	return out, nil
}

// Kept reads the corrections that are kept and in force, in the order in which
// they are replayed; the reader is put on record. None are looked for where the
// state of the office says that there never was one.
func Kept(ctx context.Context, v *vault.Vault, g *gate.Gate, actor allod.Actor) ([]rights.Correction, error) {
	state, err := v.OfficeState(ctx)
	if err != nil || !state.Replayed {
		return nil, err
	}
	s, err := g.Open(ctx, gate.Request{
		Actor: actor, Action: gate.ActionOffice, Purpose: allod.PurposeOperate, Resource: gate.Resource{Environment: vault.Office, Class: allod.ClassContent},
	})
	if err != nil {
		return nil, err
	}
	snap, err := office.Read(ctx, v, s)
	if err != nil {
		return nil, err
	}
	all, err := office.Records(ctx, snap, rights.CorrectionTable, func(c *rights.Correction) allod.GUID { return c.ID })
	rights.InOrder(all)
	return slices.DeleteFunc(all, func(c rights.Correction) bool { return !c.Keep || !c.Ended.IsZero() }), err
}

// Rows implements source.View.
func (v *View) Rows(ctx context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		for row, err := range v.View.Rows(ctx, table) {
			if err == nil {
				err = v.correct(&row)
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// Get implements source.View.
func (v *View) Get(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	rows, err := v.View.Get(ctx, table, refs)
	for i := range rows {
		if err == nil {
			err = v.correct(&rows[i])
		}
	}
	return rows, err
}

// correct puts the right values into a row and notes that it did.
func (v *View) correct(row *allod.Row) error {
	ref := row.Ref()
	mine := v.by[ref]
	if len(mine) == 0 {
		return nil
	}
	row.Cells = slices.Clone(row.Cells)
	var used []plan.Replayed
	for i := range mine {
		c := &mine[i]
		columns, err := c.Apply(v.Schema().Table(row.Table), row.Cells)
		if err != nil {
			return allod.WithHint(allod.Errorf(allod.KindOf(err), "replay correction %s: %w", c.ID, err), "`allod vault corrections end %s` ends it.", c.ID)
		}
		if len(columns) > 0 {
			used = append(used, plan.Replayed{Table: ref.Table, ID: ref.Key, Columns: columns, Reason: reason(c)})
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.used[ref] = used
	return nil
}

// reason says why a correction is replayed: no values.
func reason(c *rights.Correction) string {
	parts := []string{"correction " + c.ID.String()[:8] + " of " + c.At.Format(time.DateOnly)}
	if c.Ground != "" {
		parts = append(parts, c.Ground)
	}
	return strings.Join(parts, ": ")
}

// Replayed returns what was corrected in the rows that were read, by table and
// id; per record in the order of replay.
func (v *View) Replayed() []plan.Replayed {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []plan.Replayed
	for _, used := range v.used {
		out = append(out, used...)
	}
	slices.SortStableFunc(out, func(a, b plan.Replayed) int {
		return cmp.Or(strings.Compare(a.Table, b.Table), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out
}
