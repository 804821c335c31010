// Package compact merges the packs of many captures into few, and removes what
// was replaced once it is old enough (FORMAT.md §3.3, §6.4). It opens the age
// layer of packs and copies what is inside byte for byte: it has no key of a row
// and imports nothing that could use one.
package compact

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

const (
	maxTries = 100      // entries of others that may come between
	partSize = 64 << 20 // plain bytes at which a part is closed
)

// Site is the vault that is worked on, and what a process of role maintain
// holds of it. All fields but TempDir are required.
type Site struct {
	Store    blob.Store
	Log      *journal.Log
	Pin      vlog.Pin
	Identity age.Identity       // opens packs
	Key      ed25519.PrivateKey // of use maintain
	Now      func() time.Time   // the wall clock: labels entries, never orders them
	TempDir  string             // for a pack on its way; "" = the system's
	Ledger   vlog.LedgerRoot    // head of the ledger with the decision that allowed it
	// Name returns the name of the environment of a capture's entry, as far as
	// this process may know it.
	Name func(ctx context.Context, e *journal.Entry) (string, error)
}

// Options of Plan and Run.
type Options struct {
	Environment string // name; "" = all, the office among them
	All         bool   // everything that stands, whether or not its day, month or year is over
	// Progress, if there is one, is called now and then from the caller's
	// goroutine, with bytes.
	Progress func(done, total int64)
}

// Merge is captures of one environment whose packs become few. Times are UTC.
type Merge struct {
	Environment string    `json:"environment"`
	First       uint64    `json:"first"` // capture
	Last        uint64    `json:"last"`
	From        time.Time `json:"from"` // of the log entry of the first
	To          time.Time `json:"to"`
	Tier        int       `json:"tier"` // 1 day, 2 month, 3 year or more
	Packs       int       `json:"packs"`
	Bytes       int64     `json:"bytes"`

	// What was made of them; zero in a plan.
	Entry     uint64 `json:"entry,omitempty"` // log number
	PacksMade int    `json:"packs_made,omitempty"`
	BytesMade int64  `json:"bytes_made,omitempty"`
	Rows      int64  `json:"rows,omitempty"`
	Files     int64  `json:"files,omitempty"` // small ones

	number uint32
	units  []unit
}

// Report says what was done, or, of Plan, what would be.
type Report struct {
	Merged   []Merge    `json:"merged"`
	Replaced []Replaced `json:"replaced"` // by earlier compactions, and still there
}

// Compactor merges packs. It is used by one goroutine.
type Compactor struct {
	Site
	part int64
}

// New returns a Compactor of the site, whose log must have been read.
func New(s Site) *Compactor { return &Compactor{Site: s, part: partSize} }

// Plan says what Run would do now. It opens no pack. NotFound for an environment
// that has no snapshot.
func (c *Compactor) Plan(ctx context.Context, o Options) (Report, error) {
	r := Report{Merged: []Merge{}}
	if err := c.Log.Refresh(ctx); err != nil {
		return r, err
	}
	var err error
	if r.Merged, err = c.merges(ctx, o); err != nil {
		return r, err
	}
	r.Replaced, err = c.replaced(ctx)
	return r, err
}

// merges returns what there is to merge, by environment and capture.
func (c *Compactor) merges(ctx context.Context, o Options) ([]Merge, error) {
	newest := map[uint32]*journal.Entry{}
	var envs []uint32
	for _, e := range c.Log.Entries() {
		if e.Capture == 0 {
			continue
		}
		if newest[e.Environment] == nil {
			envs = append(envs, e.Environment)
		}
		newest[e.Environment] = e
	}
	slices.Sort(envs)
	out, found := []Merge{}, o.Environment == ""
	now := c.Log.Chain().Time
	for _, env := range envs {
		name, err := c.Name(ctx, newest[env])
		if err != nil {
			return nil, err
		}
		if o.Environment != "" && name != o.Environment {
			continue
		}
		found = true
		for _, g := range choose(c.units(env), now, o.All) {
			m := Merge{Environment: name, number: env, Tier: g.tier, units: g.units, First: g.units[0].First, From: g.units[0].from}
			last := g.units[len(g.units)-1]
			m.Last, m.To = last.Last, last.to
			for _, u := range g.units {
				m.Packs += len(u.Packs)
				m.Bytes += u.bytes
			}
			out = append(out, m)
		}
	}
	if !found {
		return nil, allod.WithHint(allod.Errorf(allod.NotFound, "%s has no snapshot", o.Environment), "`allod snapshots` lists what there is; a slot of role maintain knows environments by number, as in #1.")
	}
	return out, nil
}

// units returns what stands in an environment.
func (c *Compactor) units(env uint32) []unit {
	times := map[uint64]time.Time{}
	for _, e := range c.Log.Entries() {
		if e.Capture != 0 && e.Environment == env {
			times[e.Capture] = e.Time
		}
	}
	var out []unit
	for _, t := range c.Log.Standing(env) {
		u := unit{Stand: t, from: times[t.First], to: times[t.Last]}
		for _, o := range t.Packs {
			u.bytes += o.Size
		}
		out = append(out, u)
	}
	return out
}

