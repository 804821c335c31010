package aggregate

import (
	"net/http"
	"slices"
	"sort"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Run carries the transformations out one after the other, each on what the one
// before it gave; at least one groups or aggregates. Filters that come first are
// what is read by. How the service orders and cuts within $apply is not
// documented; here it is as OData says.
func Run[R any](s Source[R], steps []query.Transform) (*Result, error) {
	var filters []func(R) (bool, error)
	for len(steps) > 0 && steps[0].Kind == query.TransformFilter {
		f, err := s.Filter(steps[0].Filter)
		if err != nil {
			return nil, err
		}
		filters, steps = append(filters, f), steps[1:]
	}
	rows, err := s.Rows(func(r R) (bool, error) {
		for _, f := range filters {
			if ok, err := f(r); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if len(rows) > MaxRows {
		return nil, wire.Refuse(http.StatusBadRequest, "0x8004E023", "The maximum record limit is exceeded. Reduce the number of records.")
	}
	return through(s, rows, steps)
}

// through carries the steps out on the rows.
func through[R any](s Source[R], rows []R, steps []query.Transform) (*Result, error) {
	for i := range steps {
		t := &steps[i]
		switch t.Kind {
		case query.TransformFilter:
			keep, err := s.Filter(t.Filter)
			if err != nil {
				return nil, err
			}
			var kept []R
			for _, r := range rows {
				ok, err := keep(r)
				if err != nil {
					return nil, err
				}
				if ok {
					kept = append(kept, r)
				}
			}
			rows = kept
		case query.TransformOrderBy:
			rows = slices.Clone(rows)
			if err := s.Sort(rows, t.OrderBy); err != nil {
				return nil, err
			}
		case query.TransformTop:
			rows = rows[:min(int64(len(rows)), max(t.N, 0))]
		case query.TransformSkip:
			rows = rows[min(int64(len(rows)), max(t.N, 0)):]
		case query.TransformGroupBy, query.TransformAggregate:
			res, err := reckon(s, rows, t)
			if err != nil || i == len(steps)-1 {
				return res, err
			}
			return through(lines(res, s.Compile), res.Lines, steps[i+1:])
		default:
			return nil, unanswered("compute")
		}
	}
	if s.Whole == nil {
		return nil, unanswered("rows that are neither grouped nor aggregated")
	}
	return s.Whole(rows), nil
}

// reckon carries out one groupby or aggregate.
func reckon[R any](s Source[R], rows []R, t *query.Transform) (*Result, error) {
	if t.Kind == query.TransformGroupBy && len(t.Apply) > 0 && (len(t.Apply) > 1 || t.Apply[0].Kind != query.TransformAggregate) {
		return within(s, rows, t)
	}
	p, err := prepare(s, t)
	if err != nil {
		return nil, err
	}
	return p.run(rows)
}

// within carries out what is to be done with each group: its lines, with what it
// is grouped by before them.
func within[R any](s Source[R], rows []R, t *query.Transform) (*Result, error) {
	p, err := prepare(s, &query.Transform{Kind: t.Kind, GroupBy: t.GroupBy})
	if err != nil {
		return nil, err
	}
	groups, err := p.run(rows)
	if err != nil {
		return nil, err
	}
	parts := map[string][]R{}
	for _, r := range rows {
		name, _, err := p.keys(r)
		if err != nil {
			return nil, err
		}
		parts[name] = append(parts[name], r)
	}
	empty, err := through(s, nil, t.Apply)
	if err != nil {
		return nil, err
	}
	out := &Result{Columns: slices.Concat(groups.Columns, empty.Columns), Grouped: groups.Grouped}
	for _, keys := range groups.Lines {
		part, err := through(s, parts[nameOf(keys)], t.Apply)
		if err != nil {
			return nil, err
		}
		for _, line := range part.Lines {
			out.Lines = append(out.Lines, slices.Concat(keys, line))
		}
	}
	return out, nil
}

// keys are what a row is grouped by, and a text that is equal for equal keys.
func (p *plan[R]) keys(r R) (string, []allod.Value, error) {
	keys := make([]allod.Value, len(p.by))
	for i := range p.by {
		v, err := p.by[i].Get(r)
		if err != nil {
			return "", nil, err
		}
		keys[i] = v
	}
	return nameOf(keys), keys, nil
}

func nameOf(keys []allod.Value) string {
	var b strings.Builder
	for _, v := range keys {
		b.WriteString(key(v))
	}
	return b.String()
}

// lines makes a source of a result: its columns are the fields, by the path they
// came from or by name.
func lines(res *Result, compile Compiler) Source[[]allod.Value] {
	at := func(name string) int {
		return slices.IndexFunc(res.Columns, func(c Column) bool { return c.Name == name || c.Path == name })
	}
	column := func(name string) (func([]allod.Value) (allod.Value, error), error) {
		i := at(name)
		if i < 0 {
			return nil, missing(name)
		}
		return func(line []allod.Value) (allod.Value, error) {
			if v := line[i]; v.Type() == allod.Lookup {
				return allod.IDValue(v.GUID()), nil
			}
			return line[i], nil
		}, nil
	}
	return Source[[]allod.Value]{
		Filter:  func(e query.Expr) (func([]allod.Value) (bool, error), error) { return compile(e, column) },
		Compile: compile,
		Field: func(p *query.Path) (Field[[]allod.Value], error) {
			name := pathName(p)
			i := at(name)
			if i < 0 {
				return Field[[]allod.Value]{}, missing(name)
			}
			c := res.Columns[i]
			f := Field[[]allod.Value]{
				Name: c.Name, Path: c.Path, Table: c.Table, Column: c.Source, Counted: c.Source == nil,
				Get: func(line []allod.Value) (allod.Value, error) { return line[i], nil },
			}
			if f.Counted {
				f.Column = &entity.Column{LogicalName: c.Name, EdmType: "Edm.Int64"}
			}
			return f, nil
		},
		Sort: func(rows [][]allod.Value, by []query.OrderItem) error { return sortLines(rows, by, at) },
		Whole: func(rows [][]allod.Value) *Result {
			return &Result{Columns: res.Columns, Lines: rows, Grouped: res.Grouped}
		},
	}
}

func sortLines(rows [][]allod.Value, by []query.OrderItem, at func(string) int) error {
	columns := make([]int, len(by))
	for k, it := range by {
		p, ok := it.Expr.(*query.Path)
		if !ok {
			return unanswered("an expression within orderby")
		}
		if columns[k] = at(pathName(p)); columns[k] < 0 {
			return missing(pathName(p))
		}
	}
	sort.SliceStable(rows, func(i, j int) bool {
		for k, c := range columns {
			if n := compare(rows[i][c], rows[j][c]); n != 0 {
				return n < 0 != by[k].Desc
			}
		}
		return false
	})
	return nil
}

func missing(name string) error {
	return wire.BadQuery("Could not find a property named '%s' in what the transformations before it give.", name)
}

func pathName(p *query.Path) string {
	names := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		names[i] = s.Name
	}
	return strings.Join(names, "/")
}
