package blobcheck

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"allod"
	"allod/internal/blob"
)

// clock returns the store's own time.
func clock(ctx context.Context, s blob.Store, name string) (time.Time, error) {
	if err := put(ctx, s, name, "x"); err != nil {
		return time.Time{}, err
	}
	info, err := s.Stat(ctx, name)
	return info.Modified, err
}

// lockedFor puts an object that is locked for some seconds of the store's own
// clock and calls during while it is. On a busy machine the lock may end
// before during does: then a longer one is tried. Skipped where the store
// cannot lock.
func lockedFor(ctx context.Context, s blob.Store, dir string, during func(name string, until time.Time) error) (name string, err error) {
	for _, window := range []time.Duration{3 * time.Second, 12 * time.Second, time.Minute} {
		now, err := clock(ctx, s, fmt.Sprintf("%sbefore-%d", dir, window))
		if err != nil {
			return "", err
		}
		name, until := fmt.Sprintf("%slocked-%d", dir, window), now.Add(window)
		err = s.Put(ctx, name, strings.NewReader("x"), 1, blob.PutOptions{RetainUntil: until})
		if errors.Is(err, blob.ErrLockUnsupported) {
			if err := wantErr("put with a lock", err, blob.ErrLockUnsupported, allod.Invalid); err != nil {
				return "", err
			}
			if err := wantAbsent(ctx, s, name); err != nil {
				return "", err
			}
			return "", Skipped("it cannot lock objects")
		}
		if err == nil {
			err = during(name, until)
		}
		if err == nil {
			return name, nil
		}
		now, cerr := clock(ctx, s, fmt.Sprintf("%safter-%d", dir, window))
		if cerr != nil {
			return "", errors.Join(err, cerr)
		}
		if now.Before(until) || window == time.Minute {
			return "", err
		}
	}
	return "", nil // not reached: the last window returns
}

// deleteLater waits until a lock has ended and the object can be deleted.
func deleteLater(ctx context.Context, s blob.Store, name string) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var err error
	for range 600 { // two minutes
		if err = s.Delete(ctx, name); err == nil {
			return wantAbsent(ctx, s, name)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("delete of an object whose lock has ended: %w", err)
}

// retention locks an object for some seconds: neither it nor, on a versioned
// store, the version can be deleted meanwhile, and both can be afterwards.
func retention(ctx context.Context, s blob.Store, dir string) error {
	name, err := lockedFor(ctx, s, dir, func(name string, _ time.Time) error {
		err := s.Delete(ctx, name)
		if err := wantErr("delete of a locked object", err, blob.ErrLocked, allod.Denied); err != nil {
			return err
		}
		if err := wantBytes(ctx, s, name, "x"); err != nil {
			return err
		}
		k, ok := s.(blob.Versioned)
		if !ok {
			return nil
		}
		all, err := Left(ctx, k, name)
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("a locked object that could not be deleted has %d versions, want 1", len(all))
		}
		if err != nil {
			return err
		}
		err = k.DeleteVersion(ctx, name, all[0].ID)
		if err := wantErr("delete of a locked version", err, blob.ErrLocked, allod.Denied); err != nil {
			return err
		}
		return wantBytes(ctx, s, name, "x")
	})
	if err != nil {
		return err
	}
	return deleteLater(ctx, s, name)
}

// lockGrows lengthens a lock and tries to shorten it.
func lockGrows(ctx context.Context, s blob.Store, dir string) error {
	l, ok := s.(blob.Locker)
	if !ok {
		return Skipped("it cannot change locks")
	}
	name, err := lockedFor(ctx, s, dir, func(name string, until time.Time) error {
		if err := wantLock(ctx, l, name, until); err != nil {
			return err
		}
		longer := until.Add(time.Second)
		if err := l.Lock(ctx, name, longer); err != nil {
			return fmt.Errorf("make a lock longer: %w", err)
		}
		for _, shorter := range []time.Time{until, until.Add(-2 * time.Second)} {
			err := l.Lock(ctx, name, shorter)
			if err := wantErr("shorten a lock", err, blob.ErrLocked, allod.Denied); err != nil {
				return err
			}
		}
		return wantLock(ctx, l, name, longer)
	})
	if err != nil {
		return err
	}
	free := dir + "free"
	if err := put(ctx, s, free, "x"); err != nil {
		return err
	}
	if err := wantLock(ctx, l, free, time.Time{}); err != nil {
		return err
	}
	_, err = l.LockedUntil(ctx, dir+"nothing")
	if err := wantErr("ask for the lock of an object that is not there", err, blob.ErrNotFound, allod.NotFound); err != nil {
		return err
	}
	return deleteLater(ctx, s, name)
}

// wantLock compares a lock to the second, which is as exact as stores are.
func wantLock(ctx context.Context, l blob.Locker, name string, want time.Time) error {
	got, err := l.LockedUntil(ctx, name)
	if err != nil {
		return err
	}
	if got.Truncate(time.Second) != want.UTC().Truncate(time.Second) {
		return fmt.Errorf("the lock ends %v, want %v", got, want)
	}
	return nil
}
