// Package erasure holds the commands that destroy the keys of records, and
// those that say how far each erasure has come.
package erasure

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/cli/text"
	"allod/internal/govern/rights"
)

// Console is what the commands need of the command line around them. All fields
// are required.
type Console struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Moment func(s string) (act.Moment, error)                           // reads ENV@WHEN
	Write  func(path string, b []byte) error                            // a new file, durably
	JSON   func() bool                                                  // machine-readable output was asked for
	Print  func(v any)                                                  // one JSON object to stdout
	With   func(ctx context.Context, f func(o *act.Office) error) error // opens the Allod
	// Meter shows on stderr how far long work is, until done is called.
	Meter func(what string) (set func(done, total int64, note string), done func())
}

// Commands are the commands, to be put under `vault`.
func (c *Console) Commands() []*cobra.Command {
	return []*cobra.Command{c.eraseCommand(), c.listCommand(), c.rectifyCommand(), c.correctionsCommand()}
}

func (c *Console) outf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

// count says how many of what, e.g. "1 version", "2 versions".
func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *Console) eraseCommand() *cobra.Command {
	var r erasure.Request
	var planOnly, yes bool
	cmd := &cobra.Command{
		Use: "erase ENV TABLE ID...", Short: "Destroy the keys of records: they open in no backup any more", Args: cobra.MinimumNArgs(3),
		Long: `Show what an erasure would take with it and where else the records are named;
with --yes ask for it. From then on nothing shows the records. It is carried
out by ` + "`allod vault erasures run`" + ` or ` + "`allod serve`" + ` when two people have
approved it (` + "`allod approvals`" + `; with one user registered the certificate
says "one person") and 72 hours have passed, in which it can be taken back;
--urgent leaves the wait out. No backup is rewritten: the keys go, in all of
them at once, and cannot come back.

Without --related the plan takes what belongs to the records by itself: notes,
pairs, parties, connections, queue items and list members.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Environment, r.Table, r.IDs = args[0], args[1], args[2:]
			if !cmd.Flags().Changed("related") {
				r.Related = nil
			}
			return c.With(cmd.Context(), func(o *act.Office) error { return c.erase(cmd.Context(), o, r, planOnly, yes) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&r.Also, "also", nil, "erase `TABLE:ID` as well; may be repeated")
	f.StringSliceVar(&r.Related, "related", nil, "follow `KIND:DEPTH`, e.g. children:2; see restore --help")
	f.BoolVar(&r.Past, "forget-past", false, "destroy all but the newest version of each record")
	f.BoolVar(&r.Urgent, "urgent", false, "do not wait 72 hours once two people have approved")
	f.StringVar(&r.Ground, "ground", "", "why, for the certificate; no content of records")
	f.BoolVar(&planOnly, "plan", false, "show the plan and ask for nothing")
	f.BoolVar(&yes, "yes", false, "ask for it")
	return cmd
}

func (c *Console) erase(ctx context.Context, o *act.Office, r erasure.Request, planOnly, yes bool) error {
	set, done := c.Meter("plan the erasure")
	r.Progress = func(p erasure.Progress) {
		set(p.Versions, p.Expected, fmt.Sprintf("%d of about %d stored versions, table %d of %d (%s)", p.Versions, p.Expected, min(p.TablesDone+1, p.Tables), p.Tables, p.Table))
	}
	p, err := erasure.Make(ctx, o, r)
	done()
	if err != nil {
		return err
	}
	if planOnly || !yes {
		if c.JSON() {
			c.Print(p)
		} else {
			c.showPlan(p)
		}
		if planOnly {
			return nil
		}
		return allod.WithHint(allod.Errorf(allod.Invalid, "erase: nothing was asked for"), "Read the plan; `--yes` asks for it.")
	}
	if !c.JSON() {
		c.showPlan(p)
	}
	e, err := erasure.Ask(ctx, o, p, r.Ground)
	if err != nil {
		return err
	}
	return c.carry(ctx, o, e)
}

// carry carries on what was asked for, as far as it may be now, and shows where
// it stands.
func (c *Console) carry(ctx context.Context, o *act.Office, e *erasure.Open) error {
	run, err := erasure.Run(ctx, o, &e.ID)
	if len(run) == 1 {
		e = &run[0]
	}
	if c.JSON() {
		c.Print(e)
	} else {
		c.show(e)
	}
	return err
}

// most is how many records and places of a plan are shown to people.
const most = 20

func (c *Console) showPlan(p *erasure.Plan) {
	how := "Erase"
	if p.Past {
		how = "Forget the past of"
	}
	c.outf("%s %d records of %s, %d stored versions, in every backup:\n", how, len(p.Records), p.Environment, p.Versions)
	for i, r := range p.Records {
		if i == most {
			c.outf("  … and %d more; --json shows all\n", len(p.Records)-most)
			break
		}
		state := "deleted in the source"
		if r.Live {
			state = "live"
		}
		if r.Gone != "" {
			state = r.Gone
		}
		via := ""
		if r.Via != "" {
			via = " (" + r.Via + ")"
		}
		text.Paragraph(c.Out, "    ", fmt.Sprintf("  %s: %s, %s%s", r.Table, count(int64(r.Versions), "version"), state, via))
		c.outf("    %s\n", r.ID)
	}
	if len(p.Kept) > 0 {
		c.outf("Where else they are named, which is kept:\n")
	}
	for i, k := range p.Kept {
		if i == most {
			c.outf("  … and %d more; --json shows all\n", len(p.Kept)-most)
			break
		}
		c.outf("  %s.%s\n    %s in %s, %s\n", k.Table, k.Column, k.What, count(k.Records, "record"), count(k.Versions, "version"))
		text.Paragraph(c.Out, "    ", "    kept, ground: "+k.Ground)
	}
	for _, w := range p.Warnings {
		text.Paragraph(c.Out, "      ", "NOTE  "+w)
	}
	c.outf("Old keys are then removed from: %s\n", strings.Join(p.Places, ", "))
	c.outf("Asked for now and approved, it is carried out from %s.\n", p.Due.Format(time.RFC3339))
}

func (c *Console) show(e *erasure.Open) {
	if e.Broken != "" {
		c.outf("Erasure %s: nobody can tell where it stands\n", e.ID)
		text.Paragraph(c.Out, "    ", "    "+e.Broken)
		return
	}
	if r := e.Rectify; r != nil {
		c.outf("Rectification %s: %s of 1 record of %s in %s, asked for %s\n", e.ID, strings.Join(r.Columns, ", "), e.Tables[0].Table, e.Environment, e.Asked.Format(time.RFC3339))
	} else {
		c.outf("Erasure %s: %d records of %s, asked for %s\n", e.ID, len(e.Tags), e.Environment, e.Asked.Format(time.RFC3339))
	}
	switch {
	case !e.Final.IsZero():
		c.outf("  final since %s: log entry %d, epoch %d\n", e.Final.Format(time.RFC3339), e.Entry, e.Epoch)
	case !e.Committed.IsZero():
		c.outf("  keys destroyed %s (log entry %d, epoch %d), pending in:\n", e.Committed.Format(time.RFC3339), e.Entry, e.Epoch)
		for _, w := range e.Waits {
			until := ""
			if !w.Until.IsZero() {
				until = " until " + w.Until.Format(time.RFC3339)
			}
			text.Paragraph(c.Out, "      ", fmt.Sprintf("    %s%s: %s", w.Place, until, w.Next))
		}
	default:
		c.outf("  next: %s\n", e.Next.Step)
		for _, reason := range e.Next.Reasons {
			text.Paragraph(c.Out, "    ", "    "+reason)
		}
		if e.Next.Step == rights.StepApprove {
			c.outf("    allod approve %s --key FILE\n", e.Erasure.Approval)
		}
		if e.Cancelled.IsZero() {
			c.outf("  Take it back with `allod vault erasures cancel %s`.\n", e.ID.String()[:8])
		}
	}
	if e.OnePerson {
		c.outf("  one person: nobody else is registered who could have approved\n")
	}
}

func (c *Console) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erasures", Short: "List erasures and rectifications and how far each has come", Args: cobra.NoArgs,
		Long: `List every erasure and rectification that was asked for: what it waits for, or
since when it is final. Pending places are named: a copy of the old keys there
still opens what was erased, or what was wrong.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				all, err := erasure.List(cmd.Context(), o)
				if err != nil {
					return err
				}
				if err := c.list(all, "No erasure was ever asked for."); err != nil {
					return err
				}
				return erasure.Broken(all)
			})
		},
	}
	run := &cobra.Command{
		Use: "run [ID]", Short: "Carry erasures on as far as they may be now", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error { return c.run(cmd.Context(), o, args) })
		},
	}
	cancel := &cobra.Command{
		Use: "cancel ID", Short: "Take an erasure or a rectification back", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				e, err := erasure.Find(cmd.Context(), o, args[0])
				if err != nil {
					return err
				}
				if e, err = erasure.Cancel(cmd.Context(), o, e.ID); err != nil {
					return err
				}
				return c.list([]erasure.Open{*e}, "")
			})
		},
	}
	cmd.AddCommand(run, cancel, c.handOverCommand(), c.certificateCommand())
	return cmd
}

