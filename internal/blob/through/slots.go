package through

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"allod"
	"allod/internal/blob"
)

// maxSlot bounds how much of an object of a place of slots is looked at.
const maxSlot = 1 << 20

// place is what a place of slots that keeps versions can do.
type place interface {
	blob.Mutable
	blob.Versioned
	blob.Locker
	blob.Describer
}

// Slots is a place of slots that keeps versions. Its objects may be replaced,
// so not the oldest version counts but the newest that Valid takes: what
// somebody put in front of a slot, other bytes or a delete marker, neither
// takes its place nor hides it. A slot that was destroyed has no versions left.
// Everything but reading goes to the place as it is. Use WrapSlots.
type Slots struct {
	place
	valid func(name string, b []byte) bool
	notes
}

var (
	_ place        = (*Slots)(nil)
	_ blob.Witness = (*Slots)(nil)
)

// WrapSlots reads a place of slots through, if it keeps versions; otherwise it
// returns m itself. valid says whether bytes are the object of this name, whoever
// put them there.
func WrapSlots(m blob.Mutable, valid func(name string, b []byte) bool) blob.Mutable {
	if in, ok := m.(place); ok && in.KeepsVersions() {
		return &Slots{place: in, valid: valid, notes: newNotes()}
	}
	return m
}

// newest returns the bytes of the version to read, the newest of all if none is
// valid. ErrNotFound if there is none.
func (s *Slots) newest(ctx context.Context, what string, h history) (blob.Version, []byte, error) {
	var first blob.Version
	var fallback []byte
	for _, v := range h {
		if v.Marker {
			continue
		}
		r, err := s.GetVersion(ctx, v.Name, v.ID, 0, maxSlot)
		if errors.Is(err, blob.ErrNotFound) {
			continue // destroyed since
		}
		if err != nil {
			return v, nil, err
		}
		b, err := io.ReadAll(io.LimitReader(r, maxSlot))
		if err := errors.Join(err, r.Close()); err != nil {
			return v, nil, allod.Errorf(allod.KindOf(err), "%s %s: %w", what, v.Name, err)
		}
		if s.valid(v.Name, b) {
			if v.ID != h[0].ID {
				s.note(v.Name, h, "the newest that is genuine is read")
			}
			return v, b, nil
		}
		if first.ID == "" {
			first, fallback = v, b
		}
	}
	if first.ID == "" || h[0].Marker {
		return first, nil, allod.Errorf(allod.NotFound, "%s: %w", what, blob.ErrNotFound)
	}
	return first, fallback, nil
}

// find looks one name up.
func (s *Slots) find(ctx context.Context, what, name string) (blob.Version, []byte, error) {
	if err := blob.CheckName(name); err != nil {
		return blob.Version{}, nil, err
	}
	for h, err := range histories(s.Versions(ctx, name)) {
		if err != nil {
			return blob.Version{}, nil, err
		}
		if h[0].Name == name {
			return s.newest(ctx, what+" "+name, h)
		}
	}
	return blob.Version{}, nil, allod.Errorf(allod.NotFound, "%s %s: %w", what, name, blob.ErrNotFound)
}

// Get implements blob.Store.
func (s *Slots) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, allod.Errorf(allod.Invalid, "get %s: offset %d", name, off)
	}
	_, b, err := s.find(ctx, "get", name)
	if err != nil {
		return nil, err
	}
	b = b[min(off, int64(len(b))):]
	if n >= 0 {
		b = b[:min(n, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Stat implements blob.Store.
func (s *Slots) Stat(ctx context.Context, name string) (blob.Info, error) {
	v, _, err := s.find(ctx, "stat", name)
	return v.Info, err
}

// List implements blob.Store. It shows hidden slots too.
func (s *Slots) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for h, err := range histories(s.Versions(ctx, prefix)) {
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			v := h[0]
			if v.Marker {
				if v, _, err = s.newest(ctx, "list", h); errors.Is(err, blob.ErrNotFound) {
					continue
				}
			}
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			if !yield(v.Info, nil) {
				return
			}
		}
	}
}

// notes remembers tampering. Methods may be called from several goroutines.
type notes struct {
	mu       *sync.Mutex
	tampered map[string]string
}

func newNotes() notes { return notes{&sync.Mutex{}, map[string]string{}} }

// note remembers that what stands in front of a name is not what is read. A
// check that was cut off may leave anything.
func (n notes) note(name string, h history, instead string) {
	if strings.HasPrefix(name, "blobcheck/") || strings.HasPrefix(name, "probes/") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tampered[name] = h.front() + "; " + instead
}

// Tampered implements blob.Witness.
func (n notes) Tampered() []blob.Tampering {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []blob.Tampering
	for name, what := range n.tampered {
		all = append(all, blob.Tampering{Name: name, What: what})
	}
	slices.SortFunc(all, func(a, b blob.Tampering) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
