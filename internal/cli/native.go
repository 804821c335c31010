package cli

import (
	"context"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
)

func (a *app) nativeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "native", Short: "The platform's own backups: list, make, restore", Args: cobra.NoArgs,
		Long: `List the backups that the Power Platform keeps of an environment, have it make
one, or have it restore one. They hold the whole environment, end after 28 days
(production with Dynamics 365 apps) or 7, and bring back all or nothing, into a
sandbox or developer environment. Single rows come back with ` + "`allod restore`" + `.

Only backups made by hand are listed. The platform's own are continuous: name
any moment of its last 28 or 7 days.`,
		Example: `  allod native list prod
  allod native create prod "before the upgrade"
  allod native restore prod@-2h --to sandbox --plan`,
	}
	cmd.AddCommand(a.nativeListCommand(), a.nativeCreateCommand(), a.nativeDeleteCommand(), a.nativeRestoreCommand())
	return cmd
}

func (a *app) nativeListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list ENV", Short: "Backups that somebody had the platform make", Args: cobra.ExactArgs(1), Example: "  allod native list prod",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				list, err := o.NativeBackups(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if a.json {
					for _, b := range list {
						a.print(b)
					}
					return nil
				}
				if len(list) == 0 {
					a.para("", "Nobody had the platform make a backup of %s that it still keeps.", args[0])
					return nil
				}
				w := tabwriter.NewWriter(a.deps.Out, 0, 4, 2, ' ', 0)
				for _, b := range list {
					writeRow(w, b.Point.Format(time.RFC3339), "until "+b.Expires.Format("2006-01-02"), b.Creator, b.Label)
				}
				return w.Flush()
			})
		},
	}
}

func writeRow(w *tabwriter.Writer, cells ...string) {
	for i, c := range cells {
		if i > 0 {
			c = "\t" + c
		}
		_, _ = w.Write([]byte(c)) // Flush tells
	}
	_, _ = w.Write([]byte("\n"))
}

func (a *app) nativeCreateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "create ENV LABEL", Short: "Have the platform make a backup", Args: cobra.ExactArgs(2), Example: `  allod native create prod "before the upgrade"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				b, err := o.NativeBackup(cmd.Context(), args[0], args[1])
				if err != nil {
					return err
				}
				if a.json {
					a.print(b)
					return nil
				}
				a.para("", "The platform keeps %s as it was at %s until %s. It can be restored in 10 to 15 minutes.",
					args[0], b.Point.Format(time.RFC3339), b.Expires.Format("2006-01-02"))
				return nil
			})
		},
	}
}

func (a *app) nativeDeleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete ENV ID", Short: "Delete a backup that was made by hand", Args: cobra.ExactArgs(2),
		Example: "  allod native delete prod 7d3f0c1e-8f2b-4f62-9a55-0c1d2e3f4a5b --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "delete a backup of the platform: it does not come back"), "Say --yes.")}
			}
			return a.withOffice(cmd.Context(), func(o *act.Office) error { return o.DeleteNativeBackup(cmd.Context(), args[0], args[1]) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete it")
	return cmd
}

type nativeFlags struct {
	to, backup, confirm  string
	audit, planOnly, yes bool
}

func (a *app) nativeRestoreCommand() *cobra.Command {
	var f nativeFlags
	cmd := &cobra.Command{
		Use: "restore ENV[@WHEN] --to ENV", Short: "Have the platform overwrite an environment with what one was", Args: cobra.ExactArgs(1),
		Long: `Have the platform overwrite all of a sandbox or developer environment with what
an environment was at a moment of the last 28 or 7 days, or at one of its
backups. The platform is asked first whether it would; without --yes that is
all. --yes wants --confirm with the target's name.`,
		Example: `  allod native restore prod@-2h --to sandbox --plan
  allod native restore prod --backup "before the upgrade" --to sandbox --plan`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.moment(args[0])
			if err != nil {
				return err
			}
			if m.Live || m.Snapshot != 0 || m.Before.IsZero() == (f.backup == "") {
				return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "restore %s by the platform: from when?", args[0]), "Name a moment, e.g. %s@-2h, or a backup with --backup.", m.Environment)}
			}
			return a.withOffice(cmd.Context(), func(o *act.Office) error { return a.nativeRestore(cmd.Context(), o, m, &f) })
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.to, "to", "", "the connected environment that is overwritten")
	fl.StringVar(&f.backup, "backup", "", "label or id of a backup, instead of a moment")
	fl.BoolVar(&f.audit, "with-audit", false, "bring the audit log as well, which the platform leaves out")
	fl.BoolVar(&f.planOnly, "plan", false, "ask whether it would be carried out, and say what follows from it")
	fl.BoolVar(&f.yes, "yes", false, "carry it out")
	fl.StringVar(&f.confirm, "confirm", "", "the name of the target, said once more")
	_ = cmd.MarkFlagRequired("to") // the flag is there
	return cmd
}

func (a *app) nativeRestore(ctx context.Context, o *act.Office, m act.Moment, f *nativeFlags) error {
	r, err := o.PlanNativeRestore(ctx, m.Environment, f.to, m.Before.Truncate(time.Second), f.backup, f.audit)
	if err != nil {
		return err
	}
	if !a.json {
		a.para("", "All of %s is overwritten with %s as it was at %s. The platform says that it would do so.", r.To, r.From, r.At.Format(time.RFC3339))
		a.para("", "Afterwards %s is in administration mode, with background operations and flows off; canvas apps have new ids, connections must be made anew%s. The next backup of it begins a new line.",
			r.To, map[bool]string{true: "", false: ", and its audit log is empty"}[r.WithAudit])
	}
	switch {
	case f.planOnly || !f.yes:
		if a.json {
			a.print(r)
			return nil
		}
		a.para("", "Nothing was changed. Carry it out with --yes --confirm %s.", r.To)
		return nil
	case f.confirm != r.To:
		return &usageError{allod.Errorf(allod.Invalid, "restore into %s by the platform: --confirm does not name it", r.To)}
	}
	a.errf("The platform restores %s …\n", r.To)
	if err := o.ApplyNativeRestore(ctx, r); err != nil {
		return err
	}
	if a.json {
		a.print(r)
		return nil
	}
	a.para("", "Done. `allod backup %s` reads it whole.", r.To)
	return nil
}
