package expression

import (
	"encoding/json"
	"strings"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
)

type object = map[string]any

// FromFetchXML answers FetchXmlToQueryExpression(FetchXml=…) (§6.12).
func FromFetchXML(c *request.Call) (map[string]any, error) {
	var text string
	if json.Unmarshal(request.JSON(c.Param(&c.Req.Path[0], "FetchXml")), &text) != nil {
		return nil, wire.BadPayload("A parameter 'FetchXml' was expected.")
	}
	q, err := fetch.Parse(text)
	if err != nil {
		return nil, err
	}
	t := c.Schema.Model.Table(q.Root.Name)
	if t == nil {
		return nil, wire.Refuse(400, "0x80041102", "The entity with a name = '%s' with namemapping = 'Logical' was not found in the MetadataCache.", q.Root.Name)
	}
	e := &expressed{c.Schema.Model}
	out, err := e.query(q)
	return object{"Query": out}, err
}

// ToFetchXML answers QueryExpressionToFetchXml, whose Query is a QueryExpression, a
// QueryByAttribute or a FetchExpression (QueryBase ComplexType).
func ToFetchXML(c *request.Call) (map[string]any, error) {
	var body struct{ Query json.RawMessage }
	if json.Unmarshal(c.Body, &body) != nil || len(body.Query) == 0 {
		return nil, wire.BadPayload("A parameter 'Query' was expected.")
	}
	var base struct {
		Type               string `json:"@odata.type"`
		Query              string
		Attributes         []string
		Values             []json.RawMessage
		EntityName         string
		ColumnSet, Orders  json.RawMessage
		PageInfo, TopCount json.RawMessage
	}
	if json.Unmarshal(body.Query, &base) != nil {
		return nil, wire.BadPayload("The parameter 'Query' is no query.")
	}
	switch base.Type[strings.LastIndexByte(base.Type, '.')+1:] {
	case "FetchExpression":
		q, err := fetch.Parse(base.Query)
		if err != nil {
			return nil, err
		}
		return object{"FetchXml": FetchXML(q)}, nil
	case "QueryByAttribute":
		if len(base.Attributes) != len(base.Values) {
			return nil, refuse("A QueryByAttribute needs a value for each attribute.")
		}
		var list []object
		for i, name := range base.Attributes {
			list = append(list, object{"AttributeName": name, "Operator": "Equal", "Values": base.Values[i : i+1]})
		}
		raw, err := json.Marshal(object{
			"EntityName": base.EntityName, "ColumnSet": base.ColumnSet, "Orders": base.Orders, "PageInfo": base.PageInfo, "TopCount": base.TopCount,
			"Criteria": object{"Conditions": list},
		})
		if err != nil {
			return nil, err
		}
		body.Query = raw
	}
	q, err := Parse(body.Query)
	if err != nil {
		return nil, err
	}
	return object{"FetchXml": FetchXML(q)}, nil
}

// expressed writes a query as a QueryExpression.
type expressed struct{ m *entity.Model }

func (e *expressed) query(q *fetch.Query) (object, error) {
	criteria, err := e.filters(q.Root)
	if err != nil {
		return nil, err
	}
	links, err := e.links(q.Root)
	if err != nil {
		return nil, err
	}
	columns, err := columnsOf(q.Root)
	if err != nil {
		return nil, err
	}
	out := object{
		"EntityName": q.Root.Name, "ColumnSet": columns, "Criteria": criteria, "LinkEntities": links, "Orders": orders(q.Root), "Distinct": q.Distinct, "NoLock": false,
		"PageInfo": object{"Count": q.Count, "PageNumber": q.Page, "PagingCookie": optional(q.Cookie), "ReturnTotalRecordCount": q.Total},
		"TopCount": nil, "DataSource": optional(q.Source), "QueryHints": nil, "ForceSeek": nil, "SubQueryExpression": nil,
	}
	if q.Top > 0 {
		out["TopCount"] = q.Top
	}
	return out, nil
}

// optional is a text, or null where there is none.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func columnsOf(x *fetch.Entity) (object, error) {
	names, expressions := []string{}, []object{}
	for _, a := range x.Attributes {
		switch {
		case a.Children || a.Distinct:
			return nil, refuse("The attribute '%s' cannot be part of a QueryExpression.", a.Name)
		case a.Alias == "" && a.Aggregate == "" && !a.GroupBy:
			names = append(names, a.Name)
			continue
		}
		expressions = append(expressions, object{"AttributeName": a.Name, "Alias": optional(a.Alias), "AggregateType": aggregateType(a.Aggregate), "DateTimeGrouping": camel(a.DateGrouping), "HasGroupBy": a.GroupBy})
	}
	return object{"AllColumns": x.All, "Columns": names, "AttributeExpressions": expressions}, nil
}

func aggregateType(name string) string {
	switch name {
	case "":
		return none
	case "countcolumn":
		return "CountColumn"
	}
	return camel(name)
}

