package job

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
	"allod/internal/notify"
	"allod/internal/runlog"
)

func TestHistory(t *testing.T) {
	base := at(t, "2026-11-21T00:00:00Z")
	run := func(hours int, result runlog.Result, more ...func(*runlog.Run)) runlog.Run {
		r := runlog.Run{Task: runlog.Backup, Environment: "prod", Begun: base.Add(time.Duration(hours) * time.Hour), Result: result}
		if result != runlog.Unfinished {
			r.Ended = r.Begun.Add(time.Minute)
		}
		for _, do := range more {
			do(&r)
		}
		return r
	}
	narrowed := func(r *runlog.Run) { r.Counts = map[string]int64{runlog.Narrowed: 1} }
	other := func(r *runlog.Run) { r.Environment = "test" }
	for _, c := range []struct {
		name string
		runs []runlog.Run // the newest first
		past Past
		good time.Time
	}{
		{"nothing", nil, Past{}, time.Time{}},
		{"others alone", []runlog.Run{run(3, runlog.Done, other), run(2, runlog.Done, narrowed)}, Past{}, time.Time{}},
		{"done", []runlog.Run{run(3, runlog.Done), run(2, runlog.Broken)}, Past{Begun: base.Add(3 * time.Hour)}, base.Add(3*time.Hour + time.Minute)},
		{"some tables since", []runlog.Run{run(4, runlog.Broken, narrowed), run(3, runlog.Partial)}, Past{Begun: base.Add(3 * time.Hour)}, base.Add(3*time.Hour + time.Minute)},
		{"failed twice", []runlog.Run{run(4, runlog.Broken), run(3, runlog.Unfinished), run(2, runlog.Done), run(1, runlog.Broken)}, Past{Begun: base.Add(4 * time.Hour), Failures: 2}, base.Add(2*time.Hour + time.Minute)},
		{"interrupted", []runlog.Run{run(4, runlog.Stopped), run(3, runlog.Broken), run(2, runlog.Done)}, Past{Begun: base.Add(4 * time.Hour), Failures: 1, CutOff: true}, base.Add(2*time.Hour + time.Minute)},
		{"under way", []runlog.Run{run(4, runlog.Unfinished), run(2, runlog.Done)}, Past{Begun: base.Add(4 * time.Hour), Open: true}, base.Add(2*time.Hour + time.Minute)},
	} {
		h := &history{State: State{Task: Task{What: runlog.Backup, Environment: "prod"}}}
		for _, r := range c.runs {
			h.add(r)
		}
		if diff := cmp.Diff(c.past, h.Past); diff != "" || !h.Good.Equal(c.good) {
			t.Errorf("%s: good %s, want %s: %s", c.name, h.Good, c.good, diff)
		}
	}
	// A check that found something came to its end: it is not tried again at once.
	h := &history{State: State{Task: Task{What: runlog.Verify}}}
	h.add(runlog.Run{Task: runlog.Verify, Begun: base, Ended: base, Result: runlog.Broken, Kind: allod.Corrupt, Counts: map[string]int64{runlog.Bad: 3}})
	if want := (Past{Begun: base}); h.Past != want || !h.settled || !h.Good.IsZero() {
		t.Errorf("a check that found something: %+v, good %s", h.Past, h.Good)
	}
}

