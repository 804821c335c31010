package fetch

import (
	"strconv"
	"strings"
	"time"

	"allod"
)

// The kinds of fiscal periods, as organization.fiscalperiodtype has them: they are
// the type codes of the tables of fiscal calendars.
const (
	annually     = 2000
	semiannually = 2001
	quarterly    = 2002
	monthly      = 2003
	fourWeekly   = 2004
)

// calendar is the fiscal year of an organization: when it begins and into how many
// periods it is cut. Days are those of UTC.
type calendar struct {
	start time.Time // month and day
	kind  int64
}

// calendar is that of the organization; without settings years are those of the
// calendar, with quarters.
func (r *run) calendar() calendar {
	c, tx := calendar{kind: quarterly, start: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}, r.env.Tx
	for _, o := range tx.Page("organization", nil, 1) {
		if v := tx.Value("organization", o, "fiscalcalendarstart"); isTime(v) {
			c.start = timeOf(v)
		}
		if v := tx.Value("organization", o, "fiscalperiodtype"); !empty(v) && v.Int() >= annually && v.Int() <= fourWeekly {
			c.kind = v.Int()
		}
	}
	return c
}

func (c calendar) begin(year int) time.Time {
	return time.Date(year, c.start.Month(), c.start.Day(), 0, 0, 0, 0, time.UTC)
}

func (c calendar) periods() int {
	switch c.kind {
	case annually:
		return 1
	case semiannually:
		return 2
	case monthly:
		return 12
	case fourWeekly:
		return 13
	}
	return 4
}

// from is when a period of a year begins; one behind the last is the first of the
// next year, one before the first the last of the year before.
func (c calendar) from(year, period int) time.Time {
	n := c.periods()
	at := year*n + period - 1
	year, period = at/n, at%n
	if c.kind == fourWeekly {
		return c.begin(year).AddDate(0, 0, 28*period)
	}
	return c.begin(year).AddDate(0, period*12/n, 0)
}

// of is the fiscal year and period in which a moment lies.
func (c calendar) of(t time.Time) (year, period int) {
	year = t.UTC().Year()
	if t.Before(c.begin(year)) {
		year--
	}
	for period = c.periods(); period > 1 && t.Before(c.from(year, period)); period-- {
	}
	return year, period
}

// fiscal makes the test of an operator on fiscal years and periods; ok is false
// where it is none of these. The last so many periods end where this one begins,
// the next ones begin where it ends.
func (r *run) fiscal(c Condition) (hold test, ok bool, err error) {
	if !strings.Contains(c.Operator, "fiscal-") {
		return nil, false, nil
	}
	cal := r.calendar()
	year, period := cal.of(r.env.Now)
	years := func(from, to int) (test, bool, error) {
		return span(cal.begin(year+from), cal.begin(year+to)), true, nil
	}
	periods := func(from, to int) (test, bool, error) {
		return span(cal.from(year, period+from), cal.from(year, period+to)), true, nil
	}
	switch c.Operator {
	case "this-fiscal-year":
		return years(0, 1)
	case "last-fiscal-year":
		return years(-1, 0)
	case "next-fiscal-year":
		return years(1, 2)
	case "this-fiscal-period":
		return periods(0, 1)
	case "last-fiscal-period":
		return periods(-1, 0)
	case "next-fiscal-period":
		return periods(1, 2)
	case "last-x-fiscal-years", "next-x-fiscal-years", "last-x-fiscal-periods", "next-x-fiscal-periods":
		n, err := amount(c)
		if err != nil {
			return nil, true, err
		}
		from, to := -n, 0
		if strings.HasPrefix(c.Operator, "next") {
			from, to = 1, n+1
		}
		if strings.HasSuffix(c.Operator, "years") {
			return years(from, to)
		}
		return periods(from, to)
	}
	hold, err = cal.named(c)
	return hold, true, err
}

// named makes the test of an operator that names a year, a period or both.
func (c calendar) named(cond Condition) (test, error) {
	want := 1
	if strings.HasSuffix(cond.Operator, "-and-year") {
		want = 2
	}
	numbers := make([]int, len(cond.Values))
	for i, text := range cond.Values {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 9998 {
			return nil, invalid("The value of the operator '%s' is invalid.", cond.Operator)
		}
		numbers[i] = n
	}
	if len(numbers) != want {
		return nil, invalid("The operator '%s' of the attribute '%s' expects %d values.", cond.Operator, cond.Attribute, want)
	}
	first, last := numbers[0], numbers[len(numbers)-1]
	if cond.Operator != "in-fiscal-year" && first > c.periods() {
		return nil, invalid("The value of the operator '%s' is invalid.", cond.Operator)
	}
	switch cond.Operator {
	case "in-fiscal-year":
		return span(c.begin(first), c.begin(first+1)), nil
	case "in-fiscal-period":
		return func(v allod.Value) bool {
			if !isTime(v) {
				return false
			}
			_, p := c.of(timeOf(v))
			return p == first
		}, nil
	case "in-fiscal-period-and-year":
		return span(c.from(last, first), c.from(last, first+1)), nil
	case "in-or-after-fiscal-period-and-year":
		return span(c.from(last, first), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)), nil
	case "in-or-before-fiscal-period-and-year":
		return span(time.Time{}, c.from(last, first+1)), nil
	}
	return nil, invalid("The operator '%s' is not valid.", cond.Operator)
}

// group is the name of the fiscal year or period of a moment, by which aggregates
// group ("Aggregate data using FetchXml").
func (c calendar) group(t time.Time, by string) string {
	year, period := c.of(t)
	fy := "FY" + strconv.Itoa(year)
	if by == "fiscal-year" {
		return fy
	}
	n := strconv.Itoa(period)
	switch c.kind {
	case annually:
		return fy
	case semiannually:
		return "Semester " + n + " " + fy
	case monthly:
		return "Month " + n + " " + fy
	case fourWeekly:
		return "Period " + n + " " + fy
	}
	return "Quarter " + n + " " + fy
}
