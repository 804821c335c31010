// Package lease keeps leases in the store of a vault: who does a task now, and
// which processes hold keys (FORMAT.md, section 15). A lease saves work and
// names who has keys; it excludes nobody. What excludes is the log alone: of two
// writers one commits, and the number of a lease that is behind is of no use
// there either way.
//
// A lease is a chain of objects with rising numbers, each put if absent, so
// that a store needs no other ability; the newest counts. It says for how long
// it holds, not until when: clocks of machines differ. See Book.Free.
package lease

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/object"
)

// Limits.
const (
	MaxTerm = 15 * time.Minute // no lease holds longer without being renewed
	MinTerm = 5 * time.Second

	// Slack is how far apart the clocks of a machine and of the store may be:
	// no machine that is further off can write to the log.
	Slack = 5 * time.Minute

	maxObject = 4096 // bytes
	maxCounts = 16
	maxNumber = 1 << 62
	maxListed = 100_000 // objects under one prefix that are looked at
	litter    = 24 * time.Hour
)

// What leases are about: the second part of their names.
const (
	Task = "task" // somebody does it; the third part is a pseudonym of the task
	Keys = "keys" // a process holds keys of the vault; the third part is its Holder
)

const (
	root   = "leases/"
	format = "allod lease v1"
)

// Lease is one lease as it stands in the store.
type Lease struct {
	Name   string           // Task or Keys, "/", 32 hex digits
	Number uint64           // of the object; from 1
	Holder string           // 32 hex digits, drawn by each process anew; names nobody
	Since  time.Time        // when the holder took it; the holder's clock, UTC, whole milliseconds
	Term   time.Duration    // how long it holds from Stored on without being renewed; 0 = given back
	Epoch  uint64           // Keys: newest epoch whose keys the holder has; 0 = not known
	Counts map[string]int64 // how far the task is; words as in the ledger
	Stored time.Time        // when the object was stored; the store's clock, UTC
}

// wire is the object of a lease.
type wire struct {
	Format string           `json:"format"`
	Holder string           `json:"holder"`
	Since  time.Time        `json:"since"`
	TermMS int64            `json:"term_ms"`
	Epoch  uint64           `json:"epoch,omitempty"`
	Counts map[string]int64 `json:"counts,omitempty"`
	Mark   string           `json:"mark,omitempty"`
}

// Book takes, renews and reads leases. Its methods may be called from several
// goroutines.
type Book struct {
	Store  blob.Store
	Holder string           // of this process
	Now    func() time.Time // with a steady clock, as time.Now has

	// Mark makes a mark of a text that only those with the vault's secrets can
	// make; what bears another is no lease. nil = none is made, and none asked for.
	Mark func(text string) string

	mu   sync.Mutex
	seen map[string]sighting // by name
}

// sighting is when this process first saw the newest object of a lease.
type sighting struct {
	number uint64
	at     time.Time // of Book.Now
}

// ErrHeld is in the chain of errors of Take and Renew when another process has
// the lease. Its Kind is Conflict.
var ErrHeld = errors.New("another process has the lease")

// Free reports whether a lease that was read from this Book holds no longer: it
// was given back; or its term has passed, by the steady clock of this process,
// since it first saw this object; or by the clock on the wall the term and Slack
// have passed since it was stored. So no two clocks are compared that may differ
// by more than Slack, and a process that has just begun need not wait for what
// ended long ago. until is when it will be free if nothing happens, at the
// earliest, by the clock of this process.
func (b *Book) Free(l Lease) (free bool, until time.Time) {
	now := b.Now()
	b.mu.Lock()
	s, ok := b.seen[l.Name]
	if !ok || s.number != l.Number {
		s = sighting{l.Number, now}
		if b.seen == nil {
			b.seen = map[string]sighting{}
		}
		b.seen[l.Name] = s
	}
	b.mu.Unlock()
	until = s.at.Add(l.Term)
	if wall := l.Stored.Add(l.Term + Slack); wall.Before(until) {
		until = wall
	}
	return l.Term == 0 || !now.Before(until), until
}

// Read returns the newest object of a lease; nil if there is none, or none that
// is a lease.
func (b *Book) Read(ctx context.Context, name string) (*Lease, error) {
	_, l, err := b.newest(ctx, name)
	return l, err
}

// newest returns the greatest number of a name, and the lease it is. The number
// is also that of an object that is no lease: nobody can hold anything with it,
// and the next number is free.
func (b *Book) newest(ctx context.Context, name string) (uint64, *Lease, error) {
	for range 3 { // it may be renewed between the two calls
		all, err := b.list(ctx, root+name+"-")
		if err != nil || len(all) == 0 {
			return 0, nil, err
		}
		l, err := b.get(ctx, all[len(all)-1])
		if err == nil || !errors.Is(err, blob.ErrNotFound) {
			return all[len(all)-1].number, l, err
		}
	}
	return 0, nil, allod.Errorf(allod.Unavailable, "read the lease %s: it changes faster than it can be read", name)
}

