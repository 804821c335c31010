package query

import "allod"

// MaxURL is the longest request text that is parsed, in bytes
// (protocols/dataverse.md §4.7: 65,536 inside $batch).
const MaxURL = 65536

// MaxDepth is how deeply expressions and options may nest.
const MaxDepth = 100

// Dialect says what a service takes beyond and beside the specification. The
// zero value is the specification with any custom option.
type Dialect struct {
	// Custom reports whether a custom query option is known; nil means all.
	Custom func(name string) bool
	// PlusIsSpace decodes "+" in the query as a space, as HTML forms write it.
	PlusIsSpace bool
}

// ParseURL reads a URL relative to the service root: a resource path and
// perhaps "?" with query options, both percent-encoded.
func (d Dialect) ParseURL(raw string) (*Request, error) { return nil, nil }

// ParsePath reads a percent-encoded resource path.
func (d Dialect) ParsePath(raw string) ([]Segment, error) { return nil, nil }

// ParseOptions reads a percent-encoded query string.
func (d Dialect) ParseOptions(raw string) (*Options, error) { return nil, nil }

// ParseExpr reads an expression that is not percent-encoded, as in $filter.
func ParseExpr(text string) (Expr, error) { return nil, nil }

// Env tells Compile what names mean for rows of type R.
type Env[R any] struct {
	// Column returns a getter for the property; its error is Compile's.
	Column func(name string) (func(R) (allod.Value, error), error)
	// Single returns a getter for the row a single-valued navigation property
	// leads to (false = there is none), and the Env of that row. May be nil.
	Single func(name string) (func(R) (R, bool, error), *Env[R], error)
	// Many returns a getter for the rows a collection-valued navigation
	// property leads to, and the Env of those rows. May be nil.
	Many func(name string) (func(R) ([]R, error), *Env[R], error)
	// Function compiles a namespaced function that Compile itself does not
	// know, e.g. Microsoft.Dynamics.CRM.EqualUserId. May be nil.
	Function func(name string, args []Arg) (func(R) (allod.Value, error), error)

	// Aliases are the values of parameter aliases; one that is missing is
	// null (protocols/dataverse.md §4.3).
	Aliases map[string]Expr
	// FoldCase compares strings without regard to case, as Dataverse does.
	FoldCase bool
}
