// Package keys holds the commands around what opens the vault: its slots, the
// printed recovery key, rotation, and the places where keys lie.
package keys

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/cli/text"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/paper"
)

// NotFromEnvironment marks flags that ALLOD_<FLAG> does not fill.
const NotFromEnvironment = "not from the environment"

// Console is what the commands need of the command line around them. All fields
// are required.
type Console struct {
	Out    io.Writer
	JSON   func() bool                                                  // machine-readable output was asked for
	Print  func(v any)                                                  // one JSON object to stdout
	With   func(ctx context.Context, f func(o *act.Office) error) error // opens the Allod
	OpenBy func(spec string)                                            // what opens it from now on; "" = what --key and ALLOD_KEY say
	Key    func() string                                                // what --key says; "" = nothing
	Words  func() (string, error)                                       // the words of the recovery key
	Said   func(err error) error                                        // err, of which people know already: its exit code counts
	Create func(path string, r io.Reader, size int64) error             // writes a file for its owner alone, never over another
}

// Commands are the commands, to be put under `vault`.
func (c *Console) Commands() []*cobra.Command {
	group := func(use, short string, sub ...*cobra.Command) *cobra.Command {
		cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
		cmd.AddCommand(sub...)
		return cmd
	}
	return []*cobra.Command{
		group("keys", "The keys of the vault: list, add, prove, print, rotate", c.listCommand(), c.addCommand(), c.removeCommand(), c.rotateCommand(), c.newRootCommand(), c.proveCommand(), c.paperCommand(), c.renewCommand()),
		group("places", "Where keys of the vault lie: list, add, declare destroyed", c.placesCommand(), c.countCommand(), c.declareCommand()),
	}
}

func (c *Console) outf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

func (c *Console) para(indent, format string, args ...any) {
	text.Paragraph(c.Out, indent, fmt.Sprintf(format, args...))
}

func (c *Console) warn(warnings []string) {
	for _, w := range warnings {
		c.para("           ", "  WARNING  %s", w)
	}
}

func (c *Console) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the slots that open the vault", Args: cobra.NoArgs,
		Long: `List every slot in every place: what it is, what it may do, when it was last
proved to open, and until when its place refuses to delete it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				slots, warnings, err := keys.List(cmd.Context(), o)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(slots)
					return nil
				}
				for i := range slots {
					c.showSlot(&slots[i])
				}
				c.warn(warnings)
				return nil
			})
		},
	}
}

func (c *Console) showSlot(s *keys.Slot) {
	proved := "never proved"
	if !s.Proved.IsZero() {
		proved = "proved " + s.Proved.Format(time.RFC3339)
	}
	c.outf("Slot %-12s in %s, epoch %d, %s\n", s.Name, s.Place, s.Epoch, proved)
	c.outf("     kind %s, role %s, written %s\n", s.Kind, s.Role, s.Written.Format(time.RFC3339))
	if !s.Locked.IsZero() {
		c.outf("     locked until %s\n", s.Locked.Format(time.RFC3339))
	}
	if s.Key != "" && s.Key != s.Kind {
		c.outf("     opened by %s\n", s.Key)
	}
}

func (c *Console) addCommand() *cobra.Command {
	var opts keys.AddOptions
	var role, openBy string
	var specs []string
	cmd := &cobra.Command{
		Use: "add [NAME]", Short: "Make another slot that opens the vault", Args: cobra.MaximumNArgs(1), Example: "  allod vault keys add office --key file:office.key",
		Long: `Make another slot, in every place of slots. The SPEC after --key says what opens
it:

  passphrase         asked for twice, or from ALLOD_PASSPHRASE
  file:PATH          a key file, which is written
  age:RECIPIENT[,…]  age1pq1…, age1…, ssh-ed25519 … or ssh-rsa …, or @FILE with
                     such lines; opened with --key identity:FILE by whoever has
                     the private half
  azurekv:URL        https://NAME.vault.azure.net/keys/KEY
  awskms:ARN         arn:aws:kms:REGION:ACCOUNT:key/…
  hcvault:URL        https://HOST:8200/MOUNT/KEY, MOUNT being a transit engine

