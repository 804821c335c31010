// Package cosmos answers ExecuteCosmosSqlQuery: SELECT over the rows of an
// elastic table, down into the JSON of its columns (protocols/dataverse.md §4.8;
// Query JSON columns in elastic tables). It knows paths below c.props, aliases,
// VALUE, TOP, JOIN over arrays of an item, WHERE with comparisons, AND, OR, NOT and
// parameters, ORDER BY, functions of texts, numbers and arrays, and aggregates over
// all rows. What has no value is undefined, as in Azure Cosmos DB for NoSQL.
package cosmos

import (
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/wire"
)

const maxDepth = 50 // of parentheses, NOT and functions

// statement is a query that was read.
type statement struct {
	top   int  // -1 = all
	value bool // VALUE: what is selected has no name
	star  bool
	items []item
	joins []join
	where expr // nil = every row
	order []sort
}

// item is one value that is selected; aggregate is the name of the function over
// all rows, "" = none.
type item struct {
	of        expr
	name      string
	aggregate string
}

// join is one row for each element of an array, under a name.
type join struct {
	name string
	in   expr
}

type sort struct {
	of   expr
	desc bool
}

// expr is a value within one row.
type expr func(e env) any

// env is one row: value finds what is at a path of columns, names what joins are at.
type env struct {
	value func(path []string) any
	names map[string]any
}

type parser struct {
	tokens []string
	alias  string
	names  []string // of joins
	params map[string]any
}

func bad(format string, args ...any) error {
	return wire.Refuse(400, "0x80040203", "The query is not valid: "+format, args...)
}

// tokens takes the text apart: words with points, quoted texts (which begin with
// a quote), numbers, signs.
func tokens(text string) ([]string, error) {
	var out []string
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '\'' || c == '"':
			var b strings.Builder
			b.WriteByte('\'')
			j := i + 1
			for ; j < len(text) && text[j] != c; j++ {
				if text[j] == '\\' && j+1 < len(text) {
					j++
				}
				b.WriteByte(text[j])
			}
			if j >= len(text) {
				return nil, bad("a text has no end.")
			}
			out, i = append(out, b.String()), j+1
		case word(c) || c == '@':
			j := i + 1
			for j < len(text) && (word(text[j]) || text[j] == '.') {
				j++
			}
			out, i = append(out, text[i:j]), j
		case c == '-' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
			j := i + 1
			for j < len(text) && (word(text[j]) || text[j] == '.') {
				j++
			}
			out, i = append(out, text[i:j]), j
		case strings.HasPrefix(text[i:], "!="), strings.HasPrefix(text[i:], "<>"), strings.HasPrefix(text[i:], "<="), strings.HasPrefix(text[i:], ">="):
			out, i = append(out, text[i:i+2]), i+2
		case c == '.' && i+1 < len(text) && word(text[i+1]): // behind an index
			j := i + 1
			for j < len(text) && (word(text[j]) || text[j] == '.') {
				j++
			}
			out, i = append(out, text[i:j]), j
		case strings.IndexByte("=<>(),*[]", c) >= 0:
			out, i = append(out, text[i:i+1]), i+1
		default:
			return nil, bad("'%c' is not known.", c)
		}
	}
	return out, nil
}

