// Package places counts where keys of a vault lie, and says when what was
// destroyed is gone for good (design/vault.md, "Slots"). It is pure: it decides
// on values, and asks nobody.
package places

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	"allod"
)

// Limits in days.
const (
	DefaultLock = 14 // G where slots lie in a store that locks
	MaxGDPR     = 25 // of G and L together where GDPR applies: Article 12(3) leaves a month
	maxLock     = 3650
)

// CheckLock refuses, with Kind Invalid, to lock slots for g days in a place that
// keeps what is deleted for l days: a negative or absurd number, and where GDPR
// applies more than 25 days together.
func CheckLock(g, l int, gdpr bool) error {
	if g < 0 || l < 0 || g > maxLock || l > maxLock {
		return allod.Errorf(allod.Invalid, "lock slots for %d days in a place that keeps what is deleted for %d: want 0 to %d", g, l, maxLock)
	}
	if gdpr && g+l > MaxGDPR {
		err := allod.Errorf(allod.Invalid, "lock slots for %d days in a place that keeps what is deleted for %d: an erasure would be final after %d days, more than %d", g, l, g+l, MaxGDPR)
		return allod.WithHint(err, "Lock them for %d days or fewer (slots: lock_days in allod.yaml); where GDPR does not apply, say so there with gdpr: false.", max(0, MaxGDPR-l))
	}
	return nil
}

// Final returns when an erasure is final whose puncture was committed at the
// given time: g days later the locks of the old slots have ended, and l days
// after that the place has let go of what was deleted. The date is in UTC, and
// no key is left from then on, if every place did as counted. The reasons say
// why it is not at once; none for a local folder.
func Final(punctured time.Time, g, l int) (date time.Time, reasons []string) {
	g, l = max(g, 0), max(l, 0)
	if g > 0 {
		reasons = append(reasons, fmt.Sprintf("slots are locked for up to %s, so that nobody can destroy the vault by destroying its keys", days(g)))
	}
	if l > 0 {
		reasons = append(reasons, fmt.Sprintf("the place keeps what is deleted for %s", days(l)))
	}
	return punctured.UTC().Add(time.Duration(g+l) * 24 * time.Hour), reasons
}

func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// Kind of a place.
type Kind string

// The kinds of places.
const (
	Slots    Kind = "slots"    // an erasable place of the configuration
	Store    Kind = "store"    // the vault's store: ciphertext and the sealed tree, no slots
	Copy     Kind = "copy"     // another copy of the store, or of a slots folder
	Worker   Kind = "worker"   // a process that holds the tree in memory, under a lease
	Exported Kind = "exported" // a slot that was taken elsewhere: a file on a stick, in a safe
)

// Known reports whether k is one of the kinds.
func (k Kind) Known() bool {
	switch k {
	case Slots, Store, Copy, Worker, Exported:
		return true
	}
	return false
}

// Place is where keys of the vault may lie. Times are UTC.
type Place struct {
	Name   string    `json:"name"` // a–z, 0–9, -, at most 40
	Kind   Kind      `json:"kind"`
	Keys   bool      `json:"keys"`             // slots or the open tree are there; without them nothing there opens a record
	Note   string    `json:"note,omitempty"`   // for people: what and where it is
	Since  time.Time `json:"since,omitzero"`   // when it was counted first
	Epoch  uint64    `json:"epoch,omitempty"`  // newest epoch that it has keys of; 0 = not known
	Oldest uint64    `json:"oldest,omitempty"` // oldest epoch that it still has keys of; 0 = not known
	Locked time.Time `json:"locked,omitzero"`  // until when the older ones are locked; zero = not, or not known
	Lease  time.Time `json:"lease,omitzero"`   // of a worker: its keys are gone by then
	Lost   string    `json:"lost,omitempty"`   // why it cannot be reached now; "" = it can

	Destroyed *Declaration `json:"destroyed,omitempty"`
}

// Declaration says that a named person has destroyed a place.
type Declaration struct {
	By   string    `json:"by"` // who says so
	At   time.Time `json:"at"`
	Text string    `json:"text,omitempty"` // how, in their words
}

