// Package upkeep holds the commands of an Allod that runs by itself: serve,
// worker, service, support-bundle, and what the schedules add to status.
package upkeep

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/cli/text"
	"allod/internal/job"
	"allod/internal/notify"
	"allod/internal/runlog"
	"allod/internal/service"
	"allod/internal/vault/lease"
)

// Console is what the commands need of the command line around them. All fields
// are required. Deps is asked when a command runs, as flags bear on it.
type Console struct {
	Deps     func() act.Deps
	Out, Err io.Writer
	Getenv   func(string) string
	Local    *time.Location
	Version  string
	Folder   func() (string, error) // of this Allod
	JSON     func() bool            // machine-readable output was asked for
	Print    func(v any)            // one JSON object to stdout
	Said     func(err error) error  // err, of which people know already: its exit code counts
}

// Commands are the commands.
func (a *Console) Commands() []*cobra.Command {
	return []*cobra.Command{a.serveCommand(), a.workerCommand(), a.serviceCommand(), a.supportCommand(), a.completionCommand()}
}

func (a *Console) serveCommand() *cobra.Command {
	f := serveFlags{tells: true}
	cmd := &cobra.Command{
		Use: "serve", Short: "Back up and check by the schedules, and raise alarms", Args: cobra.NoArgs,
		Long: `Do what allod.yaml schedules: back up each environment at its time, check the
vault once a week, and tell people when something needs them. Runs that were
missed are made up once, failed ones are tried again after 5 minutes, then
later. It runs until it is told to end (Ctrl-C, SIGTERM); what was committed by
then stays, and the next start goes on from there. A line per run goes to
stderr. ` + "`allod worker`" + ` on other machines shares the work.

--once does what is due and ends, for those who have a scheduler already. The
exit code is then that of the worst run.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	f.add(cmd)
	cmd.Flags().Bool(service.Flag, false, "")
	cmd.Flags().Lookup(service.Flag).Hidden = true // it is main's
	return cmd
}

func (a *Console) workerCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "worker", Short: "Share the work of `allod serve`, on this machine or another", Args: cobra.NoArgs,
		Long: `Do what is due by the schedules of allod.yaml, as ` + "`allod serve`" + ` does, but tell
people nothing: run one serve, and as many workers as there is work for. Each
takes what is due and nobody else does, by a lease in the vault's store that it
renews while it works. The work of one that was killed is taken over when its
lease has run out. ` + "`allod status`" + ` on any machine shows who does what.

On another machine: copy allod.yaml, vault.pin and what opens the vault into a
folder there. Store and places of slots must be the same, so name them in
allod.yaml by addresses that both machines reach. Clocks may differ by up to
5 minutes.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), f) },
	}
	f.add(cmd)
	return cmd
}

// serveFlags are those of serve and worker.
type serveFlags struct {
	once  bool
	ping  string
	lease time.Duration
	tells bool // people, of alarms
}

func (f *serveFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.once, "once", false, "do what is due, and end")
	cmd.Flags().StringVar(&f.ping, "ping", "", "`URL` of a dead man's switch: asked for after each run that went well, with /fail after it for others")
	cmd.Flags().DurationVar(&f.lease, "lease", 2*time.Minute, "what this process does is left to it for `TIME` after it was last heard of")
}

// serve does what is due until it is told to end.
func (a *Console) serve(ctx context.Context, f serveFlags) error {
	if f.lease < lease.MinTerm || f.lease > lease.MaxTerm {
		return allod.WithHint(allod.Errorf(allod.Invalid, "take leases for %s", f.lease), "--lease takes %s to %s.", lease.MinTerm, lease.MaxTerm)
	}
	dir, err := a.Folder()
	if err != nil {
		return err
	}
	deps := a.Deps()
	deps.Passphrase = remembered(deps.Passphrase)
	d := a.desk(dir, deps)
	d.Ping, d.Term = f.ping, f.lease
	if err := d.Check(); err != nil {
		return err
	}
	s := &job.Server{Look: d.Look, Alone: d.Alone, Do: d.Do, Tell: d.Tell, Ping: d.SendPing, Wait: job.Sleep, Say: a.say, Now: deps.Now}
	word := "serving"
	if !f.tells {
		word = "working for"
		s.Tell = func(context.Context, []notify.Notice) ([]notify.Notice, error) { return nil, nil }
	}
	if !f.once {
		fmt.Fprintf(a.Err, "%s %s; `allod status` says what comes next.\n", word, dir)
		return s.Run(ctx)
	}
	if err := s.Once(ctx); err != nil {
		return a.Said(err) // each run has said how it went
	}
	return nil
}

