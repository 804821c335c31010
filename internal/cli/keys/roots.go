package keys

import (
	"strings"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/act/keys"
)

func (c *Console) newRootCommand() *cobra.Command {
	var reason string
	var plan bool
	cmd := &cobra.Command{
		Use: "new-root", Short: "Rotate, and seal later rows so that no older slot opens them", Args: cobra.NoArgs,
		Example: "  allod vault keys new-root --reason leak",
		Long: `Begin a new root of the key tree, write every slot for it, and destroy those of
before, as ` + "`allod vault keys rotate`" + ` does. Rows of later backups are sealed
under the new root: whoever has kept a slot, and what opens it, does not open
them. Rows that are stored stay where they are, readable with the slots of now,
and as open to a slot that was kept as they were.

Do it when somebody may have kept a slot, when a record has used up its
generations, or when the key tree has become too large. Each root more makes
each erasure take its time once more. Ends with 3 while old slots are locked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				if !plan {
					r, err := keys.BeginRoot(cmd.Context(), o, reason)
					if r != nil && !c.JSON() {
						c.outf("Root %d of the key tree takes the rows that come.\n", r.Root)
					}
					return c.rotated(r, err)
				}
				p, err := keys.PlanRoot(cmd.Context(), o)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(p)
					return nil
				}
				c.outf("Root %d of the key tree would be begun, after:\n", p.Root)
				for _, r := range p.Roots {
					c.outf("  root %d: epoch %d, %d punctures\n", r.Root, r.Epoch, r.Punctures)
				}
				c.para("", "%d %s written anew in %d %s, those of before destroyed: %s.", len(p.Slots), plural("slot", len(p.Slots)), p.Places, plural("place", p.Places), strings.Join(p.Slots, ", "))
				c.para("", "No slot from before opens rows that are stored from then on. A slot that somebody has kept opens what is stored now as it did. Nothing was changed.")
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "for the ledger: "+strings.Join(keys.Reasons(), ", "))
	cmd.Flags().BoolVar(&plan, "plan", false, "show what would be done, and do nothing")
	return cmd
}
