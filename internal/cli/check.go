package cli

import (
	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/cli/store"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "check", Short: "Prove that a source or a store behaves", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	stores := &store.Console{Deps: func() act.Deps { return a.deps.Deps }, Out: a.deps.Out, Folder: a.folder, JSON: func() bool { return a.json }, Print: a.print, Show: a.showCheck}
	cmd.AddCommand(a.checkSourceCommand(), stores.Command())
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
