package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"allod"
	"allod/internal/notify"
	"allod/internal/runlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an Allod that never was: its ledger is a list, its clock is moved by
// waiting and working, and things go wrong by a plan.
type world struct {
	now    time.Time
	end    time.Time
	tasks  []Task
	runs   []runlog.Run // the oldest first
	said   []string
	pings  []bool
	busy   bool
	broken func() bool          // does the next run fail?
	lasts  func() time.Duration // how long does it last?
	slept  func() time.Duration // how much longer than asked does the machine sleep?
	cancel context.CancelFunc
}

func (w *world) server() *Server {
	return &Server{
		Look: func(context.Context) (*View, error) {
			v := &View{}
			for _, t := range w.tasks {
				h := &history{State: State{Task: t}}
				for _, r := range slices.Backward(w.runs) {
					h.add(r)
				}
				h.Next, h.Why = Due(w.now, t.Schedule, h.Past)
				v.Tasks = append(v.Tasks, h.State)
			}
			return v, nil
		},
		Alone: func(ctx context.Context, _ Task, do func(context.Context) error) (bool, error) { return true, do(ctx) },
		Do: func(_ context.Context, t Task) (string, error) {
			if w.busy {
				return "", errors.New("two at once")
			}
			w.busy = true
			defer func() { w.busy = false }()
			r := runlog.Run{Task: t.What, Environment: t.Environment, Begun: w.now, Result: runlog.Done}
			w.now = w.now.Add(w.lasts())
			r.Ended = w.now
			var err error
			if w.broken() {
				r.Result, r.Kind, err = runlog.Broken, allod.Unavailable, allod.Errorf(allod.Unavailable, "no")
			}
			w.runs = append(w.runs, r)
			return "line", err
		},
		Tell: func(context.Context, []notify.Notice) ([]notify.Notice, error) { return nil, nil },
		Ping: func(_ context.Context, good bool) error { w.pings = append(w.pings, good); return nil },
		Wait: func(ctx context.Context, d time.Duration) error {
			if d <= 0 || d > tick {
				w.said = append(w.said, fmt.Sprintf("waited %s", d))
			}
			if w.now = w.now.Add(d + w.slept()); w.now.After(w.end) {
				w.cancel()
			}
			return ctx.Err()
		},
		Say: func(format string, args ...any) { w.said = append(w.said, fmt.Sprintf(format, args...)) },
		Now: func() time.Time { return w.now },
	}
}

// Days of a server whose runs fail now and then and whose machine sleeps: never
// two runs at once, none without need, none that is late without a reason.
func TestServer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Parse(schedules().Draw(t, "schedule"), time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		begin := moments().Draw(t, "begin")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w := &world{now: begin, end: begin.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour), cancel: cancel}
		for _, env := range []string{"prod", "test"} {
			w.tasks = append(w.tasks, Task{What: runlog.Backup, Environment: env, Schedule: s.For(env)})
		}
		sleepy := rapid.Bool().Draw(t, "sleepy")
		w.broken = func() bool { return rapid.IntRange(0, 3).Draw(t, "broken") == 0 }
		w.lasts = func() time.Duration { return time.Duration(rapid.IntRange(1, 40).Draw(t, "minutes")) * time.Minute }
		w.slept = func() time.Duration {
			if sleepy && rapid.IntRange(0, 50).Draw(t, "sleep") == 0 {
				return time.Duration(rapid.IntRange(1, 600).Draw(t, "asleep")) * time.Minute
			}
			return 0
		}
		if err := w.server().Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(w.pings) != len(w.runs) {
			t.Fatalf("%d pings for %d runs", len(w.pings), len(w.runs))
		}
		for _, line := range w.said {
			if strings.HasPrefix(line, "waited") || strings.Contains(line, "two at once") {
				t.Fatal(line)
			}
		}
		for _, task := range w.tasks {
			w.check(t, task)
		}
	})
}

