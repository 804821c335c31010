package beside

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"allod"
	"allod/internal/restore/plan"
)

// Duplicate detection rules (DuplicateRule and DuplicateRuleCondition table
// references; Manage duplicate detection during create and update).
const (
	ruleTable      = "duplicaterule"
	conditionTable = "duplicaterulecondition"
	published      = 2 // duplicaterule.statuscode
)

// The operators of a condition (operatorcode).
const (
	exactMatch = 0
	firstChars = 1
	lastChars  = 2
	sameDate   = 3
	sameMoment = 4
)

type duplicateRule struct {
	name, base, match string
	strict            bool // case matters
	active            bool // inactive rows do not count
	conditions        []condition
}

type condition struct {
	base, match     string
	operator, chars int64
	ignoreBlank     bool
}

// duplicates says how many of the rows that are made a published rule would call
// duplicates of rows that are there. Nobody asks the rules: writes of this kind go
// past them (MSCRM.SuppressDuplicateDetection, protocols/dataverse.md §6.9).
func (l *looker) duplicates(ctx context.Context) error {
	made := l.names(func(t *touched) bool { return len(t.made) > 0 })
	rt, ct := l.live.Schema().Table(ruleTable), l.live.Schema().Table(conditionTable)
	if len(made) == 0 || rt == nil || ct == nil {
		return nil
	}
	const what = "duplicates of rows that are there"
	if rt.Unreadable != "" || ct.Unreadable != "" {
		return l.refused(what, allod.Errorf(allod.Denied, "%s", rt.Unreadable+ct.Unreadable))
	}
	rules, err := l.rules(ctx, rt, ct, made)
	if err != nil {
		return l.refused(what, err)
	}
	for _, r := range rules {
		n, err := l.like(ctx, r)
		if err != nil {
			return l.refused(what, err)
		}
		if n > 0 {
			l.warn("%s: %s made again that the rule “%s” calls duplicate of what %s has; it is not asked", r.base, plan.Count(n, "row"), r.name, r.match)
		}
	}
	return nil
}

// rules reads those that are published for the tables, sorted by name.
func (l *looker) rules(ctx context.Context, rt, ct *allod.Table, tables []string) ([]*duplicateRule, error) {
	by := map[allod.GUID]*duplicateRule{}
	var out []*duplicateRule
	for row, err := range l.live.Rows(ctx, ruleTable) {
		if err != nil {
			return nil, err
		}
		cell := func(name string) allod.Value { return row.Cell(rt.ColumnIndex(name)) }
		if cell("statuscode").Int() != published || !slices.Contains(tables, cell("baseentityname").Text()) {
			continue
		}
		r := &duplicateRule{
			name: cell("name").Text(), base: cell("baseentityname").Text(), match: cell("matchingentityname").Text(),
			strict: cell("iscasesensitive").Bool(), active: cell("excludeinactiverecords").Bool(),
		}
		by[row.Key] = r
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, nil
	}
	for row, err := range l.live.Rows(ctx, conditionTable) {
		if err != nil {
			return nil, err
		}
		cell := func(name string) allod.Value { return row.Cell(ct.ColumnIndex(name)) }
		if r := by[cell("regardingobjectid").GUID()]; r != nil {
			r.conditions = append(r.conditions, condition{
				base: cell("baseattributename").Text(), match: cell("matchingattributename").Text(),
				operator: cell("operatorcode").Int(), chars: cell("operatorparam").Int(), ignoreBlank: cell("ignoreblankvalues").Bool(),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b *duplicateRule) int { return strings.Compare(a.base+"\x00"+a.name, b.base+"\x00"+b.name) })
	return slices.DeleteFunc(out, func(r *duplicateRule) bool { return len(r.conditions) == 0 }), nil
}

// like counts the rows to be made for which a live one is the same in all
// conditions of the rule.
func (l *looker) like(ctx context.Context, r *duplicateRule) (int64, error) {
	mt := l.live.Schema().Table(r.match)
	if mt == nil || mt.Unreadable != "" {
		return 0, nil
	}
	want := map[string]int64{}
	to := l.p.Counterparts()
	err := l.rows(ctx, r.base, l.tables[r.base].made, func(t *allod.Table, row *allod.Row) {
		key, ok := r.key(func(c condition) allod.Value { return to.Translate(row.Cell(t.ColumnIndex(c.base))) })
		if ok {
			want[key]++
		}
	})
	if err != nil || len(want) == 0 {
		return 0, err
	}
	n, state := int64(0), mt.ColumnIndex("statecode")
	for row, err := range l.live.Rows(ctx, r.match) {
		if err != nil {
			return 0, err
		}
		if r.active && row.Cell(state).Int() != 0 {
			continue
		}
		if key, ok := r.key(func(c condition) allod.Value { return row.Cell(mt.ColumnIndex(c.match)) }); ok && want[key] > 0 {
			n += want[key]
			delete(want, key)
		}
	}
	return n, nil
}

// key is equal for rows that the rule calls duplicates; ok is false for one that
// it calls none of anything.
func (r *duplicateRule) key(value func(c condition) allod.Value) (key string, ok bool) {
	var b strings.Builder
	for _, c := range r.conditions {
		text := plain(value(c))
		if text == "" && c.ignoreBlank {
			return "", false
		}
		runes := []rune(text)
		n := min(max(int(c.chars), 0), len(runes))
		switch c.operator {
		case exactMatch, sameMoment:
		case firstChars:
			text = string(runes[:n])
		case lastChars:
			text = string(runes[len(runes)-n:])
		case sameDate:
			text, _, _ = strings.Cut(text, "T")
		default:
			return "", false // not known what it compares
		}
		if !r.strict {
			text = strings.ToLower(text)
		}
		b.WriteString(strconv.Quote(text))
	}
	return b.String(), true
}

func plain(v allod.Value) string {
	switch v.Type() {
	case allod.Lookup, allod.ID:
		return v.GUID().String()
	case allod.Integer, allod.Boolean:
		return strconv.FormatInt(v.Int(), 10)
	default:
		return strings.TrimSpace(v.Text())
	}
}
