package expr

import (
	"strings"

	"allod"
)

// functions are the canonical functions and how many arguments they take.
var functions = map[string]struct {
	name   string
	lo, hi int
}{
	"concat": {"concat", 2, 2}, "contains": {"contains", 2, 2}, "endswith": {"endswith", 2, 2},
	"indexof": {"indexof", 2, 2}, "length": {"length", 1, 1}, "matchespattern": {"matchesPattern", 2, 2},
	"startswith": {"startswith", 2, 2}, "substring": {"substring", 2, 3}, "tolower": {"tolower", 1, 1},
	"toupper": {"toupper", 1, 1}, "trim": {"trim", 1, 1}, "year": {"year", 1, 1}, "month": {"month", 1, 1},
	"day": {"day", 1, 1}, "hour": {"hour", 1, 1}, "minute": {"minute", 1, 1}, "second": {"second", 1, 1},
	"fractionalseconds": {"fractionalseconds", 1, 1}, "totalseconds": {"totalseconds", 1, 1}, "date": {"date", 1, 1},
	"time": {"time", 1, 1}, "totaloffsetminutes": {"totaloffsetminutes", 1, 1}, "mindatetime": {"mindatetime", 0, 0},
	"maxdatetime": {"maxdatetime", 0, 0}, "now": {"now", 0, 0}, "round": {"round", 1, 1}, "floor": {"floor", 1, 1},
	"ceiling": {"ceiling", 1, 1}, "geo.distance": {"geo.distance", 2, 2}, "geo.length": {"geo.length", 1, 1},
	"geo.intersects": {"geo.intersects", 2, 2}, "hassubset": {"hassubset", 2, 2}, "hassubsequence": {"hassubsequence", 2, 2},
}

// levels of binary operators, loosest first.
var levels = [][]string{
	{"or"}, {"and"}, {"eq", "ne"}, {"gt", "ge", "lt", "le"}, {"add", "sub"}, {"mul", "divby", "div", "mod"},
}

