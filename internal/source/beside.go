package source

import "context"

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
