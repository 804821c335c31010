package allod

import "time"

// Row is one row of one table as it was read. Cells stand parallel to
// Table.Columns of the schema it was read with; a missing tail is Absent.
// A Row is not changed after it has been handed over.
type Row struct {
	Table    string    // logical name
	Key      GUID      // primary key. For an intersect row: the source's own id of the pair, which may be zero
	Pair     [2]GUID   // intersect rows only: the two ids in the order Column1, Column2 of the relationship
	Version  uint64    // the source's row version; 0 = the source has none for this table
	Modified time.Time // the source's modified-on, UTC; zero = not known
	Cells    []Value
}

// Cell returns the i-th cell, Absent when the row has fewer.
func (r *Row) Cell(i int) Value {
	if i < 0 || i >= len(r.Cells) {
		return Value{}
	}
	return r.Cells[i]
}

// RecordRef names one record of one environment. For a pair of an intersect
// table Key is zero and Pair is set: a pair is its two ids, whatever id the
// source gives the row that holds it.
type RecordRef struct {
	Table string  `json:"table"`
	Key   GUID    `json:"key"`
	Pair  [2]GUID `json:"pair,omitzero"`
}

// IsPair reports whether the reference is to a pair of an intersect table.
func (r RecordRef) IsPair() bool { return r.Pair != [2]GUID{} }

// String returns table(id) or table(id,id).
func (r RecordRef) String() string {
	if r.IsPair() {
		return r.Table + "(" + r.Pair[0].String() + "," + r.Pair[1].String() + ")"
	}
	return r.Table + "(" + r.Key.String() + ")"
}

// Ref returns the reference to the row's record.
func (r *Row) Ref() RecordRef {
	if r.Pair != [2]GUID{} {
		return RecordRef{Table: r.Table, Pair: r.Pair}
	}
	return RecordRef{Table: r.Table, Key: r.Key}
}

// DeleteReason says how a deletion became known. The numbers are stored in the
// vault (FORMAT.md): do not reorder.
type DeleteReason uint8

// The reasons of a deletion (design/capture.md, deletions).
const (
	DeleteSaid      DeleteReason = 1 // the source said so in a delta
	DeleteAbsent    DeleteReason = 2 // absent in a full read that proves it
	DeleteRetention DeleteReason = 3 // moved to the source's long-term retention: not a loss
	DeleteDropped   DeleteReason = 4 // the table was dropped
)

// String returns the reason as it appears in --json.
func (d DeleteReason) String() string {
	switch d {
	case DeleteSaid:
		return "said-by-source"
	case DeleteAbsent:
		return "absent-in-full-read"
	case DeleteRetention:
		return "moved-to-retention"
	case DeleteDropped:
		return "table-dropped"
	}
	return "unknown"
}
