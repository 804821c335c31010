package expr

import "strings"

// aliasOrAnnotation reads @name, or @ns.term with steps behind it.
func (p *Scanner) aliasOrAnnotation() (Expr, error) {
	start := p.At
	p.At++
	name, err := p.Dotted()
	if err != nil {
		return nil, err
	}
	if strings.IndexByte(name, '.') > 0 || p.Peek() == '#' {
		p.At = start
		return p.Path()
	}
	if p.Peek() != '/' {
		return &Alias{Name: name}, nil
	}
	return p.pathAfter(Path{Steps: []Step{{Kind: StepAlias, Name: name}}})
}

// Path reads a member path from its first step on.
func (p *Scanner) Path() (Expr, error) {
	var path Path
	switch {
	case p.TakeExact("$it"):
		path.Steps = append(path.Steps, Step{Kind: StepIt})
	case p.TakeExact("$this"):
		path.Steps = append(path.Steps, Step{Kind: StepThis})
	case p.TakeExact("$root"):
		path.Steps = append(path.Steps, Step{Kind: StepRoot})
		if p.Peek() != '/' {
			return nil, p.Fail("\"/\"")
		}
	case p.TakeExact("$count"):
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
func (p *Scanner) pathAfter(path Path) (Expr, error) {
	for p.Take('/') {
		if len(path.Steps) > MaxDepth {
			return nil, p.Fail("fewer steps")
		}
		step, err := p.step()
		if err != nil {
			return nil, err
		}
		path.Steps = append(path.Steps, step)
		if step.Kind == StepAny || step.Kind == StepAll || step.Kind == StepCount {
			break
		}
		if step.Kind == StepFilter && p.Peek() == '(' {
			args, err := p.Args(false)
			if err != nil {
				return nil, err
			}
			path.Steps = append(path.Steps, Step{Kind: StepKey, Args: args})
		}
	}
	if first := path.Steps[0]; len(path.Steps) == 1 && first.Kind == StepName && strings.IndexByte(first.Name, '.') > 0 {
		return nil, p.Fail("\"(\" or \"/\" after a qualified name")
	}
	return &path, nil
}

// step reads one step of a member path.
func (p *Scanner) step() (Step, error) {
	switch {
	case p.TakeExact("$count"):
		s := Step{Kind: StepCount}
		if p.Peek() == '(' {
			return s, p.countOptions(&s)
		}
		return s, nil
	case strings.HasPrefix(p.Rest(), "$filter("):
		p.At += len("$filter(")
		pred, err := p.Expr()
		if err != nil {
			return Step{}, err
		}
		return Step{Kind: StepFilter, Pred: pred}, p.Need(')')
	case p.Take('@'):
		return p.Annotation()
	}
	name, err := p.Dotted()
	if err != nil {
		return Step{}, err
	}
	if p.Peek() != '(' {
		return Step{Kind: StepName, Name: name}, nil
	}
	if strings.EqualFold(name, "any") || strings.EqualFold(name, "all") {
		if s, ok, err := p.lambda(strings.EqualFold(name, "all")); ok || err != nil {
			return s, err
		}
	}
	args, err := p.Args(true)
	if err != nil {
		return Step{}, err
	}
	return Step{Kind: StepCall, Name: name, Args: args}, nil
}

// Annotation reads what stands behind "@".
func (p *Scanner) Annotation() (Step, error) {
	name, err := p.Dotted()
	if err != nil {
		return Step{}, err
	}
	s := Step{Kind: StepAnnotation, Name: name}
	if p.Take('#') {
		s.Qualifier, err = p.Ident()
	}
	return s, err
}

// lambda reads any(…) or all(…) from the parenthesis on; ok is false, and
// nothing consumed, if it is a function with named parameters instead.
func (p *Scanner) lambda(all bool) (s Step, ok bool, err error) {
	s.Kind = StepAny
	if all {
		s.Kind = StepAll
	}
	start := p.At
	p.At++
	p.Space()
	if p.Take(')') {
		if all {
			return s, true, p.Fail("a lambda expression")
		}
		return s, true, nil
	}
	if s.Var, err = p.Ident(); err != nil {
		return s, true, err
	}
	p.Space()
	if p.Peek() == '=' {
		p.At = start
		return s, false, nil
	}
	if err = p.Need(':'); err != nil {
		return s, true, err
	}
	p.Space()
	if s.Pred, err = p.Expr(); err != nil {
		return s, true, err
	}
	p.Space()
	return s, true, p.Need(')')
}

// Args reads parentheses with a key or with named arguments. exprs allows
// expressions as values; otherwise they are literals, aliases, arrays and
// objects, as in resource paths.
func (p *Scanner) Args(exprs bool) ([]Arg, error) {
	if err := p.Need('('); err != nil {
		return nil, err
	}
	p.Space()
	if p.Take(')') {
		return nil, nil
	}
	var args []Arg
	for {
		a, err := p.arg(exprs)
		if err != nil {
			return nil, err
		}
		args = append(args, a)
		p.Space()
		if p.Take(')') {
			break
		}
		if err := p.Need(','); err != nil {
			return nil, err
		}
		p.Space()
	}
	for _, a := range args {
		if a.Name == "" && (len(args) > 1 || !isKey(a.Value)) {
			return nil, p.Fail("names before the arguments")
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

func (p *Scanner) arg(exprs bool) (Arg, error) {
	start := p.At
	if name, err := p.Ident(); err == nil && p.Peek() == '=' {
		p.At++
		v, err := p.argValue(exprs)
		return Arg{Name: name, Value: v}, err
	}
	p.At = start
	v, err := p.argValue(exprs)
	return Arg{Value: v}, err
}

func (p *Scanner) argValue(exprs bool) (Expr, error) {
	if exprs {
		return p.Expr()
	}
	if err := p.Enter(); err != nil {
		return nil, err
	}
	defer p.Leave()
	if lit, ok := p.Literal(); ok {
		return lit, nil
	}
	switch p.Peek() {
	case '@':
		p.At++
		name, err := p.Ident()
		return &Alias{Name: name}, err
	case '[':
		return p.array()
	case '{':
		return p.object()
	}
	return nil, p.Fail("a value")
}
