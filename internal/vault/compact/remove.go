package compact

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

// Keep is how long packs stay after the log entry that replaced them: readers
// that had begun, and copies that are behind, find them.
const Keep = 7 * 24 * time.Hour

// Replaced is packs that one compaction has replaced and that are still there.
// Times are UTC.
type Replaced struct {
	Entry       uint64    `json:"entry"` // log number
	Environment string    `json:"environment"`
	Packs       int       `json:"packs"`
	Bytes       int64     `json:"bytes"`
	At          time.Time `json:"at"`               // from when they may be removed, by the time of the newest log entry
	Due         bool      `json:"due"`              // that has come
	Removed     int       `json:"removed"`          // packs that are gone now
	Locked      int       `json:"locked,omitempty"` // packs that the store refuses to remove yet

	entry *journal.Entry
	names []string
}

// replaced returns what is still there of what was replaced, by log number.
func (c *Compactor) replaced(ctx context.Context) ([]Replaced, error) {
	out := []Replaced{}
	gone := journal.Replaced(c.Log.Entries())
	if len(gone) == 0 {
		return out, nil
	}
	now := c.Log.Chain().Time
	by := map[string]*journal.Entry{}
	for d, e := range gone {
		by[vlog.Object{Digest: d, Role: vlog.RolePack}.Name()] = e
	}
	for info, err := range c.Store.List(ctx, "packs/") {
		if err != nil {
			return out, allod.Errorf(allod.KindOf(err), "list the packs: %w", err)
		}
		e := by[info.Name]
		if e == nil {
			continue
		}
		delete(by, info.Name) // a store may list it twice
		i := slices.IndexFunc(out, func(r Replaced) bool { return r.Entry == e.N })
		if i < 0 {
			name, err := c.nameOf(ctx, e)
			if err != nil {
				return out, err
			}
			at := e.Time.Add(Keep)
			i, out = len(out), append(out, Replaced{Entry: e.N, Environment: name, At: at, Due: !now.Before(at), entry: e})
		}
		out[i].Packs++
		out[i].Bytes += info.Size
		out[i].names = append(out[i].names, info.Name)
	}
	slices.SortFunc(out, func(a, b Replaced) int { return int(int64(a.Entry) - int64(b.Entry)) })
	return out, nil
}

// nameOf returns the name of the environment of a compaction.
func (c *Compactor) nameOf(ctx context.Context, e *journal.Entry) (string, error) {
	for _, capture := range c.Log.Entries() {
		if capture.Environment == e.Environment && capture.Capture != 0 {
			return c.Name(ctx, capture)
		}
	}
	return "", allod.Errorf(allod.Corrupt, "%s: its environment has no capture", vlog.EntryName(e.N))
}

// remove removes what is due, after it has read to the end what stands in its
// place. One that the store has locked stays, and is counted.
func (c *Compactor) remove(ctx context.Context) ([]Replaced, error) {
	all, err := c.replaced(ctx)
	if err != nil {
		return all, err
	}
	whole := map[uint64]bool{} // log numbers of what stands
	for i := range all {
		r := &all[i]
		if !r.Due {
			continue
		}
		if err := c.whole(ctx, r.entry, whole); err != nil {
			return all, err
		}
		for _, name := range r.names {
			err := c.Store.Delete(ctx, name)
			switch {
			case errors.Is(err, blob.ErrLocked):
				r.Locked++
			case err != nil:
				return all, allod.Errorf(allod.KindOf(err), "remove %s: %w", name, err)
			default:
				r.Removed++
			}
		}
	}
	return all, nil
}

// whole is Corrupt unless every byte is there of what stands for the captures of
// a compaction.
func (c *Compactor) whole(ctx context.Context, e *journal.Entry, done map[uint64]bool) error {
	standing := c.Log.Standing(e.Environment)
	i := slices.IndexFunc(standing, func(t vlog.Stand) bool { return t.First <= e.Compact.First && e.Compact.Last <= t.Last })
	if i < 0 {
		return allod.Errorf(allod.Internal, "nothing stands for captures %d to %d", e.Compact.First, e.Compact.Last)
	}
	if done[standing[i].Entry] {
		return nil
	}
	for _, o := range standing[i].Packs {
		if err := c.sound(ctx, o); err != nil {
			return allod.WithHint(err, "Nothing of what it replaced was removed. Keep the store as it is; `allod vault verify` names what is damaged.")
		}
	}
	done[standing[i].Entry] = true
	return nil
}

// sound is Corrupt unless an object is what its name says.
func (c *Compactor) sound(ctx context.Context, o vlog.Object) error {
	r, err := c.Store.Get(ctx, o.Name(), 0, -1)
	if err != nil {
		return object.Missing(o.Name(), err)
	}
	h := sha256.New()
	n, err := object.Copy(ctx, h, io.LimitReader(r, o.Size+1))
	if e := r.Close(); err == nil {
		err = e
	}
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "read %s: %w", o.Name(), err)
	}
	if n != o.Size || vlog.Digest(h.Sum(nil)) != o.Digest {
		return allod.Errorf(allod.Corrupt, "read %s: it is not what was stored under this name", o.Name())
	}
	return nil
}
