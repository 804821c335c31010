package describe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

// expression is EntityQueryExpression, and the queries nested in it.
type expression struct {
	Criteria          *criteria
	Properties        *properties
	AttributeQuery    *expression
	RelationshipQuery *expression
	KeyQuery          *expression
	LabelQuery        *struct{ FilterLanguages []int }
}

type properties struct {
	AllProperties bool
	PropertyNames []string
}

// criteria is MetadataFilterExpression.
type criteria struct {
	FilterOperator string // And (the default), Or
	Conditions     []condition
	Filters        []criteria
}

// condition is MetadataConditionExpression.
type condition struct {
	PropertyName      string
	ConditionOperator string
	Value             json.RawMessage // {"Type": …, "Value": …}, or bare
}

// collections are the members of an entity that are queried for themselves.
func collections() []string {
	return []string{"Attributes", "OneToManyRelationships", "ManyToOneRelationships", "ManyToManyRelationships", "Keys"}
}

// Changes answers RetrieveMetadataChanges (protocols/dataverse.md §3.5). days
// is how long a stamp is good (organization.expiresubscriptionsindays).
func Changes(c *request.Call, h *History, days int) (*request.Reply, error) {
	if c.Method != http.MethodGet {
		return nil, wire.Refuse(http.StatusNotFound, "", "No HTTP resource was found that matches the request URI '%s/%s'.", c.Root, c.URL)
	}
	c.Count("RetrieveMetadataChanges", nil)
	call{c}.chargeMetadata()
	seg := &c.Req.Path[0]
	var q expression
	if raw := request.JSON(c.Param(seg, "Query")); raw != nil {
		if err := json.Unmarshal(raw, &q); err != nil {
			return nil, wire.BadPayload("The parameter 'Query' is no EntityQueryExpression.")
		}
	}
	w := changes{c: call{c}, q: &q}
	now := c.Org.Now()
	deleted, err := w.begin(seg, h, days, now)
	if err != nil {
		return nil, err
	}
	stamp := h.stamp(now)
	list, err := w.entities()
	if err != nil {
		return nil, err
	}
	out := entity.Object{
		{Name: odata.Context, Value: c.Root + "/$metadata#" + request.Namespace + "RetrieveMetadataChangesResponse"},
		{Name: "ServerVersionStamp", Value: stamp},
		{Name: "DeletedMetadata", Value: deleted},
		{Name: "EntityMetadata", Value: list},
	}
	return &request.Reply{Status: http.StatusOK, Body: out.AppendJSON(nil)}, nil
}

// changes is one answer: changed is nil without a stamp, when all is told.
type changes struct {
	c       call
	q       *expression
	changed func(entity.Object) bool
}

// begin reads stamp and filter and returns DeletedMetadata, nil without a
// stamp. A stamp older than days is the ExpiredVersionStamp of §3.5.
func (w *changes) begin(seg *query.Segment, h *History, days int, now time.Time) (any, error) {
	mask, err := filters(w.c.Param(seg, "DeletedMetadataFilters"))
	if err != nil {
		return nil, err
	}
	lit, _ := w.c.Param(seg, "ClientVersionStamp").(*query.Literal)
	if lit == nil || lit.Kind == query.LitNull {
		return nil, nil
	}
	version, at, ok := parseStamp(lit.Text)
	if !ok {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The version stamp is not valid.")
	}
	if now.Sub(at) > time.Duration(days)*24*time.Hour || !h.covers(version) {
		return nil, wire.Refuse(w.c.Org.Number("metadata-expired-status"), "0x80044352", "Version stamp associated with the client has expired. Please perform a full sync.")
	}
	changed, went := h.since(version, mask)
	w.changed = changed
	keys, values := []string{}, []entity.Object{}
	for _, k := range kinds() {
		if ids := went[k.bit]; len(ids) > 0 {
			keys = append(keys, k.name)
			values = append(values, entity.Object{{Name: "Items", Value: ids}})
		}
	}
	return entity.Object{{Name: "Count", Value: len(keys)}, {Name: "IsReadOnly", Value: false}, {Name: "Keys", Value: keys}, {Name: "Values", Value: values}}, nil
}

// covers reports whether the version is one that this history gave out.
func (h *History) covers(version uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first <= version && version <= h.version
}

