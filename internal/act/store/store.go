// Package store has the use case of `allod check store`: what a place is known
// to do with objects, whether it can hold a vault, and whether slots may lie in
// it.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/blobcheck"
	"allod/internal/blob/place"
)

// What a place is for.
const (
	UseVault = "vault"
	UseSlots = "slots"
)

// Place is a folder or a bucket.
type Place struct {
	Address string // a path, or the address of a bucket
	Use     string // UseVault, UseSlots, or "" where it is not in use yet
}

// Found is what is known of a place before anything is tried.
type Found struct {
	Place string        `json:"place"`
	Use   string        `json:"use,omitempty"`
	Facts blob.Facts    `json:"facts"`
	Slots place.Verdict `json:"slots"` // may they lie here
}

// Options of Check. Report and Facts are called from the caller's goroutine and
// must not be nil.
type Options struct {
	Lock   bool              // also try locks, which leaves a locked object for some seconds; a place that cannot lock fails then
	Facts  func(Found)       // once, first
	Report func(act.Checked) // after each check
}

// Own returns the places of the Allod in dir, the vault's first.
func Own(dir string) ([]Place, error) {
	c, err := act.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	all := []Place{{place.Resolve(dir, c.Store), UseVault}}
	for _, s := range c.Slots {
		all = append(all, Place{place.Resolve(dir, s), UseSlots})
	}
	return all, nil
}

// Check reads the facts of a place and proves what a vault needs of it. What
// the checks write they remove. A folder that is not in use yet is made. The
// error is Partial when a check failed.
func Check(ctx context.Context, p Place, deps act.Deps, o Options) error {
	s, err := deps.OpenStore(ctx, p.Address, p.Use == "")
	if err != nil {
		return fmt.Errorf("check the store %s: %w", p.Address, err)
	}
	facts, verdict, err := place.Look(ctx, s)
	if err != nil {
		return fmt.Errorf("check the store %s: %w", p.Address, err)
	}
	o.Facts(Found{Place: p.Address, Use: p.Use, Facts: facts, Slots: verdict})
	checks := append(blobcheck.Checks(), clockCheck(deps.Now))
	if p.Use == UseSlots {
		checks = append(checks, blobcheck.Check{
			Name: "slots may lie here", Why: "what is erased is gone only when the slots before it are",
			Run: func(ctx context.Context, _ blob.Store) error { return place.Accept(ctx, s, p.Address) },
		})
	}
	failed := 0
	for _, c := range checks {
		res := try(ctx, c, s, facts, o.Lock)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !res.OK {
			failed++
		}
		o.Report(res)
	}
	if failed > 0 {
		return allod.Errorf(allod.Partial, "check the store %s: %d checks failed", p.Address, failed)
	}
	return nil
}

// maxSkew is how far the clock of this machine may be from the store's.
const maxSkew = 5 * time.Minute

// clockCheck compares the clock of this machine with the store's.
func clockCheck(now func() time.Time) blobcheck.Check {
	return blobcheck.Check{Name: "clock", Why: "locks end by the store's clock and are reckoned by this machine's", Run: func(ctx context.Context, s blob.Store) error {
		name := "blobcheck/clock-" + strings.ToLower(rand.Text())
		if err := s.Put(ctx, name, strings.NewReader("x"), 1, blob.PutOptions{}); err != nil {
			return err
		}
		info, err := s.Stat(ctx, name)
		if err := errors.Join(err, s.Delete(ctx, name)); err != nil {
			return err
		}
		if skew := now().Sub(info.Modified); skew.Abs() > maxSkew {
			return fmt.Errorf("the clock of this machine and the store's are %s apart, want at most %s", skew.Round(time.Second), maxSkew)
		}
		return nil
	}}
}

// try runs one check, unless what it writes could not be removed again.
func try(ctx context.Context, c blobcheck.Check, s blob.Store, f blob.Facts, lock bool) act.Checked {
	res := act.Checked{Name: c.Name, Why: c.Why, OK: true}
	switch {
	case f.DefaultLockDays > 0:
		res.What = fmt.Sprintf("not tried: what it writes would be locked for %d days", f.DefaultLockDays)
		return res
	case c.Locks && !lock:
		res.What = "not tried: --lock tries it, and leaves a locked object for some seconds"
		return res
	}
	var skipped blobcheck.Skipped
	switch err := c.Run(ctx, s); {
	case errors.As(err, &skipped):
		res.OK, res.What = !c.Locks, err.Error()
	case err != nil:
		res.OK, res.What = false, err.Error()
	}
	return res
}
