package query

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
	if len(text) > MaxURL {
		return nil, allod.Errorf(allod.Invalid, "parse expression: longer than %d bytes", MaxURL)
	}
	p := &scan{s: text, what: "expression"}
	e, err := p.expr()
	if err == nil && !p.done() {
		err = p.fail("an operator or the end")
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (p *scan) expr() (Expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	return p.binary(0)
}

func (p *scan) binary(level int) (Expr, error) {
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
			if p.keyword(op) {
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

func (p *scan) unary() (Expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	start := p.i
	if p.takeText("not") && (p.space() || p.peek() == '(') {
		x, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &Unary{Op: "not", X: x}, nil
	}
	p.i = start
	if p.peek() == '-' && numberLen(p.rest()) == 0 && dateLen(p.rest()) == 0 {
		p.i++
		p.space()
		x, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &Unary{Op: "-", X: x}, nil
	}
	return p.postfix()
}

// postfix reads an operand with "has" and "in", which bind tightest.
func (p *scan) postfix() (Expr, error) {
	x, err := p.primary()
	if err != nil {
		return nil, err
	}
	for {
		switch {
		case p.keyword("has"):
			r, err := p.primary()
			if err != nil {
				return nil, err
			}
			if lit, ok := r.(*Literal); !ok || lit.Kind != LitEnum && (lit.Kind != LitString || !isEnum(lit.Text)) {
				return nil, p.fail("an enumeration value after \"has\"")
			}
			x = &Binary{Op: "has", L: x, R: r}
		case p.keyword("in"):
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

func (p *scan) inOperand() (Expr, error) {
	start := p.i
	if p.take('(') {
		if list, ok := p.list(); ok {
			return list, nil
		}
		p.i = start
	}
	return p.primary()
}

// list reads literals up to the closing parenthesis.
func (p *scan) list() (*List, bool) {
	l := &List{}
	p.space()
	if p.take(')') {
		return l, true
	}
	for {
		lit, ok := p.literal()
		if !ok {
			return nil, false
		}
		l.Items = append(l.Items, lit)
		p.space()
		if p.take(')') {
			return l, true
		}
		if !p.take(',') {
			return nil, false
		}
		p.space()
	}
}

func (p *scan) primary() (Expr, error) {
	if lit, ok := p.literal(); ok {
		return lit, nil
	}
	switch p.peek() {
	case '(':
		p.i++
		p.space()
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		p.space()
		return x, p.need(')')
	case '[':
		return p.array()
	case '{':
		return p.object()
	case '@':
		return p.aliasOrAnnotation()
	case '$':
		return p.path(Path{})
	}
	start := p.i
	name, err := p.dotted()
	if err != nil {
		return nil, p.fail("an operand")
	}
	if p.peek() == '(' {
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
	p.i = start
	return p.path(Path{})
}

// literal reads a primitive literal, or nothing.
func (p *scan) literal() (*Literal, bool) {
	rest := p.rest()
	if rest == "" {
		return nil, false
	}
	if rest[0] == '\'' {
		start := p.i
		text, err := p.quoted()
		if err != nil {
			p.i = start
			return nil, false
		}
		return &Literal{Kind: LitString, Text: text}, true
	}
	for _, try := range []struct {
		kind LiteralKind
		n    int
	}{
		{LitGUID, guidLen(rest)}, {LitDateTime, dateTimeLen(rest)}, {LitDate, dateLen(rest)},
		{LitTimeOfDay, timeLen(rest)}, {LitNumber, numberLen(rest)},
	} {
		if try.n > 0 && !goesOn(rest[try.n:]) {
			p.i += try.n
			return &Literal{Kind: try.kind, Text: rest[:try.n]}, true
		}
	}
	n := dottedLen(rest)
	switch {
	case n == 0 || n < len(rest) && (rest[n] == '(' || rest[n] == '/'):
		return nil, false
	case n < len(rest) && rest[n] == '\'':
		return p.typed(rest[:n])
	case rest[:n] == "null":
		p.i += n
		return &Literal{Kind: LitNull, Text: "null"}, true
	case strings.EqualFold(rest[:n], "true"), strings.EqualFold(rest[:n], "false"):
		p.i += n
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
	return wordByte(c) || c == '-' || c == '.' || c == '\'' || c == '+'
}

// typed reads a literal that starts with its type, e.g. duration'P1D'.
func (p *scan) typed(name string) (*Literal, bool) {
	start := p.i
	p.i += len(name)
	text, err := p.quoted()
	if err != nil {
		p.i = start
		return nil, false
	}
	lit := &Literal{Text: text}
	ok := false
	switch lower := strings.ToLower(name); lower {
	case "duration":
		lit.Kind, ok = LitDuration, text != "" && durationLen(text) == len(text)
	case "binary":
		lit.Kind, ok = LitBinary, isBinary(text)
	case "geography", "geometry":
		lit.Kind, lit.Type, ok = LitGeo, lower, isGeo(text)
	default:
		lit.Kind, lit.Type, ok = LitEnum, name, strings.IndexByte(name, '.') > 0 && isEnum(text)
	}
	if !ok {
		p.i = start
	}
	return lit, ok
}

func (p *scan) array() (Expr, error) {
	p.i++
	a := &Array{}
	p.space()
	if p.take(']') {
		return a, nil
	}
	for {
		v, err := p.jsonValue()
		if err != nil {
			return nil, err
		}
		a.Items = append(a.Items, v)
		p.space()
		if p.take(']') {
			return a, nil
		}
		if err := p.need(','); err != nil {
			return nil, err
		}
		p.space()
	}
}

func (p *scan) object() (Expr, error) {
	p.i++
	o := &Object{}
	p.space()
	if p.take('}') {
		return o, nil
	}
	for {
		name, err := p.jsonString()
		if err != nil {
			return nil, err
		}
		p.space()
		if err := p.need(':'); err != nil {
			return nil, err
		}
		p.space()
		v, err := p.jsonValue()
		if err != nil {
			return nil, err
		}
		o.Members = append(o.Members, Member{name, v})
		p.space()
		if p.take('}') {
			return o, nil
		}
		if err := p.need(','); err != nil {
			return nil, err
		}
		p.space()
	}
}

// jsonValue reads a string in double quotes or an expression.
func (p *scan) jsonValue() (Expr, error) {
	if p.peek() == '"' {
		s, err := p.jsonString()
		return &Literal{Kind: LitString, Text: s}, err
	}
	return p.expr()
}

func (p *scan) call(name string, lo, hi int) (Expr, error) {
	p.i++
	c := &Call{Name: name}
	p.space()
	for len(c.Args) < hi {
		if len(c.Args) > 0 && !p.take(',') {
			break
		}
		p.space()
		x, err := p.expr()
		if err != nil {
			return nil, err
		}
		c.Args = append(c.Args, x)
		p.space()
	}
	if len(c.Args) < lo {
		return nil, p.fail("another argument")
	}
	return c, p.need(')')
}

func (p *scan) cast(isOf bool) (Expr, error) {
	p.i++
	p.space()
	c := &Cast{IsOf: isOf}
	start := p.i
	if t, err := p.typeName(); err == nil {
		p.space()
		if p.take(')') {
			c.Type = t
			return c, nil
		}
	}
	p.i = start
	x, err := p.expr()
	if err != nil {
		return nil, err
	}
	c.X = x
	p.space()
	if err := p.need(','); err != nil {
		return nil, err
	}
	p.space()
	if c.Type, err = p.typeName(); err != nil {
		return nil, err
	}
	p.space()
	return c, p.need(')')
}

// typeName reads a type name or Collection(type).
func (p *scan) typeName() (string, error) {
	start := p.i
	if strings.HasPrefix(p.rest(), "Collection(") {
		p.i += len("Collection(")
		if _, err := p.dotted(); err != nil {
			return "", err
		}
		return p.s[start:p.i] + ")", p.need(')')
	}
	return p.dotted()
}

func (p *scan) caseExpr() (Expr, error) {
	p.i++
	c := &Case{}
	for {
		p.space()
		cond, err := p.expr()
		if err != nil {
			return nil, err
		}
		p.space()
		if err := p.need(':'); err != nil {
			return nil, err
		}
		p.space()
		then, err := p.expr()
		if err != nil {
			return nil, err
		}
		c.When = append(c.When, When{cond, then})
		p.space()
		if p.take(')') {
			return c, nil
		}
		if err := p.need(','); err != nil {
			return nil, err
		}
	}
}

// ParseLiteral reads a primitive literal as it stands in a URL,
// percent-encoded, e.g. 'O”Neil', 42 or duration'P1D'. Errors are Invalid.
func (d Dialect) ParseLiteral(raw string) (*Literal, error) {
	text, err := decode(raw, "literal", d.PlusIsSpace)
	if err != nil {
		return nil, err
	}
	p := &scan{s: text, d: d, what: "literal"}
	lit, ok := p.literal()
	if !ok || !p.done() {
		return nil, p.fail("a literal")
	}
	return lit, nil
}

// ParseEscaped reads a percent-encoded expression. Errors are Invalid.
func (d Dialect) ParseEscaped(raw string) (Expr, error) {
	text, err := decode(raw, "expression", d.PlusIsSpace)
	if err != nil {
		return nil, err
	}
	return ParseExpr(text)
}
