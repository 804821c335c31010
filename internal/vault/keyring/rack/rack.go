// Package rack looks after the slots of one vault in all their places: which
// there are and when each was proved to open, adding and removing them, locking
// them, counting where they lie. It holds no secrets.
package rack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/places"
	"allod/internal/vault/object"
)

// Rack is the slots of a vault. Methods may be called from several goroutines;
// those that write, by one process at a time.
type Rack struct {
	Places []blob.Mutable // erasable places, as configured; called "place 1", "place 2", …
	Pin    keyring.Pin
	Now    func() time.Time
	Epoch  func(ctx context.Context) (uint64, error) // in force, as the log says now
}

// Entry is one slot in one place. Times are UTC.
type Entry struct {
	Name    string       `json:"name"`
	Kind    string       `json:"kind"`
	Role    keyring.Role `json:"role"`
	Place   string       `json:"place"`
	Root    uint64       `json:"root"`
	Epoch   uint64       `json:"epoch"`
	Written time.Time    `json:"written"`         // by the clock of who wrote it
	Proved  time.Time    `json:"proved,omitzero"` // when it was last opened for real; zero = never
	Locked  time.Time    `json:"locked,omitzero"` // until when the place refuses to delete it; zero = it does not, or does not say

	Half string `json:"half"` // digest of the public half: slots with the same one are opened by the same key

	wrapped []byte
}

// Wrapped is the private half as it was wrapped; do not change it.
func (e *Entry) Wrapped() []byte { return e.wrapped }

// PlaceName is what the place with the index is called.
func PlaceName(index int) string { return fmt.Sprintf("place %d", index+1) }

// proofName is where the newest proof of a slot lies: beside the slots.
func proofName(slot string) string { return "proofs/" + slot }

const maxProof = 1 << 16

// proof is what lies there: for people, believed by nobody (FORMAT.md,
// section 1).
type proof struct {
	keyring.Proof
	Half string `json:"half,omitempty"`
}

func half(recipient string) string {
	sum := sha256.Sum256([]byte(recipient))
	return hex.EncodeToString(sum[:8])
}

// List returns every slot of every place, by place, newest epoch first, then by
// name, and what else lies there in words.
func (r *Rack) List(ctx context.Context) (entries []Entry, warnings []string, err error) {
	for i, place := range r.Places {
		slots, bad, err := keyring.List(ctx, place, r.Pin)
		if err != nil {
			return nil, nil, allod.Errorf(allod.KindOf(err), "%s of slots: %w", PlaceName(i), err)
		}
		for _, b := range bad {
			warnings = append(warnings, PlaceName(i)+": "+b.Error())
		}
		for _, s := range slots {
			e := Entry{Name: s.Name, Kind: s.Kind, Role: s.Role, Place: PlaceName(i), Root: s.Root, Epoch: s.Epoch, Written: s.Written, Half: half(s.Recipient), wrapped: s.Wrapped}
			if e.Proved, err = proved(ctx, place, &e); err != nil {
				return nil, nil, err
			}
			if l, ok := place.(blob.Locker); ok {
				if until, err := l.LockedUntil(ctx, keyring.ObjectName(s.Name, s.Epoch)); err == nil && r.Now().Before(until) {
					e.Locked = until.UTC()
				}
			}
			entries = append(entries, e)
		}
	}
	return entries, warnings, nil
}

