package rowjson

import (
	"strings"

	"allod"
	"allod/internal/odata/query"
)

// Rows makes an OData $filter, as somebody typed it, a test of rows of a table: of
// all rows where it is empty. Errors as Filter.
func Rows(t *allod.Table, filter string) (func(*allod.Row) (bool, error), error) {
	if filter == "" {
		return func(*allod.Row) (bool, error) { return true, nil }, nil
	}
	expr, err := query.ParseExpr(filter)
	if err != nil {
		return nil, allod.WithHint(err, "The filter is an OData $filter, e.g. \"name eq 'Contoso' and statecode eq 0\"; lookups go by _column_value.")
	}
	return Filter(t, expr)
}

// Filter compiles a filter over the rows of a table. A column goes by the name
// it has in the source's own JSON: _x_value for a lookup. Invalid for one that
// the table does not have.
func Filter(t *allod.Table, expr query.Expr) (func(*allod.Row) (bool, error), error) {
	env := query.Env[*allod.Row]{
		FoldCase: true, // as Dataverse's collation does (protocols/dataverse.md §4.3)
		Column: func(name string) (func(*allod.Row) (allod.Value, error), error) {
			i := t.ColumnIndex(columnOfProperty(name))
			if i < 0 {
				return nil, allod.WithHint(allod.Errorf(allod.Invalid, "filter %s: there is no column %q", t.Name, name), "`allod schema ENV %s` lists its columns.", t.Name)
			}
			return func(r *allod.Row) (allod.Value, error) { return r.Cell(i), nil }, nil
		},
	}
	return query.Compile(expr, env)
}

// columnOfProperty is the logical name of a property: _x_value is column x.
func columnOfProperty(name string) string {
	if rest, ok := strings.CutPrefix(name, "_"); ok {
		if column, ok := strings.CutSuffix(rest, "_value"); ok {
			return column
		}
	}
	return name
}