Services are signed in to as their own tools are (AZURE_…, AWS_…, VAULT_…). A
slot of a service is never the only one that reads. A recovery key on paper is
made by ` + "`allod vault keys paper`" + `. The vault itself is opened with its usual key,
or with --open SPEC.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.Name = args[0]
			}
			if len(specs) != 1 { // one of them may have been meant for the vault, as with other commands
				return allod.WithHint(allod.Errorf(allod.Invalid, "vault keys add: --key stands %d times, and says what opens the new slot", len(specs)), "Say with --open what opens the vault meanwhile.")
			}
			opts.Spec, opts.Role = specs[0], keyring.Role(role)
			c.OpenBy(openBy)
			return c.With(cmd.Context(), func(o *act.Office) error {
				added, err := keys.Add(cmd.Context(), o, opts)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(added)
					return nil
				}
				c.para("", "Added slot %s of kind %s and role %s in %d %s.", added.Name, added.Kind, added.Role, added.Places, plural("place", added.Places))
				c.warn(added.Warnings)
				c.para("      ", "Next: `allod vault keys prove %s` shows that it opens.", added.Name)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&specs, "key", nil, "`SPEC` of what opens the new slot")
	f.StringVar(&role, "role", "all", "what it may do: all, read, restore, capture, maintain, erase")
	f.StringVar(&openBy, "open", "", "`SPEC` of what opens the vault now, instead of its usual key")
	_ = cmd.MarkFlagRequired("key")                            // only fails for a flag that is not there
	_ = f.SetAnnotation("key", NotFromEnvironment, []string{}) // the same
	return cmd
}

func plural(word string, n int) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (c *Console) removeCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Destroy a slot in every place", Args: cobra.ExactArgs(1), Example: "  allod vault keys remove paper-2",
		Long: `Destroy a slot in every place, with all versions. Refused when fewer than two
slots that read, with keys of their own, would be left that were proved in the
last 90 days; --yes removes it all the same. The last slot that reads, and the
last that needs no service, are never removed.

Who has kept a copy of the slot and what opens it is not locked out by this:
THREATS.md has what they can do. Rotate afterwards.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				r, err := keys.Remove(cmd.Context(), o, args[0], yes)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(r)
					return nil
				}
				c.outf("Removed slot %s: %d %s destroyed.\n", r.Name, r.Objects, plural("object", r.Objects))
				for _, l := range r.Locked {
					c.para("     ", "  LOCKED  %s is there until %s, and opens the vault until then.", l.Name, l.Until.Format(time.RFC3339))
				}
				c.warn(r.Warnings)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "also if fewer than two proved slots are left")
	return cmd
}

func (c *Console) rotateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Write every slot anew under a fresh key, and destroy the old ones", Args: cobra.NoArgs,
		Long: `Seal the root of the key tree under a fresh key, write every slot for it, and
destroy the slots of before. Nothing has to be typed: passphrases, files, paper
and services open the new slots as they did the old ones. Do it after removing
a slot. Ends with 3 while old slots are locked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				r, err := keys.Rotate(cmd.Context(), o)
				return c.rotated(r, err)
			})
		},
	}
}

// rotated tells of a rotation, whole or in part; nil = it did not happen.
func (c *Console) rotated(r *keys.Rotated, err error) error {
	if r == nil {
		return err
	}
	if c.JSON() {
		c.Print(r)
		if err != nil {
			return c.Said(err)
		}
		return nil
	}
	c.outf("Epoch %d is in force, log entry %d: %d %s written.\n", r.Epoch, r.Entry, r.Slots, plural("slot", r.Slots))
	c.outf("The old slots are gone by %s.\n", r.Final.Format(time.RFC3339))
	for _, reason := range r.Reasons {
		c.para("  ", "  %s", reason)
	}
	return err
}

func (c *Console) proveCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "prove [NAME...]", Short: "Prove that slots open the vault: the recovery key, or those named", Example: "  allod vault keys prove paper",
		Long: `Open slots for real and record the date: the one called paper unless others are
named, every one with --all. The words of a recovery key are typed or sent to
the standard input; they are compared with nothing stored. What opens the others
is known from ` + "`allod vault keys add`" + `, or said with --key.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if all && len(names) > 0 {
				return allod.Errorf(allod.Invalid, "vault keys prove: --all and names exclude each other")
			}
			if !all && len(names) == 0 {
				names = []string{keyring.KindPaper}
			}
			if len(names) == 1 && names[0] == keyring.KindPaper && c.Key() == "" {
				if _, err := c.Words(); err != nil { // before the passphrase of the vault is asked for
					return err
				}
			}
			return c.With(cmd.Context(), func(o *act.Office) error { return c.prove(cmd.Context(), o, names) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every slot")
	return cmd
}

func (c *Console) prove(ctx context.Context, o *act.Office, names []string) error {
	proved, err := keys.Prove(ctx, o, names, c.Key())
	if len(proved) == 0 || len(proved) == 1 && err != nil {
		return err
	}
	for _, p := range proved {
		switch {
		case c.JSON():
			out := map[string]string{"proved": p.Name}
			if p.Err != nil {
				out = map[string]string{"failed": p.Name, "message": p.Error, "hint": p.Hint}
			}
			c.Print(out)
		case p.Err != nil:
			c.para("        ", "FAILED  %s: %s. %s", p.Name, p.Error, p.Hint)
		case p.Kind == keyring.KindPaper && len(proved) == 1:
			c.outf("The recovery key opens the vault.\n")
		default:
			c.outf("Slot %s opens the vault.\n", p.Name)
		}
	}
	if err != nil {
		return c.Said(err)
	}
	return nil
}

func (c *Console) paperCommand() *cobra.Command {
	var out, role string
	var again bool
	cmd := &cobra.Command{
		Use: "paper [NAME]", Short: "Make a recovery key, and print it as a page", Args: cobra.MaximumNArgs(1), Example: "  allod vault keys paper --out recovery.html",
		Long: `Make a recovery key with a slot of its own and show its words and their QR code,
