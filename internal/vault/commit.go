package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/spill"
)

const (
	partSize  = 64 << 20 // plain bytes at which a part is closed
	batchSize = 256      // rows sealed side by side
	maxBehind = 5 * time.Minute
	maxTries  = 100 // entries of other environments that may come between
)

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
		return allod.Snapshot{}, named("commit to "+r.name, err)
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
	objects  []vlog.Object
	manifest *storedManifest
	counts   vlog.Counts

	tmp  *os.File // of the pack being written
	pack *pack.Writer
	own  []byte // the entry's bytes
}

func (c *commit) run(ctx context.Context) (allod.Snapshot, error) {
	defer c.dropTemp()
	if err := c.rows(ctx); err != nil {
		return allod.Snapshot{}, err
	}
	if err := c.files(ctx); err != nil {
		return allod.Snapshot{}, err
	}
	c.makeManifest()
	return c.entry(ctx)
}

func (c *commit) dropTemp() {
	if c.tmp != nil {
		removeTemp(c.tmp)
		c.tmp = nil
	}
}

// rows seals what the writers hold, table by table, into parts.
func (c *commit) rows(ctx context.Context) error {
	s, err := newSealers(c)
	if err != nil {
		return err
	}
	defer s.close()
	for i := 0; i < len(c.writers); {
		j := i + 1
		for j < len(c.writers) && c.writers[j].number == c.writers[i].number {
			j++
		}
		if err := c.table(ctx, s, c.writers[i:j]); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// feed is a queue of rows to be stored; a later one of a table wins.
type feed struct {
	*spill.Reader
	reason allod.DeleteReason // of missing rows; 0 = as queued
	more   bool
}

// table merges what the writers of one table hold by tag and seals it.
func (c *commit) table(ctx context.Context, s *sealers, writers []*TableWriter) error {
	var sources []*feed
	for i := len(writers) - 1; i >= 0; i-- { // the latest first
		w := writers[i]
		queues := []*spill.Queue{w.changed}
		if w.reason != 0 {
			queues = append(queues, w.missing)
		}
		for j, q := range queues {
			in, err := q.Read()
			if err != nil {
				return err
			}
			src := &feed{Reader: in, more: in.Next()}
			if j == 1 {
				src.reason = w.reason
			}
			if !src.more && in.Err() != nil {
				return in.Err()
			}
			sources = append(sources, src)
		}
	}
	for {
		var low *feed
		for _, src := range sources {
			if src.more && (low == nil || bytes.Compare(src.Key()[:16], low.Key()[:16]) < 0) {
				low = src
			}
		}
		if low == nil {
			return s.flush()
		}
		tag := keytree.Tag(low.Key()[:16])
		if err := s.add(writers[0].number, writers[0].schema.Number, tag, low.Value(), low.reason); err != nil {
			return err
		}
		for _, src := range sources {
			if src.more && keytree.Tag(src.Key()[:16]) == tag {
				if src.more = src.Next(); !src.more && src.Err() != nil {
					return src.Err()
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.pack != nil && c.pack.Size() >= partSize {
			if err := s.flush(); err != nil {
				return err
			}
			if err := c.endPack(ctx, nil, nil); err != nil {
				return err
			}
		}
	}
}

// openPack begins a pack if none is open.
func (c *commit) openPack() error {
	if c.pack != nil {
		return nil
	}
	var err error
	if c.tmp, err = os.CreateTemp(c.r.v.cfg.TempDir, "allod-pack-*"); err != nil {
		c.tmp = nil
		return allod.Errorf(allod.Unavailable, "make a temporary file: %w", err)
	}
	c.pack, err = pack.NewWriter(c.tmp, c.r.v.recipients, c.r.env)
	return err
}

// endPack finishes the open pack and puts it.
func (c *commit) endPack(ctx context.Context, schema, manifest []byte) error {
	res, err := c.pack.Finish(schema, manifest)
	if err != nil {
		return err
	}
	o := vlog.Object{Digest: res.Digest, Size: res.Size, Role: vlog.RolePack, Trailer: res.Trailer}
	if err := putFrom(ctx, c.r.v.cfg.Store, o, c.tmp); err != nil {
		return err
	}
	c.objects = append(c.objects, o)
	c.pack = nil
	c.dropTemp()
	return nil
}

// files copies the small files, by id, behind the rows of the last pack.
func (c *commit) files(ctx context.Context) error {
	type small struct {
		spooled
		f *os.File
	}
	var all []small
	for _, w := range c.writers {
		for _, s := range w.files.small {
			all = append(all, small{s, w.files.f})
		}
	}
	slices.SortFunc(all, func(a, b small) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, s := range all {
		if err := c.openPack(); err != nil {
			return err
		}
		if err := c.pack.AddBlob(s.id, io.NewSectionReader(s.f, s.off, s.n), s.n); err != nil {
			return err
		}
		if c.pack.Size() >= partSize {
			if err := c.endPack(ctx, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeManifest carries the former manifest on, with what this commit says.
func (c *commit) makeManifest() {
	r := c.r
	m := &storedManifest{Identity: c.m.Identity, Gaps: c.m.Gaps}
	if r.last != nil && m.Identity == (allod.Identity{}) {
		m.Identity = r.last.Identity
	}
	if m.Gaps == nil {
		m.Gaps = []allod.Gap{}
	}
	tables := map[uint32]*storedTable{}
	if r.last != nil {
		for _, t := range r.last.Tables {
			if r.lastRun != r.id && t.State != allod.TableGone {
				t.State, t.Created, t.Updated, t.Deleted = allod.TableCarried, 0, 0, 0
			}
			tables[t.Number] = &t
		}
	}
	if r.schema != nil {
		for _, t := range c.m.Tables {
			number := r.schema.byName[t.Table]
			if number == 0 {
				number = r.formerTable(t.Table)
			}
			if number == 0 {
				continue // a table nobody knows has no rows
			}
			alive := int64(0)
			if old := tables[number]; old != nil {
				alive = old.Rows
			}
			t.Rows = alive
			tables[number] = &storedTable{Number: number, TableManifest: t}
		}
	}
	for _, w := range c.writers {
		t := tables[w.number]
		if t == nil {
			state := allod.TableDelta
			if w.mode == ModeFull {
				state = allod.TableFull
			}
			t = &storedTable{Number: w.number, TableManifest: allod.TableManifest{Table: w.table.Name, State: state}}
			tables[w.number] = t
		}
		if w.mode == ModeFull {
			t.Rows = w.changes.Before
		}
		t.Rows += w.changes.Created - w.changes.Deleted
		c.counts.Created += w.changes.Created
		c.counts.Updated += w.changes.Updated
		c.counts.Deleted += w.changes.Deleted
	}
	for _, t := range tables {
		m.Tables = append(m.Tables, *t)
	}
	slices.SortFunc(m.Tables, func(a, b storedTable) int { return cmp.Compare(a.Number, b.Number) })
	c.counts.Rows = m.rows()
	c.manifest = m
}

// formerTable returns the number of a table that the schema no longer has.
func (r *Run) formerTable(name string) uint32 {
	for _, t := range slices.Backward(r.schema.Tables) {
		if t.Name == name {
			return t.Number
		}
	}
	return 0
}

// entry puts the last pack and the log entry.
func (c *commit) entry(ctx context.Context) (allod.Snapshot, error) {
	r, v := c.r, c.r.v
	if err := v.refresh(ctx); err != nil {
		return allod.Snapshot{}, err
	}
	part := sealedPart{Environment: r.name, State: c.m.State}
	fresh := false
	if r.schema != nil {
		part.Schema, part.SchemaEntry = r.schema.Number, r.schema.entry
		fresh = r.schema.entry == 0
	}
	for _, w := range c.writers {
		c.objects = append(c.objects, w.files.large...)
	}
	for range maxTries {
		e, err := c.draft(fresh, &part)
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
// environment or the key tree moved on.
func (c *commit) draft(fresh bool, part *sealedPart) (*vlog.Entry, error) {
	r, v := c.r, c.r.v
	if err := v.epochInForce(); err != nil {
		return nil, err
	}
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	chain := &v.log.chain
	if chain.Capture[r.env] != r.capture {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "another process has captured the environment meanwhile"), "Run the backup again.")
	}
	now := v.cfg.Now().UTC()
	if now.Before(chain.Time) {
		if chain.Time.Sub(now) > maxBehind {
			return nil, allod.WithHint(allod.Errorf(allod.Invalid, "the clock of this machine shows %s, the newest log entry %s", now.Format(time.RFC3339), chain.Time.Format(time.RFC3339)), "Set the clock of this machine.")
		}
		now = chain.Time
	}
	e := &vlog.Entry{Vault: fmt.Sprintf("%x", v.cfg.Pin.Vault[:]), N: chain.N + 1, Prev: chain.Last, Kind: vlog.KindCapture, Run: r.id, Time: now,
		Environment: r.env, Capture: c.capture, Base: r.capture, Line: r.line, Root: v.tree().Root(), Epoch: v.tree().Epoch(),
		Counts: c.counts, From: c.m.From, To: c.m.To, Complete: c.m.Complete,
		Ledger: vlog.LedgerRoot{Size: r.seen.Size, Hash: vlog.Digest(r.seen.Hash)}}
	if fresh {
		part.SchemaEntry = e.N
	}
	return e, nil
}

// place puts schema and manifest into the last pack, or the manifest into the
// entry when nothing needs a pack, and seals the entry's part. The manifest
// names the entry that holds a new schema, so a later number means a new pack.
func (c *commit) place(ctx context.Context, e *vlog.Entry, part *sealedPart, fresh bool) error {
	c.manifest.Schema, c.manifest.SchemaEntry = part.Schema, part.SchemaEntry
	manifest, err := packJSON(c.manifest)
	if err != nil {
		return err
	}
	rows := c.packs()
	part.Manifest = nil
	switch {
	case c.pack == nil && rows == 0 && !fresh && len(manifest) <= sealedManifest:
		part.Manifest = c.manifest
	default:
		var schema []byte
		if fresh {
			if schema, err = packJSON(&c.r.schema.storedSchema); err != nil {
				return err
			}
		}
		if err := c.openPack(); err != nil {
			return err
		}
		if err := c.endPack(ctx, schema, manifest); err != nil {
			return err
		}
	}
	e.Objects = c.ordered()
	return c.r.v.sealPart(e, part)
}

func (c *commit) packs() int {
	n := 0
	for _, o := range c.objects {
		if o.Role == vlog.RolePack {
			n++
		}
	}
	return n
}

// ordered returns packs in key order, then files.
func (c *commit) ordered() []vlog.Object {
	out := slices.Clone(c.objects)
	slices.SortStableFunc(out, func(a, b vlog.Object) int { return -cmp.Compare(a.Role, b.Role) })
	return out
}

// put puts the entry. It reports that the number is taken by an entry of
// another environment, after having read it.
func (c *commit) put(ctx context.Context, e *vlog.Entry) (taken bool, err error) {
	v := c.r.v
	b, digest, err := e.Encode(v.signer)
	if err != nil {
		return false, err
	}
	if err := v.log.wouldFollow(e, digest); err != nil {
		return false, allod.Errorf(allod.Internal, "write the log: %w", err)
	}
	c.own = b
	name := vlog.EntryName(e.N)
	putErr := v.cfg.Store.Put(ctx, name, bytes.NewReader(b), int64(len(b)), blob.PutOptions{}) // THE commit point
	if putErr == nil {
		return false, nil
	}
	// Somebody has the number, or the store cannot say: look.
	there, err := getBytes(context.WithoutCancel(ctx), v.cfg.Store, name, vlog.MaxEntry)
	switch {
	case err == nil && bytes.Equal(there, b):
		return false, nil
	case err == nil:
		return true, v.refresh(ctx)
	case errors.Is(err, blob.ErrNotFound):
		return false, allod.WithHint(allod.Errorf(allod.KindOf(putErr), "write %s: %w", name, putErr), "%s", allod.HintOf(putErr))
	default:
		return false, allod.WithHint(allod.Errorf(allod.Unavailable, "write %s: the store does not say whether it is written: %w", name, errors.Join(putErr, err)),
			"Run `allod snapshots` once the store answers again: the snapshot is there whole or not at all.")
	}
}

// done reads the entry back through the ordinary path and moves the run on.
func (c *commit) done(ctx context.Context, e *vlog.Entry, fresh bool) (allod.Snapshot, error) {
	r, v := c.r, c.r.v
	ctx = context.WithoutCancel(ctx) // it is committed: cancelling must not make it look otherwise
	le, err := v.log.addOwn(c.own, e.N, v.cfg.Pin)
	if err != nil {
		return allod.Snapshot{}, err
	}
	v.env.mu.Lock()
	v.env.names[r.env] = r.name
	if fresh {
		r.schema.entry = e.N
		v.env.schemas[schemaKey{r.env, r.schema.Number}] = r.schema
	}
	v.env.mu.Unlock()
	r.capture, r.last, r.lastRun = c.capture, c.manifest, r.id
	if e.N%vlog.CheckpointEvery == 0 {
		if err := v.checkpoint(ctx, le); err != nil {
			return snapshotOf(r.name, le), err
		}
	}
	return snapshotOf(r.name, le), nil
}

// checkpoint writes the checkpoint as of an entry; one that is there is kept.
func (v *Vault) checkpoint(ctx context.Context, at *logged) error {
	c := &vlog.Checkpoint{Vault: at.Vault, N: at.N, Last: at.digest, Time: at.Time}
	for _, e := range v.log.snapshot()[:at.N] {
		c.Live = append(c.Live, e.Objects...)
		if e.Capture != 0 {
			c.Kept = append(c.Kept, e.N)
		}
	}
	tree := v.tree()
	c.Absents = []vlog.Absent{{Root: tree.Root(), Epoch: tree.Epoch(), Digest: tree.AbsentDigest()}}
	b, err := c.Encode(v.signer)
	if err != nil {
		return err
	}
	if err := putBytes(ctx, v.cfg.Store, vlog.CheckpointName(at.N), b); err != nil && !errors.Is(err, blob.ErrExists) {
		return err
	}
	return nil
}

// sealers seal rows side by side and add them to the pack in order.
type sealers struct {
	c       *commit
	workers []*sealWorker
	batch   []pendingRow
	n       int
}

type sealWorker struct {
	codec *seal.Codec
	index *keytree.Indexer
}

type pendingRow struct {
	table, schema uint32
	tag           keytree.Tag
	pending       []byte
	reason        allod.DeleteReason
	salt          [keytree.SaltSize]byte
	out           pack.Entry
	gone          bool
	err           error
}

func newSealers(c *commit) (*sealers, error) {
	s := &sealers{c: c, batch: make([]pendingRow, batchSize)}
	for range min(runtime.GOMAXPROCS(0), 8) {
		codec, err := seal.NewCodec()
		if err != nil {
			return nil, err
		}
		s.workers = append(s.workers, &sealWorker{codec: codec, index: keytree.NewIndexer(c.r.v.secrets.Index)})
	}
	return s, nil
}

func (s *sealers) close() {
	for _, w := range s.workers {
		w.codec.Close()
	}
}

func (s *sealers) add(table, schema uint32, tag keytree.Tag, pending []byte, reason allod.DeleteReason) error {
	p := &s.batch[s.n]
	p.table, p.schema, p.tag, p.reason = table, schema, tag, reason
	p.pending = append(p.pending[:0], pending...)
	s.n++
	if s.n == len(s.batch) {
		return s.flush()
	}
	return nil
}

func (s *sealers) flush() error {
	if s.n == 0 {
		return nil
	}
	batch := s.batch[:s.n]
	s.n = 0
	var salts [batchSize * keytree.SaltSize]byte
	if _, err := io.ReadFull(rand.Reader, salts[:len(batch)*keytree.SaltSize]); err != nil {
		return allod.Errorf(allod.Internal, "draw salts: %w", err)
	}
	for i := range batch {
		copy(batch[i].salt[:], salts[i*keytree.SaltSize:])
	}
	var wg sync.WaitGroup
	for k, w := range s.workers {
		wg.Go(func() {
			for i := k; i < len(batch); i += len(s.workers) {
				p := &batch[i]
				p.err = w.seal(s.c, p)
			}
		})
	}
	wg.Wait()
	for i := range batch {
		p := &batch[i]
		if p.err != nil {
			return p.err
		}
		if p.gone {
			continue
		}
		if err := s.c.openPack(); err != nil {
			return err
		}
		if err := s.c.pack.Add(&p.out); err != nil {
			return err
		}
	}
	return nil
}

func (w *sealWorker) seal(c *commit, p *pendingRow) error {
	v := c.r.v
	op, row, err := readPending(p.pending)
	if err != nil {
		return err
	}
	if p.reason != 0 {
		row.Reason = p.reason
	}
	tree := v.tree()
	generation, seed, err := tree.Current(w.index.Leaf(p.tag))
	p.gone = withheld(err) != ""
	if p.gone {
		return nil
	}
	if err != nil {
		return err
	}
	meta := seal.Meta{Op: op, Root: tree.Root(), Schema: p.schema}
	place := seal.Place{Vault: v.cfg.Pin.Vault, Environment: c.r.env, Table: p.table, Tag: p.tag, Generation: generation, Capture: c.capture, Meta: meta}
	p.out.Key = pack.MakeKey(p.table, p.tag, c.capture, generation)
	p.out.Meta = [seal.MetaSize]byte(meta.Append(nil))
	p.out.Sealed, err = w.codec.Seal(p.out.Sealed[:0], &place, seed, p.salt, &row)
	return err
}
