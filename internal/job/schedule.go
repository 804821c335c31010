// Package job decides what an Allod that runs by itself does next, and does
// it: schedules, what is due, alarms, and the loop of `allod serve`. What was
// done last is read from the vault and its ledger; there is no second record
// of it that could be lost or could disagree (docs/decisions/0006).
//
// The decisions (Parse, Schedule.Next, Due, Alarms, Forecast) are pure
// functions with reasons; only Server and Desk touch anything.
package job

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"allod"
)

// Schedule says when something is to be done. The zero Schedule is never. Values
// may be shared.
type Schedule struct {
	text  string
	every time.Duration // > 0: an interval, whatever the clock on the wall says
	wall  cron.Schedule // else these minutes of the clock on the wall of zone
	zone  *time.Location
	shift time.Duration // jitter: that much later than the schedule says; see For
}

// The limits of `every`: more often makes no sense for a capture, less often
// than the tokens of change tracking live would read everything every time
// (7 days, protocols/dataverse.md §5.2; 30 days are left to those who want it).
const (
	minEvery = 5 * time.Minute
	maxEvery = 30 * 24 * time.Hour
)

// maxShift is how much jitter moves a run at most, and a tenth of the time
// between two runs is the other limit.
const maxShift = 10 * time.Minute

// Parse reads the text of a schedule. A time of day is one of local unless the
// text ends with a time zone:
//
//	every 1h                          also 15m, 2d; from 5 minutes to 30 days
//	daily at 02:30 Europe/Berlin
//	weekly on sunday at 03:00
//	cron 30 2 * * 1-5 UTC             minute, hour, day of the month, month, day of the week
//	off
//
// The error is Invalid and shows the forms.
func Parse(text string, local *time.Location) (Schedule, error) {
	words := strings.Fields(text)
	s := Schedule{text: strings.Join(words, " "), zone: local}
	var err error
	switch {
	case len(words) == 1 && words[0] == "off":
		return s, nil
	case len(words) == 2 && words[0] == "every":
		s.every, err = interval(words[1])
	case (len(words) == 3 || len(words) == 4) && words[0] == "daily" && words[1] == "at":
		err = s.atClock(words[2], "*", words[3:])
	case (len(words) == 5 || len(words) == 6) && words[0] == "weekly" && words[1] == "on" && words[3] == "at":
		day := slices.Index(weekdays(), strings.ToLower(words[2]))
		if day < 0 {
			err = errors.New("want a day of the week, such as sunday")
			break
		}
		err = s.atClock(words[4], strconv.Itoa(day), words[5:])
	case (len(words) == 6 || len(words) == 7) && words[0] == "cron":
		err = s.atFields(words[1:6], words[6:])
	default:
		err = errors.New("it has none of the known forms")
	}
	if err != nil {
		return Schedule{}, allod.WithHint(allod.Errorf(allod.Invalid, "read the schedule %q: %w", text, err),
			"Write one of: every 1h; daily at 02:30; weekly on sunday at 03:00; cron 30 2 * * 1-5; off. A time of day may be followed by a time zone: daily at 02:30 Europe/Berlin.")
	}
	return s, nil
}

func weekdays() []string {
	return []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
}

func interval(text string) (time.Duration, error) {
	var d time.Duration
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 8)
		if err != nil {
			return 0, errors.New("want a number of days, such as 2d")
		}
		d = time.Duration(n) * 24 * time.Hour
	} else {
		var err error
		if d, err = time.ParseDuration(text); err != nil {
			return 0, errors.New("want a span of time, such as 15m, 1h or 2d")
		}
	}
	if d < minEvery || d > maxEvery {
		return 0, errors.New("want 5 minutes to 30 days")
	}
	return d.Truncate(time.Second), nil
}

