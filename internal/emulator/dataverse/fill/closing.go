package fill

import (
	"slices"

	"allod/internal/emulator/dataverse/entity"
)

// closing says which table's rows come into being when rows of another are
// closed, through which column they name them, and by which states
// (protocols/dataverse.md §6.6).
type closing struct {
	table, parent, column string
	states                []int
}

func closings() []closing {
	return []closing{
		{"incidentresolution", "incident", "incidentid", []int{1}},
		{"opportunityclose", "opportunity", "opportunityid", []int{1, 2}},
		{"quoteclose", "quote", "quoteid", []int{2, 3}},
		{"orderclose", "salesorder", "salesorderid", []int{2, 3}},
	}
}

// closedBy returns the closing whose rows t holds (close) or that closes rows
// of t (parent), if the model knows both tables and the states.
func (f *filler) closedBy(t *entity.Table) (c closing, isClose, isParent bool) {
	for _, c := range closings() {
		if c.table != t.LogicalName && c.parent != t.LogicalName {
			continue
		}
		p, q := f.plans[c.parent], f.plans[c.table]
		if p == nil || q == nil || q.t.Column(c.column) == nil || len(c.options(p.t, true)) == 0 || len(c.options(p.t, false)) == 0 {
			break
		}
		return c, c.table == t.LogicalName, c.parent == t.LogicalName
	}
	return closing{}, false, false
}

// options are the status reasons of the parent's closed states, or those of
// its other states.
func (c *closing) options(parent *entity.Table, closed bool) []entity.Option {
	s := parent.Column("statuscode")
	if s == nil || s.OptionSet == nil {
		return nil
	}
	var out []entity.Option
	for _, o := range s.OptionSet.Options {
		if slices.Contains(c.states, o.State) == closed {
			out = append(out, o)
		}
	}
	return out
}

// Every second made row of a parent is closed: the n-th of them is row
// base + 2n + 1.
func closedRow(base, n int) int { return base + 2*n + 1 }

func isClosed(base, i int) bool { return i >= base && (i-base)%2 == 1 }

func closedRows(base, count int) int { return max(0, count-base) / 2 }
