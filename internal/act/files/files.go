// Package files writes stored files out: the document of a file column, the
// body of a note, the package of a solution.
package files

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/gate"
)

// Write writes the file that a column of a row held at a moment to path, which
// must not exist yet: Conflict otherwise. The ledger tells that it was shown.
// Invalid when the column holds no files, NotFound when the row has none there
// or when its bytes were not read.
func Write(ctx context.Context, o *act.Office, m act.Moment, table, id, column, path string) (ref allod.FileRef, err error) {
	if m.Live {
		return ref, allod.WithHint(allod.Errorf(allod.Invalid, "get a file from %s: that is the environment itself", m), "Name a moment of the backup: `allod snapshots %s` lists them.", m.Environment)
	}
	t, row, err := o.Get(ctx, m, table, id)
	if err != nil {
		return ref, err
	}
	cell, err := fileCell(t.Table, row, column)
	if err != nil {
		return ref, err
	}
	if ref, err = cell.FileRef(); err != nil {
		return ref, err
	}
	if ref.Content == "" {
		return ref, allod.WithHint(allod.Errorf(allod.NotFound, "get a file from %s: the bytes of %s were not read", m, column), "The gaps of the snapshot say why: `allod ls %s --json` lists them.", m)
	}
	meta, _, err := o.Manifest(ctx, m)
	if err != nil {
		return ref, err
	}
	v, g, _, deps := o.Inside()
	s, err := g.Open(ctx, gate.Request{
		Actor: deps.Actor, Action: gate.ActionRead, Purpose: cmp.Or(deps.Purpose, allod.PurposeOperate),
		Resource: gate.Resource{Environment: m.Environment, Class: allod.ClassContent},
	})
	if err != nil {
		return ref, err
	}
	snap, err := v.At(ctx, s, m.Environment, meta.ID)
	if err != nil {
		return ref, err
	}
	body, err := snap.OpenFile(ctx, row, column)
	if err != nil {
		return ref, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if err := g.Act(ctx, s, "file-shown", map[string]int64{"files": 1}); err != nil {
		return ref, err
	}
	return ref, deps.Disk.Create(path, io.Reader(body), ref.Size)
}

// fileCell finds the cell of a file column. The columns that hold files are
// named to who takes another.
func fileCell(t *allod.Table, row *allod.Row, column string) (allod.Value, error) {
	var known []string
	for i := range t.Columns {
		if c := &t.Columns[i]; c.Type != allod.File {
			continue
		} else if c.Name == column {
			if cell := row.Cell(i); cell.Type() == allod.File {
				return cell, nil
			}
			return allod.Value{}, allod.Errorf(allod.NotFound, "get a file of table %s: the row has none in %s", t.Name, column)
		}
		known = append(known, t.Columns[i].Name)
	}
	err := allod.Errorf(allod.Invalid, "get a file of table %s: %q is no column with files", t.Name, column)
	if len(known) == 0 {
		return allod.Value{}, allod.WithHint(err, "The table has none.")
	}
	return allod.Value{}, allod.WithHint(err, "Columns with files: %s.", strings.Join(known, ", "))
}
