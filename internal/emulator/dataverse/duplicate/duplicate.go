// Package duplicate finds rows that a published duplicate detection rule calls
// duplicates of another (Manage duplicate detection during create and update;
// DuplicateRule and DuplicateRuleCondition table references).
package duplicate

import (
	"strings"
	"unicode/utf8"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

const (
	rules      = "duplicaterule"
	conditions = "duplicaterulecondition"
	published  = 2 // statuscode of a rule
)

// The operators of a condition (operatorcode).
const (
	exact      = 0
	firstChars = 1
	lastChars  = 2
	sameDate   = 3
	sameMoment = 4
)

type condition struct {
	base, match string
	operator    int64
	param       int64 // characters
	ignoreBlank bool
}

// Found reports whether a published rule finds a duplicate of the row, which is
// already written.
func Found(tx *store.Tx, m *entity.Model, t *entity.Table, id allod.GUID) bool {
	row := tx.Get(t.LogicalName, id)
	found := false
	search(tx, m, t, id, func(column string) allod.Value { return tx.Value(t.LogicalName, row, column) }, "", func(*store.Row) bool {
		found = true
		return false
	})
	return found
}

// Of returns the rows of the table match, each once, that published rules call
// duplicates of a row with such values; id is its key, zero for one that is
// not written.
func Of(tx *store.Tx, m *entity.Model, t *entity.Table, id allod.GUID, value func(column string) allod.Value, match string) []*store.Row {
	var out []*store.Row
	seen := map[allod.GUID]bool{}
	search(tx, m, t, id, value, match, func(r *store.Row) bool {
		if !seen[r.Key] {
			seen[r.Key] = true
			out = append(out, r)
		}
		return true
	})
	return out
}

// search visits duplicates by all published rules, those in the table match
// only unless it is "", until visit returns false.
func search(tx *store.Tx, m *entity.Model, t *entity.Table, id allod.GUID, value func(string) allod.Value, match string, visit func(*store.Row) bool) {
	for _, rid := range tx.Find(rules, "baseentityname", allod.StringValue(t.LogicalName)) {
		r := tx.Get(rules, rid)
		other := m.Table(tx.Value(rules, r, "matchingentityname").Text())
		if tx.Value(rules, r, "statuscode").Int() != published || other == nil || !tx.Has(other.LogicalName) || match != "" && match != other.LogicalName {
			continue
		}
		if list := conditionsOf(tx, rid); len(list) > 0 && !(rule{
			conditions: list, match: other, strict: tx.Value(rules, r, "iscasesensitive").Bool(), active: tx.Value(rules, r, "excludeinactiverecords").Bool(),
		}).visit(tx, t, id, value, visit) {
			return
		}
	}
}

func conditionsOf(tx *store.Tx, rule allod.GUID) []condition {
	var out []condition
	for _, id := range tx.Find(conditions, "regardingobjectid", allod.IDValue(rule)) {
		r := tx.Get(conditions, id)
		out = append(out, condition{
			base: tx.Value(conditions, r, "baseattributename").Text(), match: tx.Value(conditions, r, "matchingattributename").Text(),
			operator: tx.Value(conditions, r, "operatorcode").Int(), param: tx.Value(conditions, r, "operatorparam").Int(),
			ignoreBlank: tx.Value(conditions, r, "ignoreblankvalues").Bool(),
		})
	}
	return out
}

type rule struct {
	conditions []condition
	match      *entity.Table
	strict     bool // case matters
	active     bool // inactive rows do not count
}

// visit visits the duplicates that the rule finds; false = visit said so.
func (r rule) visit(tx *store.Tx, t *entity.Table, id allod.GUID, value func(string) allod.Value, visit func(*store.Row) bool) bool {
	other := r.match.LogicalName
	matches := func(o *store.Row) bool {
		if o.Key == id && other == t.LogicalName || r.active && tx.Value(other, o, "statecode").Int() != 0 {
			return false
		}
		for _, c := range r.conditions {
			if !r.same(c, value(c.base), tx.Value(other, o, c.match)) {
				return false
			}
		}
		return true
	}
	for _, c := range r.conditions { // an exact one finds the candidates
		v := value(c.base)
		if c.operator != exact || v.IsNull() || v.IsAbsent() {
			continue
		}
		for _, key := range tx.Find(other, c.match, v) {
			if o := tx.Get(other, key); matches(o) && !visit(o) {
				return false
			}
		}
		return true
	}
	var after *allod.GUID
	for {
		page := tx.Page(other, after, 1000)
		if len(page) == 0 {
			return true
		}
		for _, o := range page {
			if matches(o) && !visit(o) {
				return false
			}
		}
		after = &page[len(page)-1].Key
	}
}

// same compares two values as the condition says. Two blanks match, unless the
// condition ignores them.
func (r rule) same(c condition, a, b allod.Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() && b.IsNull() && !c.ignoreBlank
	}
	if a.Type() == allod.Lookup || a.Type() == allod.ID {
		return a.GUID() == b.GUID()
	}
	x, y := a.String(), b.String()
	switch c.operator {
	case firstChars:
		x, y = cut(x, int(c.param), false), cut(y, int(c.param), false)
	case lastChars:
		x, y = cut(x, int(c.param), true), cut(y, int(c.param), true)
	case sameDate:
		x, y = cut(x, len("2006-01-02"), false), cut(y, len("2006-01-02"), false)
	case exact, sameMoment:
	default:
		return false // an operator nobody knows finds nothing
	}
	if r.strict {
		return x == y
	}
	return strings.EqualFold(x, y)
}

// cut returns the first or last n characters; a shorter text as it is.
func cut(s string, n int, last bool) string {
	count := utf8.RuneCountInString(s)
	if n <= 0 || n >= count {
		return s
	}
	runes := []rune(s)
	if last {
		return string(runes[count-n:])
	}
	return string(runes[:n])
}
