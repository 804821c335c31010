package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"allod"
)

// Rhythm says how a lease is kept.
type Rhythm struct {
	First  time.Duration // from the beginning to the first renewal; 0 = Every
	Every  time.Duration // it is renewed this often
	GiveUp time.Duration // that long without a renewal ends what the lease is for; 0 = never: only another holder does
}

// Keep renews the lease until ctx ends, and returns nil then. An error means
// that the holder has to stop: another process has the lease (ErrHeld in the
// chain), or it could not be renewed for too long. state is asked before each
// renewal.
func (h *Held) Keep(ctx context.Context, r Rhythm, state func(ctx context.Context) State) error {
	good := h.book.Now()
	for next := cmp.Or(r.First, r.Every); ; next = r.Every {
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		asked := h.book.Now()
		err := h.renewIn(ctx, r.Every, state)
		switch {
		case err == nil:
			good = asked
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrHeld):
			return err
		case r.GiveUp > 0 && h.book.Now().Sub(good)+2*r.Every > r.GiveUp:
			return allod.WithHint(fmt.Errorf("keep the lease %s: it was not renewed for %s: %w", h.lease.Name, h.book.Now().Sub(good).Round(time.Second), err), "%s", allod.HintOf(err))
		}
	}
}

// renewIn renews within a span: a store that does not answer is one that cannot
// be reached.
func (h *Held) renewIn(ctx context.Context, d time.Duration, state func(ctx context.Context) State) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return h.Renew(ctx, state(ctx))
}

// While keeps the lease while do runs, and gives it back, or drops it if nobody
// else will ever take it. What ends the lease ends the context of do; then the
// cause of that context is the error of Keep, which is returned too.
func (h *Held) While(ctx context.Context, r Rhythm, state func(ctx context.Context) State, do func(ctx context.Context) error) error {
	inner, stop := context.WithCancelCause(ctx)
	kept := make(chan error, 1)
	go func() {
		err := h.Keep(inner, r, state)
		if err != nil {
			stop(err)
		}
		kept <- err
	}()
	err := do(inner)
	stop(nil)
	lost := <-kept
	if errors.Is(lost, ErrHeld) {
		return errors.Join(err, lost)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	return errors.Join(err, lost, h.end(last))
}

// lastWords is how long a process that was told to end tries to give a lease
// back.
const lastWords = 10 * time.Second

func (h *Held) end(ctx context.Context) error {
	if h.lease.Name == Keys+"/"+h.lease.Holder {
		return h.Drop(ctx)
	}
	return h.GiveBack(ctx)
}
