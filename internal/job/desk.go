package job

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/act/keys"
	"allod/internal/act/roles"
	"allod/internal/capture"
	"allod/internal/notify"
	"allod/internal/runlog"
	"allod/internal/vault/compact"
	"allod/internal/vault/lease"
	"allod/internal/vault/verify"
)

// Desk is where a Server meets an Allod: it opens it for every look and every
// task, so that what others did meanwhile, a changed configuration among it,
// counts. Its fields are set before use.
type Desk struct {
	Dir    string // folder of the Allod
	Deps   act.Deps
	Local  *time.Location
	Getenv func(string) string
	Free   func(path string) (uint64, error) // FreeSpace, outside tests
	Ping   string                            // instead of that of the configuration; "" = that
	Term   time.Duration                     // of the leases of tasks; 0 = 2 minutes

	claims claims
}

// usualCheck is when the vault is checked if the configuration does not say.
const usualCheck = "weekly on sunday at 04:00"

// memory is how far back runs are looked for: longer than any interval.
const memory = 40 * 24 * time.Hour

// alarmsFile remembers, inside the folder of the Allod, which alarms were told.
// Without it they are told once more.
const alarmsFile = "derived/alarms.json"

// Look reads the schedules and what became of them.
func (d *Desk) Look(ctx context.Context) (v *View, err error) {
	err = d.with(ctx, func(o *act.Office) error {
		v, err = d.LookAt(ctx, o)
		return err
	})
	return v, err
}

func (d *Desk) with(ctx context.Context, do func(*act.Office) error) error {
	o, err := act.Open(ctx, d.Dir, d.Deps)
	if err != nil {
		return err
	}
	err = do(o)
	return errors.Join(err, o.Close())
}

// LookAt is Look in an open Allod. Nothing is recorded, no row is opened.
func (d *Desk) LookAt(ctx context.Context, o *act.Office) (*View, error) {
	tasks, err := d.tasks(o.Config())
	if err != nil {
		return nil, err
	}
	now := d.Deps.Now()
	for r, err := range o.Runs(ctx, now.Add(-memory)) {
		if err != nil {
			return nil, fmt.Errorf("read what was done so far: %w", err)
		}
		open := false
		for _, h := range tasks {
			h.add(r)
			open = open || !h.settled
		}
		if !open {
			break
		}
	}
	if err := d.readLeases(ctx, o, tasks); err != nil {
		return nil, err
	}
	f := Facts{First: map[string]time.Time{}, Tokens: map[string]time.Time{}, Secrets: map[string]time.Time{}, Days: -1}
	var all []allod.Snapshot
	for _, h := range tasks {
		if h.What == runlog.Backup {
			c, err := o.Captures(ctx, h.Environment)
			if err != nil {
				return nil, err
			}
			if n := len(c.Snapshots); n > 0 && h.Past.Open {
				h.Past.Stirred = c.Snapshots[n-1].To
			}
			all = append(all, c.Snapshots...)
			f.First[h.Environment], f.Tokens[h.Environment] = h.first, c.OldestToken
			f.Secrets[h.Environment] = expiry(o.Config().Environments[h.Environment])
		}
		h.Next, h.Why = Due(now, h.Schedule, h.Past)
		f.Tasks = append(f.Tasks, h.State)
	}
	if free, err := d.Free(o.Path(o.Config().Store)); err == nil { // not known: no forecast
		f.Free, f.FreeOK = free, true
		if days, ok := Forecast(now, free, all); ok {
			f.Days = days
		}
	}
	return &View{Tasks: f.Tasks, Alarms: Alarms(now, f, o.Config().Alarms)}, nil
}

