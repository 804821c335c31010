// Package sql translates the SELECT statements that the Web API takes into
// FetchXML (protocols/dataverse.md §4.7; Web API, "Query data using SQL"): one
// table, columns with aliases, TOP, DISTINCT, WHERE over columns and constants,
// ORDER BY.
package sql

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/wire"
)

const (
	maxText  = 32 << 10 // bytes of a statement
	maxDepth = 50       // parentheses within each other
)

// FetchXML translates a statement. What it does not know is refused with 400.
func FetchXML(statement string) (string, error) {
	if len(statement) > maxText {
		return "", invalid("The statement is too long.")
	}
	tokens, err := scan(statement)
	if err != nil {
		return "", err
	}
	p := &parser{tokens: tokens}
	return p.statement()
}

func invalid(format string, args ...any) error {
	return wire.Refuse(http.StatusBadRequest, "0x80060888", "SQL: "+format, args...)
}

type kind uint8

const (
	end    kind = iota
	word        // a name or keyword
	text        // 'text', quotes undone
	number      // digits as written
	sign        // an operator or punctuation
)

type token struct {
	kind kind
	text string
}

// scan takes a statement apart.
func scan(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		c := s[i]
		n := 1
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c == '\'' || c == 'N' && strings.HasPrefix(s[i+1:], "'"):
			body, size, ok := quoted(s[i+strings.IndexByte(s[i:], '\'')+1:])
			if !ok {
				return nil, invalid("A text is not closed.")
			}
			n = strings.IndexByte(s[i:], '\'') + 1 + size
			out = append(out, token{text, body})
		case c == '[':
			close := strings.IndexByte(s[i:], ']')
			if close < 2 {
				return nil, invalid("A name is not closed.")
			}
			n = close + 1
			out = append(out, token{word, s[i+1 : i+close]})
		case letter(c):
			for n < len(s)-i && (letter(s[i+n]) || digit(s[i+n])) {
				n++
			}
			out = append(out, token{word, s[i : i+n]})
		case digit(c) || c == '-' && i+1 < len(s) && digit(s[i+1]):
			for n < len(s)-i && (digit(s[i+n]) || s[i+n] == '.') {
				n++
			}
			out = append(out, token{number, s[i : i+n]})
		default:
			for _, op := range []string{"<>", "!=", "<=", ">="} {
				if strings.HasPrefix(s[i:], op) {
					n = 2
				}
			}
			if !strings.ContainsRune("=<>!(),.;", rune(c)) {
				return nil, invalid("An unexpected character at %d.", i+1)
			}
			out = append(out, token{sign, s[i : i+n]})
		}
		i += n
	}
	return out, nil
}

// quoted reads a text behind its first quote; size counts the last one.
func quoted(s string) (body string, size int, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 == len(s) || s[i+1] != '\'' {
			return b.String(), i + 1, true
		}
		b.WriteByte('\'')
		i++
	}
	return "", 0, false
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// parser reads one statement.
type parser struct {
	tokens []token
	at     int
	depth  int
	table  string
	alias  string
}

func (p *parser) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return token{}
}

// take takes the keyword or sign if it comes next.
func (p *parser) take(s string) bool {
	t := p.peek()
	if t.kind == word && strings.EqualFold(t.text, s) || t.kind == sign && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) need(s string) error {
	if !p.take(s) {
		return invalid("%s was expected.", s)
	}
	return nil
}

func (p *parser) name() (string, error) {
	t := p.peek()
	if t.kind != word || keyword(t.text) {
		return "", invalid("A name was expected.")
	}
	p.at++
	return strings.ToLower(t.text), nil
}

func keyword(s string) bool {
	switch strings.ToLower(s) {
	case "select", "distinct", "top", "from", "where", "order", "group", "by", "and", "or", "not", "as", "in", "like", "is", "null", "between", "asc", "desc", "join", "inner", "left", "having", "union":
		return true
	}
	return false
}

// column is one of the SELECT list, ORDER BY or WHERE.
type column struct{ table, name, alias string }

func (p *parser) column() (column, error) {
	var c column
	var err error
	if c.name, err = p.name(); err != nil {
		return c, err
	}
	if p.take(".") {
		c.table = c.name
		c.name, err = p.name()
	}
	return c, err
}

// of checks the table that a column is said to be of.
func (p *parser) of(c column) error {
	if c.table != "" && c.table != p.alias && c.table != p.table {
		return invalid("The name %s is not known.", c.table)
	}
	return nil
}

