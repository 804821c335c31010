package eval

import (
	"strings"
	"time"

	"allod"
	"allod/internal/odata/query/internal/expr"
)

// function compiles a namespaced function with named parameters: those of
// Dataverse that need no more than the row and the clock
// (protocols/dataverse.md §4.3); others are Env's.
func (c *compiler[R]) function(get getter[R], env *Env[R], step *expr.Step) (node[R], error) {
	bare, ok := strings.CutPrefix(step.Name, "Microsoft.Dynamics.CRM.")
	if !ok {
		bare, ok = strings.CutPrefix(step.Name, "mscrm.")
	}
	if ok {
		test, err := c.crm(bare, step.Args)
		if err != nil {
			return nil, err
		}
		if test != nil {
			col, err := c.property(get, env, step.Args)
			if err != nil {
				return nil, err
			}
			return func(f *frame[R]) (val, error) {
				v, err := col(f)
				if err != nil {
					return val{}, err
				}
				return test(v)
			}, nil
		}
	}
	if env.Function == nil {
		return nil, invalid("the function %s is not supported", bare)
	}
	f, err := env.Function(step.Name, step.Args)
	if err != nil {
		return nil, err
	}
	return func(fr *frame[R]) (val, error) {
		row, ok, err := get(fr)
		if err != nil || !ok {
			return val{}, err
		}
		v, err := f(row)
		if err != nil {
			return val{}, err
		}
		return ofValue(v)
	}, nil
}

// argument finds an argument and resolves an alias.
func (c *compiler[R]) argument(args []expr.Arg, name string) expr.Expr {
	for _, a := range args {
		if a.Name != name {
			continue
		}
		if alias, ok := a.Value.(*expr.Alias); ok {
			return c.env.Aliases[alias.Name]
		}
		return a.Value
	}
	return nil
}

// property compiles the column that PropertyName names, which may lead over
// navigation properties.
func (c *compiler[R]) property(get getter[R], env *Env[R], args []expr.Arg) (node[R], error) {
	lit, ok := c.argument(args, "PropertyName").(*expr.Literal)
	if !ok || lit.Kind != expr.LitString {
		return nil, invalid("PropertyName is missing")
	}
	var steps []expr.Step
	for _, name := range strings.Split(lit.Text, "/") {
		if !expr.IsIdentifier(name) {
			return nil, invalid("PropertyName is not the name of a property")
		}
		steps = append(steps, expr.Step{Kind: expr.StepName, Name: name})
	}
	return c.steps(get, env, steps)
}

// values evaluates PropertyValues.
func (c *compiler[R]) values(args []expr.Arg, atLeast int) ([]val, error) {
	a, ok := c.argument(args, "PropertyValues").(*expr.Array)
	if !ok || len(a.Items) < atLeast {
		return nil, invalid("PropertyValues is missing or too short")
	}
	var list []val
	for _, it := range a.Items {
		lit, ok := it.(*expr.Literal)
		if !ok {
			return nil, invalid("PropertyValues holds something other than values")
		}
		v, ok := ofLiteral(lit)
		if !ok {
			return nil, invalid("PropertyValues holds a literal that stands for no value")
		}
		list = append(list, v)
	}
	return list, nil
}

// crm returns the test of a function of Dataverse over its property, or nil if
// it is not known here.
func (c *compiler[R]) crm(name string, args []expr.Arg) (func(val) (val, error), error) {
	switch name {
	case "In", "NotIn":
		list, err := c.values(args, 0)
		return listTest(name == "In", list, c.env.FoldCase), err
	case "Between", "NotBetween":
		list, err := c.values(args, 2)
		if err != nil {
			return nil, err
		}
		return between(name == "Between", list[0], list[1], c.env.FoldCase), nil
	case "ContainValues", "DoesNotContainValues":
		list, err := c.values(args, 1)
		return choices(name == "ContainValues", list), err
	}
	return c.period(name, args)
}

