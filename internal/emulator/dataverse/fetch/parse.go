// Package fetch reads FetchXML and evaluates it over the rows of the store
// (protocols/dataverse.md §4.6). It decides which rows and values answer a
// query; how they look in a response is not its business.
package fetch

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/wire"
)

// What a query may hold. That of the links is the service's own (learn.microsoft.com,
// fetchxml/join-tables); the others bound the work one request can cause.
const (
	maxText       = 256 << 10 // bytes
	maxDepth      = 32        // of elements
	maxElements   = 5000
	maxLinks      = 15
	maxConditions = 500
	maxLike       = 4000 // bytes of a pattern
)

// Query is a parsed fetch element.
type Query struct {
	Top, Count, Page int    // 0 = not given
	Cookie           string // paging-cookie, decoded
	Distinct         bool
	Aggregate        bool
	Total            bool   // returntotalrecordcount
	RawOrder         bool   // useraworderby: choices by value, not by label
	Limit            int    // aggregatelimit; 0 = the service's own
	Source           string // datasource: bin or retained, whose rows the caller gives; "" = the live rows
	Root             *Entity

	links, conditions int
}

// Entity is an entity or link-entity element.
type Entity struct {
	Name, Alias, From, To string
	Join                  Join // of a link-entity
	All                   bool // all-attributes
	Attributes            []Attribute
	Orders                []Order
	Filters               []Filter // all must hold
	Links                 []*Entity
}

// Attribute is a column asked for.
type Attribute struct {
	Name, Alias, Aggregate, DateGrouping string
	GroupBy, Distinct                    bool
	Children                             bool // rowaggregate CountChildren
	UTC                                  bool // usertimezone is false
}

// Order sorts by a column, or in aggregates by the alias of one; Entity is the
// alias of a link-entity whose column it is, "" = of the element it stands in.
type Order struct {
	Attribute, Alias, Entity string
	Descending               bool
}

// Filter joins conditions, filters and tests of related rows by and, or by or.
type Filter struct {
	Or         bool
	Conditions []Condition
	Filters    []Filter
	Links      []*Entity // of the kinds Any to NotAll
}

// Condition compares a column of the element it stands in, or of the one the
// alias in Entity names.
type Condition struct {
	Attribute, Entity, Operator string
	ValueOf                     string
	Values                      []string
}

func invalid(format string, args ...any) error {
	return wire.Refuse(http.StatusBadRequest, "0x80040203", format, args...)
}

// element is one element with what stands in it.
type element struct {
	name     string
	attrs    map[string]string
	text     string
	children []*element
}

func (e *element) flag(name string) bool {
	v := e.attrs[name]
	return v == "1" || strings.EqualFold(v, "true")
}

func (e *element) number(name string) (int, error) {
	v, ok := e.attrs[name]
	if !ok || v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 1 {
		return 0, invalid("The value of the attribute '%s' of the fetch element is invalid.", name)
	}
	return int(n), nil
}

// Parse reads a fetch element. What it refuses is a *wire.Error.
func Parse(text string) (*Query, error) {
	if len(text) > maxText {
		return nil, invalid("The FetchXML is longer than %d bytes.", maxText)
	}
	top, err := tree(text)
	if err != nil {
		return nil, err
	}
	if top.name != "fetch" {
		return nil, invalid("Invalid XML: the element 'fetch' was expected.")
	}
	source := top.attrs["datasource"]
	switch source {
	case "", "bin", "retained":
	default:
		return nil, invalid("The value '%s' of the attribute datasource is not valid.", source)
	}
	q := &Query{Source: source, Cookie: top.attrs["paging-cookie"], Distinct: top.flag("distinct"), Aggregate: top.flag("aggregate"), Total: top.flag("returntotalrecordcount")}
	q.RawOrder = top.flag("useraworderby")
	for name, to := range map[string]*int{"top": &q.Top, "count": &q.Count, "page": &q.Page, "aggregatelimit": &q.Limit} {
		if *to, err = top.number(name); err != nil {
			return nil, err
		}
	}
	if q.Top > 0 && (q.Page > 0 || q.Count > 0) {
		return nil, invalid("The top attribute can't be specified with paging attributes page and count.")
	}
	var orders []Order
	for _, c := range top.children {
		switch {
		case c.name == "entity" && q.Root == nil:
			if q.Root, err = q.entity(c); err != nil {
				return nil, err
			}
		case c.name == "order":
			orders = append(orders, ordering(c))
		default:
			return nil, invalid("Invalid XML: the element '%s' was not expected.", c.name)
		}
	}
	if q.Root == nil {
		return nil, invalid("Invalid XML: the element 'entity' is missing.")
	}
	q.Root.Orders = append(q.Root.Orders, orders...)
	if source == "retained" && (q.Aggregate || len(q.Root.Links) > 0) { // "View long term retained data"
		return nil, invalid("Joins and aggregation functions aren't allowed in a query of retained data.")
	}
	return q, nil
}

// tree reads the XML within the bounds. There are no document types, so no
// entities but the five of XML.
func tree(text string) (*element, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	var stack []*element
	var top *element
	n := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, invalid("Invalid XML.")
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			n++
			if n > maxElements || len(stack) >= maxDepth || top != nil && len(stack) == 0 {
				return nil, invalid("Invalid XML: too many elements.")
			}
			e := &element{name: tok.Name.Local, attrs: map[string]string{}}
			for _, a := range tok.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			if len(stack) == 0 {
				top = e
			} else {
				up := stack[len(stack)-1]
				up.children = append(up.children, e)
			}
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 && stack[len(stack)-1].name == "value" {
				stack[len(stack)-1].text += string(tok)
			}
		case xml.Directive:
			return nil, invalid("Invalid XML: a document type is not allowed.")
		}
	}
	if top == nil {
		return nil, invalid("Invalid XML.")
	}
	return top, nil
}

