package query

import "allod"

// MaxURL is the longest request text that is parsed, in bytes
// (protocols/dataverse.md §4.7: 65,536 inside $batch).
const MaxURL = 65536

// MaxDepth is how deeply expressions and options may nest.
const MaxDepth = 200

// Dialect says what a service takes beyond and beside the specification. The
// zero value is the specification with any custom option.
type Dialect struct {
	// Custom reports whether a custom query option is known; nil means all.
	Custom func(name string) bool
	// PlusIsSpace decodes "+" in the query as a space, as HTML forms write it.
	PlusIsSpace bool
	// Exact takes option names only with their "$" and in lower case, and each
	// only once, as Dataverse does (protocols/dataverse.md §4.3).
	Exact bool
}

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
