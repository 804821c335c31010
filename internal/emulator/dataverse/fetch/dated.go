package fetch

import (
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// dated makes the test of an operator on dates. Days, weeks, months and years
// are those of UTC; weeks begin on Sunday.
func (r *run) dated(c Condition, col *entity.Column) (test, error) {
	switch {
	case c.Operator == "on" || c.Operator == "not-on" || c.Operator == "on-or-before" || c.Operator == "on-or-after":
		return onDay(c, col)
	case strings.HasPrefix(c.Operator, "olderthan-x-"):
		n, err := amount(c)
		if err != nil {
			return nil, err
		}
		at, ok := shift(r.env.Now, strings.TrimPrefix(c.Operator, "olderthan-x-"), -n)
		if !ok {
			break
		}
		return span(time.Time{}, at), nil
	case strings.HasPrefix(c.Operator, "last-x-") || strings.HasPrefix(c.Operator, "next-x-"):
		return r.around(c)
	}
	if from, to, ok := period(c.Operator, r.env.Now); ok {
		return span(from, to), nil
	}
	return nil, invalid("The operator '%s' is not valid.", c.Operator)
}

// span holds from one moment to before another.
func span(from, to time.Time) test {
	return func(v allod.Value) bool {
		t := timeOf(v)
		return isTime(v) && !t.Before(from) && t.Before(to)
	}
}

func onDay(c Condition, col *entity.Column) (test, error) {
	text, err := c.one()
	if err != nil {
		return nil, err
	}
	w, err := operand(c, col, text)
	if err != nil {
		return nil, err
	}
	if !isTime(w) {
		return nil, invalid("The operator '%s' is not valid for the attribute '%s'.", c.Operator, c.Attribute)
	}
	day := dayOf(timeOf(w))
	return func(v allod.Value) bool {
		if !isTime(v) {
			return c.Operator == "not-on"
		}
		n := dayOf(timeOf(v)).Compare(day)
		switch c.Operator {
		case "on":
			return n == 0
		case "not-on":
			return n != 0
		case "on-or-before":
			return n <= 0
		}
		return n >= 0
	}, nil
}

func amount(c Condition) (int, error) {
	text, err := c.one()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100000 {
		return 0, invalid("The value of the operator '%s' is invalid.", c.Operator)
	}
	return n, nil
}

// around is the last or next so many of a unit: from the beginning of the day
// (or hour) so long ago until now, or from now to the end of that day.
func (r *run) around(c Condition) (test, error) {
	n, err := amount(c)
	if err != nil {
		return nil, err
	}
	unit, now := c.Operator[len("last-x-"):], r.env.Now
	ahead := strings.HasPrefix(c.Operator, "next")
	if !ahead {
		n = -n
	}
	at, ok := shift(now, unit, n)
	if !ok || unit == "minutes" {
		return nil, invalid("The operator '%s' is not valid.", c.Operator)
	}
	begin, length := dayOf(at), 24*time.Hour
	if unit == "hours" {
		begin, length = at.Truncate(time.Hour), time.Hour
	}
	if ahead {
		return span(now, begin.Add(length)), nil
	}
	return span(begin, now.Add(time.Nanosecond)), nil
}

func shift(t time.Time, unit string, n int) (time.Time, bool) {
	switch unit {
	case "minutes":
		return t.Add(time.Duration(n) * time.Minute), true
	case "hours":
		return t.Add(time.Duration(n) * time.Hour), true
	case "days":
		return t.AddDate(0, 0, n), true
	case "weeks":
		return t.AddDate(0, 0, 7*n), true
	case "months":
		return t.AddDate(0, n, 0), true
	case "years":
		return t.AddDate(n, 0, 0), true
	}
	return t, false
}

func dayOf(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// period is what an operator without a value means: from, and before.
func period(operator string, now time.Time) (from, to time.Time, ok bool) {
	day := dayOf(now)
	week := day.AddDate(0, 0, -int(day.Weekday()))
	month := day.AddDate(0, 0, 1-day.Day())
	year := time.Date(day.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	switch operator {
	case "today":
		return day, day.AddDate(0, 0, 1), true
	case "yesterday":
		return day.AddDate(0, 0, -1), day, true
	case "tomorrow":
		return day.AddDate(0, 0, 1), day.AddDate(0, 0, 2), true
	case "last-seven-days":
		return day.AddDate(0, 0, -7), now.Add(time.Nanosecond), true
	case "next-seven-days":
		return now, day.AddDate(0, 0, 8), true
	case "this-week":
		return week, week.AddDate(0, 0, 7), true
	case "last-week":
		return week.AddDate(0, 0, -7), week, true
	case "next-week":
		return week.AddDate(0, 0, 7), week.AddDate(0, 0, 14), true
	case "this-month":
		return month, month.AddDate(0, 1, 0), true
	case "last-month":
		return month.AddDate(0, -1, 0), month, true
	case "next-month":
		return month.AddDate(0, 1, 0), month.AddDate(0, 2, 0), true
	case "this-year":
		return year, year.AddDate(1, 0, 0), true
	case "last-year":
		return year.AddDate(-1, 0, 0), year, true
	case "next-year":
		return year.AddDate(1, 0, 0), year.AddDate(2, 0, 0), true
	}
	return from, to, false
}