func word(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// parse reads a query. params are the values of its @names.
func parse(text string, params map[string]any) (*statement, error) {
	list, err := tokens(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: list, params: params}
	s := &statement{top: -1}
	if !p.take("select") {
		return nil, bad("it does not begin with SELECT.")
	}
	if p.take("top") {
		n, err := strconv.Atoi(p.next())
		if err != nil || n < 0 {
			return nil, bad("TOP wants a number.")
		}
		s.top = n
	}
	// What is selected speaks of what FROM names: that is read first.
	selected := p.until("from")
	if err := p.from(s); err != nil {
		return nil, err
	}
	if p.take("where") {
		if s.where, err = p.or(0); err != nil {
			return nil, err
		}
	}
	if p.take("order") {
		if err := p.orders(s); err != nil {
			return nil, err
		}
	}
	if len(p.tokens) > 0 {
		return nil, bad("'%s' is not known there.", p.tokens[0])
	}
	p.tokens = selected
	return s, p.selected(s)
}

// until takes the tokens before a word.
func (p *parser) until(word string) []string {
	for i, t := range p.tokens {
		if strings.EqualFold(t, word) {
			out := p.tokens[:i]
			p.tokens = p.tokens[i:]
			return out
		}
	}
	out := p.tokens
	p.tokens = nil
	return out
}

// from reads FROM, whose alias the paths begin with, and JOINs.
func (p *parser) from(s *statement) error {
	if !p.take("from") {
		return bad("FROM is missing.")
	}
	if p.alias = p.next(); p.alias == "" || !word(p.alias[0]) {
		return bad("FROM names nothing.")
	}
	for p.take("join") {
		name := p.next()
		if name == "" || !word(name[0]) || strings.Contains(name, ".") || !p.take("in") {
			return bad("JOIN wants a name, IN and a path.")
		}
		in, err := p.primary(0)
		if err != nil {
			return err
		}
		s.joins, p.names = append(s.joins, join{name, in}), append(p.names, name)
	}
	return nil
}

func (p *parser) orders(s *statement) error {
	if !p.take("by") {
		return bad("BY is missing behind ORDER.")
	}
	for {
		of, err := p.primary(0)
		if err != nil {
			return err
		}
		s.order = append(s.order, sort{of, p.take("desc")})
		p.take("asc")
		if !p.take(",") {
			return nil
		}
	}
}

// selected reads what is selected.
func (p *parser) selected(s *statement) error {
	if p.take("*") {
		if s.star = true; len(p.tokens) > 0 || len(s.joins) > 0 {
			return bad("* stands alone.")
		}
		return nil
	}
	s.value = p.take("value")
	for {
		x, err := p.item(len(s.items) + 1)
		if err != nil {
			return err
		}
		s.items = append(s.items, x)
		if !p.take(",") {
			break
		}
	}
	n := 0
	for _, x := range s.items {
		if x.aggregate != "" {
			n++
		}
	}
	switch {
	case len(p.tokens) > 0:
		return bad("'%s' is not known there.", p.tokens[0])
	case s.value && len(s.items) > 1:
		return bad("VALUE stands before one value.")
	case n > 0 && n < len(s.items):
		return bad("what is reckoned over all rows stands with nothing else.")
	}
	return nil
}

// item reads one value that is selected. Its name is the last part of a path, for
// others $1, $2 and so on.
func (p *parser) item(n int) (x item, err error) {
	x.name = "$" + strconv.Itoa(n)
	if len(p.tokens) > 1 && p.tokens[1] == "(" {
		switch name := strings.ToUpper(p.tokens[0]); name {
		case "COUNT", "SUM", "MIN", "MAX", "AVG":
			x.aggregate = name
			p.tokens = p.tokens[2:]
			if x.of, err = p.or(1); err == nil && !p.take(")") {
				err = bad("a parenthesis is open.")
			}
		}
	}
	if x.aggregate == "" && err == nil {
		first := ""
		if len(p.tokens) > 0 {
			first = p.tokens[0]
		}
		if x.of, err = p.or(0); strings.Contains(first, ".") && word(first[0]) {
			x.name = first[strings.LastIndex(first, ".")+1:]
		}
	}
	if err == nil && p.take("as") {
		if x.name = p.next(); x.name == "" {
			err = bad("AS wants a name.")
		}
	}
	return x, err
}

func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *parser) take(word string) bool {
	if len(p.tokens) == 0 || !strings.EqualFold(p.tokens[0], word) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// path reads alias.props.column and what is in the column's JSON, or the name of a
// join and what is below it.
func (p *parser) path(text string) (expr, error) {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if part == "" {
			return nil, bad("'%s' has an empty part.", text)
		}
	}
	for _, name := range p.names {
		if parts[0] == name {
			return func(e env) any { return below(e.names[name], parts[1:]) }, nil
		}
	}
	if len(parts) < 3 || parts[0] != p.alias || parts[1] != "props" {
		return nil, bad("'%s' is no path below %s.props.", text, p.alias)
	}
	return func(e env) any { return e.value(parts[2:]) }, nil
}

