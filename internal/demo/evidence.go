package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"allod"
)

// evidence is what the API says of the records concerned, column by column.
type evidence struct{ rows map[string]map[string]any }

// setByPlatform reports whether the platform writes the column itself, so that
// nobody can put it back (protocols/dataverse.md §6.7).
func setByPlatform(name string) bool {
	switch name {
	case "modifiedon", "_modifiedby_value", "_modifiedonbehalfby_value", "versionnumber", "overriddencreatedon",
		"_createdby_value", "_createdonbehalfby_value", "_owningbusinessunit_value", "_owninguser_value", "_owningteam_value",
		"timezoneruleversionnumber", "utcconversiontimezonecode", "exchangerate":
		return true
	}
	return strings.HasSuffix(name, "_base")
}

// collect reads the records concerned from the company.
func collect(ctx context.Context, a *api, l *loss) (*evidence, error) {
	e := &evidence{rows: map[string]map[string]any{}}
	paths := []string{"accounts(" + l.account + ")"}
	for _, id := range l.contacts {
		paths = append(paths, "contacts("+id+")")
	}
	for _, id := range l.cases {
		paths = append(paths, "incidents("+id+")")
	}
	for _, id := range slices.Sorted(maps.Keys(l.phones)) {
		paths = append(paths, "contacts("+id+")")
	}
	for _, p := range paths {
		var row map[string]any
		switch err := a.do(ctx, "GET", p, "", nil, &row); {
		case allod.KindOf(err) == allod.NotFound:
			continue
		case err != nil:
			return nil, err
		}
		e.rows[p] = row
	}
	return e, nil
}

// differences lists what is not as it was, without values.
func (e *evidence) differences(now *evidence) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(e.rows)) {
		row, ok := now.rows[path]
		if !ok {
			out = append(out, path+" is not there")
			continue
		}
		var columns []string
		for name, was := range e.rows[path] {
			if strings.Contains(name, "@") || setByPlatform(name) {
				continue
			}
			if text(was) != text(row[name]) {
				columns = append(columns, name)
			}
		}
		if slices.Sort(columns); len(columns) > 0 {
			out = append(out, fmt.Sprintf("%s differs in %s", path, strings.Join(columns, ", ")))
		}
	}
	return out
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
