// Package office keeps what Allod keeps of itself, users and approvals for one,
// as rows of the pseudo-environment vault.Office: each record under a key of its
// own, in the log like every other commit.
package office

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/vault"
)

// Read opens the office as it is now; nil when nothing was ever written there.
// The session must have been opened for gate.ActionOffice in vault.Office, with
// content: Denied otherwise.
func Read(ctx context.Context, v *vault.Vault, s gate.Session) (*vault.Snapshot, error) {
	snap, err := v.At(ctx, s, vault.Office, 0)
	if allod.KindOf(err) == allod.NotFound {
		return nil, nil
	}
	return snap, err
}

// Write stores rows of the office, all of them in one commit: when it returns
// nil they are durable. A row takes the place of the one with its key. Tables
// describe those that the rows are of; other tables of the office stay as they
// are. Seen is what Read gave, and what the rows were decided on: Conflict when
// somebody has written since; read again, decide again and write again. Now only
// labels the commit. The session is as for Read.
func Write(ctx context.Context, v *vault.Vault, s gate.Session, seen *vault.Snapshot, tables []allod.Table, rows []allod.Row, now time.Time) error {
	state, err := v.OfficeState(ctx)
	if err != nil {
		return err
	}
	state.Handed = nil // it may be a hold that is written: who hands over looks again
	return WriteState(ctx, v, s, seen, tables, rows, state, now)
}

// WriteState is Write that also sets, in the same commit, the whole state of the
// office: which records no function shows from here on, for one.
func WriteState(ctx context.Context, v *vault.Vault, s gate.Session, seen *vault.Snapshot, tables []allod.Table, rows []allod.Row, office vault.OfficeState, now time.Time) error {
	state, err := json.Marshal(office)
	if err != nil {
		return allod.Errorf(allod.Internal, "write to the office: %w", err)
	}
	r, err := v.Begin(ctx, s, vault.RunOptions{Environment: vault.Office, Line: 1})
	if err != nil {
		return err
	}
	defer r.Abort()
	after := uint64(0)
	if seen != nil {
		after = seen.Meta().Capture
	}
	if r.After() != after {
		return allod.WithHint(allod.Errorf(allod.Conflict, "write to the office: somebody else has written meanwhile"), "Run the command again.")
	}
	if err := r.SetSchema(merge(seen, tables)); err != nil {
		return err
	}
	now = now.UTC()
	m := vault.Manifest{State: state, From: now, To: now, Complete: true}
	for i := range tables {
		if err := put(ctx, r, &tables[i], rows); err != nil {
			return err
		}
		m.Tables = append(m.Tables, allod.TableManifest{Table: tables[i].Name, State: allod.TableDelta, Started: now, Finished: now})
	}
	_, err = r.Commit(ctx, m)
	return err
}

// Records reads a table of the office whose only column is the JSON of T, which
// names the row's key; nil when there is none. What is hidden, or whose key is
// gone, is left out. Corrupt names the row, not what it says.
func Records[T any](ctx context.Context, snap *vault.Snapshot, table string, id func(*T) allod.GUID) ([]T, error) {
	all, bad, err := Readable(ctx, snap, table, id)
	if err == nil && len(bad) > 0 {
		err = bad[0].Err
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Unread is a row that is not what this program writes, and the error that names
// it, which is Corrupt.
type Unread struct {
	Key allod.GUID
	Err error
}

// Readable is Records for who can do without the rows that are not what this
// program writes: they come apart, ascending by key.
func Readable[T any](ctx context.Context, snap *vault.Snapshot, table string, id func(*T) allod.GUID) (all []T, bad []Unread, err error) {
	if snap == nil || snap.Schema() == nil || snap.Schema().Table(table) == nil {
		return nil, nil, nil
	}
	for row, err := range snap.Rows(ctx, table) {
		if err != nil {
			return nil, nil, err
		}
		var one T
		if err := json.Unmarshal([]byte(row.Cell(0).Text()), &one); err != nil || id(&one) != row.Key {
			bad = append(bad, Unread{row.Key, allod.Errorf(allod.Corrupt, "read %s %s: it is not what this program writes", table, row.Key)})
			continue
		}
		all = append(all, one)
	}
	slices.SortFunc(bad, func(a, b Unread) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return all, bad, nil
}

// merge returns the schema of what was seen, with the tables in place of those
// of their names.
func merge(seen *vault.Snapshot, tables []allod.Table) *allod.Schema {
	all := slices.Clone(tables)
	if seen != nil && seen.Schema() != nil {
		for _, t := range seen.Schema().Tables {
			if !slices.ContainsFunc(tables, func(n allod.Table) bool { return n.Name == t.Name }) {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, func(a, b allod.Table) int { return strings.Compare(a.Name, b.Name) })
	return &allod.Schema{Tables: all}
}

// put puts those of the rows that are of the table.
func put(ctx context.Context, r *vault.Run, t *allod.Table, rows []allod.Row) error {
	w, err := r.Table(ctx, t, vault.ModeDelta)
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
