package job

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"allod"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ name, schedule, after, want string }{
		{"later today", "daily at 02:30", "2026-11-21T00:00:00+01:00", "2026-11-21T02:30:00+01:00"},
		{"not the same moment again", "daily at 02:30", "2026-11-21T02:30:00+01:00", "2026-11-22T02:30:00+01:00"},
		{"in a named zone", "daily at 02:30 UTC", "2026-11-21T03:00:00+01:00", "2026-11-21T02:30:00Z"},
		{"local by name", "daily at 02:30 local", "2026-11-21T03:00:00+01:00", "2026-11-22T02:30:00+01:00"},
		{"left out by the clocks", "daily at 02:30", "2026-03-28T12:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"the day after it was left out", "daily at 02:30", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"},
		{"first of two", "daily at 02:30", "2026-10-24T12:00:00+02:00", "2026-10-25T02:30:00+02:00"},
		{"not the second of two", "daily at 02:30", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		{"between the two", "daily at 02:30", "2026-10-25T02:10:00+01:00", "2026-10-26T02:30:00+01:00"},
		{"an interval does not see clocks", "every 1h", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"},
		{"an interval of days", "every 2d", "1970-01-01T00:00:00Z", "1970-01-03T00:00:00Z"},
		{"before the epoch", "every 1h", "1969-12-31T22:30:00Z", "1969-12-31T23:00:00Z"},
		{"weekly", "weekly on Sunday at 04:00", "2026-11-21T12:00:00Z", "2026-11-22T04:00:00+01:00"},
		{"working days", "cron 30 2 * * 1-5", "2026-11-20T12:00:00Z", "2026-11-23T02:30:00+01:00"},
		{"a leap day", "cron 0 0 29 2 * UTC", "2026-11-20T12:00:00Z", "2028-02-29T00:00:00Z"},
		{"a zone that skipped a day", "daily at 12:00 Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00"},
	} {
		s, err := Parse(c.schedule, berlin(t))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got, want := s.Next(at(t, c.after)), at(t, c.want); !got.Equal(want) {
			t.Errorf("%s: %q after %s: %s, want %s", c.name, c.schedule, c.after, got, want.UTC())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", "hourly", "every", "every 1", "every 1s", "every 4m59s", "every 31d", "every -1h", "every 999999999999h", "every d",
		"daily", "daily at", "daily at 24:00", "daily at 2", "daily at 02:30 Mars/Olympus", "daily at 02:30 ../../etc/passwd", "daily at 02:30 UTC now",
		"weekly on funday at 03:00", "weekly on 1 at 03:00", "cron", "cron * * * *", "cron 60 * * * *", "cron 0 0 31 2 *", "cron @daily", "cron TZ=UTC * * * *",
		"cron TZ=0 0 0 1 1", "cron @every 1s 1 1 1", "off now",
	} {
		s, err := Parse(text, time.UTC)
		if err == nil {
			t.Errorf("%q was taken as %v", text, s)
			continue
		}
		if allod.KindOf(err) != allod.Invalid || !strings.Contains(allod.HintOf(err), "every 1h") {
			t.Errorf("%q: %v (%v), hint %q", text, err, allod.KindOf(err), allod.HintOf(err))
		}
	}
}

// schedules draws the text of a schedule of every form.
func schedules() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"every 5m", "every 15m", "every 1h", "every 7h", "every 1d", "every 30d", "cron */5 * * * *", "cron 0 0 1 * *", "cron 15 1-4 * * 0,6"}),
		rapid.Custom(func(t *rapid.T) string {
			zone := rapid.SampledFrom([]string{"", " UTC", " Europe/Berlin", " America/New_York", " Australia/Lord_Howe", " Asia/Kathmandu", " America/St_Johns"}).Draw(t, "zone")
			clock := time.Date(2026, 1, 1, 0, rapid.IntRange(0, 1439).Draw(t, "minute"), 0, 0, time.UTC).Format("15:04")
			if rapid.Bool().Draw(t, "daily") {
				return "daily at " + clock + zone
			}
			return "weekly on " + rapid.SampledFrom(weekdays()).Draw(t, "day") + " at " + clock + zone
		}),
	)
}

func moments() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "unix"), 0).UTC()
	})
}

// Whatever the zone does: the next run is later, nothing is left out between,
// later moments have no earlier next run, and jitter stays small and the same.
func TestNextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := schedules().Draw(t, "schedule")
		plain, err := Parse(text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		name := rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name")
		s := plain.For(name)
		from := moments().Draw(t, "from")
		next := s.Next(from)
		if !next.After(from) {
			t.Fatalf("%q after %s: %s is not later", text, from, next)
		}
		if got := s.Next(next.Add(-time.Second)); !got.Equal(next) {
			t.Fatalf("%q: a second before %s the next is %s", text, next, got)
		}
		between := from.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(from))-1).Draw(t, "between")))
		if got := s.Next(between); !got.Equal(next) {
			t.Fatalf("%q: after %s %s, but after %s in between %s", text, from, next, between, got)
		}
		if again, _ := Parse(text, time.UTC); !again.For(name).Next(from).Equal(next) {
			t.Fatalf("%q: another time for the same name", text)
		}
		if s.every == 0 && (s.shift < 0 || s.shift > maxShift || s.shift > s.Gap()/10) {
			t.Fatalf("%q: jitter of %s", text, s.shift)
		}
		if s.wall != nil {
			checkFace(t, s, next)
		}
	})
}

// checkFace: the clock on the wall shows what the schedule asks for, or its
// zone changed just then.
func checkFace(t *rapid.T, s Schedule, next time.Time) {
	face := next.Add(-s.shift).In(s.zone)
	naive := time.Date(face.Year(), face.Month(), face.Day(), face.Hour(), face.Minute(), face.Second(), 0, time.UTC)
	if s.wall.Next(naive.Add(-time.Second)).Equal(naive) {
		return
	}
	if change, _ := face.ZoneBounds(); !change.Equal(face) {
		t.Fatalf("%q: %s is neither asked for nor a change of the clocks", s, face)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"every 1h", "daily at 02:30 Europe/Berlin", "weekly on sunday at 03:00", "cron 30 2 * * 1-5 UTC", "off", "cron TZ= * * * *", "cron 0-59/1 */2 ? JAN MON"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text, time.UTC)
		if err != nil || s.Off() {
			return
		}
		if next := s.For("prod").Next(now); !next.After(now) && !next.IsZero() {
			t.Errorf("%q: next is %s", text, next)
		}
		if _, err := Parse(s.String(), time.UTC); err != nil {
			t.Errorf("%q is shown as %q, which is refused: %v", text, s, err)
		}
	})
}
