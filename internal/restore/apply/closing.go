package apply

import (
	"context"

	"allod"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
	"allod/internal/source"
)

// closeRecord is the captured close activity of a row: closing the row again
// makes it again.
type closeRecord struct {
	id   allod.GUID
	made string // createdon, to tell the newest
}

// closeRecords reads the captured close activities of the rows of a table,
// the newest of each, leaving out those that exist live.
func (a *applier) closeRecords(ctx context.Context, table string) (map[allod.GUID]closeRecord, error) {
	name := traps.CloseTable(table)
	st, lt := a.snap.Schema().Table(name), a.live.Schema().Table(name)
	if st == nil || lt == nil || st.Unreadable != "" || lt.Unreadable != "" {
		return nil, nil
	}
	parent, made := st.ColumnIndex(traps.CloseParent(st)), st.ColumnIndex("createdon")
	out := map[allod.GUID]closeRecord{}
	for row, err := range a.snap.Rows(ctx, name) {
		if err != nil {
			return nil, err
		}
		_, id := row.Cell(parent).Target()
		rec := closeRecord{id: row.Key, made: row.Cell(made).Text()}
		if old, ok := out[id]; id.IsZero() || ok && (old.made > rec.made || old.made == rec.made && old.id.String() > rec.id.String()) {
			continue
		}
		out[id] = rec
	}
	here := map[allod.GUID]bool{}
	for row, err := range a.live.Rows(ctx, name) {
		if err != nil {
			return nil, err
		}
		here[row.Key] = true
	}
	for id, rec := range out {
		if here[rec.id] {
			delete(out, id)
		}
	}
	return out, nil
}

// closeRows reads the captured close activities of the rows that some steps
// close.
func (a *applier) closeRows(ctx context.Context, table string, steps []plan.Packed) (map[allod.GUID]*allod.Row, error) {
	recs := a.closing[table]
	var ids []allod.GUID
	for _, s := range steps {
		if rec, ok := recs[s.Key]; ok && s.Op == plan.OpState {
			ids = append(ids, rec.id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return get(ctx, a.snap, traps.CloseTable(table), ids)
}

// closeWith puts the captured close activity into the op that closes its
// parent (design/restore.md): a target that closes by a message makes it with
// these values. References are given to it afterwards.
func (b *opBuilder) closeWith(op *source.Op) {
	row := b.closes[b.a.closing[op.Table.Name][op.Key].id]
	if row == nil || op.Cells["statecode"].Int() == traps.ActiveState {
		return
	}
	st, lt := b.a.snap.Schema().Table(row.Table), b.a.live.Schema().Table(row.Table)
	op.ClosingTable, op.Closing = lt, map[string]allod.Value{lt.Key: allod.IDValue(row.Key)}
	for i := range st.Columns {
		c, v := lt.Column(st.Columns[i].Name), row.Cell(i)
		switch {
		case c == nil || !c.Create || c.Derived != "" || c.Name == "statecode" || c.Name == "statuscode" || c.Name == "overriddencreatedon":
		case v.IsAbsent() || v.IsNull() && !defaulted(c) || v.Type() == allod.Lookup || v.Type() == allod.File || c.Type == allod.Lookup:
		default:
			op.Closing[c.Name] = v
		}
	}
	if v := row.Cell(st.ColumnIndex("createdon")); st.ColumnIndex("createdon") >= 0 && lt.Column("overriddencreatedon") != nil && v.Type() == allod.DateTime {
		op.Closing["overriddencreatedon"] = v
	}
}

// platformMade reads what the platform has made, or is about to make, before
// the group of steps, of which s is one, that has to know it.
func (a *applier) platformMade(ctx context.Context, s plan.Packed) error {
	table := a.p.TableOf(s)
	lt := a.live.Schema().Table(table)
	if lt == nil {
		return nil
	}
	if s.Pass == plan.PassState && traps.CloseTable(table) != "" && a.closing[table] == nil {
		recs, err := a.closeRecords(ctx, table)
		if err != nil {
			return err
		}
		a.closing[table] = recs
	}
	if s.Pass%plan.CloseRound != plan.PassRows || a.made[table] != nil {
		return nil
	}
	parent := traps.CloseParent(lt)
	if parent == "" && !traps.MadeWithParent(lt, 1) {
		return nil
	}
	made := platformRows{}
	var refs []allod.RecordRef
	var keys []platformKey
	for row, err := range a.live.Rows(ctx, table) {
		if err != nil {
			return err
		}
		if parent == "" {
			made[madeKey(lt, &row)] = row.Key
		} else if _, id := row.Cell(lt.ColumnIndex(parent)).Target(); !id.IsZero() {
			keys, refs = append(keys, platformKey{id, 0}), append(refs, row.Ref())
		}
	}
	captured, err := a.captured(ctx, table, refs)
	if err != nil {
		return err
	}
	for i, k := range keys {
		if !captured[refs[i].Key] {
			made[k] = refs[i].Key
		}
	}
	a.made[table] = made
	return nil
}

// captured tells which of the rows the snapshot has.
func (a *applier) captured(ctx context.Context, table string, refs []allod.RecordRef) (map[allod.GUID]bool, error) {
	out := map[allod.GUID]bool{}
	for len(refs) > 0 {
		n := min(len(refs), readBatch)
		rows, err := a.snap.Get(ctx, table, refs[:n])
		if err != nil {
			return nil, err
		}
		for i := range rows {
			out[rows[i].Key] = true
		}
		refs = refs[n:]
	}
	return out, nil
}

// closedAlready reports whether closing the row's parent has made a close
// activity that the snapshot does not have.
func (a *applier) closedAlready(lt *allod.Table, r *allod.Row, st *allod.Table) bool {
	_, parent := r.Cell(st.ColumnIndex(traps.CloseParent(lt))).Target()
	_, ok := a.made[lt.Name][platformKey{parent, 0}]
	return ok && !parent.IsZero()
}
