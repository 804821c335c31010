package eval

import (
	"allod"
	"allod/internal/odata/query/internal/expr"
)

func constant[R any](v val) node[R] { return func(*frame[R]) (val, error) { return v, nil } }

func (c *compiler[R]) compile(e expr.Expr) (node[R], error) {
	switch e := e.(type) {
	case *expr.Literal:
		v, ok := ofLiteral(e)
		if !ok {
			return nil, invalid("a literal that stands for no value")
		}
		return constant[R](v), nil
	case *expr.Alias:
		return c.alias(e.Name)
	case *expr.Unary:
		return c.unary(e)
	case *expr.Binary:
		return c.binary(e)
	case *expr.Call:
		return c.call(e)
	case *expr.Case:
		return c.caseExpr(e)
	case *expr.Path:
		return c.path(e)
	case *expr.List:
		return c.list(e.Items)
	case *expr.Array:
		return c.list(e.Items)
	case *expr.Cast:
		return nil, invalid("cast and isof are not supported")
	case *expr.Object:
		return nil, invalid("an object is not supported here")
	}
	return nil, invalid("an expression is missing")
}

// alias compiles the value of a parameter alias; depth guards against aliases
// that name one another.
func (c *compiler[R]) alias(name string) (node[R], error) {
	value, ok := c.env.Aliases[name]
	if !ok {
		return constant[R](val{}), nil
	}
	c.depth++
	defer func() { c.depth-- }()
	if c.depth > 16 {
		return nil, invalid("parameter aliases that name one another")
	}
	return c.compile(value)
}

func (c *compiler[R]) unary(e *expr.Unary) (node[R], error) {
	x, err := c.compile(e.X)
	if err != nil {
		return nil, err
	}
	if e.Op == "-" {
		return func(f *frame[R]) (val, error) {
			v, err := x(f)
			if err != nil {
				return val{}, err
			}
			return negate(v)
		}, nil
	}
	return func(f *frame[R]) (val, error) {
		v, err := x(f)
		if err != nil || v.k == kNull {
			return v, err
		}
		if v.k != kBool {
			return val{}, allod.Errorf(allod.Invalid, "evaluate: the operand of \"not\" is not Boolean")
		}
		return boolVal(v.num == 0), nil
	}, nil
}

func (c *compiler[R]) binary(e *expr.Binary) (node[R], error) {
	l, err := c.compile(e.L)
	if err != nil {
		return nil, err
	}
	r, err := c.compile(e.R)
	if err != nil {
		return nil, err
	}
	folded := c.env.FoldCase
	switch e.Op {
	case "and", "or":
		return logic(l, r, e.Op == "or"), nil
	case "eq", "ne":
		want := e.Op == "eq"
		return pair(l, r, func(a, b val) (val, error) {
			same, err := equal(a, b, folded)
			return boolVal(same == want), err
		}), nil
	case "gt", "ge", "lt", "le":
		op := e.Op
		return pair(l, r, func(a, b val) (val, error) {
			if a.k == kNull || b.k == kNull {
				return boolVal(false), nil
			}
			cmp, known, err := order(a, b, folded)
			if err != nil || !known {
				return boolVal(false), err
			}
			return boolVal(op == "gt" && cmp > 0 || op == "ge" && cmp >= 0 || op == "lt" && cmp < 0 || op == "le" && cmp <= 0), nil
		}), nil
	case "in":
		return pair(l, r, func(a, b val) (val, error) {
			if b.k != kList {
				return val{}, allod.Errorf(allod.Invalid, "evaluate: the right side of \"in\" is not a list")
			}
			return contains(b.list, a, folded)
		}), nil
	case "has":
		return pair(l, r, has), nil
	}
	op := e.Op
	return pair(l, r, func(a, b val) (val, error) { return arithmetic(op, a, b) }), nil
}

// pair evaluates both sides.
func pair[R any](l, r node[R], f func(a, b val) (val, error)) node[R] {
	return func(fr *frame[R]) (val, error) {
		a, err := l(fr)
		if err != nil {
			return val{}, err
		}
		b, err := r(fr)
		if err != nil {
			return val{}, err
		}
		return f(a, b)
	}
}

