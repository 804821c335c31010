package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/overwrite"
	"allod/internal/cli/beside"
	"allod/internal/cli/undo"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
)

// restoreFlags are the flags of `allod restore`.
type restoreFlags struct {
	req     act.RestoreRequest
	control act.RestoreControl
	plan    bool
	yes     bool
	confirm string
	apply   string
	steps   int
	since   string
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreFlags
	cmd := &cobra.Command{
		Use:   "restore ENV@WHEN (--deleted | --all | --unmerge … | TABLE [ID…])",
		Short: "Put back what was lost, after showing the plan",
		Long: `Put back rows as they were at a moment: everything, a table, single rows, or
those a filter finds. What is equal is skipped, what was touched since the plan
is a conflict and not a write, and nothing is ever deleted.

Without --yes only the plan is shown and kept; carry it out with --apply. In a
production environment --yes and --apply want --confirm ENV as well, and two
people have to approve what changes rows that are there: the first run asks
them, and says so; once they have run ` + "`allod approve`" + `, the same command, or
--apply, carries out the same plan. A plan that has changed since is asked for
anew. With fewer than two people registered it goes on as "one person".`,
		Args: cobra.ArbitraryArgs, SuggestFor: []string{"undelete", "recover"},
		Example: `  allod restore prod@-1d --deleted
  allod restore prod@-1d account 49b0be2e-d01c-ed11-b83e-000d3a572421 --plan
  allod restore --apply 51cc72925f96cfca`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.apply == "" {
				if err := a.readRestoreArgs(args, &o); err != nil {
					return err
				}
			} else if len(args) > 0 {
				return &usageError{allod.Errorf(allod.Invalid, "restore --apply: the plan says what; name nothing else")}
			}
			return a.holding(cmd, func(of *act.Office) error { return a.restore(cmd, of, &o) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.req.Selection.All, "all", false, "every row of the classes data and link")
	f.StringVar(&o.req.Selection.Filter, "filter", "", "rows of TABLE for which this OData filter holds in the snapshot")
	f.BoolFunc("deleted", "only rows that are no longer there", func(string) error { o.req.Selection.DeletedSince = "now"; return nil })
	f.StringVar(&o.since, "deleted-since", "", "what was there at this moment (as in ENV@WHEN) and is no longer there")
	f.StringSliceVar(&o.req.Columns, "column", nil, "write only this column of rows that are still there; may be repeated")
	f.StringSliceVar(&o.req.Exclude, "exclude-column", nil, "do not write this column; may be repeated")
	f.StringSliceVar(&o.req.Related, "related", nil, "with what is related, KIND:DEPTH: children, parents, notes, activities, pairs, all …")
	f.StringVar(&o.req.To, "to", "", "another connected environment to restore into")
	f.StringVar(&o.req.Conflict, "on-conflict", "stop", "stop, backup, live or fill-empty")
	beside.Flags(cmd, &o.req)
	f.Float64Var(&o.control.Rate, "rate", 0, "at most so many writes a second")
	f.IntVar(&o.control.PauseAtErrors, "pause-at-errors", 25, "stop after so many failed writes; 0 = never")
	f.BoolVar(&o.plan, "plan", false, "show the plan and keep it; write nothing")
	f.IntVar(&o.steps, "steps", 20, "how many steps of the plan to show")
	f.StringVar(&o.apply, "apply", "", "carry out a kept plan")
	f.BoolVar(&o.yes, "yes", false, "carry it out")
	f.StringVar(&o.confirm, "confirm", "", "the name of the environment, said once more")
	return cmd
}

func (a *app) readRestoreArgs(args []string, o *restoreFlags) error {
	if len(args) == 0 {
		return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "restore: from where?"), "`allod restore ENV@WHEN TABLE ID`, e.g. `allod restore prod@-1d account 49b0be2e-d01c-ed11-b83e-000d3a572421 --plan`.")}
	}
	from := args[0]
	if o.since != "" {
		if strings.Contains(from, "@") {
			return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "restore %s --deleted-since %s: two moments", from, o.since), "Name the environment alone: `allod restore ENV --deleted-since %s`.", o.since)}
		}
		from += "@" + o.since
		o.req.Selection.DeletedSince = o.since
	}
	m, err := a.moment(from)
	if err != nil {
		return err
	}
	o.req.From = m
	s := &o.req.Selection
	if len(args) > 1 {
		s.Table, s.IDs = args[1], args[2:]
	}
	switch {
	case s.All && s.Table != "" || s.Unmerge != "" && (s.All || s.Table != "" || s.DeletedSince != ""):
		return &usageError{allod.Errorf(allod.Invalid, "restore: --all, --unmerge and a table exclude each other")}
	case !s.All && s.Table == "" && s.DeletedSince == "" && s.Unmerge == "":
		return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "restore from %s: what?", m), "Name a table, with or without ids, or --deleted, or --all.")}
	}
	return nil
}

