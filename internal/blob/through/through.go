// Package through reads a store that keeps versions as its writers left it. The
// objects of a vault are put once and never replaced: whatever stands in front
// of the first version of a name, other bytes or a delete marker, was put there
// by somebody else. It is read through, and remembered as tampering.
//
// Among several versions of a name that is the SHA-256 of the object (packs,
// files) the one is read that has this digest; of another name the oldest that
// is left. So nobody who may write and delete, but not remove versions (or not
// those that are locked), changes what a vault reads.
package through

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"allod"
	"allod/internal/blob"
)

// maxKnown bounds how many names are remembered; each costs some 200 bytes.
const maxKnown = 1 << 16

// inner is a store that keeps versions.
type inner interface {
	blob.Store
	blob.Versioned
}

// Store is a versioned store, read through. Use Wrap. Its clients see
// blob.Store alone: what has versions has none for them. Every object costs one
// more request when it is first touched, log entries one for a thousand.
type Store struct {
	inner inner

	mu    sync.Mutex
	known map[string]blob.Version
	notes
}

var (
	_ blob.Store   = (*Store)(nil)
	_ blob.Witness = (*Store)(nil)
)

// Wrap reads s through, if it keeps versions; otherwise it returns s itself.
func Wrap(s blob.Store) blob.Store {
	if in, ok := s.(inner); ok && in.KeepsVersions() {
		return &Store{inner: in, known: map[string]blob.Version{}, notes: newNotes()}
	}
	return s
}

// history is what a store has of one name, the newest first.
type history []blob.Version

// bodies are the versions that have bytes, the oldest first.
func (h history) bodies() []blob.Version {
	all := slices.DeleteFunc(slices.Clone(h), func(v blob.Version) bool { return v.Marker })
	slices.Reverse(all)
	return all
}

// front says what stands before the version that is read.
func (h history) front() string {
	if h[0].Marker {
		return "it was hidden by a delete marker after it was stored"
	}
	return fmt.Sprintf("it was overwritten after it was stored: it has %d versions", len(h.bodies()))
}

// histories groups versions by name.
func histories(seq iter.Seq2[blob.Version, error]) iter.Seq2[history, error] {
	return func(yield func(history, error) bool) {
		var h history
		for v, err := range seq {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(h) > 0 && h[0].Name != v.Name {
				if !yield(h, nil) {
					return
				}
				h = nil
			}
			h = append(h, v)
		}
		if len(h) > 0 {
			yield(h, nil)
		}
	}
}

// choose returns the version to read; false if there is none. It notes what
// stands before it.
func (s *Store) choose(ctx context.Context, h history) (blob.Version, bool, error) {
	bodies := h.bodies()
	if len(bodies) == 0 {
		return blob.Version{}, false, nil
	}
	chosen := bodies[0]
	if want, ok := digestName(chosen.Name); ok && len(bodies) > 1 {
		for _, v := range bodies {
			sum, err := s.digest(ctx, v)
			if err != nil {
				return blob.Version{}, false, err
			}
			if bytes.Equal(sum, want) {
				chosen = v
				break
			}
		}
	}
	if chosen.ID != h[0].ID {
		s.note(chosen.Name, h, "what was stored first is read")
	}
	return chosen, true, nil
}

// digestName returns the SHA-256 that a name like packs/<64 hex digits> is.
func digestName(name string) ([]byte, bool) {
	sum, err := hex.DecodeString(name[strings.LastIndexByte(name, '/')+1:])
	return sum, err == nil && len(sum) == sha256.Size
}

func (s *Store) digest(ctx context.Context, v blob.Version) ([]byte, error) {
	r, err := s.inner.GetVersion(ctx, v.Name, v.ID, 0, -1)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	_, err = io.Copy(h, r)
	return h.Sum(nil), errors.Join(err, r.Close())
}

