package fetch

import (
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/emulator/dataverse/zone"
)

// Bounds of hierarchies. That of rows is the service's own (learn.microsoft.com,
// query-hierarchical-data); that of managers is what an organisation has that
// sets none.
const (
	maxLevels = 100
	managers  = 3
)

// Parent is the lookup that makes the hierarchy of a table: that to the table
// itself whose name begins with "parent"; "" = it has none.
func Parent(t *entity.Table) string {
	for _, col := range t.Columns {
		if strings.HasPrefix(col.LogicalName, "parent") && len(col.Targets) == 1 && col.Targets[0] == t.LogicalName {
			return col.LogicalName
		}
	}
	return ""
}

// caller makes the test of an operator about the user who asks; ok is false
// where it is none of these.
func (r *run) caller(operator string) (hold test, ok bool) {
	user := []allod.GUID{r.env.User}
	switch operator {
	case "eq-userid":
		return among(true, user), true
	case "ne-userid":
		return among(false, user), true
	case "eq-businessid":
		return among(true, []allod.GUID{r.env.Unit}), true
	case "ne-businessid":
		return among(false, []allod.GUID{r.env.Unit}), true
	case "eq-userteams":
		return among(true, r.teams(user)), true
	case "eq-useroruserteams":
		return among(true, append(r.teams(user), user...)), true
	case "eq-useroruserhierarchy":
		return among(true, r.reports()), true
	case "eq-useroruserhierarchyandteams":
		all := r.reports()
		return among(true, append(r.teams(all), all...)), true
	case "eq-userlanguage":
		code := r.language()
		return func(v allod.Value) bool { return !empty(v) && v.Int() == code }, true
	}
	return nil, false
}

// among holds, or not, for one of the ids. Null is none.
func among(want bool, ids []allod.GUID) test {
	return func(v allod.Value) bool { return (!empty(v) && slices.Contains(ids, v.GUID())) == want }
}

// teams are those of which one of the users is a member.
func (r *run) teams(users []allod.GUID) []allod.GUID {
	tx := r.env.Tx
	var out []allod.GUID
	for _, u := range users {
		for _, p := range tx.Find("teammembership", "systemuserid", allod.IDValue(u)) {
			out = append(out, tx.Value("teammembership", tx.Get("teammembership", p), "teamid").GUID())
		}
	}
	return out
}

// reports are the user and those who report to it, as deep as the organisation
// says. Where the organisation does not use hierarchy security, it is the user.
func (r *run) reports() []allod.GUID {
	tx, depth := r.env.Tx, managers
	for _, o := range tx.Page("organization", nil, 1) {
		on := tx.Value("organization", o, "ishierarchicalsecuritymodelenabled")
		if tx.Column("organization", "ishierarchicalsecuritymodelenabled") >= 0 && !on.Bool() {
			return []allod.GUID{r.env.User}
		}
		if n := tx.Value("organization", o, "maxdepthforhierarchicalsecuritymodel"); !empty(n) {
			depth = int(min(n.Int(), maxLevels))
		}
	}
	return r.below("systemuser", "parentsystemuserid", r.env.User, depth)
}

// below are the row and those under it, to a depth.
func (r *run) below(table, parent string, id allod.GUID, depth int) []allod.GUID {
	out := []allod.GUID{id}
	for from := 0; depth > 0 && from < len(out); depth-- {
		level := out[from:]
		from = len(out)
		for _, up := range level {
			for _, k := range r.env.Tx.Find(table, parent, allod.IDValue(up)) {
				if !slices.Contains(out, k) {
					out = append(out, k)
				}
			}
		}
	}
	return out
}

// language is the locale id of the user: its setting, else the organisation's.
func (r *run) language() int64 {
	tx := r.env.Tx
	if v := tx.Value("usersettings", tx.Get("usersettings", r.env.User), "uilanguageid"); !empty(v) && v.Int() > 0 {
		return v.Int()
	}
	for _, o := range tx.Page("organization", nil, 1) {
		if v := tx.Value("organization", o, "languagecode"); !empty(v) {
			return v.Int()
		}
	}
	return 1033
}

// clock is what the clocks of the user show at a moment, as if it were UTC: its
// time zone is that of its settings, else UTC.
func (r *run) clock(t time.Time) time.Time {
	if r.zone == nil {
		tx := r.env.Tx
		r.zone = time.UTC
		if v := tx.Value("usersettings", tx.Get("usersettings", r.env.User), "timezonecode"); !empty(v) {
			r.zone = zone.Location(v.Int())
		}
	}
	t = t.In(r.zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// hierarchy makes the test of an operator on the rows above and under one: of the
// table itself where the column is its key, else of the one the lookup leads to.
func (r *run) hierarchy(c Condition, t *entity.Table, col *entity.Column) (test, error) {
	text, err := c.one()
	if err != nil {
		return nil, err
	}
	id, err := allod.ParseGUID(strings.Trim(text, "{}"))
	if err != nil {
		return nil, invalid("The value of the condition on the attribute '%s' is no id.", c.Attribute)
	}
	tables := []string{t.LogicalName}
	if col.LogicalName != t.PrimaryID && col.LogicalName != t.ODataKey {
		tables = col.Targets
	}
	table, parent := "", ""
	for _, name := range tables {
		target := r.env.Schema.Model.Table(name)
		if target == nil {
			continue
		}
		if p := Parent(target); p != "" && (table == "" || r.env.Tx.Get(name, id) != nil) {
			table, parent = name, p
		}
	}
	if table == "" {
		return nil, wire.BadQuery("The attribute '%s' of the table %s has no hierarchy.", c.Attribute, t.LogicalName)
	}
	var ids []allod.GUID
	switch c.Operator {
	case "above", "eq-or-above":
		ids = r.above(table, parent, id)
	default:
		ids = r.below(table, parent, id, maxLevels)
	}
	if !strings.HasPrefix(c.Operator, "eq-or-") {
		ids = ids[1:]
	}
	set := map[allod.GUID]bool{}
	for _, k := range ids {
		set[k] = true
	}
	want := c.Operator != "not-under"
	return func(v allod.Value) bool { return (!empty(v) && set[v.GUID()]) == want }, nil
}

// above are the row and those above it.
func (r *run) above(table, parent string, id allod.GUID) []allod.GUID {
	tx, out := r.env.Tx, []allod.GUID{id}
	for range maxLevels {
		id = tx.Value(table, tx.Get(table, id), parent).GUID()
		if id.IsZero() || slices.Contains(out, id) {
			break
		}
		out = append(out, id)
	}
	return out
}
