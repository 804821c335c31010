// Package mask shows a part of the columns of some rows.
package mask

import (
	"context"
	"slices"

	"allod"
	"allod/internal/source"
)

// View shows of the rows in Columns the named columns alone; the others are
// absent. Rows that are not in Columns are whole.
type View struct {
	source.View
	Columns map[allod.RecordRef]map[string]bool
}

// Get implements source.View.
func (v *View) Get(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	rows, err := v.View.Get(ctx, table, refs)
	t := v.View.Schema().Table(table)
	for i := range rows {
		only, is := v.Columns[rows[i].Ref()]
		if !is || t == nil {
			continue
		}
		rows[i].Cells = slices.Clone(rows[i].Cells)
		for j := range rows[i].Cells {
			if j < len(t.Columns) && !only[t.Columns[j].Name] {
				rows[i].Cells[j] = allod.Value{}
			}
		}
	}
	return rows, err
}
