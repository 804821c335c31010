// Package journal holds the log of a vault as one process has read and checked
// it: each entry once, in order, without its sealed part. What follows the log
// is decided in package log; here it is read from a store, and never believed
// to be shorter than it was.
package journal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"allod"
	"allod/internal/blob"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

// Entry is a log entry as it is kept in memory: Sealed is nil. It does not
// change.
type Entry struct {
	vlog.Entry
	Digest vlog.Digest // of the object
	Size   int64       // of the object, bytes
}

// NewEntry keeps what was read of an entry's object.
func NewEntry(e *vlog.Entry, d vlog.Digest, size int64) *Entry {
	k := &Entry{Entry: *e, Digest: d, Size: size}
	k.Sealed = nil
	return k
}

// Log is the log as far as this process has read and checked it. Methods may
// be called from several goroutines.
type Log struct {
	store blob.Store
	pin   vlog.Pin

	mu       sync.Mutex
	chain    vlog.Chain
	standing vlog.Standing
	entries  []*Entry
	listed   bool // the names in the store were compared with the end
}

// New returns the log of the store's vault before anything of it was read.
func New(store blob.Store, pin vlog.Pin) *Log { return &Log{store: store, pin: pin} }

// Entries returns the entries known now, from number 1. Do not change them.
func (l *Log) Entries() []*Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[:len(l.entries):len(l.entries)]
}

// Entry returns entry n; NotFound if the log, as known now, has none.
func (l *Log) Entry(n uint64) (*Entry, error) {
	all := l.Entries()
	if n == 0 || n > uint64(len(all)) {
		return nil, allod.Errorf(allod.NotFound, "find snapshot %s: the log has no such entry", strconv.FormatUint(n, 10))
	}
	return all[n-1], nil
}

// Chain returns the state behind the last entry known, a copy.
func (l *Log) Chain() vlog.Chain {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chain
	c.Epochs, c.Capture = maps.Clone(c.Epochs), maps.Clone(c.Capture)
	return c
}

// Epoch returns the epoch that the log says is in force; 0 when the log is
// empty.
func (l *Log) Epoch() uint64 {
	c := l.Chain()
	return c.Epoch()
}

// Refresh reads the entries that came since, checks them and keeps them.
// Corrupt if one is not what its writer signed, or missing before a later one.
func (l *Log) Refresh(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := uint64(0)
	for {
		n := l.chain.N + 1
		b, err := object.Get(ctx, l.store, vlog.EntryName(n), vlog.MaxEntry)
		if errors.Is(err, blob.ErrNotFound) {
			if err := l.end(ctx, n); !errors.Is(err, errMore) {
				return err
			}
			if asked == n {
				return allod.Errorf(allod.Unavailable, "read %s: the store says that it is there and does not give it", vlog.EntryName(n))
			}
			asked = n
			continue
		}
		if err != nil {
			return err
		}
		if _, err := l.add(b, n); err != nil {
			return err
		}
	}
}

// end makes sure that n is missing because the log ends, not because entries
// were taken away: the first time by the names that the store lists, later by
// the two entries after n.
func (l *Log) end(ctx context.Context, n uint64) error {
	if len(l.entries) > 0 && l.entries[len(l.entries)-1].N != n-1 {
		return allod.Errorf(allod.Internal, "read the log: entry %d is out of place", n)
	}
	later := uint64(0)
	for i := uint64(1); i <= 2; i++ {
		if _, err := l.store.Stat(ctx, vlog.EntryName(n+i)); err == nil {
			later = n + i
		} else if !errors.Is(err, blob.ErrNotFound) {
			return allod.Errorf(allod.KindOf(err), "read %s: %w", vlog.EntryName(n+i), err)
		}
	}
	if !l.listed && later == 0 {
		for info, err := range l.store.List(ctx, vlog.EntryPrefix) {
			if err != nil {
				return allod.Errorf(allod.KindOf(err), "list the log: %w", err)
			}
			if i, ok := vlog.ParseEntryName(info.Name); ok && i > n {
				later = i
				break
			}
		}
	}
	if later != 0 {
		// Another process may have written while this one looked: ask again.
		if _, err := l.store.Stat(ctx, vlog.EntryName(n)); err == nil {
			return errMore
		}
		return allod.Errorf(allod.Corrupt, "read %s: it is missing, although a later entry is there", vlog.EntryName(n))
	}
	l.listed = true
	return nil
}

// errMore says that entry n has come meanwhile.
var errMore = errors.New("the log goes on")

// add checks entry n and appends it.
func (l *Log) add(b []byte, n uint64) (*Entry, error) {
	e, digest, err := vlog.Decode(b, n, l.pin)
	if err == nil {
		err = l.standing.Fits(e)
	}
	if err == nil {
		err = l.chain.Add(e, digest)
	}
	if err != nil {
		return nil, object.Named(vlog.EntryName(n), err)
	}
	k := NewEntry(e, digest, int64(len(b)))
	l.standing.Add(&k.Entry)
	l.entries = append(l.entries, k)
	return k, nil
}

// AddOwn appends entry n, which this process has just written, unless another
// goroutine has read it already.
func (l *Log) AddOwn(b []byte, n uint64) (*Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= uint64(len(l.entries)) {
		return l.entries[n-1], nil
	}
	return l.add(b, n)
}

