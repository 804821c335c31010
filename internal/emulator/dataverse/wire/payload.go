package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/odata"
)

// Payload is the body of a write, checked against the model.
type Payload struct {
	Type   string // @odata.type without "#" and namespace; "" if none
	ID     string // @odata.id
	Key    allod.GUID
	HasKey bool // the body holds the primary key
	// Passed is the value of a lookup that stands in the body and cannot be
	// written, _x_value; "" if none.
	Passed string
	Values []Assign
	Binds  []Bind
	Nested []Nested
}

// Assign sets a column; of a lookup only null can be assigned this way.
type Assign struct {
	Column *entity.Column
	Value  allod.Value
}

// Bind is Nav@odata.bind: references as written; none clears the lookup.
type Bind struct {
	Nav  *Nav
	Refs []string
}

// Nested is a deep insert.
type Nested struct {
	Nav   *Nav
	Items []*Payload
}

type member struct {
	name string
	raw  json.RawMessage
}

// Members takes a JSON object apart, in order. What is no object is the 400 of
// a payload error.
func members(body []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\uFEFF"))))
	tok, err := dec.Token()
	if err != nil || tok != json.Delim('{') {
		return nil, BadPayload("Invalid JSON. A JSON object was expected.")
	}
	var out []member
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, BadPayload("Invalid JSON.")
		}
		name, ok := key.(string)
		var m member
		if !ok || dec.Decode(&m.raw) != nil {
			return nil, BadPayload("Invalid JSON.")
		}
		m.name = name
		out = append(out, m)
	}
	if _, err := dec.Token(); err != nil {
		return nil, BadPayload("Invalid JSON. Unexpected end of input was found.")
	}
	if dec.More() {
		return nil, BadPayload("Invalid JSON. More than one value was found.")
	}
	return out, nil
}

const maxNesting = 8

// ParsePayload reads the body of a create or update of a row of the table.
func ParsePayload(s *Schema, t *entity.Table, body []byte) (*Payload, error) {
	return parsePayload(s, t, body, maxNesting)
}