func TestAlarms(t *testing.T) {
	now := at(t, "2026-11-21T12:00:00Z")
	daily, err := Parse("daily at 02:30", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	weekly, err := Parse("weekly on sunday at 02:30", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	prod := func(s Schedule, good time.Duration, failures int, last *runlog.Run) Facts {
		st := State{Task: Task{What: runlog.Backup, Environment: "prod", Schedule: s}, Past: Past{Failures: failures}, Last: last}
		if good > 0 {
			st.Good = now.Add(-good)
		}
		return Facts{Tasks: []State{st}, Days: -1}
	}
	failed := func(k allod.Kind) *runlog.Run {
		return &runlog.Run{Begun: now.Add(-time.Hour), Result: runlog.Broken, Kind: k, Failure: k.String()}
	}
	counted := func(result runlog.Result, counts map[string]int64) *runlog.Run {
		return &runlog.Run{Begun: now.Add(-time.Hour), Ended: now, Result: result, Counts: counts}
	}
	with := func(f Facts, do func(*Facts)) Facts { do(&f); return f }
	const h = time.Hour
	for _, c := range []struct {
		name   string
		facts  Facts
		config notify.Config
		want   string // kinds and texts
	}{
		{"all is well", prod(daily, 10*h, 0, counted(runlog.Done, nil)), notify.Config{}, ""},
		{"not scheduled", prod(Schedule{}, 1000*h, 9, failed(allod.Denied)), notify.Config{}, ""},
		{"too old", prod(daily, 27*h, 0, nil), notify.Config{}, "too-old prod: the last backup that came to its end is 27 hours old"},
		{"old, but weekly", prod(weekly, 169*h, 0, nil), notify.Config{}, ""},
		{"older than asked for", prod(weekly, 169*h, 0, nil), notify.Config{MaxAge: 100 * h}, "too-old prod: the last backup that came to its end is 7 days old"},
		{"never came to an end", with(prod(daily, 0, 0, nil), func(f *Facts) { f.First = map[string]time.Time{"prod": now.Add(-60 * h)} }), notify.Config{}, "too-old prod: no backup has come to its end since it was begun 2 days ago"},
		{"a failure that may pass", prod(daily, 10*h, 2, failed(allod.Unavailable)), notify.Config{}, ""},
		{"that did not pass", prod(daily, 10*h, 3, failed(allod.Unavailable)), notify.Config{}, "failing prod: the backup has failed 3 times in a row, the last time as unavailable"},
		{"that does not pass", prod(daily, 10*h, 1, failed(allod.Denied)), notify.Config{}, "failing prod: the backup has failed once, the last time as denied"},
		{"killed each time", prod(daily, 10*h, 3, &runlog.Run{Result: runlog.Unfinished}), notify.Config{}, "failing prod: the backup has failed 3 times in a row, the last time as unfinished"},
		{"gaps", prod(daily, h, 0, counted(runlog.Partial, map[string]int64{runlog.Open: 2})), notify.Config{}, "gaps prod: the last backup has 2 gaps that nobody chose"},
		{"many deletions", prod(daily, h, 0, counted(runlog.Done, map[string]int64{runlog.Alarms: 1})), notify.Config{}, "mass-change prod: the last backup found that unusually many rows were deleted, in 1 tables"},
		{"old tokens", with(prod(daily, h, 0, nil), func(f *Facts) { f.Tokens = map[string]time.Time{"prod": now.Add(-73 * h)} }), notify.Config{}, "token-age prod: the change-tracking tokens are 3 days old"},
		{"tokens that will do", with(prod(daily, h, 0, nil), func(f *Facts) { f.Tokens = map[string]time.Time{"prod": now.Add(-72 * h)} }), notify.Config{}, ""},
		{"a secret that ends", with(prod(daily, h, 0, nil), func(f *Facts) { f.Secrets = map[string]time.Time{"prod": now.Add(20 * 24 * h)} }), notify.Config{}, "secret-expiry prod: its secret expires on 2026-12-11"},
		{"soon enough", with(prod(daily, h, 0, nil), func(f *Facts) { f.Secrets = map[string]time.Time{"prod": now.Add(20 * 24 * h)} }), notify.Config{SecretDays: 7}, ""},
		{"the disk in days", with(prod(daily, h, 0, nil), func(f *Facts) { f.Days = 13.4 }), notify.Config{}, "disk the disk of the vault is full in about 13 days"},
		{"the disk in many days", with(prod(daily, h, 0, nil), func(f *Facts) { f.Days = 15 }), notify.Config{}, ""},
		{"the disk now", with(prod(daily, h, 0, nil), func(f *Facts) { f.FreeOK, f.Free = true, 5<<20 }), notify.Config{}, "disk the disk of the vault has 5 MiB left"},
		{"what was stored is damaged", Facts{Days: -1, Tasks: []State{{Task: Task{What: runlog.Verify, Schedule: weekly}, Last: counted(runlog.Broken, map[string]int64{runlog.Bad: 2})}}}, notify.Config{}, "corrupt the last check of the vault found 2 objects that are not what was stored"},
		{"it cannot be compacted", Facts{Days: -1, Tasks: []State{{Task: Task{What: runlog.Compact, Schedule: weekly}, Past: Past{Failures: 3}, Last: failed(allod.Denied)}}}, notify.Config{}, "failing the compaction of the vault has failed 3 times in a row, the last time as denied"},
		{"it cannot be checked", Facts{Days: -1, Tasks: []State{{Task: Task{What: runlog.Verify, Schedule: weekly}, Past: Past{Failures: 4}, Last: failed(allod.Unavailable)}}}, notify.Config{}, "failing the check of the vault has failed 4 times in a row, the last time as unavailable"},
	} {
		var got []string
		for _, n := range Alarms(now, c.facts, c.config) {
			got = append(got, n.Kind+" "+n.Text)
			if n.Hint == "" || n.Since.IsZero() && n.Kind != "failing" || n.Over {
				t.Errorf("%s: %+v", c.name, n)
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "; ")); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestForecast(t *testing.T) {
	now := at(t, "2026-11-21T12:00:00Z")
	snap := func(daysAgo int, line uint64, stored int64, complete bool) allod.Snapshot {
		return allod.Snapshot{Environment: "prod", Line: line, To: now.AddDate(0, 0, -daysAgo), StoredBytes: stored, Complete: complete}
	}
	for _, c := range []struct {
		name string
		all  []allod.Snapshot
		want float64
		ok   bool
	}{
		{"nothing", nil, 0, false},
		{"a first read alone", []allod.Snapshot{snap(3, 1, 1<<40, false), snap(2, 1, 1<<40, true)}, 0, false},
		{"ten a day for ten days", []allod.Snapshot{snap(10, 1, 1<<40, true), snap(9, 1, 50, true), snap(0, 1, 50, true)}, 100, true},
		{"a second first read does not count", []allod.Snapshot{snap(10, 1, 1<<40, true), snap(5, 1, 100, true), snap(4, 2, 1<<40, true)}, 100, true},
		{"what is long ago does not count", []allod.Snapshot{snap(400, 1, 1<<40, true), snap(300, 1, 1<<40, true), snap(3, 1, 300, true)}, 100, true},
		{"less than a day", []allod.Snapshot{snap(0, 1, 5, true), snap(0, 1, 5, true)}, 0, false},
	} {
		got, ok := Forecast(now, 1000, c.all)
		if ok != c.ok || ok && (got < c.want-0.01 || got > c.want+0.01) {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

// Whatever alarms come and go: each is told when it begins, once a day while it
// lasts, and when it is over.
func TestNews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
		told := map[string]Told{}
		last := map[string]time.Time{} // when each was told last
		for range rapid.IntRange(1, 30).Draw(t, "turns") {
			now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour)
			var active []notify.Notice
			on := map[string]bool{}
			for _, env := range []string{"", "prod", "test"} {
				if rapid.Bool().Draw(t, "on") {
					active = append(active, notify.Notice{Kind: "k", Environment: env, Text: "t " + env, Since: now})
					on[env] = true
				}
			}
			var tell []notify.Notice
			tell, told = News(now, told, active)
			seen := map[string]bool{}
			for _, n := range tell {
				seen[n.Environment] = true
				if n.Over == on[n.Environment] || n.Kind != "k" || n.Text != "t "+n.Environment {
					t.Fatalf("told %+v while on is %v", n, on[n.Environment])
				}
			}
			for _, env := range []string{"", "prod", "test"} {
				before, was := last[env]
				want := on[env] != was || on[env] && now.Sub(before) >= tellAgain
				if seen[env] != want {
					t.Fatalf("%q on %v, told before %v at %s: told now %v at %s", env, on[env], was, before, seen[env], now)
				}
				if !on[env] {
					delete(last, env)
				} else if want {
					last[env] = now
				}
			}
		}
	})
}
