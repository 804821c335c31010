package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/files"
	"allod/internal/cli/rows"
)

func (a *app) snapshotsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "snapshots [ENV]", Short: "List what was captured when", Args: cobra.MaximumNArgs(1), SuggestFor: []string{"log", "history", "list"}, Example: "  allod snapshots prod",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				env := strings.Join(args, "")
				all, err := o.Snapshots(cmd.Context(), env)
				if err != nil {
					return err
				}
				if a.json {
					if all == nil {
						all = []allod.Snapshot{}
					}
					a.print(all)
					return nil
				}
				if len(all) == 0 {
					a.outf("Nothing has been backed up yet. Run `allod backup`.\n")
					return nil
				}
				a.outf("%-16s %-19s %6s %9s %8s %8s %8s\n", "SNAPSHOT", "READ UNTIL (UTC)", "SPAN", "ROWS", "CREATED", "UPDATED", "DELETED")
				for _, s := range all {
					state := ""
					if !s.Complete {
						state = "\n  not complete"
					}
					a.outf("%-16s %-19s %6s %9d %8d %8d %8d%s\n", fmt.Sprintf("%s@%d", s.Environment, s.ID), s.To.Format("2006-01-02 15:04:05"),
						s.To.Sub(s.From).Round(time.Second), s.Rows, s.Created, s.Updated, s.Deleted, state)
				}
				return nil
			})
		},
	}
}

func (a *app) showTables(s *allod.Schema) {
	if a.json {
		a.print(s)
		return
	}
	a.outf("%-40s %-14s %-9s %s\n", "TABLE", "CLASS", "TRACKED", "WHY")
	for i := range s.Tables {
		t := &s.Tables[i]
		why := t.Reason
		if t.Unreadable != "" {
			why = "not read: " + t.Unreadable
		}
		a.outf("%-40s %-14s %-9s %s\n", t.Name, t.Class, yesNo(t.Tracking), why)
	}
}

