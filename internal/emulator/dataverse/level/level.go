// Package level writes JSON with less or more control information than the service
// does by itself: odata.metadata=none and full of the header Accept (OData JSON Format
// 4.0, "Controlling the Amount of Control Information in Responses";
// protocols/dataverse.md §2.2). Nobody has seen what Dataverse makes of the second:
// where the format leaves a choice it is that of Microsoft's OData library, as far as
// its documentation tells.
package level

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
)

// Level is an amount of control information.
type Level string

// The amounts there are.
const (
	Minimal Level = "minimal"
	Full    Level = "full"
	None    Level = "none"
)

// Of is the level that a request asks for: that of the first application/json which
// names one; any other word counts as minimal.
func Of(h http.Header) Level {
	for _, part := range strings.Split(strings.Join(h.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil || kind != "application/json" || params["odata.metadata"] == "" {
			continue
		}
		switch l := Level(strings.ToLower(params["odata.metadata"])); l {
		case Full, None:
			return l
		case Minimal:
		}
		return Minimal
	}
	return Minimal
}

// ContentType is the type of JSON at the level.
func (l Level) ContentType() string { return "application/json; odata.metadata=" + string(l) }

// object and array are JSON with its members in order; other values are as
// encoding/json reads them, numbers as they are written.
type (
	object []member
	array  []any
	member struct {
		name  string
		value any
	}
)

// Rewrite writes a body, which has minimal control information, at the level. What is
// no JSON object stays as it is.
func (l Level) Rewrite(s *wire.Schema, body []byte) []byte {
	if l == Minimal {
		return body
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := read(d)
	o, ok := v.(object)
	if err != nil || !ok {
		return body
	}
	if l == None {
		return appendValue(nil, strip(o))
	}
	return appendValue(nil, whole(s, o))
}

// read reads the next value. Bodies are the server's own, so that they nest no deeper
// than it makes them.
func read(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	var o object
	a := array{}
	for d.More() {
		name := ""
		if delim == '{' {
			t, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ = t.(string)
		}
		v, err := read(d)
		if err != nil {
			return nil, err
		}
		o, a = append(o, member{name, v}), append(a, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if delim == '{' {
		return o, nil
	}
	return a, nil
}

func appendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case object:
		b = append(b, '{')
		for i, m := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(odata.AppendString(b, m.name), ':')
			b = appendValue(b, m.value)
		}
		return append(b, '}')
	case array:
		b = append(b, '[')
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, e)
		}
		return append(b, ']')
	case string:
		return odata.AppendString(b, x)
	case json.Number:
		return append(b, x...)
	case bool:
		if x {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	}
	return append(b, "null"...)
}

// strip leaves out control information but for links to what follows, and counts.
// Annotations that a client asked for are none of it.
func strip(v any) any {
	switch x := v.(type) {
	case object:
		out := object{}
		for _, m := range x {
			if _, word, control := strings.Cut(m.name, "@odata."); control && word != "nextLink" && word != "count" && word != "deltaLink" {
				continue
			}
			out = append(out, member{m.name, strip(m.value)})
		}
		return out
	case array:
		out := make(array, len(x))
		for i, e := range x {
			out[i] = strip(e)
		}
		return out
	}
	return v
}

// get returns the member of the name, nil when there is none.
func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// whole adds what is left out of a response because its context tells it.
func whole(s *wire.Schema, o object) object {
	context, _ := o.get("@odata.context").(string)
	root, fragment, ok := strings.Cut(context, "/$metadata#")
	if !ok {
		return o
	}
	if strings.HasPrefix(fragment, "Microsoft.Dynamics.CRM.") && o.get("@odata.type") == nil {
		return append(object{o[0], {"@odata.type", "#" + fragment}}, o[1:]...)
	}
	one := strings.HasSuffix(fragment, "/$entity")
	fragment = strings.TrimSuffix(strings.TrimSuffix(fragment, "/$entity"), "/$delta")
	set, columns, chosen := strings.Cut(fragment, "(")
	t := s.Model.Set(set)
	if t == nil || chosen && !strings.HasSuffix(columns, ")") { // a property of a row
		return o
	}
	r := &rows{s: s, root: root}
	if one {
		return r.row(t, o, !chosen)
	}
	out := make(object, len(o))
	for i, m := range o {
		if list, ok := m.value.(array); ok && m.name == "value" {
			m.value = r.list(t, list, !chosen)
		}
		out[i] = m
	}
	return out
}

