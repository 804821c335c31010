package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/job"
	"allod/internal/runlog"
)

func (a *app) serveCommand() *cobra.Command {
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
			dir, err := a.folder()
			if err != nil {
				return err
			}
			a.rememberPassphrase()
			d := a.desk(dir)
			d.Ping = ping
			if err := d.Check(); err != nil {
				return err
			}
			s := &job.Server{Look: d.Look, Do: d.Do, Tell: d.Tell, Ping: d.SendPing, Wait: job.Sleep, Say: a.say, Now: a.deps.Now}
			if !once {
				a.errf("serving %s; `allod status` says what comes next.\n", dir)
				return s.Run(cmd.Context())
			}
			if err := s.Once(cmd.Context()); err != nil {
				return &silent{err} // each run has said how it went
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "do what is due, and end")
	cmd.Flags().StringVar(&ping, "ping", "", "`URL` of a dead man's switch: asked for after each run that went well, with /fail after it for others")
	return cmd
}

// say writes a line of the log: when, and what.
func (a *app) say(format string, args ...any) {
	a.errf("%s %s\n", a.deps.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
}

// desk is where the schedules of a folder are looked at.
func (a *app) desk(dir string) *job.Desk {
	open := func(ctx context.Context) (*act.Office, error) { return act.Open(ctx, dir, a.deps.Deps) }
	return &job.Desk{Dir: dir, Open: open, Now: a.deps.Now, Local: a.deps.Local, Getenv: a.deps.Getenv, Free: job.FreeSpace, Disk: a.deps.Disk}
}

// rememberPassphrase asks for the passphrase once, although the vault is opened
// many times.
func (a *app) rememberPassphrase() {
	ask, said := a.deps.Passphrase, []byte(nil)
	a.deps.Passphrase = func(confirm bool) ([]byte, error) {
		if said != nil {
			return append([]byte(nil), said...), nil
		}
		p, err := ask(confirm)
		if err == nil {
			said = append(said, p...)
		}
		return p, err
	}
}

// schedule adds to a status what the schedules say.
func schedule(s *act.EnvironmentStatus, v *job.View) {
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

// showRuns says when the next run is, and how the last one went if that is news.
func (a *app) showRuns(s *act.EnvironmentStatus) {
	if s.NextRun != nil {
		a.para("  ", "  Next backup %s (%s); the last one: %s.", nextText(a.deps.Now(), *s.NextRun), s.Schedule, a.runText(s.LastRun, s.Failures))
	} else if s.LastRun != nil && s.LastRun.Result != runlog.Done && s.LastRun.Result != runlog.Partial {
		a.para("  ", "  The last attempt: %s.", a.runText(s.LastRun, s.Failures))
	}
	for _, n := range s.Alarms {
		a.para("    ", "  ALARM  %s. %s", n.Text, n.Hint)
	}
}

// showChecks says the same of the checks of the vault.
func (a *app) showChecks(v *job.View) {
	for _, t := range v.Tasks {
		if t.What == runlog.Verify && !t.Schedule.Off() {
			a.para("  ", "Next check of the vault %s (%s); the last one: %s.", nextText(a.deps.Now(), t.Next.At), t.Schedule, a.runText(t.Last, t.Past.Failures))
		}
	}
	for _, n := range v.Alarms {
		if n.Environment == "" {
			a.para("  ", "ALARM  %s. %s", n.Text, n.Hint)
		}
	}
}

func nextText(now, at time.Time) string {
	if !at.After(now) {
		return "is due now"
	}
	return at.Format("2006-01-02 15:04 MST")
}

func (a *app) runText(r *runlog.Run, failures int) string {
	if r == nil {
		return "none yet"
	}
	text := string(r.Result)
	if r.Result == runlog.Unfinished {
		text = "under way, or broken off without a word"
	}
	if r.Failure != "" {
		text += " (" + r.Failure + ")"
	}
	text += ", begun " + agoText(a.deps.Now().Sub(r.Begun))
	if failures > 1 {
		text += fmt.Sprintf(", %d failures in a row", failures)
	}
	return text
}
