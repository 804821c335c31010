package job

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDue(t *testing.T) {
	daily, err := Parse("daily at 02:30", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "2026-11-21T12:00:00Z")
	night := at(t, "2026-11-21T02:30:00Z")
	for _, c := range []struct {
		name     string
		schedule Schedule
		past     Past
		due      bool
		at       time.Time
		missed   int
		why      string
	}{
		{"off", Schedule{}, Past{}, false, time.Time{}, 0, "it is switched off"},
		{"never", daily, Past{}, true, now, 0, "it was never done"},
		{"done this night", daily, Past{Begun: night}, false, night.AddDate(0, 0, 1), 0, "it is not time yet"},
		{"missed this night", daily, Past{Begun: night.AddDate(0, 0, -1)}, true, night, 0, "it was missed"},
		{"missed three nights, made up once", daily, Past{Begun: night.AddDate(0, 0, -3)}, true, night, 2, "it is time, and 2 earlier runs were missed"},
		{"by hand in between", daily, Past{Begun: now.Add(-time.Hour)}, false, night.AddDate(0, 0, 1), 0, "it is not time yet"},
		{"the clock was set back", daily, Past{Begun: now.AddDate(1, 0, 0)}, true, now, 0, "the last run lies in the future: the clock was set back"},
		{"the clocks differ a little", daily, Past{Begun: now.Add(30 * time.Second)}, false, night.AddDate(0, 0, 1), 0, "it is not time yet"},
		{"failed just now", daily, Past{Begun: now.Add(-time.Minute), Failures: 1}, false, now.Add(4 * time.Minute), 0, "the last attempt failed"},
		{"failed, time to try again", daily, Past{Begun: now.Add(-10 * time.Minute), Failures: 2}, true, now, 0, "the last 2 attempts failed"},
		{"failed for long", daily, Past{Begun: now.Add(-59 * time.Minute), Failures: 400}, false, now.Add(time.Minute), 0, "the last 400 attempts failed"},
		{"interrupted", daily, Past{Begun: now.Add(-time.Minute), CutOff: true}, true, now.Add(-time.Minute), 0, "the last run was interrupted"},
		{"under way", daily, Past{Begun: now.AddDate(0, 0, -2), Open: true, Stirred: now.Add(-time.Minute)}, false, now.Add(29 * time.Minute), 0, "a run is under way, or broke off without a word"},
		{"silent for long", daily, Past{Begun: now.AddDate(0, 0, -2), Open: true, Stirred: now.Add(-31 * time.Minute)}, true, now.Add(-time.Minute), 0, "the last run broke off without a word"},
		{"another process does it", daily, Past{Begun: night.AddDate(0, 0, -3), Held: now.Add(time.Minute)}, false, now.Add(time.Minute), 0, "another process does it"},
		{"another process has just begun", daily, Past{Held: now.Add(time.Minute)}, false, now.Add(time.Minute), 0, "another process does it"},
		{"its process was killed", daily, Past{Begun: now.Add(-3 * time.Minute), Open: true, Gone: true}, true, now.Add(-3 * time.Minute), 0, "the process that did it is gone"},
		{"done by a machine whose clock is ahead", daily, Past{Begun: now.Add(5 * time.Minute)}, false, night.AddDate(0, 0, 1), 0, "it is not time yet"},
	} {
		got, why := Due(now, c.schedule, c.past)
		if want := (Run{c.due, c.at, c.missed}); got != want || why != c.why {
			t.Errorf("%s: %+v (%s), want %+v (%s)", c.name, got, why, want, c.why)
		}
	}
}

// What is not due now says when it will be, and is due then and not a second
// before; after it was done it is not due again before the next time that the
// schedule names.
func TestDueProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Parse(schedules().Draw(t, "schedule"), time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		s = s.For(rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name"))
		now := moments().Draw(t, "now")
		ago := time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "ago")).Truncate(time.Second)
		p := Past{Begun: now.Add(-ago), Failures: rapid.IntRange(0, 20).Draw(t, "failures")}
		p.Open = rapid.Bool().Draw(t, "open")
		if run, why := Due(now, s, p); !run.Due {
			if !run.At.After(now) {
				t.Fatalf("not due (%s), and next at %s, which is past", why, run.At)
			}
			if again, _ := Due(run.At.Add(-time.Second), s, p); again.Due {
				t.Fatalf("due a second before %s", run.At)
			}
			if again, _ := Due(run.At, s, p); !again.Due {
				t.Fatalf("not due at %s, as was said (%s)", run.At, why)
			}
		} else if run.At.After(now) {
			t.Fatalf("due now (%s), but at %s", why, run.At)
		}
		done := Past{Begun: now}
		if run, why := Due(now, s, done); run.Due || !run.At.Equal(s.Next(now)) {
			t.Fatalf("done, and then %+v (%s)", run, why)
		}
	})
}

// A long outage, whatever its failures: attempts are at least 5 minutes and, the
// schedule permitting, at most an hour apart.
func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 100; n++ {
		d := backoff(n)
		if d < firstBackoff || d > lastBackoff || d < last {
			t.Fatalf("after %d failures %s, before %s", n, d, last)
		}
		last = d
	}
	if last != lastBackoff {
		t.Errorf("in the end %s, want %s", last, lastBackoff)
	}
}