// rows completes rows of a response.
type rows struct {
	s    *wire.Schema
	root string // of the service
}

func (r *rows) list(t *entity.Table, list array, links bool) array {
	out := make(array, len(list))
	for i, e := range list {
		if o, ok := e.(object); ok {
			e = r.row(t, o, links)
		}
		out[i] = e
	}
	return out
}

// row completes one row: its type, its own address, the types of values that JSON
// does not tell, and links; with links those of every navigation property, else only
// of those that are expanded. A line of an aggregate has no key, and no address.
func (r *rows) row(t *entity.Table, o object, links bool) object {
	key, _ := o.get(t.ODataKey).(string)
	if key == "" {
		key, _ = o.get(t.PrimaryID).(string)
	}
	at := t.SetName + "(" + key + ")"
	var out object
	head := 0
	for head < len(o) && strings.HasPrefix(o[head].name, "@") {
		out = append(out, o[head])
		head++
	}
	if key != "" {
		own := object{{"@odata.type", "#Microsoft.Dynamics.CRM." + t.LogicalName}, {"@odata.id", r.root + "/" + at}, {"@odata.editLink", at}}
		if len(out) > 0 && out[0].name == "@odata.context" {
			out = append(append(out[:1:1], own...), out[1:]...)
		} else {
			out = append(own, out...)
		}
	}
	seen := map[string]bool{}
	link := func(nav string) {
		if key != "" && !seen[nav] {
			seen[nav] = true
			out = append(out, member{nav + "@odata.associationLink", r.root + "/" + at + "/" + nav + "/$ref"}, member{nav + "@odata.navigationLink", r.root + "/" + at + "/" + nav})
		}
	}
	for _, m := range o[head:] {
		c := t.Column(m.name)
		switch nav := r.s.Nav(t.LogicalName, m.name); {
		case c != nil && c.Property() == m.name:
			if m.value != nil && plain(m.value) && told(c.EdmType) != "" {
				out = append(out, member{m.name + "@odata.type", told(c.EdmType)})
			}
		case nav != nil:
			link(m.name)
			m.value = r.related(nav, m.value)
		}
		out = append(out, m)
	}
	if links {
		for _, nav := range r.s.Navs(t.LogicalName) {
			link(nav)
		}
	}
	return out
}

// related completes what an expanded navigation property leads to.
func (r *rows) related(nav *wire.Nav, v any) any {
	t := r.s.Model.Table(nav.Target)
	if nav.Target == "owner" || nav.Target == "principal" {
		t = r.s.Model.Table("systemuser")
	}
	if t == nil {
		return v
	}
	switch x := v.(type) {
	case object:
		return r.row(t, x, false)
	case array:
		return r.list(t, x, false)
	}
	return v
}

// plain reports whether a value is neither an object nor an array.
func plain(v any) bool {
	switch v.(type) {
	case object, array:
		return false
	}
	return true
}

// told is the type of a value as it is written, "" for one that JSON tells: texts,
// truth values, whole numbers of 32 bits and doubles.
func told(edm string) string {
	switch edm {
	case "", "Edm.String", "Edm.Boolean", "Edm.Int32", "Edm.Double":
		return ""
	}
	name, ok := strings.CutPrefix(edm, "Edm.")
	if !ok {
		return ""
	}
	return "#" + name
}
