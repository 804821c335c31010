package eval

import (
	"strings"
	"unicode/utf8"

	"allod"
	"allod/internal/odata/query/internal/expr"
)

// call compiles a canonical function. An argument that is null makes the
// result null.
func (c *compiler[R]) call(e *expr.Call) (node[R], error) {
	args := make([]node[R], len(e.Args))
	for i, a := range e.Args {
		var err error
		if args[i], err = c.compile(a); err != nil {
			return nil, err
		}
	}
	f := c.textFunction(e.Name)
	if f == nil {
		f = timeFunction(e.Name)
	}
	switch e.Name {
	case "now":
		if c.env.Now == nil {
			return nil, invalid("now() is not supported here")
		}
		f = infallible(func([]val) val {
			t := c.env.Now().UTC()
			return val{k: kDateTime, num: t.Unix(), sub: int32(t.Nanosecond())}
		})
	case "round", "floor", "ceiling":
		f = func(a []val) (val, error) { return rounding(e.Name, a[0]) }
	}
	if f == nil {
		return nil, invalid("the function %s is not supported", e.Name)
	}
	return func(fr *frame[R]) (val, error) {
		var buf [3]val
		for i, a := range args {
			v, err := a(fr)
			if err != nil || v.k == kNull {
				return val{}, err
			}
			buf[i] = v
		}
		return f(buf[:len(args)])
	}, nil
}

func infallible(f func([]val) val) func([]val) (val, error) {
	return func(a []val) (val, error) { return f(a), nil }
}

func texts(name string, f func(a []val) val) func([]val) (val, error) {
	return func(a []val) (val, error) {
		for _, v := range a {
			if v.k != kText {
				return val{}, allod.Errorf(allod.Invalid, "evaluate: an argument of %s is not text", name)
			}
		}
		return f(a), nil
	}
}

// textFunction returns the function over text with the name, or nil.
func (c *compiler[R]) textFunction(name string) func([]val) (val, error) {
	folded, wild := c.env.FoldCase, c.env.Wildcards
	switch name {
	case "contains":
		return texts(name, func(a []val) val {
			if wild && hasWildcard(a[1].text) {
				return boolVal(like(a[0].text, "%"+a[1].text+"%", folded))
			}
			return boolVal(indexText(a[0].text, a[1].text, folded) >= 0)
		})
	case "startswith":
		return texts(name, func(a []val) val {
			if wild && hasWildcard(a[1].text) {
				return boolVal(like(a[0].text, a[1].text+"%", folded))
			}
			return boolVal(prefixLen(a[0].text, a[1].text, folded) >= 0)
		})
	case "endswith":
		return texts(name, func(a []val) val {
			if wild && hasWildcard(a[1].text) {
				return boolVal(like(a[0].text, "%"+a[1].text, folded))
			}
			return boolVal(hasSuffix(a[0].text, a[1].text, folded))
		})
	case "indexof":
		return texts(name, func(a []val) val { return intVal(int64(indexText(a[0].text, a[1].text, folded))) })
	case "length":
		return texts(name, func(a []val) val { return intVal(int64(utf8.RuneCountInString(a[0].text))) })
	case "tolower":
		return texts(name, func(a []val) val { return textVal(strings.ToLower(a[0].text)) })
	case "toupper":
		return texts(name, func(a []val) val { return textVal(strings.ToUpper(a[0].text)) })
	case "trim":
		return texts(name, func(a []val) val { return textVal(strings.TrimSpace(a[0].text)) })
	case "concat":
		return texts(name, func(a []val) val { return textVal(a[0].text + a[1].text) })
	case "substring":
		return substring
	}
	return nil
}

// substring counts in characters; what lies outside of the text is cut off.
func substring(a []val) (val, error) {
	r := []rune(a[0].text)
	bounds := [2]int64{0, int64(len(r))}
	for i, v := range a[1:] {
		if v.k != kNum || v.big != nil || v.sub != 0 {
			return val{}, allod.Errorf(allod.Invalid, "evaluate: an argument of substring is not a whole number")
		}
		bounds[i] = v.num
	}
	if a[0].k != kText {
		return val{}, allod.Errorf(allod.Invalid, "evaluate: an argument of substring is not text")
	}
	from := min(max(bounds[0], 0), int64(len(r)))
	n := min(max(bounds[1], 0), int64(len(r))-from)
	return textVal(string(r[from : from+n])), nil
}

// timeFunction returns the function over times with the name, or nil. Times
// are in UTC.
func timeFunction(name string) func([]val) (val, error) {
	part := func(f func(v val, day int64, sec int64) (val, bool)) func([]val) (val, error) {
		return func(a []val) (val, error) {
			v := a[0]
			if v.k == kText {
				if t, ok := readAs(v.text, kDateTime); ok {
					v = t
				}
			}
			day, sec := v.num, int64(0)
			switch v.k {
			case kDateTime:
				day = floorDiv(v.num, 86400)
				sec = v.num - day*86400
			case kTime:
				day, sec = 0, v.num
			default:
			}
			if out, ok := f(v, day, sec); ok {
				return out, nil
			}
			return val{}, allod.Errorf(allod.Invalid, "evaluate: the argument of %s does not fit", name)
		}
	}
	calendar := func(pick func(y int64, m, d int) int64) func([]val) (val, error) {
		return part(func(v val, day, _ int64) (val, bool) {
			return intVal(pick(civil(day))), v.k == kDate || v.k == kDateTime
		})
	}
	clock := func(pick func(sec int64) int64) func([]val) (val, error) {
		return part(func(v val, _, sec int64) (val, bool) { return intVal(pick(sec)), v.k == kTime || v.k == kDateTime })
	}
	switch name {
	case "year":
		return calendar(func(y int64, _, _ int) int64 { return y })
	case "month":
		return calendar(func(_ int64, m, _ int) int64 { return int64(m) })
	case "day":
		return calendar(func(_ int64, _, d int) int64 { return int64(d) })
	case "hour":
		return clock(func(sec int64) int64 { return sec / 3600 })
	case "minute":
		return clock(func(sec int64) int64 { return sec / 60 % 60 })
	case "second":
		return clock(func(sec int64) int64 { return sec % 60 })
	case "fractionalseconds":
		return part(func(v val, _, _ int64) (val, bool) {
			return val{k: kNum, num: int64(v.sub), sub: 9}, v.k == kTime || v.k == kDateTime
		})
	case "totaloffsetminutes":
		return part(func(v val, _, _ int64) (val, bool) { return intVal(0), v.k == kDateTime })
	case "date":
		return part(func(v val, day, _ int64) (val, bool) {
			return val{k: kDate, num: day}, v.k == kDate || v.k == kDateTime
		})
	case "time":
		return part(func(v val, _, sec int64) (val, bool) { return val{k: kTime, num: sec, sub: v.sub}, v.k == kDateTime })
	case "totalseconds":
		return part(func(v val, _, _ int64) (val, bool) {
			out, err := arithmetic("add", intVal(v.num), val{k: kNum, num: int64(v.sub), sub: 9})
			return out, v.k == kDuration && err == nil
		})
	case "mindatetime":
		return func([]val) (val, error) { return val{k: kDateTime, num: days(1, 1, 1) * 86400}, nil }
	case "maxdatetime":
		return func([]val) (val, error) {
			return val{k: kDateTime, num: days(10000, 1, 1)*86400 - 1, sub: 999999999}, nil
		}
	}
	return nil
}
