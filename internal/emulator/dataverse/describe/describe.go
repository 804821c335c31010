package describe

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

// call is one request for metadata.
type call struct{ *request.Call }

// Service answers the root (protocols/dataverse.md §3.1).
func Service(c *request.Call) (*request.Reply, error) { return call{c}.serviceDocument() }

// Document answers $metadata.
func Document(c *request.Call) (*request.Reply, error) { return call{c}.metadataDocument() }

// Definitions answers the metadata sets (§3.2). They have no paging; $select,
// $filter and $expand are all there is.
func Definitions(c *request.Call) (*request.Reply, error) { return call{c}.definitions(c.Req.Path) }

func (c call) chargeMetadata() {
	c.Charge(func(m *protect.Cost) time.Duration { return m.Metadata.Of(1) })
}

func (c call) serviceDocument() (*request.Reply, error) {
	if c.Method != http.MethodGet {
		return nil, c.NoMethod()
	}
	c.Count("service", nil)
	c.chargeMetadata()
	b := append([]byte(`{"@odata.context":"`), c.Root...)
	b = append(b, `/$metadata","value":[`...)
	n := 0
	for _, t := range c.Schema.Model.Tables {
		if t.SetName == "" || !c.Exists(t) {
			continue
		}
		if n > 0 {
			b = append(b, ',')
		}
		n++
		b = append(b, `{"name":`...)
		b = odata.AppendString(b, t.SetName)
		b = append(b, `,"kind":"EntitySet","url":`...)
		b = append(odata.AppendString(b, t.SetName), '}')
	}
	return &request.Reply{Status: http.StatusOK, Body: append(b, "]}"...)}, nil
}

func (c call) metadataDocument() (*request.Reply, error) {
	if c.Method != http.MethodGet {
		return nil, c.NoMethod()
	}
	c.Count("$metadata", nil)
	c.chargeMetadata()
	var b bytes.Buffer
	doc := c.Schema.Model.CSDL()
	for _, o := range c.Req.Options.Custom {
		if o.Name == "annotations" && o.Value == "true" {
			annotate(doc, c.Schema.Model)
		}
	}
	if err := doc.Write(&b); err != nil {
		return nil, fmt.Errorf("write $metadata: %w", err)
	}
	return &request.Reply{Status: http.StatusOK, Type: "application/xml", Body: b.Bytes()}, nil
}

func (c call) definitions(path []query.Segment) (*request.Reply, error) {
	if c.Method != http.MethodGet {
		return nil, c.NoMethod()
	}
	c.Count(path[0].Name, nil)
	c.chargeMetadata()
	return c.Org.Described.Reply(c.Schema, c.Org.Store.Shape(), c.Root+"/"+c.URL, func() (*request.Reply, error) { return c.described(path) })
}

func (c call) described(path []query.Segment) (*request.Reply, error) {
	m := c.Schema.Model
	switch path[0].Name {
	case "EntityDefinitions":
		if path[0].Parens {
			t := c.tableOf(&path[0])
			if t == nil {
				return nil, wire.Refuse(http.StatusNotFound, "0x80041102", "Could not find an entity with specified entity name or id.")
			}
			return c.definition(t, path)
		}
		var rows []described
		for _, t := range m.Tables {
			if t.Defined() && c.Exists(t) {
				rows = append(rows, described{Table(t), t, nil})
			}
		}
		return c.metadataList("EntityDefinitions", rows)
	case "RelationshipDefinitions":
		return c.relationships(path)
	case "GlobalOptionSetDefinitions":
		return c.optionSets(path)
	}
	return c.metadataList(path[0].Name, nil)
}

// described is a metadata item with what it describes, for $expand.
type described struct {
	o   entity.Object
	t   *entity.Table
	col *entity.Column
}

func (c call) tableOf(seg *query.Segment) *entity.Table {
	for _, t := range c.Schema.Model.Tables {
		if Named(seg, t.LogicalName, t.MetadataID, "LogicalName") && t.Defined() && c.Exists(t) {
			return t
		}
	}
	return nil
}

// Named reports whether a key segment means the item with the name or id.
func Named(seg *query.Segment, name string, id allod.GUID, keyName string) bool {
	if g, ok := seg.ID(); ok {
		return g == id && (seg.Args[0].Name == "" || seg.Args[0].Name == "MetadataId")
	}
	if len(seg.Args) != 1 || seg.Args[0].Name != keyName {
		return false
	}
	lit, ok := seg.Args[0].Value.(*query.Literal)
	return ok && lit.Kind == query.LitString && lit.Text == name
}

