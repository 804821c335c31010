package rows

import (
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/odata/query"
)

// narrow is rowsOf for a filter: where the filter can only hold for rows whose
// keys it lists, those rows are looked up instead of walking the table, as a
// database with an index on the key does. The filter is still to be applied.
func (c Reader) narrow(tx *store.Tx, t *entity.Table, filter query.Expr) source {
	keys, ok := listedKeys(filter, t)
	if !ok {
		return c.rowsOf(tx, t)
	}
	slices.SortFunc(keys, func(a, b allod.GUID) int { return slices.Compare(a[:], b[:]) })
	keys = slices.Compact(keys)
	var rows []Entity
	for _, at := range c.tablesOf(t) {
		for _, k := range keys {
			if r := tx.Get(at.LogicalName, k); r != nil {
				rows = append(rows, Entity{at, r})
			}
		}
	}
	return fixed(rows)
}

// listedKeys finds the keys to which a filter is bound by the function In over
// the primary key (protocols/dataverse.md §4.3); false = by none.
func listedKeys(e query.Expr, t *entity.Table) ([]allod.GUID, bool) {
	switch e := e.(type) {
	case *query.Binary:
		if e.Op != "and" {
			return nil, false
		}
		if keys, ok := listedKeys(e.L, t); ok {
			return keys, true
		}
		return listedKeys(e.R, t)
	case *query.Path:
		if len(e.Steps) != 1 || !strings.HasSuffix(e.Steps[0].Name, ".In") {
			return nil, false
		}
		return valuesOf(e.Steps[0].Args, t)
	}
	return nil, false
}

func valuesOf(args []query.Arg, t *entity.Table) ([]allod.GUID, bool) {
	var keys []allod.GUID
	onKey, listed := false, false
	for _, a := range args {
		switch v := a.Value.(type) {
		case *query.Literal:
			onKey = onKey || a.Name == "PropertyName" && (v.Text == t.PrimaryID || v.Text == t.ODataKey)
		case *query.Array:
			listed = a.Name == "PropertyValues"
			for _, it := range v.Items {
				lit, ok := it.(*query.Literal)
				if !ok {
					return nil, false
				}
				k, err := allod.ParseGUID(lit.Text)
				if err != nil {
					return nil, false
				}
				keys = append(keys, k)
			}
		}
	}
	return keys, onKey && listed && t.PrimaryID != ""
}
