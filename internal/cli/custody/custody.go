// Package custody holds the commands around restrictions and legal holds.
package custody

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/act/restriction"
	"allod/internal/cli/text"
	"allod/internal/govern/rights"
)

// Console is what the commands need of the command line around them. All fields
// are required.
type Console struct {
	Out   io.Writer
	JSON  func() bool                                                  // machine-readable output was asked for
	Print func(v any)                                                  // one JSON object to stdout
	With  func(ctx context.Context, f func(o *act.Office) error) error // opens the Allod
}

// Commands are the commands, to be put under `vault`.
func (c *Console) Commands() []*cobra.Command {
	return []*cobra.Command{
		c.putCommand("restrict", "Put records out of sight: only a holder's key opens them again",
			`From here on nothing shows the records, in any snapshot, and no restore, undo
or comparison uses them. Their keys leave the vault's key tree and lie sealed
to the container, beside the slots. What backups find of them meanwhile is
stored sealed to them. Nothing is rewritten and nothing is lost:
`+"`allod vault lift`"+` puts them back, with a holder's key.

A container is made the first time it is named, with the holders given then.
A holder is an age or SSH recipient, file:PATH (a key file is written there),
or passphrase.`, restriction.Restrict),
		c.putCommand("hold", "Keep records from being destroyed: a legal hold",
			`The records are shown as before. One that is erased is gone from every
snapshot, as the person may ask, but its keys go into escrow instead of being
destroyed: the holders can still open it, and the erasure is not final, until
`+"`allod vault release`"+` destroys them. What cannot be kept so, forgetting the past
of a held record or correcting it, waits until then.`, restriction.Keep),
		c.liftCommand(), c.releaseCommand(), c.listCommand(), c.showCommand(),
	}
}

func (c *Console) outf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

type put func(ctx context.Context, o *act.Office, p *erasure.Plan, r restriction.Request) (*restriction.Open, error)

