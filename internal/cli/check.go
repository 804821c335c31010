package cli

import (
	"cmp"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
)

func (a *app) checkCommand() *cobra.Command {
	var write bool
	var table string
	cmd := &cobra.Command{Use: "check", Short: "Prove that a source or a store behaves", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	source := &cobra.Command{
		Use: "source ENV", Short: "Prove that an environment behaves; say what may not be seen", Args: cobra.ExactArgs(1), Example: "  allod check source prod",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				if write == (table == "") {
					return &usageError{allod.Errorf(allod.Invalid, "check source: --write and --table go together")}
				}
				cerr := o.CheckSource(cmd.Context(), args[0], table, a.showCheck)
				gaps, err := o.Rights(cmd.Context(), args[0])
				if err != nil {
					return cmp.Or(cerr, err) // they fail for the same reason
				}
				if a.json {
					for _, g := range gaps {
						a.print(g)
					}
					return cerr
				}
				a.showGaps(gaps)
				return cerr
			})
		},
	}
	source.Flags().BoolVar(&write, "write", false, "try writing too: rows are made in --table and removed again")
	source.Flags().StringVar(&table, "table", "", "table to write to; it needs a title column and no other required one")
	cmd.AddCommand(source, &cobra.Command{
		Use: "store FOLDER", Short: "Prove that a folder can hold a vault", Args: cobra.ExactArgs(1), Example: "  allod check store /mnt/backup",
		RunE: func(cmd *cobra.Command, args []string) error {
			return act.CheckStore(cmd.Context(), args[0], a.deps.Deps, a.showCheck)
		},
	})
	return cmd
}

func (a *app) showCheck(c act.Checked) {
	if a.json {
		a.print(c)
		return
	}
	word := "ok  "
	if !c.OK {
		word = "FAIL"
	}
	a.outf("%s  %s\n", word, c.Name)
	if c.OK && c.What != "" {
		a.outf("      %s\n", c.What)
	}
	if !c.OK {
		a.outf("      %s\n      why it matters: %s\n", c.What, c.Why)
	}
}
