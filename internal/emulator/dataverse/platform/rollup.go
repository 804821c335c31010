package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/formula"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// rollupOf is the definition of a rollup column that is understood, else nil.
func rollupOf(c *entity.Column) *formula.Rollup {
	if c.SourceType != formula.Rolled {
		return nil
	}
	r, err := formula.ParseRollup(formula.Definition(c))
	if err != nil {
		return nil // the XAML of a real one
	}
	return r
}

// Rollup reckons one rollup column of one row anew and keeps value, time and
// state. ok is false when the column is none, or its definition is not
// understood.
func (a *Act) Rollup(t *entity.Table, c *entity.Column, id allod.GUID) (ok bool, err error) {
	r, old := rollupOf(c), a.Tx.Get(t.LogicalName, id)
	if old == nil {
		return false, wire.NoRow(t.LogicalName, id.String())
	}
	if r == nil {
		return false, nil
	}
	a.roll(t, c, r, old)
	return true, nil
}

// roll keeps what a rollup comes to; false when that is what the row holds
// already. What beside it changes is assumed.
func (a *Act) roll(t *entity.Table, c *entity.Column, r *formula.Rollup, old *store.Row) bool {
	now := a.load(old)
	v, state := r.Eval(a.Tx, c, old.Key)
	done, was := allod.IntegerValue(int64(state)), a.get(t, now, c.LogicalName)
	fresh := was != v || a.get(t, now, c.LogicalName+"_state") != done
	a.set(t, now, c.LogicalName, v)
	a.set(t, now, c.LogicalName+"_state", done)
	a.set(t, now, c.LogicalName+"_date", a.now())
	switch a.Assume("rollup-touches") {
	case "nothing":
		a.Tx.Rewrite(t.LogicalName, old.Key, cells(now))
	case "modifiedon":
		a.set(t, now, "modifiedon", a.now())
		a.put(t, old.Key, now)
	default:
		a.put(t, old.Key, now)
	}
	return fresh
}

// Rollups does what the job does that runs every hour: it reckons all rollup
// columns of rows where they have changed, and returns how many those were.
func (a *Act) Rollups() int {
	n := 0
	for _, t := range a.Schema.Model.Tables {
		for _, c := range t.Columns {
			r := rollupOf(c)
			if r == nil || !a.Tx.Has(t.LogicalName) {
				continue
			}
			for _, row := range a.Tx.Page(t.LogicalName, nil, a.Tx.Len(t.LogicalName)) {
				point := a.Tx.Point()
				if a.roll(t, c, r, row) {
					n++
				} else {
					a.Tx.Back(point)
				}
			}
		}
	}
	return n
}

// unrolled marks the rollup columns of a new row as not reckoned yet.
func (a *Act) unrolled(t *entity.Table, r row) {
	for _, c := range t.Columns {
		if rollupOf(c) != nil {
			a.setNew(t, r, c.LogicalName+"_state", allod.IntegerValue(formula.NotCalculated))
		}
	}
}