// wouldFollow reads the object of entry n, before it is put, as every reader
// will: an entry that none accepts would make the vault unreadable. One whose
// number is taken meanwhile passes: putting it will say so.
func (l *Log) wouldFollow(b []byte, n uint64) error {
	e, digest, err := vlog.Decode(b, n, l.pin)
	if err != nil {
		return err
	}
	chain := l.Chain()
	if n != chain.N+1 {
		return nil
	}
	if err := chain.Add(e, digest); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing.Fits(e)
}

// maxBehind is how far the clock of a machine may be behind the newest entry.
const maxBehind = 5 * time.Minute

// Stamp returns the time for an entry that follows one of the time last: now,
// or last if that is a little later. Invalid if it is much later.
func Stamp(now, last time.Time) (time.Time, error) {
	now = now.UTC()
	if last.Sub(now) > maxBehind {
		return now, allod.WithHint(allod.Errorf(allod.Invalid, "the clock of this machine shows %s, the newest log entry %s", now.Format(time.RFC3339), last.Format(time.RFC3339)), "Set the clock of this machine.")
	}
	if now.Before(last) {
		now = last
	}
	return now, nil
}

// Put puts the object of entry n: THE commit point. It reports that the number
// is taken by another entry; then nothing is stored. Where the store answers
// with an error it looks what is there. After an error nothing is stored, or,
// if it is Unavailable, nobody knows.
func (l *Log) Put(ctx context.Context, b []byte, n uint64) (taken bool, err error) {
	if err := l.wouldFollow(b, n); err != nil {
		return false, allod.Errorf(allod.Internal, "write the log: %w", err)
	}
	name := vlog.EntryName(n)
	putErr := l.store.Put(ctx, name, bytes.NewReader(b), int64(len(b)), blob.PutOptions{})
	if putErr == nil {
		return false, nil
	}
	// Somebody has the number, or the store cannot say: look.
	there, err := object.Get(context.WithoutCancel(ctx), l.store, name, vlog.MaxEntry)
	switch {
	case err == nil:
		return !bytes.Equal(there, b), nil
	case errors.Is(err, blob.ErrNotFound):
		return false, allod.WithHint(allod.Errorf(allod.KindOf(putErr), "write %s: %w", name, putErr), "%s", allod.HintOf(putErr))
	default:
		return false, allod.WithHint(allod.Errorf(allod.Unavailable, "write %s: the store does not say whether it is written: %w", name, errors.Join(putErr, err)),
			"Run `allod snapshots` once the store answers again: it is there whole or not at all.")
	}
}

// Checkpoint writes the checkpoint as of an entry; one that is there is kept.
func (l *Log) Checkpoint(ctx context.Context, at *Entry, absents []vlog.Absent, key ed25519.PrivateKey) error {
	c := &vlog.Checkpoint{Vault: at.Vault, N: at.N, Last: at.Digest, Time: at.Time, Absents: absents}
	entries := l.Entries()[:at.N]
	replaced := Replaced(entries)
	for _, e := range entries {
		for _, o := range e.Objects {
			if replaced[o.Digest] == nil {
				c.Live = append(c.Live, o)
			}
		}
		if e.Capture != 0 {
			c.Kept = append(c.Kept, e.N)
		}
	}
	b, err := c.Encode(key)
	if err != nil {
		return err
	}
	if err := object.Put(ctx, l.store, vlog.CheckpointName(at.N), b); err != nil && !errors.Is(err, blob.ErrExists) {
		return err
	}
	return nil
}

// Full reads an entry again, sealed part included, and checks that it is still
// the one known.
func (l *Log) Full(ctx context.Context, e *Entry) (*vlog.Entry, error) {
	name := vlog.EntryName(e.N)
	b, err := object.Get(ctx, l.store, name, vlog.MaxEntry)
	if err != nil {
		return nil, object.Missing(name, err)
	}
	if sha256.Sum256(b) != e.Digest {
		return nil, allod.Errorf(allod.Corrupt, "read %s: it is not the entry that stood there before", name)
	}
	full, _, err := vlog.Decode(b, e.N, l.pin)
	return full, object.Named(name, err)
}

// Stands is Corrupt unless the store still has the newest entry known: who
// writes behind one that was taken away makes a hole.
func (l *Log) Stands(ctx context.Context) error {
	all := l.Entries()
	if len(all) == 0 {
		return nil
	}
	_, err := l.Full(ctx, all[len(all)-1])
	return allod.WithHint(err, "%s", cmp.Or(allod.HintOf(err), lookHint))
}

const lookHint = "Keep this store as it is, and look at its versions, its copies and who could write to it. docs/verify.md says how to go on."

// Continues is Corrupt unless the log has entry n with this digest, as it was
// seen earlier; n = 0 was an empty log.
func (l *Log) Continues(n uint64, digest vlog.Digest) error {
	all := l.Entries()
	var err error
	switch {
	case n == 0:
		return nil
	case n > uint64(len(all)):
		err = allod.Errorf(allod.Corrupt, "read %s: it is missing: the log ends with entry %d and has been longer; its end was cut off", vlog.EntryName(n), len(all))
	case all[n-1].Digest != digest:
		err = allod.Errorf(allod.Corrupt, "read %s: it is not the entry that was seen there before; the log was put back and went another way", vlog.EntryName(n))
	default:
		return nil
	}
	return allod.WithHint(err, lookHint)
}
