// Package expr holds the trees of OData v4 expressions, reads and prints them.
// It is the inside of package query, which others import.
package expr

// Expr is a node of an expression: one of *Literal, *Unary, *Binary, *Call,
// *Cast, *Case, *Path, *Alias, *List, *Array, *Object.
type Expr interface {
	// AppendTo appends the expression as text, not percent-encoded, that
	// parses into the same tree.
	AppendTo(dst []byte) []byte
}

// LiteralKind is the kind of a primitive literal.
type LiteralKind uint8

// The kinds of literals.
const (
	LitNull      LiteralKind = iota + 1
	LitBool                  // Text is "true" or "false"
	LitNumber                // Text are digits as written, perhaps with sign, fraction, exponent; or NaN, INF, -INF
	LitString                // Text is the content, quotes undone
	LitGUID                  // Text as written
	LitDate                  // Text is yyyy-mm-dd
	LitDateTime              // Text is yyyy-mm-ddThh:mm[:ss[.f]](Z|±hh:mm)
	LitTimeOfDay             // Text is hh:mm[:ss[.f]]
	LitDuration              // Text is e.g. P1DT2H, without duration''
	LitBinary                // Text is base64url, without binary''
	LitEnum                  // Type is the qualified name, Text what stands in quotes
	LitGeo                   // Type is geography or geometry, Text what stands in quotes
)

// Literal is a constant.
type Literal struct {
	Kind LiteralKind
	Type string // LitEnum, LitGeo
	Text string
}

// Unary is "not" or "-" before an operand.
type Unary struct {
	Op string // "not", "-"
	X  Expr
}

// Binary is an operator between two operands: or, and, eq, ne, gt, ge, lt,
// le, has, in, add, sub, mul, div, divby, mod; always lower case.
type Binary struct {
	Op   string
	L, R Expr
}

// Call is a canonical function such as contains(name,'x'); Name is as in the
// specification whatever case the text had.
type Call struct {
	Name string
	Args []Expr
}

// Cast is cast(X,Type) or isof(X,Type); X is nil where the text left it out.
type Cast struct {
	IsOf bool
	X    Expr
	Type string // as written, e.g. Edm.String, Collection(mscrm.x)
}

// Case is case(cond:value,…).
type Case struct{ When []When }

// When is one branch of a Case.
type When struct{ If, Then Expr }

// Alias is a parameter alias, @name.
type Alias struct{ Name string } // without @

// List is the right side of "in": ('a','b').
type List struct{ Items []Expr }

// Array is a JSON array, whose items may be expressions.
type Array struct{ Items []Expr }

// Object is a JSON object, whose values may be expressions.
type Object struct{ Members []Member }

// Member is one member of an Object.
type Member struct {
	Name  string
	Value Expr
}

// Path is a member path such as primarycontactid/fullname,
// Account_Tasks/any(t:t/subject eq 'x') or a bound function.
type Path struct{ Steps []Step }

// StepKind is the kind of a Step.
type StepKind uint8

// The kinds of steps.
const (
	StepName       StepKind = iota + 1 // Name: property, navigation property, lambda variable; qualified: type cast
	StepCall                           // Name and Args: a function with named parameters, or a key predicate
	StepKey                            // Args: a key predicate right after a $filter step
	StepAny                            // Var and Pred; Var "" for any()
	StepAll                            // Var and Pred
	StepCount                          // $count, perhaps of what Pred and Search let through
	StepFilter                         // $filter(Pred)
	StepIt                             // $it
	StepThis                           // $this
	StepRoot                           // $root
	StepAnnotation                     // Name after @, Qualifier after #
	StepAlias                          // @name as the first of several steps
)

// Step is one segment of a Path.
type Step struct {
	Kind      StepKind
	Name      string // namespace included, e.g. Microsoft.Dynamics.CRM.In
	Qualifier string
	Args      []Arg
	Var       string
	Pred      Expr
	Search    string // of StepCount
}

// Arg is an argument of a function or a part of a key.
type Arg struct {
	Name  string // "" for a key without a name
	Value Expr
}
