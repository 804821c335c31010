package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/capture"
	"allod/internal/cli/beside"
	"allod/internal/cli/text"
	"allod/internal/preset"
	"allod/internal/restore/plan"
)

func (a *app) backupCommand() *cobra.Command {
	var opts capture.Options
	var plan, audit bool
	cmd := &cobra.Command{
		Use: "backup [ENV…]", Short: "Capture what changed",
		Long: `Capture environments into the vault: everything the first time, then what
changed. What could not be read is listed as a gap and the command ends with 3;
a backup that was cut off goes on where it was.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, envs []string) error {
			opts.NoAudit = !audit
			return a.holding(cmd, func(o *act.Office) error {
				if len(envs) == 0 {
					envs = o.Environments()
				}
				if len(envs) == 0 {
					return allod.WithHint(allod.Errorf(allod.Invalid, "back up: no environment is connected"), "Run `allod connect ENV URL --kind dataverse`.")
				}
				var all error
				for _, env := range envs {
					err := a.backupOne(cmd, o, env, opts, plan)
					if err != nil && len(envs) > 1 && cmd.Context().Err() == nil {
						a.showError(cmd.Context(), err)
						err = &silent{err}
					}
					all = worse(all, err)
				}
				return all
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&plan, "plan", false, "estimate what it would read, and read nothing")
	f.BoolVar(&opts.Full, "full", false, "read everything again instead of what changed")
	f.StringSliceVar(&opts.Tables, "table", nil, "only this table; may be repeated")
	f.StringSliceVar(&opts.Exclude, "exclude", nil, "leave out TABLE or TABLE.COLUMN")
	f.StringSliceVar(&opts.Include, "include", nil, "take TABLE or TABLE.COLUMN in although excluded")
	f.StringSliceVar(&opts.Presets, "preset", nil, "only what belongs to "+strings.Join(preset.Names(), ", ")+"; may be repeated")
	f.BoolVar(&audit, "audit", true, "read the audit log too; --audit=false leaves it out")
	f.BoolVar(&opts.NoFiles, "no-files", false, "leave the bytes of files unread")
	beside.Pace(f, &opts.Pace)
	return cmd
}

// holding is withOffice for what takes long: this process is counted among those
// that hold keys. The context of cmd ends when it may not hold them any more.
func (a *app) holding(cmd *cobra.Command, do func(*act.Office) error) error {
	dir, err := a.folder()
	if err != nil {
		return err
	}
	return keys.Holding(cmd.Context(), dir, a.deps.Deps, func(ctx context.Context, o *act.Office) error {
		cmd.SetContext(ctx)
		return do(o)
	})
}

// worse keeps the more serious of two outcomes: a failure over a partial one.
func worse(a, b error) error {
	if a == nil || b != nil && allod.KindOf(a) == allod.Partial {
		return b
	}
	if b == nil || allod.KindOf(b) == allod.Partial {
		return a
	}
	return errors.Join(a, b)
}

func (a *app) backupOne(cmd *cobra.Command, o *act.Office, env string, opts capture.Options, plan bool) error {
	if plan {
		return a.planBackup(cmd, o, env, opts)
	}
	a.errf("Backing up %s …\n", env)
	opts.Paused = beside.Waiting(a.deps.Err, a.deps.Local)
	m := a.newMeter("back up "+env, -1)
	opts.Progress = m.captureProgress
	res, err := o.Backup(cmd.Context(), env, opts)
	m.done()
	if err != nil {
		if res != nil && res.Snapshot != 0 {
			a.complain(fmt.Sprintf("What was committed before is kept as %s@%d; the next backup goes on from there.", env, res.Snapshot))
		}
		return err
	}
	if a.json {
		a.print(res)
	} else {
		a.showBackup(res)
	}
	if err := a.warnSlots(cmd, o); err != nil {
		return err
	}
	if res.Partial() {
		return &silent{allod.Errorf(allod.Partial, "back up %s: done in part", env)}
	}
	return nil
}

// warnSlots says so after every backup until the vault can be opened in two
// ways that were both tried.
func (a *app) warnSlots(cmd *cobra.Command, o *act.Office) error {
	s, err := o.VaultStatus(cmd.Context())
	if err != nil {
		return err
	}
	for _, slot := range s.Slots {
		if slot.Proved.IsZero() {
			a.complain(fmt.Sprintf("The key %q was never tried: `allod vault keys prove` shows that it opens the vault.", slot.Name))
		}
	}
	return nil
}

func (a *app) showBackup(r *capture.Result) {
	a.outf("%s@%d: %d tables read, %d rows in all;\n%d created, %d updated, %d deleted.\n", r.Environment, r.Snapshot, r.Tables, r.Rows, r.Created, r.Updated, r.Deleted)
	a.outf("Stored %s in %s.\n", bytesText(r.StoredBytes), time.Duration(r.Seconds*float64(time.Second)).Round(10*time.Millisecond))
	if r.LineReason != "" {
		a.para("", "A new line (%d) begins: %s. Everything was read again.", r.Line, r.LineReason)
	}
	a.showAbsent(r.Absent)
	for _, alarm := range r.Alarms {
		a.para("  ", "ALARM  %s", alarm)
	}
	a.showGaps(r.Gaps)
}

// showGaps lists what was not read: what nobody chose first, one line per table
// and kind.
func (a *app) showGaps(gaps []allod.Gap) {
	var open []allod.Gap
	chosen := map[allod.GapKind]int{}
	for _, g := range gaps {
		if g.Accepted {
			chosen[g.Kind]++
		} else {
			open = append(open, g)
		}
	}
	if len(open) > 0 {
		a.outf("Gaps:\n")
	}
	for _, g := range open {
		name := g.Table
		if g.Column != "" {
			name += "." + g.Column
		}
		a.para("    ", "  %-18s %s: %s", g.Kind, name, g.Reason)
	}
	if slices.ContainsFunc(open, func(g allod.Gap) bool { return g.Kind == allod.GapTableFailed }) {
		a.para("", "A table that failed keeps the rows it had; the next `allod backup` tries it again.")
	}
	if slices.ContainsFunc(open, func(g allod.Gap) bool { return g.Kind == allod.GapTableUnreadable }) {
		a.para("", "What may not be read wants a role: `allod check source ENV` lists it.")
	}
	var words []string
	for kind, n := range chosen {
		words = append(words, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(words)
	if len(words) > 0 {
		a.para("", "Left out by choice or by nature: %s (`--json` lists them).", strings.Join(words, ", "))
	}
}

func (a *app) planBackup(cmd *cobra.Command, o *act.Office, env string, opts capture.Options) error {
	p, err := o.PlanBackup(cmd.Context(), env, opts)
	if err != nil {
		return err
	}
	if a.json {
		a.print(p)
		return nil
	}
	a.showEstimate(env, p)
	return nil
}

// showEstimate shows what a backup would take.
func (a *app) showEstimate(env string, p *capture.Plan) {
	a.para("", "A backup of %s would read %d tables: %d rows and %d files of %s.", env, len(p.Tables), p.Rows, p.Files, bytesText(p.FileBytes))
	if n := len(p.Unsized); n > 0 {
		a.para("", "Nobody says how long the images or files of %s are; they come on top.", plan.Count(int64(n), "table"))
	}
	day := ""
	if p.PerDay > 0 {
		day = fmt.Sprintf(", %.1f %% of the %d a day that an application user is entitled to", 100*float64(p.Requests)/float64(p.PerDay), p.PerDay)
	}
	a.para("  ", "Requests: about %d%s.", p.Requests, day)
	a.para("  ", "Time: about %s with %s at once, if a page of 5000 rows takes the environment 2 s and any other request 0.1 s, which nobody has measured.%s", text.Long(p.Seconds), plan.Count(int64(p.AtOnce), "request"), p.Within(text.Long))
	a.para("  ", "Disk: about %s.", bytesText(p.Bytes))
	if p.NewLine != "" {
		a.para("", "Everything is read again: %s.", p.NewLine)
	}
	for i, t := range p.Tables {
		if i == 15 {
			a.outf("  … and %s (`--json` lists them)\n", plan.Count(int64(len(p.Tables)-15), "more table"))
			break
		}
		rows := "what changed"
		if t.Method == "full" {
			rows = cmp.Or(map[bool]string{true: "rows not known"}[t.Rows < 0], plan.Count(t.Rows, "row"))
		}
		switch {
		case t.FileCount > 0:
			rows += fmt.Sprintf(", %s of %s", plan.Count(t.FileCount, "file"), bytesText(t.FileBytes))
		case t.Files:
			rows += ", with files"
		}
		a.para("      ", "  %-36s %s", t.Table, rows)
	}
	a.showAbsent(p.Absent)
	a.showGaps(p.Gaps)
}
