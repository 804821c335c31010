// Package chunks reads tables whose columns do not fit one address: in several
// $select, merged by key. The parts of a row are of one version, or the row is
// read again (design/capture.md, reading much; protocols/dataverse.md §4.7).
package chunks

import (
	"allod"
	"allod/internal/odata"
	"allod/internal/source/dataverse/rows"
)

// size is how long the $select of one part may be, in bytes. Beside it the
// address holds keys, and a link to the next page holds both escaped.
const size = 14000

// Plan says in which parts the columns of a table are read. It is safe for
// concurrent use.
type Plan struct {
	Whole *rows.Plan   // every column in one answer, without $select
	Parts []*rows.Plan // together the same columns; each with the key

	table *allod.Table
	owner []int // cell → index of its part; -1 = not read
}

// New divides the columns; nil = every stored column, as for rows.NewPlan. It
// returns nil for a table that can be read with one $select, and for one whose
// rows have no key by which parts could be put together.
func New(t *allod.Table, columns []string, whole *rows.Plan) (*Plan, error) {
	if whole.Select() != "" || t.Intersect || t.Key == "" {
		return nil, nil
	}
	p := &Plan{Whole: whole, table: t, owner: make([]int, whole.Cells())}
	wanted := map[string]bool{}
	for _, c := range columns {
		wanted[c] = true
	}
	var part []string
	used := 0
	finish := func() error {
		plan, err := rows.NewPlan(t, part, [2]string{})
		if err != nil {
			return err
		}
		p.Parts = append(p.Parts, plan)
		part, used = nil, 0
		return nil
	}
	for i := range p.owner {
		c := &t.Columns[i]
		p.owner[i] = -1
		if columns != nil && !wanted[c.Name] || c.Derived != "" || c.Unreadable != "" {
			continue
		}
		n := length(c)
		if used+n > size && len(part) > 0 {
			if err := finish(); err != nil {
				return nil, err
			}
		}
		p.owner[i] = len(p.Parts)
		part, used = append(part, c.Name), used+n
	}
	if err := finish(); err != nil {
		return nil, err
	}
	return p, nil
}

// length is how much a column takes in $select, at most.
func length(c *allod.Column) int {
	switch c.Type {
	case allod.Lookup:
		return len(odata.LookupProperty(c.Name)) + 1
	case allod.File: // with its name or time stamp, or the name, type and size of a body
		return 3 * (len(c.Name) + len("_timestamp,"))
	default:
		return len(c.Name) + 1
	}
}

// merge puts the parts of one row together; each row of parts belongs to the
// part of that index.
func (p *Plan) merge(parts []*allod.Row) allod.Row {
	out := *parts[0]
	out.Cells = make([]allod.Value, len(p.owner))
	for i, n := range p.owner {
		if n >= 0 {
			out.Cells[i] = parts[n].Cell(i)
		}
	}
	return out
}

// consistent reports whether the parts are all there and of one version that is not
// older than said. A row without a version cannot be put together.
func consistent(parts []*allod.Row, said uint64) bool {
	for _, r := range parts {
		if r == nil || r.Version == 0 || r.Version != parts[0].Version || r.Version < said {
			return false
		}
	}
	return true
}
