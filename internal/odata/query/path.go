package query

import "strings"

// aliasOrAnnotation reads @name, or @ns.term with steps behind it.
func (p *scan) aliasOrAnnotation() (Expr, error) {
	start := p.i
	p.i++
	name, err := p.dotted()
	if err != nil {
		return nil, err
	}
	if strings.IndexByte(name, '.') > 0 || p.peek() == '#' {
		p.i = start
		return p.path(Path{})
	}
	if p.peek() != '/' {
		return &Alias{Name: name}, nil
	}
	return p.pathAfter(Path{Steps: []Step{{Kind: StepAlias, Name: name}}})
}

// path reads a member path from its first step on.
func (p *scan) path(path Path) (Expr, error) {
	switch {
	case p.takeExact("$it"):
		path.Steps = append(path.Steps, Step{Kind: StepIt})
	case p.takeExact("$this"):
		path.Steps = append(path.Steps, Step{Kind: StepThis})
	case p.takeExact("$root"):
		path.Steps = append(path.Steps, Step{Kind: StepRoot})
		if p.peek() != '/' {
			return nil, p.fail("\"/\"")
		}
	case p.takeExact("$count"):
		path.Steps = append(path.Steps, Step{Kind: StepCount})
		return &path, nil
	default:
		step, err := p.step()
		if err != nil {
			return nil, err
		}
		path.Steps = append(path.Steps, step)
	}
	return p.pathAfter(path)
}

// pathAfter reads the steps behind the first one.
func (p *scan) pathAfter(path Path) (Expr, error) {
	for p.take('/') {
		if len(path.Steps) > MaxDepth {
			return nil, p.fail("fewer steps")
		}
		step, err := p.step()
		if err != nil {
			return nil, err
		}
		path.Steps = append(path.Steps, step)
		if step.Kind == StepAny || step.Kind == StepAll || step.Kind == StepCount {
			break
		}
		if step.Kind == StepFilter && p.peek() == '(' {
			args, err := p.args(false)
			if err != nil {
				return nil, err
			}
			path.Steps = append(path.Steps, Step{Kind: StepKey, Args: args})
		}
	}
	if first := path.Steps[0]; len(path.Steps) == 1 && first.Kind == StepName && strings.IndexByte(first.Name, '.') > 0 {
		return nil, p.fail("\"(\" or \"/\" after a qualified name")
	}
	return &path, nil
}

// step reads one step of a member path.
func (p *scan) step() (Step, error) {
	switch {
	case p.takeExact("$count"):
		s := Step{Kind: StepCount}
		if p.peek() == '(' {
			var err error
			s.Options, err = p.nested(inCount)
			return s, err
		}
		return s, nil
	case strings.HasPrefix(p.rest(), "$filter("):
		p.i += len("$filter(")
		pred, err := p.expr()
		if err != nil {
			return Step{}, err
		}
		return Step{Kind: StepFilter, Pred: pred}, p.need(')')
	case p.take('@'):
		return p.annotation()
	}
	name, err := p.dotted()
	if err != nil {
		return Step{}, err
	}
	if p.peek() != '(' {
		return Step{Kind: StepName, Name: name}, nil
	}
	if strings.EqualFold(name, "any") || strings.EqualFold(name, "all") {
		if s, ok, err := p.lambda(strings.EqualFold(name, "all")); ok || err != nil {
			return s, err
		}
	}
	args, err := p.args(true)
	if err != nil {
		return Step{}, err
	}
	return Step{Kind: StepCall, Name: name, Args: args}, nil
}

// annotation reads what stands behind "@".
func (p *scan) annotation() (Step, error) {
	name, err := p.dotted()
	if err != nil {
		return Step{}, err
	}
	s := Step{Kind: StepAnnotation, Name: name}
	if p.take('#') {
		s.Qualifier, err = p.ident()
	}
	return s, err
}

// lambda reads any(…) or all(…) from the parenthesis on; ok is false, and
// nothing consumed, if it is a function with named parameters instead.
func (p *scan) lambda(all bool) (s Step, ok bool, err error) {
	s.Kind = StepAny
	if all {
		s.Kind = StepAll
	}
	start := p.i
	p.i++
	p.space()
	if p.take(')') {
		if all {
			return s, true, p.fail("a lambda expression")
		}
		return s, true, nil
	}
	if s.Var, err = p.ident(); err != nil {
		return s, true, err
	}
	p.space()
	if p.peek() == '=' {
		p.i = start
		return s, false, nil
	}
	if err = p.need(':'); err != nil {
		return s, true, err
	}
	p.space()
	if s.Pred, err = p.expr(); err != nil {
		return s, true, err
	}
	p.space()
	return s, true, p.need(')')
}

// args reads parentheses with a key or with named arguments. exprs allows
// expressions as values; otherwise they are literals, aliases, arrays and
// objects, as in resource paths.
func (p *scan) args(exprs bool) ([]Arg, error) {
	if err := p.need('('); err != nil {
		return nil, err
	}
	p.space()
	if p.take(')') {
		return nil, nil
	}
	var args []Arg
	for {
		a, err := p.arg(exprs)
		if err != nil {
			return nil, err
		}
		args = append(args, a)
		p.space()
		if p.take(')') {
			break
		}
		if err := p.need(','); err != nil {
			return nil, err
		}
		p.space()
	}
	for _, a := range args {
		if a.Name == "" && (len(args) > 1 || !isKey(a.Value)) {
			return nil, p.fail("names before the arguments")
		}
	}
	return args, nil
}

// isKey reports whether x can be a key without a name.
func isKey(x Expr) bool {
	switch x := x.(type) {
	case *Alias:
		return true
	case *Literal:
		return x.Kind != LitNull && x.Kind != LitBinary && x.Kind != LitGeo
	default:
		return false
	}
}

func (p *scan) arg(exprs bool) (Arg, error) {
	start := p.i
	if name, err := p.ident(); err == nil && p.peek() == '=' {
		p.i++
		v, err := p.argValue(exprs)
		return Arg{Name: name, Value: v}, err
	}
	p.i = start
	v, err := p.argValue(exprs)
	return Arg{Value: v}, err
}

func (p *scan) argValue(exprs bool) (Expr, error) {
	if exprs {
		return p.expr()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if lit, ok := p.literal(); ok {
		return lit, nil
	}
	switch p.peek() {
	case '@':
		p.i++
		name, err := p.ident()
		return &Alias{Name: name}, err
	case '[':
		return p.array()
	case '{':
		return p.object()
	}
	return nil, p.fail("a value")
}