// check looks at all runs of a task.
func (w *world) check(t *rapid.T, task Task) {
	var before *runlog.Run
	for _, r := range w.runs {
		if r.Environment != task.Environment {
			continue
		}
		if before != nil {
			switch since := r.Begun.Sub(before.Begun); {
			case before.Result == runlog.Done && r.Begun.Before(task.Schedule.Next(before.Begun)):
				t.Fatalf("%q: done at %s, and again at %s", task.Schedule, before.Begun, r.Begun)
			case before.Result == runlog.Broken && since < firstBackoff:
				t.Fatalf("failed at %s, and tried again after %s", before.Begun, since)
			}
		}
		before = &r
	}
	if before == nil {
		t.Fatalf("%s was never done", task.Name())
	}
	// What is due is done within a minute, unless another task was at work or
	// the machine slept: at the end nothing may have been due for longer than
	// the longest of both.
	due := task.Schedule.Next(before.Begun)
	if before.Result == runlog.Broken {
		due = before.Begun.Add(lastBackoff)
	}
	if late := w.end.Sub(due); !due.IsZero() && late > 12*time.Hour {
		t.Fatalf("%q: due at %s, not done by %s", task.Schedule, due, w.end)
	}
}

// Once does each task once, tells of the failures, and ends.
func TestOnce(t *testing.T) {
	s, err := Parse("every 1h", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{now: at(t, "2026-11-21T12:00:00Z"), end: at(t, "2026-11-22T12:00:00Z")}
	for _, env := range []string{"prod", "test"} {
		w.tasks = append(w.tasks, Task{What: runlog.Backup, Environment: env, Schedule: s.For(env)})
	}
	w.broken = func() bool { return len(w.runs) == 0 }
	w.lasts = func() time.Duration { return 3 * time.Hour } // the first is due again when the second ends
	if err := w.server().Once(t.Context()); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("one of two failed: %v", err)
	}
	if len(w.runs) != 2 || w.runs[0].Environment == w.runs[1].Environment {
		t.Errorf("done was %+v", w.runs)
	}
	if want := []string{"prod: begins: it was never done", "prod: line", "test: begins: it was never done", "test: line"}; !slices.Equal(w.said, want) {
		t.Errorf("said was %q, want %q", w.said, want)
	}
	if want := []bool{false, true}; !slices.Equal(w.pings, want) {
		t.Errorf("pings were %v, want %v", w.pings, want)
	}
}

// A server whose Allod cannot be opened says so at once when it starts, and goes
// on when that happens later.
func TestServerCannotLook(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{now: at(t, "2026-11-21T12:00:00Z"), end: at(t, "2026-11-21T13:00:00Z"), cancel: cancel, slept: func() time.Duration { return 0 }}
	s := w.server()
	looks := 0
	look := s.Look
	s.Look = func(ctx context.Context) (*View, error) {
		if looks++; looks == 1 {
			return nil, allod.Errorf(allod.NotFound, "no disk")
		}
		return look(ctx)
	}
	if err := s.Run(ctx); allod.KindOf(err) != allod.NotFound {
		t.Errorf("at the start: %v", err)
	}
	s.Look = func(ctx context.Context) (*View, error) {
		if looks++; looks == 3 {
			return nil, allod.Errorf(allod.NotFound, "no disk")
		}
		return look(ctx)
	}
	if err := s.Run(ctx); err != nil || looks < 6 {
		t.Errorf("later: %v after %d looks", err, looks)
	}
	if !slices.Contains(w.said, "cannot look after anything: no disk") || !slices.Equal(w.pings, []bool{false}) {
		t.Errorf("said %q, pings %v", w.said, w.pings)
	}
}

// A clock that is set back while the server waits is looked at again.
func TestClockSetBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{now: at(t, "2026-11-21T12:00:00Z"), end: at(t, "2026-11-21T12:20:00Z"), cancel: cancel}
	turns := 0
	w.slept = func() time.Duration {
		if turns++; turns == 3 {
			return -time.Hour
		}
		return 0
	}
	if err := w.server().Run(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"the clock was set back"}; !slices.Equal(w.said, want) {
		t.Errorf("said %q, want %q", w.said, want)
	}
}
