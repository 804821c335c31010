package source

import (
	"context"

	"allod"
)

// Autonumber is a column that the source fills with numbers of its own.
type Autonumber struct {
	Table, Column string
	// Format is the source's pattern: text with {SEQNUM:n}, {RANDSTRING:n} and
	// {DATETIMEUTC:format} in it.
	Format string
	Next   int64 // the number that comes next; -1 = the source does not say
}

// Numberer is a source with columns that count by themselves. What the caller
// may not ask or do is Denied. A source may know no such messages: Invalid or
// NotFound.
type Numberer interface {
	// Autonumbers returns such columns of the tables, in their order.
	Autonumbers(ctx context.Context, tables []string) ([]Autonumber, error)
	// NextNumber returns the number that comes next in a column.
	NextNumber(ctx context.Context, table, column string) (int64, error)
	// SetNumber has a column count on from next. Saying it twice does no harm.
	SetNumber(ctx context.Context, o WriteOptions, table, column string, next int64) error
}

// Grant says that a user or a team may do something with a row beyond what roles
// allow.
type Grant struct {
	Table     string          `json:"table"`
	ID        allod.GUID      `json:"id"`
	Principal allod.RecordRef `json:"principal"` // of systemuser or team
	Rights    int64           `json:"rights"`    // bits as the source keeps them; those that it does not know are left out
}

// Sharer is a source whose rows can be shared one by one. What the caller may not
// do is Denied; a row or a principal that is gone is NotFound.
type Sharer interface {
	// Share adds the rights to those that the principal has. Saying it twice does no
	// harm. t is the table of the row.
	Share(ctx context.Context, o WriteOptions, t *allod.Table, g Grant) error
}

// TriggerLister is a source that can say what writing its rows sets off: the part
// of Inspector that a plan needs. Sorted; unlisted are tables that tell of triggers
// and could not be read. An error is a source that could not be reached.
type TriggerLister interface {
	Triggers(ctx context.Context, schema *allod.Schema) (triggers []Trigger, unlisted []string, err error)
}

// PrivilegeHolder is a source that can say whether its caller holds privileges,
// by their names.
type PrivilegeHolder interface {
	Holds(ctx context.Context, privileges ...string) (bool, error)
}

// Binned is a deleted row that the source still keeps.
type Binned struct {
	Key     allod.GUID
	Version uint64     // 0 = the source does not say
	State   int64      // statecode; 0 where the table has none
	By      allod.GUID // what the column says that was asked by
}

// Binner is a source with a recycle bin.
type Binner interface {
	// Binned returns the rows of the table in the bin for which the column, the key
	// or a lookup, is one of the ids.
	Binned(ctx context.Context, t *allod.Table, column string, ids []allod.GUID) ([]Binned, error)
}