func (a *app) restore(cmd *cobra.Command, o *act.Office, f *restoreFlags) error {
	ctx := cmd.Context()
	var p *plan.Plan
	var err error
	if f.apply != "" {
		f.req, p, err = o.LoadPlan(ctx, f.apply)
	} else {
		broken, err := o.BrokenOff(ctx, cmp.Or(f.req.To, f.req.From.Environment))
		if err != nil {
			return err
		}
		if !a.json {
			a.showBrokenOff(broken)
		}
		a.errf("Planning: comparing %s with what is there now …\n", f.req.From)
		if p, err = o.PlanRestore(ctx, f.req); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if f.plan || !f.yes && f.apply == "" || p.Empty() {
		return a.showPlan(p, f.steps, leftOut(&f.req))
	}
	if err := a.confirm(p, f.confirm, "allod restore --apply "+p.ID); err != nil {
		return err
	}
	m := a.newMeter("restore", p.Counts.Steps)
	f.control.Progress = func(done, total int64) { m.set(done, total, fmt.Sprintf("%d of %d writes", done, total)) }
	f.control.Approve = overwrite.Approve(o)
	rep, err := o.Restore(ctx, f.req, p, f.control)
	m.done()
	if rep != nil {
		a.showReport(rep)
	}
	if err != nil {
		return err
	}
	return outcome(rep, p, "allod restore --apply "+rep.Plan)
}

// outcome is how a restore, or an undo, ends; again says what is left of one that
// stopped.
func outcome(rep *apply.Report, p *plan.Plan, again string) error {
	switch {
	case rep.Paused != "" && len(rep.Conflicts) == 0:
		return allod.WithHint(allod.Errorf(allod.Partial, "restore %s: stopped: %s", rep.ID, rep.Paused), "`%s` says what is left.", again)
	case len(rep.Conflicts) > 0:
		return &silent{allod.Errorf(allod.Conflict, "restore: conflicts")}
	case rep.Failed > 0 || len(rep.Skipped) > 0 || len(p.Refused) > 0:
		return &silent{allod.Errorf(allod.Partial, "restore: done in part")}
	}
	return nil
}

// confirm asks for the name of an environment that is production; said is what
// was said with --confirm, again the command without it.
func (a *app) confirm(p *plan.Plan, said, again string) error {
	env, _, _ := strings.Cut(p.To, "@")
	if !p.Production || said == env {
		return nil
	}
	if said != "" {
		return &usageError{allod.Errorf(allod.Invalid, "write into %s: --confirm names %q", env, said)}
	}
	if a.deps.Terminal {
		a.errf("This writes into %s, %d rows. Type its name to go on: ", env, p.Counts.Create+p.Counts.Update+p.Counts.Delete)
		line, err := bufio.NewReader(io.LimitReader(a.deps.In, 200)).ReadString('\n')
		if err == nil && strings.TrimSpace(line) == env {
			return nil
		}
	}
	return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "restore into %s: it was not confirmed", env), "Add --confirm %s. The plan is kept: `%s --confirm %s`.", env, again, env)}
}

// showPlan shows a plan. Partial when something that was asked for is not in it.
func (a *app) showPlan(p *plan.Plan, steps int, left string) error {
	if a.json {
		a.print(p)
	} else if err := a.planText(p, steps, left); err != nil {
		return err
	}
	if len(p.Refused) > 0 || p.Empty() && len(p.Skipped) > 0 {
		return &silent{allod.Errorf(allod.Partial, "what was asked for is not all in the plan")}
	}
	return nil
}

func (a *app) planText(p *plan.Plan, steps int, left string) error {
	if err := p.WriteText(a.deps.Out, steps); err != nil {
		return err
	}
	switch {
	case p.Undoes != "":
		if !p.Empty() {
			a.outf("Carry it out with `allod undo %s --yes`.\n", p.Undoes)
		}
	case p.Empty() && len(p.Skipped) == 0:
		env, _, _ := strings.Cut(p.From, "@")
		a.para("", "There is nothing to do. If something should be, it was lost before %s: `allod snapshots %s` lists earlier moments.", p.From, env)
	case p.Empty():
	default:
		if left != "" {
			a.para("", left, p.From)
		}
		confirm := ""
		if env, _, _ := strings.Cut(p.To, "@"); p.Production {
			confirm = " --confirm " + env
		}
		a.outf("Carry it out with `allod restore --apply %s%s`.\n", p.ID, confirm)
		if p.Production && p.Overwrites() > 0 {
			a.para("", "That asks two people for their approval first: `allod approvals` shows what waits for it.")
		}
	}
	return nil
}

