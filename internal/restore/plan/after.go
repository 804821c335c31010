package plan

import "fmt"

// After is what a plan does once the rows are written, or would be wise to do.
// It is no step: nothing of it is a write to a row of the plan.
type After struct {
	Seeds []Seed `json:"seeds,omitempty"`
}

// Seed is a column that the platform numbers by itself and whose next number is
// not above the highest one that comes back: it would be given out again.
type Seed struct {
	Table   string `json:"table"`
	Column  string `json:"column"`
	Next    int64  `json:"next"`    // that comes next, when the plan was made
	Highest int64  `json:"highest"` // among the rows that the plan writes
	Set     bool   `json:"set"`     // it is to go on from Highest+1
}

// Beside returns what is done besides the steps, made when there is nothing yet.
func (p *Plan) Beside() *After {
	if p.After == nil {
		p.After = &After{}
	}
	return p.After
}

// decides is what of it decides what is written.
func (a *After) decides() []any {
	var out []any
	if a == nil {
		return nil
	}
	for _, s := range a.Seeds {
		if s.Set {
			out = append(out, []any{"seed", s.Table, s.Column, s.Highest})
		}
	}
	return out
}

func (a *After) text(t *text, max int) {
	if a == nil {
		return
	}
	if len(a.Seeds) > 0 {
		t.line("\nNumbers that would be given out again")
	}
	for i, s := range a.Seeds {
		if i == max {
			t.line("  … and %d more", len(a.Seeds)-max)
			break
		}
		what := fmt.Sprintf("--fix-seeds has it go on from %d", s.Highest+1)
		if s.Set {
			what = fmt.Sprintf("after the rows it goes on from %d", s.Highest+1)
		}
		t.para("    ", "  %s.%s: %d comes next, and rows up to %d come back; %s", s.Table, s.Column, s.Next, s.Highest, what)
	}
}