// say writes a line of the log: when, and what.
func (a *Console) say(format string, args ...any) {
	fmt.Fprintf(a.Err, "%s %s\n", a.Deps().Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
}

// Look says what the schedules of an open Allod ask for.
func (a *Console) Look(ctx context.Context, o *act.Office) (*job.View, error) {
	return a.desk(o.Dir, a.Deps()).LookAt(ctx, o)
}

// desk is where the schedules of a folder are looked at.
func (a *Console) desk(dir string, deps act.Deps) *job.Desk {
	return &job.Desk{Dir: dir, Deps: deps, Local: a.Local, Getenv: a.Getenv, Free: job.FreeSpace}
}

// remembered asks for the passphrase once, although the vault is opened many
// times.
func remembered(ask func(confirm bool) ([]byte, error)) func(bool) ([]byte, error) {
	var said []byte
	return func(confirm bool) ([]byte, error) {
		if said != nil {
			return slices.Clone(said), nil
		}
		p, err := ask(confirm)
		if err == nil {
			said = slices.Clone(p)
		}
		return p, err
	}
}

// Schedule adds to a status what the schedules say.
func Schedule(s *act.EnvironmentStatus, v *job.View) {
	for i := range v.Tasks {
		t := &v.Tasks[i]
		if t.What != runlog.Backup || t.Environment != s.Environment {
			continue
		}
		s.LastRun, s.Failures, s.Running = t.Last, t.Past.Failures, t.Live
		if !t.Schedule.Off() {
			s.NextRun, s.Schedule = &t.Next.At, t.Schedule.String()
		}
	}
	for _, n := range v.Alarms {
		if n.Environment == s.Environment {
			s.Alarms = append(s.Alarms, n)
		}
	}
}

// ShowRuns says when the next run is, and how the last one went if that is news.
func (a *Console) ShowRuns(s *act.EnvironmentStatus) {
	if s.Running != nil {
		a.para("  ", "  Under way: %s.", a.liveText(s.Running))
	} else if s.NextRun != nil {
		a.para("  ", "  Next backup %s (%s); the last one: %s.", nextText(a.Deps().Now(), *s.NextRun), s.Schedule, a.runText(s.LastRun, s.Failures))
	} else if s.LastRun != nil && s.LastRun.Result != runlog.Done && s.LastRun.Result != runlog.Partial {
		a.para("  ", "  The last attempt: %s.", a.runText(s.LastRun, s.Failures))
	}
	for _, n := range s.Alarms {
		a.para("    ", "  ALARM  %s. %s", n.Text, n.Hint)
	}
}

// ShowChecks says the same of the checks of the vault, and of its compactions.
func (a *Console) ShowChecks(v *job.View) {
	for _, t := range v.Tasks {
		if t.What == runlog.Verify && t.Live != nil {
			a.para("  ", "A check of the vault is under way: %s.", a.liveText(t.Live))
		} else if t.What == runlog.Verify && !t.Schedule.Off() {
			a.para("  ", "Next check of the vault %s (%s); the last one: %s.", nextText(a.Deps().Now(), t.Next.At), t.Schedule, a.runText(t.Last, t.Past.Failures))
		} else if t.What == runlog.Compact && t.Live != nil {
			a.para("  ", "A compaction of the vault is under way: %s.", a.liveText(t.Live))
		} else if t.What == runlog.Compact && !t.Schedule.Off() {
			a.para("  ", "Next compaction of the vault %s (%s); the last one: %s.", nextText(a.Deps().Now(), t.Next.At), t.Schedule, a.runText(t.Last, t.Past.Failures))
		}
	}
	for _, n := range v.Alarms {
		if n.Environment == "" {
			a.para("  ", "ALARM  %s. %s", n.Text, n.Hint)
		}
	}
}

// liveText says who does a task, and how far it is.
func (a *Console) liveText(l *runlog.Live) string {
	now := a.Deps().Now()
	words := fmt.Sprintf("process %s, begun %s", l.Process, text.Ago(max(0, now.Sub(l.Since))))
	if l.Counts[runlog.Tables] > 0 {
		words += fmt.Sprintf(", %d of %d tables and %d rows read", l.Counts[runlog.Read], l.Counts[runlog.Tables], l.Counts[runlog.Rows])
	}
	return words + ", heard of " + text.Ago(max(0, now.Sub(l.Heard)))
}

// para writes a paragraph to stdout; see text.Paragraph.
func (a *Console) para(indent, format string, args ...any) {
	text.Paragraph(a.Out, indent, fmt.Sprintf(format, args...))
}

func nextText(now, at time.Time) string {
	if !at.After(now) {
		return "is due now"
	}
	return at.Format("2006-01-02 15:04 MST")
}

func (a *Console) runText(r *runlog.Run, failures int) string {
	if r == nil {
		return "none yet"
	}
	words := string(r.Result)
	if r.Result == runlog.Unfinished {
		words = "under way, or broken off without a word"
	}
	if r.Failure != "" {
		words += " (" + r.Failure + ")"
	}
	words += ", begun " + text.Ago(a.Deps().Now().Sub(r.Begun))
	if failures > 1 {
		words += fmt.Sprintf(", %d failures in a row", failures)
	}
	return words
}
