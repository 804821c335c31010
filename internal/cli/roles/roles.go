// Package roles holds the commands around processes that hold one role alone.
package roles

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/act/roles"
)

// Console is what the commands need of the command line around them. All fields
// are required.
type Console struct {
	Out   io.Writer
	JSON  func() bool                                                  // machine-readable output was asked for
	Print func(v any)                                                  // one JSON object to stdout
	With  func(ctx context.Context, f func(o *act.Office) error) error // opens the Allod
	// Holding opens it for longer than a short command, and says so to others.
	Holding func(cmd *cobra.Command, f func(o *act.Office) error) error
	// Meter shows on stderr how far long work is, until done is called.
	Meter func(what string) (set func(done, total int64, note string), done func())
}

// Command is `allod vault index`.
func (c *Console) Command() *cobra.Command {
	cmd := &cobra.Command{Use: "index", Short: "What a backup that cannot read knows of stored rows", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.rebuildCommand())
	return cmd
}

func (c *Console) rebuildCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "rebuild", Short: "Make the index anew from the rows that are stored", Args: cobra.NoArgs, Example: "  allod vault index rebuild --out /srv/capture/index",
		Long: `Make the index anew that a backup with a slot of role capture compares with: of
every record a keyed digest, which says nothing without the record's key. It
needs a slot that reads. Once it is there every backup brings it up to date.

No backup may run with the same folder meanwhile.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				list, err := roles.RebuildIndex(cmd.Context(), o, out)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(list)
					return nil
				}
				for _, e := range list {
					fmt.Fprintf(c.Out, "%-16s known as of snapshot %d, %d rows\n", e.Environment, e.Snapshot, e.Rows)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder of the index; default: index, beside the configuration")
	return cmd
}
