package rows

import (
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// operators are the query functions that FetchXML has as operators of a condition,
// by the operator; those about the row's own column take the primary key or a lookup.
func operators() map[string]string {
	m := map[string]string{
		"Above": "above", "AboveOrEqual": "eq-or-above", "Under": "under", "UnderOrEqual": "eq-or-under", "NotUnder": "not-under",
		"EqualUserId": "eq-userid", "NotEqualUserId": "ne-userid", "EqualBusinessId": "eq-businessid", "NotEqualBusinessId": "ne-businessid",
		"EqualUserTeams": "eq-userteams", "EqualUserOrUserTeams": "eq-useroruserteams", "EqualUserLanguage": "eq-userlanguage",
		"EqualUserOrUserHierarchy": "eq-useroruserhierarchy", "EqualUserOrUserHierarchyAndTeams": "eq-useroruserhierarchyandteams",
		"NotOn":        "not-on",
		"InFiscalYear": "in-fiscal-year", "InFiscalPeriod": "in-fiscal-period", "InFiscalPeriodAndYear": "in-fiscal-period-and-year",
		"InOrAfterFiscalPeriodAndYear": "in-or-after-fiscal-period-and-year", "InOrBeforeFiscalPeriodAndYear": "in-or-before-fiscal-period-and-year",
	}
	for _, which := range []string{"This", "Last", "Next"} {
		for _, what := range []string{"Year", "Period"} {
			m[which+"Fiscal"+what] = strings.ToLower(which + "-fiscal-" + what)
			if which != "This" {
				m[which+"XFiscal"+what+"s"] = strings.ToLower(which + "-x-fiscal-" + what + "s")
			}
		}
	}
	return m
}

// queryFunction compiles a query function that needs to know the caller, other
// rows or the settings of the organization (protocols/dataverse.md §4.3).
// Functions over values and times are the query language's own.
func (c Reader) queryFunction(tx *store.Tx, t *entity.Table, name string, args []query.Arg, aliases map[string]query.Expr) (func(Entity) (allod.Value, error), error) {
	operator, known := operators()[name]
	if !known {
		return nil, wire.BadQuery("An unknown function with name '%s%s' was found.", request.Namespace, name)
	}
	property := text(argument(args, aliases, "PropertyName"))
	cond := fetch.Condition{Attribute: property, Operator: operator}
	for _, col := range t.Columns {
		if col.Property() == property {
			cond.Attribute = col.LogicalName // these functions take both
		}
	}
	for _, at := range []string{"PropertyValue", "PropertyValue1", "PropertyValue2"} {
		if v := text(argument(args, aliases, at)); v != "" {
			cond.Values = append(cond.Values, v)
		}
	}
	col := t.Column(cond.Attribute)
	if col == nil {
		return nil, wire.NoProperty(property, t.LogicalName)
	}
	get, err := c.getter(tx, t, col.Property())
	if err != nil {
		return nil, err
	}
	hold, err := fetch.Compile(c.fetchEnv(tx, t), t, cond)
	if err != nil {
		return nil, err
	}
	return func(e Entity) (allod.Value, error) {
		if v, err := get(e); err != nil || v.IsNull() || v.IsAbsent() {
			return allod.NullValue(), err
		}
		return allod.BooleanValue(hold(fetch.Cell{Table: e.Table, Row: e.Row})), nil
	}, nil
}

// argument is an argument of a function, aliases resolved.
func argument(args []query.Arg, aliases map[string]query.Expr, name string) query.Expr {
	for _, a := range args {
		if a.Name != name {
			continue
		}
		if alias, ok := a.Value.(*query.Alias); ok {
			return aliases[alias.Name]
		}
		return a.Value
	}
	return nil
}

// text is the text of a literal.
func text(e query.Expr) string {
	if lit, ok := e.(*query.Literal); ok {
		return lit.Text
	}
	return ""
}
