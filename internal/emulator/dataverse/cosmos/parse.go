// Package cosmos answers ExecuteCosmosSqlQuery: SELECT over the rows of an
// elastic table, down into the JSON of its columns (protocols/dataverse.md §4.8;
// Query JSON columns in elastic tables). It knows paths below c.props, aliases,
// TOP, WHERE with comparisons, AND, OR, NOT and parameters, and ORDER BY.
package cosmos

import (
	"encoding/json"
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/wire"
)

const maxDepth = 50 // of parentheses and NOT

// statement is a query that was read.
type statement struct {
	top   int // -1 = all
	items []item
	where test // nil = every row
	order []sort
}

type item struct {
	path []string
	name string
}

type sort struct {
	path []string
	desc bool
}

// test tells whether a row is selected; value finds what is at a path.
type test func(value func(path []string) any) bool

type parser struct {
	tokens []string
	alias  string
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
		case strings.IndexByte("=<>(),*", c) >= 0:
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
	if err := p.selected(s); err != nil {
		return nil, err
	}
	if p.take("where") {
		if s.where, err = p.or(0); err != nil {
			return nil, err
		}
	}
	if p.take("order") {
		if !p.take("by") {
			return nil, bad("BY is missing behind ORDER.")
		}
		for {
			path, err := p.path(p.next())
			if err != nil {
				return nil, err
			}
			s.order = append(s.order, sort{path, p.take("desc")})
			p.take("asc")
			if !p.take(",") {
				break
			}
		}
	}
	if len(p.tokens) > 0 {
		return nil, bad("'%s' is not known there.", p.tokens[0])
	}
	return s, nil
}

// selected reads what is selected, and FROM, whose alias the paths begin with.
func (p *parser) selected(s *statement) error {
	var raw [][2]string
	for {
		x := [2]string{p.next(), ""}
		if p.take("as") {
			x[1] = p.next()
		}
		raw = append(raw, x)
		if !p.take(",") {
			break
		}
	}
	if !p.take("from") {
		return bad("FROM is missing.")
	}
	if p.alias = p.next(); p.alias == "" {
		return bad("FROM names nothing.")
	}
	for _, x := range raw {
		if x[0] == "*" {
			if len(raw) > 1 {
				return bad("* stands alone.")
			}
			return nil
		}
		path, err := p.path(x[0])
		if err != nil {
			return err
		}
		if x[1] == "" {
			x[1] = path[len(path)-1]
		}
		s.items = append(s.items, item{path, x[1]})
	}
	return nil
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

// path reads alias.props.column and what is in the column's JSON.
func (p *parser) path(text string) ([]string, error) {
	parts := strings.Split(text, ".")
	if len(parts) < 3 || parts[0] != p.alias || parts[1] != "props" {
		return nil, bad("'%s' is no path below %s.props.", text, p.alias)
	}
	for _, part := range parts {
		if part == "" {
			return nil, bad("'%s' has an empty part.", text)
		}
	}
	return parts[2:], nil
}

func (p *parser) or(depth int) (test, error) {
	left, err := p.and(depth)
	for err == nil && p.take("or") {
		var right test
		one := left
		if right, err = p.and(depth); err == nil {
			left = func(v func([]string) any) bool { return one(v) || right(v) }
		}
	}
	return left, err
}

func (p *parser) and(depth int) (test, error) {
	left, err := p.not(depth)
	for err == nil && p.take("and") {
		var right test
		one := left
		if right, err = p.not(depth); err == nil {
			left = func(v func([]string) any) bool { return one(v) && right(v) }
		}
	}
	return left, err
}

func (p *parser) not(depth int) (test, error) {
	if depth > maxDepth {
		return nil, bad("it is nested too deeply.")
	}
	if p.take("not") {
		t, err := p.not(depth + 1)
		return func(v func([]string) any) bool { return !t(v) }, err
	}
	if p.take("(") {
		t, err := p.or(depth + 1)
		if err == nil && !p.take(")") {
			err = bad("a parenthesis is open.")
		}
		return t, err
	}
	return p.comparison()
}

func (p *parser) comparison() (test, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	sign := p.next()
	switch sign {
	case "=", "!=", "<>", "<", "<=", ">", ">=":
	default:
		return nil, bad("a comparison is missing before '%s'.", sign)
	}
	right, err := p.operand()
	return func(v func([]string) any) bool { return holds(left(v), sign, right(v)) }, err
}

type operand func(value func(path []string) any) any

func (p *parser) operand() (operand, error) {
	t := p.next()
	constant := func(x any) (operand, error) { return func(func([]string) any) any { return x }, nil }
	switch {
	case t == "":
		return nil, bad("it ends too early.")
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
	}
	path, err := p.path(t)
	return func(v func([]string) any) any { return v(path) }, err
}

// holds compares values of one kind; others are neither equal nor in order.
func holds(a any, sign string, b any) bool {
	c, ok := compare(a, b)
	switch sign {
	case "=":
		return ok && c == 0
	case "!=", "<>":
		return ok && c != 0
	case "<":
		return ok && c < 0
	case "<=":
		return ok && c <= 0
	case ">":
		return ok && c > 0
	}
	return ok && c >= 0
}

func compare(a, b any) (int, bool) {
	switch x := a.(type) {
	case nil:
		return 0, b == nil
	case bool:
		y, ok := b.(bool)
		switch {
		case x == y:
			return 0, ok
		case y:
			return -1, ok
		}
		return 1, ok
	case string:
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	}
	x, okX := number(a)
	y, okY := number(b)
	switch {
	case x < y:
		return -1, okX && okY
	case x > y:
		return 1, okX && okY
	}
	return 0, okX && okY
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}
