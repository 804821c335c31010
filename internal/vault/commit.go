package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"allod"
	"allod/internal/vault/internal/known"
	"allod/internal/vault/journal"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/stage"
)

// maxTries is how many entries of others may come between.
const maxTries = 100

// Commit stores everything finished since the last commit: packs first, then
// the log entry, which is the commit point. When it returns nil the snapshot is
// durable. After an error nothing of it is visible, or, where the store could
// not say, all of it: Begin a new run to see which. Conflict when somebody
// else has captured the environment meanwhile.
func (r *Run) Commit(ctx context.Context, m Manifest) (allod.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return allod.Snapshot{}, allod.Errorf(allod.Invalid, "commit to %s: the run has ended", r.name)
	}
	c := &commit{r: r, m: m, capture: r.capture + 1}
	for _, w := range r.writers {
		if w.finished {
			c.writers = append(c.writers, w)
		}
	}
	slices.SortStableFunc(c.writers, func(a, b *TableWriter) int { return cmp.Compare(a.number, b.number) })
	snap, err := c.run(ctx)
	if err != nil {
		return allod.Snapshot{}, object.Named("commit to "+r.name, err)
	}
	r.writers = slices.DeleteFunc(r.writers, func(w *TableWriter) bool { return slices.Contains(c.writers, w) })
	for _, w := range c.writers {
		w.free()
	}
	return snap, nil
}

// commit is one Commit on its way.
type commit struct {
	r        *Run
	m        Manifest
	capture  uint64
	writers  []*TableWriter // finished, by table
	tree     *keytree.State // that rows are sealed under
	packs    *stage.Packs
	known    *known.Update // nil = not kept
	manifest *meta.Manifest
	counts   vlog.Counts
	own      []byte // the entry's bytes
}

// run seals and commits; again from the start when keys were destroyed while it
// sealed: what is stored must not come back under a key of the past.
func (c *commit) run(ctx context.Context) (allod.Snapshot, error) {
	for range maxTries {
		snap, err := c.attempt(ctx)
		if !errors.Is(err, errRekeyed) {
			return snap, err
		}
		for _, w := range c.writers {
			if !w.files.Empty() {
				return snap, allod.WithHint(allod.Errorf(allod.Conflict, "keys were destroyed while files were sealed"), "Run the backup again.")
			}
		}
	}
	return allod.Snapshot{}, allod.Errorf(allod.Unavailable, "seal: keys were destroyed %d times meanwhile", maxTries)
}

// errRekeyed says that the epoch of the key tree has moved since rows were
// sealed.
var errRekeyed = errors.New("the epoch of the key tree has moved")

func (c *commit) attempt(ctx context.Context) (allod.Snapshot, error) {
	v := c.r.v
	var err error
	c.tree, c.counts = v.content.Tree(), vlog.Counts{}
	c.packs, err = stage.NewPacks(v.place(), stage.Capture{Environment: c.r.env, Number: c.capture, Tree: c.tree, Index: v.secrets.Index, Escrow: v.escrowOf(ctx, func() *keytree.State { return c.tree })})
	if err != nil {
		return allod.Snapshot{}, err
	}
	defer c.packs.Close()
	if v.keeps(c.r.env) {
		if c.known, err = v.known.Begin(ctx, c.r.env, c.capture, c.tree, c.r.head, v.escrowOf(ctx, func() *keytree.State { return c.tree })); err != nil {
			return allod.Snapshot{}, err
		}
		defer c.known.Close()
	}
	if err := c.rows(ctx); err != nil {
		return allod.Snapshot{}, err
	}
	var files []*stage.Files
	for _, w := range c.writers {
		files = append(files, w.files)
	}
	if err := c.packs.Files(ctx, files); err != nil {
		return allod.Snapshot{}, err
	}
	c.makeManifest()
	return c.entry(ctx)
}

// rows seals what the writers hold, table by table: of a row that two writers
// have, that of the later one.
func (c *commit) rows(ctx context.Context) error {
	for i := 0; i < len(c.writers); {
		j := i + 1
		for j < len(c.writers) && c.writers[j].number == c.writers[i].number {
			j++
		}
		var queues []stage.Queue
		for _, w := range slices.Backward(c.writers[i:j]) {
			queues = append(queues, stage.Queue{Rows: w.changed})
			if w.reason != 0 {
				queues = append(queues, stage.Queue{Rows: w.missing, Reason: w.reason})
			}
		}
		if err := c.packs.Table(ctx, c.writers[i].number, c.writers[i].schema.Number, queues); err != nil {
			return err
		}
		if c.known != nil {
			if err := c.known.Table(ctx, c.writers[i].number, c.writers[i].schema, queues); err != nil {
				return err
			}
		}
		i = j
	}
	return nil
}

// makeManifest carries the former manifest on, with what this commit says.
func (c *commit) makeManifest() {
	r := c.r
	carry := meta.Carry{Before: r.last, SameRun: r.lastRun == r.id, Schema: r.schema, Identity: c.m.Identity, Said: c.m.Tables, Gaps: c.m.Gaps}
	for _, w := range c.writers {
		t := meta.Wrote{Number: w.number, Table: w.table.Name, Full: w.mode == ModeFull, Before: w.changes.Before, Change: w.changes.Created - w.changes.Deleted}
		carry.Wrote = append(carry.Wrote, t)
		c.counts.Created += w.changes.Created
		c.counts.Updated += w.changes.Updated
		c.counts.Deleted += w.changes.Deleted
	}
	c.manifest = carry.Manifest()
	c.counts.Rows = c.manifest.Rows()
}

