package expression

import (
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/fetch"
)

// writer writes FetchXML.
type writer struct{ strings.Builder }

// FetchXML writes the query as FetchXML.
func FetchXML(q *fetch.Query) string {
	w := &writer{}
	w.open("fetch", "version", "1.0", "output-format", "xml-platform", "mapping", "logical", "top", number(q.Top), "count", number(q.Count), "page", number(q.Page),
		"paging-cookie", q.Cookie, "returntotalrecordcount", yes(q.Total), "distinct", yes(q.Distinct), "aggregate", yes(q.Aggregate),
		"aggregatelimit", number(q.Limit), "useraworderby", yes(q.RawOrder), "datasource", q.Source)
	w.entity("entity", q.Root)
	w.close("fetch")
	return w.String()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func yes(on bool) string {
	if on {
		return "true"
	}
	return ""
}

// open writes a start tag with those attributes that have a value.
func (w *writer) open(name string, attrs ...string) {
	w.WriteByte('<')
	w.WriteString(name)
	for i := 0; i < len(attrs); i += 2 {
		if attrs[i+1] == "" {
			continue
		}
		w.WriteByte(' ')
		w.WriteString(attrs[i])
		w.WriteString(`="`)
		w.text(attrs[i+1])
		w.WriteByte('"')
	}
	w.WriteByte('>')
}

func (w *writer) close(name string) { w.WriteString("</" + name + ">") }

// leaf writes an element without content.
func (w *writer) leaf(name string, attrs ...string) {
	w.open(name, attrs...)
	w.close(name)
}

func (w *writer) text(s string) {
	_, _ = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").WriteString(w, s) // a Builder takes all
}

func (w *writer) entity(name string, e *fetch.Entity) {
	if name == "entity" {
		w.open(name, "name", e.Name)
	} else {
		w.open(name, "name", e.Name, "from", e.From, "to", e.To, "link-type", e.Join.String(), "alias", e.Alias)
	}
	if e.All {
		w.leaf("all-attributes")
	}
	for _, a := range e.Attributes {
		children := ""
		if a.Children {
			children = "CountChildren"
		}
		w.leaf("attribute", "name", a.Name, "alias", a.Alias, "aggregate", a.Aggregate, "groupby", yes(a.GroupBy), "dategrouping", a.DateGrouping, "distinct", yes(a.Distinct), "rowaggregate", children)
	}
	for _, o := range e.Orders {
		w.leaf("order", "attribute", o.Attribute, "alias", o.Alias, "entityname", o.Entity, "descending", yes(o.Descending))
	}
	for _, f := range e.Filters {
		w.filter(f)
	}
	for _, l := range e.Links {
		w.entity("link-entity", l)
	}
	w.close(name)
}

// filter writes a filter, unless it is empty.
func (w *writer) filter(f fetch.Filter) {
	if len(f.Conditions)+len(f.Filters)+len(f.Links) == 0 {
		return
	}
	kind := "and"
	if f.Or {
		kind = "or"
	}
	w.open("filter", "type", kind)
	for _, c := range f.Conditions {
		if len(c.Values) == 1 && c.Values[0] != "" {
			w.leaf("condition", "entityname", c.Entity, "attribute", c.Attribute, "operator", c.Operator, "value", c.Values[0])
			continue
		}
		w.open("condition", "entityname", c.Entity, "attribute", c.Attribute, "operator", c.Operator, "valueof", c.ValueOf)
		for _, v := range c.Values {
			w.open("value")
			w.text(v)
			w.close("value")
		}
		w.close("condition")
	}
	for _, sub := range f.Filters {
		w.filter(sub)
	}
	for _, l := range f.Links {
		w.entity("link-entity", l)
	}
	w.close("filter")
}
