package lease

import (
	"context"
	"errors"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/object"
)

// Held is a lease that this process has. Its methods may be called by one
// goroutine at a time.
type Held struct {
	book  *Book
	lease Lease
}

// State is what a holder says with each renewal.
type State struct {
	Epoch  uint64
	Counts map[string]int64 // at most 16; not changed afterwards
}

// Take takes a lease that is free, or that this process has already, for a term.
// Conflict, with ErrHeld in the chain, while another process has it. After
// another error the lease may or may not have been taken: then it runs out.
func (b *Book) Take(ctx context.Context, name string, term time.Duration, s State) (*Held, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	number, old, err := b.newest(ctx, name)
	if err != nil {
		return nil, err
	}
	if old != nil && old.Holder != b.Holder {
		if free, _ := b.Free(*old); !free {
			return nil, held(name, old.Holder)
		}
	}
	h := &Held{book: b, lease: Lease{Name: name, Number: number, Holder: b.Holder, Since: b.Now().UTC().Truncate(time.Millisecond), Term: term}}
	if err := h.next(ctx, s); err != nil {
		return nil, err
	}
	return h, nil
}

// Renew lets the lease hold for another term. Conflict, with ErrHeld in the
// chain, when another process has taken it since; after another error it may or
// may not have been renewed.
func (h *Held) Renew(ctx context.Context, s State) error { return h.next(ctx, s) }

// GiveBack ends the lease: the next process need not wait. What remains is one
// object, whose number nobody uses again.
func (h *Held) GiveBack(ctx context.Context) error {
	h.lease.Term = 0
	return h.next(ctx, State{Epoch: h.lease.Epoch, Counts: h.lease.Counts})
}

// Drop ends a lease whose name is that of this process, and which nobody will
// take again: nothing remains where objects may be removed.
func (h *Held) Drop(ctx context.Context) error {
	if h.book.Store.Delete(ctx, objectName(h.lease.Name, h.lease.Number)) == nil {
		return nil
	}
	return h.GiveBack(ctx) // a store that does not let go of it: it says itself that it has ended
}

// next puts the object after the newest that this process knows. THE step that
// takes a lease is this Put; the look behind it finds those that were put, and
// removed, while this process was asleep between reading and writing.
func (h *Held) next(ctx context.Context, s State) error {
	l := h.lease
	l.Epoch, l.Counts = s.Epoch, s.Counts
	for {
		l.Number++
		if l.Number > maxNumber {
			return allod.Errorf(allod.Corrupt, "take the lease %s: its number is out of bounds", l.Name)
		}
		raw, err := h.book.encode(&l)
		if err != nil {
			return err
		}
		err = object.Put(ctx, h.book.Store, objectName(l.Name, l.Number), raw)
		if err == nil {
			break
		}
		if !errors.Is(err, blob.ErrExists) {
			return err
		}
		there, err := h.book.get(ctx, found{name: l.Name, number: l.Number, info: blob.Info{Name: objectName(l.Name, l.Number)}})
		if err != nil && !errors.Is(err, blob.ErrNotFound) {
			return err
		}
		if there == nil || there.Holder != l.Holder {
			return held(l.Name, "")
		}
		// It is our own, of a call whose answer was lost: the next number is.
	}
	all, err := h.book.list(ctx, root+l.Name+"-")
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.number > l.Number {
			_ = h.book.Store.Delete(ctx, objectName(l.Name, l.Number)) // it is behind another, and so of no use whether it stays or not
			return held(l.Name, "")
		}
	}
	h.lease = l
	for _, f := range all {
		if f.number < l.Number {
			_ = h.book.Store.Delete(ctx, f.info.Name) // the same: where it may not be removed it stays
		}
	}
	return nil
}

func held(name, holder string) error {
	if holder != "" {
		return allod.Errorf(allod.Conflict, "take the lease %s: %w: %s", name, ErrHeld, holder)
	}
	return allod.Errorf(allod.Conflict, "take the lease %s: %w", name, ErrHeld)
}
