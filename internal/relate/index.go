package relate

import (
	"bytes"
	"context"
	"slices"

	"allod"
)

// entry is one reference from a row to a record.
type entry struct {
	target allod.GUID
	key    allod.GUID // of the referring row; of a pair: its first id
	other  allod.GUID // of a pair: its second id
	table  string     // what the cell says the target's table is, may be ""
	column int32      // position in the referring table
}

func (e *entry) ref(t *allod.Table) allod.RecordRef {
	if t.Intersect {
		return allod.RecordRef{Table: t.Name, Pair: [2]allod.GUID{e.key, e.other}}
	}
	return allod.RecordRef{Table: t.Name, Key: e.key}
}

// index holds the references of one table, sorted by target.
type index struct {
	entries []entry
	full    bool // there are more than fit: read the table each time
}

// references returns the table's index over the columns, building it once.
// The columns of later steps are always among those of the first.
func (c *closure) references(ctx context.Context, t *allod.Table, cols []int) (*index, error) {
	if ix := c.index[t.Name]; ix != nil {
		return ix, nil
	}
	ix := &index{}
	c.index[t.Name] = ix
	err := c.scan(ctx, t, cols, func(e entry) {
		if ix.full {
			return
		}
		ix.entries = append(ix.entries, e)
		if len(ix.entries) > indexLimit {
			ix.entries, ix.full = nil, true
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(ix.entries, func(x, y entry) int { return bytes.Compare(x.target[:], y.target[:]) })
	return ix, nil
}

// scan calls fn for every reference in the columns of the table.
func (c *closure) scan(ctx context.Context, t *allod.Table, cols []int, fn func(entry)) error {
	for row, err := range c.view.Rows(ctx, t.Name) {
		if err != nil {
			return err
		}
		if t.Intersect {
			for _, i := range cols {
				if side := c.pairColumn(t, t.Columns[i].Name); side >= 0 {
					fn(entry{target: row.Pair[side], key: row.Pair[0], other: row.Pair[1], column: int32(i)})
				}
			}
			continue
		}
		for _, i := range cols {
			v := row.Cell(i)
			if v.Type() != allod.Lookup {
				continue
			}
			table, id := v.Target()
			fn(entry{target: id, key: row.Key, table: table, column: int32(i)})
		}
	}
	return nil
}