func (p *parser) statement() (string, error) {
	if err := p.need("SELECT"); err != nil {
		return "", err
	}
	fetch := "<fetch"
	if p.take("DISTINCT") {
		fetch += ` distinct="true"`
	}
	if p.take("TOP") {
		n, err := strconv.Atoi(p.peek().text)
		if p.peek().kind != number || err != nil || n < 1 {
			return "", invalid("TOP needs a whole number.")
		}
		p.at++
		fetch += ` top="` + strconv.Itoa(n) + `"`
	}
	columns, err := p.list()
	if err != nil {
		return "", err
	}
	if err := p.from(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(fetch + ">" + open("entity", "name", p.table))
	for _, c := range columns {
		if err := p.of(c); err != nil {
			return "", err
		}
		attrs := []string{"name", c.name}
		if c.alias != "" {
			attrs = append(attrs, "alias", c.alias)
		}
		b.WriteString(closed("attribute", attrs...))
	}
	if p.take("WHERE") {
		where, err := p.either()
		if err != nil {
			return "", err
		}
		b.WriteString(`<filter type="and">` + where + `</filter>`)
	}
	if err := p.order(&b); err != nil {
		return "", err
	}
	p.take(";")
	if p.peek().kind != end {
		return "", invalid("Only a single SELECT statement over one table is supported.")
	}
	return b.String() + "</entity></fetch>", nil
}

func (p *parser) list() ([]column, error) {
	var out []column
	for {
		c, err := p.column()
		if err != nil {
			return nil, err
		}
		if as := p.take("AS"); as || p.peek().kind == word && !keyword(p.peek().text) {
			if c.alias, err = p.name(); err != nil {
				return nil, err
			}
		}
		if out = append(out, c); !p.take(",") {
			return out, nil
		}
	}
}

func (p *parser) from() error {
	err := p.need("FROM")
	if err != nil {
		return err
	}
	if p.table, err = p.name(); err != nil {
		return err
	}
	if as := p.take("AS"); as || p.peek().kind == word && !keyword(p.peek().text) {
		p.alias, err = p.name()
	}
	return err
}

func (p *parser) order(b *strings.Builder) error {
	if !p.take("ORDER") {
		return nil
	}
	if err := p.need("BY"); err != nil {
		return err
	}
	for {
		c, err := p.column()
		if err == nil {
			err = p.of(c)
		}
		if err != nil {
			return err
		}
		attrs := []string{"attribute", c.name}
		if p.take("DESC") {
			attrs = append(attrs, "descending", "true")
		} else {
			p.take("ASC")
		}
		b.WriteString(closed("order", attrs...))
		if !p.take(",") {
			return nil
		}
	}
}

// either reads conditions joined by OR, both those joined by AND.
func (p *parser) either() (string, error) { return p.joined("OR", "or", p.both) }

func (p *parser) both() (string, error) { return p.joined("AND", "and", p.condition) }

func (p *parser) joined(by, kind string, part func() (string, error)) (string, error) {
	out, err := part()
	if err != nil {
		return "", err
	}
	several := false
	for p.take(by) {
		next, err := part()
		if err != nil {
			return "", err
		}
		out, several = out+next, true
	}
	if several {
		out = `<filter type="` + kind + `">` + out + `</filter>`
	}
	return out, nil
}

func (p *parser) condition() (string, error) {
	if p.take("(") {
		if p.depth++; p.depth > maxDepth {
			return "", invalid("The conditions are nested too deeply.")
		}
		inner, err := p.either()
		if err != nil {
			return "", err
		}
		p.depth--
		return inner, p.need(")")
	}
	c, err := p.column()
	if err == nil {
		err = p.of(c)
	}
	if err != nil {
		return "", err
	}
	if p.take("IS") {
		op := "null"
		if p.take("NOT") {
			op = "not-null"
		}
		return closed("condition", "attribute", c.name, "operator", op), p.need("NULL")
	}
	not := ""
	if p.take("NOT") {
		not = "not-"
	}
	switch {
	case p.take("LIKE"):
		return p.single(c, not+"like")
	case p.take("IN"):
		return p.several(c, not+"in")
	case p.take("BETWEEN"):
		low, err := p.constant()
		if err != nil {
			return "", err
		}
		if err := p.need("AND"); err != nil {
			return "", err
		}
		high, err := p.constant()
		return values(c, not+"between", []string{low, high}), err
	case not != "":
		return "", invalid("LIKE, IN or BETWEEN was expected.")
	}
	for op, name := range map[string]string{"=": "eq", "<>": "ne", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"} {
		if p.take(op) {
			return p.single(c, name)
		}
	}
	return "", invalid("An operator was expected.")
}

func (p *parser) constant() (string, error) {
	t := p.peek()
	if t.kind != text && t.kind != number {
		return "", invalid("A constant was expected.")
	}
	p.at++
	return t.text, nil
}

func (p *parser) single(c column, op string) (string, error) {
	v, err := p.constant()
	return closed("condition", "attribute", c.name, "operator", op, "value", v), err
}

func (p *parser) several(c column, op string) (string, error) {
	if err := p.need("("); err != nil {
		return "", err
	}
	var list []string
	for {
		v, err := p.constant()
		if err != nil {
			return "", err
		}
		if list = append(list, v); !p.take(",") {
			return values(c, op, list), p.need(")")
		}
	}
}

func values(c column, op string, list []string) string {
	out := open("condition", "attribute", c.name, "operator", op)
	for _, v := range list {
		out += "<value>" + escape(v) + "</value>"
	}
	return out + "</condition>"
}

// open writes a start tag with names and values of attributes in turns, closed
// an empty element.
func open(element string, attributes ...string) string {
	out := "<" + element
	for i := 0; i+1 < len(attributes); i += 2 {
		out += " " + attributes[i] + `="` + escape(attributes[i+1]) + `"`
	}
	return out + ">"
}

func closed(element string, attributes ...string) string {
	return strings.TrimSuffix(open(element, attributes...), ">") + "/>"
}

func escape(s string) string {
	var b strings.Builder
	if xml.EscapeText(&b, []byte(s)) != nil {
		return "" // a builder does not fail
	}
	return b.String()
}
