package fetch

import (
	"net/http"
	"sort"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Bounds of one query's work: beyond them it runs out of time, as the
// service's does.
const (
	maxSteps  = 20_000_000 // rows and pairs looked at
	maxCells  = 4_000_000  // rows of all tables in the result before paging
	maxSimple = 50_000     // rows that page numbers without a cookie reach (§4.1)
)

// Env is what a query is evaluated over, and for whom.
type Env struct {
	Tx       *store.Tx
	Schema   *wire.Schema
	Rows     []Cell // candidates for the root, in key order; nil = all of its table
	Reading  func(*entity.Table) (func(*store.Row) bool, error)
	Hidden   func(*entity.Table) func(*entity.Column) bool
	Now      time.Time
	User     allod.GUID
	Unit     allod.GUID
	PageSize int // rows of a page at most
}

// Cell is a row and its table; the zero Cell is the missing side of an outer
// join.
type Cell struct {
	Table *entity.Table
	Row   *store.Row
}

// Column is a column of the result. Its values are those of Source, except for
// counts and parts of dates, whose Source is nil.
type Column struct {
	Name   string
	Table  *entity.Table
	Source *entity.Column
}

// Line is a row of the result: a value for each column. Row is that of the
// root, nil where lines are no rows: in aggregates and distinct ones.
type Line struct {
	Row    *store.Row
	Values []allod.Value
}

// Result is a page.
type Result struct {
	Columns     []Column
	Lines       []Line
	Page        int
	More        bool
	Cookie      bool // pages go on by First and Last, not by number alone
	First, Last allod.GUID
	Total       int
}

type tuple []Cell

// node is an entity or link-entity in the order in which they are joined.
type node struct {
	e        *Entity
	t        *entity.Table
	alias    string
	parent   int
	from, to *entity.Column
	hidden   func(*entity.Column) bool
	accept   func(tuple) bool
}

type run struct {
	env   Env
	q     *Query
	nodes []*node
	names map[string]int // node by alias
	steps int
	zone  *time.Location // of the user; nil = not looked up
}

// Run evaluates the query. What it refuses is a *wire.Error.
func Run(env Env, q *Query) (*Result, error) {
	r := &run{env: env, q: q, names: map[string]int{}}
	if err := r.prepare(q.Root); err != nil {
		return nil, err
	}
	tuples, err := r.join()
	if err != nil {
		return nil, err
	}
	if q.Aggregate {
		return r.aggregate(tuples)
	}
	return r.list(tuples)
}

// prepare finds tables and columns and compiles the filters. Those of a link that
// speak of one further down come after all joins, with those of the root.
func (r *run) prepare(root *Entity) error {
	if err := r.plan(root, -1); err != nil {
		return err
	}
	var late []func(tuple) bool
	for i, n := range r.nodes {
		for _, f := range n.e.Filters {
			accept, err := r.filter(f, i)
			switch {
			case err != nil:
				return err
			case accept == nil:
			case i == 0 || r.reach(f, i) > i:
				late = append(late, accept)
			default:
				n.accept = both(n.accept, accept)
			}
		}
		for _, l := range n.e.Links {
			if !l.Join.hidden() {
				continue
			}
			accept, err := r.related(l, i)
			if err != nil {
				return err
			}
			if i == 0 {
				late = append(late, accept)
				continue
			}
			n.accept = both(n.accept, accept)
		}
	}
	for _, f := range late {
		r.nodes[0].accept = both(r.nodes[0].accept, f)
	}
	return nil
}

func both(a, b func(tuple) bool) func(tuple) bool {
	if a == nil {
		return b
	}
	return func(t tuple) bool { return a(t) && b(t) }
}

// reach is the last element of whose columns a filter of the element at speaks.
func (r *run) reach(f Filter, at int) int {
	far := at
	for _, c := range f.Conditions {
		if n, ok := r.named(c.Entity); ok && c.Entity != "" {
			far = max(far, n)
		}
		if alias, _, ok := strings.Cut(c.ValueOf, "."); ok {
			if n, ok := r.named(alias); ok {
				far = max(far, n)
			}
		}
	}
	for _, sub := range f.Filters {
		far = max(far, r.reach(sub, at))
	}
	return far
}

// named is the element with the alias, or the last without one that has the name.
func (r *run) named(name string) (int, bool) {
	n, ok := r.names[name]
	for i := len(r.nodes) - 1; i > 0 && !ok; i-- {
		if e := r.nodes[i].e; e.Alias == "" && e.Name == name {
			n, ok = i, true
		}
	}
	return n, ok
}

func (r *run) plan(e *Entity, parent int) error {
	t := r.env.Schema.Model.Table(e.Name)
	if t != nil && t.TableType == "Virtual" {
		return wire.NotHere(e.Name)
	}
	if t == nil || t.Abstract && e.Name != "activitypointer" {
		return wire.Refuse(http.StatusBadRequest, "0x80041102", "The entity with a name = '%s' with namemapping = 'Logical' was not found in the MetadataCache.", e.Name)
	}
	n := &node{e: e, t: t, parent: parent, alias: e.Alias, hidden: r.env.Hidden(t)}
	at := len(r.nodes)
	if parent >= 0 {
		if err := n.ends(r.nodes[parent].t); err != nil {
			return err
		}
		if n.alias == "" {
			n.alias = e.Name + itoa(at)
		}
		if _, taken := r.names[n.alias]; taken {
			return invalid("The alias '%s' is used more than once.", n.alias)
		}
		r.names[n.alias] = at
	}
	r.nodes = append(r.nodes, n)
	for _, l := range e.Links {
		if l.Join.hidden() {
			continue
		}
		if err := r.plan(l, at); err != nil {
			return err
		}
	}
	return nil
}

// column finds a column by its logical name.
func column(t *entity.Table, name string) (*entity.Column, error) {
	c := t.Column(name)
	if c == nil || c.LogicalName != name || !wire.Selectable(c) {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80041103", "'%s' entity doesn't contain attribute with Name = '%s' and NameMapping = 'Logical'.", t.LogicalName, name)
	}
	return c, nil
}

// value reads a column of a row as the caller sees it.
func (r *run) value(n int, c Cell, col *entity.Column) allod.Value {
	if c.Row == nil {
		return allod.NullValue()
	}
	switch {
	case col.LogicalName == c.Table.PrimaryID || col.LogicalName == c.Table.ODataKey || col.LogicalName == r.nodes[n].t.PrimaryID:
		return allod.IDValue(c.Row.Key)
	case !col.ValidForRead || r.nodes[n].hidden != nil && r.nodes[n].hidden(col):
		return allod.NullValue()
	case col.LogicalName == "versionnumber":
		return allod.IntegerValue(int64(c.Row.Version))
	}
	return r.env.Schema.Value(r.env.Tx, c.Table, c.Row, col)
}

// filter compiles a filter of the element at; an empty one holds.
func (r *run) filter(f Filter, at int) (func(tuple) bool, error) {
	var parts []func(tuple) bool
	for _, c := range f.Conditions {
		p, err := r.condition(c, at)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	for _, sub := range f.Filters {
		p, err := r.filter(sub, at)
		if err != nil {
			return nil, err
		}
		if p != nil {
			parts = append(parts, p)
		}
	}
	for _, l := range f.Links {
		p, err := r.related(l, at)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return nil, nil
	}
	return func(t tuple) bool {
		for _, p := range parts {
			if p(t) == f.Or {
				return f.Or
			}
		}
		return !f.Or
	}, nil
}

func (r *run) condition(c Condition, at int) (func(tuple) bool, error) {
	if c.Entity != "" {
		n, ok := r.named(c.Entity)
		if !ok {
			return nil, invalid("The link entity '%s' of a condition does not exist.", c.Entity)
		}
		at = n
	}
	col, err := column(r.nodes[at].t, c.Attribute)
	if err != nil {
		return nil, err
	}
	if c.ValueOf != "" {
		return r.columns(c, at, col)
	}
	hold, err := r.compile(c, r.nodes[at].t, col)
	if err != nil {
		return nil, err
	}
	return func(t tuple) bool { return hold(r.value(at, t[at], col)) }, nil
}

// columns compares two columns, of one row or of joined ones.
func (r *run) columns(c Condition, at int, col *entity.Column) (func(tuple) bool, error) {
	from, name := at, c.ValueOf
	if alias, rest, ok := strings.Cut(c.ValueOf, "."); ok {
		n, known := r.named(alias)
		if !known {
			return nil, invalid("The link entity '%s' of a condition does not exist.", alias)
		}
		from, name = n, rest
	}
	other, err := column(r.nodes[from].t, name)
	if err != nil {
		return nil, err
	}
	switch c.Operator {
	case "eq", "ne", "neq", "gt", "ge", "lt", "le":
	default:
		return nil, invalid("The operator '%s' cannot be used with valueof.", c.Operator)
	}
	holds := sizes(c.Operator)
	return func(t tuple) bool {
		v, w := r.value(at, t[at], col), r.value(from, t[from], other)
		return !empty(v) && !empty(w) && holds(order(v, w))
	}, nil
}

func (r *run) step() error {
	if r.steps++; r.steps > maxSteps {
		return wire.Refuse(http.StatusBadRequest, "0x80044151", "SQL timeout expired.")
	}
	return nil
}

// rows are the rows of a table that the caller may read, in key order.
func (r *run) rows(t *entity.Table) ([]Cell, error) {
	tables := []*entity.Table{t}
	if t.LogicalName == "activitypointer" {
		tables = r.env.Schema.Derived(t.LogicalName)
	}
	var out []Cell
	for _, at := range tables {
		see, err := r.env.Reading(at)
		if err != nil {
			return nil, err
		}
		for _, row := range r.env.Tx.Page(at.LogicalName, nil, r.env.Tx.Len(at.LogicalName)) {
			if see == nil || see(row) {
				out = append(out, Cell{at, row})
			}
		}
	}
	if len(tables) > 1 {
		sort.Slice(out, func(i, j int) bool { return store.Less(out[i].Row.Key, out[j].Row.Key) })
	}
	return out, nil
}

// root are the candidates of the entity element.
func (r *run) root() ([]Cell, error) {
	if r.env.Rows == nil {
		return r.rows(r.nodes[0].t)
	}
	var out []Cell
	for _, c := range r.env.Rows {
		see, err := r.env.Reading(c.Table)
		if err != nil {
			return nil, err
		}
		if see == nil || see(c.Row) {
			out = append(out, c)
		}
	}
	return out, nil
}

// join pairs the rows of all elements; the filter of the entity element, which
// may speak of links, comes last unless there are none.
func (r *run) join() ([]tuple, error) {
	cells, err := r.root()
	if err != nil {
		return nil, err
	}
	tuples := make([]tuple, len(cells))
	for i := range cells {
		tuples[i] = cells[i : i+1 : i+1]
	}
	for i := 1; i < len(r.nodes); i++ {
		if tuples, err = r.link(tuples, i); err != nil {
			return nil, err
		}
	}
	accept := r.nodes[0].accept
	if accept == nil {
		return tuples, nil
	}
	kept := tuples[:0]
	for _, t := range tuples {
		if err := r.step(); err != nil {
			return nil, err
		}
		if accept(t) {
			kept = append(kept, t)
		}
	}
	return kept, nil
}

// link extends each tuple by the rows of one link-entity.
func (r *run) link(tuples []tuple, i int) ([]tuple, error) {
	n := r.nodes[i]
	rows, err := r.rows(n.t)
	if err != nil {
		return nil, err
	}
	byKey := map[string][]Cell{}
	for _, c := range rows {
		if k := key(r.value(i, c, n.from)); k != "" {
			byKey[k] = append(byKey[k], c)
		}
	}
	var out []tuple
	for _, t := range tuples {
		found := false
		var near []Cell
		if k := key(r.value(n.parent, t[n.parent], n.to)); k != "" {
			near = byKey[k]
		}
		for _, c := range near {
			if err := r.step(); err != nil {
				return nil, err
			}
			wider := append(t[:len(t):len(t)], c)
			if n.accept == nil || n.accept(wider) {
				found = true
				out = append(out, wider)
				if n.e.Join == First {
					break
				}
			}
		}
		if !found && n.e.Join == Outer {
			out = append(out, append(t[:len(t):len(t)], Cell{}))
		}
		if len(out)*len(r.nodes) > maxCells {
			return nil, wire.Refuse(http.StatusBadRequest, "0x80044151", "SQL timeout expired.")
		}
	}
	return out, nil
}

// field is where a value of a line comes from.
type field struct {
	node  int
	col   *entity.Column
	count string // the lookup by which the rows under it are counted, instead of its value
}

// get is the value of the field in a tuple. Children are counted whether the
// caller may read them or not.
func (r *run) get(f field, t tuple) allod.Value {
	c := t[f.node]
	if f.count == "" || c.Row == nil {
		return r.value(f.node, c, f.col)
	}
	return allod.IntegerValue(int64(len(r.env.Tx.Find(c.Table.LogicalName, f.count, allod.IDValue(c.Row.Key)))))
}

// fields are the columns of a list: those asked for, and the key of the root.
func (r *run) fields() ([]field, []Column, error) {
	var fields []field
	var columns []Column
	taken := map[string]bool{}
	add := func(n int, col *entity.Column, name string) {
		if !taken[name] {
			taken[name] = true
			fields = append(fields, field{node: n, col: col})
			columns = append(columns, Column{name, r.nodes[n].t, col})
		}
	}
	asked := false
	for _, n := range r.nodes {
		asked = asked || n.e.All || len(n.e.Attributes) > 0
	}
	for i, n := range r.nodes {
		name := func(c *entity.Column) string {
			if i == 0 {
				return c.Property()
			}
			return n.alias + "." + c.LogicalName
		}
		if n.e.All || !asked && i == 0 {
			for _, c := range n.t.Columns {
				if wire.Selectable(c) && c.Kind != "Image" {
					add(i, c, name(c))
				}
			}
		}
		for _, a := range n.e.Attributes {
			if a.Aggregate != "" || a.GroupBy {
				return nil, nil, invalid("The attribute '%s' is aggregated in a fetch that is not.", a.Name)
			}
			c, err := column(n.t, a.Name)
			if err != nil {
				return nil, nil, err
			}
			if a.Children {
				parent := Parent(n.t)
				if parent == "" || a.Alias == "" {
					return nil, nil, invalid("A rowaggregate needs an alias and a table with a hierarchy.")
				}
				fields = append(fields, field{i, c, parent})
				columns = append(columns, Column{a.Alias, n.t, nil})
				continue
			}
			if a.Alias != "" {
				add(i, c, a.Alias)
				continue
			}
			add(i, c, name(c))
			if cur := n.t.Column("transactioncurrencyid"); c.Kind == "Money" && cur != nil && wire.Selectable(cur) && !r.q.Distinct {
				add(i, cur, name(cur))
			}
		}
	}
	if root := r.nodes[0].t; !r.q.Distinct {
		if c := root.Column(root.PrimaryID); c != nil {
			add(0, c, c.Property())
		}
	}
	return fields, columns, nil
}

// list makes a page of rows.
func (r *run) list(tuples []tuple) (*Result, error) {
	fields, columns, err := r.fields()
	if err != nil {
		return nil, err
	}
	if err := r.sort(tuples); err != nil {
		return nil, err
	}
	line := func(t tuple) Line {
		l := Line{Row: t[0].Row, Values: make([]allod.Value, len(fields))}
		for i, f := range fields {
			l.Values[i] = r.get(f, t)
		}
		return l
	}
	out := &Result{Columns: columns, Cookie: r.resumable()}
	if r.q.Distinct {
		lines := make([]Line, 0, len(tuples))
		seen := map[string]bool{}
		for _, t := range tuples {
			l := line(t)
			l.Row = nil
			if k := keys(l.Values); !seen[k] {
				seen[k] = true
				lines = append(lines, l)
			}
		}
		return out, r.page(out, len(lines), 0, func(i int) Line { return lines[i] })
	}
	from, err := r.start(tuples)
	if err != nil {
		return nil, err
	}
	if err := r.page(out, len(tuples), from, func(i int) Line { return line(tuples[i]) }); err != nil {
		return nil, err
	}
	if n := len(out.Lines); n > 0 {
		out.First, out.Last = out.Lines[0].Row.Key, out.Lines[n-1].Row.Key
	}
	return out, nil
}

func keys(values []allod.Value) string {
	var b []byte
	for _, v := range values {
		k := key(v)
		b = append(append(append(b, itoa(len(k))...), ':'), k...)
	}
	return string(b)
}
