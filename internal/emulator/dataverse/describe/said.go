package describe

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// maxDepth bounds how deep definitions nest.
const maxDepth = 16

// ParseObject reads a JSON object whose members keep their order. Arrays may
// hold objects or texts; other members of arrays are left out. What is no such
// object, or nests deeper than definitions do, is Invalid.
func ParseObject(text []byte) (entity.Object, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "read definition: %w", err)
	}
	o, ok := v.(entity.Object)
	if !ok {
		return nil, allod.Errorf(allod.Invalid, "read definition: no object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, allod.Errorf(allod.Invalid, "read definition: more than one object")
	}
	return o, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, allod.Errorf(allod.Invalid, "nested too deep")
	}
	switch x := t.(type) {
	case json.Delim:
		if x == '{' {
			return parseMembers(d, depth)
		}
		return parseArray(d, depth)
	case json.Number:
		if n, err := strconv.Atoi(x.String()); err == nil {
			return n, nil
		}
		return x.Float64()
	default:
		return x, nil
	}
}

func parseMembers(d *json.Decoder, depth int) (any, error) {
	o, place := entity.Object{}, map[string]int{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, allod.Errorf(allod.Invalid, "a member without a name")
		}
		v, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		if i, again := place[name]; again { // the last one counts
			o[i].Value = v
			continue
		}
		place[name] = len(o)
		o = append(o, entity.Member{Name: name, Value: v})
	}
	_, err := d.Token()
	return o, err
}

func parseArray(d *json.Decoder, depth int) (any, error) {
	objects, texts := []entity.Object{}, []string{}
	for d.More() {
		v, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		switch x := v.(type) {
		case entity.Object:
			objects = append(objects, x)
		case string:
			texts = append(texts, x)
		}
	}
	_, err := d.Token()
	if len(texts) > 0 {
		return texts, err
	}
	return objects, err
}

// Over puts members over those of the same name, and behind the others where
// there is none.
func Over(o, members entity.Object) entity.Object {
	if len(members) == 0 {
		return o
	}
	out := slices.Clone(o)
	for _, m := range members {
		i := slices.IndexFunc(out, func(x entity.Member) bool { return x.Name == m.Name })
		if i < 0 {
			out = append(out, m)
			continue
		}
		out[i] = m
	}
	return out
}

// Said reads what somebody wrote of an item; text that is none counts as
// nothing.
func Said(text []byte) entity.Object {
	if len(text) == 0 {
		return nil
	}
	o, err := ParseObject(text)
	if err != nil {
		return nil // the text is made by AppendJSON
	}
	return o
}

// Table is EntityMetadata without its collections (protocols/dataverse.md
// §3.2).
func Table(t *entity.Table) entity.Object { return Over(t.Definition(), Said(t.Said)) }

// Column is AttributeMetadata without choices (§3.3).
func Column(c *entity.Column, t *entity.Table) entity.Object {
	return Over(c.Definition(t), Said(c.Said))
}

// Relationship is OneToManyRelationshipMetadata or
// ManyToManyRelationshipMetadata with @odata.type (§3.4).
func Relationship(r *entity.Relationship) entity.Object { return Over(r.Definition(), Said(r.Said)) }

// Keys is the table's EntityKeyMetadata, keys without an index last (§3.4).
func Keys(t *entity.Table) []entity.Object {
	all := entity.Table{LogicalName: t.LogicalName, Keys: slices.Concat(t.Keys, t.Failed)}
	out := all.KeyDefinitions()
	for i, k := range all.Keys {
		out[i] = Over(out[i], Said(k.Said))
		if i >= len(t.Keys) {
			out[i] = Over(out[i], entity.Object{{Name: "EntityKeyIndexStatus", Value: cmp.Or(k.Status, "Failed")}})
		}
	}
	return out
}

// Choices is OptionSetMetadata, or BooleanOptionSetMetadata for Boolean
// columns; ok is false for columns without choices (§3.3).
func Choices(c *entity.Column) (o entity.Object, ok bool) {
	o, ok = c.Choices()
	if !ok {
		return nil, false
	}
	o = Over(o, Said(c.OptionSet.Said))
	for i, m := range o {
		switch list := m.Value.(type) {
		case []entity.Object:
			if m.Name != "Options" {
				continue
			}
			for j := range list {
				list[j] = Over(list[j], Said(c.OptionSet.Options[j].Said))
			}
		case entity.Object:
			for _, x := range c.OptionSet.Options {
				if m.Name == "TrueOption" && x.Value != 0 || m.Name == "FalseOption" && x.Value == 0 {
					o[i].Value = Over(list, Said(x.Said))
				}
			}
		}
	}
	return o, true
}

// Globals returns the global choices of the model by name, each as the column
// that shows it, or as one that might.
func Globals(m *entity.Model) (out []*entity.Column) {
	seen := map[string]bool{}
	add := func(c *entity.Column) {
		if c.OptionSet != nil && c.OptionSet.Global && !seen[c.OptionSet.Name] {
			seen[c.OptionSet.Name] = true
			out = append(out, c)
		}
	}
	for _, set := range m.Choices {
		c := &entity.Column{Kind: "Picklist", OptionSet: set}
		if t, _ := Said(set.Said).Get("OptionSetType"); t == "Boolean" {
			c.Kind = "Boolean"
		}
		add(c)
	}
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			add(c)
		}
	}
	return out
}
