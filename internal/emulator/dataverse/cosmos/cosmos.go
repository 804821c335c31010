package cosmos

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/rows"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

type object = map[string]any

// Name is the function's.
const Name = "ExecuteCosmosSqlQuery"

// body is what the parameters say.
type body struct {
	text, partition, cookie string
	table                   *entity.Table
	params                  map[string]any
	size                    int
}

func read(c rows.Reader, seg *query.Segment) (b body, err error) {
	text := func(name string) (s string) {
		if json.Unmarshal(request.JSON(c.Param(seg, name)), &s) != nil {
			return ""
		}
		return s
	}
	b = body{text: text("QueryText"), partition: text("PartitionId"), cookie: text("PagingCookie"), table: c.Schema.Model.Table(text("EntityLogicalName")), size: c.Org.PageSize}
	if b.text == "" || b.table == nil {
		return b, wire.BadPayload("The parameters 'QueryText' and 'EntityLogicalName' were expected.")
	}
	if !elastic.Is(b.table) {
		return b, wire.Refuse(http.StatusBadRequest, "0x80040203", "The entity %s is not elastic.", b.table.LogicalName)
	}
	if raw := request.JSON(c.Param(seg, "PageSize")); raw != nil {
		if json.Unmarshal(raw, &b.size) != nil || b.size < 1 {
			return b, wire.BadPayload("The parameter 'PageSize' must be a positive number.")
		}
	}
	b.params, err = parameters(request.JSON(c.Param(seg, "QueryParameters")))
	return b, err
}

// parameters reads a ParameterCollection: keys and, in the same order, values
// with the name of their .NET type.
func parameters(raw json.RawMessage) (map[string]any, error) {
	var list struct {
		Keys   []string
		Values []struct {
			Type  string
			Value any
		}
	}
	if raw != nil && json.Unmarshal(raw, &list) != nil || len(list.Keys) != len(list.Values) {
		return nil, wire.BadPayload("The parameter 'QueryParameters' must hold 'Keys' and as many 'Values'.")
	}
	out := map[string]any{}
	for i, key := range list.Keys {
		v := list.Values[i].Value
		if text, ok := v.(string); ok {
			switch list.Values[i].Type {
			case "System.Int16", "System.Int32", "System.Int64", "System.Decimal", "System.Double":
				n, err := strconv.ParseFloat(text, 64)
				if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
					return nil, wire.BadPayload("The parameter %s is no number.", key)
				}
				v = n
			case "System.Boolean":
				v = strings.EqualFold(text, "true")
			}
		}
		out["@"+strings.TrimPrefix(key, "@")] = v
	}
	return out, nil
}

// Query answers the function. Result is a list, as the documented answer has
// it. A cookie is the number of rows that came before.
func Query(c rows.Reader, seg *query.Segment) (map[string]any, error) {
	b, err := read(c, seg)
	if err != nil {
		return nil, err
	}
	s, err := parse(b.text, b.params)
	if err != nil {
		return nil, err
	}
	var found []any
	err = c.View(func(tx *store.Tx) error {
		see, err := access.Reading(tx, c.User, b.table, c.Org.Unit)
		if err != nil {
			return err
		}
		found, err = s.run(tx, b, see, access.Hidden(tx, c.User, b.table))
		return err
	})
	if err != nil {
		return nil, err
	}
	from := 0
	if b.cookie != "" {
		if from, err = strconv.Atoi(b.cookie); err != nil || from < 0 || from > len(found) {
			return nil, wire.BadPayload("The parameter 'PagingCookie' is not valid.")
		}
	}
	to := min(len(found), from+b.size)
	out := object{"@odata.context": "executecosmossqlquery", "HasMore": to < len(found), "PagingCookie": "", "Result": found[from:to]}
	if to < len(found) {
		out["PagingCookie"] = strconv.Itoa(to)
	}
	return out, nil
}

// maxLines bounds what JOINs make of the rows.
const maxLines = 100_000

// line is what is selected of one row and element.
type line struct {
	values []any // of items
	row    object
	keys   []any
}

