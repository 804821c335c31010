// Package query is the language of OData v4 requests: resource paths, query
// options and expressions (OASIS OData 4.01 part 2 with the ABNF construction
// rules; protocols/dataverse.md §4). It parses text into trees, prints trees
// back to text and compiles expressions into functions that judge rows. It
// knows names only by their shape: whether a segment is an entity set, a
// property or a function is for the caller, who has the model.
//
// Parsed trees are immutable by convention and safe for concurrent reading.
// Every text that is not in the language, too long or too deeply nested is
// refused with an error of Kind Invalid.
package query

import "allod"

// Segment is one segment of a resource path.
type Segment struct {
	Kind SegmentKind
	// Name is the decoded name, namespace included: an entity set, property,
	// navigation property, type cast, function or action. For SegKey it is
	// the decoded key.
	Name string
	// Parens is true if parentheses follow the name; Args is what they hold:
	// a key (one argument without a name, or named ones) or parameters of a
	// function, which the model tells apart.
	Parens bool
	Args   []Arg
	Filter Expr     // of SegFilter
	Sets   []string // of SegCrossjoin
}

// SegmentKind is the kind of a Segment.
type SegmentKind uint8

// The kinds of segments. SegName is what the service's model names; the others
// are written by their names in the specification.
const (
	SegName      SegmentKind = iota + 1
	SegKey                   // key as segment: a segment that cannot be a name, e.g. a number
	SegCount                 // $count
	SegRef                   // $ref
	SegValue                 // $value
	SegQuery                 // $query
	SegEach                  // $each
	SegFilter                // $filter(…)
	SegBatch                 // $batch
	SegMetadata              // $metadata
	SegEntity                // $entity
	SegAll                   // $all
	SegCrossjoin             // $crossjoin(…)
	SegContentID             // $1: refers to an operation of the same batch; Name holds the id
)

// ID returns the key of the segment if it is a single GUID, named or not.
func (s *Segment) ID() (allod.GUID, bool) {
	if len(s.Args) != 1 {
		return allod.GUID{}, false
	}
	lit, ok := s.Args[0].Value.(*Literal)
	if !ok || lit.Kind != LitGUID {
		return allod.GUID{}, false
	}
	g, err := allod.ParseGUID(lit.Text)
	return g, err == nil
}

// Request is a parsed URL, relative to the service root.
type Request struct {
	Path     []Segment // empty for the service document
	Options  *Options  // never nil
	Fragment string    // after #, only with $metadata
}

// Options are the query options of a request, of an $expand or $select item.
// What is not set was not in the text.
type Options struct {
	Select     []SelectItem
	Expand     []ExpandItem
	Filter     Expr
	OrderBy    []OrderItem
	Compute    []ComputeItem
	Apply      []Transform
	Search     string
	Format     string
	ID         string // $id
	SkipToken  string // decoded once
	DeltaToken string // decoded once
	Schema     string // $schemaversion
	Top        Number
	Skip       Number
	Index      Number
	Levels     Number // LevelsMax = "max"
	Count      Flag

	// Aliases are the values of parameter aliases, by name without @.
	Aliases map[string]Expr
	// Custom are the options outside OData, in order.
	Custom []Custom

	// Names lists the options that were present, in order, as canonical
	// names with $ ("$select"), aliases with @, custom ones as written.
	Names []string
}

// LevelsMax is the value of $levels=max.
const LevelsMax = -1

// Number is a number that may be absent.
type Number struct {
	Set bool
	N   int64
}

// Flag is a truth value that may be absent.
type Flag struct{ Set, Value bool }

// Custom is a query option outside OData, e.g. fetchXml; decoded.
type Custom struct{ Name, Value string }

// Has reports whether the option was present; name as in Names.
func (o *Options) Has(name string) bool {
	for _, n := range o.Names {
		if n == name {
			return true
		}
	}
	return false
}

// Get returns the value of the custom option with the name.
func (o *Options) Get(name string) (string, bool) {
	for _, c := range o.Custom {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// SelectItem is one item of $select. Path holds its segments: names, qualified
// names, "*", or annotations with their @.
type SelectItem struct {
	Path    []string
	Params  []string // parameter names of a function overload; nil if none
	Parens  bool     // true if parameter names were given
	Options *Options // nil if none
}

// Star reports whether the item is "*".
func (s SelectItem) Star() bool { return len(s.Path) == 1 && s.Path[0] == "*" }

// ExpandItem is one item of $expand: a path of names and qualified names that
// ends in the navigation property, perhaps with a type cast after it.
type ExpandItem struct {
	Path    []string // last may be "*" or "$value"
	Ref     bool     // …/$ref
	Count   bool     // …/$count
	Options *Options // nil if none
}

// OrderItem is one item of $orderby.
type OrderItem struct {
	Expr Expr
	Desc bool
	Asc  bool // "asc" was written
}

// ComputeItem is one item of $compute.
type ComputeItem struct {
	Expr Expr
	As   string
}

// TransformKind is the kind of a Transform.
type TransformKind uint8

// The transformations of $apply that Dataverse has (protocols/dataverse.md
// §4.5).
const (
	TransformFilter TransformKind = iota + 1
	TransformGroupBy
	TransformAggregate
	TransformOrderBy
	TransformTop
	TransformSkip
	TransformCompute
)

// Transform is one step of $apply.
type Transform struct {
	Kind      TransformKind
	Filter    Expr          // TransformFilter
	GroupBy   []*Path       // TransformGroupBy
	Apply     []Transform   // TransformGroupBy: what is done to each group
	Aggregate []Aggregate   // TransformAggregate
	OrderBy   []OrderItem   // TransformOrderBy
	Compute   []ComputeItem // TransformCompute
	N         int64         // TransformTop, TransformSkip
}

// Aggregate is one expression of aggregate().
type Aggregate struct {
	Expr  Expr   // nil for $count
	Count bool   // $count
	With  string // sum, average, min, max, countdistinct or a qualified name; "" for $count
	As    string
}