or write them as a page to --out: print it, then delete the file. They are
stored nowhere. --again makes the page of a recovery key whose words you have:
type them, or send them to the standard input.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			words, name := "", ""
			if len(args) > 0 {
				name = args[0]
			}
			if again {
				if name != "" {
					return allod.Errorf(allod.Invalid, "vault keys paper: --again finds the slot by its words, without a name")
				}
				var err error
				if words, err = c.Words(); err != nil {
					return err
				}
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				if !again {
					return keys.Print(cmd.Context(), o, name, role, func(s *paper.Sheet) error { return c.showSheet(s, out) })
				}
				sheet, err := keys.PrintAgain(cmd.Context(), o, words)
				if err != nil {
					return err
				}
				return c.showSheet(sheet, out)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "`FILE` to write the page to (HTML)")
	f.StringVar(&role, "role", "all", "what it may do: all, read, restore, capture, maintain, erase")
	f.BoolVar(&again, "again", false, "of a recovery key whose words you have")
	return cmd
}

func (c *Console) showSheet(s *paper.Sheet, out string) error {
	if out != "" {
		var page bytes.Buffer
		if err := s.HTML(&page); err != nil {
			return err
		}
		if err := c.Create(out, &page, int64(page.Len())); err != nil {
			return fmt.Errorf("write the page of the recovery key: %w", err)
		}
		if c.JSON() {
			c.Print(map[string]any{"slot": s.Slot, "vault": s.Vault, "role": s.Role, "file": out})
			return nil
		}
		c.para("", "Wrote %s for slot %s. Print it, keep the paper away from this machine, and delete the file: whoever has it opens the vault.", out, s.Slot)
		return nil
	}
	if c.JSON() {
		c.Print(map[string]any{"slot": s.Slot, "vault": s.Vault, "role": s.Role, "recovery_key": s.Words})
		return nil
	}
	code, err := paper.NewCode(s.Words)
	if err != nil {
		return err
	}
	c.outf("Recovery key of vault %s,\nslot %s, role %s, %s. Write it down or print it, keep it\naway from this machine; it is shown once and stored nowhere:\n\n", s.Vault, s.Slot, s.Role, s.Made.UTC().Format(time.DateOnly))
	for i := 0; i < len(s.Words); i += 6 {
		c.outf("    %s\n", strings.Join(s.Words[i:min(i+6, len(s.Words))], " "))
	}
	c.outf("\n")
	if err := code.Terminal(c.Out, "    "); err != nil {
		return err
	}
	c.outf("\nNext: `allod vault keys prove %s` to see that it works.\n", s.Slot)
	return nil
}

func (c *Console) renewCommand() *cobra.Command {
	return &cobra.Command{
		Use: "renew", Short: "Renew the locks of the slots, where their places can lock", Args: cobra.NoArgs,
		Long: `Lock every slot of the epoch in force for keys: lock_days of allod.yaml (14), in
every place that can lock: nobody, administrator included, can then destroy the
vault by destroying its keys, and an erasure is final that much later. Slots of
before whose locks have ended are destroyed. ` + "`allod serve`" + ` does both with
every task; folders do not lock.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				renewed, err := keys.Renew(cmd.Context(), o)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(renewed)
					return nil
				}
				if len(renewed) == 0 {
					c.outf("No place of slots locks.\n")
				}
				for _, r := range renewed {
					if r.Cannot {
						c.outf("%s cannot lock.\n", r.Place)
						continue
					}
					c.outf("%s: %d %s locked until %s.\n", r.Place, r.Slots, plural("slot", r.Slots), r.Until.Format(time.RFC3339))
				}
				return nil
			})
		},
	}
}