// loose loosens equality for values in quotes: PropertyValues are strings
// whatever the type of the column.
func loose(item, v val) val {
	if item.k == kText && v.k == kNum {
		if n, ok := parseNum(item.text); ok {
			return n
		}
	}
	if item.k == kText && v.k == kBool {
		return boolVal(item.text == "true" || item.text == "1")
	}
	return item
}

func listTest(want bool, list []val, folded bool) func(val) (val, error) {
	return func(v val) (val, error) {
		if v.k == kNull {
			return val{}, nil
		}
		for _, item := range list {
			same, err := equal(v, loose(item, v), folded)
			if err != nil {
				return val{}, err
			}
			if same {
				return boolVal(want), nil
			}
		}
		return boolVal(!want), nil
	}
}

func between(want bool, lo, hi val, folded bool) func(val) (val, error) {
	return func(v val) (val, error) {
		l, h := loose(lo, v), loose(hi, v)
		if v.k == kNull || l.k == kNull || h.k == kNull {
			return val{}, nil
		}
		a, known, err := order(v, l, folded)
		if err != nil {
			return val{}, err
		}
		b, known2, err := order(v, h, folded)
		return boolVal((known && known2 && a >= 0 && b <= 0) == want), err
	}
}

// choices tests whether a multi-select value ("1,2,3") holds any of the list.
func choices(want bool, list []val) func(val) (val, error) {
	return func(v val) (val, error) {
		if v.k == kNull {
			if want {
				return val{}, nil
			}
			return boolVal(true), nil
		}
		if v.k != kText {
			return val{}, allod.Errorf(allod.Invalid, "evaluate: the property is not a multi-select choice")
		}
		for part := range strings.SplitSeq(v.text, ",") {
			for _, item := range list {
				text := item.text
				if item.k == kNum {
					text = decimalText(item)
				}
				if strings.TrimSpace(part) == text {
					return boolVal(want), nil
				}
			}
		}
		return boolVal(!want), nil
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// period returns the test of a function about time, whose number may stand in
// quotes. All count in UTC: the time
// zone of a user is not known here. Last and next X days, weeks, months and
// years reach over whole days, hours over whole hours, up to and from now.
func (c *compiler[R]) period(name string, args []expr.Arg) (func(val) (val, error), error) {
	if name == "On" || name == "OnOrBefore" || name == "OnOrAfter" {
		return c.onDay(name, args)
	}
	var x int64
	if lit, ok := c.argument(args, "PropertyValue").(*expr.Literal); ok && (lit.Kind == expr.LitNumber || lit.Kind == expr.LitString && expr.Run(lit.Text, isDigit) == len(lit.Text)) {
		n, ok := expr.ParseInt(lit.Text)
		if !ok || n < 0 || n > 1_000_000 {
			return nil, invalid("PropertyValue is not a number that makes sense")
		}
		x = n
	} else if strings.Contains(name, "X") && !strings.Contains(name, "Fiscal") {
		return nil, invalid("PropertyValue is missing")
	}
	if _, _, ok := window(name, int(x), time.Time{}); !ok {
		return nil, nil
	}
	if c.env.Now == nil {
		return nil, invalid("%s is not supported here", name)
	}
	now := c.env.Now
	return func(v val) (val, error) {
		if v.k == kNull {
			return val{}, nil
		}
		t := now().UTC()
		from, to, _ := window(name, int(x), t)
		switch v.k {
		case kDate:
			v = val{k: kDateTime, num: v.num * 86400}
			from = startOfDay(from)
		case kDateTime:
		default:
			return val{}, allod.Errorf(allod.Invalid, "evaluate: the property of %s is not a time", name)
		}
		return boolVal(v.num >= from.Unix() && v.num < to.Unix()), nil
	}, nil
}

func (c *compiler[R]) onDay(name string, args []expr.Arg) (func(val) (val, error), error) {
	lit, ok := c.argument(args, "PropertyValue").(*expr.Literal)
	if !ok {
		return nil, invalid("PropertyValue is missing")
	}
	want, ok := ofLiteral(lit)
	if ok && want.k == kText {
		want, ok = readAs(want.text, kDateTime)
	}
	if !ok || want.k != kDate && want.k != kDateTime {
		return nil, invalid("PropertyValue is not a date")
	}
	day := dayOf(want)
	return func(v val) (val, error) {
		switch v.k {
		case kNull:
			return val{}, nil
		case kDate, kDateTime:
			d := dayOf(v)
			return boolVal(name == "On" && d == day || name == "OnOrBefore" && d <= day || name == "OnOrAfter" && d >= day), nil
		default:
			return val{}, allod.Errorf(allod.Invalid, "evaluate: the property of %s is not a time", name)
		}
	}, nil
}

func dayOf(v val) int64 {
	if v.k == kDateTime {
		return floorDiv(v.num, 86400)
	}
	return v.num
}

func startOfDay(t time.Time) time.Time { return t.Truncate(24 * time.Hour) }

// window returns the time from (included) to (excluded) that a function means;
// false if it is not one of these.
func window(name string, x int, now time.Time) (from, to time.Time, ok bool) {
	day := startOfDay(now)
	week := day.AddDate(0, 0, -int(day.Weekday())) // weeks start on Sunday
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	year := time.Date(now.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	tomorrow := day.AddDate(0, 0, 1)
	hour := now.Truncate(time.Hour)
	soon := now.Add(time.Second)
	past := time.Time{}
	switch name {
	case "Today":
		return day, tomorrow, true
	case "Yesterday":
		return day.AddDate(0, 0, -1), day, true
	case "Tomorrow":
		return tomorrow, day.AddDate(0, 0, 2), true
	case "Last7Days":
		return day.AddDate(0, 0, -7), soon, true
	case "Next7Days":
		return now, day.AddDate(0, 0, 8), true
	case "LastWeek":
		return week.AddDate(0, 0, -7), week, true
	case "ThisWeek":
		return week, week.AddDate(0, 0, 7), true
	case "NextWeek":
		return week.AddDate(0, 0, 7), week.AddDate(0, 0, 14), true
	case "LastMonth":
		return month.AddDate(0, -1, 0), month, true
	case "ThisMonth":
		return month, month.AddDate(0, 1, 0), true
	case "NextMonth":
		return month.AddDate(0, 1, 0), month.AddDate(0, 2, 0), true
	case "LastYear":
		return year.AddDate(-1, 0, 0), year, true
	case "ThisYear":
		return year, year.AddDate(1, 0, 0), true
	case "NextYear":
		return year.AddDate(1, 0, 0), year.AddDate(2, 0, 0), true
	case "LastXHours":
		return hour.Add(-time.Duration(min(x, 1e6)) * time.Hour), soon, true
	case "NextXHours":
		return now, hour.Add(time.Duration(min(x, 1e6)+1) * time.Hour), true
	case "LastXDays":
		return day.AddDate(0, 0, -x), soon, true
	case "NextXDays":
		return now, tomorrow.AddDate(0, 0, x), true
	case "LastXWeeks":
		return day.AddDate(0, 0, -7*x), soon, true
	case "NextXWeeks":
		return now, tomorrow.AddDate(0, 0, 7*x), true
	case "LastXMonths":
		return day.AddDate(0, -x, 0), soon, true
	case "NextXMonths":
		return now, tomorrow.AddDate(0, x, 0), true
	case "LastXYears":
		return day.AddDate(-x, 0, 0), soon, true
	case "NextXYears":
		return now, tomorrow.AddDate(x, 0, 0), true
	case "OlderThanXMinutes":
		return past, now.Add(-time.Duration(min(x, 1e7)) * time.Minute), true
	case "OlderThanXHours":
		return past, now.Add(-time.Duration(min(x, 1e6)) * time.Hour), true
	case "OlderThanXDays":
		return past, now.AddDate(0, 0, -x), true
	case "OlderThanXWeeks":
		return past, now.AddDate(0, 0, -7*x), true
	case "OlderThanXMonths":
		return past, now.AddDate(0, -x, 0), true
	case "OlderThanXYears":
		return past, now.AddDate(-x, 0, 0), true
	}
	return past, past, false
}