// logic is "and" and "or" over true, false and null.
func logic[R any](l, r node[R], or bool) node[R] {
	return func(f *frame[R]) (val, error) {
		a, err := l(f)
		if err != nil {
			return val{}, err
		}
		if a.k == kBool && (a.num != 0) == or {
			return a, nil
		}
		b, err := r(f)
		if err != nil {
			return val{}, err
		}
		if a.k > kBool || b.k > kBool {
			return val{}, allod.Errorf(allod.Invalid, "evaluate: an operand of \"and\" or \"or\" is not Boolean")
		}
		if b.k == kBool && (b.num != 0) == or {
			return b, nil
		}
		if a.k == kNull || b.k == kNull {
			return val{}, nil
		}
		return boolVal(!or), nil
	}
}

func contains(list []val, v val, folded bool) (val, error) {
	for _, item := range list {
		same, err := equal(v, item, folded)
		if err != nil || same {
			return boolVal(same), err
		}
	}
	return boolVal(false), nil
}

// has tests flags: numbers bit by bit.
func has(a, b val) (val, error) {
	if a.k == kNull || b.k == kNull {
		return val{}, nil
	}
	if b.k == kText {
		n, ok := expr.ParseInt(b.text)
		if !ok {
			return val{}, allod.Errorf(allod.Invalid, "evaluate: \"has\" knows enumeration values as numbers only")
		}
		b = intVal(n)
	}
	if a.k != kNum || b.k != kNum || a.big != nil || b.big != nil || a.sub+b.sub != 0 {
		return val{}, allod.Errorf(allod.Invalid, "evaluate: operands of \"has\" do not fit")
	}
	return boolVal(a.num&b.num == b.num), nil
}

// list compiles the items of a list; one of constants is built once.
func (c *compiler[R]) list(items []expr.Expr) (node[R], error) {
	nodes := make([]node[R], len(items))
	fixed := make([]val, 0, len(items))
	for i, it := range items {
		var err error
		if nodes[i], err = c.compile(it); err != nil {
			return nil, err
		}
		if lit, ok := it.(*expr.Literal); ok {
			v, _ := ofLiteral(lit)
			fixed = append(fixed, v)
		}
	}
	if len(fixed) == len(items) {
		return constant[R](val{k: kList, list: fixed}), nil
	}
	return func(f *frame[R]) (val, error) {
		out := val{k: kList, list: make([]val, len(nodes))}
		for i, n := range nodes {
			var err error
			if out.list[i], err = n(f); err != nil {
				return val{}, err
			}
		}
		return out, nil
	}, nil
}

func (c *compiler[R]) caseExpr(e *expr.Case) (node[R], error) {
	type branch struct{ cond, then node[R] }
	var list []branch
	for _, w := range e.When {
		cond, err := c.compile(w.If)
		if err != nil {
			return nil, err
		}
		then, err := c.compile(w.Then)
		if err != nil {
			return nil, err
		}
		list = append(list, branch{cond, then})
	}
	return func(f *frame[R]) (val, error) {
		for _, b := range list {
			v, err := b.cond(f)
			if err != nil {
				return val{}, err
			}
			if v.k == kBool && v.num != 0 {
				return b.then(f)
			}
		}
		return val{}, nil
	}, nil
}

// getter returns a row that can be reached from a frame; false if a link on
// the way leads nowhere.
type getter[R any] func(f *frame[R]) (R, bool, error)

// path compiles a member path.
func (c *compiler[R]) path(p *expr.Path) (node[R], error) {
	steps := p.Steps
	if len(steps) == 0 {
		return nil, invalid("an empty path")
	}
	up, env := len(c.vars)-1, c.vars[0].env
	switch first := steps[0]; first.Kind {
	case expr.StepIt, expr.StepThis:
		if first.Kind == expr.StepThis {
			up, env = 0, c.vars[len(c.vars)-1].env
		}
		steps = steps[1:]
	case expr.StepName:
		for i := len(c.vars) - 1; i > 0; i-- {
			if c.vars[i].name == first.Name {
				up, env, steps = len(c.vars)-1-i, c.vars[i].env, steps[1:]
				break
			}
		}
	default:
	}
	if len(steps) == 0 {
		return nil, invalid("a whole record is not a value")
	}
	get := func(f *frame[R]) (R, bool, error) {
		for range up {
			f = f.up
		}
		return f.row, true, nil
	}
	return c.steps(get, env, steps)
}

