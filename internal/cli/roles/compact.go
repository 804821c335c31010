package roles

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/act/roles"
	"allod/internal/cli/text"
	"allod/internal/vault/compact"
)

// CompactCommand is `allod vault compact`.
func (c *Console) CompactCommand() *cobra.Command {
	var opts compact.Options
	var plan bool
	cmd := &cobra.Command{
		Use: "compact [ENV]", Short: "Merge the packs of many backups into few", Args: cobra.MaximumNArgs(1), Example: "  allod vault compact --plan\n  allod vault compact contoso",
		Long: `Merge the packs of a day, a month or a year that is over into few large ones, of
one environment or of all, and remove what an earlier run has replaced once the
log is 7 days past it. Every snapshot reads as before; sealed rows are copied as
they are, and none is opened: a slot of role maintain is enough, which knows
environments by number, as in #1.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.Environment = args[0]
			}
			return c.Holding(cmd, func(o *act.Office) error {
				set, done := c.Meter("compact")
				opts.Progress = func(n, total int64) { set(n, total, text.Bytes(n)+" of "+text.Bytes(total)) }
				r, err := roles.Compact(cmd.Context(), o, opts, plan)
				done()
				if c.JSON() {
					if err == nil {
						c.Print(r)
					}
					return err
				}
				c.show(r, plan, opts.All, err != nil)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.All, "all", false, "merge everything, also of a day, month or year that is not over")
	f.BoolVar(&plan, "plan", false, "say what there is to do, and do nothing")
	return cmd
}

const day = "2006-01-02"

// show says what was done, or would be; of a run that failed only what was done.
func (c *Console) show(r compact.Report, plan, all, failed bool) {
	for _, m := range r.Merged {
		what := fmt.Sprintf("%-16s backups %d to %d, %s to %s: %d packs, %s", m.Environment, m.First, m.Last, m.From.Format(day), m.To.Format(day), m.Packs, text.Bytes(m.Bytes))
		if plan {
			fmt.Fprintf(c.Out, "%s, would be merged.\n", what)
			continue
		}
		fmt.Fprintf(c.Out, "%s, are now %d, %s, with %d rows.\n", what, m.PacksMade, text.Bytes(m.BytesMade), m.Rows)
	}
	switch {
	case len(r.Merged) > 0 || failed:
	case all:
		fmt.Fprintln(c.Out, "Nothing to merge: no environment has two packs of backups.")
	default:
		fmt.Fprintln(c.Out, "Nothing to merge: a day, a month or a year is merged when it is over, by the\nnewest log entry; --all does not wait for that.")
	}
	for _, old := range r.Replaced {
		at := old.At.UTC().Format(time.RFC3339)
		switch left := old.Packs - old.Removed; {
		case !old.Due:
			fmt.Fprintf(c.Out, "%-16s %d packs, %s, that log entry %d replaced can go from %s on.\n", old.Environment, old.Packs, text.Bytes(old.Bytes), old.Entry, at)
		case plan:
			fmt.Fprintf(c.Out, "%-16s %d packs, %s, that log entry %d replaced would be removed.\n", old.Environment, old.Packs, text.Bytes(old.Bytes), old.Entry)
		default:
			fmt.Fprintf(c.Out, "%-16s removed %d packs that log entry %d replaced.\n", old.Environment, old.Removed, old.Entry)
			if left > 0 {
				fmt.Fprintf(c.Out, "%-16s %d more are locked by the store or could not be removed: a later run does it.\n", "", left)
			}
		}
	}
}
