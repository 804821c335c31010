package eval

import (
	"math/big"
	"strings"

	"allod"
	"allod/internal/odata/query/internal/expr"
)

// kind is the kind of a val.
type kind uint8

const (
	kNull kind = iota
	kBool
	kNum
	kNaN
	kInf // num 1 or -1
	kText
	kGUID
	kDate     // num: days since 1970-01-01
	kDateTime // num: seconds since 1970-01-01T00:00Z, sub: nanoseconds
	kTime     // num: seconds since midnight, sub: nanoseconds
	kDuration // num: seconds, sub: nanoseconds, same sign
	kList
)

// val is a value while an expression is evaluated. A number is num/10^sub, or
// big if that does not fit; never a float.
type val struct {
	k    kind
	sub  int32
	num  int64
	big  *big.Rat
	text string
	guid allod.GUID
	list []val
}

func boolVal(b bool) val {
	if b {
		return val{k: kBool, num: 1}
	}
	return val{k: kBool}
}

func intVal(n int64) val { return val{k: kNum, num: n} }

func textVal(s string) val { return val{k: kText, text: s} }

// Limits of numbers, so that a text of a few bytes cannot become a number of
// gigabytes.
const (
	maxDigits   = 1000
	maxExponent = 400
	maxScale    = 18
)

// parseNum reads decimal digits with fraction and exponent, exactly.
func parseNum(s string) (val, bool) {
	switch s {
	case "NaN":
		return val{k: kNaN}, true
	case "INF":
		return val{k: kInf, num: 1}, true
	case "-INF":
		return val{k: kInf, num: -1}, true
	}
	var mant int64
	scale, i, n := int32(0), 0, 0
	neg := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		neg, i = s[i] == '-', i+1
	}
	for point := false; i < len(s); i++ {
		c := s[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if !expr.IsDigit(c) || n == maxScale {
			return bigNum(s)
		}
		mant = mant*10 + int64(c-'0')
		if n++; point {
			scale++
		}
	}
	if n == 0 {
		return val{}, false
	}
	if neg {
		mant = -mant
	}
	return val{k: kNum, num: mant, sub: scale}, true
}

func bigNum(s string) (val, bool) {
	if len(s) > maxDigits || expr.NumberLen(s) != len(s) {
		return val{}, false
	}
	if e := strings.IndexAny(s, "eE"); e >= 0 {
		if n, ok := expr.ParseInt(s[e+1:]); !ok || n > maxExponent || n < -maxExponent {
			return val{}, false
		}
	}
	r, ok := new(big.Rat).SetString(s)
	return val{k: kNum, big: r}, ok
}

var pow10 = [maxScale + 1]int64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
}

func (v val) rat() *big.Rat {
	if v.big != nil {
		return v.big
	}
	return new(big.Rat).SetFrac64(v.num, pow10[v.sub])
}

// compareNum compares two numbers exactly.
func compareNum(a, b val) int {
	if a.big == nil && b.big == nil {
		if a.sub == b.sub {
			return compare(a.num, b.num)
		}
		const small = 1<<63 - 1
		if d := a.sub - b.sub; d > 0 && abs(b.num) <= small/pow10[d] {
			return compare(a.num, b.num*pow10[d])
		} else if d < 0 && abs(a.num) <= small/pow10[-d] {
			return compare(a.num*pow10[-d], b.num)
		}
	}
	return a.rat().Cmp(b.rat())
}

