package dataverse

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"allod"
	"allod/internal/odata"
	"allod/internal/source"
	"allod/internal/source/dataverse/metadata"
	"allod/internal/source/odataclient/scan"
)

// identifier is what a logical name looks like.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,127}$`)

// payload builds the JSON body of a write.
type payload struct {
	w        *writer
	table    *allod.Table
	creating bool
	out      []byte
	left     []string // columns that the source does not take
}

func (p *payload) name(name string) {
	if len(p.out) == 0 {
		p.out = append(p.out, '{')
	} else {
		p.out = append(p.out, ',')
	}
	p.out = append(scan.AppendString(p.out, name), ':')
}

func (p *payload) text(name, value string) {
	p.name(name)
	p.out = scan.AppendString(p.out, value)
}

func (p *payload) raw(name string, value []byte) {
	p.name(name)
	p.out = append(p.out, value...)
}

func (p *payload) empty() bool { return len(p.out) == 0 }

func (p *payload) body() []byte {
	if p.empty() {
		return []byte("{}")
	}
	return append(p.out, '}')
}

func (p *payload) note() string {
	if len(p.left) == 0 {
		return ""
	}
	return "left out, not writable: " + strings.Join(p.left, ", ")
}

func writable(c *allod.Column, creating bool) bool {
	if creating {
		return c.Create
	}
	return c.Update
}

// cells appends the cells in the order of their names. The service drops
// values of columns it does not take without a word (protocols/dataverse.md
// §15.4), so they are left out here and noted.
func (p *payload) cells(ctx context.Context, cells map[string]allod.Value) error {
	for _, name := range slices.Sorted(maps.Keys(cells)) {
		c, v := p.table.Column(name), cells[name]
		switch {
		case c == nil:
			return p.bad(name, "there is no such column")
		case v.IsAbsent():
			return p.bad(name, "an absent value is never written")
		case name == p.table.Key:
			continue // the address says it
		case !writable(c, p.creating):
			p.left = append(p.left, name)
			continue
		case c.Type == allod.File || v.Type() == allod.File:
			return p.bad(name, "files are written by an op of their own")
		case c.Type == allod.Lookup || v.Type() == allod.Lookup:
			if err := p.lookup(ctx, c, v); err != nil {
				return err
			}
			continue
		}
		if err := p.value(name, v); err != nil {
			return err
		}
	}
	return nil
}

func (p *payload) bad(column, why string) error {
	return allod.Errorf(allod.Invalid, "%s, table %s, column %s: %s", p.w.s.name, p.table.Name, column, why)
}

func (p *payload) value(name string, v allod.Value) error {
	switch v.Type() {
	case allod.Null:
		p.raw(name, []byte("null"))
	case allod.Integer:
		p.raw(name, strconv.AppendInt(nil, v.Int(), 10))
	case allod.Boolean:
		p.raw(name, strconv.AppendBool(nil, v.Bool()))
	case allod.Decimal, allod.Double:
		s := scan.New(v.Text())
		if _, err := s.Number(); err != nil || s.End() != nil {
			return p.bad(name, "the value is not a number")
		}
		p.raw(name, []byte(v.Text()))
	case allod.ID:
		p.text(name, v.GUID().String())
	case allod.JSON:
		s := scan.New(v.Text())
		if err := s.Skip(); err != nil || s.End() != nil {
			return p.bad(name, "the value is not JSON")
		}
		p.raw(name, []byte(v.Text()))
	case allod.String, allod.DateTime, allod.Date, allod.Choices, allod.Binary:
		p.text(name, v.Text())
	default:
		return p.bad(name, "a value of type "+v.Type().String()+" cannot be written")
	}
	return nil
}

// lookup binds or clears a reference through its navigation property, never
// through the column's name (protocols/dataverse.md §6.4, §15.5).
func (p *payload) lookup(ctx context.Context, c *allod.Column, v allod.Value) error {
	if v.IsNull() {
		if p.creating {
			return nil // a new row refers to nothing
		}
		navs := slices.Sorted(maps.Values(c.Bind))
		for _, nav := range slices.Compact(navs) {
			p.raw(nav+odata.BindSuffix, []byte("null"))
		}
		if len(navs) == 0 {
			p.left = append(p.left, c.Name)
		}
		return nil
	}
	table, id := v.Target()
	if v.Type() != allod.Lookup {
		return p.bad(c.Name, "a lookup wants a reference")
	}
	if table == "" && len(c.Bind) == 1 {
		for only := range c.Bind {
			table = only
		}
	}
	nav := c.Bind[table]
	if nav == "" {
		if table == "" {
			return p.bad(c.Name, "the table of the reference is not known")
		}
		return p.bad(c.Name, "it cannot refer to table "+table+" here")
	}
	set, err := p.w.s.entitySet(ctx, table)
	if err != nil {
		return err
	}
	p.text(nav+odata.BindSuffix, "/"+set+"("+id.String()+")")
	return nil
}

// partyNavigation returns the collection of participants of an activity table,
// e.g. email_activity_parties.
func (s *Source) partyNavigation(ctx context.Context, table string) (string, error) {
	s.mu.Lock()
	navs := s.parties
	s.mu.Unlock()
	if navs == nil {
		var e metadata.Entity
		if err := s.getJSON(ctx, "EntityDefinitions(LogicalName='activityparty')?$select=LogicalName&$expand=ManyToOneRelationships", "activityparty", &e); err != nil {
			return "", err
		}
		navs = map[string]string{}
		for i := range e.ManyToOneRelationships {
			if r := &e.ManyToOneRelationships[i]; r.ReferencingAttribute == "activityid" && r.ReferencedEntityNavigationPropertyName != "" {
				navs[r.ReferencedEntity] = r.ReferencedEntityNavigationPropertyName
			}
		}
		s.mu.Lock()
		s.parties = navs
		s.mu.Unlock()
	}
	if nav := navs[table]; nav != "" {
		return nav, nil
	}
	return "", allod.Errorf(allod.Invalid, "%s, table %s: it has no participants", s.name, table)
}

// partyList makes the array of an activity's participants. Their keys and the
// reference to the activity are the service's to give.
func (w *writer) partyList(ctx context.Context, op *source.Op) ([]byte, error) {
	t := op.PartyTable
	if t == nil {
		return nil, allod.Errorf(allod.Invalid, "%s: participants without their table", w.s.name)
	}
	list := []byte{'['}
	for i := range op.Parties {
		p := payload{w: w, table: t, creating: true}
		cells := map[string]allod.Value{}
		for j := range op.Parties[i].Cells {
			c, v := &t.Columns[j], op.Parties[i].Cells[j]
			if c.Name == "activityid" || c.Name == t.Key || !c.Create || v.IsAbsent() || v.IsNull() && c.Native != "Boolean" || c.Derived != "" { // two-option columns have defaults
				continue
			}
			cells[c.Name] = v
		}
		if err := p.cells(ctx, cells); err != nil {
			return nil, err
		}
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, p.body()...)
	}
	return append(list, ']'), nil
}
