package cosmos

import (
	"encoding/json"
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
				if err != nil {
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
	var found []object
	err = c.View(func(tx *store.Tx) error {
		see, err := access.Reading(tx, c.User, b.table, c.Org.Unit)
		if err != nil {
			return err
		}
		found = s.run(tx, b, see, access.Hidden(tx, c.User, b.table))
		return nil
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

// run returns what is selected of the rows, in order.
func (s *statement) run(tx *store.Tx, b body, see func(*store.Row) bool, hidden func(*entity.Column) bool) []object {
	type hit struct {
		row  object
		keys []any
	}
	var hits []hit
	for _, r := range tx.Page(b.table.LogicalName, nil, tx.Len(b.table.LogicalName)) {
		if see != nil && !see(r) || b.partition != "" && tx.Value(b.table.LogicalName, r, "partitionid").Text() != b.partition {
			continue
		}
		value := func(path []string) any { return at(tx, b.table, r, hidden, path) }
		if s.where != nil && !s.where(value) {
			continue
		}
		h := hit{row: object{}}
		for _, x := range s.items {
			if v := value(x.path); v != nil {
				h.row[x.name] = v
			}
		}
		if s.items == nil {
			for _, col := range b.table.Columns {
				if v := value([]string{col.LogicalName}); v != nil {
					h.row[col.LogicalName] = v
				}
			}
		}
		for _, o := range s.order {
			h.keys = append(h.keys, value(o.path))
		}
		hits = append(hits, h)
	}
	slices.SortStableFunc(hits, func(x, y hit) int {
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
	if s.top >= 0 {
		hits = hits[:min(s.top, len(hits))]
	}
	out := make([]object, len(hits))
	for i := range hits {
		out[i] = hits[i].row
	}
	return out
}

// at is the value of a column, or what its JSON holds below that; nil where
// there is none.
func at(tx *store.Tx, t *entity.Table, r *store.Row, hidden func(*entity.Column) bool, path []string) any {
	var col *entity.Column
	for _, c := range t.Columns {
		if strings.EqualFold(c.LogicalName, path[0]) {
			col = c
		}
	}
	if col == nil || hidden != nil && hidden(col) {
		return nil
	}
	v := plain(tx, t, r, col)
	text, ok := v.(string)
	if !ok || len(path) == 1 {
		if len(path) > 1 {
			return nil
		}
		return v
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var inside any
	if d.Decode(&inside) != nil {
		return nil
	}
	for _, name := range path[1:] {
		m, ok := inside.(object)
		if !ok {
			return nil
		}
		inside = m[name]
	}
	return inside
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
