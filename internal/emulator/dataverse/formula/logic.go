package formula

import (
	"math/big"
	"strings"
	"time"
)

// logic reads a whole part: comparisons joined by && and ||, or less.
func (p *parser) logic(depth int) (expr, error) {
	return p.joined("||", func() (expr, error) {
		return p.joined("&&", func() (expr, error) { return p.comparison(depth) })
	})
}

// joined reads operands joined by one sign.
func (p *parser) joined(sign string, operand func() (expr, error)) (expr, error) {
	first, err := operand()
	list := []expr{first}
	for err == nil && p.take(sign) {
		var e expr
		e, err = operand()
		list = append(list, e)
	}
	if err != nil || len(list) == 1 {
		return first, err
	}
	return func(s *scope) any { return all(s, list, sign == "&&") }, nil
}

// comparison reads two parts and what stands between them, or one.
func (p *parser) comparison(depth int) (expr, error) {
	left, err := p.text(depth)
	if err != nil {
		return nil, err
	}
	switch sign := p.peek(); sign {
	case "=", "<>", "<", "<=", ">", ">=":
		p.at++
		right, err := p.text(depth)
		return func(s *scope) any { return compared(s, sign, left(s), right(s)) }, err
	}
	return left, nil
}

// text reads sums joined by &.
func (p *parser) text(depth int) (expr, error) {
	first, err := p.sum(depth)
	list := []expr{first}
	for err == nil && p.take("&") {
		var e expr
		e, err = p.sum(depth)
		list = append(list, e)
	}
	if err != nil || len(list) == 1 {
		return first, err
	}
	return func(s *scope) any { return concat(s, list) }, nil
}

// all is And, or Or; what is missing is false.
func all(s *scope, list []expr, and bool) any {
	for _, e := range list {
		if is, _ := e(s).(bool); is != and {
			return !and
		}
	}
	return and
}

// compared is the result of a comparison. What is missing equals only what is
// missing, and is neither less nor more than anything; texts are compared
// without regard to case, as the columns are.
func compared(s *scope, sign string, a, b any) any {
	if s.env.NullIsZero {
		if _, number := b.(*big.Rat); number && a == nil {
			a = new(big.Rat)
		}
		if _, number := a.(*big.Rat); number && b == nil {
			b = new(big.Rat)
		}
	}
	n, comparable := 0, false
	switch x := a.(type) {
	case *big.Rat:
		y, ok := b.(*big.Rat)
		if comparable = ok; ok {
			n = x.Cmp(y)
		}
	case string:
		y, ok := b.(string)
		if comparable = ok; ok {
			n = strings.Compare(strings.ToLower(x), strings.ToLower(y))
		}
	case time.Time:
		y, ok := b.(time.Time)
		if comparable = ok; ok {
			n = x.Compare(y)
		}
	case bool:
		y, ok := b.(bool)
		if ok && (sign == "=" || sign == "<>") {
			return (x == y) == (sign == "=")
		}
	case nil:
		if b == nil && (sign == "=" || sign == "<>") {
			return sign == "="
		}
	}
	switch {
	case !comparable:
		return sign == "<>"
	case sign == "=":
		return n == 0
	case sign == "<>":
		return n != 0
	case sign == "<":
		return n < 0
	case sign == "<=":
		return n <= 0
	case sign == ">":
		return n > 0
	}
	return n >= 0
}

// known is a function of formula columns with the numbers of arguments it
// takes; most -1 is any number.
type known struct {
	least, most int
	eval        func(s *scope, args []expr) any
}

// functions are those of "Work with Dataverse formula columns" that are
// evaluated here, beside those of the editor of calculated columns.
func functions(name string) (known, bool) {
	switch name {
	case "IF":
		return known{2, -1, choose}, true
	case "SWITCH":
		return known{3, -1, match}, true
	case "AND", "OR":
		return known{1, -1, func(s *scope, args []expr) any { return all(s, args, name == "AND") }}, true
	case "NOT":
		return known{1, 1, func(s *scope, args []expr) any {
			is, _ := args[0](s).(bool)
			return !is
		}}, true
	case "TRUE", "FALSE":
		return known{0, 0, func(*scope, []expr) any { return name == "TRUE" }}, true
	case "BLANK":
		return known{0, 0, func(*scope, []expr) any { return nil }}, true
	case "ISBLANK":
		return known{1, 1, func(s *scope, args []expr) any {
			v := args[0](s)
			return v == nil || v == ""
		}}, true
	case "UTCNOW":
		return known{0, 0, func(s *scope, _ []expr) any { return now(s, time.Second) }}, true
	case "UTCTODAY":
		return known{0, 0, func(s *scope, _ []expr) any { return now(s, 24*time.Hour) }}, true
	case "YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "WEEKDAY":
		return known{1, 1, func(s *scope, args []expr) any { return partOf(name, args[0](s)) }}, true
	case "DATEADD":
		return known{2, 3, dateAdd}, true
	case "DATEDIFF":
		return known{2, 3, dateDiff}, true
	case "DIFFINMONTHS", "DIFFINYEARS":
		return known{2, 2, func(s *scope, args []expr) any {
			return between(args[0](s), args[1](s), strings.TrimPrefix(name, "DIFFIN"))
		}}, true
	}
	return known{}, false
}