func parsePayload(s *Schema, t *entity.Table, body []byte, depth int) (*Payload, error) {
	if depth == 0 {
		return nil, BadPayload("The payload is nested too deeply.")
	}
	list, err := members(body)
	if err != nil {
		return nil, err
	}
	p := &Payload{}
	for _, m := range list {
		if err := p.take(s, t, m, depth); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Payload) take(s *Schema, t *entity.Table, m member, depth int) error {
	prop, term := odata.SplitName(m.name)
	switch {
	case term == "odata.bind":
		return p.bind(s, t, prop, m)
	case m.name == odata.Type:
		text, err := stringOf(t, m)
		p.Type = text[strings.LastIndexByte(text, '.')+1:]
		return err
	case m.name == odata.ID:
		text, err := stringOf(t, m)
		p.ID = text
		return err
	case term != "":
		return nil
	}
	c := t.Column(m.name)
	if c != nil && c.Property() != m.name && !IsLookup(c) {
		c = nil
	}
	nav := s.Nav(t.LogicalName, m.name)
	switch {
	case c != nil && IsLookup(c) && c.Property() == m.name:
		p.Passed = m.name
		return nil // read-only (§6.4)
	case c != nil && !IsLookup(c):
		return p.value(t, c, m)
	case nav != nil:
		return p.nested(s, t, nav, m, depth)
	case c != nil && string(m.raw) == "null":
		p.Values = append(p.Values, Assign{c, allod.NullValue()})
		return nil
	}
	return undeclared(m.name, t)
}

func undeclared(name string, t *entity.Table) error {
	return BadPayload("The property '%s' does not exist on type 'Microsoft.Dynamics.CRM.%s'. Make sure to only use property names that are defined by the type.", name, t.LogicalName)
}

func (p *Payload) bind(s *Schema, t *entity.Table, name string, m member) error {
	nav := s.Nav(t.LogicalName, name)
	if nav == nil {
		return BadPayload("An undeclared property '%s' which only has property annotations in the payload but no property value was found in the payload. In OData, only declared navigation properties and declared named streams can be represented as properties without values.", name)
	}
	b := Bind{Nav: nav}
	switch {
	case string(m.raw) == "null":
	case m.raw[0] == '[' && nav.Kind != NavLookup:
		if err := json.Unmarshal(m.raw, &b.Refs); err != nil {
			return BadPayload("The value of '%s' must be an array of strings.", m.name)
		}
	case m.raw[0] == '"' && nav.Kind == NavLookup:
		text, err := stringOf(t, m)
		if err != nil {
			return err
		}
		b.Refs = []string{text}
	default:
		return BadPayload("The value of '%s' does not fit the navigation property.", m.name)
	}
	p.Binds = append(p.Binds, b)
	return nil
}

func (p *Payload) nested(s *Schema, t *entity.Table, nav *Nav, m member, depth int) error {
	target := s.Model.Table(nav.Target)
	if string(m.raw) == "null" && nav.Kind == NavLookup {
		p.Binds = append(p.Binds, Bind{Nav: nav})
		return nil
	}
	var items []json.RawMessage
	switch {
	case m.raw[0] == '{' && nav.Kind == NavLookup:
		items = []json.RawMessage{m.raw}
	case m.raw[0] == '[' && nav.Kind != NavLookup:
		if err := json.Unmarshal(m.raw, &items); err != nil {
			return BadPayload("The value of '%s' is not an array of objects.", m.name)
		}
	default:
		return BadPayload("The value of the navigation property '%s' of type 'Microsoft.Dynamics.CRM.%s' is neither an object nor an array as its type demands.", m.name, t.LogicalName)
	}
	if target == nil {
		return BadPayload("The navigation property '%s' cannot be inserted deeply.", m.name)
	}
	n := Nested{Nav: nav}
	for _, raw := range items {
		item, err := parsePayload(s, target, raw, depth-1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	p.Nested = append(p.Nested, n)
	return nil
}

func stringOf(t *entity.Table, m member) (string, error) {
	var s string
	if err := json.Unmarshal(m.raw, &s); err != nil || len(m.raw) == 0 || m.raw[0] != '"' {
		return "", wrongType(t, m.name, "Edm.String")
	}
	return s, nil
}

func wrongType(t *entity.Table, name, want string) error {
	return BadPayload("Cannot convert a value to target type '%s' for property '%s' of type 'Microsoft.Dynamics.CRM.%s'.", want, name, t.LogicalName)
}

func (p *Payload) value(t *entity.Table, c *entity.Column, m member) error {
	if c.EdmType == "" && c.LogicalName != t.PrimaryID {
		return undeclared(m.name, t)
	}
	v, err := ParseValue(t, c, m.raw)
	if err != nil {
		return err
	}
	if c.LogicalName == t.PrimaryID || c.LogicalName == t.ODataKey {
		if v.Type() == allod.ID {
			p.Key, p.HasKey = v.GUID(), true
		}
		return nil
	}
	p.Values = append(p.Values, Assign{c, v})
	return nil
}

// ParseValue reads the JSON value of a column that is no lookup.
func ParseValue(t *entity.Table, c *entity.Column, raw json.RawMessage) (allod.Value, error) {
	if string(raw) == "null" {
		return allod.NullValue(), nil
	}
	m := member{c.LogicalName, raw}
	bad := func(edm string) (allod.Value, error) { return allod.Value{}, wrongType(t, c.LogicalName, edm) }
	switch c.Kind {
	case "Boolean":
		switch string(raw) {
		case "true", "false":
			return allod.BooleanValue(raw[0] == 't'), nil
		}
		return bad("Edm.Boolean")
	case "Integer", "BigInt", "Picklist", "State", "Status":
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || c.Kind != "BigInt" && (n > 1<<31-1 || n < -1<<31) {
			return bad("Edm.Int32")
		}
		return allod.IntegerValue(n), nil
	case "Decimal", "Money":
		if !odata.IsNumber(string(raw)) || len(raw) > 40 {
			return bad("Edm.Decimal")
		}
		return decimal(c, string(raw)), nil
	case "Double":
		if _, err := strconv.ParseFloat(string(raw), 64); err != nil || !odata.IsNumber(string(raw)) {
			return bad("Edm.Double")
		}
		return allod.TextValue(allod.Double, rounded(c, string(raw))), nil
	case "ManagedProperty":
		return allod.TextValue(allod.JSON, string(raw)), nil
	}
	text, err := stringOf(t, m)
	if err != nil {
		return bad(c.EdmType)
	}
	return textValue(t, c, text)
}

// rounded is a floating point number as the service keeps it: with no more
// decimals than the column has, 47.639583 becomes 47.63958
// (data/dataverse/documented-http-samples.json, create-entity-web-api).
func rounded(c *entity.Column, digits string) string {
	_, frac, _ := strings.Cut(digits, ".")
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || c.Precision == 0 || len(frac) <= c.Precision || strings.ContainsAny(digits, "eE") {
		return digits
	}
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(f, 'f', c.Precision, 64), "0"), ".")
}

func textValue(t *entity.Table, c *entity.Column, text string) (allod.Value, error) {
	switch c.Kind {
	case "DateTime":
		return dateTime(t, c, text)
	case "Uniqueidentifier":
		g, err := allod.ParseGUID(text)
		if err != nil {
			return allod.Value{}, wrongType(t, c.LogicalName, "Edm.Guid")
		}
		return allod.IDValue(g), nil
	case "MultiSelectPicklist":
		return allod.TextValue(allod.Choices, text), nil
	case "Image":
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return allod.Value{}, Refuse(http.StatusBadRequest, "0x80072553", "Invalid image file content.")
		}
		return allod.TextValue(allod.Binary, text), nil
	}
	if c.EdmType == "Edm.Guid" {
		g, err := allod.ParseGUID(text)
		if err != nil {
			return allod.Value{}, wrongType(t, c.LogicalName, "Edm.Guid")
		}
		return allod.IDValue(g), nil
	}
	if c.EdmType == "Edm.Binary" {
		return allod.TextValue(allod.Binary, text), nil
	}
	return allod.StringValue(text), nil
}

