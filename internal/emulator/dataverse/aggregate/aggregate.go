// Package aggregate reckons $apply: filter, groupby and aggregate, one after the
// other, orderby, top and skip between them (protocols/dataverse.md §4.5; Web API,
// "Aggregate data using OData"; OData Extension for Data Aggregation).
package aggregate

import (
	"math/big"
	"net/http"
	"sort"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// MaxRows is how many rows an aggregate reads (§4.5).
const MaxRows = 50_000

// Field is a column to which a path leads.
type Field[R any] struct {
	Name    string // in the answer, where it has no alias
	Path    string // as it was written
	Table   *entity.Table
	Column  *entity.Column
	Counted bool // a number that is no value of a column
	Get     func(R) (allod.Value, error)
}

// Compiler makes a filter of lines out of an expression; column reads one of
// them by name.
type Compiler func(e query.Expr, column func(name string) (func([]allod.Value) (allod.Value, error), error)) (func([]allod.Value) (bool, error), error)

// Source says what an aggregate is over. Its functions return the refusals of
// the service.
type Source[R any] struct {
	Rows   func(keep func(R) (bool, error)) ([]R, error) // those that all filters keep
	Filter func(query.Expr) (func(R) (bool, error), error)
	Field  func(*query.Path) (Field[R], error)
	Sort   func(rows []R, by []query.OrderItem) error

	Compile Compiler               // for what is made of the rows
	Whole   func(rows []R) *Result // the rows themselves as an answer; nil = they are none
}

// Column is a column of the answer; Source is nil for a number that is no value
// of a column.
type Column struct {
	Name   string
	Path   string // from which it came, for columns that are grouped by
	Table  *entity.Table
	Source *entity.Column
}

// Result is the answer, ordered by what it is grouped by. Nulls are left out
// where it is written.
type Result struct {
	Columns []Column
	Lines   [][]allod.Value
	Grouped int // so many columns, from the first, are groups
}

func unanswered(what string) error {
	return wire.Refuse(http.StatusNotImplemented, "0x80040800", "The emulator does not answer %s in $apply.", what)
}

// plan is a groupby or aggregate made ready.
type plan[R any] struct {
	by       []Field[R]
	measures []measure[R]
	columns  []Column
	grouped  bool
}

// measure is one expression of aggregate().
type measure[R any] struct {
	Field[R]
	with string // "" = $count
}

func prepare[R any](s Source[R], t *query.Transform) (*plan[R], error) {
	p := &plan[R]{}
	list := t.Aggregate
	switch t.Kind {
	case query.TransformAggregate:
	case query.TransformGroupBy:
		p.grouped = true
		for _, path := range t.GroupBy {
			f, err := s.Field(path)
			if err != nil {
				return nil, err
			}
			if f.Column.EdmType == "Edm.DateTimeOffset" || f.Column.EdmType == "Edm.Date" {
				return nil, wire.BadQuery("groupby with datetime values is not supported.")
			}
			p.by, p.columns = append(p.by, f), append(p.columns, Column{Name: f.Name, Path: f.Path, Table: f.Table, Source: f.source()})
		}
		if len(t.Apply) == 1 {
			list = t.Apply[0].Aggregate
		}
	case query.TransformFilter, query.TransformOrderBy, query.TransformTop, query.TransformSkip, query.TransformCompute: // see through
	}
	for i := range list {
		if err := p.measure(s, &list[i]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *plan[R]) measure(s Source[R], a *query.Aggregate) error {
	if a.Count {
		p.measures, p.columns = append(p.measures, measure[R]{}), append(p.columns, Column{Name: a.As})
		return nil
	}
	path, ok := a.Expr.(*query.Path)
	if !ok {
		return unanswered("an expression within aggregate")
	}
	f, err := s.Field(path)
	if err != nil {
		return err
	}
	source := f.source()
	dates := f.Column.EdmType == "Edm.DateTimeOffset" || f.Column.EdmType == "Edm.Date"
	switch a.With {
	case "countdistinct":
		source = nil
	case "min", "max":
		ok = dates || numeric(f.Column)
	case "sum", "average":
		ok = numeric(f.Column)
	default:
		return unanswered("the method " + a.With)
	}
	if !ok {
		return wire.BadQuery("The method %s cannot be used with the property '%s'.", a.With, f.Name)
	}
	p.measures, p.columns = append(p.measures, measure[R]{f, a.With}), append(p.columns, Column{Name: a.As, Table: f.Table, Source: source})
	return nil
}

// source is the column whose values these are; nil for a number that was counted.
func (f *Field[R]) source() *entity.Column {
	if f.Counted {
		return nil
	}
	return f.Column
}

func numeric(c *entity.Column) bool {
	switch c.EdmType {
	case "Edm.Decimal", "Edm.Double", "Edm.Int32", "Edm.Int64":
		return true
	}
	return false
}

// group is the state of one line.
type group struct {
	keys  []allod.Value
	rows  int64
	sums  []*big.Rat
	known []int64
	best  []allod.Value
	seen  []map[string]bool
}

func (p *plan[R]) newGroup(keys []allod.Value) *group {
	n := len(p.measures)
	return &group{keys: keys, sums: make([]*big.Rat, n), known: make([]int64, n), best: make([]allod.Value, n), seen: make([]map[string]bool, n)}
}

func (p *plan[R]) run(rows []R) (*Result, error) {
	groups := map[string]*group{}
	var all []*group
	if !p.grouped {
		g := p.newGroup(nil)
		groups[""], all = g, append(all, g)
	}
	for _, r := range rows {
		name, keys, err := p.keys(r)
		if err != nil {
			return nil, err
		}
		g := groups[name]
		if g == nil {
			g = p.newGroup(keys)
			groups[name], all = g, append(all, g)
		}
		if err := p.add(g, r); err != nil {
			return nil, err
		}
	}
	out := &Result{Columns: p.columns, Grouped: len(p.by)}
	sort.SliceStable(all, func(i, j int) bool { return Compare(all[i].keys, all[j].keys) < 0 })
	for _, g := range all {
		line := append([]allod.Value{}, g.keys...)
		for i := range p.measures {
			line = append(line, p.result(g, i))
		}
		out.Lines = append(out.Lines, line)
	}
	return out, nil
}

func (p *plan[R]) add(g *group, r R) error {
	g.rows++
	for i := range p.measures {
		m := &p.measures[i]
		if m.with == "" {
			continue
		}
		v, err := m.Get(r)
		if err != nil {
			return err
		}
		if v.IsNull() || v.IsAbsent() {
			continue
		}
		g.known[i]++
		switch m.with {
		case "countdistinct":
			if g.seen[i] == nil {
				g.seen[i] = map[string]bool{}
			}
			g.seen[i][key(v)] = true
		case "min", "max":
			if n := compare(v, g.best[i]); g.known[i] == 1 || n < 0 && m.with == "min" || n > 0 && m.with == "max" {
				g.best[i] = v
			}
		default:
			if g.sums[i] == nil {
				g.sums[i] = new(big.Rat)
			}
			g.sums[i].Add(g.sums[i], rat(v))
		}
	}
	return nil
}

func (p *plan[R]) result(g *group, i int) allod.Value {
	m := &p.measures[i]
	switch {
	case m.with == "":
		return allod.IntegerValue(g.rows)
	case m.with == "countdistinct":
		return allod.IntegerValue(int64(len(g.seen[i])))
	case g.known[i] == 0:
		return allod.NullValue()
	case m.with == "min", m.with == "max":
		return g.best[i]
	case m.with == "average":
		return wire.Number(new(big.Rat).Quo(g.sums[i], new(big.Rat).SetInt64(g.known[i])), m.Column, digits)
	}
	return wire.Number(g.sums[i], m.Column, digits)
}

// digits writes a number with nine decimals, as the documentation shows amounts.
func digits(n *big.Rat) string { return n.FloatString(9) }

func rat(v allod.Value) *big.Rat {
	if v.Type() == allod.Integer {
		return new(big.Rat).SetInt64(v.Int())
	}
	if n, ok := new(big.Rat).SetString(v.Text()); ok && len(v.Text()) < 400 {
		return n
	}
	return new(big.Rat) // no number is kept as one
}

// key is equal for values that fall into one group: text without regard to
// case, numbers by what they are.
func key(v allod.Value) string {
	text := ""
	switch v.Type() {
	case allod.Null, allod.Absent:
		return "\x00"
	case allod.Decimal, allod.Double, allod.Integer:
		text = rat(v).RatString()
	default:
		text = strings.ToLower(v.String())
	}
	return strconv.Itoa(len(text)) + ":" + text
}

// Compare orders two lines by their values, null first.
func Compare(a, b []allod.Value) int {
	for i := range a {
		if n := compare(a[i], b[i]); n != 0 {
			return n
		}
	}
	return 0
}

func compare(a, b allod.Value) int {
	an, bn := a.IsNull() || a.IsAbsent(), b.IsNull() || b.IsAbsent()
	switch {
	case an && bn:
		return 0
	case an:
		return -1
	case bn:
		return 1
	}
	switch a.Type() {
	case allod.Integer, allod.Decimal, allod.Double:
		return rat(a).Cmp(rat(b))
	case allod.Boolean:
		return strings.Compare(strconv.FormatBool(a.Bool()), strconv.FormatBool(b.Bool()))
	default:
		return strings.Compare(strings.ToLower(a.String()), strings.ToLower(b.String()))
	}
}
