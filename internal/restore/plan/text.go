package plan

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// width is how wide text for people is, in columns.
const width = 80

// most is how many columns of a step are listed by name: a row that is created
// whole has a hundred, and they hide the plan.
const most = 12

// WriteText writes the plan for people: what will happen per table, what will
// not, and why, in 80 columns. At most max steps, skipped rows and columns are
// listed each; the rest is counted.
func (p *Plan) WriteText(w io.Writer, max int) error {
	t := &text{w: w}
	t.line("Plan %s", p.ID)
	t.para("  ", "from %s to %s, built %s, approved by %s", p.From, p.To, p.Built.Format("2006-01-02 15:04:05Z"), p.Approval)
	c := p.Counts
	t.para("  ", "%d rows looked at: %d to create, %d to update, %d equal, %d skipped; %d pairs, %d party lists, %d files, %d states; %d steps",
		c.Rows, c.Create, c.Update, c.Unchanged, c.Skipped, c.Pairs, c.Parties, c.Files, c.States, c.Steps)
	if c.Delete > 0 {
		t.line("  %s to delete or unlink", Count(c.Delete, "row"))
	}
	p.textTables(t)
	p.textSteps(t, max)
	if len(p.Conflicts) > 0 {
		t.line("\nTouched since")
		p.textSkips(t, p.Conflicts, max)
	}
	if len(p.Refused) > 0 {
		t.line("\nRefused tables")
		for _, r := range p.Refused {
			t.para("    ", "  %s (%s): %s", r.Table, Count(r.Rows, "row"), r.Reason)
		}
	}
	if len(p.Warnings) > 0 {
		t.line("\nWarnings")
		for _, s := range p.Warnings {
			t.para("    ", "  - %s", s)
		}
	}
	p.textBin(t)
	p.textHeld(t)
	p.After.text(t, max)
	p.textTriggers(t, max)
	if len(p.Replayed) > 0 {
		t.line("\nCorrected: the snapshot holds what was wrong")
		for i, r := range p.Replayed {
			if i == max {
				t.line("  … and %d more", len(p.Replayed)-max)
				break
			}
			t.para("    ", "  %s %v: %s (%s)", r.Table, r.ID, strings.Join(r.Columns, ", "), r.Reason)
		}
	}
	if len(p.Skipped) > 0 {
		if p.Undoes != "" {
			t.line("\nLeft alone")
		} else {
			t.line("\nNot restored")
		}
		p.textSkips(t, p.Skipped, max)
	}
	p.textNotWritten(t, max)
	return t.err
}

func (p *Plan) textSkips(t *text, skips []Skip, max int) {
	for i, s := range skips {
		if i == max {
			t.line("  … and %d more", len(skips)-max)
			return
		}
		t.para("    ", "  %s %v: %s", s.Table, s.ID, s.Reason)
	}
}

// textTables writes a line per table with steps.
func (p *Plan) textTables(t *text) {
	type sums struct{ create, update, other int64 }
	by := map[string]*sums{}
	for s := range p.Steps() {
		c := by[s.Table]
		if c == nil {
			c = &sums{}
			by[s.Table] = c
		}
		switch s.Op {
		case "create", "associate":
			c.create++
		case "update":
			c.update++
		default:
			c.other++
		}
	}
	if len(by) == 0 {
		t.line("\nNothing to do.")
		return
	}
	t.line("\n%-44s %10s %10s %12s", "Table, in the order of writing", "creates", "updates", "other steps")
	for _, name := range p.tables {
		if c := by[name]; c != nil {
			t.line("  %-42s %10d %10d %12d", clip(name, 42), c.create, c.update, c.other)
		}
	}
}

func (p *Plan) textSteps(t *text, max int) {
	if len(p.steps) == 0 {
		return
	}
	t.line("\nSteps")
	n := 0
	for s := range p.Steps() {
		if n == max {
			t.line("  … and %d more", p.Counts.Steps-int64(n))
			return
		}
		n++
		t.para("    ", "  %s %s %v: %s", s.Op, s.Table, s.ID, s.Reason)
		switch {
		case len(s.Columns) > most:
			t.line("      %d columns (--json names them)", len(s.Columns))
		case len(s.Columns) > 0:
			t.para("      ", "      %s", strings.Join(s.Columns, ", "))
		}
	}
}

// textNotWritten lists what is recomputed or cannot be written, a line per
// reason and column, over all tables.
func (p *Plan) textNotWritten(t *text, max int) {
	if len(p.NotWritten) == 0 {
		return
	}
	by := map[string][]string{}
	for _, n := range p.NotWritten {
		by[n.Reason] = append(by[n.Reason], fmt.Sprintf("%s.%s (%d)", n.Table, n.Column, n.Rows))
	}
	t.line("\nNot written, or computed anew by the target (with the number of rows)")
	var reasons []string
	for r := range by {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	for _, r := range reasons {
		list := by[r]
		more := ""
		if len(list) > max {
			more = fmt.Sprintf(", … and %d more", len(list)-max)
			list = list[:max]
		}
		t.para("    ", "  %s: %s%s", r, strings.Join(list, ", "), more)
	}
}

// Count says how many there are of something: "1 row", "2 rows".
func Count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// text writes lines and keeps the first error.
type text struct {
	w   io.Writer
	err error
}

func (t *text) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

// para writes a paragraph, wrapped at spaces; lines after the first begin with
// indent.
func (t *text) para(indent, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	lead := s[:len(s)-len(strings.TrimLeft(s, " "))]
	if lead == "" {
		lead = indent
	}
	line := lead
	used := false
	for _, word := range strings.Fields(s) {
		if used && len([]rune(line))+1+len([]rune(word)) > width {
			t.line("%s", line)
			line, used = indent, false
		}
		if used {
			line += " "
		}
		line += word
		used = true
	}
	t.line("%s", line)
}