func abs(n int64) int64 {
	if n == -1<<63 {
		return 1<<63 - 1
	}
	return max(n, -n)
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// days counts days since 1970-01-01 in the proleptic Gregorian calendar.
func days(year int64, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	doy := int64((153*(month-3)+2)/5 + day - 1)
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// civil undoes days.
func civil(d int64) (year int64, month, day int) {
	d += 719468
	era := floorDiv(d, 146097)
	doe := d - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	year = yoe + era*400
	if month > 12 {
		month -= 12
	}
	if month <= 2 {
		year++
	}
	return year, month, day
}

func two(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

// parseDate reads yyyy-mm-dd; days that the month does not have are refused.
func parseDate(s string) (val, bool) {
	n := expr.DateLen(s)
	if n == 0 || n != len(s) {
		return val{}, false
	}
	year, _ := expr.ParseInt(s[:n-6])
	m, d := two(s[n-5:]), two(s[n-2:])
	at := days(year, m, d)
	if _, gotM, gotD := civil(at); gotM != m || gotD != d {
		return val{}, false
	}
	return val{k: kDate, num: at}, true
}

// parseTime reads hh:mm[:ss[.f]]; digits beyond nanoseconds are cut off.
func parseTime(s string) (val, bool) {
	if n := expr.TimeLen(s); n == 0 || n != len(s) {
		return val{}, false
	}
	v := val{k: kTime, num: int64(two(s)*3600 + two(s[3:])*60)}
	if len(s) >= 8 {
		v.num += int64(two(s[6:]))
	}
	if len(s) > 9 {
		for i := range 9 {
			v.sub *= 10
			if 9+i < len(s) {
				v.sub += int32(s[9+i] - '0')
			}
		}
	}
	return v, true
}

// parseDateTime reads a timestamp with its zone.
func parseDateTime(s string) (val, bool) {
	n := expr.DateTimeLen(s)
	if n == 0 || n != len(s) {
		return val{}, false
	}
	d := expr.DateLen(s)
	date, ok := parseDate(s[:d])
	zone := 1
	if c := s[n-1]; c != 'Z' && c != 'z' {
		zone = 6
	}
	clock, ok2 := parseTime(s[d+1 : n-zone])
	if !ok || !ok2 {
		return val{}, false
	}
	v := val{k: kDateTime, num: date.num*86400 + clock.num, sub: clock.sub}
	if zone == 6 {
		off := int64(two(s[n-5:])*3600 + two(s[n-2:])*60)
		if s[n-6] == '+' {
			off = -off
		}
		v.num += off
	}
	return v, true
}

// parseDuration reads e.g. -P1DT2H3M4.5S.
func parseDuration(s string) (val, bool) {
	if n := expr.DurationLen(s); n == 0 || n != len(s) {
		return val{}, false
	}
	v := val{k: kDuration}
	rest := strings.TrimLeft(strings.ToUpper(s), "-P")
	for rest != "" {
		if rest[0] == 'T' {
			rest = rest[1:]
			continue
		}
		n := expr.Run(rest, expr.IsDigit)
		if n > 12 {
			return val{}, false
		}
		count, _ := expr.ParseInt(rest[:n])
		unit := rest[n]
		if unit == '.' {
			f := expr.Run(rest[n+1:], expr.IsDigit)
			for i := range 9 {
				v.sub *= 10
				if i < f {
					v.sub += int32(rest[n+1+i] - '0')
				}
			}
			n += 1 + f
			unit = 'S'
		}
		v.num += count * map[byte]int64{'D': 86400, 'H': 3600, 'M': 60, 'S': 1}[unit]
		rest = rest[n+1:]
	}
	if s[0] == '-' {
		v.num, v.sub = -v.num, -v.sub
	}
	return v, true
}

// ofLiteral turns a literal into a val; false if its text stands for nothing,
// such as a 31st of June.
func ofLiteral(l *expr.Literal) (val, bool) {
	switch l.Kind {
	case expr.LitNull:
		return val{}, true
	case expr.LitBool:
		return boolVal(l.Text == "true"), true
	case expr.LitNumber:
		return parseNum(l.Text)
	case expr.LitGUID:
		g, err := allod.ParseGUID(l.Text)
		return val{k: kGUID, guid: g}, err == nil
	case expr.LitDate:
		return parseDate(l.Text)
	case expr.LitDateTime:
		return parseDateTime(l.Text)
	case expr.LitTimeOfDay:
		return parseTime(l.Text)
	case expr.LitDuration:
		return parseDuration(l.Text)
	case expr.LitEnum:
		if n, ok := expr.ParseInt(l.Text); ok {
			return intVal(n), true
		}
		return textVal(l.Text), true
	case expr.LitString, expr.LitBinary, expr.LitGeo:
		return textVal(l.Text), true
	}
	return val{}, false
}

// ofValue turns a cell into a val.
func ofValue(v allod.Value) (val, error) {
	ok := true
	var out val
	switch v.Type() {
	case allod.Absent, allod.Null:
	case allod.Integer:
		return intVal(v.Int()), nil
	case allod.Boolean:
		return boolVal(v.Bool()), nil
	case allod.ID, allod.Lookup:
		return val{k: kGUID, guid: v.GUID()}, nil
	case allod.Decimal, allod.Double:
		out, ok = parseNum(v.Text())
	case allod.DateTime:
		out, ok = parseDateTime(v.Text())
	case allod.Date:
		out, ok = parseDate(v.Text())
	case allod.File:
		return textVal("file"), nil // only whether there is one can be asked
	case allod.String, allod.Choices, allod.JSON, allod.Binary:
		return textVal(v.Text()), nil
	}
	if !ok {
		return val{}, allod.Errorf(allod.Invalid, "evaluate: a cell of type %v holds no such value", v.Type())
	}
	return out, nil
}