// atClock sets HH:MM on a day of the week, "*" for all.
func (s *Schedule) atClock(clock, day string, zone []string) error {
	t, err := time.Parse("15:04", clock)
	if err != nil {
		return errors.New("want a time of day, such as 02:30")
	}
	return s.atFields([]string{strconv.Itoa(t.Minute()), strconv.Itoa(t.Hour()), "*", "*", day}, zone)
}

// atFields sets the five fields of cron, and the zone if one is named.
func (s *Schedule) atFields(fields, zone []string) error {
	if strings.Contains(fields[0], "=") || strings.HasPrefix(fields[0], "@") {
		return errors.New("want five fields: minute, hour, day of the month, month, day of the week")
	}
	if len(zone) == 1 && zone[0] != "local" {
		z, err := time.LoadLocation(zone[0])
		if err != nil {
			return errors.New("want a time zone such as Europe/Berlin or UTC")
		}
		s.zone = z
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(strings.Join(fields, " "))
	if err != nil {
		return err
	}
	if parsed.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return errors.New("there is no such day")
	}
	s.wall = parsed
	return nil
}

// String is the text the schedule was read from.
func (s Schedule) String() string { return cmp.Or(s.text, "off") }

// Off reports whether nothing is ever to be done.
func (s Schedule) Off() bool { return s.every == 0 && s.wall == nil }

// For returns the schedule with the jitter of a name: each name has its own
// place within the interval, or its own minutes after the time of day, always
// the same. So many environments do not all begin at once.
func (s Schedule) For(name string) Schedule {
	if s.Off() {
		return s
	}
	sum := sha256.Sum256([]byte(name))
	spread := s.every
	if s.every == 0 {
		spread = min(s.Gap()/10, maxShift)
	}
	s.shift = time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(max(spread, time.Second))).Truncate(time.Second)
	return s
}

// Gap is the time between two runs, of the first two after New Year 2026 where
// it differs from day to day; 0 if off.
func (s Schedule) Gap() time.Duration {
	if s.Off() || s.every > 0 {
		return s.every
	}
	first := s.wall.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return s.wall.Next(first).Sub(first)
}

// Next returns the first moment after t at which the schedule asks for a run,
// in UTC; the zero time if never. A time of day that a change of the clocks
// leaves out is taken at the change, one that comes twice is taken the first
// time; intervals do not see such changes.
func (s Schedule) Next(t time.Time) time.Time {
	switch {
	case s.Off():
		return time.Time{}
	case s.every > 0:
		first := time.Unix(0, 0).UTC().Add(s.shift)
		passed := floor(t.Unix()-first.Unix(), int64(s.every/time.Second))
		return first.Add(time.Duration(passed+1) * s.every)
	}
	// The fields are looked up on a clock that never changes, and each hit is
	// then placed into the zone. It begins some hours early, as the wall clock
	// may have been set back since.
	face := t.Add(-s.shift).In(s.zone)
	at := time.Date(face.Year(), face.Month(), face.Day(), face.Hour(), face.Minute(), face.Second(), 0, time.UTC).Add(-4 * time.Hour)
	for {
		if at = s.wall.Next(at); at.IsZero() {
			return at
		}
		if next := place(at, s.zone).Add(s.shift); next.After(t) {
			return next.UTC()
		}
	}
}

// floor divides, rounding down for negative numbers too.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// place returns the moment at which the clock on the wall of a zone shows face
// (given in UTC): the first if there are two, the change of the clocks if there
// is none.
func place(face time.Time, zone *time.Location) time.Time {
	_, before := face.Add(-36 * time.Hour).In(zone).Zone()
	_, after := face.Add(36 * time.Hour).In(zone).Zone()
	for _, offset := range []int{max(before, after), min(before, after)} { // the greater offset is the earlier moment
		t := face.Add(-time.Duration(offset) * time.Second)
		if _, is := t.In(zone).Zone(); is == offset {
			return t
		}
	}
	change, _ := face.Add(-time.Duration(before) * time.Second).In(zone).ZoneBounds()
	return change
}