// definition answers one table and what stands behind it.
func (c call) definition(t *entity.Table, path []query.Segment) (*request.Reply, error) {
	if len(path) == 1 {
		return c.metadataItem("EntityDefinitions/$entity", described{Table(t), t, nil})
	}
	name := path[1].Name
	parts, ok := c.parts(t, name)
	if !ok {
		if v, found := Table(t).Get(name); found {
			return c.metadataValue(v, path[len(path)-1].Kind == query.SegValue, "EntityDefinitions/"+name)
		}
		return nil, wire.NoSegment(name)
	}
	at := "EntityDefinitions('" + t.LogicalName + "')/" + name
	if len(path) > 2 && strings.HasPrefix(path[2].Name, request.Namespace) {
		kind := strings.TrimPrefix(path[2].Name, request.Namespace)
		var cast []described
		for _, d := range parts {
			if typ, _ := d.o.Get("@odata.type"); typ == "#"+request.Namespace+kind {
				cast = append(cast, d)
			}
		}
		parts, at = cast, at+"/"+request.Namespace+kind
	}
	if path[1].Parens {
		for _, d := range parts {
			text, _ := d.o.Get("MetadataId")
			id, err := allod.ParseGUID(fmt.Sprint(text))
			logical, _ := d.o.Get("LogicalName")
			schema, _ := d.o.Get("SchemaName")
			if err == nil && (Named(&path[1], fmt.Sprint(logical), id, "LogicalName") || Named(&path[1], fmt.Sprint(schema), id, "SchemaName")) {
				return c.member(d, path[2:], at)
			}
		}
		return nil, wire.Refuse(http.StatusNotFound, "0x80044183", "The requested metadata item was not found.")
	}
	return c.metadataList(at, parts)
}

// member answers an item, or what stands behind it after a cast: its choices or
// one of its properties.
func (c call) member(d described, rest []query.Segment, at string) (*request.Reply, error) {
	if len(rest) > 0 && strings.HasPrefix(rest[0].Name, request.Namespace) { // it says the type, so the item need not
		d.o = slices.DeleteFunc(slices.Clone(d.o), func(m entity.Member) bool { return m.Name == "@odata.type" })
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return c.metadataItem(at+"/$entity", d)
	}
	name := rest[0].Name
	if d.col != nil && (name == "OptionSet" || name == "GlobalOptionSet") {
		set, ok := c.choices(d.col)
		if !ok || name == "GlobalOptionSet" && !d.col.OptionSet.Global {
			return nil, wire.NoSegment(name)
		}
		return c.metadataItem(at+"/"+name+"/$entity", described{o: set})
	}
	v, found := d.o.Get(name)
	if !found {
		return nil, wire.NoSegment(name)
	}
	return c.metadataValue(v, rest[len(rest)-1].Kind == query.SegValue, at+"/"+name)
}

// parts are the collections of a table's definition; ok is false for a name
// that is none.
func (c call) parts(t *entity.Table, name string) (out []described, ok bool) {
	m := c.Schema.Model
	add := func(list []*entity.Relationship) {
		for _, r := range list {
			d := described{o: Relationship(r)}
			if len(d.o) > 0 && d.o[0].Name == "@odata.type" {
				d.o = d.o[1:] // the collection is of that very type
			}
			out = append(out, d)
		}
	}
	switch name {
	case "Attributes":
		for _, col := range t.Columns {
			if !col.Hidden {
				out = append(out, described{Column(col, t), t, col})
			}
		}
	case "Keys":
		for _, k := range Keys(t) {
			out = append(out, described{o: k})
		}
	case "ManyToOneRelationships":
		add(m.ManyToOne(t.LogicalName))
	case "OneToManyRelationships":
		add(m.OneToMany(t.LogicalName))
	case "ManyToManyRelationships":
		add(m.ManyToMany(t.LogicalName))
	default:
		return nil, false
	}
	return out, true
}

func (c call) relationships(path []query.Segment) (*request.Reply, error) {
	var rows []described
	for _, r := range c.Schema.Model.Relationships {
		o := Relationship(r)
		if path[0].Parens {
			if Named(&path[0], r.SchemaName, r.MetadataID, "SchemaName") {
				return c.metadataItem("RelationshipDefinitions/$entity", described{o: o})
			}
			continue
		}
		if len(path) > 1 {
			if typ, _ := o.Get("@odata.type"); typ != "#"+path[1].Name {
				continue
			}
			o = o[1:]
		}
		rows = append(rows, described{o: o})
	}
	if path[0].Parens {
		return nil, wire.Refuse(http.StatusNotFound, "0x80044183", "The requested relationship was not found.")
	}
	return c.metadataList("RelationshipDefinitions", rows)
}

