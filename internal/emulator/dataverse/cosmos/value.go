package cosmos

import (
	"encoding/json"
	"math"
	"strings"
	"unicode/utf16"
)

// undefined is the value of what is not there, and of what makes no sense.
type undefined struct{}

// either is OR and AND over three values: decides is the one that settles it.
func either(a, b any, decides bool) any {
	x, okX := a.(bool)
	y, okY := b.(bool)
	switch {
	case okX && x == decides, okY && y == decides:
		return decides
	case okX && okY:
		return !decides
	}
	return undefined{}
}

// holds compares values of one kind; of others nothing is said. Arrays and objects are
// equal or not.
func holds(a any, sign string, b any) any {
	c, ok := compare(a, b)
	if !ok {
		_, listA := a.([]any)
		_, listB := b.([]any)
		_, setA := a.(object)
		_, setB := b.(object)
		if listA && listB || setA && setB {
			switch sign {
			case "=":
				return equal(a, b)
			case "!=", "<>":
				return !equal(a, b)
			}
		}
		return undefined{}
	}
	switch sign {
	case "=":
		return c == 0
	case "!=", "<>":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
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

// equal compares arrays and objects as well.
func equal(a, b any) bool {
	if c, ok := compare(a, b); ok {
		return c == 0
	}
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case object:
		y, ok := b.(object)
		return ok && len(x) == len(y) && holdsAll(x, y)
	}
	return false
}

// holdsAll reports whether the object has every member of the other.
func holdsAll(o, part object) bool {
	for name, v := range part {
		if has, ok := o[name]; !ok || !equal(has, v) {
			return false
		}
	}
	return true
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

// inside is what a column holds that is JSON: of a text what it says, if it is an
// object or an array.
func inside(v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var out any
	if d.Decode(&out) != nil {
		return v
	}
	switch out.(type) {
	case object, []any:
		return out
	}
	return v
}

// below is what an object has at a path.
func below(v any, path []string) any {
	for _, name := range path {
		m, ok := inside(v).(object)
		if !ok {
			return undefined{}
		}
		if v, ok = m[name]; !ok {
			return undefined{}
		}
	}
	return v
}

// element is what an array has at an index, or an object under a name.
func element(v, at any) any {
	if name, ok := at.(string); ok {
		return below(v, []string{name})
	}
	n, ok := number(at)
	list, is := inside(v).([]any)
	if !ok || !is || n < 0 || n != math.Trunc(n) || n >= float64(len(list)) {
		return undefined{}
	}
	return list[int(n)]
}

// function is one of those of a row; do gets from least to most values.
type function struct {
	least, most int
	do          func(args []any) any
}

// functions are the scalar functions by name (Azure Cosmos DB for NoSQL, system
// functions). What is not of their kind is undefined.
func functions() map[string]function {
	text := func(f func(a, b string) bool) function {
		return function{2, 3, func(args []any) any {
			a, okA := args[0].(string)
			b, okB := args[1].(string)
			if len(args) == 3 {
				fold, ok := args[2].(bool)
				if okA = okA && ok; fold {
					a, b = strings.ToLower(a), strings.ToLower(b)
				}
			}
			if !okA || !okB {
				return undefined{}
			}
			return f(a, b)
		}}
	}
	of := func(f func(string) any) function {
		return function{1, 1, func(args []any) any {
			if s, ok := args[0].(string); ok {
				return f(s)
			}
			return undefined{}
		}}
	}
	math1 := func(f func(float64) float64) function {
		return function{1, 1, func(args []any) any {
			if n, ok := number(args[0]); ok {
				return f(n)
			}
			return undefined{}
		}}
	}
	return map[string]function{
		"CONTAINS":   text(strings.Contains),
		"STARTSWITH": text(strings.HasPrefix),
		"ENDSWITH":   text(strings.HasSuffix),
		"LOWER":      of(func(s string) any { return strings.ToLower(s) }),
		"UPPER":      of(func(s string) any { return strings.ToUpper(s) }),
		"LENGTH":     of(func(s string) any { return float64(len(utf16.Encode([]rune(s)))) }),
		"CONCAT":     {2, 100, concat},
		"SUBSTRING":  {3, 3, substring},
		"ABS":        math1(math.Abs),
		"FLOOR":      math1(math.Floor),
		"CEILING":    math1(math.Ceil),
		"ROUND":      math1(math.Round),
		"IS_DEFINED": {1, 1, func(args []any) any { return args[0] != undefined{} }},
		"IS_NULL":    {1, 1, func(args []any) any { return args[0] == nil }},
		"ARRAY_LENGTH": {1, 1, func(args []any) any {
			if list, ok := inside(args[0]).([]any); ok {
				return float64(len(list))
			}
			return undefined{}
		}},
		"ARRAY_CONTAINS": {2, 3, arrayContains},
	}
}

const maxText = 8 << 20 // bytes of what CONCAT makes

func concat(args []any) any {
	var b strings.Builder
	for _, a := range args {
		s, ok := a.(string)
		if !ok {
			return undefined{}
		}
		if b.WriteString(s); b.Len() > maxText {
			return undefined{}
		}
	}
	return b.String()
}

// substring counts UTF-16 units from 0; what is outside of the text is left out.
func substring(args []any) any {
	s, ok := args[0].(string)
	from, okFrom := number(args[1])
	n, okN := number(args[2])
	if !ok || !okFrom || !okN {
		return undefined{}
	}
	units := utf16.Encode([]rune(s))
	size := float64(len(units))
	at := min(max(math.Trunc(from), 0), size)
	end := min(at+max(math.Trunc(n), 0), size)
	return string(utf16.Decode(units[int(at):int(end)]))
}

// arrayContains looks for a value, or with true for an object with its members.
func arrayContains(args []any) any {
	list, ok := inside(args[0]).([]any)
	if !ok || args[1] == (undefined{}) {
		return undefined{}
	}
	partial := len(args) == 3 && args[2] == true
	for _, e := range list {
		o, is := e.(object)
		part, want := args[1].(object)
		if equal(e, args[1]) || partial && is && want && holdsAll(o, part) {
			return true
		}
	}
	return false
}

// reckon is an aggregate over values. Undefined ones count for nothing; where one is
// of another kind than numbers, sums and averages are undefined.
func reckon(name string, values []any) any {
	var known []any
	sum, numbers := 0.0, true
	for _, v := range values {
		if v == (undefined{}) {
			continue
		}
		n, ok := number(v)
		sum, numbers = sum+n, numbers && ok
		known = append(known, v)
	}
	switch {
	case name == "COUNT":
		return float64(len(known))
	case math.IsInf(sum, 0): // JSON has no such number
		return undefined{}
	case name == "SUM" && numbers:
		return sum
	case name == "AVG" && numbers && len(known) > 0:
		return sum / float64(len(known))
	case (name == "MIN" || name == "MAX") && len(known) > 0:
		best := known[0]
		for _, v := range known[1:] {
			if c, ok := compare(v, best); ok && (c < 0) == (name == "MIN") && c != 0 {
				best = v
			}
		}
		return best
	}
	return undefined{}
}
