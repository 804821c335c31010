package compare

import (
	"time"

	"allod"
)

// KnownRow is the newest stored version of a record, as far as it is known.
type KnownRow struct {
	Version  uint64
	Modified time.Time // zero where it is not known
	Row      *allod.Row
	Table    *allod.Table // of the row's cells
}

// Cell returns the stored value of a column by logical name; Absent when the
// column was not stored, or is not known.
func (k KnownRow) Cell(column string) allod.Value {
	if k.Table == nil || k.Row == nil {
		return allod.Value{}
	}
	return k.Row.Cell(k.Table.ColumnIndex(column))
}
