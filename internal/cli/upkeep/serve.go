// Package upkeep holds the commands of an Allod that runs by itself: serve,
// service, support-bundle, and what the schedules add to status.
package upkeep

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/cli/text"
	"allod/internal/job"
	"allod/internal/runlog"
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
	return []*cobra.Command{a.serveCommand(), a.serviceCommand(), a.supportCommand(), a.completionCommand()}
}

func (a *Console) serveCommand() *cobra.Command {
	var once bool
	var ping string
	cmd := &cobra.Command{
		Use: "serve", Short: "Back up and check by the schedules, and raise alarms", Args: cobra.NoArgs,
		Long: `Do what allod.yaml schedules: back up each environment at its time, check the
vault once a week, and tell people when something needs them. Runs that were
missed are made up once, failed ones are tried again after 5 minutes, then
later. It runs until it is told to end (Ctrl-C, SIGTERM); what was committed by
then stays, and the next start goes on from there. A line per run goes to
stderr.

--once does what is due and ends, for those who have a scheduler already. The
exit code is then that of the worst run.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.Folder()
			if err != nil {
				return err
			}
			deps := a.Deps()
			deps.Passphrase = remembered(deps.Passphrase)
			d := a.desk(dir, deps)
			d.Ping = ping
			if err := d.Check(); err != nil {
				return err
			}
			s := &job.Server{Look: d.Look, Do: d.Do, Tell: d.Tell, Ping: d.SendPing, Wait: job.Sleep, Say: a.say, Now: deps.Now}
			if !once {
				fmt.Fprintf(a.Err, "serving %s; `allod status` says what comes next.\n", dir)
				return s.Run(cmd.Context())
			}
			if err := s.Once(cmd.Context()); err != nil {
				return a.Said(err) // each run has said how it went
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "do what is due, and end")
	cmd.Flags().StringVar(&ping, "ping", "", "`URL` of a dead man's switch: asked for after each run that went well, with /fail after it for others")
	return cmd
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
	open := func(ctx context.Context) (*act.Office, error) { return act.Open(ctx, dir, deps) }
	return &job.Desk{Dir: dir, Open: open, Now: deps.Now, Local: a.Local, Getenv: a.Getenv, Free: job.FreeSpace, Disk: deps.Disk}
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
		s.LastRun, s.Failures = t.Last, t.Past.Failures
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
	if s.NextRun != nil {
		a.para("  ", "  Next backup %s (%s); the last one: %s.", nextText(a.Deps().Now(), *s.NextRun), s.Schedule, a.runText(s.LastRun, s.Failures))
	} else if s.LastRun != nil && s.LastRun.Result != runlog.Done && s.LastRun.Result != runlog.Partial {
		a.para("  ", "  The last attempt: %s.", a.runText(s.LastRun, s.Failures))
	}
	for _, n := range s.Alarms {
		a.para("    ", "  ALARM  %s. %s", n.Text, n.Hint)
	}
}

// ShowChecks says the same of the checks of the vault.
func (a *Console) ShowChecks(v *job.View) {
	for _, t := range v.Tasks {
		if t.What == runlog.Verify && !t.Schedule.Off() {
			a.para("  ", "Next check of the vault %s (%s); the last one: %s.", nextText(a.Deps().Now(), t.Next.At), t.Schedule, a.runText(t.Last, t.Past.Failures))
		}
	}
	for _, n := range v.Alarms {
		if n.Environment == "" {
			a.para("  ", "ALARM  %s. %s", n.Text, n.Hint)
		}
	}
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