// entry puts the last pack and the log entry.
func (c *commit) entry(ctx context.Context) (allod.Snapshot, error) {
	r, v := c.r, c.r.v
	if err := v.log.Refresh(ctx); err != nil {
		return allod.Snapshot{}, err
	}
	if err := v.log.Stands(ctx); err != nil {
		return allod.Snapshot{}, err
	}
	part := meta.Part{Environment: r.name, State: c.m.State}
	fresh := false
	if r.schema != nil {
		part.Schema, part.SchemaEntry = r.schema.Number, r.schema.Entry
		fresh = r.schema.Entry == 0
	}
	for range maxTries {
		e, err := c.draft(ctx, fresh, &part)
		if err != nil {
			return allod.Snapshot{}, err
		}
		if err := c.place(ctx, e, &part, fresh); err != nil {
			return allod.Snapshot{}, err
		}
		taken, err := c.put(ctx, e)
		if err != nil {
			return allod.Snapshot{}, err
		}
		if !taken {
			return c.done(ctx, e, fresh)
		}
	}
	return allod.Snapshot{}, allod.Errorf(allod.Unavailable, "write the log: others were faster %d times", maxTries)
}

// draft fills the entry that follows the log as known now; Conflict if the
// environment moved on, errRekeyed if the key tree did.
func (c *commit) draft(ctx context.Context, fresh bool, part *meta.Part) (*vlog.Entry, error) {
	r, v := c.r, c.r.v
	if err := v.inForce(ctx); err != nil {
		return nil, err
	}
	if v.content.Tree() != c.tree {
		return nil, errRekeyed
	}
	chain := v.log.Chain()
	if chain.Capture[r.env] != r.capture {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "another process has captured the environment meanwhile"), "Run the backup again.")
	}
	now, err := journal.Stamp(v.cfg.Now(), chain.Time)
	if err != nil {
		return nil, err
	}
	e := &vlog.Entry{
		Vault: fmt.Sprintf("%x", v.cfg.Pin.Vault[:]), N: chain.N + 1, Prev: chain.Last, Kind: kindOf(r.env), Run: r.id, Time: now,
		Environment: r.env, Capture: c.capture, Base: r.capture, Line: r.line, Root: c.tree.Root(), Epoch: c.tree.Epoch(),
		Counts: c.counts, From: c.m.From, To: c.m.To, Complete: c.m.Complete,
		Ledger: vlog.LedgerRoot{Size: r.seen.Size, Hash: vlog.Digest(r.seen.Hash)},
	}
	if fresh {
		part.SchemaEntry = e.N
	}
	return e, nil
}

// place puts schema and manifest into the last pack, or the manifest into the
// entry when nothing needs a pack, and seals the entry's part. The manifest
// names the entry that holds a new schema, so a later number means a new pack.
func (c *commit) place(ctx context.Context, e *vlog.Entry, part *meta.Part, fresh bool) error {
	c.manifest.Schema, c.manifest.SchemaEntry = part.Schema, part.SchemaEntry
	manifest, err := c.manifest.Encode()
	if err != nil {
		return err
	}
	part.Manifest = nil
	if c.packs.Empty() && !fresh && len(manifest) <= meta.RideAlong {
		part.Manifest = c.manifest
	} else {
		var schema []byte
		if fresh {
			if schema, err = c.r.schema.Encode(); err != nil {
				return err
			}
		}
		if err := c.packs.End(ctx, schema, manifest); err != nil {
			return err
		}
	}
	e.Objects = slices.Clone(c.packs.Done())
	for _, w := range c.writers {
		e.Objects = append(e.Objects, w.files.Large()...)
	}
	return c.r.v.content.Seal(e, part)
}

// put puts the entry. It reports that the number is taken by an entry of
// another environment, after having read it.
func (c *commit) put(ctx context.Context, e *vlog.Entry) (taken bool, err error) {
	v := c.r.v
	b, digest, err := e.Encode(v.signer)
	if err == nil && c.known != nil { // before the entry: a crash in between must not leave it behind
		err = c.known.Put(ctx, e.N, digest, c.manifest, c.r.schema)
	}
	if err != nil {
		return false, err
	}
	c.own = b
	if taken, err = v.log.Put(ctx, b, e.N); taken {
		return true, v.log.Refresh(ctx)
	}
	return false, err
}

// done reads the entry back through the ordinary path and moves the run on.
func (c *commit) done(ctx context.Context, e *vlog.Entry, fresh bool) (allod.Snapshot, error) {
	r, v := c.r, c.r.v
	ctx = context.WithoutCancel(ctx) // it is committed: cancelling must not make it look otherwise
	le, err := v.log.AddOwn(c.own, e.N)
	if err != nil {
		return allod.Snapshot{}, err
	}
	var schema *meta.Schema
	if fresh {
		schema = r.schema
	}
	v.content.Committed(r.env, r.name, schema, e.N)
	r.capture, r.last, r.lastRun = c.capture, c.manifest, r.id
	if c.known != nil {
		var drop []string
		r.head, drop = c.known.Done()
		r.dropped = append(r.dropped, drop...)
	}
	if e.N%vlog.CheckpointEvery == 0 {
		// The snapshot is committed and a checkpoint is a cache of the log: one
		// that cannot be written must not make the commit look failed.
		_ = v.log.Checkpoint(ctx, le, v.content.Absents(), v.signer)
	}
	return le.Snapshot(r.name), nil
}
