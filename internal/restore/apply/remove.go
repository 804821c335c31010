package apply

import (
	"context"
	"slices"

	"allod"
	"allod/internal/history"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// removing is what rows were like right before the first of them was deleted:
// deleting one unlinks others that are still to go, which moves their versions,
// and that is not somebody else's change.
type removing struct {
	rows map[allod.RecordRef]history.Digest // of those that are as planned
	goes map[allod.RecordRef]struct{}       // all that go
	cols map[string]*history.Columns
}

// beforeRemoving looks at the rows that the plan deletes, once.
func (a *applier) beforeRemoving(ctx context.Context, s plan.Packed) error {
	if s.Pass != plan.PassRemove || a.remove != nil {
		return nil
	}
	r := &removing{rows: map[allod.RecordRef]history.Digest{}, goes: map[allod.RecordRef]struct{}{}, cols: map[string]*history.Columns{}}
	by := map[string][]plan.Packed{}
	for _, s := range a.p.Packed() {
		if s.Op == plan.OpDelete {
			table := a.p.TableOf(s)
			r.goes[allod.RecordRef{Table: table, Key: s.Key}] = struct{}{}
			by[table] = append(by[table], s)
		}
	}
	for _, table := range a.p.Tables() {
		lt := a.live.Schema().Table(table)
		if len(by[table]) == 0 || lt == nil {
			continue
		}
		r.cols[table] = history.NewColumns(lt, lt, history.ColumnOptions{Writable: true, SameSource: true})
		for steps := range slices.Chunk(by[table], readBatch) {
			ids := make([]allod.GUID, len(steps))
			for i := range steps {
				ids[i] = steps[i].Key
			}
			rows, err := get(ctx, a.live, table, ids)
			if err != nil {
				return err
			}
			for _, s := range steps {
				if row := rows[s.Key]; row != nil && row.Version == a.known(s) {
					r.rows[row.Ref()] = r.digest(row)
				}
			}
		}
	}
	a.remove = r
	return nil
}

// digest stands for what can be written of a row, but for its references to rows
// that go.
func (r *removing) digest(row *allod.Row) history.Digest {
	without := *row
	without.Cells = slices.Clone(row.Cells)
	for i, v := range without.Cells {
		if table, id := v.Target(); table != "" {
			if _, goes := r.goes[allod.RecordRef{Table: table, Key: id}]; goes {
				without.Cells[i] = allod.NullValue()
			}
		}
	}
	return r.cols[row.Table].DigestB(&without)
}

// unlinked reports whether a row that was not deleted because its version has
// moved is otherwise as it was, and takes its version of now.
func (a *applier) unlinked(ctx context.Context, w *write, err error) (bool, error) {
	if w.op.Kind != source.OpDelete || a.remove == nil || allod.KindOf(err) != allod.Conflict {
		return false, nil
	}
	was, is := a.remove.rows[allod.RecordRef{Table: w.op.Table.Name, Key: w.op.Key}]
	if !is {
		return false, nil
	}
	rows, err := get(ctx, a.live, w.op.Table.Name, []allod.GUID{w.op.Key})
	if err != nil {
		return false, err
	}
	row := rows[w.op.Key]
	if row == nil || a.remove.digest(row) != was {
		return false, nil
	}
	w.op.Version = row.Version
	return true, nil
}
