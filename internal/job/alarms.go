package job

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/notify"
	"allod/internal/runlog"
)

// Facts are what alarms are decided from. Times are UTC.
type Facts struct {
	Tasks   []State
	First   map[string]time.Time // by environment: begin of the oldest attempt since the last good one
	Tokens  map[string]time.Time // by environment: oldest change-tracking token; zero = none
	Secrets map[string]time.Time // by environment: when its secret or certificate expires; zero = not known
	Days    float64              // until the disk is full at the growth so far; < 0 = not known
	Free    uint64               // bytes free where the vault lies; only with FreeOK
	FreeOK  bool
}

// What alarms are raised at, where the configuration names nothing else.
const (
	usualAge    = 26 * time.Hour
	usualSlack  = 2 * time.Hour      // beyond the time between two runs
	tokenAge    = 3 * 24 * time.Hour // of 7 days that tokens live: protocols/dataverse.md §5.2, design/capture.md
	diskDays    = 14
	secretDays  = 21
	leastFree   = 1 << 30 // bytes
	mayPass     = 3       // failures in a row that nobody is told of, if they may pass by themselves
	tellAgain   = 24 * time.Hour
	dayOfPeople = "2006-01-02"
)

// Alarms decides what people are to be told. It is a pure function; each notice
// has the numbers it was decided from. Only what has a schedule is judged.
func Alarms(now time.Time, f Facts, c notify.Config) []notify.Notice {
	var out []notify.Notice
	raise := func(kind, env, hint string, since time.Time, format string, args ...any) {
		out = append(out, notify.Notice{Kind: kind, Environment: env, Text: fmt.Sprintf(format, args...), Hint: hint, Since: since.UTC()})
	}
	for _, t := range f.Tasks {
		if t.Schedule.Off() {
			continue
		}
		if t.What == runlog.Verify {
			checkAlarm(t, raise)
			continue
		}
		if t.What == runlog.Compact {
			failing(t, "the compaction of the vault", raise)
			continue
		}
		env := t.Environment
		backupAlarms(now, t, f.First[env], c, raise)
		if at := f.Tokens[env]; !at.IsZero() && now.Sub(at) > tokenAge {
			raise("token-age", env, "Let a backup succeed before they are 7 days old, or the next one reads everything.", at.Add(tokenAge),
				"%s: the change-tracking tokens are %s old", env, days(now.Sub(at)))
		}
		warn := time.Duration(cmp.Or(c.SecretDays, secretDays)) * 24 * time.Hour
		if at := f.Secrets[env]; !at.IsZero() && at.Sub(now) < warn {
			raise("secret-expiry", env, "Make a new one in Entra, put it in place, and set secret_expires in allod.yaml.", at.Add(-warn), "%s: its secret expires on %s", env, at.Format(dayOfPeople))
		}
	}
	least := float64(cmp.Or(c.DiskDays, diskDays))
	switch {
	case f.FreeOK && f.Free < leastFree:
		raise("disk", "", "Make room where the vault lies; a backup that finds none stores nothing and harms nothing.", now, "the disk of the vault has %d MiB left", f.Free>>20)
	case f.Days >= 0 && f.Days < least:
		raise("disk", "", "Make room where the vault lies; a backup that finds none stores nothing and harms nothing.", now, "the disk of the vault is full in about %.0f days", f.Days)
	}
	return out
}

type raiser func(kind, env, hint string, since time.Time, format string, args ...any)

func checkAlarm(t State, raise raiser) {
	if r := t.Last; r != nil && r.Counts[runlog.Bad] > 0 {
		raise("corrupt", "", "Run `allod vault verify`; it names each object, and docs/night.md says what to do.", r.Ended, "the last check of the vault found %d objects that are not what was stored", r.Counts[runlog.Bad])
		return
	}
	failing(t, "the check of the vault", raise)
}