func (a *app) showColumns(t *allod.Table) {
	if a.json {
		a.print(t)
		return
	}
	a.outf("%s (%s), class %s: %s\n", t.Name, cmp.Or(t.Label, t.SchemaName), t.Class, t.Reason)
	a.outf("%-36s %-12s %-22s %s\n", "COLUMN", "TYPE", "NATIVE", "WRITTEN BACK")
	for i := range t.Columns {
		c := &t.Columns[i]
		written := "yes"
		switch {
		case c.Derived != "":
			written = "not stored: " + c.Derived
		case !c.Create && !c.Update:
			written = "no: " + c.Unwritable
		case !c.Update:
			written = "on create only"
		}
		a.outf("%-36s %-12s %-22s %s\n", c.Name, c.Type, c.Native, written)
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// lsFlags are the flags of `allod ls`.
type lsFlags struct {
	filter  string
	limit   int
	deleted bool
}

func (a *app) lsCommand() *cobra.Command {
	var o lsFlags
	cmd := &cobra.Command{
		Use: "ls ENV[@WHEN] [TABLE]", Short: "List tables with their rows, or rows of one table", Args: cobra.RangeArgs(1, 2), SuggestFor: []string{"list", "rows", "find"},
		Example: "  allod ls prod@-1d account --filter \"name eq 'Contoso'\"\n  allod ls prod@-1d account --deleted",
		Long: `List the tables of a moment with how many rows they had, or the rows of one
table. With --json every row is one line, as the source's own JSON.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.moment(args[0])
			if err != nil {
				return err
			}
			if o.limit < 0 {
				return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "ls %s --limit %d: fewer rows than none", m, o.limit), "Leave --limit out for all of them.")}
			}
			if o.deleted && len(args) == 1 {
				return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "ls %s --deleted: of which table?", m), "`allod diff %s %s@live` says which tables lost rows.", m, m.Environment)}
			}
			return a.withOffice(cmd.Context(), func(of *act.Office) error {
				if len(args) == 1 {
					return a.listTables(cmd, of, m)
				}
				return a.listRows(cmd, of, m, args[1], o)
			})
		},
	}
	cmd.Flags().BoolVar(&o.deleted, "deleted", false, "only rows that are no longer there")
	cmd.Flags().StringVar(&o.filter, "filter", "", "OData filter, e.g. \"name eq 'Contoso'\"")
	cmd.Flags().IntVar(&o.limit, "limit", 0, "at most so many rows (default all)")
	return cmd
}

func (a *app) listTables(cmd *cobra.Command, o *act.Office, m act.Moment) error {
	if m.Live {
		schema, err := o.Schema(cmd.Context(), m)
		if err == nil {
			a.showTables(schema)
		}
		return err
	}
	meta, man, err := o.Manifest(cmd.Context(), m)
	if err != nil {
		return err
	}
	if a.json {
		a.print(map[string]any{"snapshot": meta, "tables": man.Tables, "gaps": man.Gaps})
		return nil
	}
	a.outf("%s@%d, read until %s\n", meta.Environment, meta.ID, meta.To.Format(time.RFC3339))
	a.outf("%-40s %10s  %s\n", "TABLE", "ROWS", "STATE")
	for _, t := range man.Tables {
		if t.Rows > 0 || t.State == allod.TableFailed || t.State == allod.TableDenied {
			a.outf("%-40s %10d  %s\n", t.Table, t.Rows, t.State)
		}
	}
	return nil
}

func (a *app) listRows(cmd *cobra.Command, o *act.Office, m act.Moment, table string, f lsFlags) error {
	list := o.Rows
	if f.deleted {
		list = o.DeletedRows
	}
	t, all, err := list(cmd.Context(), m, table, f.filter, f.limit)
	if err != nil {
		return err
	}
	return a.rowConsole().List(cmd.Context(), o, m, t, all)
}

func (a *app) rowConsole() rows.Console {
	return rows.Console{Out: a.deps.Out, Err: a.deps.Err, JSON: a.json}
}

func (a *app) getCommand() *cobra.Command {
	var column, out string
	cmd := &cobra.Command{
		Use: "get ENV[@WHEN] TABLE ID", Short: "Show one row as it was, or write one of its files out", Args: cobra.ExactArgs(3), SuggestFor: []string{"show", "cat", "row"},
		Example: `  allod get prod@-1d account 49b0be2e-d01c-ed11-b83e-000d3a572421
  allod get prod@-1d annotation $ID --file documentbody --out contract.pdf
  allod get prod@-1d solution $ID --file exported_package --out Loyalty.zip`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.moment(args[0])
			if err != nil {
				return err
			}
			if (column == "") != (out == "") {
				return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "get %s %s: --file and --out go together", m, args[1]), "--file names the column with the file, --out the file to write.")}
			}
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				if column != "" {
					return a.writeFile(cmd, o, m, args, column, out)
				}
				t, row, err := o.Get(cmd.Context(), m, args[1], args[2])
				if err != nil {
					return err
				}
				if err := a.erasureConsole().Mark(cmd.Context(), o, m, row); err != nil {
					return err
				}
				return a.rowConsole().One(cmd.Context(), o, m, t, row)
			})
		},
	}
	cmd.Flags().StringVar(&column, "file", "", "write the file in this column of the row to --out")
	cmd.Flags().StringVar(&out, "out", "", "the file to write, which must not exist yet")
	return cmd
}

// writeFile writes the file of a column out.
func (a *app) writeFile(cmd *cobra.Command, o *act.Office, m act.Moment, args []string, column, out string) error {
	ref, err := files.Write(cmd.Context(), o, m, args[1], args[2], column, out)
	if err != nil {
		return err
	}
	if a.json {
		a.print(map[string]any{"name": ref.Name, "mime": ref.MIME, "bytes": ref.Size, "sha256": ref.SHA256, "path": out})
		return nil
	}
	a.outf("Wrote %d bytes to %s.\n", ref.Size, out)
	return nil
}
