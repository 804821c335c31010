package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
)

// What runs under a lease for hours has it all the time, and gives it back.
func TestWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Options{Now: time.Now})
		a, b := book(s, 1, time.Now), book(s, 2, time.Now)
		h, err := a.Take(t.Context(), task, term, State{})
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		state := func(context.Context) State { n++; return State{Counts: map[string]int64{"rows": n}} }
		err = h.While(t.Context(), Rhythm{Every: term / 3}, state, func(ctx context.Context) error {
			for range 300 {
				time.Sleep(time.Minute)
				if _, err := b.Take(ctx, task, term, State{}); !errors.Is(err, ErrHeld) {
					t.Fatalf("another process got it: %v", err)
				}
			}
			return ctx.Err()
		})
		if err != nil || n < 400 {
			t.Fatalf("after %d renewals: %v", n, err)
		}
		if _, err := b.Take(t.Context(), task, term, State{}); err != nil {
			t.Errorf("after it was given back: %v", err)
		}
	})
}

// Who loses the lease is told to stop.
func TestWhileLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New(mem.Options{Now: time.Now})
		a, b := book(s, 1, time.Now), book(s, 2, time.Now)
		h, err := a.Take(t.Context(), task, 0, State{}) // given back at once: another may take it
		if err != nil {
			t.Fatal(err)
		}
		err = h.While(t.Context(), Rhythm{Every: time.Minute}, func(context.Context) State { return State{} }, func(ctx context.Context) error {
			if _, err := b.Take(ctx, task, term, State{}); err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrHeld) {
				t.Errorf("the cause is %v", context.Cause(ctx))
			}
			return nil
		})
		if !errors.Is(err, ErrHeld) {
			t.Errorf("got %v", err)
		}
	})
}

// Without a store the keys are given up before the term has passed; a task goes
// on, as nothing is at stake but work.
func TestWhileStoreGone(t *testing.T) {
	for _, giveUp := range []time.Duration{0, 7 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := fault.New(mem.New(mem.Options{Now: time.Now}), fault.Fault{Call: 4, Down: true})
			h, err := book(s, 1, time.Now).Take(t.Context(), Keys+"/"+hex32(1), 10*time.Minute, State{})
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			err = h.While(t.Context(), Rhythm{Every: time.Minute, GiveUp: giveUp}, func(context.Context) State { return State{} }, func(ctx context.Context) error {
				select {
				case <-ctx.Done():
				case <-time.After(time.Hour):
				}
				return nil
			})
			if lasted := time.Since(begun); err == nil || giveUp > 0 && lasted > giveUp || giveUp == 0 && lasted < time.Hour {
				t.Errorf("give up %s: ended after %s with %v", giveUp, lasted, err)
			}
		})
	}
}
