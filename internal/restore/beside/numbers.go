package beside

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// numbers finds the columns that count and whose next number is not above what
// comes back: a value that is written does not move them.
func (l *looker) numbers(ctx context.Context) error {
	src, ok := l.Source.(source.Numberer)
	if !ok {
		return nil
	}
	all, err := src.Autonumbers(ctx, l.names(func(t *touched) bool { return len(t.columns) > 0 }))
	if err != nil {
		return l.refused("numbers that the platform counts", err)
	}
	for _, a := range all {
		t := l.tables[a.Table]
		if t == nil || len(t.columns[a.Column]) == 0 {
			continue
		}
		read := reader(a.Format)
		if read == nil {
			continue
		}
		highest := int64(-1)
		err := l.rows(ctx, a.Table, t.columns[a.Column], func(st *allod.Table, row *allod.Row) {
			highest = max(highest, read(row.Cell(st.ColumnIndex(a.Column)).Text()))
		})
		switch {
		case err != nil:
			return err
		case highest < 0:
		case a.Next < 0:
			l.warn("%s.%s: %s does not say which number comes next; rows up to %d come back", a.Table, a.Column, l.live.Name(), highest)
		case a.Next <= highest:
			after := l.p.Beside()
			after.Seeds = append(after.Seeds, plan.Seed{Table: a.Table, Column: a.Column, Next: a.Next, Highest: highest, Set: l.FixSeeds})
		}
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{(SEQNUM|RANDSTRING|DATETIMEUTC)(?::([^{}]*))?\}`)

// reader returns what reads the counted number out of a value of the format, -1
// for a value that is not of it; nil for a format without a number.
func reader(format string) func(string) int64 {
	var b strings.Builder
	b.WriteString("^")
	at, counted := 0, false
	for _, m := range placeholder.FindAllStringSubmatchIndex(format, -1) {
		b.WriteString(regexp.QuoteMeta(format[at:m[0]]))
		at = m[1]
		width := 0
		if m[4] >= 0 {
			width, _ = strconv.Atoi(format[m[4]:m[5]]) // a format of dates is none
		}
		switch name := format[m[2]:m[3]]; {
		case name == "SEQNUM" && !counted && width >= 0 && width <= maxDigits:
			counted = true
			fmt.Fprintf(&b, `(\d{%d,%d})`, max(width, 1), maxDigits)
		case name == "RANDSTRING" && width > 0 && width <= maxDigits:
			fmt.Fprintf(&b, `[A-Za-z0-9]{%d}`, width)
		default:
			b.WriteString(`.+?`)
		}
	}
	if !counted {
		return nil
	}
	b.WriteString(regexp.QuoteMeta(format[at:]) + "$")
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil
	}
	return func(text string) int64 {
		m := re.FindStringSubmatch(text)
		if m == nil {
			return -1
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
}

// maxDigits fits into an int64.
const maxDigits = 18

// setNumbers has columns go on behind the rows that came back, unless they do so
// by now.
func (s Side) setNumbers(ctx context.Context, o source.WriteOptions, seeds []plan.Seed, rep *apply.Report) error {
	src, ok := s.Source.(source.Numberer)
	for _, seed := range seeds {
		if !seed.Set {
			continue
		}
		if !ok {
			return allod.Errorf(allod.Invalid, "set the numbers of %s: the source has none", seed.Table)
		}
		next, err := src.NextNumber(ctx, seed.Table, seed.Column)
		if err == nil && next > seed.Highest {
			continue
		}
		if err == nil {
			err = src.SetNumber(ctx, o, seed.Table, seed.Column, seed.Highest+1)
		}
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil {
			rep.Fail(allod.RecordRef{Table: seed.Table}, "number", fmt.Errorf("have %s go on from %d: %w", seed.Column, seed.Highest+1, err))
			continue
		}
		if rep.Numbers == nil {
			rep.Numbers = map[string]int64{}
		}
		rep.Numbers[seed.Table+"."+seed.Column] = seed.Highest + 1
		rep.Notes = append(rep.Notes, fmt.Sprintf("%s.%s: goes on from %d, was to go on from %d", seed.Table, seed.Column, seed.Highest+1, next))
	}
	return nil
}