// State of a place, seen from an epoch.
type State string

// The states. Pending ones keep an erasure from being final.
const (
	NoKeys      State = "no keys"     // nothing there opens a record
	Rotated     State = "rotated"     // it has keys of this epoch or later, and none from before
	Ended       State = "ended"       // a worker whose lease has run out
	Destroyed   State = "destroyed"   // a named person has declared so
	Waiting     State = "waiting"     // pending: older keys are there, and go when a lock or lease has ended
	Unreachable State = "unreachable" // pending: nobody knows
	Behind      State = "behind"      // pending: it was not rotated
)

// Pending reports whether an erasure is not final because of the place.
func (s State) Pending() bool { return s == Waiting || s == Unreachable || s == Behind }

// StateOf says how the place stands to an epoch, at a time.
func (p Place) StateOf(epoch uint64, now time.Time) State {
	switch {
	case p.Destroyed != nil:
		return Destroyed
	case !p.Keys:
		return NoKeys
	case p.Kind == Worker && p.Epoch >= epoch:
		return Rotated
	case p.Kind == Worker && p.Lease.IsZero():
		return Unreachable
	case p.Kind == Worker && now.Before(p.Lease):
		return Waiting
	case p.Kind == Worker:
		return Ended
	case p.Lost != "":
		return Unreachable
	case p.Kind == Exported || p.Kind == Copy: // nobody reads it: what it was given is what it has
		if p.Epoch >= epoch {
			return Rotated
		}
		return Behind
	case p.Epoch < epoch:
		return Behind
	case p.Oldest >= epoch:
		return Rotated
	case p.Oldest == 0:
		return Unreachable
	}
	return Waiting
}

// Item is one place that an erasure waits for.
type Item struct {
	Place string    `json:"place"`
	State State     `json:"state"`
	Until time.Time `json:"until,omitzero"` // when it ends by itself; zero = somebody has to do something
	Next  string    `json:"next"`           // what
}

// Pending lists, by name, the places that an erasure waits for whose puncture
// moved the tree to the epoch. Empty: every place is rotated, ended, or declared
// destroyed.
func Pending(epoch uint64, all []Place, now time.Time) []Item {
	var items []Item
	for _, p := range all {
		s := p.StateOf(epoch, now)
		if !s.Pending() {
			continue
		}
		item := Item{Place: p.Name, State: s, Next: next(p, s)}
		switch {
		case s == Waiting && p.Kind == Worker:
			item.Until = p.Lease
		case s == Waiting:
			item.Until = p.Locked
		}
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b Item) int { return cmp.Compare(a.Place, b.Place) })
	return items
}

func next(p Place, s State) string {
	switch {
	case s == Waiting && p.Kind == Worker:
		return "wait until its lease has ended"
	case s == Waiting && p.Locked.IsZero():
		return "destroy the older slots: `allod vault keys renew` does, and `allod serve`"
	case s == Waiting:
		return "wait until the locks of the older slots have ended"
	case p.Kind == Copy || p.Kind == Exported:
		return "destroy it, and have it declared: `allod vault places declare-destroyed " + p.Name + "`"
	}
	return "reach it again, or have it declared destroyed: `allod vault places declare-destroyed " + p.Name + "`"
}

var placeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Check refuses, with Kind Invalid, a place that cannot be counted.
func (p Place) Check() error {
	switch {
	case !placeName.MatchString(p.Name):
		return allod.WithHint(allod.Errorf(allod.Invalid, "count the place %q: that is no name", p.Name), "Use lower-case letters, digits and hyphens, at most 40.")
	case !p.Kind.Known():
		return allod.WithHint(allod.Errorf(allod.Invalid, "count the place %s: there is no kind %q", p.Name, p.Kind), "Kinds are copy and exported; slots, stores and workers are counted by themselves.")
	case len(p.Note) > 1000:
		return allod.Errorf(allod.Invalid, "count the place %s: its note has more than 1,000 bytes", p.Name)
	}
	return nil
}
