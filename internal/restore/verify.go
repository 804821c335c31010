package restore

import (
	"context"

	"allod"
	"allod/internal/history"
	"allod/internal/source"
)

// Verification is what fresh reads say after a restore.
type Verification struct {
	Rows    int64       `json:"rows"`    // rows of the plan that were read again
	Equal   int64       `json:"equal"`   // of these
	Missing int64       `json:"missing"` // not there
	Differ  []Different `json:"differ"`  // sorted by plan order
}

// Different names a row that is not as the snapshot has it.
type Different struct {
	Table   string     `json:"table"`
	ID      allod.GUID `json:"id"`
	Columns []string   `json:"columns"` // empty: the row is missing
}

// OK reports whether every row is as it should be.
func (v *Verification) OK() bool { return len(v.Differ) == 0 }

// Verify reads every row of the plan afresh and compares the columns that the
// plan was to write, bytes of files included. Pairs and parties are compared by
// planning again.
func Verify(ctx context.Context, p *Plan, snap, live source.View) (*Verification, error) {
	v := &Verification{Differ: []Different{}}
	maps := map[allod.RecordRef]allod.GUID{}
	for _, m := range p.Mappings {
		maps[allod.RecordRef{Table: m.Table, Key: m.From}] = m.To
	}
	byTable := map[uint16]map[allod.GUID][]uint32{}
	for i := range p.steps {
		s := &p.steps[i]
		if s.op == opAssociate || s.op == opParties || p.reasons[s.reason] == reasonReopen {
			continue
		}
		if byTable[s.table] == nil {
			byTable[s.table] = map[allod.GUID][]uint32{}
		}
		byTable[s.table][s.key] = append(byTable[s.table][s.key], s.cols)
	}
	for i, name := range p.tables {
		if rows := byTable[uint16(i)]; rows != nil {
			if err := v.table(ctx, p, name, rows, maps, snap, live); err != nil {
				return v, err
			}
		}
	}
	return v, nil
}

func (v *Verification) table(ctx context.Context, p *Plan, name string, rows map[allod.GUID][]uint32, maps map[allod.RecordRef]allod.GUID, snap, live source.View) error {
	set := make(map[allod.GUID]struct{}, len(rows))
	for id := range rows {
		set[id] = struct{}{}
	}
	ids := sortedKeys(set)
	cols := history.NewColumns(snap.Schema().Table(name), live.Schema().Table(name), history.ColumnOptions{Writable: true,
		Map: func(c allod.Value) allod.Value { return translate(maps, c) }})
	for len(ids) > 0 {
		n := min(len(ids), rowBatch)
		refs := refsOf(name, ids[:n])
		want, err := snap.Get(ctx, name, refs)
		if err != nil {
			return err
		}
		got, err := live.Get(ctx, name, refs)
		if err != nil {
			return err
		}
		now := byKey(got)
		for i := range want {
			v.Rows++
			r := &want[i]
			if now[r.Key] == nil {
				v.Missing++
				v.Differ = append(v.Differ, Different{Table: name, ID: r.Key, Columns: []string{}})
				continue
			}
			diff, err := differing(ctx, cols, p, rows[r.Key], r, now[r.Key], snap, live)
			if err != nil {
				return err
			}
			if len(diff) == 0 {
				v.Equal++
			} else {
				v.Differ = append(v.Differ, Different{Table: name, ID: r.Key, Columns: diff})
			}
		}
		ids = ids[n:]
	}
	return nil
}

// differing returns the planned columns of one row that are not as planned.
func differing(ctx context.Context, cols *history.Columns, p *Plan, sets []uint32, r, now *allod.Row, snap, live source.View) ([]string, error) {
	planned := map[string]bool{}
	for _, s := range sets {
		for _, c := range p.sets[s] {
			planned[c] = true
		}
	}
	d := cols.Diff(r, now)
	var out []string
	for _, c := range d.Columns {
		if planned[c] {
			out = append(out, c)
		}
	}
	for _, f := range d.Files {
		if !planned[f] {
			continue
		}
		same, known, err := history.SameFile(ctx, snap, live, r, now, f)
		if err != nil {
			return nil, err
		}
		if known && !same {
			out = append(out, f)
		}
	}
	return out, nil
}
