package cli

import (
	"github.com/spf13/cobra"

	"allod/internal/act"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "check", Short: "Prove that a source or a store behaves", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.checkSourceCommand(), &cobra.Command{
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