type kindName struct {
	name string
	bit  int
}

func kinds() []kindName {
	return []kindName{{"Entity", goneEntity}, {"Attribute", goneAttribute}, {"Relationship", goneRelationship}, {"Label", goneLabel}, {"OptionSet", goneOptionSet}}
}

// filters reads DeletedMetadataFilters: names joined by commas, or their sum.
// Default is Entity.
func filters(e query.Expr) (int, error) {
	lit, _ := e.(*query.Literal)
	if lit == nil || lit.Kind == query.LitNull {
		return goneEntity, nil
	}
	if n, err := strconv.Atoi(lit.Text); err == nil && n > 0 && n <= goneAll {
		return n, nil
	}
	mask := 0
names:
	for name := range strings.SplitSeq(lit.Text, ",") {
		name = strings.TrimSpace(name)
		switch name {
		case "Default":
			mask |= goneEntity
			continue
		case "All":
			mask |= goneAll
			continue
		}
		for _, k := range kinds() {
			if k.name == name {
				mask |= k.bit
				continue names
			}
		}
		return 0, wire.BadPayload("Cannot convert the literal '%s' to the expected type 'Microsoft.Dynamics.CRM.DeletedMetadataFilters'.", lit.Text)
	}
	return mask, nil
}

func (w *changes) entities() ([]entity.Object, error) {
	out := []entity.Object{}
	for _, t := range w.c.Schema.Model.Tables {
		if !t.Defined() || !w.c.Exists(t) {
			continue
		}
		o := Table(t)
		ok, err := w.q.Criteria.holds(o)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		item, news, err := w.entity(t, o)
		if err != nil {
			return nil, err
		}
		if news {
			out = append(out, item)
		}
	}
	return out, nil
}

// entity shapes one table; news is false when neither it nor what is asked of
// it has changed since the stamp.
func (w *changes) entity(t *entity.Table, o entity.Object) (out entity.Object, news bool, err error) {
	news = w.changed == nil || w.changed(o)
	if w.changed != nil {
		o = Over(o, entity.Object{{Name: "HasChanged", Value: news}})
	}
	out = w.q.Properties.pick(o)
	for _, name := range collections() {
		if !w.q.Properties.asks(name) {
			continue
		}
		parts, err := w.parts(t, name)
		if err != nil {
			return nil, false, err
		}
		news = news || len(parts) > 0
		out = append(out[:len(out):len(out)], entity.Member{Name: name, Value: parts})
	}
	return out, news, nil
}

// parts are the members of one collection that the query wants and that
// changed.
func (w *changes) parts(t *entity.Table, name string) ([]entity.Object, error) {
	q := w.q.RelationshipQuery
	switch name {
	case "Attributes":
		q = w.q.AttributeQuery
	case "Keys":
		q = w.q.KeyQuery
	}
	if q == nil {
		q = &expression{Properties: &properties{AllProperties: true}}
	}
	list, _ := w.c.parts(t, name)
	out := []entity.Object{}
	for _, d := range list {
		o := complexType(d, q.Properties)
		if w.changed != nil {
			if !w.changed(o) {
				continue
			}
			o = Over(o, entity.Object{{Name: "HasChanged", Value: true}})
		}
		ok, err := q.Criteria.holds(o)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, w.labels(q.Properties.pick(o)))
		}
	}
	return out, nil
}

// complexType turns an item into the complex type that the function returns:
// ComplexStringAttributeMetadata, which has its choices inside.
func complexType(d described, p *properties) entity.Object {
	o := slices.Clone(d.o)
	if len(o) > 0 && o[0].Name == "@odata.type" {
		o[0].Value = "#" + request.Namespace + "Complex" + strings.TrimPrefix(fmt.Sprint(o[0].Value), "#"+request.Namespace)
	}
	if d.col == nil || !p.asks("OptionSet") {
		return o
	}
	if set, ok := Choices(d.col); ok {
		o = append(o, entity.Member{Name: "OptionSet", Value: set})
	}
	return o
}