// undoing are the commands that take restores back.
func (a *app) undoing() []*cobra.Command {
	c := &undo.Console{
		Out: a.deps.Out, Err: a.deps.Err, JSON: func() bool { return a.json }, Print: a.print, With: a.withOffice, Holding: a.holding, Plan: func(p *plan.Plan, steps int) error { return a.showPlan(p, steps, "") },
		Confirm: a.confirm, Report: a.showReport, Outcome: outcome,
		Meter: func(total int64) (func(done, total int64), func()) {
			m := a.newMeter("undo", total)
			return func(done, total int64) { m.set(done, total, fmt.Sprintf("%d of %d writes", done, total)) }, m.done
		},
	}
	return c.Commands()
}

// showBrokenOff tells of restores that stopped before their end: what they left
// half made is not deleted, and a new plan may pass it over.
func (a *app) showBrokenOff(plans []string) {
	for _, id := range plans {
		a.para("  ", "A restore broke off and may have left rows half made: `allod restore --apply %s` says what is left of it.", id)
	}
}

// leftOut says what a plan of this kind leaves as it is, although somebody may
// expect it back; "" for nothing. It is a format that takes the moment.
func leftOut(r *act.RestoreRequest) string {
	switch {
	case r.Selection.DeletedSince != "":
		return lookupsStay
	case plan.OnConflict(r.Conflict) == plan.FillEmpty:
		return partiesStay
	}
	return ""
}

// partiesStay is what filling empty columns leaves undone.
const partiesStay = "Senders and recipients of mails, calls and appointments that are still there are lists, not columns, and are not filled. `allod restore %s --all --plan` shows what differs then."

// lookupsStay is what restoring only deleted rows leaves undone.
const lookupsStay = "Rows that are still there are not touched, although their lookups to what was deleted are empty now. `allod restore %s --all --on-conflict fill-empty` would make what is gone and fill what is empty, and leave later edits alone."

func (a *app) showReport(r *apply.Report) {
	if a.json {
		a.print(r)
		return
	}
	a.outf("Restore %s: %s.\n", r.ID, r.Counted())
	switch {
	case r.Approved != nil && r.Approved.OnePerson:
		a.outf("Approved by one person: fewer than two are registered who could have.\n")
	case r.Approved != nil:
		a.outf("Approved by %s: %s.\n", r.Approval, strings.Join(r.Approved.Approvers, ", "))
	}
	if r.Paused != "" {
		a.outf("It stopped before its end: %s.\n", r.Paused)
	}
	for _, c := range r.Conflicts[:min(len(r.Conflicts), 20)] {
		a.outf("  conflict  %s(%s): %s\n", c.Table, c.ID, c.Reason)
	}
	for _, f := range r.Failures[:min(len(r.Failures), 20)] {
		a.outf("  failed    %s %s(%s): %s\n", f.Op, f.Table, f.ID, f.Reason)
	}
	a.more(len(r.Conflicts), len(r.Failures))
	var skipped, notes []string
	for _, s := range r.Skipped {
		skipped = append(skipped, s.Table+": "+s.Reason)
	}
	for _, n := range r.Notes {
		if table, rest, ok := strings.Cut(n, "("); ok {
			if _, text, ok := strings.Cut(rest, "): "); ok {
				n = table + ": " + text
			}
		}
		notes = append(notes, n)
	}
	a.counted("skipped", skipped)
	a.counted("note", notes)
}

// counted shows how often each text occurs, sorted.
func (a *app) counted(word string, texts []string) {
	slices.Sort(texts)
	lines := 0
	for i := 0; i < len(texts); lines++ {
		n := 1
		for i+n < len(texts) && texts[i+n] == texts[i] {
			n++
		}
		if lines < 20 {
			a.outf("  %-9s %d of %s\n", word, n, texts[i])
		}
		i += n
	}
	a.more(lines)
}

// more says how much of some lists was left out after 20 lines each.
func (a *app) more(lengths ...int) {
	left := 0
	for _, n := range lengths {
		left += max(n-20, 0)
	}
	if left > 0 {
		a.outf("  … and %d more (--json lists all)\n", left)
	}
}