// dateTime normalises to UTC without a fraction (§2.3) and refuses years the
// database cannot hold (§3.3).
func dateTime(t *entity.Table, c *entity.Column, text string) (allod.Value, error) {
	day, dayErr := time.Parse(time.DateOnly, text)
	at, err := time.Parse(time.RFC3339, text)
	if c.EdmType == "Edm.Date" || c.Behavior == "DateOnly" {
		if dayErr != nil {
			return allod.Value{}, wrongType(t, c.LogicalName, "Edm.Date")
		}
		return allod.TextValue(allod.Date, text), inRange(day)
	}
	if err != nil {
		if dayErr != nil {
			return allod.Value{}, wrongType(t, c.LogicalName, "Edm.DateTimeOffset")
		}
		at = day
	}
	return allod.TextValue(allod.DateTime, Stamp(at)), inRange(at)
}

func inRange(t time.Time) error {
	if t.Year() < 1753 {
		return Refuse(http.StatusBadRequest, "0x80040239", "DateTime is less than minumum value supported by CrmDateTime. Actual value: %s, Minimum value supported: 01/01/1753 00:00:00", t.Format("01/02/2006 15:04:05"))
	}
	return nil
}

// Stamp writes a moment as rows hold it.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// decimal pads or rounds money to the four digits the database keeps; other
// decimals keep the digits they came with, exponents written out.
func decimal(c *entity.Column, text string) allod.Value {
	if strings.ContainsAny(text, "eE") {
		f, _ := strconv.ParseFloat(text, 64) // IsNumber has said yes; overflow gives Inf, written as digits no one reads back
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if c.Kind != "Money" {
		return allod.TextValue(allod.Decimal, text)
	}
	whole, frac, _ := strings.Cut(text, ".")
	if len(frac) > 4 && strings.Trim(frac[4:], "0") != "" {
		f, _ := strconv.ParseFloat(text, 64) // as above
		return allod.TextValue(allod.Decimal, strconv.FormatFloat(f, 'f', 4, 64))
	}
	return allod.TextValue(allod.Decimal, whole+"."+(frac + "0000")[:4])
}