// find returns the version of a name to read. ErrNotFound if there is none.
func (s *Store) find(ctx context.Context, what, name string) (blob.Version, error) {
	if err := blob.CheckName(name); err != nil {
		return blob.Version{}, err
	}
	s.mu.Lock()
	v, ok := s.known[name]
	s.mu.Unlock()
	if ok {
		return v, nil
	}
	for h, err := range histories(s.inner.Versions(ctx, neighbours(name))) {
		if err != nil {
			return v, allod.WithHint(allod.Errorf(allod.KindOf(err), "%s %s: %w", what, name, err), "%s", allod.HintOf(err))
		}
		if h[0].Name != name && neighbours(name) == name {
			continue // a name that begins with this one
		}
		chosen, there, err := s.choose(ctx, h)
		if err != nil {
			return v, allod.WithHint(allod.Errorf(allod.KindOf(err), "%s %s: %w", what, h[0].Name, err), "%s", allod.HintOf(err))
		}
		if !there {
			continue
		}
		s.remember(chosen)
		if chosen.Name == name {
			v, ok = chosen, true
		}
	}
	if !ok {
		return v, allod.Errorf(allod.NotFound, "%s %s: %w", what, name, blob.ErrNotFound)
	}
	return v, nil
}

// neighbours is the prefix of what is looked up together with a name: of one
// that ends in twenty digits, such as a log entry, the thousand around it.
func neighbours(name string) string {
	const digits, few = 20, 3
	last := name[strings.LastIndexByte(name, '/')+1:]
	if len(last) == digits && strings.Trim(last, "0123456789") == "" {
		return name[:len(name)-few]
	}
	return name
}

func (s *Store) remember(v blob.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[v.Name] = v
}

func (s *Store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, name)
}

// Put implements blob.Store. An object that a delete marker hides exists; one
// whose name is its digest may be put over the marker.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	h := sha256.New()
	if err := s.inner.Put(ctx, name, io.TeeReader(r, h), size, opts); err != nil {
		return err
	}
	s.forget(name)
	if _, ok := digestName(name); ok {
		return nil // whichever is read has this digest
	}
	return s.first(ctx, name, h)
}

// first makes sure that what was just put is the first of its name.
func (s *Store) first(ctx context.Context, name string, put hash.Hash) error {
	var bodies []blob.Version
	for h, err := range histories(s.inner.Versions(ctx, name)) {
		if err != nil {
			return allod.Errorf(allod.Unavailable, "put %s: it is stored, but the store does not say whether it is the first of its name: %w", name, err)
		}
		if h[0].Name == name {
			bodies = h.bodies()
		}
	}
	if len(bodies) <= 1 {
		return nil
	}
	want := put.Sum(nil)
	for i, v := range bodies {
		sum, err := s.digest(ctx, v)
		switch {
		case err != nil:
			return allod.Errorf(allod.Unavailable, "put %s: it is stored behind another of its name: %w", name, err)
		case !bytes.Equal(sum, want):
			continue
		case i == 0:
			return nil // somebody has overwritten it already
		}
		if err := s.inner.DeleteVersion(ctx, name, v.ID); err != nil && !errors.Is(err, blob.ErrLocked) {
			return allod.Errorf(allod.Unavailable, "put %s: it is stored behind another of its name: %w", name, err)
		}
		break
	}
	return allod.Errorf(allod.Conflict, "put %s: a delete marker hides one: %w", name, blob.ErrExists)
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	v, err := s.find(ctx, "get", name)
	if err != nil {
		return nil, err
	}
	r, err := s.inner.GetVersion(ctx, name, v.ID, off, n)
	if !errors.Is(err, blob.ErrNotFound) {
		return r, err
	}
	s.forget(name) // it was deleted since, and perhaps put anew
	if v, err = s.find(ctx, "get", name); err != nil {
		return nil, err
	}
	return s.inner.GetVersion(ctx, name, v.ID, off, n)
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	s.forget(name) // it may have been deleted
	v, err := s.find(ctx, "stat", name)
	if err != nil {
		return blob.Info{}, err
	}
	return v.Info, nil
}

// Delete implements blob.Store. It removes every version.
func (s *Store) Delete(ctx context.Context, name string) error {
	defer s.forget(name)
	return s.inner.Delete(ctx, name)
}

// List implements blob.Store. It shows hidden objects too.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for h, err := range histories(s.inner.Versions(ctx, prefix)) {
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			v, ok, err := s.choose(ctx, h)
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			if ok && !yield(v.Info, nil) {
				return
			}
		}
	}
}
