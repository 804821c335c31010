package apply

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"allod"
	"allod/internal/history"
	"allod/internal/restore/plan"
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
func Verify(ctx context.Context, p *plan.Plan, snap, live source.View) (*Verification, error) {
	v := &Verification{Differ: []Different{}}
	byTable := map[string]map[allod.GUID][]plan.Packed{}
	for _, s := range p.Packed() {
		if s.Op.OfPair() || s.Op == plan.OpParties || s.Op == plan.OpDelete || p.ReasonOf(s) == plan.ReasonReopen {
			continue
		}
		name := p.TableOf(s)
		if byTable[name] == nil {
			byTable[name] = map[allod.GUID][]plan.Packed{}
		}
		byTable[name][s.Key] = append(byTable[name][s.Key], s)
	}
	for _, name := range p.Tables() {
		if rows := byTable[name]; rows != nil {
			if err := v.table(ctx, p, name, rows, snap, live); err != nil {
				return v, err
			}
		}
	}
	return v, nil
}

// readBatch is how many rows are read at once.
const readBatch = 250

func (v *Verification) table(ctx context.Context, p *plan.Plan, name string, rows map[allod.GUID][]plan.Packed, snap, live source.View) error {
	ids := slices.SortedFunc(maps.Keys(rows), func(x, y allod.GUID) int { return bytes.Compare(x[:], y[:]) })
	st, lt := snap.Schema().Table(name), live.Schema().Table(name)
	if st == nil || lt == nil {
		return allod.Errorf(allod.Conflict, "verify plan %s: table %s is gone since the plan was made", p.ID, name)
	}
	cols := history.NewColumns(st, lt, history.ColumnOptions{Writable: true, Map: p.Counterparts().Translate})
	for batch := range slices.Chunk(ids, readBatch) {
		want, err := get(ctx, snap, name, batch)
		if err != nil {
			return err
		}
		now, err := get(ctx, live, name, batch)
		if err != nil {
			return err
		}
		for _, id := range batch {
			r := want[id]
			if r == nil {
				continue
			}
			v.Rows++
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
	}
	return nil
}

// differing returns the planned columns of one row that are not as planned.
func differing(ctx context.Context, cols *history.Columns, p *plan.Plan, steps []plan.Packed, r, now *allod.Row, snap, live source.View) ([]string, error) {
	planned := map[string]bool{}
	for _, s := range steps {
		for _, c := range p.ColumnsOf(s) {
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
