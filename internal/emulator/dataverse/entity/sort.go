package entity

import (
	"cmp"
	"slices"
)

func sortTables(ts []*Table) {
	slices.SortFunc(ts, func(a, b *Table) int { return cmp.Compare(a.LogicalName, b.LogicalName) })
}

func compareNames(a, b *Column) int { return cmp.Compare(a.LogicalName, b.LogicalName) }
