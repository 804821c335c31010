// Package place decides whether slots may lie in a place: whether what is
// deleted there is gone, and after how many days. The decision is a pure
// function of facts read off the store; the contract behind it is tested with
// an object that is put, replaced and deleted.
package place

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/blobcheck"
)

// Verdict says what a place is good for.
type Verdict struct {
	Erasable    bool     `json:"erasable"`     // slots may lie there
	LatencyDays int      `json:"latency_days"` // L: days until what was deleted is gone; -1 = not known
	Reasons     []string `json:"reasons"`      // why, or why not; never empty
	Warnings    []string `json:"warnings"`     // what endangers the slots themselves
	NotKnown    []string `json:"not_known"`    // what nobody can read off the store
}

// Judge decides from the facts alone.
func Judge(f blob.Facts) Verdict {
	v := Verdict{Erasable: true, Reasons: []string{}, Warnings: []string{}, NotKnown: []string{}}
	refuse := func(format string, args ...any) {
		v.Erasable = false
		v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...))
	}
	v.LatencyDays = f.SoftDeleteDays
	for _, u := range f.Unread {
		if u.Refused {
			refuse("its %s could not be read: %s", u.What, u.Why)
			v.LatencyDays = -1
			continue
		}
		v.NotKnown = append(v.NotKnown, u.What+": "+u.Why)
	}
	switch f.Versions {
	case blob.KeepsNone:
		v.Reasons = append(v.Reasons, "it keeps no versions: what is deleted is gone")
	case blob.KeepsAll, blob.KeepsSuspended:
		v.Reasons = append(v.Reasons, "it keeps versions; they are deleted by their ids")
	default:
		if v.LatencyDays >= 0 {
			refuse("it does not say whether it keeps versions")
		}
		v.LatencyDays = -1
	}
	if f.DefaultLockDays > 0 {
		refuse("every new object is locked for %d days (%s): a slot could not be destroyed before", f.DefaultLockDays, f.DefaultLock)
		if v.LatencyDays >= 0 {
			v.LatencyDays += f.DefaultLockDays
		}
	}
	if len(f.Copies) > 0 {
		refuse("it copies objects to %s, where deleting a version here deletes nothing", strings.Join(f.Copies, ", "))
		v.LatencyDays = -1
	}
	if f.SoftDeleteDays > 0 {
		v.Reasons = append(v.Reasons, fmt.Sprintf("what is deleted can be brought back for %d days, which are counted", f.SoftDeleteDays))
	}
	for _, r := range f.Rules {
		if r.Current {
			v.Warnings = append(v.Warnings, fmt.Sprintf("the lifecycle rule %q deletes current objects by itself: it would delete slots in use, and with the last of them the vault", r.Name))
		}
	}
	return v
}

// probeDir is where Probe puts its object.
const probeDir = "probes/"

// Probe tests the contract for real: an unlocked object is written and replaced,
// every version of it is deleted, and the store is asked what is left. nil =
// nothing is. The error says what is left, of Kind Denied if it is locked and
// Invalid otherwise; what is left stays there.
func Probe(ctx context.Context, m blob.Mutable) error {
	name := probeDir + strings.ToLower(rand.Text())
	err := m.Replace(ctx, name, []byte("probe")) // as slots are: they need no conditional put
	if err == nil {
		err = m.Replace(ctx, name, []byte("probe, replaced"))
	}
	if err == nil {
		err = m.Delete(ctx, name)
	}
	if err != nil {
		return allod.WithHint(allod.Errorf(allod.KindOf(err), "delete a probe: %w", err), "%s", allod.HintOf(err))
	}
	if _, err := m.Stat(ctx, name); !errors.Is(err, blob.ErrNotFound) {
		return allod.Errorf(allod.Invalid, "delete a probe: it is still there (%v)", err)
	}
	k, ok := m.(blob.Versioned)
	if !ok {
		return nil
	}
	left, err := blobcheck.Left(ctx, k, name)
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "ask for versions of a deleted probe: %w", err)
	}
	if len(left) > 0 {
		return allod.Errorf(allod.Invalid, "delete a probe: %d versions of it are left", len(left))
	}
	return nil
}

// Look reads the facts of a place and judges them. A store that cannot say
// anything is judged as one that keeps versions nobody knows of.
func Look(ctx context.Context, s blob.Store) (blob.Facts, Verdict, error) {
	d, ok := s.(blob.Describer)
	if !ok {
		f := blob.Facts{Kind: "unknown", Versions: blob.KeepsUnknown}
		return f, Judge(f), nil
	}
	f, err := d.Describe(ctx)
	if err != nil {
		return f, Verdict{}, err
	}
	return f, Judge(f), nil
}

// Accept is nil if slots may lie in the place, which is called name in the
// error: by its facts and, if those are good, by Probe. Invalid, with what to
// do, if they may not; another Kind if the place cannot be asked.
func Accept(ctx context.Context, m blob.Mutable, name string) error {
	_, v, err := Look(ctx, m)
	if err != nil {
		return allod.WithHint(allod.Errorf(allod.KindOf(err), "look at the place of slots %s: %w", name, err), "%s", allod.HintOf(err))
	}
	if v.Erasable {
		err := Probe(ctx, m)
		if err == nil {
			return nil
		}
		if k := allod.KindOf(err); k != allod.Invalid && !errors.Is(err, blob.ErrLocked) {
			return allod.WithHint(allod.Errorf(k, "test the place of slots %s: %w", name, err), "%s", allod.HintOf(err))
		}
		v.Reasons = []string{err.Error()}
	}
	err = allod.Errorf(allod.Invalid, "put slots into %s: what is deleted there is not gone: %s", name, strings.Join(v.Reasons, "; "))
	return allod.WithHint(err, "Name a bucket of its own or a local folder with --slots (docs/stores.md). With --accept-slot-history it is used all the same: then nothing that is erased is provably gone, and every certificate says so.")
}

// AcceptAll refuses places where what is deleted is not gone, or, if they
// are accepted as they are, returns them.
func AcceptAll(ctx context.Context, names []string, places []blob.Mutable, accept bool) ([]string, error) {
	var history []string
	for i, p := range places {
		err := Accept(ctx, p, names[i])
		switch {
		case err == nil:
		case accept && allod.KindOf(err) == allod.Invalid:
			history = append(history, names[i])
		default:
			return nil, err
		}
	}
	return history, nil
}

// Resolve returns where a place of the configuration of the Allod in dir is: a
// path, relative ones below dir, or the address of a bucket as it is.
func Resolve(dir, p string) string {
	p = strings.TrimPrefix(p, "file://")
	if filepath.IsAbs(p) || strings.Contains(p, "://") {
		return p
	}
	return filepath.Join(dir, p)
}

// Whole is what is copied, locked or replicated together: a folder, or the
// bucket of an address. It ends in a separator.
func Whole(p string) string {
	if u, err := url.Parse(p); err == nil && u.Host != "" && strings.Contains(p, "://") {
		return u.Scheme + "://" + u.Host + "/" + u.Query().Get("endpoint") + "/"
	}
	return filepath.Clean(p) + string(filepath.Separator)
}

// Beside returns what opens a folder beside a configuration, which is made when
// it is wanted; nil, without an error, when there is none.
func Beside(dir string, open func(ctx context.Context, path string, create bool) (blob.Mutable, error)) func(ctx context.Context, wanted bool) (blob.Store, error) {
	return func(ctx context.Context, wanted bool) (blob.Store, error) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && !wanted {
			return nil, nil
		}
		return open(ctx, dir, wanted)
	}
}