// ParseExpr reads an expression that is not percent-encoded, as in $filter.
// Errors are Invalid.
func ParseExpr(text string) (Expr, error) {
	if len(text) > MaxText {
		return nil, allod.Errorf(allod.Invalid, "parse expression: longer than %d bytes", MaxText)
	}
	p := &Scanner{Text: text, What: "expression"}
	e, err := p.Expr()
	if err == nil && !p.Done() {
		err = p.Fail("an operator or the end")
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Expr reads an expression.
func (p *Scanner) Expr() (Expr, error) {
	if err := p.Enter(); err != nil {
		return nil, err
	}
	defer p.Leave()
	return p.binary(0)
}

func (p *Scanner) binary(level int) (Expr, error) {
	if level == len(levels) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	if err != nil {
		return nil, err
	}
next:
	for {
		for _, op := range levels[level] {
			if p.Keyword(op) {
				right, err := p.binary(level + 1)
				if err != nil {
					return nil, err
				}
				left = &Binary{Op: op, L: left, R: right}
				continue next
			}
		}
		return left, nil
	}
}

func (p *Scanner) unary() (Expr, error) {
	if err := p.Enter(); err != nil {
		return nil, err
	}
	defer p.Leave()
	start := p.At
	if p.TakeText("not") && (p.Space() || p.Peek() == '(') {
		x, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &Unary{Op: "not", X: x}, nil
	}
	p.At = start
	if p.Peek() == '-' && NumberLen(p.Rest()) == 0 && DateLen(p.Rest()) == 0 {
		p.At++
		p.Space()
		x, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &Unary{Op: "-", X: x}, nil
	}
	return p.postfix()
}

// postfix reads an operand with "has" and "in", which bind tightest.
func (p *Scanner) postfix() (Expr, error) {
	x, err := p.primary()
	if err != nil {
		return nil, err
	}
	for {
		switch {
		case p.Keyword("has"):
			r, err := p.primary()
			if err != nil {
				return nil, err
			}
			if lit, ok := r.(*Literal); !ok || lit.Kind != LitEnum && (lit.Kind != LitString || !isEnum(lit.Text)) {
				return nil, p.Fail("an enumeration value after \"has\"")
			}
			x = &Binary{Op: "has", L: x, R: r}
		case p.Keyword("in"):
			r, err := p.inOperand()
			if err != nil {
				return nil, err
			}
			x = &Binary{Op: "in", L: x, R: r}
		default:
			return x, nil
		}
	}
}

func (p *Scanner) inOperand() (Expr, error) {
	start := p.At
	if p.Take('(') {
		if list, ok := p.list(); ok {
			return list, nil
		}
		p.At = start
	}
	return p.primary()
}

// list reads literals up to the closing parenthesis.
func (p *Scanner) list() (*List, bool) {
	l := &List{}
	p.Space()
	if p.Take(')') {
		return l, true
	}
	for {
		lit, ok := p.Literal()
		if !ok {
			return nil, false
		}
		l.Items = append(l.Items, lit)
		p.Space()
		if p.Take(')') {
			return l, true
		}
		if !p.Take(',') {
			return nil, false
		}
		p.Space()
	}
}

func (p *Scanner) primary() (Expr, error) {
	if lit, ok := p.Literal(); ok {
		return lit, nil
	}
	switch p.Peek() {
	case '(':
		p.At++
		p.Space()
		x, err := p.Expr()
		if err != nil {
			return nil, err
		}
		p.Space()
		return x, p.Need(')')
	case '[':
		return p.array()
	case '{':
		return p.object()
	case '@':
		return p.aliasOrAnnotation()
	case '$':
		return p.Path()
	}
	start := p.At
	name, err := p.Dotted()
	if err != nil {
		return nil, p.Fail("an operand")
	}
	if p.Peek() == '(' {
		lower := strings.ToLower(name)
		switch lower {
		case "cast", "isof":
			return p.cast(lower == "isof")
		case "case":
			return p.caseExpr()
		}
		if f, ok := functions[lower]; ok {
			return p.call(f.name, f.lo, f.hi)
		}
	}
	p.At = start
	return p.Path()
}

// Literal reads a primitive literal, or nothing.
func (p *Scanner) Literal() (*Literal, bool) {
	rest := p.Rest()
	if rest == "" {
		return nil, false
	}
	if rest[0] == '\'' {
		start := p.At
		text, err := p.Quoted()
		if err != nil {
			p.At = start
			return nil, false
		}
		return &Literal{Kind: LitString, Text: text}, true
	}
	for _, try := range []struct {
		kind LiteralKind
		n    int
	}{
		{LitGUID, guidLen(rest)},
		{LitDateTime, DateTimeLen(rest)},
		{LitDate, DateLen(rest)},
		{LitTimeOfDay, TimeLen(rest)},
		{LitNumber, NumberLen(rest)},
	} {
		if try.n > 0 && !goesOn(rest[try.n:]) {
			p.At += try.n
			return &Literal{Kind: try.kind, Text: rest[:try.n]}, true
		}
	}
	n := DottedLen(rest)
	switch {
	case n == 0 || n < len(rest) && (rest[n] == '(' || rest[n] == '/'):
		return nil, false
	case n < len(rest) && rest[n] == '\'':
		return p.typed(rest[:n])
	case rest[:n] == "null":
		p.At += n
		return &Literal{Kind: LitNull, Text: "null"}, true
	case strings.EqualFold(rest[:n], "true"), strings.EqualFold(rest[:n], "false"):
		p.At += n
		return &Literal{Kind: LitBool, Text: strings.ToLower(rest[:n])}, true
	}
	return nil, false
}

// goesOn reports whether text right after a literal belongs to the same word.
func goesOn(rest string) bool {
	if rest == "" {
		return false
	}
	c := rest[0]
	return WordByte(c) || c == '-' || c == '.' || c == '\'' || c == '+'
}

// typed reads a literal that starts with its type, e.g. duration'P1D'.
func (p *Scanner) typed(name string) (*Literal, bool) {
	start := p.At
	p.At += len(name)
	text, err := p.Quoted()
	if err != nil {
		p.At = start
		return nil, false
	}
	lit := &Literal{Text: text}
	ok := false
	switch lower := strings.ToLower(name); lower {
	case "duration":
		lit.Kind, ok = LitDuration, text != "" && DurationLen(text) == len(text)
	case "binary":
		lit.Kind, ok = LitBinary, isBinary(text)
	case "geography", "geometry":
		lit.Kind, lit.Type, ok = LitGeo, lower, isGeo(text)
	default:
		lit.Kind, lit.Type, ok = LitEnum, name, strings.IndexByte(name, '.') > 0 && isEnum(text)
	}
	if !ok {
		p.At = start
	}
	return lit, ok
}

func (p *Scanner) array() (Expr, error) {
	p.At++
	a := &Array{}
	p.Space()
	if p.Take(']') {
		return a, nil
	}
	for {
		v, err := p.JSONValue()
		if err != nil {
			return nil, err
		}
		a.Items = append(a.Items, v)
		p.Space()
		if p.Take(']') {
			return a, nil
		}
		if err := p.Need(','); err != nil {
			return nil, err
		}
		p.Space()
	}
}

func (p *Scanner) object() (Expr, error) {
	p.At++
	o := &Object{}
	p.Space()
	if p.Take('}') {
		return o, nil
	}
	for {
		name, err := p.memberName()
		if err != nil {
			return nil, err
		}
		p.Space()
		if err := p.Need(':'); err != nil {
			return nil, err
		}
		p.Space()
		v, err := p.JSONValue()
		if err != nil {
			return nil, err
		}
		o.Members = append(o.Members, Member{name, v})
		p.Space()
		if p.Take('}') {
			return o, nil
		}
		if err := p.Need(','); err != nil {
			return nil, err
		}
		p.Space()
	}
}

// memberName reads the name of a member, in single quotes too: so Dataverse's
// documentation writes parameters (protocols/dataverse.md §10.2).
func (p *Scanner) memberName() (string, error) {
	if p.Peek() == '\'' {
		return p.Quoted()
	}
	return p.JSONString()
}

// JSONValue reads a string in double quotes or an expression.
func (p *Scanner) JSONValue() (Expr, error) {
	if p.Peek() == '"' {
		s, err := p.JSONString()
		return &Literal{Kind: LitString, Text: s}, err
	}
	return p.Expr()
}

func (p *Scanner) call(name string, lo, hi int) (Expr, error) {
	p.At++
	c := &Call{Name: name}
	p.Space()
	for len(c.Args) < hi {
		if len(c.Args) > 0 && !p.Take(',') {
			break
		}
		p.Space()
		x, err := p.Expr()
		if err != nil {
			return nil, err
		}
		c.Args = append(c.Args, x)
		p.Space()
	}
	if len(c.Args) < lo {
		return nil, p.Fail("another argument")
	}
	return c, p.Need(')')
}

func (p *Scanner) cast(isOf bool) (Expr, error) {
	p.At++
	p.Space()
	c := &Cast{IsOf: isOf}
	start := p.At
	if t, err := p.typeName(); err == nil {
		p.Space()
		if p.Take(')') {
			c.Type = t
			return c, nil
		}
	}
	p.At = start
	x, err := p.Expr()
	if err != nil {
		return nil, err
	}
	c.X = x
	p.Space()
	if err := p.Need(','); err != nil {
		return nil, err
	}
	p.Space()
	if c.Type, err = p.typeName(); err != nil {
		return nil, err
	}
	p.Space()
	return c, p.Need(')')
}

// typeName reads a type name or Collection(type).
func (p *Scanner) typeName() (string, error) {
	start := p.At
	if strings.HasPrefix(p.Rest(), "Collection(") {
		p.At += len("Collection(")
		if _, err := p.Dotted(); err != nil {
			return "", err
		}
		return p.Text[start:p.At] + ")", p.Need(')')
	}
	return p.Dotted()
}

func (p *Scanner) caseExpr() (Expr, error) {
	p.At++
	c := &Case{}
	for {
		p.Space()
		cond, err := p.Expr()
		if err != nil {
			return nil, err
		}
		p.Space()
		if err := p.Need(':'); err != nil {
			return nil, err
		}
		p.Space()
		then, err := p.Expr()
		if err != nil {
			return nil, err
		}
		c.When = append(c.When, When{cond, then})
		p.Space()
		if p.Take(')') {
			return c, nil
		}
		if err := p.Need(','); err != nil {
			return nil, err
		}
	}
}