// proved reads the newest proof of a slot; zero if there is none. One of an
// earlier epoch counts: rotation carries the private half on as it is.
func proved(ctx context.Context, place blob.Store, e *Entry) (time.Time, error) {
	b, err := object.Get(ctx, place, proofName(e.Name), maxProof)
	if errors.Is(err, blob.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	var p proof
	if json.Unmarshal(b, &p) != nil || p.Slot != e.Name || p.Epoch > e.Epoch || p.Half != "" && p.Half != e.Half {
		return time.Time{}, nil
	}
	return p.At.UTC(), nil
}

// Prove opens the named slot of the epoch in force for real, in every place
// that has it, and records the date there. NotFound when no place has it.
func (r *Rack) Prove(ctx context.Context, slot string, w keyring.Wrapper) error {
	epoch, err := r.Epoch(ctx)
	if err != nil {
		return err
	}
	entries, _, err := r.List(ctx)
	if err != nil {
		return err
	}
	found := false
	for i, place := range r.Places {
		p, err := keyring.Prove(ctx, place, r.Pin, epoch, slot, w, r.Now)
		if allod.KindOf(err) == allod.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		at := slices.IndexFunc(entries, func(e Entry) bool { return e.Place == PlaceName(i) && e.Name == slot && e.Epoch == p.Epoch })
		if at < 0 {
			return allod.WithHint(allod.Errorf(allod.Conflict, "record that slot %s opens: it was written meanwhile", slot), "Run the command again.")
		}
		b, err := json.Marshal(proof{Proof: p, Half: entries[at].Half})
		if err != nil {
			return allod.Errorf(allod.Internal, "record a proof: %w", err)
		}
		if err := place.Replace(ctx, proofName(slot), bytes.TrimSpace(b)); err != nil {
			return allod.Errorf(allod.KindOf(err), "record that slot %s opens: %w", slot, err)
		}
		found = true
	}
	if !found {
		return allod.Errorf(allod.NotFound, "prove slot %s: no place has it", slot)
	}
	return nil
}

// Add writes a new slot into every place, for the epoch of the secrets, and
// reads it back. Conflict if a place has a slot of its name, or if the keys were
// rotated meanwhile. After an error no place has it, if the places let it be
// removed.
func (r *Rack) Add(ctx context.Context, slot keyring.Slot, s keyring.Secrets) error {
	if len(r.Places) == 0 {
		return allod.Errorf(allod.Invalid, "add slot %s: no place of slots is configured", slot.Name)
	}
	entries, _, err := r.List(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e Entry) bool { return e.Name == slot.Name }) {
		return allod.WithHint(allod.Errorf(allod.Conflict, "add slot %s: there is one of this name", slot.Name), "Choose another name; `allod vault keys list` shows those there are.")
	}
	for _, place := range r.Places { // a proof of an earlier slot of the name proves nothing of this one
		if err := place.Delete(ctx, proofName(slot.Name)); err != nil {
			return allod.Errorf(allod.KindOf(err), "add slot %s: %w", slot.Name, err)
		}
	}
	err = keyring.Write(ctx, r.Places, []keyring.Slot{slot}, s, r.Now)
	if err == nil {
		var epoch uint64
		if epoch, err = r.Epoch(ctx); err == nil && epoch != s.Epoch {
			err = allod.WithHint(allod.Errorf(allod.Conflict, "add slot %s: the keys were rotated meanwhile", slot.Name), "Run the command again.")
		}
	}
	if err != nil {
		_, undo := r.destroy(context.WithoutCancel(ctx), slot.Name)
		return errors.Join(err, undo)
	}
	return nil
}

// destroy removes every object of the named slot from every place.
func (r *Rack) destroy(ctx context.Context, name string) (keyring.Destruction, error) {
	var all keyring.Destruction
	var errs []error
	for i, place := range r.Places {
		d, err := keyring.DestroySlots(ctx, place, func(slot string, _ uint64) bool { return slot == name })
		all.Objects += d.Objects
		for _, l := range d.Locked {
			l.Name = PlaceName(i) + ": " + l.Name
			all.Locked = append(all.Locked, l)
		}
		if err == nil && len(d.Locked) == 0 {
			err = place.Delete(ctx, proofName(name))
		}
		if err != nil {
			errs = append(errs, allod.Errorf(allod.KindOf(err), "%s: %w", PlaceName(i), err))
		}
	}
	return all, errors.Join(errs...)
}

// Drop destroys the named slot in every place, whatever is left: one that was
// added a moment ago and is of no use.
func (r *Rack) Drop(ctx context.Context, name string) error {
	_, err := r.destroy(ctx, name)
	return err
}