func (c call) optionSets(path []query.Segment) (*request.Reply, error) {
	var rows []described
	for _, col := range Globals(c.Schema.Model) {
		o, ok := c.choices(col)
		if !ok {
			continue
		}
		class := "OptionSetMetadata"
		if col.Kind == "Boolean" {
			class = "BooleanOptionSetMetadata"
		}
		o = append(entity.Object{{Name: "@odata.type", Value: "#" + request.Namespace + class}}, o...)
		text, _ := o.Get("MetadataId")
		id, err := allod.ParseGUID(fmt.Sprint(text))
		if path[0].Parens && err == nil && Named(&path[0], col.OptionSet.Name, id, "Name") {
			return c.metadataItem("GlobalOptionSetDefinitions/$entity", described{o: o})
		}
		if len(path) > 1 && path[1].Name != request.Namespace+class {
			continue
		}
		rows = append(rows, described{o: o})
	}
	if path[0].Parens {
		return nil, wire.Refuse(http.StatusNotFound, "0x80044183", "The requested choice was not found.")
	}
	return c.metadataList("GlobalOptionSetDefinitions", rows)
}

// choices is Choices as the version of the API that was asked shows them: v9.0
// has not the members that came later ("Query table definitions" and "Retrieve
// table definitions by name or MetadataId" show it without, exports of later
// versions with them; newer features are not back-ported, §2.1), and says of no
// column's own choices since when they are there.
func (c call) choices(col *entity.Column) (entity.Object, bool) {
	o, ok := Choices(col)
	if !ok || !strings.HasSuffix(c.Root, "/v9.0") {
		return o, ok
	}
	later := func(m entity.Member) bool {
		return slices.Contains([]string{"ExternalTypeName", "ExternalValue", "ParentValues", "Tag", "IsHidden"}, m.Name)
	}
	o = slices.DeleteFunc(slices.Clone(o), later)
	for i, m := range o {
		if m.Name == "IntroducedVersion" && !col.OptionSet.Global {
			o[i].Value = nil
		}
		switch v := m.Value.(type) {
		case []entity.Object:
			for j := range v {
				v[j] = slices.DeleteFunc(slices.Clone(v[j]), later)
			}
		case entity.Object:
			o[i].Value = slices.DeleteFunc(slices.Clone(v), later)
		}
	}
	return o, true
}

// shape applies $select and $expand to an item.
func (c call) shape(d described, o *query.Options) (entity.Object, error) {
	if o == nil {
		return d.o, nil
	}
	var names []string
	for _, s := range o.Select {
		names = append(names, strings.Join(s.Path, "/"))
	}
	out := d.o.Select(names)
	for _, e := range o.Expand {
		name := e.Path[len(e.Path)-1]
		v, err := c.expandPart(d, name, e.Options)
		if err != nil {
			return nil, err
		}
		out = append(out[:len(out):len(out)], entity.Member{Name: name, Value: v})
	}
	return out, nil
}

func (c call) expandPart(d described, name string, o *query.Options) (any, error) {
	if d.col != nil {
		set, ok := c.choices(d.col)
		global := ok && d.col.OptionSet.Global
		switch {
		case name == "OptionSet" && ok, name == "GlobalOptionSet" && global:
			return c.shape(described{o: set}, o)
		case name == "OptionSet", name == "GlobalOptionSet":
			return nil, nil
		}
		return nil, wire.NoProperty(name, "AttributeMetadata")
	}
	if d.t == nil {
		return nil, wire.NoProperty(name, "MetadataBase")
	}
	parts, ok := c.parts(d.t, name)
	if !ok {
		return nil, wire.NoProperty(name, "EntityMetadata")
	}
	rows, err := c.matching(parts, o)
	if err != nil {
		return nil, err
	}
	list := make([]entity.Object, len(rows))
	for i, p := range rows {
		if list[i], err = c.shape(p, o); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (c call) matching(rows []described, o *query.Options) ([]described, error) {
	if o == nil || o.Filter == nil {
		return rows, nil
	}
	var out []described
	for _, d := range rows {
		ok, err := judge(o.Filter, d.o)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, d)
		}
	}
	return out, nil
}

