package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"allod/internal/notify"
	"allod/internal/vault/lease"
)

// View is an Allod at a moment: what there is to do, and what people should
// know.
type View struct {
	Tasks  []State
	Alarms []notify.Notice
}

// Server does what is due until it is told to end. Its fields are set before
// Run; all are required. One server runs one task at a time; several of them on
// one vault share the work.
type Server struct {
	Look func(ctx context.Context) (*View, error) // reads everything anew
	// Alone calls do while no other process does the task, and reports whether it
	// has called it: another process may have it.
	Alone func(ctx context.Context, t Task, do func(ctx context.Context) error) (bool, error)
	Do    func(ctx context.Context, t Task) (string, error)                     // does a task; the line says how it went, without content
	Tell  func(ctx context.Context, n []notify.Notice) ([]notify.Notice, error) // decides what is news, and tells it
	Ping  func(ctx context.Context, good bool) error                            // the dead man's switch, after each task
	Wait  func(ctx context.Context, d time.Duration) error                      // nil after d, or ctx's error at once
	Say   func(format string, args ...any)                                      // one line for the log
	Now   func() time.Time
}

// Times of the loop.
const (
	lookAgain = 15 * time.Minute // at least that often alarms are decided anew and the configuration is read
	tick      = time.Minute      // at least that often the clock on the wall is looked at: it may be set, or the machine may have slept
)

// Run does what is due, then waits for what comes next, until ctx ends; that is
// no error. What a task has committed by then stays, and the next start goes on
// from there. An error at the first look is returned; later ones are said, and
// looked past after five minutes.
func (s *Server) Run(ctx context.Context) error {
	if _, err := s.Look(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	for ctx.Err() == nil {
		until, err := s.turn(ctx, map[string]bool{})
		if err != nil && ctx.Err() == nil {
			s.Say("cannot look after anything: %v", err)
			s.ping(ctx, false)
			until = s.Now().Add(firstBackoff)
		}
		if s.waitUntil(ctx, until) != nil {
			break
		}
	}
	return nil
}

// Once does what is due, each task once at most, and ends. The error joins those
// of the tasks.
func (s *Server) Once(ctx context.Context) error {
	done := map[string]bool{}
	var errs error
	for {
		v, err := s.Look(ctx)
		if err != nil {
			return errors.Join(errs, err)
		}
		t, ok := next(v, done)
		if !ok {
			s.tell(ctx, v)
			return errs
		}
		done[t.Name()] = true
		did, err := s.attempt(ctx, t)
		errs = errors.Join(errs, did, err)
		if ctx.Err() != nil {
			return errors.Join(errs, ctx.Err())
		}
	}
}

// turn does what is due and returns when to look again.
func (s *Server) turn(ctx context.Context, done map[string]bool) (time.Time, error) {
	for {
		v, err := s.Look(ctx)
		if err != nil {
			return time.Time{}, err
		}
		t, ok := next(v, done)
		if !ok {
			s.tell(ctx, v)
			until := s.Now().Add(lookAgain)
			for _, t := range v.Tasks {
				if at := t.Next.At; !at.IsZero() && at.Before(until) && !t.Next.Due {
					until = at
				}
			}
			return until, nil
		}
		done[t.Name()] = true
		// How it went was said, and is on record: the next look decides what follows from it.
		if _, err := s.attempt(ctx, t); err != nil && ctx.Err() == nil {
			return time.Time{}, err
		}
		if ctx.Err() != nil {
			return time.Time{}, ctx.Err()
		}
	}
}

// next is the task that has been due longest, of those not done yet.
func next(v *View, done map[string]bool) (State, bool) {
	var due []State
	for _, t := range v.Tasks {
		if t.Next.Due && !done[t.Name()] {
			due = append(due, t)
		}
	}
	if len(due) == 0 {
		return State{}, false
	}
	return slices.MinFunc(due, func(a, b State) int { return a.Next.At.Compare(b.Next.At) }), true
}

// attempt does a task unless another process does it, or has done it since it
// was looked at. did is the error of the task, which was said; err says why it
// was not begun, or not ended well.
func (s *Server) attempt(ctx context.Context, t State) (did, err error) {
	mine, err := s.Alone(ctx, t.Task, func(ctx context.Context) error {
		v, err := s.Look(ctx)
		if err != nil {
			return err
		}
		for _, now := range v.Tasks {
			if now.Name() == t.Name() && now.Past.Begun.Equal(t.Past.Begun) {
				did = s.do(ctx, t)
			}
		}
		return nil
	})
	if errors.Is(err, lease.ErrHeld) { // taken over; what became of it here was said
		return did, nil
	}
	if !mine && err == nil {
		s.Say("%s: another process does it", t.Name())
	}
	return did, err
}

// do does one task, says how it went and tells the dead man's switch.
func (s *Server) do(ctx context.Context, t State) error {
	s.Say("%s: begins: %s", t.Name(), t.Why)
	line, err := s.Do(ctx, t.Task)
	s.Say("%s: %s", t.Name(), line)
	if ctx.Err() == nil {
		s.ping(ctx, err == nil)
	}
	return err
}

func (s *Server) ping(ctx context.Context, good bool) {
	if err := s.Ping(ctx, good); err != nil {
		s.Say("the dead man's switch was not reached: %v", err)
	}
}

func (s *Server) tell(ctx context.Context, v *View) {
	news, err := s.Tell(ctx, v.Alarms)
	for _, n := range news {
		if n.Over {
			s.Say("over: %s", n.Text)
		} else {
			s.Say("ALARM %s. %s", n.Text, n.Hint)
		}
	}
	if err != nil {
		s.Say("an alarm was not delivered, and is tried again: %v", err)
	}
}

// waitUntil waits for a moment on the wall clock. It ends early when that clock
// was set back.
func (s *Server) waitUntil(ctx context.Context, until time.Time) error {
	for {
		before := s.Now()
		if !before.Before(until) {
			return ctx.Err()
		}
		if err := s.Wait(ctx, min(until.Sub(before), tick)); err != nil {
			return err
		}
		if s.Now().Before(before) {
			s.Say("the clock was set back")
			return nil
		}
	}
}

// Sleep is Server.Wait outside tests.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	case <-t.C:
		return nil
	}
}