// run returns what is selected of the rows, in order.
func (s *statement) run(tx *store.Tx, b body, see func(*store.Row) bool, hidden func(*entity.Column) bool) ([]any, error) {
	var hits []line
	for _, r := range tx.Page(b.table.LogicalName, nil, tx.Len(b.table.LogicalName)) {
		if see != nil && !see(r) || b.partition != "" && tx.Value(b.table.LogicalName, r, "partitionid").Text() != b.partition {
			continue
		}
		e := env{value: func(path []string) any { return at(tx, b.table, r, hidden, path) }, names: map[string]any{}}
		if !s.lines(e, s.joins, func() bool {
			if s.where == nil || s.where(e) == true {
				hits = append(hits, s.line(e, b.table))
			}
			return len(hits) <= maxLines
		}) {
			return nil, bad("it has more than %d results.", maxLines)
		}
	}
	if len(s.items) > 0 && s.items[0].aggregate != "" {
		return s.totals(hits), nil
	}
	slices.SortStableFunc(hits, func(x, y line) int {
		for i, o := range s.order {
			if n, ok := compare(x.keys[i], y.keys[i]); ok && n != 0 {
				if o.desc {
					return -n
				}
				return n
			}
		}
		return 0
	})
	out := make([]any, 0, len(hits))
	for _, h := range hits {
		switch {
		case s.star:
			out = append(out, h.row)
		case !s.value:
			out = append(out, s.named(h.values))
		case h.values[0] != undefined{}:
			out = append(out, h.values[0])
		}
	}
	if s.top >= 0 {
		out = out[:min(s.top, len(out))]
	}
	return out, nil
}

// lines calls do for each combination of elements of the joins, until it says no.
func (s *statement) lines(e env, joins []join, do func() bool) bool {
	if len(joins) == 0 {
		return do()
	}
	list, _ := inside(joins[0].in(e)).([]any)
	for _, x := range list {
		e.names[joins[0].name] = x
		if !s.lines(e, joins[1:], do) {
			return false
		}
	}
	return true
}

// line reads what is selected.
func (s *statement) line(e env, t *entity.Table) (h line) {
	for _, x := range s.items {
		h.values = append(h.values, x.of(e))
	}
	if s.star {
		h.row = object{}
		for _, col := range t.Columns {
			if v := e.value([]string{col.LogicalName}); v != (undefined{}) {
				h.row[col.LogicalName] = v
			}
		}
	}
	for _, o := range s.order {
		h.keys = append(h.keys, o.of(e))
	}
	return h
}

// totals is the one result of aggregates.
func (s *statement) totals(hits []line) []any {
	values := make([]any, len(s.items))
	for i, x := range s.items {
		column := make([]any, len(hits))
		for k, h := range hits {
			column[k] = h.values[i]
		}
		values[i] = reckon(x.aggregate, column)
	}
	switch {
	case s.top == 0, s.value && values[0] == undefined{}:
		return []any{}
	case s.value:
		return values
	}
	return []any{s.named(values)}
}

// named are the values by their names, undefined ones left out.
func (s *statement) named(values []any) object {
	out := object{}
	for i, x := range s.items {
		if values[i] != (undefined{}) {
			out[x.name] = values[i]
		}
	}
	return out
}

// at is the value of a column, or what its JSON holds below that. A column without a
// value is not kept, and undefined (assumed).
func at(tx *store.Tx, t *entity.Table, r *store.Row, hidden func(*entity.Column) bool, path []string) any {
	for _, c := range t.Columns {
		if !strings.EqualFold(c.LogicalName, path[0]) {
			continue
		}
		if hidden != nil && hidden(c) {
			break
		}
		if v := plain(tx, t, r, c); v != nil {
			return below(v, path[1:])
		}
		break
	}
	return undefined{}
}

func plain(tx *store.Tx, t *entity.Table, r *store.Row, col *entity.Column) any {
	if col.LogicalName == t.PrimaryID {
		return r.Key.String()
	}
	switch v := tx.Value(t.LogicalName, r, col.LogicalName); v.Type() {
	case allod.Integer:
		return float64(v.Int())
	case allod.Boolean:
		return v.Bool()
	case allod.Decimal, allod.Double:
		return json.Number(v.Text())
	case allod.ID, allod.Lookup:
		return v.GUID().String()
	default:
		if v.IsNull() || v.IsAbsent() {
			return nil
		}
		return v.Text()
	}
}
