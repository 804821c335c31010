package formula

import (
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"allod"
)

// parser walks the words of a formula. A word is a name, a number, a text with
// its quotation mark in front, or one sign.
type parser struct {
	words []string
	at    int
	refs  []Ref
}

// maxDepth bounds how deep parts nest.
const maxDepth = 32

// signs are those of one character; there are <> <= >= && || too.
const signs = "+-*/(),.=<>&!"

func newParser(text string) (*parser, error) {
	if len(text) > maxText || !utf8.ValidString(text) {
		return nil, allod.Errorf(allod.Invalid, "read formula: longer than %d bytes, or no text", maxText)
	}
	p := &parser{}
	for s := text; ; {
		s = strings.TrimLeft(s, " \t\r\n")
		if s == "" {
			return p, nil
		}
		n := word(s)
		if n == 0 {
			return nil, allod.Errorf(allod.Invalid, "read formula: %q is not understood", s[:min(len(s), 20)])
		}
		w := s[:n]
		if w[0] == '"' {
			w = w[:n-1]
		}
		p.words = append(p.words, w)
		s = s[n:]
	}
}

// word is how long the first word is; 0 when there is none.
func word(s string) int {
	letter := func(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	n := 1
	switch {
	case s[0] == '"':
		if i := strings.IndexByte(s[1:], '"'); i >= 0 {
			return i + 2
		}
		return 0
	case letter(s[0]):
		for n < len(s) && (letter(s[n]) || digit(s[n])) {
			n++
		}
	case digit(s[0]):
		for n < len(s) && (digit(s[n]) || s[n] == '.') {
			n++
		}
	case len(s) > 1 && slices.Contains([]string{"<>", "<=", ">=", "&&", "||"}, s[:2]):
		return 2
	case !strings.ContainsRune(signs, rune(s[0])):
		return 0
	}
	return n
}

func (p *parser) peek() string {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return ""
}

func (p *parser) next() string {
	w := p.peek()
	p.at++
	return w
}

// take steps over the sign when it is next.
func (p *parser) take(sign string) bool {
	if p.peek() != sign {
		return false
	}
	p.at++
	return true
}

func (p *parser) unexpected() error {
	if p.peek() == "" {
		return allod.Errorf(allod.Invalid, "read formula: it ends too early")
	}
	return allod.Errorf(allod.Invalid, "read formula: %q is not expected", strings.TrimPrefix(p.peek(), `"`))
}

func (p *parser) sum(depth int) (expr, error) {
	return p.chain("+-", func() (expr, error) {
		return p.chain("*/", func() (expr, error) { return p.factor(depth + 1) })
	})
}

// chain reads operands joined by one of two signs.
func (p *parser) chain(signs string, operand func() (expr, error)) (expr, error) {
	left, err := operand()
	for err == nil {
		sign := p.peek()
		if len(sign) != 1 || !strings.Contains(signs, sign) {
			return left, nil
		}
		p.at++
		var right expr
		if right, err = operand(); err == nil {
			left = reckon(sign, left, right)
		}
	}
	return nil, err
}

func (p *parser) factor(depth int) (expr, error) {
	if depth > maxDepth {
		return nil, allod.Errorf(allod.Invalid, "read formula: nested too deep")
	}
	switch w := p.peek(); {
	case w == "":
		return nil, p.unexpected()
	case p.take("("):
		e, err := p.logic(depth)
		if err == nil && !p.take(")") {
			err = p.unexpected()
		}
		return e, err
	case p.take("-"):
		e, err := p.factor(depth + 1)
		return reckon("-", func(*scope) any { return new(big.Rat) }, e), err
	case p.take("!"):
		e, err := p.factor(depth + 1)
		return func(s *scope) any {
			is, _ := e(s).(bool)
			return !is
		}, err
	case w[0] == '"':
		p.at++
		return func(*scope) any { return w[1:] }, nil
	case w[0] >= '0' && w[0] <= '9':
		n, ok := ratOf(w).(*big.Rat)
		if !ok {
			return nil, p.unexpected()
		}
		p.at++
		return func(*scope) any { return n }, nil
	case strings.Contains(signs+"||", w[:1]):
		return nil, p.unexpected()
	}
	return p.name(depth)
}

// name reads a column, a column of a parent, or a function with its arguments.
func (p *parser) name(depth int) (expr, error) {
	ref := Ref{Column: p.next()}
	if p.take("(") {
		var args []expr
		for !p.take(")") {
			if len(args) > 0 && !p.take(",") {
				return nil, p.unexpected()
			}
			e, err := p.logic(depth + 1)
			if err != nil {
				return nil, err
			}
			args = append(args, e)
		}
		return call(strings.ToUpper(ref.Column), args)
	}
	if p.take(".") {
		if p.peek() == "" {
			return nil, p.unexpected()
		}
		ref = Ref{Lookup: ref.Column, Column: p.next()}
	}
	ref = Ref{strings.ToLower(ref.Lookup), strings.ToLower(ref.Column)}
	switch {
	case ref.Lookup == "timeunit": // TimeUnit.Days
		return func(*scope) any { return ref.Column }, nil
	case ref.Lookup == "" && (ref.Column == "true" || ref.Column == "false"):
		return func(*scope) any { return ref.Column == "true" }, nil
	}
	p.refs = append(p.refs, ref)
	return func(s *scope) any { return of(s.get(ref.Lookup, ref.Column)) }, nil
}

// number is an operand as a number; ok is false when there is none.
func (s *scope) number(e expr) (*big.Rat, bool) {
	switch v := e(s).(type) {
	case *big.Rat:
		return v, true
	case nil:
		return new(big.Rat), s.env.NullIsZero
	}
	return nil, false
}

func reckon(sign string, left, right expr) expr {
	return func(s *scope) any {
		a, ok := s.number(left)
		b, also := s.number(right)
		if !ok || !also || sign == "/" && b.Sign() == 0 {
			return nil
		}
		switch sign {
		case "+":
			return new(big.Rat).Add(a, b)
		case "-":
			return new(big.Rat).Sub(a, b)
		case "*":
			return new(big.Rat).Mul(a, b)
		default:
			return new(big.Rat).Quo(a, b)
		}
	}
}

// call is a function of the editor.
func call(name string, args []expr) (expr, error) {
	if k, ok := functions(name); ok {
		if len(args) < k.least || k.most >= 0 && len(args) > k.most {
			return nil, allod.Errorf(allod.Invalid, "read formula: %s with %d arguments", name, len(args))
		}
		return func(s *scope) any { return k.eval(s, args) }, nil
	}
	arity := 2
	var f func(s *scope) any
	switch name {
	case "NOW":
		arity, f = 0, func(s *scope) any {
			if s.env.Now == nil {
				return nil
			}
			return s.env.Now().UTC().Truncate(time.Second)
		}
	case "CONCAT", "CONCATENATE":
		arity, f = len(args), func(s *scope) any { return concat(s, args) }
	case "TRIMLEFT", "TRIMRIGHT":
		f = func(s *scope) any { return trim(s, name, args) }
	default:
		if f = ofTime(name, args); f == nil {
			return nil, allod.Errorf(allod.Invalid, "read formula: the function %s is not known here", name)
		}
	}
	if len(args) != arity || strings.HasPrefix(name, "CONCAT") && arity == 0 {
		return nil, allod.Errorf(allod.Invalid, "read formula: %s with %d arguments", name, len(args))
	}
	return f, nil
}

// concat joins texts; what is missing is empty.
func concat(s *scope, args []expr) any {
	var b strings.Builder
	for _, e := range args {
		switch v := e(s).(type) {
		case string:
			b.WriteString(v)
		case *big.Rat:
			b.WriteString(textOf(v))
		case time.Time:
			b.WriteString(v.Format(time.DateOnly))
		}
	}
	return b.String()
}

// trim takes so many characters off one end.
func trim(s *scope, name string, args []expr) any {
	text, ok := args[0](s).(string)
	n, also := args[1](s).(*big.Rat)
	if !ok || !also || n.Sign() < 0 {
		return nil
	}
	r := []rune(text)
	count := len(r)
	if n.Cmp(new(big.Rat).SetInt64(int64(count))) < 0 {
		count = int(new(big.Int).Quo(n.Num(), n.Denom()).Int64())
	}
	if name == "TRIMLEFT" {
		return string(r[count:])
	}
	return string(r[:len(r)-count])
}

// ofTime is a function of a moment and a number, or of two moments; nil when
// there is none of that name.
func ofTime(name string, args []expr) func(*scope) any {
	sign := 1
	unit, found := strings.CutPrefix(name, "ADD")
	if !found {
		unit, found = strings.CutPrefix(name, "SUBTRACT")
		sign = -1
	}
	if found {
		if _, ok := later(time.Time{}, unit, 1); !ok {
			return nil
		}
		return func(s *scope) any {
			n, ok := args[0](s).(*big.Rat)
			at, also := args[1](s).(time.Time)
			if !ok || !also || !n.IsInt() || !n.Num().IsInt64() || n.Num().CmpAbs(big.NewInt(1_000_000)) > 0 {
				return nil
			}
			to, _ := later(at, unit, sign*int(n.Num().Int64()))
			return to
		}
	}
	unit, found = strings.CutPrefix(name, "DIFFIN")
	per := map[string]time.Duration{"MINUTES": time.Minute, "HOURS": time.Hour, "DAYS": 24 * time.Hour, "WEEKS": 7 * 24 * time.Hour}[unit]
	if !found || per == 0 {
		return nil
	}
	return func(s *scope) any {
		from, ok := args[0](s).(time.Time)
		to, also := args[1](s).(time.Time)
		if !ok || !also {
			return nil
		}
		return new(big.Rat).SetInt64(int64(to.Sub(from) / per))
	}
}

// later is the moment n units later; ok is false when there is no such unit.
func later(at time.Time, unit string, n int) (time.Time, bool) {
	switch unit {
	case "HOURS":
		return at.Add(time.Duration(n) * time.Hour), true
	case "DAYS":
		return at.AddDate(0, 0, n), true
	case "WEEKS":
		return at.AddDate(0, 0, 7*n), true
	case "MONTHS":
		return at.AddDate(0, n, 0), true
	case "YEARS":
		return at.AddDate(n, 0, 0), true
	}
	return at, false
}
