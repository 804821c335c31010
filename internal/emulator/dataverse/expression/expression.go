// Package expression reads the QueryExpression that actions take in their bodies
// (QueryExpression ComplexType of the Web API reference;
// protocols/dataverse.md §6.12) and finds the rows it selects, by the same
// evaluation as FetchXML.
package expression

import (
	"encoding/json"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/retention"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// maxDepth bounds how deep filters and links nest.
const maxDepth = 16

type query struct {
	EntityName, DataSource string
	ColumnSet              columnSet
	Distinct               bool
	TopCount               int
	PageInfo               struct {
		Count, PageNumber      int
		PagingCookie           string
		ReturnTotalRecordCount bool
	}
	Criteria     filter
	LinkEntities []link
	Orders       []order
}

type columnSet struct {
	AllColumns           bool
	Columns              []string
	AttributeExpressions []struct {
		AttributeName, Alias, AggregateType, DateTimeGrouping string
		HasGroupBy                                            bool
	}
}

type order struct{ AttributeName, OrderType, Alias, EntityName string }

type filter struct {
	FilterOperator string
	Conditions     []struct {
		AttributeName, EntityName, Operator string
		Values                              []json.RawMessage
		CompareColumns                      bool
	}
	Filters                []filter
	AnyAllFilterLinkEntity *link
}

type link struct {
	LinkFromAttributeName, LinkToEntityName, LinkToAttributeName string
	JoinOperator, EntityAlias                                    string
	Columns                                                      columnSet
	LinkCriteria                                                 filter
	LinkEntities                                                 []link
	Orders                                                       []order
}

// Parse reads a QueryExpression. What it refuses is a *wire.Error.
func Parse(raw json.RawMessage) (*fetch.Query, error) {
	var q query
	if err := json.Unmarshal(raw, &q); err != nil || q.EntityName == "" {
		return nil, wire.BadPayload("A QueryExpression with an EntityName was expected.")
	}
	switch q.DataSource {
	case "", "retained":
	default:
		return nil, refuse("The DataSource '%s' is not valid.", q.DataSource)
	}
	root := &fetch.Entity{Name: q.EntityName}
	f, err := q.Criteria.parse(0)
	if err != nil {
		return nil, err
	}
	root.Filters = []fetch.Filter{f}
	if root.Links, err = joined(q.LinkEntities, 0, false); err != nil {
		return nil, err
	}
	if q.DataSource == "retained" && len(root.Links) > 0 {
		return nil, refuse("Joins and aggregation functions aren't allowed in a query of retained data.")
	}
	root.Orders = ordered(q.Orders)
	out := &fetch.Query{
		Root: root, Top: q.TopCount, Source: q.DataSource, Distinct: q.Distinct,
		Count: q.PageInfo.Count, Page: q.PageInfo.PageNumber, Cookie: q.PageInfo.PagingCookie, Total: q.PageInfo.ReturnTotalRecordCount,
	}
	out.Aggregate = q.ColumnSet.into(root)
	return out, nil
}

// into gives the element its columns, and reports whether they are aggregated.
func (s columnSet) into(e *fetch.Entity) (aggregate bool) {
	e.All = s.AllColumns
	for _, name := range s.Columns {
		e.Attributes = append(e.Attributes, fetch.Attribute{Name: name})
	}
	for _, x := range s.AttributeExpressions {
		a := fetch.Attribute{Name: x.AttributeName, Alias: x.Alias, GroupBy: x.HasGroupBy}
		if x.AggregateType != "" && x.AggregateType != none {
			a.Aggregate = strings.ToLower(x.AggregateType)
		}
		if x.DateTimeGrouping != "" && x.DateTimeGrouping != none {
			a.DateGrouping = kebab(x.DateTimeGrouping)
		}
		aggregate = aggregate || a.Aggregate != "" || a.GroupBy
		e.Attributes = append(e.Attributes, a)
	}
	return aggregate
}

// none is the AggregateType and DateTimeGrouping of a plain column.
const none = "None"

func ordered(list []order) (out []fetch.Order) {
	for _, o := range list {
		out = append(out, fetch.Order{Attribute: o.AttributeName, Alias: o.Alias, Entity: o.EntityName, Descending: o.OrderType == "Descending"})
	}
	return out
}

func refuse(format string, args ...any) error {
	return wire.Refuse(400, "0x80040203", format, args...)
}

func (f filter) parse(depth int) (out fetch.Filter, err error) {
	if depth > maxDepth {
		return out, refuse("The filters of the query are nested too deeply.")
	}
	switch f.FilterOperator {
	case "", "And":
	case "Or":
		out.Or = true
	default:
		return out, refuse("The FilterOperator '%s' is not valid.", f.FilterOperator)
	}
	for _, c := range f.Conditions {
		k := fetch.Condition{Attribute: c.AttributeName, Entity: c.EntityName, Operator: operator(c.Operator)}
		for _, v := range c.Values {
			text, err := value(v)
			if err != nil {
				return out, err
			}
			k.Values = append(k.Values, text)
		}
		if c.CompareColumns && len(k.Values) == 1 {
			k.ValueOf, k.Values = k.Values[0], nil
		}
		out.Conditions = append(out.Conditions, k)
	}
	for _, sub := range f.Filters {
		g, err := sub.parse(depth + 1)
		if err != nil {
			return out, err
		}
		out.Filters = append(out.Filters, g)
	}
	if f.AnyAllFilterLinkEntity != nil {
		if out.Links, err = joined([]link{*f.AnyAllFilterLinkEntity}, depth+1, true); err != nil {
			return out, err
		}
	}
	return out, nil
}

// joined reads links: those that join, or one that stands in a filter.
func joined(links []link, depth int, filters bool) ([]*fetch.Entity, error) {
	if depth > maxDepth {
		return nil, refuse("The links of the query are nested too deeply.")
	}
	var out []*fetch.Entity
	for _, l := range links {
		e := &fetch.Entity{Name: l.LinkToEntityName, Alias: l.EntityAlias, From: l.LinkToAttributeName, To: l.LinkFromAttributeName}
		join, ok := fetch.JoinOf(l.JoinOperator)
		if !ok || (join >= fetch.Any) != filters {
			return nil, refuse("The JoinOperator '%s' is not valid here.", l.JoinOperator)
		}
		e.Join = join
		l.Columns.into(e)
		e.Orders = ordered(l.Orders)
		f, err := l.LinkCriteria.parse(depth)
		if err != nil {
			return nil, err
		}
		e.Filters = []fetch.Filter{f}
		if e.Links, err = joined(l.LinkEntities, depth+1, false); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// value reads a value, bare or as an Object with its Type.
func value(raw json.RawMessage) (string, error) {
	var typed struct{ Value json.RawMessage }
	if len(raw) > 0 && raw[0] == '{' {
		if json.Unmarshal(raw, &typed) != nil || len(typed.Value) == 0 {
			return "", refuse("A value of a condition has no Value.")
		}
		raw = typed.Value
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return "", refuse("A value of a condition is no JSON.")
	}
	switch x := v.(type) {
	case string:
		return x, nil
	case json.Number:
		return x.String(), nil
	case bool:
		return strconv.FormatBool(x), nil
	}
	return "", refuse("A value of a condition must be a text, a number or a truth value.")
}

// operator is the FetchXML operator of a ConditionOperator: most are the same
// words, differently spelled.
func operator(name string) string {
	switch name {
	case "Equal":
		return "eq"
	case "NotEqual":
		return "ne"
	case "GreaterThan":
		return "gt"
	case "GreaterEqual":
		return "ge"
	case "LessThan":
		return "lt"
	case "LessEqual":
		return "le"
	case "DoesNotBeginWith":
		return "not-begin-with"
	case "DoesNotEndWith":
		return "not-end-with"
	case "EqualUserId":
		return "eq-userid"
	case "NotEqualUserId":
		return "ne-userid"
	case "EqualBusinessId":
		return "eq-businessid"
	case "NotEqualBusinessId":
		return "ne-businessid"
	case "EqualUserLanguage":
		return "eq-userlanguage"
	case "EqualUserTeams":
		return "eq-userteams"
	case "EqualUserOrUserTeams":
		return "eq-useroruserteams"
	case "EqualUserOrUserHierarchy":
		return "eq-useroruserhierarchy"
	case "EqualUserOrUserHierarchyAndTeams":
		return "eq-useroruserhierarchyandteams"
	case "UnderOrEqual":
		return "eq-or-under"
	case "AboveOrEqual":
		return "eq-or-above"
	case "Last7Days":
		return "last-seven-days"
	case "Next7Days":
		return "next-seven-days"
	case "DoesNotContainValues":
		return "not-contain-values"
	}
	return kebab(strings.Replace(name, "OlderThan", "Olderthan", 1))
}

// kebab spells words as FetchXML does: LastXDays is last-x-days.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('-')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Rows are the rows that the query selects, as the caller sees them: live ones, or
// those in long-term retention (protocols/dataverse.md §13.1).
func Rows(c *request.Call, a *platform.Act, q *fetch.Query) (*entity.Table, []allod.GUID, error) {
	t := c.Schema.Model.Table(q.Root.Name)
	if t == nil || t.Abstract {
		return nil, nil, wire.Refuse(404, "0x80041102", "The entity with a name = '%s' was not found in the MetadataCache.", q.Root.Name)
	}
	env := fetch.Env{
		Tx: a.Tx, Schema: c.Schema, Now: a.Now, User: a.User, Unit: a.Unit, PageSize: a.Tx.Len(t.LogicalName) + 1,
		Reading: func(t *entity.Table) (func(*store.Row) bool, error) {
			return access.Reading(a.Tx, c.User, t, a.Unit)
		},
		Hidden: func(t *entity.Table) func(*entity.Column) bool { return access.Hidden(a.Tx, c.User, t) },
	}
	if q.Source == "retained" {
		if c.User.ReadDepth(t) != access.DepthGlobal {
			return nil, nil, access.Denied(c.User, access.Privilege("Read", t))
		}
		list, err := retention.Listed(a.Tx, t)
		if err != nil {
			return nil, nil, err
		}
		env.Rows, env.PageSize = make([]fetch.Cell, len(list)), len(list)+1
		for i, r := range list {
			env.Rows[i] = fetch.Cell{Table: t, Row: r}
		}
	}
	all := *q // every row, each once: pages and columns are not asked for here
	all.Distinct, all.Aggregate, all.Count, all.Page, all.Cookie = false, false, 0, 0, ""
	res, err := fetch.Run(env, &all)
	if err != nil {
		return nil, nil, err
	}
	seen := map[allod.GUID]bool{}
	var ids []allod.GUID
	for _, line := range res.Lines {
		if id := line.Row.Key; !seen[id] { // links may repeat it
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return t, ids, nil
}
