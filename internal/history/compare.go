// Package history compares what was with what is: two moments of one
// environment, or of two, snapshot or live, row by row and cell by cell.
//
// Comparing is pure: it reads two source.Views and returns counts and, when
// asked, the records and columns concerned; it never returns values unless
// Values is called for one record. A cell that was not read on one side is
// never a difference, and never silently equal either: it is counted.
package history

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"allod"
	"allod/internal/source"

	"golang.org/x/sync/errgroup"
)

// Options of Compare. The zero value compares every readable table.
type Options struct {
	Tables  []string      // logical names; nil = all
	Classes []allod.Class // nil = all

	ColumnOptions

	// Rows lists the records that differ, at most MaxRows per table
	// (0 = 10,000), with the names of their columns.
	Rows    bool
	MaxRows int
	// Columns counts the differences per column.
	Columns bool
	// SkipFiles never reads bytes to compare files; what digests and sizes do
	// not settle is counted as not compared.
	SkipFiles bool
	// Parallel is how many tables are compared at once; 0 = 4.
	Parallel int
	// Progress, when not nil, is called after each table, one call at a time.
	Progress func(done, total int)
}

// Diff is the outcome of a comparison of A with B: added rows are in B only,
// removed ones in A only.
type Diff struct {
	A       string      `json:"a"`
	B       string      `json:"b"`
	Added   int64       `json:"added"`
	Removed int64       `json:"removed"`
	Changed int64       `json:"changed"`
	Equal   int64       `json:"equal"`
	Tables  []TableDiff `json:"tables"`  // sorted by name; every table compared, also those without a difference
	Classes []ClassDiff `json:"classes"` // sorted by class
	// Cells counts cells of rows that both sides have.
	CellsCompared    int64            `json:"cells_compared"`
	CellsNotCompared map[Reason]int64 `json:"cells_not_compared"`
	// Skipped tables could not be compared: unreadable on a side.
	Skipped []SkippedTable `json:"skipped"`
}

// Same reports whether nothing was added, removed or changed.
func (d *Diff) Same() bool { return d.Added == 0 && d.Removed == 0 && d.Changed == 0 }

// TableDiff is the outcome for one table.
type TableDiff struct {
	Table            string           `json:"table"`
	Class            allod.Class      `json:"class"`
	Added            int64            `json:"added"`
	Removed          int64            `json:"removed"`
	Changed          int64            `json:"changed"`
	Equal            int64            `json:"equal"`
	OnlyIn           string           `json:"only_in,omitempty"` // name of the side that alone has the table
	CellsCompared    int64            `json:"cells_compared"`
	CellsNotCompared map[Reason]int64 `json:"cells_not_compared,omitempty"`
	Columns          map[string]int64 `json:"columns,omitempty"` // differing cells per column, when asked for
	Rows             []RowDiff        `json:"rows,omitempty"`    // when asked for, sorted by record
	RowsCut          bool             `json:"rows_cut,omitempty"`
}

// ClassDiff sums up the tables of one class.
type ClassDiff struct {
	Class   allod.Class `json:"class"`
	Tables  int         `json:"tables"`
	Added   int64       `json:"added"`
	Removed int64       `json:"removed"`
	Changed int64       `json:"changed"`
	Equal   int64       `json:"equal"`
	// Cells of rows that both sides have.
	CellsCompared    int64            `json:"cells_compared"`
	CellsNotCompared map[Reason]int64 `json:"cells_not_compared"`
}

// SkippedTable names a table that was not compared.
type SkippedTable struct {
	Table  string `json:"table"`
	Reason string `json:"reason"`
}

// RowDiff names one record that differs, never its values.
type RowDiff struct {
	Change  Change          `json:"change"`
	Record  allod.RecordRef `json:"record"`
	Columns []string        `json:"columns,omitempty"` // of changed rows
}

// Change says how a record differs.
type Change string

// The kinds of differences.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
)