// steps compiles what follows a row.
func (c *compiler[R]) steps(get getter[R], env *Env[R], steps []expr.Step) (node[R], error) {
	for ; len(steps) > 1; steps = steps[1:] {
		switch next := steps[1].Kind; {
		case steps[0].Kind != expr.StepName:
			return nil, invalid("a path that is not supported")
		case next == expr.StepAny || next == expr.StepAll || next == expr.StepCount:
			if len(steps) > 2 {
				return nil, invalid("nothing may follow any, all and $count")
			}
			return c.many(get, env, steps[0].Name, &steps[1])
		}
		if env.Single == nil {
			return nil, invalid("navigation is not supported here")
		}
		single, inner, err := env.Single(steps[0].Name)
		if err != nil {
			return nil, err
		}
		outer := get
		get = func(f *frame[R]) (R, bool, error) {
			row, ok, err := outer(f)
			if err != nil || !ok {
				return row, false, err
			}
			return single(row)
		}
		env = inner
	}
	switch step := &steps[0]; step.Kind {
	case expr.StepName:
		if env.Column == nil {
			return nil, invalid("columns are not known here")
		}
		col, err := env.Column(step.Name)
		if err != nil {
			return nil, err
		}
		return func(f *frame[R]) (val, error) {
			row, ok, err := get(f)
			if err != nil || !ok {
				return val{}, err
			}
			v, err := col(row)
			if err != nil {
				return val{}, err
			}
			return ofValue(v)
		}, nil
	case expr.StepCall:
		return c.function(get, env, step)
	default:
		return nil, invalid("a path that is not supported")
	}
}

// many compiles any, all and $count over related rows.
func (c *compiler[R]) many(get getter[R], env *Env[R], name string, step *expr.Step) (node[R], error) {
	if env.Many == nil {
		return nil, invalid("navigation to collections is not supported here")
	}
	if step.Search != "" {
		return nil, invalid("$search is not supported")
	}
	rows, inner, err := env.Many(name)
	if err != nil {
		return nil, err
	}
	var pred node[R]
	if step.Pred != nil {
		c.vars = append(c.vars, variable[R]{name: step.Var, env: inner})
		if step.Kind == expr.StepCount {
			// $filter of $count sees the related row as $it.
			sub := &compiler[R]{env: c.env, vars: []variable[R]{{env: inner}}, depth: c.depth}
			pred, err = sub.compile(step.Pred)
		} else {
			pred, err = c.compile(step.Pred)
		}
		c.vars = c.vars[:len(c.vars)-1]
		if err != nil {
			return nil, err
		}
	}
	kind := step.Kind
	return func(f *frame[R]) (val, error) {
		row, ok, err := get(f)
		var list []R
		if err == nil && ok {
			list, err = rows(row)
		}
		if err != nil {
			return val{}, err
		}
		return quantify(kind, list, pred, f)
	}, nil
}

func quantify[R any](kind expr.StepKind, list []R, pred node[R], f *frame[R]) (val, error) {
	count := 0
	for _, r := range list {
		yes := true
		if pred != nil {
			v, err := pred(&frame[R]{row: r, up: f})
			if err != nil {
				return val{}, err
			}
			if v.k > kBool {
				return val{}, allod.Errorf(allod.Invalid, "evaluate: a lambda expression that is not Boolean")
			}
			yes = v.k == kBool && v.num != 0
		}
		switch {
		case yes && kind == expr.StepAny:
			return boolVal(true), nil
		case !yes && kind == expr.StepAll:
			return boolVal(false), nil
		case yes:
			count++
		}
	}
	if kind == expr.StepCount {
		return intVal(int64(count)), nil
	}
	return boolVal(kind == expr.StepAll), nil
}
