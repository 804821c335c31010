package query

import (
	"allod/internal/odata/query/internal/eval"
	"allod/internal/odata/query/internal/expr"
)

// MaxURL is the longest request text that is parsed, in bytes
// (protocols/dataverse.md §4.7: 65,536 inside $batch).
const MaxURL = expr.MaxText

// MaxDepth is how deeply expressions and options may nest.
const MaxDepth = expr.MaxDepth

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

// The nodes of expressions.
type (
	// Expr is a node of an expression: one of *Literal, *Unary, *Binary, *Call,
	// *Cast, *Case, *Path, *Alias, *List, *Array, *Object.
	Expr = expr.Expr
	// Literal is a constant.
	Literal = expr.Literal
	// LiteralKind is the kind of a primitive literal.
	LiteralKind = expr.LiteralKind
	// Unary is "not" or "-" before an operand.
	Unary = expr.Unary
	// Binary is an operator between two operands: or, and, eq, ne, gt, ge, lt,
	// le, has, in, add, sub, mul, div, divby, mod; always lower case.
	Binary = expr.Binary
	// Call is a canonical function such as contains(name,'x'); Name is as in the
	// specification whatever case the text had.
	Call = expr.Call
	// Cast is cast(X,Type) or isof(X,Type); X is nil where the text left it out.
	Cast = expr.Cast
	// Case is case(cond:value,…).
	Case = expr.Case
	// When is one branch of a Case.
	When = expr.When
	// Alias is a parameter alias, @name.
	Alias = expr.Alias
	// List is the right side of "in": ('a','b').
	List = expr.List
	// Array is a JSON array, whose items may be expressions.
	Array = expr.Array
	// Object is a JSON object, whose values may be expressions.
	Object = expr.Object
	// Member is one member of an Object.
	Member = expr.Member
	// Path is a member path such as primarycontactid/fullname,
	// Account_Tasks/any(t:t/subject eq 'x') or a bound function.
	Path = expr.Path
	// Step is one segment of a Path.
	Step = expr.Step
	// StepKind is the kind of a Step.
	StepKind = expr.StepKind
	// Arg is an argument of a function or a part of a key.
	Arg = expr.Arg
)

// The kinds of literals.
const (
	LitNull      = expr.LitNull
	LitBool      = expr.LitBool      // Text is "true" or "false"
	LitNumber    = expr.LitNumber    // Text are digits as written, or NaN, INF, -INF
	LitString    = expr.LitString    // Text is the content, quotes undone
	LitGUID      = expr.LitGUID      // Text as written
	LitDate      = expr.LitDate      // Text is yyyy-mm-dd
	LitDateTime  = expr.LitDateTime  // Text is yyyy-mm-ddThh:mm[:ss[.f]](Z|±hh:mm)
	LitTimeOfDay = expr.LitTimeOfDay // Text is hh:mm[:ss[.f]]
	LitDuration  = expr.LitDuration  // Text is e.g. P1DT2H, without duration''
	LitBinary    = expr.LitBinary    // Text is base64url, without binary''
	LitEnum      = expr.LitEnum      // Type is the qualified name, Text what stands in quotes
	LitGeo       = expr.LitGeo       // Type is geography or geometry, Text what stands in quotes
)

// The kinds of steps of a Path.
const (
	StepName       = expr.StepName
	StepCall       = expr.StepCall
	StepKey        = expr.StepKey
	StepAny        = expr.StepAny
	StepAll        = expr.StepAll
	StepCount      = expr.StepCount
	StepFilter     = expr.StepFilter
	StepIt         = expr.StepIt
	StepThis       = expr.StepThis
	StepRoot       = expr.StepRoot
	StepAnnotation = expr.StepAnnotation
	StepAlias      = expr.StepAlias
)

// ParseExpr reads an expression that is not percent-encoded, as in $filter.
// Errors are Invalid.
func ParseExpr(text string) (Expr, error) { return expr.ParseExpr(text) }

// ParseValue reads a value of a primitive type, e.g. Edm.Guid, as it stands in
// payloads and in DefaultValue: without quotes and not percent-encoded. Types
// other than primitive ones are taken as enumerations. Errors are Invalid.
func ParseValue(edmType, s string) (*Literal, error) { return expr.ParseValue(edmType, s) }

// IsIdentifier reports whether s is an odataIdentifier: a letter or underscore
// and up to 127 letters, digits and underscores, of any script.
func IsIdentifier(s string) bool { return expr.IsIdentifier(s) }

// Print returns the expression as text that ParseExpr reads back into the same
// tree. It is content.
func Print(e Expr) string { return expr.Print(e) }

// ParseLiteral reads a primitive literal as it stands in a URL,
// percent-encoded, e.g. 'O”Neil', 42 or duration'P1D'. Errors are Invalid.
func (d Dialect) ParseLiteral(raw string) (*Literal, error) {
	text, err := expr.Decode(raw, "literal", d.PlusIsSpace)
	if err != nil {
		return nil, err
	}
	p := &expr.Scanner{Text: text, What: "literal"}
	lit, ok := p.Literal()
	if !ok || !p.Done() {
		return nil, p.Fail("a literal")
	}
	return lit, nil
}

// ParseEscaped reads a percent-encoded expression. Errors are Invalid.
func (d Dialect) ParseEscaped(raw string) (Expr, error) {
	text, err := expr.Decode(raw, "expression", d.PlusIsSpace)
	if err != nil {
		return nil, err
	}
	return expr.ParseExpr(text)
}

// Env tells Compile what names mean for rows of type R.
type Env[R any] = eval.Env[R]

// Compile turns a Boolean expression into a function that judges rows; it is
// safe for concurrent use if the getters of env are. Logic is three-valued:
// where the expression is null the row is not chosen. Numbers are compared
// exactly. Names that env refuses, functions nobody knows and values that make
// no sense are Invalid, at once; operands that do not fit are Invalid when a row
// shows it.
func Compile[R any](e Expr, env Env[R]) (func(R) (bool, error), error) { return eval.Compile(e, env) }

// CompileOrder turns $orderby into a function that compares rows: null comes
// first in ascending order.
func CompileOrder[R any](items []OrderItem, env Env[R]) (func(a, b R) (int, error), error) {
	list := make([]eval.Order, len(items))
	for i, it := range items {
		list[i] = eval.Order{Expr: it.Expr, Desc: it.Desc}
	}
	return eval.CompileOrder(list, env)
}
