package erasure

import (
	"context"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/act/erasure"
)

func (c *Console) handOverCommand() *cobra.Command {
	return &cobra.Command{
		Use: "hand-over ID", Short: "Have an erasure carried out by who cannot read", Args: cobra.ExactArgs(1), Example: "  allod vault erasures hand-over 752ca11b",
		Long: `Have an erasure that nothing stands against carried out by a process with a
slot of role erase, which reads no row: ` + "`allod vault erasures run`" + ` there, within
24 hours. What it did is put on record, and certified, by the next
` + "`allod vault erasures run`" + ` here.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				e, err := erasure.Find(cmd.Context(), o, args[0])
				if err != nil {
					return err
				}
				if e, err = erasure.HandOver(cmd.Context(), o, e.ID); err != nil {
					return err
				}
				return c.list([]erasure.Open{*e}, "")
			})
		},
	}
}

// fulfil carries out what was handed over.
func (c *Console) fulfil(ctx context.Context, o *act.Office) error {
	done, err := erasure.Fulfil(ctx, o)
	if c.JSON() {
		c.Print(map[string]any{"fulfilled": done})
		return err
	}
	for _, f := range done {
		c.outf("Destroyed the keys of %d records of %s, in log entry %d.\n", f.Records, f.Environment, f.Entry)
		if f.Left > 0 {
			c.outf("  %d places still have older slots: run it again.\n", f.Left)
		}
	}
	if len(done) == 0 && err == nil {
		c.outf("No erasure was handed over.\n")
	}
	return err
}