// camel is the opposite of kebab; nothing is None.
func camel(name string) string {
	if name == "" {
		return none
	}
	var b strings.Builder
	for _, word := range strings.Split(name, "-") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

func orders(x *fetch.Entity) []object {
	out := []object{}
	for _, o := range x.Orders {
		kind := "Ascending"
		if o.Descending {
			kind = "Descending"
		}
		out = append(out, object{"AttributeName": optional(o.Attribute), "OrderType": kind, "Alias": optional(o.Alias), "EntityName": optional(o.Entity)})
	}
	return out
}

func (e *expressed) links(x *fetch.Entity) ([]object, error) {
	out := []object{}
	for _, l := range x.Links {
		o, err := e.link(x, l)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func (e *expressed) link(up, l *fetch.Entity) (object, error) {
	t := e.m.Table(l.Name)
	if t == nil || e.m.Table(up.Name) == nil {
		return nil, wire.Refuse(400, "0x80041102", "The entity with a name = '%s' with namemapping = 'Logical' was not found in the MetadataCache.", l.Name)
	}
	from, to := l.From, l.To
	if from == "" {
		from = t.PrimaryID
	}
	if to == "" {
		to = e.m.Table(up.Name).PrimaryID
	}
	criteria, err := e.filters(l)
	if err != nil {
		return nil, err
	}
	links, err := e.links(l)
	if err != nil {
		return nil, err
	}
	columns, err := columnsOf(l)
	return object{
		"LinkFromEntityName": up.Name, "LinkFromAttributeName": to, "LinkToEntityName": l.Name, "LinkToAttributeName": from, "JoinOperator": l.Join.Operator(),
		"EntityAlias": optional(l.Alias), "Columns": columns, "LinkCriteria": criteria, "LinkEntities": links, "Orders": orders(l), "ForceSeek": nil,
	}, err
}

// filters is the one filter of an element, or one that holds all it has.
func (e *expressed) filters(x *fetch.Entity) (object, error) {
	if len(x.Filters) == 1 {
		return e.filter(x, x.Filters[0])
	}
	return e.filter(x, fetch.Filter{Filters: x.Filters})
}

func (e *expressed) filter(x *fetch.Entity, f fetch.Filter) (object, error) {
	kind := "And"
	if f.Or {
		kind = "Or"
	}
	conditions, filters := []object{}, []object{}
	for _, c := range f.Conditions {
		name, ok := conditionOperator(c.Operator)
		if !ok {
			return nil, refuse("The operator '%s' is not valid.", c.Operator)
		}
		values := []object{}
		for _, v := range c.Values {
			values = append(values, object{"Type": e.typeOf(x, c), "Value": v})
		}
		if c.ValueOf != "" {
			values = append(values, object{"Type": "System.String", "Value": c.ValueOf})
		}
		conditions = append(conditions, object{"EntityName": optional(c.Entity), "AttributeName": c.Attribute, "Operator": name, "Values": values, "CompareColumns": c.ValueOf != ""})
	}
	for _, sub := range f.Filters {
		o, err := e.filter(x, sub)
		if err != nil {
			return nil, err
		}
		filters = append(filters, o)
	}
	var related object
	for i, l := range f.Links {
		o, err := e.link(x, l)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			related = o
			continue // a FilterExpression has room for one; others get one of their own
		}
		filters = append(filters, object{"FilterOperator": "And", "Conditions": []object{}, "Filters": []object{}, "AnyAllFilterLinkEntity": o, "FilterHint": nil, "IsQuickFindFilter": false})
	}
	return object{"FilterOperator": kind, "Conditions": conditions, "Filters": filters, "AnyAllFilterLinkEntity": related, "FilterHint": nil, "IsQuickFindFilter": false}, nil
}

// typeOf is the type of the values of a condition, by its column.
func (e *expressed) typeOf(x *fetch.Entity, c fetch.Condition) string {
	if t := e.m.Table(x.Name); t != nil && c.Entity == "" {
		if col := t.Column(c.Attribute); col != nil {
			switch col.EdmType {
			case "Edm.Guid":
				return "System.Guid"
			case "Edm.Int32":
				return "System.Int32"
			case "Edm.Int64":
				return "System.Int64"
			case "Edm.Decimal":
				return "System.Decimal"
			case "Edm.Double":
				return "System.Double"
			case "Edm.Boolean":
				return "System.Boolean"
			}
		}
	}
	return "System.String"
}

// conditionOperator is the ConditionOperator of an operator of FetchXML.
func conditionOperator(name string) (string, bool) {
	if name == "neq" {
		name = "ne"
	}
	for _, o := range strings.Fields(operatorNames) {
		if operator(o) == name {
			return o, true
		}
	}
	return "", false
}

// operatorNames are the members of ConditionOperator that FetchXML has too
// (ConditionOperator EnumType).
const operatorNames = `Equal NotEqual GreaterThan LessThan GreaterEqual LessEqual Like NotLike In NotIn Between NotBetween Null NotNull Yesterday Today Tomorrow
Last7Days Next7Days LastWeek ThisWeek NextWeek LastMonth ThisMonth NextMonth On OnOrBefore OnOrAfter LastYear ThisYear NextYear LastXHours NextXHours LastXDays
NextXDays LastXWeeks NextXWeeks LastXMonths NextXMonths LastXYears NextXYears EqualUserId NotEqualUserId EqualBusinessId NotEqualBusinessId EqualUserLanguage NotOn
OlderThanXMonths BeginsWith DoesNotBeginWith EndsWith DoesNotEndWith ThisFiscalYear ThisFiscalPeriod NextFiscalYear NextFiscalPeriod LastFiscalYear LastFiscalPeriod
LastXFiscalYears LastXFiscalPeriods NextXFiscalYears NextXFiscalPeriods InFiscalYear InFiscalPeriod InFiscalPeriodAndYear InOrBeforeFiscalPeriodAndYear
InOrAfterFiscalPeriodAndYear EqualUserTeams EqualUserOrUserTeams Under NotUnder UnderOrEqual Above AboveOrEqual EqualUserOrUserHierarchy
EqualUserOrUserHierarchyAndTeams OlderThanXYears OlderThanXWeeks OlderThanXDays OlderThanXHours OlderThanXMinutes ContainValues DoesNotContainValues`