// tasks reads the schedules of a configuration; those that are off are among
// them.
func (d *Desk) tasks(c *act.Config) ([]*history, error) {
	var out []*history
	add := func(t Task, text string) error {
		s, err := Parse(text, d.Local)
		if err != nil {
			return fmt.Errorf("%s in %s: %w", t.Name(), act.ConfigFile, err)
		}
		t.Schedule = s.For(t.Name())
		out = append(out, &history{State: State{Task: t}})
		return nil
	}
	some := false
	for _, env := range slices.Sorted(maps.Keys(c.Environments)) {
		text := cmp.Or(c.Environments[env].Schedule, "off")
		if day := c.Environments[env].SecretExpires; day != "" {
			if _, err := time.Parse(time.DateOnly, day); err != nil {
				return nil, allod.WithHint(allod.Errorf(allod.Invalid, "%s in %s: secret_expires is no day", env, act.ConfigFile), "Write it as 2027-03-01.")
			}
		}
		some = some || text != "off"
		if err := add(Task{What: runlog.Backup, Environment: env}, text); err != nil {
			return nil, err
		}
	}
	check := cmp.Or(c.Verify, usualCheck)
	if !some && c.Verify == "" {
		check = "off" // nothing runs by itself here
	}
	if err := add(Task{What: runlog.Verify}, check); err != nil || c.Compact == "" {
		return out, err
	}
	err := add(Task{What: runlog.Compact}, c.Compact)
	return out, err
}

// expiry is when what an environment is signed in to with ends; zero = not
// known. A certificate says it itself.
func expiry(c act.Connection) time.Time {
	if day, err := time.Parse(time.DateOnly, c.SecretExpires); err == nil {
		return day
	}
	b, err := os.ReadFile(c.Certificate)
	if err != nil {
		return time.Time{} // there is none, or the sign-in says what is wrong with it
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			return cert.NotAfter.UTC()
		}
	}
	return time.Time{}
}

// againAfterConflict is how often a capture begins again at once when another
// process committed before it what it had to commit first: two environments
// that are captured for the first time at once reach for the same number.
const againAfterConflict = 3

// Do does one task, carries on the erasures that wait, renews the locks of the
// slots, and says in a line how it went. The error is Partial for gaps that nobody chose, and what act says of it
// else.
func (d *Desk) Do(ctx context.Context, t Task) (line string, err error) {
	begun := d.Deps.Now()
	err = keys.Holding(ctx, d.Dir, d.Deps, func(ctx context.Context, o *act.Office) (err error) {
		line, err = d.do(ctx, o, t)
		return err
	})
	if ctx.Err() == nil {
		// This has the keys for no longer than a command, and what it finds to be
		// pending is not this process.
		err = errors.Join(err, d.with(ctx, func(o *act.Office) error {
			n, err := erasure.Carry(ctx, o)
			if err != nil {
				err = fmt.Errorf("carry on the erasures: %w", err)
			} else if n > 0 {
				line += fmt.Sprintf("; %d erasures carried on", n)
			}
			if _, e := keys.Renew(ctx, o); e != nil { // whatever became of the task: locks run out
				err = errors.Join(err, fmt.Errorf("renew the locks of slots: %w", e))
			}
			return err
		}))
	}
	word := "done"
	if err != nil {
		word = outcome(ctx, err)
	}
	return strings.TrimSuffix(fmt.Sprintf("%s in %s: %s", word, d.Deps.Now().Sub(begun).Round(time.Second), line), ": "), err
}

func (d *Desk) do(ctx context.Context, o *act.Office, t Task) (line string, err error) {
	if t.What == runlog.Verify {
		rep, err := o.Verify(ctx, verify.Options{Sample: 0.05})
		return fmt.Sprintf("%d objects checked, %d rows opened, %d bad", rep.Objects, rep.Rows, len(rep.Bad)), err
	}
	if t.What == runlog.Compact {
		r, err := roles.Compact(ctx, o, compact.Options{}, false)
		packs, made, removed := 0, 0, 0
		for _, m := range r.Merged {
			packs, made = packs+m.Packs, made+m.PacksMade
		}
		for _, old := range r.Replaced {
			removed += old.Removed
		}
		return fmt.Sprintf("%d packs merged into %d, %d removed", packs, made, removed), err
	}
	res, err := o.Backup(ctx, t.Environment, capture.Options{Progress: d.claims.progress})
	for range againAfterConflict {
		if allod.KindOf(err) != allod.Conflict || ctx.Err() != nil {
			break
		}
		res, err = o.Backup(ctx, t.Environment, capture.Options{Progress: d.claims.progress})
	}
	if res == nil {
		return "", err
	}
	line = fmt.Sprintf("snapshot %d: %d rows, %d created, %d updated, %d deleted, %d gaps, %d bytes stored", res.Snapshot, res.Rows, res.Created, res.Updated, res.Deleted, len(res.Gaps), res.StoredBytes)
	for _, a := range res.Alarms {
		line += "; ALARM " + a
	}
	if err == nil && res.Partial() {
		err = allod.WithHint(allod.Errorf(allod.Partial, "some of it could not be read"), "`allod status %s` lists it.", t.Environment)
	}
	return line, err
}

