package act

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"allod"
)

// Moment is ENV@WHEN: an environment at a time (design/interface.md).
type Moment struct {
	Environment string
	Live        bool             // the source itself, now
	Snapshot    allod.SnapshotID // this snapshot; 0 = choose by Before
	Before      time.Time        // the newest snapshot whose last read ended at or before; UTC; zero = the newest
	Complete    bool             // only snapshots that close a run (relative moments)
}

// String returns the form that ParseMoment reads.
func (m Moment) String() string {
	switch {
	case m.Live:
		return m.Environment + "@live"
	case m.Snapshot != 0:
		return m.Environment + "@" + strconv.FormatUint(uint64(m.Snapshot), 10)
	case m.Before.IsZero():
		return m.Environment + "@latest"
	default:
		return m.Environment + "@" + m.Before.Format(time.RFC3339)
	}
}

// ParseMoment reads ENV, ENV@latest, ENV@live, ENV@<snapshot>, ENV@<RFC 3339
// time with zone> or ENV@-3d (also h and m). ENV alone is ENV@latest. Invalid
// otherwise; a time without a zone is refused, and the error shows both
// readings.
func ParseMoment(s string, now time.Time, local *time.Location) (Moment, error) {
	env, when, has := strings.Cut(s, "@")
	if env == "" {
		return Moment{}, allod.Errorf(allod.Invalid, "read %q: no environment is named", s)
	}
	m := Moment{Environment: env}
	if !has || when == "latest" {
		return m, nil
	}
	if when == "live" {
		m.Live = true
		return m, nil
	}
	if n, err := strconv.ParseUint(when, 10, 64); err == nil && n > 0 {
		m.Snapshot = allod.SnapshotID(n)
		return m, nil
	}
	if back, ok := strings.CutPrefix(when, "-"); ok {
		d, err := parseBack(back)
		if err != nil {
			return Moment{}, allod.Errorf(allod.Invalid, "read %q: %w", s, err)
		}
		m.Before, m.Complete = now.UTC().Add(-d), true
		return m, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(layout, when); err == nil {
			m.Before = t.UTC()
			if t.Nanosecond() == 0 { // lists show whole seconds: the last instant that they show so
				m.Before = m.Before.Add(time.Second - time.Nanosecond)
			}
			return m, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, when, local); err == nil {
			utc, _ := time.Parse(layout, when) // parsed above with the same layout
			return Moment{}, noZone(s, env, utc, t)
		}
	}
	return Moment{}, allod.WithHint(allod.Errorf(allod.Invalid, "read %q: %q is not a moment", s, when),
		"Write %s@latest, %s@live, %s@<snapshot number>, %s@-3d or %s@%s.", env, env, env, env, env, now.UTC().Format("2006-01-02T15:04Z07:00"))
}

// noZone refuses a time without a zone and shows what it may have meant.
func noZone(s, env string, utc, local time.Time) error {
	layout := "2006-01-02T15:04Z07:00"
	if utc.Second() != 0 {
		layout = time.RFC3339
	}
	err := allod.Errorf(allod.Invalid, "read %q: the time has no zone", s)
	if utc.Equal(local) {
		return allod.WithHint(err, "Write %s@%s: lists show UTC, and this machine's zone is UTC too.", env, utc.Format(layout))
	}
	return allod.WithHint(err, "Write %s@%s for UTC, as lists show it, or %s@%s for this machine's zone.", env, utc.Format(layout), env, local.Format(layout))
}

// parseBack reads a span such as 3d, 12h or 90m.
func parseBack(s string) (time.Duration, error) {
	if len(s) < 2 {
		return 0, fmt.Errorf("%q is not a span of time such as 3d, 12h or 90m", s)
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 20)
	if err != nil {
		return 0, fmt.Errorf("%q is not a span of time such as 3d, 12h or 90m", s)
	}
	unit, ok := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute}[s[len(s)-1]]
	if !ok {
		return 0, fmt.Errorf("%q is not a span of time: it ends in d, h or m", s)
	}
	return time.Duration(n) * unit, nil
}

// pick chooses the snapshot of the moment. NotFound says which there are.
func (m Moment) pick(all []allod.Snapshot) (allod.Snapshot, error) {
	var best *allod.Snapshot
	for i := range all {
		s := &all[i]
		switch {
		case m.Snapshot != 0 && s.ID == m.Snapshot:
			return *s, nil
		case m.Snapshot != 0, m.Complete && !s.Complete, !m.Before.IsZero() && s.To.After(m.Before):
		default:
			best = s
		}
	}
	if best != nil {
		return *best, nil
	}
	err := allod.Errorf(allod.NotFound, "find %s: there is no such snapshot", m)
	if len(all) == 0 {
		return allod.Snapshot{}, allod.WithHint(allod.Errorf(allod.NotFound, "find %s: %s has not been backed up yet", m, m.Environment), "Run `allod backup %s`.", m.Environment)
	}
	return allod.Snapshot{}, allod.WithHint(err, "The oldest is %s@%d of %s; `allod snapshots %s` lists them all.", m.Environment, all[0].ID, all[0].To.Format(time.RFC3339), m.Environment)
}
