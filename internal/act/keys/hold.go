package keys

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/place"
	"allod/internal/blob/through"
	"allod/internal/vault/keyring/places"
	"allod/internal/vault/lease"
)

// The lease of a process that holds keys: it is renewed each minute, the keys
// are given up when that fails for seven, and others count it as gone 15 minutes
// after the last renewal, lease.Slack for clocks that differ included.
const (
	holdTerm   = lease.MaxTerm - lease.Slack
	holdFirst  = 5 * time.Second // then the epoch is known
	holdEvery  = time.Minute
	holdGiveUp = 7 * time.Minute
)

// NewHolder draws the name of a process in leases: it tells nothing of it.
func NewHolder() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// Store opens the store of the vault in dir, as its readers see it, without any
// key: what leases need.
func Store(ctx context.Context, dir string, c *act.Config, deps act.Deps) (blob.Store, error) {
	s, err := deps.OpenStore(ctx, place.Resolve(dir, c.Store), false)
	if err != nil {
		return nil, fmt.Errorf("open the vault's store: %w", err)
	}
	return through.Wrap(s), nil
}

// Holding opens the Allod in dir around do, for work that takes longer than a
// command, and counts this process among the places of keys meanwhile: first it
// is counted, then the keys are loaded, so that no erasure is called final that
// does not know of it. Every minute it says which epoch it has keys of. When it
// cannot say so for seven minutes the context of do ends, and the keys are
// forgotten. The error is that of do, or says why the process cannot be counted.
func Holding(ctx context.Context, dir string, deps act.Deps, do func(ctx context.Context, o *act.Office) error) error {
	c, err := act.ReadConfig(dir)
	if err != nil {
		return err
	}
	s, err := Store(ctx, dir, c, deps)
	if err != nil {
		return err
	}
	holder := NewHolder()
	book := &lease.Book{Store: s, Holder: holder, Now: deps.Now}
	h, err := book.Take(ctx, lease.Keys+"/"+holder, holdTerm, lease.State{})
	if err != nil {
		return allod.WithHint(fmt.Errorf("count this process among those that hold keys: %w", err), "%s", hintOr(err, "It must be allowed to put objects under leases/ in the vault's store."))
	}
	var own own
	return h.While(ctx, lease.Rhythm{First: holdFirst, Every: holdEvery, GiveUp: holdGiveUp}, own.state, func(ctx context.Context) error {
		o, err := act.Open(ctx, dir, deps)
		if err != nil {
			return err
		}
		own.set(o)
		err = do(ctx, o)
		own.set(nil)
		return errors.Join(err, o.Close())
	})
}

// own is the office that this process has open, nil before and after.
type own struct {
	mu     sync.Mutex
	office *act.Office
}

func (p *own) set(o *act.Office) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.office = o
}

func (p *own) state(ctx context.Context) lease.State {
	p.mu.Lock() // it is not closed meanwhile
	defer p.mu.Unlock()
	return lease.State{Epoch: loaded(ctx, p.office)}
}

func hintOr(err error, hint string) string {
	if h := allod.HintOf(err); h != "" {
		return h
	}
	return hint
}

// loaded is the newest epoch whose keys an office has in memory; 0 = not known,
// which counts as one before every erasure.
func loaded(ctx context.Context, o *act.Office) uint64 {
	if o == nil {
		return 0
	}
	v, _, _, _ := o.Inside()
	s, err := v.Status(ctx)
	if err != nil || len(s.Roots) == 0 {
		return 0
	}
	newest := s.Roots[0]
	for _, r := range s.Roots {
		if r.Root > newest.Root {
			newest = r
		}
	}
	return newest.Epoch
}

// workers are the processes that hold keys now, or did when they were last
// heard of, with the moment by which their keys are gone.
func (b *bench) workers(ctx context.Context) ([]places.Place, error) {
	s, err := Store(ctx, b.office.Dir, b.office.Config(), b.deps)
	if err != nil {
		return nil, err
	}
	all, err := (&lease.Book{Store: s, Now: b.deps.Now}).All(ctx, lease.Keys)
	if err != nil {
		return nil, err
	}
	var out []places.Place
	for _, l := range all {
		until := l.Stored.Add(l.Term + lease.Slack)
		if l.Term == 0 || !b.deps.Now().Before(until) {
			continue // given back, or run out
		}
		out = append(out, places.Place{Name: "worker-" + l.Holder[:12], Kind: places.Worker, Keys: true, Since: l.Since, Epoch: l.Epoch, Lease: until})
	}
	return out, nil
}
