// Package eval compiles expressions into functions that judge rows. It is the
// inside of package query, which others import.
package eval

import (
	"time"

	"allod"
	"allod/internal/odata/query/internal/expr"
)

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
	// know, e.g. Microsoft.Dynamics.CRM.EqualUserId; it returns a Boolean or
	// null for each row. May be nil.
	Function func(name string, args []expr.Arg) (func(R) (allod.Value, error), error)

	// Aliases are the values of parameter aliases; one that is missing is
	// null (protocols/dataverse.md §4.3). Only those of the outermost Env
	// count, and so do the fields below.
	Aliases map[string]expr.Expr
	// FoldCase compares strings without regard to case, as Dataverse does.
	FoldCase bool
	// Wildcards gives % _ [ ] [^ ] their meaning in contains, startswith and
	// endswith, as Dataverse does (protocols/dataverse.md §4.3).
	Wildcards bool
	// Now is the clock of now() and of functions such as LastXDays; without it
	// they are Invalid.
	Now func() time.Time
}

// frame is what an expression sees while it is evaluated for a row.
type frame[R any] struct {
	row R         // of the variable, or $it
	up  *frame[R] // of the lambda around this one
}

// node computes the value of a compiled expression.
type node[R any] func(f *frame[R]) (val, error)

// variable is a row in scope: $it or that of a lambda.
type variable[R any] struct {
	name string // "" for $it
	env  *Env[R]
}

// compiler compiles one expression; vars are the rows in scope, outermost
// first.
type compiler[R any] struct {
	env   Env[R] // outermost
	vars  []variable[R]
	depth int
}

func invalid(format string, args ...any) error {
	return allod.Errorf(allod.Invalid, "compile expression: "+format, args...)
}

func newCompiler[R any](env Env[R]) *compiler[R] {
	c := &compiler[R]{env: env}
	c.vars = []variable[R]{{env: &c.env}}
	return c
}

// Compile turns a Boolean expression into a function that judges rows.
func Compile[R any](e expr.Expr, env Env[R]) (func(R) (bool, error), error) {
	n, err := newCompiler(env).compile(e)
	if err != nil {
		return nil, err
	}
	return func(row R) (bool, error) {
		v, err := n(&frame[R]{row: row})
		if err != nil {
			return false, err
		}
		if v.k != kBool && v.k != kNull {
			return false, allod.Errorf(allod.Invalid, "evaluate: the expression is not Boolean")
		}
		return v.k == kBool && v.num != 0, nil
	}, nil
}

// Order is one item of $orderby.
type Order struct {
	Expr expr.Expr
	Desc bool
}

// CompileOrder turns $orderby into a function that compares rows.
func CompileOrder[R any](items []Order, env Env[R]) (func(a, b R) (int, error), error) {
	c := newCompiler(env)
	nodes := make([]node[R], len(items))
	for i, it := range items {
		var err error
		if nodes[i], err = c.compile(it.Expr); err != nil {
			return nil, err
		}
	}
	return func(a, b R) (int, error) {
		fa, fb := &frame[R]{row: a}, &frame[R]{row: b}
		for i, n := range nodes {
			va, err := n(fa)
			if err != nil {
				return 0, err
			}
			vb, err := n(fb)
			if err != nil {
				return 0, err
			}
			r := 0
			switch {
			case va.k == kNull || vb.k == kNull:
				r = compare(int64(min(va.k, 1)), int64(min(vb.k, 1)))
			default:
				if r, _, err = order(va, vb, env.FoldCase); err != nil {
					return 0, err
				}
			}
			if r != 0 {
				if items[i].Desc {
					r = -r
				}
				return r, nil
			}
		}
		return 0, nil
	}, nil
}

// order compares two values that are not null. known is false where there is
// no order, as with NaN.
func order(a, b val, folded bool) (r int, known bool, err error) {
	if a.k != b.k {
		if a, b, known = meet(a, b); !known {
			return 0, false, allod.Errorf(allod.Invalid, "evaluate: a comparison of operands that do not fit")
		}
	}
	switch a.k {
	case kNum:
		return compareNum(a, b), true, nil
	case kText:
		return compareText(a.text, b.text, folded), true, nil
	case kGUID:
		for i := range a.guid {
			if a.guid[i] != b.guid[i] {
				return compare(int64(a.guid[i]), int64(b.guid[i])), true, nil
			}
		}
		return 0, true, nil
	case kBool, kInf, kDate:
		return compare(a.num, b.num), true, nil
	case kDateTime, kTime, kDuration:
		if a.num != b.num {
			return compare(a.num, b.num), true, nil
		}
		return compare(int64(a.sub), int64(b.sub)), true, nil
	case kNaN, kNull:
		return 0, false, nil
	case kList:
	}
	return 0, false, allod.Errorf(allod.Invalid, "evaluate: a comparison of lists")
}

// meet makes two values of different kinds comparable: a date becomes its
// midnight in UTC, and text is read as what it is compared with, which clients
// of Dataverse rely on for GUIDs and dates in quotes.
func meet(a, b val) (x, y val, ok bool) {
	switch {
	case a.k == kNaN || b.k == kNaN:
		return val{k: kNaN}, val{k: kNaN}, isNumber(a) && isNumber(b)
	case a.k == kInf && b.k == kNum:
		return a, val{k: kInf}, true
	case a.k == kNum && b.k == kInf:
		return val{k: kInf}, b, true
	case a.k == kDate && b.k == kDateTime:
		return val{k: kDateTime, num: a.num * 86400}, b, true
	case a.k == kDateTime && b.k == kDate:
		return a, val{k: kDateTime, num: b.num * 86400}, true
	case a.k == kText:
		a, ok = readAs(a.text, b.k)
		if ok && a.k != b.k {
			return meet(a, b)
		}
		return a, b, ok
	case b.k == kText:
		b, ok = readAs(b.text, a.k)
		if ok && a.k != b.k {
			return meet(a, b)
		}
		return a, b, ok
	}
	return a, b, false
}

func isNumber(v val) bool { return v.k == kNum || v.k == kNaN || v.k == kInf }

func readAs(s string, k kind) (val, bool) {
	switch k {
	case kGUID:
		g, err := allod.ParseGUID(s)
		return val{k: kGUID, guid: g}, err == nil
	case kDate, kDateTime:
		if v, ok := parseDateTime(s); ok {
			return v, true
		}
		return parseDate(s)
	case kTime:
		return parseTime(s)
	case kNull, kBool, kNum, kNaN, kInf, kText, kDuration, kList:
	}
	return val{}, false
}

// equal compares two values, null included.
func equal(a, b val, folded bool) (bool, error) {
	if a.k == kNull || b.k == kNull {
		return a.k == b.k, nil
	}
	r, known, err := order(a, b, folded)
	return known && r == 0, err
}
