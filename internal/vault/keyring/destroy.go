package keyring

import (
	"context"
	"errors"
	"slices"
	"time"

	"allod"
	"allod/internal/blob"
)

// Locked is a slot object that its place does not give up yet.
type Locked struct {
	Name  string    `json:"name"`           // of the object, e.g. "slots/paper@3"
	Until time.Time `json:"until,omitzero"` // UTC; zero where the place does not say, or only an earlier version is locked
}

// Destruction says what became of the slot objects that were to be destroyed.
type Destruction struct {
	Objects int      `json:"objects"`          // that are gone, with all their versions
	Locked  []Locked `json:"locked,omitempty"` // that are still there, by name
}

// DestroySlots deletes the slot objects of a place that chosen says, with every
// version and delete marker that the place keeps of them, and checks that none
// is left. What is locked is reported, and no error: call it again when its lock
// has ended. It goes on after an error, and returns the first.
func DestroySlots(ctx context.Context, place blob.Mutable, chosen func(slot string, epoch uint64) bool) (Destruction, error) {
	var d Destruction
	names, err := slotObjects(ctx, place, chosen)
	if err != nil {
		return d, err
	}
	kept := map[string]bool{}
	var failed error
	for _, name := range names {
		err := place.Delete(ctx, name)
		switch {
		case errors.Is(err, blob.ErrLocked):
			kept[name] = true
			d.Locked = append(d.Locked, Locked{Name: name, Until: lockedUntil(ctx, place, name)})
		case err != nil:
			kept[name] = true
			if failed == nil {
				failed = allod.Errorf(allod.KindOf(err), "destroy %s: %w", name, err)
			}
		default:
			d.Objects++
		}
	}
	if failed != nil {
		return d, failed
	}
	left, err := slotObjects(ctx, place, chosen)
	if err != nil {
		return d, err
	}
	for _, name := range left {
		if !kept[name] {
			return d, allod.Errorf(allod.Unavailable, "destroy %s: it is still there", name)
		}
	}
	return d, nil
}

// lockedUntil asks the place; zero where it does not say.
func lockedUntil(ctx context.Context, place blob.Store, name string) time.Time {
	l, ok := place.(blob.Locker)
	if !ok {
		return time.Time{}
	}
	until, err := l.LockedUntil(ctx, name)
	if err != nil { // e.g. a delete marker lies over it: that it is locked is reported all the same
		return time.Time{}
	}
	return until.UTC()
}

// Destroy deletes the slot objects of every epoch before the given one, with
// all versions that the place keeps, checks that none is left, and returns how
// many there were. Denied, wrapping blob.ErrLocked and naming the first and
// until when, while one is locked; the others are gone then.
func Destroy(ctx context.Context, place blob.Mutable, before uint64) (int, error) {
	d, err := DestroySlots(ctx, place, func(_ string, epoch uint64) bool { return epoch < before })
	if err != nil || len(d.Locked) == 0 {
		return d.Objects, err
	}
	first := d.Locked[0]
	err = allod.Errorf(allod.Denied, "destroy %s: %w", first.Name, blob.ErrLocked)
	if !first.Until.IsZero() {
		err = allod.Errorf(allod.Denied, "destroy %s: %w until %s", first.Name, blob.ErrLocked, first.Until.Format(time.RFC3339))
	}
	return d.Objects, err
}

// slotObjects are the names of the slot objects that chosen says, ascending;
// where the place keeps versions, of those too that were deleted or hidden.
func slotObjects(ctx context.Context, place blob.Store, chosen func(slot string, epoch uint64) bool) ([]string, error) {
	var names []string
	add := func(name string) {
		if slot, epoch, ok := parseObjectName(name); ok && chosen(slot, epoch) {
			names = append(names, name)
		}
	}
	if v, ok := place.(blob.Versioned); ok {
		for version, err := range v.Versions(ctx, slotPrefix) {
			if err != nil {
				return nil, allod.Errorf(allod.KindOf(err), "list the versions of slots: %w", err)
			}
			add(version.Name)
		}
	} else {
		for info, err := range place.List(ctx, slotPrefix) {
			if err != nil {
				return nil, allod.Errorf(allod.KindOf(err), "list the slots: %w", err)
			}
			add(info.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Held is an object of a slot as a place has it, current or not.
type Held struct {
	Slot  string
	Epoch uint64
	Until time.Time // of its lock, in UTC; zero = not locked, or not said
}

// Holds returns what the place has of slots, by object name; where the place
// keeps versions, what was deleted or hidden too. The bytes are not looked at.
func Holds(ctx context.Context, place blob.Store) ([]Held, error) {
	names, err := slotObjects(ctx, place, func(string, uint64) bool { return true })
	if err != nil {
		return nil, err
	}
	var out []Held
	for _, name := range names {
		slot, epoch, _ := parseObjectName(name)
		out = append(out, Held{Slot: slot, Epoch: epoch, Until: lockedUntil(ctx, place, name)})
	}
	return out, nil
}
