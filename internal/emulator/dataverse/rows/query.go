package rows

import (
	"net/http"
	"sort"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// byKey orders rows by their primary key.
func byKey(rows []Entity) {
	sort.Slice(rows, func(i, j int) bool { return store.Less(rows[i].Row.Key, rows[j].Row.Key) })
}

// env says what names in $filter and $orderby mean for rows of the table.
func (c Reader) env(tx *store.Tx, t *entity.Table, aliases map[string]query.Expr) *query.Env[Entity] {
	return &query.Env[Entity]{
		Aliases:   aliases,
		FoldCase:  true,
		Wildcards: true,
		Now:       c.Org.Now,
		Column: func(name string) (func(Entity) (allod.Value, error), error) {
			return c.getter(tx, t, name)
		},
		Single: func(name string) (func(Entity) (Entity, bool, error), *query.Env[Entity], error) {
			nav := c.Schema.Nav(t.LogicalName, name)
			if nav == nil || nav.Kind != wire.NavLookup {
				return nil, nil, wire.NoProperty(name, t.LogicalName)
			}
			target := c.Schema.Model.Table(nav.Target)
			if target == nil {
				return nil, nil, wire.NoProperty(name, t.LogicalName)
			}
			get := func(e Entity) (Entity, bool, error) {
				out, ok := c.Target(tx, e, nav)
				return out, ok, nil
			}
			return get, c.env(tx, target, aliases), nil
		},
		Many: func(name string) (func(Entity) ([]Entity, error), *query.Env[Entity], error) {
			nav := c.Schema.Nav(t.LogicalName, name)
			if nav == nil || nav.Kind == wire.NavLookup {
				return nil, nil, wire.NoProperty(name, t.LogicalName)
			}
			target := c.Schema.Model.Table(nav.Target)
			if target == nil {
				return nil, nil, wire.NoProperty(name, t.LogicalName)
			}
			get := func(e Entity) ([]Entity, error) { return c.Related(tx, e, nav), nil }
			return get, c.env(tx, target, aliases), nil
		},
		Function: func(name string, args []query.Arg) (func(Entity) (allod.Value, error), error) {
			return c.queryFunction(tx, t, strings.TrimPrefix(name, request.Namespace), args, aliases)
		},
	}
}

// getter reads a property of a row as a query sees it.
func (c Reader) getter(tx *store.Tx, t *entity.Table, name string) (func(Entity) (allod.Value, error), error) {
	col := t.Column(name)
	if col == nil || !wire.Selectable(col) || col.Property() != name {
		return nil, wire.NoProperty(name, t.LogicalName)
	}
	switch {
	case col.LogicalName == t.PrimaryID || col.LogicalName == t.ODataKey:
		return func(e Entity) (allod.Value, error) { return allod.IDValue(e.Row.Key), nil }, nil
	case col.LogicalName == "versionnumber":
		return func(e Entity) (allod.Value, error) { return allod.IntegerValue(int64(e.Row.Version)), nil }, nil
	}
	secret := access.Hidden(tx, c.User, t)
	if secret != nil && secret(col) {
		return func(Entity) (allod.Value, error) { return allod.NullValue(), nil }, nil
	}
	return func(e Entity) (allod.Value, error) {
		v := c.Schema.Value(tx, e.Table, e.Row, col)
		if v.Type() == allod.Lookup {
			return allod.IDValue(v.GUID()), nil
		}
		return v, nil
	}, nil
}

// Target is the row a lookup leads to through this navigation property.
func (c Reader) Target(tx *store.Tx, e Entity, nav *wire.Nav) (Entity, bool) {
	name, id := tx.Value(e.Table.LogicalName, e.Row, nav.Column).Target()
	t := c.Schema.Model.Table(name)
	if t == nil || !c.Schema.Fits(nav.Target, name) {
		return Entity{}, false
	}
	r := tx.Get(name, id)
	return Entity{t, r}, r != nil
}

// Related are the rows a collection navigation property leads to.
func (c Reader) Related(tx *store.Tx, e Entity, nav *wire.Nav) []Entity {
	target := c.Schema.Model.Table(nav.Target)
	if target == nil {
		return nil
	}
	var out []Entity
	if nav.Kind == wire.NavPairs {
		for _, pair := range tx.Find(nav.Intersect, nav.Near, allod.IDValue(e.Row.Key)) {
			far := tx.Value(nav.Intersect, tx.Get(nav.Intersect, pair), nav.Far).GUID()
			if r := tx.Get(target.LogicalName, far); r != nil {
				out = append(out, Entity{target, r})
			}
		}
		return out
	}
	for _, at := range c.tablesOf(target) {
		for _, id := range tx.Find(at.LogicalName, nav.Column, allod.IDValue(e.Row.Key)) {
			if r := tx.Get(at.LogicalName, id); r != nil {
				out = append(out, Entity{at, r})
			}
		}
	}
	return out
}

// filter compiles $filter; nil matches everything.
func (c Reader) filter(tx *store.Tx, t *entity.Table, e query.Expr, aliases map[string]query.Expr) (func(Entity) (bool, error), error) {
	if e == nil {
		return func(Entity) (bool, error) { return true, nil }, nil
	}
	if c.Org.Assume["column-comparison"] == "refuse" && comparesColumns(e) { // status and code are assumed
		return nil, wire.Refuse(http.StatusBadRequest, "0x80060888", "The filter compares two properties of the entity '%s'; one side must be a value.", t.LogicalName)
	}
	f, err := query.Compile(e, *c.env(tx, t, aliases))
	if err != nil {
		return nil, queryError(err)
	}
	return func(e Entity) (bool, error) {
		ok, err := f(e)
		if err != nil {
			return false, queryError(err)
		}
		return ok, nil
	}, nil
}

// queryError keeps the service's own refusals and words the others as the
// OData parser does.
func queryError(err error) error {
	if e := wire.AsError(err); e.Status != http.StatusInternalServerError {
		return e
	}
	return wire.Refuse(http.StatusBadRequest, "0x80060888", "%v", err)
}

// sort orders rows by $orderby, the primary key breaking ties.
func (c Reader) sort(tx *store.Tx, t *entity.Table, rows []Entity, by []query.OrderItem) error {
	if len(by) == 0 {
		return nil
	}
	env := c.env(tx, t, c.Req.Options.Aliases)
	env.Column = func(name string) (func(Entity) (allod.Value, error), error) { return c.rank(tx, t, name) }
	cmp, err := query.CompileOrder(by, *env)
	if err != nil {
		return queryError(err)
	}
	var failed error
	sort.SliceStable(rows, func(i, j int) bool {
		n, err := cmp(rows[i], rows[j])
		if err != nil {
			failed = queryError(err)
		}
		if n != 0 {
			return n < 0
		}
		return store.Less(rows[i].Row.Key, rows[j].Row.Key)
	})
	return failed
}

// rank reads a property of a row as rows are ordered by it: of a lookup the name
// of the row it leads to ("Order rows", Web API).
func (c Reader) rank(tx *store.Tx, t *entity.Table, name string) (func(Entity) (allod.Value, error), error) {
	get, err := c.getter(tx, t, name)
	col := t.Column(name)
	if err != nil || col == nil || !wire.IsLookup(col) {
		return get, err
	}
	return func(e Entity) (allod.Value, error) {
		v, err := get(e)
		if err != nil || v.IsNull() || v.IsAbsent() {
			return v, err
		}
		target, id := tx.Value(e.Table.LogicalName, e.Row, col.LogicalName).Target()
		if title, ok := wire.Title(tx, c.Schema, target, id); ok {
			return allod.StringValue(title), nil
		}
		return v, nil
	}, nil
}

// plans writes rows of the tables of one request, expansions included.
type plans struct {
	c       Reader
	tx      *store.Tx
	t       *entity.Table
	columns []string // nil = all
	byTable map[*entity.Table]*wire.Plan
	expand  []*expansion
}

// plansFor prepares $select and $expand of a list of rows or of one row.
func (c Reader) plansFor(tx *store.Tx, t *entity.Table, o *query.Options, list bool) (*plans, error) {
	if o != nil {
		if err := c.checkExpand(t, o.Expand); err != nil {
			return nil, err
		}
	}
	return c.plansAt(tx, t, o, 1, list)
}

// plansAt does so at a level of $expand, 1 being the request itself.
func (c Reader) plansAt(tx *store.Tx, t *entity.Table, o *query.Options, level int, list bool) (*plans, error) {
	p := &plans{c: c, tx: tx, t: t, byTable: map[*entity.Table]*wire.Plan{}}
	if o != nil {
		p.columns = c.selected(t, o)
		for _, e := range o.Expand {
			x, err := c.expansion(tx, t, e, level, list)
			if err != nil {
				return nil, err
			}
			p.expand = append(p.expand, x)
		}
	}
	_, err := p.of(t)
	return p, err
}

// selected are the properties $select asks for, nil = all. A single-valued
// navigation property stands for its value, and so does one that is expanded
// to a reference; a collection adds nothing to a row.
func (c Reader) selected(t *entity.Table, o *query.Options) []string {
	if len(o.Select) == 0 {
		return nil
	}
	out := []string{}
	value := func(name string) bool {
		nav := c.Schema.Nav(t.LogicalName, name)
		if col := t.Column(name); nav == nil || col != nil && col.Property() == name {
			return false
		}
		if nav.Kind == wire.NavLookup {
			if col := t.Column(nav.Column); col != nil {
				out = append(out, col.Property())
			}
		}
		return true
	}
	for _, s := range o.Select {
		if s.Star() {
			return nil
		}
		if len(s.Path) != 1 || !value(s.Path[0]) {
			out = append(out, strings.Join(s.Path, "/"))
		}
	}
	for _, e := range o.Expand {
		if e.Ref {
			value(e.Path[0])
		}
	}
	return out
}

// of returns the plan of one of the tables; a base type's columns that an
// activity lacks are left out.
func (p *plans) of(t *entity.Table) (*wire.Plan, error) {
	if plan := p.byTable[t]; plan != nil {
		return plan, nil
	}
	columns := p.columns
	if t != p.t {
		names := columns
		if names == nil {
			for _, col := range p.t.Columns {
				names = append(names, col.Property())
			}
		}
		columns = []string{}
		for _, name := range names {
			if col := t.Column(name); col != nil && wire.Selectable(col) && col.Property() == name {
				columns = append(columns, name)
			}
		}
	}
	plan, err := wire.NewPlan(p.tx, p.c.Schema, t, columns, p.c.Prefer.Notes, access.Hidden(p.tx, p.c.User, t))
	if err != nil {
		return nil, err
	}
	p.byTable[t] = plan
	return plan, nil
}

func (p *plans) width() int { return p.byTable[p.t].Width() }

func (p *plans) estimate() int {
	n := 64 + 40*p.width()
	if p.c.Prefer.Notes.Any() {
		n *= 3
	}
	return min(n, 16<<10)
}

// appendRow appends the members of a row, expansions last, no closing brace.
func (p *plans) appendRow(b []byte, e Entity) ([]byte, error) {
	plan, err := p.of(e.Table)
	if err != nil {
		return nil, err
	}
	b = plan.AppendRow(b, p.tx, e.Row)
	for i := range p.expand {
		if b, err = p.expand[i].append(b, e); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// URLOf is the address of a row.
func (c Reader) URLOf(t *entity.Table, id allod.GUID) string {
	return c.Root + "/" + t.SetName + "(" + id.String() + ")"
}
