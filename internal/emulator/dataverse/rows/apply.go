package rows

import (
	"net/http"
	"sort"

	"allod"
	"allod/internal/emulator/dataverse/aggregate"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// apply answers GET of a set with $apply (§4.5).
func (c Reader) apply(t *entity.Table) (*request.Reply, error) {
	o := c.Req.Options
	for _, name := range []string{"$filter", "$expand", "$select", "$count", "$skiptoken"} {
		if o.Has(name) {
			return nil, wire.Refuse(http.StatusNotImplemented, "0x80040800", "The emulator does not answer %s beside $apply.", name)
		}
	}
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		visible, err := c.access(tx, t)
		if err != nil {
			return err
		}
		source := aggregate.Source[Entity]{
			Rows: func(keep func(Entity) (bool, error)) ([]Entity, error) {
				l := &listing{from: c.rowsOf(tx, t), accept: func(e Entity) (bool, error) {
					if !visible(e) {
						return false, nil
					}
					return keep(e)
				}}
				return l.all()
			},
			Filter: func(e query.Expr) (func(Entity) (bool, error), error) { return c.filter(tx, t, e, o.Aliases) },
			Field:  func(p *query.Path) (aggregate.Field[Entity], error) { return c.field(tx, t, p) },
		}
		res, err := aggregate.Run(source, o.Apply)
		if err != nil {
			return err
		}
		if err := orderGroups(res, o.OrderBy); err != nil {
			return err
		}
		if o.Top.Set {
			res.Lines = res.Lines[:min(len(res.Lines), int(o.Top.N))]
		}
		c.served(t, len(res.Lines), len(res.Columns))
		out = &request.Reply{Status: http.StatusOK, Body: c.appendGroups(tx, t, res)}
		return nil
	})
	return out, err
}

// field is the column to which a path leads, over lookups. One of another table
// is named after both in the answer, e.g. contact_fullname.
func (c Reader) field(tx *store.Tx, t *entity.Table, p *query.Path) (aggregate.Field[Entity], error) {
	var f aggregate.Field[Entity]
	var way []*wire.Nav
	for i, s := range p.Steps {
		if s.Kind != query.StepName {
			return f, wire.BadQuery("A path in $apply leads over lookups to a property.")
		}
		if i == len(p.Steps)-1 {
			get, err := c.getter(tx, t, s.Name)
			if err != nil {
				return f, err
			}
			f = aggregate.Field[Entity]{Name: s.Name, Table: t, Column: t.Column(s.Name), Get: get}
			if len(way) > 0 {
				f.Name = t.LogicalName + "_" + s.Name
			}
			break
		}
		nav := c.Schema.Nav(t.LogicalName, s.Name)
		if nav == nil || nav.Kind != wire.NavLookup || c.expandedTable(nav) == nil {
			return f, wire.NoProperty(s.Name, t.LogicalName)
		}
		way, t = append(way, nav), c.expandedTable(nav)
	}
	get := f.Get
	f.Get = func(e Entity) (allod.Value, error) {
		for _, nav := range way {
			to, ok := c.Target(tx, e, nav)
			if !ok {
				return allod.NullValue(), nil
			}
			e = to
		}
		v, err := get(e)
		if id := v.GUID(); err == nil && v.Type() == allod.ID && wire.IsLookup(f.Column) {
			if target, _ := tx.Value(e.Table.LogicalName, e.Row, f.Column.LogicalName).Target(); target != "" {
				return allod.LookupValue(target, id), nil // for its annotations
			}
		}
		return v, err
	}
	return f, nil
}

// orderGroups orders by columns that are grouped by; others the service
// refuses.
func orderGroups(res *aggregate.Result, by []query.OrderItem) error {
	var at []int
	for _, it := range by {
		found := -1
		if p, ok := it.Expr.(*query.Path); ok && len(p.Steps) == 1 {
			for i := range res.Grouped {
				if res.Columns[i].Name == p.Steps[0].Name {
					found = i
				}
			}
		}
		if found < 0 {
			return wire.BadQuery("The query node SingleValueOpenPropertyAccess is not supported.")
		}
		at = append(at, found)
	}
	sort.SliceStable(res.Lines, func(i, j int) bool {
		for k, column := range at {
			if n := aggregate.Compare(res.Lines[i][column:column+1], res.Lines[j][column:column+1]); n != 0 {
				return n < 0 != by[k].Desc
			}
		}
		return false
	})
	return nil
}

// appendGroups renders the lines; nulls are left out, as the documentation
// shows.
func (c Reader) appendGroups(tx *store.Tx, t *entity.Table, res *aggregate.Result) []byte {
	writers := make([]*wire.Aliased, len(res.Columns))
	for i, col := range res.Columns {
		table := col.Table
		if table == nil {
			table = t
		}
		writers[i] = wire.NewAliased(tx, c.Schema, table, col.Source, col.Name, c.Prefer.Notes)
	}
	b := append([]byte(`{"@odata.context":"`), c.Root...)
	b = append(append(append(b, "/$metadata#"...), t.SetName...), `","value":[`...)
	for i, line := range res.Lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		for k, v := range line {
			b = writers[k].Append(b, tx, v)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}
