package fetch

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// test decides on the value of one column.
type test func(allod.Value) bool

// compile makes the test of a condition on the column.
func (r *run) compile(c Condition, t *entity.Table, col *entity.Column) (test, error) {
	switch c.Operator {
	case "null":
		return empty, nil
	case "not-null":
		return func(v allod.Value) bool { return !empty(v) }, nil
	case "above", "eq-or-above", "under", "eq-or-under", "not-under":
		return r.hierarchy(c, t, col)
	case "eq", "ne", "neq", "gt", "ge", "lt", "le":
		return r.compare(c, col)
	case "in", "not-in":
		return members(c, col)
	case "between", "not-between":
		return between(c, col)
	case "contain-values", "not-contain-values":
		return containing(c), nil
	case "like", "not-like", "begins-with", "not-begin-with", "ends-with", "not-end-with":
		return like(c)
	}
	if hold, ok := r.caller(c.Operator); ok {
		return hold, nil
	}
	if hold, ok, err := r.fiscal(c); ok {
		return hold, err
	}
	return r.dated(c, col)
}

// Compile makes a condition on rows of the table into a test of one; the column is
// given by its logical name. What it refuses is a *wire.Error.
func Compile(env Env, t *entity.Table, c Condition) (func(Cell) bool, error) {
	r := &run{env: env, nodes: []*node{{t: t, hidden: env.Hidden(t)}}}
	col, err := column(t, c.Attribute)
	if err != nil {
		return nil, err
	}
	hold, err := r.compile(c, t, col)
	if err != nil {
		return nil, err
	}
	return func(cell Cell) bool { return hold(r.value(0, cell, col)) }, nil
}

func (c Condition) one() (string, error) {
	if len(c.Values) != 1 {
		return "", invalid("The operator '%s' of the attribute '%s' expects one value.", c.Operator, c.Attribute)
	}
	return c.Values[0], nil
}

// operand reads a value as the column holds it.
func operand(c Condition, col *entity.Column, text string) (allod.Value, error) {
	bad := invalid("The value of the condition on the attribute '%s' does not fit its type %s.", c.Attribute, string(col.Kind))
	switch col.EdmType {
	case "Edm.Guid":
		g, err := allod.ParseGUID(strings.Trim(text, "{}"))
		if err != nil {
			return allod.NullValue(), bad
		}
		return allod.IDValue(g), nil
	case "Edm.Int32", "Edm.Int64":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return allod.NullValue(), bad
		}
		return allod.IntegerValue(n), nil
	case "Edm.Boolean":
		on := text == "1" || strings.EqualFold(text, "true")
		if !on && text != "0" && !strings.EqualFold(text, "false") {
			return allod.NullValue(), bad
		}
		return allod.BooleanValue(on), nil
	case "Edm.Decimal", "Edm.Double":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || len(text) > 64 {
			return allod.NullValue(), bad
		}
		if strings.ContainsAny(text, "eEpPxX_nN") {
			return allod.TextValue(allod.Double, strconv.FormatFloat(f, 'g', -1, 64)), nil
		}
		return allod.TextValue(allod.Decimal, text), nil
	case "Edm.DateTimeOffset", "Edm.Date":
		t, ok := parseTime(text)
		if !ok {
			return allod.NullValue(), bad
		}
		return allod.TextValue(allod.DateTime, t.Format(time.RFC3339Nano)), nil
	}
	return allod.StringValue(text), nil
}

// compare tests by size. A null differs from every value and has no size.
func (r *run) compare(c Condition, col *entity.Column) (test, error) {
	text, err := c.one()
	if err != nil {
		return nil, err
	}
	w, err := operand(c, col, text)
	if err != nil {
		return nil, err
	}
	holds := sizes(c.Operator)
	return func(v allod.Value) bool {
		if empty(v) {
			return c.Operator == "ne" || c.Operator == "neq"
		}
		return holds(order(v, w))
	}, nil
}