// Remove destroys the named slot in every place, if what is left still lets
// people in (Judge). force leaves fewer than two proved reader slots, never
// none, and never only such as need a service. Denied otherwise, NotFound if no
// place has it. What is locked is in the Destruction: it opens the vault until
// its lock has ended.
//
// Who has kept a copy of the slot and what opens it is not locked out
// (THREATS.md, "Slots and keys").
func (r *Rack) Remove(ctx context.Context, name string, force bool) (keyring.Destruction, error) {
	epoch, err := r.Epoch(ctx)
	if err != nil {
		return keyring.Destruction{}, err
	}
	entries, _, err := r.List(ctx)
	if err != nil {
		return keyring.Destruction{}, err
	}
	if !slices.ContainsFunc(entries, func(e Entry) bool { return e.Name == name }) {
		return keyring.Destruction{}, allod.WithHint(allod.Errorf(allod.NotFound, "remove slot %s: no place has it", name), "`allod vault keys list` shows those there are.")
	}
	left := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Name == name })
	j := Judge(left, epoch, r.Now())
	switch {
	case len(j.Readers) == 0:
		err = allod.WithHint(allod.Errorf(allod.Denied, "remove slot %s: nothing else would open the vault", name), "Add another slot first: `allod vault keys add` or `allod vault keys paper`.")
	case j.OnlyServices:
		err = allod.WithHint(allod.Errorf(allod.Denied, "remove slot %s: what is left (%s) opens only while a service answers", name, strings.Join(j.Readers, ", ")), "Add a slot that needs no service first, e.g. `allod vault keys paper`.")
	case len(j.Proved) < enough && !force:
		err = allod.WithHint(allod.Errorf(allod.Denied, "remove slot %s: %d of %d reader slots with keys of their own would be left that were proved to open in the last 90 days", name, len(j.Proved), enough),
			"Prove others first with `allod vault keys prove NAME`, or add --yes to remove it all the same.")
	}
	if err != nil {
		return keyring.Destruction{}, err
	}
	return r.destroy(ctx, name)
}

// Two reader slots with independent private halves, each proved in the last 90
// days (design/vault.md, "Slots").
const (
	enough       = 2
	provedWithin = 90 * 24 * time.Hour
)

// Open opens a slot of an epoch, in the first of the places that has one that w
// opens. Its errors are those of keyring.OpenSlot; Invalid without places.
func (r *Rack) Open(ctx context.Context, epoch uint64, w keyring.Wrapper) (keyring.Secrets, error) {
	var refused error
	for _, place := range r.Places {
		secrets, _, err := keyring.OpenSlot(ctx, place, r.Pin, epoch, w)
		if err == nil {
			return secrets, nil
		}
		if refused == nil || allod.KindOf(refused) == allod.NotFound {
			refused = err
		}
	}
	if refused == nil {
		refused = allod.Errorf(allod.Invalid, "open the vault: no place of slots is configured")
	}
	return keyring.Secrets{}, refused
}

// Judgement says whether people get in.
type Judgement struct {
	Readers      []string // names of slots that open rows, ascending
	Proved       []string // of those, one per private half that was proved in the last 90 days
	OnlyServices bool     // there are readers, and each needs a key management service
	Warnings     []string // what should be mended, in words
}

// Judge looks at the slots of an epoch. It is pure.
func Judge(entries []Entry, epoch uint64, now time.Time) Judgement {
	var j Judgement
	readers, halves, where := map[string]string{}, map[string]bool{}, map[string]bool{}
	j.OnlyServices = true
	for _, e := range entries {
		where[e.Place] = true
		if !e.Role.Reader() || e.Epoch != epoch {
			continue
		}
		readers[e.Name] = e.Kind
		if !service(e.Kind) {
			j.OnlyServices = false
		}
		if !e.Proved.IsZero() && now.Sub(e.Proved) < provedWithin && !halves[e.Half] {
			halves[e.Half] = true
			j.Proved = append(j.Proved, e.Name)
		}
	}
	for name := range readers {
		j.Readers = append(j.Readers, name)
	}
	slices.Sort(j.Readers)
	slices.Sort(j.Proved)
	j.OnlyServices = j.OnlyServices && len(j.Readers) > 0
	if len(j.Proved) < enough {
		j.Warnings = append(j.Warnings, fmt.Sprintf("%d of %d reader slots were proved to open in the last 90 days: prove them with `allod vault keys prove`", len(j.Proved), enough))
	}
	if j.OnlyServices {
		j.Warnings = append(j.Warnings, "every reader slot needs a key management service: add one that needs none with `allod vault keys paper`")
	}
	return j
}