// Run removes what is due, and merges what there is to merge, one log entry for
// each Merge. What it reports has been done even where it ends with an error.
// Conflict when somebody else has merged the same meanwhile; Corrupt, naming the
// object, for one that is not what was stored: nothing was replaced or removed.
func (c *Compactor) Run(ctx context.Context, o Options) (Report, error) {
	r := Report{Merged: []Merge{}}
	if err := c.Log.Refresh(ctx); err != nil {
		return r, err
	}
	if err := c.Log.Stands(ctx); err != nil {
		return r, err
	}
	var err error
	if r.Replaced, err = c.remove(ctx); err != nil {
		return r, object.Named("remove packs that were replaced", err)
	}
	for { // many captures take several rounds: each leaves fewer
		todo, err := c.merges(ctx, o)
		if err != nil || len(todo) == 0 {
			return r, err
		}
		meter := &meter{show: o.Progress}
		for _, m := range todo {
			meter.total += 2 * m.Bytes // read, and what was made of it read back
		}
		for _, m := range todo {
			if err := c.merge(ctx, &m, meter); err != nil {
				return r, object.Named(fmt.Sprintf("compact captures %d to %d of %s", m.First, m.Last, m.Environment), err)
			}
			r.Merged = append(r.Merged, m)
		}
	}
}

// meter counts bytes.
type meter struct {
	show        func(done, total int64)
	done, total int64
}

func (m *meter) add(n int64) {
	m.done += n
	if m.show != nil {
		m.show(min(m.done, m.total), m.total)
	}
}

// merge makes the packs of one Merge, reads them back and commits them.
func (c *Compactor) merge(ctx context.Context, m *Merge, meter *meter) error {
	w := newMerger(ctx, c, m, meter)
	defer w.close()
	if err := w.run(ctx); err != nil {
		w.drop(ctx)
		return err
	}
	known, err := c.commit(ctx, m, w.made)
	if err != nil && known {
		w.drop(ctx)
	}
	return err
}

// commit puts the log entry. After an error it reports whether it is known that
// the log does not have it.
func (c *Compactor) commit(ctx context.Context, m *Merge, made []vlog.Object) (known bool, err error) {
	var run [16]byte
	if _, err := io.ReadFull(rand.Reader, run[:]); err != nil {
		return true, allod.Errorf(allod.Internal, "draw a run id: %w", err)
	}
	var before []vlog.Stand
	for _, u := range m.units {
		before = append(before, u.Stand)
	}
	for range maxTries {
		if err := c.Log.Refresh(ctx); err != nil {
			return true, err
		}
		if err := c.Log.Stands(ctx); err != nil {
			return true, err
		}
		if !stands(c.Log.Standing(m.number), before) {
			return true, allod.WithHint(allod.Errorf(allod.Conflict, "another process has merged them meanwhile"), "Run the command again.")
		}
		chain := c.Log.Chain()
		e := &vlog.Entry{
			Vault: fmt.Sprintf("%x", c.Pin.Vault[:]), N: chain.N + 1, Prev: chain.Last, Kind: vlog.KindCompact, Run: hex.EncodeToString(run[:]), Environment: m.number,
			Root: chain.Root(), Epoch: chain.Epoch(), Objects: made, Ledger: c.Ledger,
			Compact: &vlog.Compaction{First: m.First, Last: m.Last, Gone: vlog.Digests(before)},
		}
		if e.Time, err = journal.Stamp(c.Now(), chain.Time); err != nil {
			return true, err
		}
		b, _, err := e.Encode(c.Key)
		if err != nil {
			return true, err
		}
		taken, err := c.Log.Put(ctx, b, e.N)
		if err != nil {
			return allod.KindOf(err) == allod.Internal, err // refused before it was put
		}
		if taken {
			continue
		}
		at, err := c.Log.AddOwn(b, e.N)
		if err != nil {
			return false, err
		}
		if e.N%vlog.CheckpointEvery == 0 {
			// The entry is committed and a checkpoint is a cache of the log: one that
			// cannot be written must not make the commit look failed.
			_ = c.Log.Checkpoint(context.WithoutCancel(ctx), at, nil, c.Key)
		}
		m.Entry = e.N
		return true, nil
	}
	return true, allod.Errorf(allod.Unavailable, "write the log: others were faster %d times", maxTries)
}

// stands reports whether what was merged still stands, in one run.
func stands(now, before []vlog.Stand) bool {
	i := slices.IndexFunc(now, func(t vlog.Stand) bool { return t.Entry == before[0].Entry })
	return i >= 0 && len(now)-i >= len(before) && slices.EqualFunc(now[i:i+len(before)], before, func(a, b vlog.Stand) bool { return a.Entry == b.Entry })
}

// openAs is the error of a pack with its name.
func openAs(o vlog.Object, err error) error { return object.Named(o.Name(), err) }
