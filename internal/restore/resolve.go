package restore

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"allod"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
	"allod/internal/source"
)

// fate is what becomes of a reference.
type fate uint8

const (
	fateMissing fate = iota // its target will not exist
	fateNow                 // its target exists when the row is written
	fateLater               // its target is made by a later step
	fateWave                // its target is made by a step of the same table
	fateLast                // its target is a close activity, made after everything else
)

// target returns what a cell of the snapshot refers to in the target's terms;
// ok is false for an empty reference.
func (b *builder) target(col *allod.Column, v allod.Value) (ref allod.RecordRef, ok bool) {
	table, id := b.mapped(v).Target()
	if v.Type() != allod.Lookup || id.IsZero() {
		return allod.RecordRef{}, false
	}
	if table == "" && len(col.Bind) == 1 {
		for only := range col.Bind {
			table = only
		}
	}
	return allod.RecordRef{Table: table, Key: id}, true
}

// fate says whether and when the target of a reference from a row of table
// exists; ensureTargets comes first.
func (b *builder) fate(table string, ref allod.RecordRef) fate {
	if b.exists(ref.Table, ref.Key) {
		return fateNow
	}
	ch := b.chosen[ref.Table]
	if ch == nil {
		return fateMissing
	}
	if _, ok := ch.keys[ref.Key]; !ok || b.o.onlyColumns() {
		return fateMissing
	}
	if traps.CloseParent(ch.t) != "" && traps.CloseParent(b.chosen[table].t) == "" {
		return fateLast
	}
	switch {
	case ref.Table == table:
		return fateWave
	case b.rank[ref.Table] < b.rank[table] || traps.CloseParent(b.chosen[table].t) != "":
		return fateNow
	}
	return fateLater
}

func (o *Options) onlyColumns() bool { return len(o.Columns) > 0 }

// ensureTargets makes exists answer for everything the rows refer to.
func (b *builder) ensureTargets(ctx context.Context, tp *tablePlan, rows []allod.Row) error {
	want := map[string][]allod.GUID{}
	for i := range rows {
		for _, c := range tp.cols {
			if c.kind != kindLookup && c.kind != kindOwner {
				continue
			}
			if ref, ok := b.target(c.col, rows[i].Cell(c.s)); ok && ref.Table != "" {
				want[ref.Table] = append(want[ref.Table], ref.Key)
			}
		}
	}
	for table, ids := range want {
		slices.SortFunc(ids, func(x, y allod.GUID) int { return bytes.Compare(x[:], y[:]) })
		if err := b.ensure(ctx, table, slices.Compact(ids), false); err != nil {
			return err
		}
	}
	return nil
}

// writableBind reports whether the lookup can be written to a row of table.
// An owner is bound by one property for users and teams.
func writableBind(col *allod.Column, table string) bool {
	if len(col.Bind) == 0 || col.Bind[table] != "" {
		return true
	}
	return col.Bind["owner"] != "" || col.Bind["principal"] != ""
}

func sortMappings(m []plan.Mapping) {
	slices.SortFunc(m, func(x, y plan.Mapping) int {
		return cmp.Or(cmp.Compare(x.Table, y.Table), bytes.Compare(x.From[:], y.From[:]))
	})
}

// byKey indexes rows by their key.
func byKey(rows []allod.Row) map[allod.GUID]*allod.Row {
	out := make(map[allod.GUID]*allod.Row, len(rows))
	for i := range rows {
		out[rows[i].Key] = &rows[i]
	}
	return out
}

// eachBatch calls fn with the chosen rows of a table, some at a time.
func (b *builder) eachBatch(ctx context.Context, ch *chosen, fn func([]allod.Row) error) error {
	if ch.whole {
		return streamBatches(ctx, b.snap, ch, fn)
	}
	refs := refsOf(ch.t.Name, sortedKeys(ch.keys))
	if ch.t.Intersect {
		refs = refs[:0]
		for p := range ch.pairs {
			refs = append(refs, allod.RecordRef{Table: ch.t.Name, Pair: p})
		}
	}
	for batch := range slices.Chunk(refs, rowBatch) {
		rows, err := b.snap.Get(ctx, ch.t.Name, batch)
		if err != nil {
			return err
		}
		if err := fn(rows); err != nil {
			return err
		}
	}
	return nil
}

func streamBatches(ctx context.Context, v source.View, ch *chosen, fn func([]allod.Row) error) error {
	var rows []allod.Row
	for row, err := range v.Rows(ctx, ch.t.Name) {
		if err != nil {
			return err
		}
		if !ch.has(&row) {
			continue
		}
		if rows = append(rows, row); len(rows) == rowBatch {
			if err := fn(rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return fn(rows)
}