func (p *parser) or(depth int) (expr, error) {
	left, err := p.and(depth)
	for err == nil && p.take("or") {
		var right expr
		one := left
		if right, err = p.and(depth); err == nil {
			left = func(e env) any { return either(one(e), right(e), true) }
		}
	}
	return left, err
}

func (p *parser) and(depth int) (expr, error) {
	left, err := p.not(depth)
	for err == nil && p.take("and") {
		var right expr
		one := left
		if right, err = p.not(depth); err == nil {
			left = func(e env) any { return either(one(e), right(e), false) }
		}
	}
	return left, err
}

func (p *parser) not(depth int) (expr, error) {
	if depth > maxDepth {
		return nil, bad("it is nested too deeply.")
	}
	if p.take("not") {
		of, err := p.not(depth + 1)
		return func(e env) any {
			if b, ok := of(e).(bool); ok {
				return !b
			}
			return undefined{}
		}, err
	}
	return p.comparison(depth)
}

func (p *parser) comparison(depth int) (expr, error) {
	left, err := p.primary(depth)
	if err != nil || len(p.tokens) == 0 {
		return left, err
	}
	sign := p.tokens[0]
	switch sign {
	case "=", "!=", "<>", "<", "<=", ">", ">=":
	default:
		return left, nil
	}
	p.next()
	right, err := p.primary(depth)
	return func(e env) any { return holds(left(e), sign, right(e)) }, err
}

// primary reads a constant, a parameter, a path, a function or what is in
// parentheses, and indexes behind it.
func (p *parser) primary(depth int) (expr, error) {
	if depth > maxDepth {
		return nil, bad("it is nested too deeply.")
	}
	of, err := p.simple(depth)
	for err == nil && len(p.tokens) > 0 {
		inner := of
		switch t := p.tokens[0]; {
		case t == "[":
			p.next()
			var at expr
			if at, err = p.primary(depth + 1); err == nil && !p.take("]") {
				err = bad("a bracket is open.")
			}
			of = func(e env) any { return element(inner(e), at(e)) }
		case t[0] == '.':
			p.next()
			parts := strings.Split(t[1:], ".")
			of = func(e env) any { return below(inner(e), parts) }
		default:
			return of, nil
		}
	}
	return of, err
}

func (p *parser) simple(depth int) (expr, error) {
	t := p.next()
	constant := func(x any) (expr, error) { return func(env) any { return x }, nil }
	switch {
	case t == "":
		return nil, bad("it ends too early.")
	case t == "(":
		of, err := p.or(depth + 1)
		if err == nil && !p.take(")") {
			err = bad("a parenthesis is open.")
		}
		return of, err
	case t[0] == '\'':
		return constant(t[1:])
	case t[0] == '@':
		x, ok := p.params[t]
		if !ok {
			return nil, bad("the parameter %s has no value.", t)
		}
		return constant(x)
	case t[0] == '-' || t[0] >= '0' && t[0] <= '9':
		n, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return nil, bad("'%s' is no number.", t)
		}
		return constant(n)
	case strings.EqualFold(t, "true"), strings.EqualFold(t, "false"):
		return constant(strings.EqualFold(t, "true"))
	case strings.EqualFold(t, "null"):
		return constant(nil)
	case strings.EqualFold(t, "undefined"):
		return constant(undefined{})
	case len(p.tokens) > 0 && p.tokens[0] == "(":
		return p.call(strings.ToUpper(t), depth)
	}
	return p.path(t)
}

// call reads the arguments of a function.
func (p *parser) call(name string, depth int) (expr, error) {
	f, known := functions()[name]
	if !known {
		return nil, bad("the function %s is not known.", name)
	}
	p.next()
	var args []expr
	for !p.take(")") {
		if len(args) > 0 && !p.take(",") {
			return nil, bad("a parenthesis is open.")
		}
		a, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		args = append(args, a)
	}
	if len(args) < f.least || len(args) > f.most {
		return nil, bad("%s does not take %d arguments.", name, len(args))
	}
	return func(e env) any {
		values := make([]any, len(args))
		for i, a := range args {
			values[i] = a(e)
		}
		return f.do(values)
	}, nil
}
