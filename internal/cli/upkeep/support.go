package upkeep

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/cli/text"
	"allod/internal/job"
	"allod/internal/support"
)

func (a *Console) supportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "support-bundle", Short: "Gather what somebody who helps needs to know; no content", Args: cobra.NoArgs,
		Long: `Write a zip file for somebody who helps: versions, the shape of the
configuration, how the last runs ended, counts of tables and columns, gaps by
kind. It holds no content, no secrets, no addresses, paths or names of people,
tables or columns; names of environments it holds. Look into it before you send
it: its files are short and can be read.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.Folder()
			if err != nil {
				return err
			}
			deps := a.Deps()
			if out == "" {
				out = "allod-support-" + deps.Now().UTC().Format("20060102-150405") + ".zip"
			}
			var b bytes.Buffer
			err = support.Write(cmd.Context(), &b, support.Options{
				Dir: dir, Open: func(ctx context.Context) (*act.Office, error) { return act.Open(ctx, dir, deps) }, Now: deps.Now, Local: a.Local, Version: a.Version, Getenv: a.Getenv, Free: job.FreeSpace,
			})
			if err != nil {
				return err
			}
			if err := deps.Disk.Create(out, &b, int64(b.Len())); err != nil {
				return fmt.Errorf("write the bundle: %w", err)
			}
			if a.JSON() {
				a.Print(map[string]any{"file": out})
				return nil
			}
			text.Paragraph(a.Out, "", fmt.Sprintf("Wrote %s. Look into it before you send it.", out))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write (default allod-support-TIME.zip, here)")
	return cmd
}

// shells are those that completion is made for.
func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

func (a *Console) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish|powershell", Short: "Print what has a shell complete what you type",
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: shells(), Example: "  allod completion bash > /etc/bash_completion.d/allod",
		Long: `Print a script that has a shell complete commands, flags and environments.

  bash        allod completion bash > /etc/bash_completion.d/allod
  zsh         allod completion zsh > "${fpath[1]}/_allod"
  fish        allod completion fish > ~/.config/fish/completions/allod.fish
  powershell  allod completion powershell | Out-String | Invoke-Expression`,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.Out, true)
			case "zsh":
				return root.GenZshCompletion(a.Out)
			case "fish":
				return root.GenFishCompletion(a.Out, true)
			default:
				return root.GenPowerShellCompletionWithDesc(a.Out)
			}
		},
	}
}

// CompleteEnvironments has the shell complete the names of environments wherever
// a command below root takes one first.
func (a *Console) CompleteEnvironments(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		a.CompleteEnvironments(cmd)
		if cmd.ValidArgsFunction == nil && takesEnvironment(cmd.Use) {
			cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
				return a.environments(len(args)), cobra.ShellCompDirectiveNoFileComp
			}
		}
	}
}

func takesEnvironment(use string) bool {
	_, first, _ := strings.Cut(use, " ")
	return strings.HasPrefix(strings.TrimLeft(first, "["), "ENV")
}

// environments are the names for the first argument; none when they cannot be
// read.
func (a *Console) environments(given int) []string {
	dir, err := a.Folder()
	if err != nil || given > 0 {
		return nil
	}
	c, err := act.ReadConfig(dir)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.Environments))
}