// sizes says for which result of a comparison the operator holds.
func sizes(operator string) func(int) bool {
	switch operator {
	case "eq":
		return func(n int) bool { return n == 0 }
	case "ne", "neq":
		return func(n int) bool { return n != 0 }
	case "gt":
		return func(n int) bool { return n > 0 }
	case "ge":
		return func(n int) bool { return n >= 0 }
	case "lt":
		return func(n int) bool { return n < 0 }
	}
	return func(n int) bool { return n <= 0 }
}

func members(c Condition, col *entity.Column) (test, error) {
	if len(c.Values) == 0 {
		return nil, invalid("The operator '%s' of the attribute '%s' expects values.", c.Operator, c.Attribute)
	}
	set := map[string]bool{}
	for _, text := range c.Values {
		w, err := operand(c, col, text)
		if err != nil {
			return nil, err
		}
		set[key(w)] = true
	}
	want := c.Operator == "in"
	return func(v allod.Value) bool { return (!empty(v) && set[key(v)]) == want }, nil
}

func between(c Condition, col *entity.Column) (test, error) {
	if len(c.Values) != 2 {
		return nil, invalid("The operator '%s' of the attribute '%s' expects two values.", c.Operator, c.Attribute)
	}
	low, err := operand(c, col, c.Values[0])
	if err != nil {
		return nil, err
	}
	high, err := operand(c, col, c.Values[1])
	if err != nil {
		return nil, err
	}
	want := c.Operator == "between"
	return func(v allod.Value) bool {
		return !empty(v) && (order(v, low) >= 0 && order(v, high) <= 0) == want
	}, nil
}

// containing tests a multi-select column: any of the values is chosen, or none.
func containing(c Condition) test {
	want := c.Operator == "contain-values"
	return func(v allod.Value) bool {
		any := false
		if !empty(v) {
			for _, part := range strings.Split(v.Text(), ",") {
				any = any || slices.Contains(c.Values, strings.TrimSpace(part))
			}
		}
		return any == want
	}
}

// like tests text without regard to case; % _ [ ] [^ ] are wildcards (§4.3).
func like(c Condition) (test, error) {
	text, err := c.one()
	if err != nil {
		return nil, err
	}
	if len(text) > maxLike {
		return nil, invalid("The value of the condition on the attribute '%s' is too long.", c.Attribute)
	}
	want := true
	switch c.Operator {
	case "not-like":
		want = false
	case "begins-with", "not-begin-with":
		text, want = text+"%", c.Operator == "begins-with"
	case "ends-with", "not-end-with":
		text, want = "%"+text, c.Operator == "ends-with"
	}
	re, err := regexp.Compile(pattern(text))
	if err != nil {
		return nil, invalid("The value of the condition on the attribute '%s' is no pattern.", c.Attribute)
	}
	return func(v allod.Value) bool { return (!empty(v) && re.MatchString(v.String())) == want }, nil
}

// pattern is the regular expression of a LIKE pattern.
func pattern(text string) string {
	var b strings.Builder
	b.WriteString(`(?is)^`)
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; ch {
		case '%':
			b.WriteString(`.*`)
		case '_':
			b.WriteByte('.')
		case '[':
			end := strings.IndexByte(text[i+1:], ']')
			if end <= 0 {
				b.WriteString(`\[`)
				continue
			}
			set := text[i+1 : i+1+end]
			b.WriteByte('[')
			if rest, ok := strings.CutPrefix(set, "^"); ok && rest != "" {
				b.WriteByte('^')
				set = rest
			}
			b.WriteString(strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`, `&`, `\&`, `~`, `\~`).Replace(set))
			b.WriteByte(']')
			i += end + 1
		default:
			j := i
			for j < len(text) && !strings.ContainsRune("%_[", rune(text[j])) {
				j++
			}
			b.WriteString(regexp.QuoteMeta(text[i:j]))
			i = j - 1
		}
	}
	b.WriteByte('$')
	return b.String()
}