// All returns the newest object of every lease about Task or Keys that is not
// longer gone than Slack, by name. What others left behind is removed after a
// day, where that is allowed.
func (b *Book) All(ctx context.Context, about string) ([]Lease, error) {
	list, err := b.list(ctx, root+about+"/")
	if err != nil {
		return nil, err
	}
	newest := map[string]found{}
	for _, f := range list {
		if f.number >= newest[f.name].number {
			newest[f.name] = f
		}
	}
	var out []Lease
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		f := newest[name]
		if age := b.Now().Sub(f.info.Modified); age > MaxTerm+2*Slack {
			if age > litter && about == Keys { // the names of tasks come again, and keep their numbers
				_ = b.Store.Delete(ctx, f.info.Name) // litter harms nobody: who may not remove it leaves it
			}
			continue
		}
		l, err := b.get(ctx, f)
		if errors.Is(err, blob.ErrNotFound) { // renewed or given back meanwhile
			l, err = b.Read(ctx, name)
		}
		if err != nil {
			return nil, err
		}
		if l != nil {
			out = append(out, *l)
		}
	}
	return out, nil
}

// found is an object that has the name of a lease.
type found struct {
	name   string
	number uint64
	info   blob.Info
}

// list returns the objects below a prefix that have names of leases, ascending.
func (b *Book) list(ctx context.Context, prefix string) ([]found, error) {
	var out []found
	for info, err := range b.Store.List(ctx, prefix) {
		if err != nil {
			return nil, object.Named("list leases", err)
		}
		if len(out) == maxListed {
			return nil, allod.WithHint(allod.Errorf(allod.Corrupt, "list leases: more than %d objects below %s", maxListed, prefix), "No Allod writes so many: remove them by hand.")
		}
		at := strings.LastIndexByte(info.Name, '-')
		number, err := strconv.ParseUint(info.Name[at+1:], 10, 64)
		name := strings.TrimPrefix(info.Name[:max(at, 0)], root)
		if err != nil || number == 0 || number > maxNumber || objectName(name, number) != info.Name || checkName(name) != nil {
			continue // nobody's
		}
		out = append(out, found{name, number, info})
	}
	return out, nil
}

// get reads one object; nil if it is no lease. The error of a missing one has
// blob.ErrNotFound in its chain.
func (b *Book) get(ctx context.Context, f found) (*Lease, error) {
	raw, err := object.Get(ctx, b.Store, f.info.Name, maxObject)
	if allod.KindOf(err) == allod.Corrupt {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, ok := b.decode(f.name, f.number, raw)
	if !ok {
		return nil, nil
	}
	l.Stored = f.info.Modified.UTC()
	return l, nil
}

// decode reads the object of a lease; false for anything that is none.
func (b *Book) decode(name string, number uint64, raw []byte) (*Lease, bool) {
	var w wire
	if json.Unmarshal(raw, &w) != nil || w.Format != format || !pseudonym(w.Holder) || w.TermMS < 0 || w.TermMS > MaxTerm.Milliseconds() || len(w.Counts) > maxCounts {
		return nil, false
	}
	l := &Lease{Name: name, Number: number, Holder: w.Holder, Since: w.Since.UTC(), Term: time.Duration(w.TermMS) * time.Millisecond, Epoch: w.Epoch, Counts: w.Counts}
	again, err := b.encode(l)
	return l, err == nil && string(again) == string(raw)
}

// encode makes the object of a lease.
func (b *Book) encode(l *Lease) ([]byte, error) {
	w := wire{Format: format, Holder: l.Holder, Since: l.Since, TermMS: l.Term.Milliseconds(), Epoch: l.Epoch, Counts: l.Counts}
	raw, err := json.Marshal(w)
	if err == nil && b.Mark != nil {
		w.Mark = b.Mark(objectName(l.Name, l.Number) + "\n" + string(raw))
		raw, err = json.Marshal(w)
	}
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "write the lease %s: %w", l.Name, err)
	}
	return append(raw, '\n'), nil
}

func objectName(name string, number uint64) string {
	return fmt.Sprintf("%s%s-%020d", root, name, number)
}

func checkName(name string) error {
	about, id, _ := strings.Cut(name, "/")
	if about != Task && about != Keys || !pseudonym(id) {
		return allod.Errorf(allod.Invalid, "name the lease %q: want %s or %s, and 32 hex digits", name, Task, Keys)
	}
	return nil
}

// pseudonym reports whether s is 32 lower-case hex digits.
func pseudonym(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16 && strings.ToLower(s) == s
}

// Term brings a term of the configuration within the limits.
func Term(d, usual time.Duration) time.Duration {
	return min(max(cmp.Or(d, usual), MinTerm), MaxTerm)
}
