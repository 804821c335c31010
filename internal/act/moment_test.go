package act

import (
	"strings"
	"testing"
	"time"

	"allod"
)

func snapshotsAt(ends ...time.Time) []allod.Snapshot {
	var all []allod.Snapshot
	for i, t := range ends {
		all = append(all, allod.Snapshot{ID: allod.SnapshotID(i + 1), To: t, Complete: i != 1})
	}
	return all
}

// A moment chooses the newest snapshot that had ended; a time in whole seconds,
// as lists show it, means all of that second.
func TestMoment(t *testing.T) {
	base := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	all := snapshotsAt(base.Add(154*time.Millisecond), base.Add(time.Hour), base.Add(24*time.Hour))
	now := base.Add(36 * time.Hour)
	for _, c := range []struct {
		text string
		want allod.SnapshotID // 0 = there is none
	}{
		{"prod", 3},
		{"prod@latest", 3},
		{"prod@2", 2},
		{"prod@4", 0},
		{"prod@2026-11-20T10:00:00Z", 1},
		{"prod@2026-11-20T10:00:00.153Z", 0},
		{"prod@2026-11-20T10:00:00.154Z", 1},
		{"prod@2026-11-20T09:59:59Z", 0},
		{"prod@2026-11-20T12:00:00+01:00", 2},
		{"prod@2026-11-20T23:00Z", 2},
		{"prod@-1d", 1}, // the second is not complete
		{"prod@-40h", 0},
	} {
		m, err := ParseMoment(c.text, now, time.UTC)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		again, err := ParseMoment(m.String(), now, time.UTC)
		if s, ok := m.pick(all); (ok == nil) != (c.want != 0) || s.ID != c.want {
			t.Errorf("%s: snapshot %d, %v, want %d", c.text, s.ID, ok, c.want)
		}
		if err != nil || !again.Before.Truncate(time.Second).Equal(m.Before.Truncate(time.Second)) || again.Snapshot != m.Snapshot {
			t.Errorf("%s: %s reads as another moment: %v", c.text, m, err)
		}
	}
}

// A time without a zone is refused, with what to write instead.
func TestMomentWithoutZone(t *testing.T) {
	cet := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		text  string
		local *time.Location
		want  string
	}{
		{"prod@2026-11-21T14:00", cet, "Write prod@2026-11-21T14:00Z for UTC, as lists show it, or prod@2026-11-21T14:00+01:00 for this machine's zone."},
		{"prod@2026-11-21 14:24:33", cet, "Write prod@2026-11-21T14:24:33Z for UTC, as lists show it, or prod@2026-11-21T14:24:33+01:00 for this machine's zone."},
		{"prod@2026-11-21T14:00", time.UTC, "Write prod@2026-11-21T14:00Z: lists show UTC, and this machine's zone is UTC too."},
		{"prod@2026-11-21", cet, "Write prod@2026-11-21T00:00Z for UTC"},
	} {
		_, err := ParseMoment(c.text, time.Now(), c.local)
		if allod.KindOf(err) != allod.Invalid || !strings.HasPrefix(allod.HintOf(err), c.want) {
			t.Errorf("%s: %v, hint %q, want %q", c.text, err, allod.HintOf(err), c.want)
		}
	}
}
