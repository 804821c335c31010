package rows

import (
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"

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
	if !slices.ContainsFunc(o.Apply, func(x query.Transform) bool { return x.Kind != query.TransformFilter }) {
		return c.filtered(t)
	}
	for _, name := range []string{"$expand", "$skiptoken", "$deltatoken"} {
		if o.Has(name) {
			return nil, wire.BadQuery("The query parameter %s is not supported beside $apply.", name)
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
			Sort:   func(rows []Entity, by []query.OrderItem) error { return c.sort(tx, t, rows, by) },
			Compile: func(e query.Expr, column func(string) (func([]allod.Value) (allod.Value, error), error)) (func([]allod.Value) (bool, error), error) {
				hold, err := query.Compile(e, query.Env[[]allod.Value]{Aliases: o.Aliases, FoldCase: true, Wildcards: true, Now: c.Org.Now, Column: column})
				if err != nil {
					return nil, queryError(err)
				}
				return hold, nil
			},
		}
		res, err := aggregate.Run(source, o.Apply)
		if err != nil {
			return err
		}
		if err := c.filterGroups(res, o); err != nil {
			return err
		}
		if err := orderGroups(res, o.OrderBy); err != nil {
			return err
		}
		total := len(res.Lines)
		if o.Top.Set {
			res.Lines = res.Lines[:min(len(res.Lines), int(o.Top.N))]
		}
		if err := selectGroups(res, t, o.Select); err != nil {
			return err
		}
		c.served(t, len(res.Lines), len(res.Columns))
		out = &request.Reply{Status: http.StatusOK, Body: c.appendGroups(tx, t, res, total)}
		return nil
	})
	return out, err
}

// filtered answers $apply that only filters: rows, as with $filter.
func (c Reader) filtered(t *entity.Table) (*request.Reply, error) {
	call, req, o := *c.Call, *c.Req, *c.Req.Options
	for _, step := range o.Apply {
		if o.Filter == nil {
			o.Filter = step.Filter
			continue
		}
		o.Filter = &query.Binary{Op: "and", L: o.Filter, R: step.Filter}
	}
	req.Options, call.Req = &o, &req
	c = Reader{&call}
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		var err error
		out, err = c.listRows(tx, t, c.narrow(tx, t, o.Filter))
		return err
	})
	return out, err
}

// field is the column to which a path leads, over lookups. One of another table
// is named after both in the answer, e.g. contact_fullname.
func (c Reader) field(tx *store.Tx, t *entity.Table, p *query.Path) (aggregate.Field[Entity], error) {
	var f aggregate.Field[Entity]
	var way []*wire.Nav
	var names []string
	for i, s := range p.Steps {
		if s.Kind != query.StepName {
			return f, wire.BadQuery("A path in $apply leads over lookups to a property.")
		}
		names = append(names, s.Name)
		if i == len(p.Steps)-1 {
			get, err := c.getter(tx, t, s.Name)
			if err != nil {
				return f, err
			}
			f = aggregate.Field[Entity]{Name: s.Name, Path: strings.Join(names, "/"), Table: t, Column: t.Column(s.Name), Get: get}
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

// notGrouped refuses what speaks of a number that was reckoned ("Aggregate data
// using OData").
func notGrouped() error {
	return wire.BadQuery("The query node SingleValueOpenPropertyAccess is not supported.")
}

// filterGroups keeps the lines for which $filter holds: OData applies it to what
// $apply has made. Numbers that were reckoned it cannot speak of, as $orderby cannot.
func (c Reader) filterGroups(res *aggregate.Result, o *query.Options) error {
	if o.Filter == nil {
		return nil
	}
	hold, err := query.Compile(o.Filter, query.Env[[]allod.Value]{
		Aliases: o.Aliases, FoldCase: true, Wildcards: true, Now: c.Org.Now,
		Column: func(name string) (func([]allod.Value) (allod.Value, error), error) {
			for i, col := range res.Columns[:res.Grouped] {
				if col.Name == name {
					return func(line []allod.Value) (allod.Value, error) {
						if v := line[i]; v.Type() == allod.Lookup {
							return allod.IDValue(v.GUID()), nil
						}
						return line[i], nil
					}, nil
				}
			}
			return nil, notGrouped()
		},
	})
	if err != nil {
		return queryError(err)
	}
	kept := res.Lines[:0]
	for _, line := range res.Lines {
		ok, err := hold(line)
		if err != nil {
			return queryError(err)
		}
		if ok {
			kept = append(kept, line)
		}
	}
	res.Lines = kept
	return nil
}

// selectGroups leaves out the columns that $select does not name.
func selectGroups(res *aggregate.Result, t *entity.Table, items []query.SelectItem) error {
	if len(items) == 0 {
		return nil
	}
	var at []int
	for _, it := range items {
		if it.Star() {
			return nil
		}
		name := strings.Join(it.Path, "/")
		i := slices.IndexFunc(res.Columns, func(c aggregate.Column) bool { return c.Name == name })
		if i < 0 {
			return wire.NoProperty(name, t.LogicalName)
		}
		at = append(at, i)
	}
	pick := func(i int) bool { return slices.Contains(at, i) }
	columns := res.Columns
	res.Columns = nil
	for i, col := range columns {
		if pick(i) {
			res.Columns = append(res.Columns, col)
		}
	}
	for k, line := range res.Lines {
		var short []allod.Value
		for i, v := range line {
			if pick(i) {
				short = append(short, v)
			}
		}
		res.Lines[k] = short
	}
	return nil
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
			return notGrouped()
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
func (c Reader) appendGroups(tx *store.Tx, t *entity.Table, res *aggregate.Result, total int) []byte {
	writers := make([]*wire.Aliased, len(res.Columns))
	for i, col := range res.Columns {
		table := col.Table
		if table == nil {
			table = t
		}
		writers[i] = wire.NewAliased(tx, c.Schema, table, col.Source, col.Name, c.Prefer.Notes)
	}
	b := append([]byte(`{"@odata.context":"`), c.Root...)
	b = append(append(append(b, "/$metadata#"...), t.SetName...), '"')
	if c.Req.Options.Count.Value {
		b = strconv.AppendInt(append(b, `,"@odata.count":`...), int64(min(total, 5000)), 10)
	}
	b = append(b, `,"value":[`...)
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