func (c call) metadataList(context string, rows []described) (*request.Reply, error) {
	o := c.Req.Options
	for _, name := range o.Names {
		switch name {
		case "$select", "$filter", "$expand", "$count", "LabelLanguages":
		default:
			return nil, wire.BadQuery("The query parameter %s is not supported.", name)
		}
	}
	rows, err := c.matching(rows, o)
	if err != nil {
		return nil, err
	}
	b := append([]byte(`{"@odata.context":"`), c.Root...)
	b = append(b, "/$metadata#"+context...)
	b = append(b, '"')
	if o.Count.Value {
		b = append(b, fmt.Sprintf(`,"@odata.count":%d`, len(rows))...)
	}
	b = append(b, `,"value":[`...)
	for i, d := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		item, err := c.shape(d, o)
		if err != nil {
			return nil, err
		}
		b = item.AppendJSON(b)
	}
	return &request.Reply{Status: http.StatusOK, Body: append(b, "]}"...)}, nil
}

func (c call) metadataItem(context string, d described) (*request.Reply, error) {
	item, err := c.shape(d, c.Req.Options)
	if err != nil {
		return nil, err
	}
	out := entity.Object{{Name: odata.Context, Value: c.Root + "/$metadata#" + context}}
	for _, m := range item {
		if _, is := m.Value.(entity.Object); is && d.col != nil && (m.Name == "OptionSet" || m.Name == "GlobalOptionSet") { // expanded
			at, _, _ := strings.Cut(strings.TrimSuffix(context, "/$entity"), "/"+request.Namespace)
			at += "(" + d.col.MetadataID.String() + ")/" + request.Namespace + string(d.col.Kind) + "AttributeMetadata/"
			out = append(out, entity.Member{Name: m.Name + odata.Context, Value: c.Root + "/$metadata#" + at + m.Name + "/$entity"})
		}
		out = append(out, m)
	}
	return &request.Reply{Status: http.StatusOK, Body: out.AppendJSON(nil)}, nil
}

func (c call) metadataValue(v any, raw bool, context string) (*request.Reply, error) {
	if raw {
		return &request.Reply{Status: http.StatusOK, Type: "text/plain", Body: []byte(fmt.Sprint(v))}, nil
	}
	out := entity.Object{{Name: odata.Context, Value: c.Root + "/$metadata#" + context}, {Name: "value", Value: v}}
	return &request.Reply{Status: http.StatusOK, Body: out.AppendJSON(nil)}, nil
}

// judge evaluates the dialect of $filter that metadata knows: and, or, not, eq
// and ne of a path with a constant, enums as typed literals (§3.2).
func judge(e query.Expr, o entity.Object) (bool, error) {
	bad := wire.BadQuery("This filter is not supported on metadata.")
	switch x := e.(type) {
	case *query.Unary:
		ok, err := judge(x.X, o)
		if x.Op != "not" {
			err = bad
		}
		return !ok, err
	case *query.Path:
		v, ok := o.Get(pathText(x))
		b, isBool := v.(bool)
		if !ok || !isBool {
			return false, bad
		}
		return b, nil
	case *query.Binary:
		switch x.Op {
		case "and", "or":
			l, err := judge(x.L, o)
			if err != nil {
				return false, err
			}
			r, err := judge(x.R, o)
			return x.Op == "and" && l && r || x.Op == "or" && (l || r), err
		case "eq", "ne":
			p, okP := x.L.(*query.Path)
			lit, okL := x.R.(*query.Literal)
			if !okP || !okL {
				return false, bad
			}
			v, found := o.Get(pathText(p))
			if !found {
				return false, wire.NoProperty(pathText(p), "EntityMetadata")
			}
			if typ := enumOf(pathText(p)); typ != "" && lit.Kind == query.LitString { // enums need a typed literal (§3.2)
				kind := map[string]string{"eq": "Equal", "ne": "NotEqual"}[x.Op]
				return false, wire.BadQuery("A binary operator with incompatible types was detected. Found operand types '%s%s' and 'Edm.String' for operator kind '%s'.", request.Namespace, typ, kind)
			}
			same := fmt.Sprint(v) == lit.Text || v == nil && lit.Kind == query.LitNull
			if lit.Kind == query.LitGUID {
				same = strings.EqualFold(fmt.Sprint(v), lit.Text)
			}
			return same == (x.Op == "eq"), nil
		}
	}
	return false, bad
}

// enumOf is the type of a member of a definition that is an enum, else "".
func enumOf(member string) string {
	switch member {
	case "OwnershipType":
		return "OwnershipTypes"
	case "AttributeType":
		return "AttributeTypeCode"
	case "RequiredLevel/Value":
		return "AttributeRequiredLevel"
	case "RelationshipType", "SecurityTypes", "EntityKeyIndexStatus", "OptionSetType":
		return member
	}
	return ""
}

func pathText(p *query.Path) string {
	names := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		names[i] = s.Name
	}
	return strings.Join(names, "/")
}
