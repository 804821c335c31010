package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/history"
)

func (a *app) diffCommand() *cobra.Command {
	var opts history.Options
	cmd := &cobra.Command{
		Use: "diff ENV@A [ENV2@B]", Short: "Compare two moments, of one environment or two", Args: cobra.RangeArgs(1, 2),
		Example: "  allod diff prod@-1d prod@live --table account --rows",
		Long: `Compare two moments. Added rows are only in the second, removed ones only in
the first; with one moment alone, the second is the environment as it is now.
--writable leaves out what no restore could write, and says for each class of
tables how many cells that is and why.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ma, err := a.moment(args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				args = append(args, ma.Environment+"@live")
			}
			mb, err := a.moment(args[1])
			if err != nil {
				return err
			}
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				m := a.newMeter("compare", -1)
				opts.Progress = func(done, total int) { m.set(int64(done), int64(total), fmt.Sprintf("table %d of %d", done, total)) }
				d, err := o.Compare(cmd.Context(), ma, mb, opts)
				m.done()
				if err != nil {
					return err
				}
				if a.json {
					a.print(d)
					return nil
				}
				a.showDiff(d, opts)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&opts.Tables, "table", nil, "only this table; may be repeated")
	f.BoolVar(&opts.Writable, "writable", false, "compare only what a restore can write")
	f.BoolVar(&opts.Rows, "rows", false, "list the rows that differ")
	f.BoolVar(&opts.Columns, "columns", false, "count differences per column")
	return cmd
}

func (a *app) showDiff(d *history.Diff, opts history.Options) {
	a.outf("%s against %s: %d added, %d removed, %d changed, %d equal.\n", d.A, d.B, d.Added, d.Removed, d.Changed, d.Equal)
	for _, c := range d.Classes {
		a.outf("  class %-14s %4d tables: %d added, %d removed, %d changed, %d equal\n", c.Class, c.Tables, c.Added, c.Removed, c.Changed, c.Equal)
		a.outf("    %d cells compared\n", c.CellsCompared)
		for _, why := range slices.Sorted(maps.Keys(c.CellsNotCompared)) {
			a.outf("    %d not compared: %s\n", c.CellsNotCompared[why], why)
		}
	}
	for _, t := range d.Tables {
		if t.Added+t.Removed+t.Changed == 0 {
			continue
		}
		a.outf("  %-32s %6d added %6d removed %6d changed\n", t.Table, t.Added, t.Removed, t.Changed)
		if opts.Columns {
			for _, name := range slices.Sorted(maps.Keys(t.Columns)) {
				a.outf("      column %-40s %d\n", name, t.Columns[name])
			}
		}
		for _, r := range t.Rows {
			columns := ""
			if len(r.Columns) > 0 {
				columns = ": " + strings.Join(r.Columns, ", ")
			}
			a.outf("      %-8s %s%s\n", r.Change, r.Record, columns)
		}
	}
	for _, s := range d.Skipped {
		a.outf("  table %s was not compared: %s\n", s.Table, s.Reason)
	}
}
