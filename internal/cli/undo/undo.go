// Package undo holds the commands that take restores back.
package undo

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/act/undo"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
)

// Console is what the commands need of the command line around them. All fields
// are required.
type Console struct {
	Out     io.Writer
	Err     io.Writer                                                    // for who waits
	JSON    func() bool                                                  // machine-readable output was asked for
	Print   func(v any)                                                  // one JSON object to stdout
	With    func(ctx context.Context, f func(o *act.Office) error) error // opens the Allod
	Holding func(cmd *cobra.Command, f func(o *act.Office) error) error  // the same, with a lease on what opens it
	Plan    func(p *plan.Plan, steps int) error                          // shows a plan
	Confirm func(p *plan.Plan, said, again string) error                 // asks for the name of a production environment
	Report  func(r *apply.Report)
	Outcome func(r *apply.Report, p *plan.Plan, again string) error
	Meter   func(total int64) (set func(done, total int64), done func())
}

// Commands are the commands, to be put under the root.
func (c *Console) Commands() []*cobra.Command {
	return []*cobra.Command{c.undoCommand(), c.restoresCommand()}
}

// flags are the flags of `allod undo`.
type flags struct {
	req     undo.Request
	control act.RestoreControl
	plan    bool
	yes     bool
	confirm string
	steps   int
}

func (c *Console) undoCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "undo RESTORE-ID",
		Short: "Take a restore back, after showing the plan",
		Long: `Bring back what was there before a restore wrote: rows that it created are
deleted, columns that it wrote get their old values, links that it made are
removed. A row that was touched since is a conflict and not a write; one that
is erased, restricted or held is left alone. What cannot be taken back is named.

Without --yes only the plan is shown. What is there now is kept first, so an
undo can itself be undone, with the id that it prints. One that broke off goes
on with the same command.`,
		Args: cobra.ExactArgs(1), SuggestFor: []string{"rollback", "revert"},
		Example: `  allod restores list
  allod undo 51cc72925f96cfca
  allod undo 51cc72925f96cfca --on-conflict live --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.req.ID = args[0]
			return c.Holding(cmd, func(o *act.Office) error { return c.undo(cmd.Context(), o, &f) })
		},
	}
	s := cmd.Flags()
	s.StringVar(&f.req.Conflict, "on-conflict", "stop", "rows touched since: stop, backup (write over them), live (leave them) or fill-empty")
	s.StringSliceVar(&f.req.Contact, "allow-contact", nil, "TABLE:ID of a person who may be reached again as before; may be repeated")
	s.StringSliceVar(&f.req.Bypass, "bypass", nil, "custom logic to keep from running: plugins, flows")
	s.Float64Var(&f.control.Rate, "rate", 0, "at most so many writes a second")
	s.IntVar(&f.control.PauseAtErrors, "pause-at-errors", 25, "stop after so many failed writes; 0 = never")
	s.BoolVar(&f.plan, "plan", false, "show the plan; write nothing")
	s.IntVar(&f.steps, "steps", 20, "how many steps of the plan to show")
	s.BoolVar(&f.yes, "yes", false, "carry it out")
	s.StringVar(&f.confirm, "confirm", "", "the name of the environment, said once more")
	return cmd
}

func (c *Console) undo(ctx context.Context, o *act.Office, f *flags) error {
	f.req.Planning = func() { fmt.Fprintf(c.Err, "Planning: comparing what %s left with what is there now …\n", f.req.ID) }
	u, err := undo.Make(ctx, o, f.req)
	if err != nil {
		return err
	}
	if f.plan || !f.yes {
		return c.Plan(u.Plan, f.steps)
	}
	again := "allod undo " + f.req.ID + " --yes"
	if err := c.Confirm(u.Plan, f.confirm, again); err != nil {
		return err
	}
	set, done := c.Meter(u.Plan.Counts.Steps)
	f.control.Progress = set
	rep, err := u.Run(ctx, f.control)
	done()
	if rep != nil {
		c.Report(rep)
	}
	if err != nil {
		return err
	}
	return c.Outcome(rep, u.Plan, "allod undo "+f.req.ID)
}

func (c *Console) restoresCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "restores", Short: "What was restored, and what can be undone"}
	list := &cobra.Command{
		Use: "list [ENV]", Short: "List restores and undos, the newest first", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env := ""
			if len(args) > 0 {
				env = args[0]
			}
			return c.With(cmd.Context(), func(o *act.Office) error { return c.list(cmd.Context(), o, env) })
		},
	}
	steps := 20
	show := &cobra.Command{
		Use: "show ID", Short: "Show a restore or an undo: its plan, and what came of it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error { return c.show(cmd.Context(), o, args[0], steps) })
		},
	}
	show.Flags().IntVar(&steps, "steps", 20, "how many steps of the plan to show")
	cmd.AddCommand(list, show)
	return cmd
}

func (c *Console) outf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

func (c *Console) list(ctx context.Context, o *act.Office, env string) error {
	if env != "" {
		if _, err := o.Snapshots(ctx, env); err != nil {
			return err
		}
	}
	all, err := undo.List(ctx, o, env)
	if err != nil {
		return err
	}
	if c.JSON() {
		c.Print(all)
		return nil
	}
	if len(all) == 0 {
		c.outf("Nothing was restored yet.\n")
	}
	for i := range all {
		c.line(&all[i])
	}
	return nil
}

func (c *Console) line(r *undo.Restore) {
	what := "restore"
	if r.Undoes != "" {
		what = "undo of " + r.Undoes
	}
	if r.Environment != "" {
		what += " into " + r.Environment
	}
	c.outf("%s  %s  %s: %s\n", r.ID, r.Begun.UTC().Format("2006-01-02 15:04:05Z"), what, r.State)
	if r.Counted {
		c.outf("    %d created, %d updated, %d deleted, %d failed, %d conflicts", r.Created, r.Updated, r.Deleted, r.Failed, r.Conflicts)
	} else {
		c.outf("    cut off before it could count what it wrote; a plan to undo it finds out")
	}
	switch {
	case r.By != "":
		c.outf("; undone by %s", r.By)
	case !r.CanUndo:
		c.outf("; cannot be undone")
	}
	c.outf("\n")
	for _, column := range slices.Sorted(maps.Keys(r.Numbers)) {
		c.outf("    %s goes on from %d\n", column, r.Numbers[column])
	}
}

func (c *Console) show(ctx context.Context, o *act.Office, id string, steps int) error {
	r, p, err := undo.Show(ctx, o, id)
	if err != nil {
		return err
	}
	if c.JSON() {
		c.Print(struct {
			*undo.Restore
			Plan *plan.Plan `json:"plan"`
		}{r, p})
		return nil
	}
	c.line(r)
	if !r.Undone.IsZero() {
		c.outf("    undone at %s\n", r.Undone.UTC().Format(time.DateTime+"Z"))
	}
	c.outf("\n")
	if err := p.WriteText(c.Out, steps); err != nil {
		return err
	}
	if r.CanUndo {
		c.outf("Take it back with `allod undo %s`.\n", id)
	}
	return nil
}