// alias refuses a name that no column of a response can have.
func alias(name string) error {
	for i := range len(name) {
		c := name[i]
		if !(c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || i > 0 && (c == '.' || c >= '0' && c <= '9')) {
			return invalid("Invalid character specified for alias: %q. Only characters within the ranges [A-Z], [a-z] or [0-9] or _ are allowed.  The first character may only be in the ranges [A-Z], [a-z] or _.", name)
		}
	}
	return nil
}

func (q *Query) entity(x *element) (*Entity, error) {
	e := &Entity{Name: x.attrs["name"], Alias: x.attrs["alias"], From: x.attrs["from"], To: x.attrs["to"]}
	if e.Name == "" {
		return nil, invalid("Invalid XML: the attribute 'name' of the element '%s' is missing.", x.name)
	}
	if err := alias(e.Alias); err != nil {
		return nil, err
	}
	if x.name == "link-entity" {
		if q.links++; q.links > maxLinks {
			return nil, wire.Refuse(http.StatusBadRequest, "0x8004430D", "Number of link entities in query exceeded maximum limit.")
		}
		var ok bool
		if e.Join, ok = joinOf(x.attrs["link-type"]); !ok {
			return nil, invalid("The link-type '%s' is not valid.", x.attrs["link-type"])
		}
	}
	for _, c := range x.children {
		if err := q.member(e, c); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// member reads what stands in an entity or link-entity.
func (q *Query) member(e *Entity, x *element) error {
	switch x.name {
	case "all-attributes":
		e.All = true
	case "no-attrs":
	case "attribute":
		a := Attribute{Name: x.attrs["name"], Alias: x.attrs["alias"], Aggregate: x.attrs["aggregate"], DateGrouping: x.attrs["dategrouping"], GroupBy: x.flag("groupby"), Distinct: x.flag("distinct"), UTC: x.attrs["usertimezone"] != "" && !x.flag("usertimezone")}
		switch kind := x.attrs["rowaggregate"]; kind {
		case "":
		case "CountChildren":
			a.Children = true
		default:
			return invalid("The rowaggregate '%s' is not valid.", kind)
		}
		if a.Name == "" {
			return invalid("Invalid XML: the attribute 'name' of the element 'attribute' is missing.")
		}
		if err := alias(a.Alias); err != nil {
			return err
		}
		e.Attributes = append(e.Attributes, a)
	case "order":
		e.Orders = append(e.Orders, ordering(x))
	case "filter":
		f, err := q.filter(x)
		if err != nil {
			return err
		}
		e.Filters = append(e.Filters, f)
	case "link-entity":
		l, err := q.entity(x)
		if err != nil {
			return err
		}
		if l.Join.filters() {
			return invalid("The link-type '%s' is only valid within a filter element.", l.Join)
		}
		e.Links = append(e.Links, l)
	default:
		return invalid("Invalid XML: the element '%s' was not expected.", x.name)
	}
	return nil
}

func ordering(x *element) Order {
	return Order{x.attrs["attribute"], x.attrs["alias"], x.attrs["entityname"], x.flag("descending")}
}

func (q *Query) filter(x *element) (Filter, error) {
	f := Filter{}
	switch x.attrs["type"] {
	case "", "and":
	case "or":
		f.Or = true
	default:
		return f, invalid("Invalid filter type '%s'.", x.attrs["type"])
	}
	for _, c := range x.children {
		switch c.name {
		case "filter":
			sub, err := q.filter(c)
			if err != nil {
				return f, err
			}
			f.Filters = append(f.Filters, sub)
		case "condition":
			cond, err := q.condition(c)
			if err != nil {
				return f, err
			}
			f.Conditions = append(f.Conditions, cond)
		case "link-entity":
			l, err := q.entity(c)
			if err != nil {
				return f, err
			}
			if !l.Join.filters() {
				return f, invalid("The link-type '%s' is not valid within a filter element.", l.Join)
			}
			f.Links = append(f.Links, l)
		default:
			return f, invalid("Invalid XML: the element '%s' was not expected.", c.name)
		}
	}
	return f, nil
}

func (q *Query) condition(x *element) (Condition, error) {
	c := Condition{Attribute: x.attrs["attribute"], Entity: x.attrs["entityname"], Operator: x.attrs["operator"], ValueOf: x.attrs["valueof"]}
	if q.conditions++; q.conditions > maxConditions {
		return c, wire.Refuse(http.StatusBadRequest, "0x8004430C", "Number of conditions in query exceeded maximum limit.")
	}
	if c.Attribute == "" || c.Operator == "" {
		return c, invalid("Invalid XML: a condition needs an attribute and an operator.")
	}
	if v, ok := x.attrs["value"]; ok {
		c.Values = append(c.Values, v)
	}
	for _, v := range x.children {
		if v.name != "value" {
			return c, invalid("Invalid XML: the element '%s' was not expected.", v.name)
		}
		c.Values = append(c.Values, strings.TrimSpace(v.text))
	}
	return c, nil
}
