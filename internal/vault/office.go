package vault

import (
	"context"
	"slices"
	"strings"

	"allod"
	"allod/internal/govern/gate"
	vlog "allod/internal/vault/log"
)

// Office is the name of the pseudo-environment, number 0, that holds what Allod
// keeps of itself: users, requests for approval, approvals. Each is a record
// with a key of its own, which can be destroyed like that of any other record.
const Office = "office"

// mayBegin returns the actions that a session may have been opened for to write
// an environment.
func mayBegin(env string) []gate.Action {
	if env == Office {
		return []gate.Action{gate.ActionOffice}
	}
	return []gate.Action{gate.ActionCapture, gate.ActionUndo, gate.ActionRestore}
}

// kindOf returns the kind of the log entries of an environment's commits.
func kindOf(env uint32) vlog.Kind {
	if env == 0 {
		return vlog.KindOffice
	}
	return vlog.KindCapture
}

// WriteOffice stores rows of the office, all of them in one commit: when it
// returns nil they are durable. A row takes the place of the one with its key.
// Tables describe those that the rows are of; other tables of the office stay as
// they are. The session must have been opened for gate.ActionOffice in Office,
// with content. Seen is what ReadOffice gave, and what the rows were decided on:
// Conflict when somebody has written since; read again, decide again and write
// again.
func (v *Vault) WriteOffice(ctx context.Context, s gate.Session, seen *Snapshot, tables []allod.Table, rows []allod.Row) error {
	r, err := v.Begin(ctx, s, RunOptions{Environment: Office, Line: 1})
	if err != nil {
		return err
	}
	defer r.Abort()
	if seen == nil && r.capture != 0 || seen != nil && seen.meta.Capture != r.capture {
		return allod.WithHint(allod.Errorf(allod.Conflict, "write to the office: somebody else has written meanwhile"), "Run the command again.")
	}
	if err := r.SetSchema(r.with(tables)); err != nil {
		return err
	}
	now := v.cfg.Now().UTC()
	m := Manifest{From: now, To: now, Complete: true}
	for i := range tables {
		if err := r.putAll(ctx, &tables[i], rows); err != nil {
			return err
		}
		m.Tables = append(m.Tables, allod.TableManifest{Table: tables[i].Name, State: allod.TableDelta, Started: now, Finished: now})
	}
	_, err = r.Commit(ctx, m)
	return err
}

// with returns the schema as it is, with the tables in place of those of their
// names.
func (r *Run) with(tables []allod.Table) *allod.Schema {
	all := slices.Clone(tables)
	if r.schema != nil {
		for _, t := range r.schema.Schema.Tables {
			if !slices.ContainsFunc(tables, func(n allod.Table) bool { return n.Name == t.Name }) {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, func(a, b allod.Table) int { return strings.Compare(a.Name, b.Name) })
	return &allod.Schema{Tables: all}
}

// putAll puts those of the rows that are of the table.
func (r *Run) putAll(ctx context.Context, t *allod.Table, rows []allod.Row) error {
	w, err := r.Table(ctx, t, ModeDelta)
	if err != nil {
		return err
	}
	for i := range rows {
		if rows[i].Table != t.Name {
			continue
		}
		if err := w.Put(&rows[i]); err != nil {
			return err
		}
	}
	_, err = w.Finish(ctx)
	return err
}

// ReadOffice opens the office as it is now; nil when nothing was ever written
// there. The session must have been opened for gate.ActionOffice in Office, with
// content.
func (v *Vault) ReadOffice(ctx context.Context, s gate.Session) (*Snapshot, error) {
	snap, err := v.At(ctx, s, Office, 0)
	if allod.KindOf(err) == allod.NotFound {
		return nil, nil
	}
	return snap, err
}