// Compare compares the tables of a with those of b, matched by logical name.
// It keeps about 80 bytes per row of a's tables under comparison and reads
// each table of both sides once; changed rows of a are read a second time. An
// unknown table in opts.Tables is NotFound.
func Compare(ctx context.Context, a, b source.View, opts Options) (*Diff, error) {
	names, skipped, err := tables(a, b, &opts)
	if err != nil {
		return nil, err
	}
	d := &Diff{A: a.Name(), B: b.Name(), Skipped: skipped, Tables: make([]TableDiff, len(names)), CellsNotCompared: map[Reason]int64{}}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, cmpOr(opts.Parallel, 4)))
	var mu sync.Mutex
	done := 0
	for i, name := range names {
		g.Go(func() error {
			t, err := compareTable(ctx, a, b, name, &opts)
			if err != nil {
				return err
			}
			d.Tables[i] = *t
			if opts.Progress != nil {
				mu.Lock()
				defer mu.Unlock()
				done++
				opts.Progress(done, len(names))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	d.sum()
	return d, nil
}

func cmpOr(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// tables returns the names to compare, sorted, and what is left out.
func tables(a, b source.View, opts *Options) ([]string, []SkippedTable, error) {
	for _, n := range opts.Tables {
		if a.Schema().Table(n) == nil && b.Schema().Table(n) == nil {
			return nil, nil, allod.Errorf(allod.NotFound, "compare %s with %s: neither has a table %q", a.Name(), b.Name(), n)
		}
	}
	set := map[string]bool{}
	for _, v := range []source.View{a, b} {
		for i := range v.Schema().Tables {
			set[v.Schema().Tables[i].Name] = true
		}
	}
	var names []string
	skipped := []SkippedTable{}
	for n := range set {
		if len(opts.Tables) > 0 && !slices.Contains(opts.Tables, n) {
			continue
		}
		if len(opts.Classes) > 0 && !slices.Contains(opts.Classes, classOf(a, b, n)) {
			continue
		}
		if why := unreadable(a, b, n); why != "" {
			skipped = append(skipped, SkippedTable{Table: n, Reason: why})
			continue
		}
		names = append(names, n)
	}
	slices.Sort(names)
	slices.SortFunc(skipped, func(x, y SkippedTable) int { return strings.Compare(x.Table, y.Table) })
	return names, skipped, nil
}

func classOf(a, b source.View, name string) allod.Class {
	if t := a.Schema().Table(name); t != nil {
		return t.Class
	}
	return b.Schema().Table(name).Class
}

func unreadable(a, b source.View, name string) string {
	for _, v := range []source.View{a, b} {
		if t := v.Schema().Table(name); t != nil && t.Unreadable != "" {
			return t.Unreadable
		}
	}
	return ""
}

// sum fills totals from the tables.
func (d *Diff) sum() {
	classes := map[allod.Class]*ClassDiff{}
	for i := range d.Tables {
		t := &d.Tables[i]
		d.Added, d.Removed, d.Changed, d.Equal = d.Added+t.Added, d.Removed+t.Removed, d.Changed+t.Changed, d.Equal+t.Equal
		c := classes[t.Class]
		if c == nil {
			c = &ClassDiff{Class: t.Class, CellsNotCompared: map[Reason]int64{}}
			classes[t.Class] = c
		}
		d.CellsCompared, c.CellsCompared = d.CellsCompared+t.CellsCompared, c.CellsCompared+t.CellsCompared
		for r, n := range t.CellsNotCompared {
			d.CellsNotCompared[r] += n
			c.CellsNotCompared[r] += n
		}
		c.Tables++
		c.Added, c.Removed, c.Changed, c.Equal = c.Added+t.Added, c.Removed+t.Removed, c.Changed+t.Changed, c.Equal+t.Equal
	}
	for _, c := range classes {
		d.Classes = append(d.Classes, *c)
	}
	slices.SortFunc(d.Classes, func(x, y ClassDiff) int { return strings.Compare(string(x.Class), string(y.Class)) })
}

func compareTable(ctx context.Context, a, b source.View, name string, opts *Options) (*TableDiff, error) {
	ta, tb := a.Schema().Table(name), b.Schema().Table(name)
	d := &TableDiff{Table: name, Class: classOf(a, b, name)}
	c := &comparison{d: d, a: a, b: b, opts: opts, max: cmpOr(opts.MaxRows, 10_000)}
	switch {
	case tb == nil:
		d.OnlyIn = a.Name()
		return d, c.oneSide(a.Rows(ctx, name), Removed, &d.Removed)
	case ta == nil:
		d.OnlyIn = b.Name()
		return d, c.oneSide(b.Rows(ctx, name), Added, &d.Added)
	}
	co := opts.ColumnOptions
	co.SameSource = co.SameSource || sameSource(a, b)
	c.cols = NewColumns(ta, tb, co)
	if err := c.readA(ctx); err != nil {
		return nil, err
	}
	if err := c.readB(ctx); err != nil {
		return nil, err
	}
	c.finish()
	return d, nil
}

// sameSource reports whether both views show the same organisation.
func sameSource(a, b source.View) bool {
	x, y := a.Schema().Identity.Organization, b.Schema().Identity.Organization
	return !x.IsZero() && x == y
}

// oneSide counts the rows of a table that only one side has.
func (c *comparison) oneSide(rows iter.Seq2[allod.Row, error], change Change, n *int64) error {
	for row, err := range rows {
		if err != nil {
			return err
		}
		*n++
		c.note(change, row.Ref(), nil)
	}
	c.sortRows()
	return nil
}

// Values returns the cells of one record on both sides that differ, for a
// person who may see them. NotFound when neither side has the record.
func Values(ctx context.Context, a, b source.View, ref allod.RecordRef, opts ColumnOptions) ([]CellDiff, error) {
	ta, tb := a.Schema().Table(ref.Table), b.Schema().Table(ref.Table)
	if ta == nil || tb == nil {
		return nil, allod.Errorf(allod.NotFound, "compare a record of %s with %s: a side has no table %q", a.Name(), b.Name(), ref.Table)
	}
	ra, err := one(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	rb, err := one(ctx, b, ref)
	if err != nil {
		return nil, err
	}
	if ra == nil && rb == nil {
		return nil, allod.Errorf(allod.NotFound, "compare %v: neither %s nor %s has it", ref, a.Name(), b.Name())
	}
	opts.SameSource = opts.SameSource || sameSource(a, b)
	cols := NewColumns(ta, tb, opts)
	var out []CellDiff
	for _, p := range cols.pairs {
		var d CellDiff
		d.Column = p.name
		if ra != nil {
			d.A = ra.Cell(p.a)
		}
		if rb != nil {
			d.B = rb.Cell(p.b)
		}
		if ra != nil && rb != nil && (d.A.IsAbsent() || d.B.IsAbsent() || Equal(cols.mapped(d.A), d.B)) {
			continue
		}
		if d.A.IsAbsent() && d.B.IsAbsent() {
			continue
		}
		out = append(out, d)
	}
	return out, nil
}

// CellDiff is one differing cell with both values: content. Absent stands for
// a row that the side does not have.
type CellDiff struct {
	Column string
	A, B   allod.Value
}

func one(ctx context.Context, v source.View, ref allod.RecordRef) (*allod.Row, error) {
	rows, err := v.Get(ctx, ref.Table, []allod.RecordRef{ref})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}