// labels leaves out the languages that LabelQuery does not name.
func (w *changes) labels(o entity.Object) entity.Object {
	if w.q.LabelQuery == nil || len(w.q.LabelQuery.FilterLanguages) == 0 {
		return o
	}
	out := slices.Clone(o)
	for i, m := range out {
		switch v := m.Value.(type) {
		case entity.Object:
			out[i].Value = w.labels(v)
		case []entity.Object:
			kept := []entity.Object{}
			for _, x := range v {
				code, _ := x.Get("LanguageCode")
				n, isLabel := code.(int)
				if m.Name != "LocalizedLabels" || !isLabel || slices.Contains(w.q.LabelQuery.FilterLanguages, n) {
					kept = append(kept, w.labels(x))
				}
			}
			out[i].Value = kept
		}
	}
	return out
}

// asks reports whether the properties include the name. No properties mean
// none but those that are always there.
func (p *properties) asks(name string) bool {
	return p != nil && (p.AllProperties || slices.Contains(p.PropertyNames, name))
}

// pick leaves the properties asked for, besides MetadataId, HasChanged,
// LogicalName or SchemaName and annotations.
func (p *properties) pick(o entity.Object) entity.Object {
	out := make(entity.Object, 0, len(o))
	for _, m := range o {
		always := m.Name == "MetadataId" || m.Name == "HasChanged" || strings.HasPrefix(m.Name, "@")
		if always || p.asks(m.Name) {
			out = append(out, m)
		}
	}
	return out
}

// holds judges a filter; nil holds for everything.
func (f *criteria) holds(o entity.Object) (bool, error) {
	if f == nil || len(f.Conditions)+len(f.Filters) == 0 {
		return true, nil
	}
	either := strings.EqualFold(f.FilterOperator, "Or")
	for i := range f.Conditions {
		ok, err := f.Conditions[i].holds(o)
		if err != nil || ok == either {
			return ok, err
		}
	}
	for i := range f.Filters {
		ok, err := f.Filters[i].holds(o)
		if err != nil || ok == either {
			return ok, err
		}
	}
	return !either, nil
}

func (x *condition) holds(o entity.Object) (bool, error) {
	v, found := o.Get(x.PropertyName)
	if !found {
		return false, nil
	}
	if m, ok := v.(entity.Object); ok { // a managed property means its value
		if v, found = m.Get("Value"); !found {
			return false, wire.Refuse(http.StatusBadRequest, "0x80040203", "The property %s cannot be part of a condition.", x.PropertyName)
		}
	}
	wants, err := x.values()
	if err != nil {
		return false, err
	}
	among := slices.ContainsFunc(wants, func(w string) bool { return strings.EqualFold(w, text(v)) })
	switch x.ConditionOperator {
	case "Equals", "", "In":
		return among, nil
	case "NotEquals", "NotIn":
		return !among, nil
	case "GreaterThan", "LessThan":
		a, errA := strconv.ParseFloat(text(v), 64)
		b, errB := strconv.ParseFloat(strings.Join(wants, ","), 64)
		if errA != nil || errB != nil {
			return false, nil
		}
		return a > b == (x.ConditionOperator == "GreaterThan") && a != b, nil
	}
	return false, wire.BadPayload("Cannot convert the literal '%s' to the expected type 'Microsoft.Dynamics.CRM.MetadataConditionOperator'.", x.ConditionOperator)
}

// values are the texts to compare with: those of an Object {Type, Value}, of
// an array, or the one. Enum members stand by name, as definitions show them.
func (x *condition) values() ([]string, error) {
	var typed struct {
		Type  string
		Value json.RawMessage
	}
	raw := x.Value
	if json.Unmarshal(raw, &typed) == nil && typed.Value != nil {
		raw = typed.Value
	}
	var inner string
	if json.Unmarshal(raw, &inner) == nil {
		var list []any
		if strings.HasPrefix(strings.TrimSpace(inner), "[") && json.Unmarshal([]byte(inner), &list) == nil {
			raw = json.RawMessage(inner)
		} else {
			return []string{inner}, nil
		}
	}
	var list []any
	if json.Unmarshal(raw, &list) != nil {
		var one any
		if len(raw) > 0 && json.Unmarshal(raw, &one) != nil {
			return nil, wire.BadPayload("The value of a condition cannot be read.")
		}
		list = []any{one}
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	return out, nil
}

// text writes a value for comparison; null is the empty text.
func text(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case bool:
		return strings.ToLower(strconv.FormatBool(x))
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strings.TrimSpace(fmt.Sprint(v))
}