// service reports whether slots of the kind open only while a service answers.
// Kinds that this program does not know count as such.
func service(kind string) bool {
	return !slices.Contains([]string{keyring.KindPassphrase, keyring.KindKeyFile, keyring.KindPaper, "age"}, kind)
}

// Renewal says what a renewal of locks did in one place.
type Renewal struct {
	Place  string    `json:"place"`
	Slots  int       `json:"slots"`          // that are locked until Until now
	Until  time.Time `json:"until,omitzero"` // UTC
	Cannot bool      `json:"cannot,omitempty"`
	Err    error     `json:"-"`
}

// Lock locks the slots of the epoch in force for g days from now, in every
// place that can; call it daily. 0 days lock nothing. Those of other epochs are
// left to run out. A place that fails is named in its Renewal; the others are
// done all the same. The caller checks g with places.CheckLock.
func (r *Rack) Lock(ctx context.Context, g int) ([]Renewal, error) {
	if g <= 0 {
		return nil, nil
	}
	epoch, err := r.Epoch(ctx)
	if err != nil {
		return nil, err
	}
	var out []Renewal
	until := r.Now().UTC().Add(time.Duration(g) * 24 * time.Hour).Truncate(time.Second)
	for i, place := range r.Places {
		n := Renewal{Place: PlaceName(i), Until: until}
		l, ok := place.(blob.Locker)
		if ok {
			n.Slots, n.Err = lock(ctx, place, l, r.Pin, epoch, until)
		}
		if !ok || errors.Is(n.Err, blob.ErrLockUnsupported) {
			n = Renewal{Place: PlaceName(i), Cannot: true}
		}
		out = append(out, n)
	}
	return out, nil
}

func lock(ctx context.Context, place blob.Store, l blob.Locker, pin keyring.Pin, epoch uint64, until time.Time) (int, error) {
	slots, _, err := keyring.List(ctx, place, pin)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, s := range slots {
		if s.Epoch != epoch {
			continue
		}
		name := keyring.ObjectName(s.Name, s.Epoch)
		if have, err := l.LockedUntil(ctx, name); err == nil && !have.Before(until) {
			n++ // by somebody who locks for longer, or a minute ago
			continue
		}
		if err := l.Lock(ctx, name, until); err != nil {
			return n, allod.Errorf(allod.KindOf(err), "lock %s: %w", name, err)
		}
		n++
	}
	return n, nil
}

// Count counts the places for places.Pending, in their order: which epochs each
// has slots of. A place that does not answer is Lost.
func (r *Rack) Count(ctx context.Context) []places.Place {
	var out []places.Place
	for i, place := range r.Places {
		p := places.Place{Name: strings.ReplaceAll(PlaceName(i), " ", "-"), Kind: places.Slots, Keys: true}
		held, err := keyring.Holds(ctx, place)
		if err != nil {
			p.Lost = err.Error()
		}
		for _, h := range held {
			p.Epoch = max(p.Epoch, h.Epoch)
			if p.Oldest == 0 || h.Epoch < p.Oldest {
				p.Oldest = h.Epoch
			}
		}
		for _, h := range held { // of the newest slots the lock goes on for ever
			if h.Epoch < p.Epoch && h.Until.After(p.Locked) {
				p.Locked = h.Until
			}
		}
		out = append(out, p)
	}
	return out
}

// Oldest is the oldest epoch of which a place has a slot, if only as a version
// behind others; 0 when a place does not answer, the largest number when there
// is none.
func (r *Rack) Oldest(ctx context.Context) uint64 {
	oldest := uint64(math.MaxUint64)
	for _, p := range r.Count(ctx) {
		switch {
		case p.Lost != "":
			return 0
		case p.Oldest > 0:
			oldest = min(oldest, p.Oldest)
		}
	}
	return oldest
}