// choose is If(condition, then, condition, then, …, else).
func choose(s *scope, args []expr) any {
	for len(args) >= 2 {
		if is, _ := args[0](s).(bool); is {
			return args[1](s)
		}
		args = args[2:]
	}
	if len(args) == 1 {
		return args[0](s)
	}
	return nil
}

// match is Switch(value, match, result, …, default).
func match(s *scope, args []expr) any {
	v := args[0](s)
	args = args[1:]
	for len(args) >= 2 {
		if is, _ := compared(s, "=", v, args[0](s)).(bool); is {
			return args[1](s)
		}
		args = args[2:]
	}
	if len(args) == 1 {
		return args[0](s)
	}
	return nil
}

func now(s *scope, to time.Duration) any {
	if s.env.Now == nil {
		return nil
	}
	return s.env.Now().UTC().Truncate(to)
}

// partOf is one part of a moment, in UTC; Sunday is weekday 1.
func partOf(name string, v any) any {
	at, ok := v.(time.Time)
	if !ok {
		return nil
	}
	at = at.UTC()
	n := map[string]int{
		"YEAR": at.Year(), "MONTH": int(at.Month()), "DAY": at.Day(), "HOUR": at.Hour(), "MINUTE": at.Minute(), "SECOND": at.Second(), "WEEKDAY": int(at.Weekday()) + 1,
	}[name]
	return new(big.Rat).SetInt64(int64(n))
}

// unitOf reads a TimeUnit, Days when there is none.
func unitOf(s *scope, args []expr) string {
	if len(args) < 3 {
		return "DAYS"
	}
	unit, _ := args[2](s).(string)
	return strings.ToUpper(unit)
}

// dateAdd is DateAdd(moment, number, unit).
func dateAdd(s *scope, args []expr) any {
	at, ok := args[0](s).(time.Time)
	n, also := args[1](s).(*big.Rat)
	if !ok || !also || !n.IsInt() || !n.Num().IsInt64() || n.Num().CmpAbs(big.NewInt(1_000_000)) > 0 {
		return nil
	}
	count := int(n.Num().Int64())
	switch unit := unitOf(s, args); unit {
	case "SECONDS":
		return at.Add(time.Duration(count) * time.Second)
	case "MINUTES":
		return at.Add(time.Duration(count) * time.Minute)
	case "QUARTERS":
		return at.AddDate(0, 3*count, 0)
	default:
		if to, ok := later(at, unit, count); ok {
			return to
		}
	}
	return nil
}

// dateDiff is DateDiff(from, to, unit).
func dateDiff(s *scope, args []expr) any { return between(args[0](s), args[1](s), unitOf(s, args)) }

// between counts the whole units from one moment to another: months, quarters and
// years by the calendar.
func between(a, b any, unit string) any {
	from, ok := a.(time.Time)
	to, also := b.(time.Time)
	if !ok || !also {
		return nil
	}
	from, to = from.UTC(), to.UTC()
	months := int64(12*(to.Year()-from.Year()) + int(to.Month()) - int(from.Month()))
	per := map[string]time.Duration{"SECONDS": time.Second, "MINUTES": time.Minute, "HOURS": time.Hour, "DAYS": 24 * time.Hour, "WEEKS": 7 * 24 * time.Hour}[unit]
	switch {
	case per > 0:
		return new(big.Rat).SetInt64(int64(to.Sub(from) / per))
	case unit == "MONTHS":
	case unit == "QUARTERS":
		months /= 3
	case unit == "YEARS":
		months = int64(to.Year() - from.Year())
	default:
		return nil
	}
	return new(big.Rat).SetInt64(months)
}