// outcome says on one line what went wrong and what to do.
func outcome(ctx context.Context, err error) string {
	if errors.Is(context.Cause(ctx), lease.ErrHeld) {
		return "given up: another process has taken it over"
	}
	if ctx.Err() != nil {
		return "interrupted; what was committed is kept, the next run goes on from there"
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if hint := allod.HintOf(err); hint != "" {
		text += " — " + strings.Join(strings.Fields(hint), " ")
	}
	if allod.KindOf(err) == allod.Partial {
		return "done in part (" + text + ")"
	}
	return "FAILED (" + allod.KindOf(err).String() + ": " + text + ")"
}

// sender makes what people are told with.
func (d *Desk) sender() (*notify.Sender, error) {
	config, err := act.ReadConfig(d.Dir)
	if err != nil {
		return nil, err
	}
	c := config.Alarms
	c.Ping = cmp.Or(d.Ping, c.Ping)
	var ca []byte
	if c.CAFile != "" {
		if ca, err = os.ReadFile(c.CAFile); err != nil {
			return nil, allod.WithHint(allod.Errorf(allod.Invalid, "read the alarms of the configuration: ca_file: %w", err), "Name a PEM file.")
		}
	}
	return notify.New(c, ca, d.Getenv, d.Deps.Now)
}

// Check reads the configuration as far as it concerns schedules and alarms:
// Invalid when nothing is to be done by itself, or nobody could be told.
func (d *Desk) Check() error {
	if _, err := d.sender(); err != nil {
		return err
	}
	config, err := act.ReadConfig(d.Dir)
	if err != nil {
		return err
	}
	tasks, err := d.tasks(config)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if !t.Schedule.Off() {
			return nil
		}
	}
	err = allod.Errorf(allod.Invalid, "serve: nothing is scheduled")
	return allod.WithHint(err, "Give an environment a schedule in %s, e.g. `schedule: daily at 02:30`.", filepath.Join(d.Dir, act.ConfigFile))
}

// SendPing tells the dead man's switch how a task went.
func (d *Desk) SendPing(ctx context.Context, good bool) error {
	s, err := d.sender()
	if err != nil {
		return err
	}
	return s.Ping(ctx, good)
}

// Tell tells people what of the alarms is news to them, and returns that. What
// could not be delivered counts as not told.
func (d *Desk) Tell(ctx context.Context, active []notify.Notice) ([]notify.Notice, error) {
	tell, after := News(d.Deps.Now(), d.told(), active)
	if len(tell) == 0 {
		return nil, nil
	}
	s, err := d.sender()
	if err != nil {
		return tell, err
	}
	if err := s.Tell(ctx, tell); err != nil {
		return tell, err
	}
	b, err := json.MarshalIndent(after, "", "  ")
	path := filepath.Join(d.Dir, alarmsFile)
	if err == nil {
		err = d.Deps.Disk.MkdirAll(filepath.Dir(path))
	}
	if err == nil {
		err = d.Deps.Disk.Replace(path, append(b, '\n'))
	}
	if err != nil {
		return tell, fmt.Errorf("remember which alarms were told: %w", err)
	}
	return tell, nil
}

// told is what people were told of; nothing when that cannot be read: it is
// told once more then.
func (d *Desk) told() map[string]Told {
	told := map[string]Told{}
	f, err := os.Open(filepath.Join(d.Dir, alarmsFile))
	if err != nil {
		return told
	}
	defer func() { _ = f.Close() }() // only read
	if err := json.NewDecoder(io.LimitReader(f, maxAlarms)).Decode(&told); err != nil || told == nil {
		return map[string]Told{}
	}
	return told
}

// maxAlarms bounds the file of alarms, in bytes.
const maxAlarms = 1 << 20
