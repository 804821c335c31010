package escrow

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/keytree"
	"allod/internal/vault/object"
)

// maxObjects bounds how many objects of one place are looked at.
const maxObjects = 10_000_000

// Write puts an object into every place, reads it back, and checks it as far as
// that goes without the container's key: the bytes, signature and record.
func Write(ctx context.Context, places []blob.Mutable, r Record, b []byte, pin Pin) error {
	if len(places) == 0 {
		return allod.Errorf(allod.Invalid, "write an escrow object: no place of slots is configured")
	}
	name := r.Name()
	for _, place := range places {
		if err := place.Replace(ctx, name, b); err != nil {
			return allod.Errorf(allod.KindOf(err), "write %s: %w", name, err)
		}
		stored, err := object.Get(ctx, place, name, maxObject)
		if err != nil {
			return err
		}
		if !bytes.Equal(stored, b) {
			return allod.Errorf(allod.Corrupt, "write %s: the place gave back other bytes", name)
		}
		if o, err := Parse(stored, pin); err != nil || o.Record != r {
			return allod.Errorf(allod.Internal, "write %s: it would not be read again: %w", name, err)
		}
	}
	return nil
}

// Copy writes the object of a record from the first place that has a good one
// into another place, as Write does. Errors as of Read and Write.
func Copy(ctx context.Context, from []blob.Mutable, to blob.Mutable, r Record, pin Pin) error {
	o, b, err := read(ctx, from, r, pin)
	if err != nil {
		return err
	}
	return Write(ctx, []blob.Mutable{to}, o.Record, b, pin)
}

// Read returns the object of a record from the first place that has a good one.
// NotFound when none has it; otherwise the first error.
func Read(ctx context.Context, places []blob.Mutable, r Record, pin Pin) (*Object, error) {
	o, _, err := read(ctx, places, r, pin)
	return o, err
}

func read(ctx context.Context, places []blob.Mutable, r Record, pin Pin) (*Object, []byte, error) {
	name := r.Name()
	var failed error
	for _, place := range places {
		b, err := object.Get(ctx, place, name, maxObject)
		if errors.Is(err, blob.ErrNotFound) {
			continue
		}
		var o *Object
		if err == nil {
			o, err = Parse(b, pin)
		}
		if err == nil && o.Name() != name {
			err = allod.Errorf(allod.Corrupt, "it holds the escrow of another record")
		}
		if err == nil {
			return o, b, nil
		}
		if failed == nil {
			failed = object.Named(name, err)
		}
	}
	if failed == nil {
		failed = allod.WithHint(allod.Errorf(allod.NotFound, "read %s: no place of slots has it", name), "Put it back from a copy: without it nobody opens the record again.")
	}
	return nil, nil, failed
}

// List returns what the names of a place's objects say: container, tag, run and
// epoch; with versions, of those too that were deleted or hidden and are not
// gone. Corrupt for a name that is none.
func List(ctx context.Context, place blob.Store, versions bool) ([]Record, error) {
	var out []Record
	add := func(name string) error {
		r, ok := ParseName(name)
		if !ok {
			return allod.WithHint(allod.Errorf(allod.Corrupt, "list escrow objects: %s is not the name of one", name), "Look what it is, and take it away from there.")
		}
		if len(out) == maxObjects {
			return allod.Errorf(allod.Corrupt, "list escrow objects: more than %d", maxObjects)
		}
		if n := len(out); n == 0 || out[n-1] != r {
			out = append(out, r)
		}
		return nil
	}
	if v, ok := place.(blob.Versioned); ok && versions {
		for version, err := range v.Versions(ctx, Prefix) {
			if err == nil {
				err = add(version.Name)
			}
			if err != nil {
				return nil, allod.Errorf(allod.KindOf(err), "list the versions of escrow objects: %w", err)
			}
		}
		return out, nil
	}
	for info, err := range place.List(ctx, Prefix) {
		if err == nil {
			err = add(info.Name)
		}
		if err != nil {
			return nil, allod.Errorf(allod.KindOf(err), "list escrow objects: %w", err)
		}
	}
	return out, nil
}

// Remove deletes the objects that chosen says from a place, with every version,
// checks that none is left, and returns how many there were. It goes on after
// an error and returns the first: Denied, wrapping blob.ErrLocked, while one is
// locked.
func Remove(ctx context.Context, place blob.Mutable, chosen func(*Record) bool) (int, error) {
	all, err := List(ctx, place, true)
	if err != nil {
		return 0, err
	}
	n := 0
	var failed error
	for i := range all {
		if !chosen(&all[i]) {
			continue
		}
		if err := place.Delete(ctx, all[i].Name()); err != nil {
			if failed == nil {
				failed = allod.Errorf(allod.KindOf(err), "destroy %s: %w", all[i].Name(), err)
			}
			continue
		}
		n++
	}
	if failed != nil || n == 0 {
		return n, failed
	}
	left, err := List(ctx, place, true)
	if err != nil {
		return n, err
	}
	if i := slices.IndexFunc(left, func(r Record) bool { return chosen(&r) }); i >= 0 {
		return n, allod.Errorf(allod.Unavailable, "destroy %s: it is still there", left[i].Name())
	}
	return n, nil
}

// Facts are what decides whether an object counts.
type Facts struct {
	Whole   func(keytree.Tag) *keytree.AbsentError // how the record is listed as absent; nil = it is not
	RunOf   func(entry uint64) string              // run of a log entry, "" for one that is not known
	HasRun  func(run string) bool                  // whether an entry of the log has the run
	InForce uint64                                 // epoch of new rows
}

// Counts reports whether the object is what a record is to be opened with: the
// log entry that made the record absent as restricted or held is of its run.
func (f Facts) Counts(r *Record) bool {
	why := f.Whole(r.Tag)
	return why != nil && (why.Kind == keytree.Restricted || why.Kind == keytree.Held) && f.RunOf(why.Log) == hex.EncodeToString(r.Run[:])
}

// Stale reports whether an object is to be removed: it does not count, and no
// puncture that is on its way will make it so.
func (f Facts) Stale(r *Record) bool {
	if f.Counts(r) {
		return false
	}
	return f.Whole(r.Tag) != nil || r.Epoch < f.InForce || f.HasRun(hex.EncodeToString(r.Run[:]))
}