func (c *Console) putCommand(use, short, long string, do put) *cobra.Command {
	var r restriction.Request
	var planOnly bool
	cmd := &cobra.Command{
		Use: use + " ENV TABLE ID... --container NAME", Short: short, Long: long, Args: cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Environment, r.Table, r.IDs = args[0], args[1], args[2:]
			if !cmd.Flags().Changed("related") {
				r.Related = nil
			}
			if r.Container == "" && !planOnly {
				return allod.WithHint(allod.Errorf(allod.Invalid, "%s: no container is named", use), "Name one with --container; `allod vault containers` lists those there are.")
			}
			return c.With(cmd.Context(), func(o *act.Office) error { return c.put(cmd.Context(), o, use, r, planOnly, do) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Container, "container", "", "`NAME` of the container: lower-case letters, digits and -")
	f.StringArrayVar(&r.Holders, "holder", nil, "who can open it, as `RECIPIENT`; may be repeated")
	f.StringArrayVar(&r.Also, "also", nil, "`TABLE:ID` as well; may be repeated")
	f.StringSliceVar(&r.Related, "related", nil, "follow `KIND:DEPTH`, e.g. children:2; see restore --help")
	f.StringVar(&r.Ground, "ground", "", "why, for the register; no content of records")
	f.BoolVar(&planOnly, "plan", false, "show which records it would be and do nothing")
	return cmd
}

func (c *Console) put(ctx context.Context, o *act.Office, use string, r restriction.Request, planOnly bool, do put) error {
	p, err := erasure.Make(ctx, o, r.Request)
	if err != nil {
		return err
	}
	if planOnly {
		c.showPlan(use, p)
		return nil
	}
	done, err := do(ctx, o, p, r)
	if err != nil {
		return err
	}
	return c.done(done)
}

// most is how many records of a plan are shown to people.
const most = 20

func (c *Console) showPlan(use string, p *erasure.Plan) {
	if c.JSON() {
		c.Print(map[string]any{"environment": p.Environment, "records": p.Records, "versions": p.Versions, "kept": p.Kept})
		return
	}
	c.outf("%s: %d records of %s, %d stored versions:\n", use, len(p.Records), p.Environment, p.Versions)
	for i, r := range p.Records {
		if i == most {
			c.outf("  … and %d more; --json shows all\n", len(p.Records)-most)
			break
		}
		state := "deleted in the source"
		switch {
		case r.Gone != "":
			state = r.Gone
		case r.Live:
			state = "live"
		}
		via := ""
		if r.Via != "" {
			via = " (" + r.Via + ")"
		}
		text.Paragraph(c.Out, "    ", fmt.Sprintf("  %s: %d versions, %s%s", r.Table, r.Versions, state, via))
		c.outf("    %s\n", r.ID)
	}
	if len(p.Kept) > 0 {
		c.outf("They are named in %d other places, which stay as they are; --json shows them.\n", len(p.Kept))
	}
	c.outf("Nothing was done.\n")
}

func (c *Console) done(o *restriction.Open) error {
	if c.JSON() {
		c.Print(o)
	} else {
		c.show(o)
	}
	if len(o.Left) > 0 {
		return allod.WithHint(allod.Errorf(allod.Unavailable, "%s %s: it is in force, and something is left in %d places", o.Kind, o.Name, len(o.Left)), "Run `allod vault keys rotate` when they can be reached: it removes what is left.")
	}
	return nil
}

func (c *Console) show(o *restriction.Open) {
	c.outf("%s %s of %s, since %s: %d records\n", o.Kind, o.Name, o.Environment, o.Created.Format(time.RFC3339), len(o.Tags))
	for _, part := range []struct {
		n    int
		what string
	}{{o.Restricted, "restricted: shown to nobody"}, {o.Held, "held: erased, and their holders can open them"}, {o.Erased, "erased"}} {
		if part.n > 0 {
			c.outf("  %d %s\n", part.n, part.what)
		}
	}
	switch {
	case !o.Closed.IsZero():
		c.outf("  released %s; nothing of it is left\n", o.Released.Format(time.RFC3339))
	case !o.Released.IsZero():
		c.outf("  released %s; run `allod vault release %s` again to remove what is left\n", o.Released.Format(time.RFC3339), o.Name)
	case o.Kind == rights.Restriction && o.Present > 0:
		c.outf("  %d not restricted: run the command that put them here again\n", o.Present)
	case o.Kind == rights.Hold && o.Present > 0:
		c.outf("  %d shown as before\n", o.Present)
	}
	if n := len(o.Lifted); n > 0 {
		c.outf("  lifted last on %s: %d records\n", o.Lifted[n-1].At.Format(time.RFC3339), o.Lifted[n-1].Records)
	}
	for _, l := range o.Locked {
		text.Paragraph(c.Out, "    ", "  pending, and opened by old slots until then: "+l)
	}
	for _, l := range o.Left {
		text.Paragraph(c.Out, "    ", "  left in "+l)
	}
}

func (c *Console) liftCommand() *cobra.Command {
	var r restriction.LiftRequest
	var told string
	cmd := &cobra.Command{
		Use: "lift NAME [TABLE ID...]", Short: "Lift a restriction, with the key of a holder",
		Long: `Put the records of a restriction back, or those named: every snapshot shows them
again, and what backups found of them meanwhile. The person must have been told
before (--told), and two people approve it where two are registered.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 2 {
				return allod.Errorf(allod.Invalid, "lift a restriction: want NAME, or NAME TABLE ID")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Container = args[0]
			if len(args) > 2 {
				r.Table, r.IDs = args[1], args[2:]
			}
			if told != "" {
				day, err := time.Parse(time.DateOnly, told)
				if err != nil {
					return allod.Errorf(allod.Invalid, "lift a restriction: %q is not a day like 2006-01-02", told)
				}
				r.Told = day
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				done, err := restriction.Lift(cmd.Context(), o, r)
				if err != nil {
					return err
				}
				return c.done(done)
			})
		},
	}
	cmd.Flags().StringVar(&r.Key, "holder-key", "", "key of a holder: `SPEC`, e.g. identity:PATH, file:PATH, passphrase")
	cmd.Flags().StringVar(&told, "told", "", "`DAY` on which the person was told, e.g. 2026-03-01")
	return cmd
}

func (c *Console) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "release NAME", Short: "End a legal hold: what was erased under it is destroyed", Args: cobra.ExactArgs(1),
		Long: `End a legal hold. The keys of records that were erased under it, and that no
other hold names, are destroyed in every place, and their erasures become
final. Two people approve it: the first call says how.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				done, err := restriction.Release(cmd.Context(), o, args[0])
				if err != nil {
					return err
				}
				return c.done(done)
			})
		},
	}
}

func (c *Console) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "containers", Short: "List restrictions and legal holds", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				all, err := restriction.List(cmd.Context(), o)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(map[string]any{"containers": all})
					return nil
				}
				if len(all) == 0 {
					c.outf("There is no restriction and no legal hold.\n")
				}
				for i := range all {
					c.show(&all[i])
				}
				return nil
			})
		},
	}
}

func (c *Console) showCommand() *cobra.Command {
	var r restriction.ShowRequest
	cmd := &cobra.Command{
		Use: "show NAME TABLE ID", Short: "Show a restricted or held record to a holder", Args: cobra.ExactArgs(3),
		Long: `Show every stored version of a record that is in a container, with the key of
one of its holders. Nothing is lifted, nothing is written but that it was done.
The purpose is litigation, or the one that --purpose names: answer-request.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Container, r.Table, r.ID = args[0], args[1], args[2]
			return c.With(cmd.Context(), func(o *act.Office) error {
				s, err := restriction.Show(cmd.Context(), o, r)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(s)
					return nil
				}
				return c.showVersions(s)
			})
		},
	}
	cmd.Flags().StringVar(&r.Key, "holder-key", "", "key of a holder: `SPEC`, e.g. identity:PATH, file:PATH, passphrase")
	return cmd
}

func (c *Console) showVersions(s *restriction.Shown) error {
	for _, v := range s.Versions {
		switch {
		case v.Withheld != "":
			c.outf("snapshot %d: withheld: %s\n", v.Snapshot, v.Withheld)
		case v.Deleted:
			c.outf("snapshot %d: deleted (%s)\n", v.Snapshot, v.Reason)
		default:
			var row bytes.Buffer
			if err := json.Indent(&row, v.Row, "", "  "); err != nil {
				return err
			}
			c.outf("snapshot %d:\n%s\n", v.Snapshot, row.String())
		}
	}
	return nil
}