func (c *Console) certificateCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "certificate ID --out FILE", Short: "Issue the certificate of an erasure or correction", Args: cobra.ExactArgs(1),
		Long: `Write the signed certificate to FILE and show it as text. That of a correction
names its columns, never a value. Whoever has the
vault object checks it with allod-verify, without this program or a network. It
says what is still pending; issue it again when that is done.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return allod.Errorf(allod.Invalid, "issue a certificate: name the file to write with --out")
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				e, err := erasure.Find(cmd.Context(), o, args[0])
				if err != nil {
					return err
				}
				b, cert, err := erasure.Certify(cmd.Context(), o, e)
				if err != nil {
					return err
				}
				if err := c.Write(out, b); err != nil {
					return err
				}
				if c.JSON() {
					c.Print(cert)
					return nil
				}
				c.outf("%s", cert.Text())
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write; one that is there is left as it is")
	return cmd
}

func (c *Console) list(all []erasure.Open, none string) error {
	if c.JSON() {
		c.Print(map[string]any{"erasures": all})
		return nil
	}
	if len(all) == 0 {
		c.outf("%s\n", none)
	}
	for i := range all {
		c.show(&all[i])
	}
	return nil
}

func (c *Console) run(ctx context.Context, o *act.Office, args []string) error {
	if erasure.Blind(o) {
		return c.fulfil(ctx, o)
	}
	var only *allod.GUID
	if len(args) == 1 {
		e, err := erasure.Find(ctx, o, args[0])
		if err != nil {
			return err
		}
		only = &e.ID
	}
	done, err := erasure.Run(ctx, o, only)
	if err != nil && len(done) == 0 {
		return err
	}
	if lerr := c.list(done, "No erasure waits for anything."); lerr != nil {
		return lerr
	}
	return err
}
