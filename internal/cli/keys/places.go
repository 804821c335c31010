package keys

import (
	"time"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/vault/keyring/places"
)

func (c *Console) placesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List where keys lie, and what an erasure waits for", Args: cobra.NoArgs,
		Long: `List the places where keys of the vault lie or may lie: the places of slots as
they answer now, the store, and the copies and exported slots that were added by
hand. An erasure is final when none is pending.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				all, pending, err := keys.Places(cmd.Context(), o)
				if err != nil {
					return err
				}
				if c.JSON() {
					if pending == nil {
						pending = []places.Item{}
					}
					c.Print(map[string]any{"places": all, "pending": pending})
					return nil
				}
				for _, p := range all {
					c.outf("%-14s %-9s %-12s %s\n", p.Name, p.Kind, p.State, p.Note)
					if d := p.Destroyed; d != nil {
						c.para("               ", "               %s says so, %s. %s", d.By, d.At.Format(time.RFC3339), d.Text)
					}
				}
				for _, i := range pending {
					until := ""
					if !i.Until.IsZero() {
						until = ", until " + i.Until.Format(time.RFC3339)
					}
					c.para("           ", "  PENDING  %s is %s%s: %s.", i.Place, i.State, until, i.Next)
				}
				return nil
			})
		},
	}
}

func (c *Console) countCommand() *cobra.Command {
	p := places.Place{}
	kind := ""
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Count a copy or an exported slot", Args: cobra.ExactArgs(1), Example: "  allod vault places add stick --kind exported --note \"in the safe\"",
		Long: `Count a place that Allod does not see by itself: a copy of the vault or of a
slots folder, or a slot that was taken elsewhere. With --keys (always for an
exported slot) later erasures wait until it is declared destroyed; a copy
without slots keeps none waiting.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Name, p.Kind = args[0], places.Kind(kind)
			p.Keys = p.Keys || p.Kind == places.Exported
			return c.With(cmd.Context(), func(o *act.Office) error {
				if err := keys.Count(cmd.Context(), o, p); err != nil {
					return err
				}
				if c.JSON() {
					c.Print(map[string]any{"place": p.Name, "kind": p.Kind, "keys": p.Keys})
					return nil
				}
				c.outf("Counted %s.\n", p.Name)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "", "copy or exported")
	f.BoolVar(&p.Keys, "keys", false, "a copy that has slots")
	f.StringVar(&p.Note, "note", "", "what and where it is, for people")
	return cmd
}

func (c *Console) declareCommand() *cobra.Command {
	var by, how string
	cmd := &cobra.Command{
		Use: "declare-destroyed NAME", Short: "Record that a person says a place was destroyed", Args: cobra.ExactArgs(1), Example: "  allod vault places declare-destroyed stick --by \"custodian\" --how shredded",
		Long: `Record that a named person says that a place which was added by hand was
destroyed: erasures do not wait for it any more, and their certificates say who
said so. It is not taken back.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				if err := keys.Declare(cmd.Context(), o, args[0], by, how); err != nil {
					return err
				}
				if c.JSON() {
					c.Print(map[string]string{"destroyed": args[0]})
					return nil
				}
				c.outf("Recorded: %s was destroyed, as %s says.\n", args[0], by)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&by, "by", "", "who says so")
	f.StringVar(&how, "how", "", "how it was destroyed, in their words")
	return cmd
}