func backupAlarms(now time.Time, t State, first time.Time, c notify.Config, raise raiser) {
	env := t.Environment
	limit := cmp.Or(c.MaxAge, max(usualAge, t.Schedule.Gap()+usualSlack))
	const look = "Run `allod status`, then `allod backup` by hand to see why."
	switch {
	case !t.Good.IsZero() && now.Sub(t.Good) > limit:
		raise("too-old", env, look, t.Good.Add(limit), "%s: the last backup that came to its end is %s old", env, days(now.Sub(t.Good)))
	case t.Good.IsZero() && !first.IsZero() && now.Sub(first) > limit:
		raise("too-old", env, look, first.Add(limit), "%s: no backup has come to its end since it was begun %s ago", env, days(now.Sub(first)))
	}
	failing(t, env+": the backup", raise)
	r := t.Last
	if r == nil {
		return
	}
	if n := r.Counts[runlog.Open]; n > 0 && r.Result == runlog.Partial {
		raise("gaps", env, "`allod status "+env+"` lists them.", r.Ended, "%s: the last backup has %d gaps that nobody chose", env, n)
	}
	if n := r.Counts[runlog.Alarms]; n > 0 {
		raise("mass-change", env, "Look at it with `allod snapshots "+env+"` and `allod diff`; docs/night.md says how to bring rows back.", r.Ended, "%s: the last backup found that unusually many rows were deleted, in %d tables", env, n)
	}
}

// failing tells of failures that do not pass by themselves at once, and of
// others when they have not passed after a few attempts.
func failing(t State, what string, raise raiser) {
	r := t.Last
	if r == nil || t.Past.Failures == 0 {
		return
	}
	passing := r.Result != runlog.Broken || r.Kind == allod.Unavailable || r.Kind == allod.Conflict || r.Kind == allod.Internal
	if passing && t.Past.Failures < mayPass {
		return
	}
	raise("failing", t.Environment, "Do it by hand to see why: the message says what to do.", r.Begun, "%s has failed %s, the last time as %s", what, times(t.Past.Failures), cmp.Or(r.Failure, string(r.Result)))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times in a row", n)
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// Forecast estimates the days until free bytes are used up, from what the
// captures of the last 30 days have stored. First reads of everything are left
// out: they are not repeated. ok is false while less than a day is known.
func Forecast(now time.Time, free uint64, all []allod.Snapshot) (days float64, ok bool) {
	const window = 30 * 24 * time.Hour
	begun := map[string]uint64{} // environment → its line, once the first run of it is complete
	var from time.Time
	var bytes float64
	for _, s := range all {
		if begun[s.Environment] != s.Line {
			if s.Complete {
				begun[s.Environment] = s.Line
				if from.IsZero() || s.To.Before(from) {
					from = s.To
				}
			}
			continue
		}
		if now.Sub(s.To) <= window && s.StoredBytes > 0 {
			bytes += float64(s.StoredBytes)
		}
	}
	if from.IsZero() {
		return 0, false
	}
	span := min(now.Sub(from), window).Hours() / 24
	if span < 1 || bytes == 0 {
		return 0, false
	}
	return float64(free) / (bytes / span), true
}

// Told is an alarm that people were told of.
type Told struct {
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
	Told  time.Time `json:"told"`
}

// News compares the alarms there are with those that people were told of. It
// returns what to tell them now (what is new, what is still so a day later, what
// is over), and what they will have been told then.
func News(now time.Time, told map[string]Told, active []notify.Notice) (tell []notify.Notice, after map[string]Told) {
	after = map[string]Told{}
	for _, n := range active {
		key := n.Kind + " " + n.Environment
		before, known := told[key]
		if known && now.Sub(before.Told) < tellAgain && !before.Told.After(now) {
			after[key] = before
			continue
		}
		if known {
			n.Since = before.Since
		}
		after[key] = Told{n.Text, n.Since, now.UTC()}
		tell = append(tell, n)
	}
	for _, key := range slices.Sorted(maps.Keys(told)) {
		if _, still := after[key]; !still {
			kind, env, _ := strings.Cut(key, " ")
			tell = append(tell, notify.Notice{Kind: kind, Environment: env, Text: told[key].Text, Since: told[key].Since, Over: true})
		}
	}
	return tell, after
}
