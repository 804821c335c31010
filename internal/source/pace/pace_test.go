package pace_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
	_ "time/tzdata" // also where the machine has no time zones

	"allod"
	"allod/internal/source/pace"
)

func TestWindowWait(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day int, clock string) time.Time {
		c, err := time.Parse("15:04", clock)
		if err != nil {
			t.Fatal(err)
		}
		return time.Date(2026, 3, day, c.Hour(), c.Minute(), 0, 0, vienna)
	}
	for _, c := range []struct {
		window pace.Window
		now    time.Time
		want   time.Duration
		long   time.Duration
	}{
		{"", at(2, "12:00"), 0, 24 * time.Hour},
		{"08:00-18:00", at(2, "08:00"), 0, 10 * time.Hour},
		{"08:00-18:00", at(2, "17:59"), 0, 10 * time.Hour},
		{"08:00-18:00", at(2, "18:00"), 14 * time.Hour, 10 * time.Hour},
		{"08:00-18:00", at(2, "07:30"), 30 * time.Minute, 10 * time.Hour},
		{"22:00-06:00", at(2, "23:00"), 0, 8 * time.Hour},
		{"22:00-06:00", at(2, "05:59"), 0, 8 * time.Hour},
		{"22:00-06:00", at(2, "06:00"), 16 * time.Hour, 8 * time.Hour},
		// 2026-03-29 is an hour short.
		{"12:00-13:00", at(28, "13:00"), 22 * time.Hour, time.Hour},
		{"12:00-11:00", at(2, "11:30"), 30 * time.Minute, 23 * time.Hour},
	} {
		if got := c.window.Wait(c.now); got != c.want {
			t.Errorf("%s at %s: wait %s, want %s", c.window, c.now, got, c.want)
		}
		if got := c.window.Long(); got != c.long {
			t.Errorf("%s is open for %s, want %s", c.window, got, c.long)
		}
	}
	for _, bad := range []pace.Window{"22:00", "22-6", "25:00-06:00", "06:00-06:00", "-", "a-b"} {
		if err := (pace.Pace{Window: bad}).Check(); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestOver(t *testing.T) {
	got := pace.Pace{MaxConcurrency: 2}.Over(pace.Pace{MaxConcurrency: 9, MaxRequestsPerDay: 7, Window: "22:00-06:00"})
	if got != (pace.Pace{MaxConcurrency: 2, MaxRequestsPerDay: 7, Window: "22:00-06:00"}) {
		t.Errorf("got %+v", got)
	}
	if s := got.String(); s != "at most 2 requests at once, 7 a day, between 22:00 and 06:00" {
		t.Error(s)
	}
}

// Requests are counted over 24 hours, over processes that come one after the other
// and over such that run beside each other.
func TestDay(t *testing.T) {
	now := time.Date(2026, 11, 21, 23, 58, 30, 0, time.UTC)
	dir := filepath.Join(t.TempDir(), "requests", "prod")
	take := func(d *pace.Day, n int) int {
		t.Helper()
		for i := range n {
			ok, err := d.Take(now)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return i
			}
		}
		return n
	}
	one := &pace.Day{Most: 10, Dir: dir}
	if got := take(one, 4); got != 4 {
		t.Fatalf("the first: %d", got)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(3 * time.Minute) // the next day
	two, three := &pace.Day{Most: 10, Dir: dir}, &pace.Day{Most: 10, Dir: dir}
	if got := take(two, 3); got != 3 {
		t.Fatalf("the next process: %d", got)
	}
	now = now.Add(time.Minute)
	take(two, 1) // writes down the minute before
	if got := take(three, 9); got != 3 {
		t.Errorf("beside it: %d of the 3 that are known to be left", got)
	}
	now = now.Add(25 * time.Hour)
	if err := three.Close(); err != nil {
		t.Fatal(err)
	}
	if got := take(&pace.Day{Most: 10, Dir: dir}, 20); got != 10 {
		t.Errorf("a day later: %d", got)
	}
	now = now.Add(72 * time.Hour)
	take(&pace.Day{Most: 10, Dir: dir}, 1)
	if _, err := os.Stat(filepath.Join(dir, "2026-11-21")); err == nil {
		t.Error("old counts are kept")
	}
	if ok, err := (&pace.Day{}).Take(now); !ok || err != nil {
		t.Error("without a limit")
	}
}

func TestDayIsNoList(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{"x", "12:00", "12:00 -1\n", "25:00 1\n", "12:00 99999999999999999999\n", "12:00 1 2\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "2026-11-21"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (&pace.Day{Most: 5, Dir: dir}).Take(now); allod.KindOf(err) != allod.Corrupt || allod.HintOf(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
