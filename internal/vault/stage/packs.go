package stage

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"runtime"
	"slices"
	"sync"

	"allod"
	"allod/internal/durable"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/spill"
)

const (
	partSize  = 64 << 20 // plain bytes at which a part is closed
	batchSize = 256      // rows sealed side by side
)

// Capture says whose rows are sealed, and under which keys.
type Capture struct {
	Environment uint32
	Number      uint64         // of the capture in its environment
	Tree        *keytree.State // of new rows
	Index       [32]byte       // index key
	Seal        Sealer         // nil = as FORMAT.md §6.1 says

	// Escrow returns what seals rows of a record that is restricted or held; nil
	// when nothing can. May be called from several goroutines.
	Escrow func(keytree.Tag) (*escrow.Public, error)
}

// Sealer appends to out what stands for a row, under a seed of its record and a
// salt that is used once. It is called from several goroutines.
type Sealer func(out []byte, p *seal.Place, seed keytree.Seed, salt [keytree.SaltSize]byte, r *seal.Row) ([]byte, error)

// Packs writes the packs of one commit: tables in ascending order, then files,
// then what End adds. It is used by one goroutine; Close frees it.
type Packs struct {
	to      Place
	capture Capture
	done    []vlog.Object
	tmp     *durable.Scratch // of the pack being written
	pack    *pack.Writer
	workers []*worker
	batch   []row
	n       int
}

// NewPacks begins the packs of a commit; none is written before there is
// something to write.
func NewPacks(to Place, c Capture) (*Packs, error) {
	p := &Packs{to: to, capture: c, batch: make([]row, batchSize)}
	for range min(runtime.GOMAXPROCS(0), 8) {
		codec, err := seal.NewCodec()
		if err != nil {
			return nil, err
		}
		p.workers = append(p.workers, &worker{codec: codec, index: keytree.NewIndexer(c.Index)})
	}
	return p, nil
}

// Close removes what is left of a pack that was not finished.
func (p *Packs) Close() {
	p.dropTemp()
	for _, w := range p.workers {
		w.codec.Close()
	}
}

func (p *Packs) dropTemp() {
	if p.tmp != nil {
		object.RemoveTemp(p.tmp)
		p.tmp = nil
	}
}

// Done returns the packs that are stored, in key order.
func (p *Packs) Done() []vlog.Object { return p.done }

// Empty reports whether nothing needed a pack so far.
func (p *Packs) Empty() bool { return p.pack == nil && len(p.done) == 0 }

// Open reports whether a pack is begun and not stored.
func (p *Packs) Open() bool { return p.pack != nil }

// Queue is rows of one table, ascending by SortKey, with one row for each tag.
type Queue struct {
	Rows   *spill.Queue
	Reason allod.DeleteReason // of all of them; 0 = as queued
}

type feed struct {
	*spill.Reader
	reason allod.DeleteReason
	more   bool
}

// Table merges the queues of a table by tag and seals their rows under the
// number of the schema. Where several have a tag the first queue wins. Rows of
// records whose key is gone are left out, unless they are in escrow.
func (p *Packs) Table(ctx context.Context, table, schema uint32, queues []Queue) error {
	var feeds []*feed
	for _, q := range queues {
		in, err := q.Rows.Read()
		if err != nil {
			return err
		}
		f := &feed{Reader: in, reason: q.Reason, more: in.Next()}
		if !f.more && in.Err() != nil {
			return in.Err()
		}
		feeds = append(feeds, f)
	}
	for {
		low := lowest(feeds)
		if low == nil {
			return p.flush()
		}
		tag := TagOf(low.Key())
		if err := p.add(table, schema, tag, low.Value(), low.reason); err != nil {
			return err
		}
		for _, f := range feeds {
			if f.more && TagOf(f.Key()) == tag {
				if f.more = f.Next(); !f.more && f.Err() != nil {
					return f.Err()
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.pack != nil && p.pack.Size() >= partSize {
			if err := p.flush(); err != nil {
				return err
			}
			if err := p.end(ctx, nil, nil); err != nil {
				return err
			}
		}
	}
}

// Sealed adds a row version that is sealed already; keys must rise.
func (p *Packs) Sealed(ctx context.Context, e *pack.Entry) error {
	if err := p.flush(); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	if err := p.pack.Add(e); err != nil || p.pack.Size() < partSize {
		return err
	}
	return p.end(ctx, nil, nil)
}

// lowest returns the first feed with the lowest tag, nil when all have ended.
func lowest(feeds []*feed) *feed {
	var low *feed
	for _, f := range feeds {
		if f.more && (low == nil || bytes.Compare(f.Key()[:keytree.TagSize], low.Key()[:keytree.TagSize]) < 0) {
			low = f
		}
	}
	return low
}

// Add seals one row, as AppendRow has written it: tags must rise within a
// table, tables within the commit.
func (p *Packs) Add(ctx context.Context, table, schema uint32, tag keytree.Tag, staged []byte) error {
	if err := p.add(table, schema, tag, staged, 0); err != nil {
		return err
	}
	if p.pack != nil && p.pack.Size() >= partSize {
		if err := p.flush(); err != nil {
			return err
		}
		return p.end(ctx, nil, nil)
	}
	return nil
}

// Finish stores what is left, without schema and manifest.
func (p *Packs) Finish(ctx context.Context) error {
	if err := p.flush(); err != nil || p.pack == nil {
		return err
	}
	return p.end(ctx, nil, nil)
}

// Files copies the small files, by id, behind the rows of the last pack.
func (p *Packs) Files(ctx context.Context, from []*Files) error {
	if err := p.flush(); err != nil {
		return err
	}
	var all []small
	for _, f := range from {
		all = append(all, f.small...)
	}
	slices.SortFunc(all, func(a, b small) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, s := range all {
		if err := p.open(); err != nil {
			return err
		}
		if err := p.pack.AddBlob(s.id, io.NewSectionReader(s.f, s.off, s.n), s.n); err != nil {
			return err
		}
		if p.pack.Size() >= partSize {
			if err := p.end(ctx, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// End puts schema and manifest, as meta encodes them, into the last pack and
// stores it; an empty one if there is no other. It may be called again, if the
// entry could not be written: then they go into another pack.
func (p *Packs) End(ctx context.Context, schema, manifest []byte) error {
	if err := p.open(); err != nil {
		return err
	}
	return p.end(ctx, schema, manifest)
}

// open begins a pack if none is open.
func (p *Packs) open() error {
	if p.pack != nil {
		return nil
	}
	var err error
	if p.tmp, err = object.Temp(p.to.TempDir, "allod-pack-*"); err != nil {
		return err
	}
	p.pack, err = pack.NewWriter(p.tmp, p.to.Recipients, p.capture.Environment)
	return err
}

// end finishes the open pack and puts it.
func (p *Packs) end(ctx context.Context, schema, manifest []byte) error {
	res, err := p.pack.Finish(schema, manifest)
	if err != nil {
		return err
	}
	o := vlog.Object{Digest: res.Digest, Size: res.Size, Role: vlog.RolePack, Trailer: res.Trailer}
	if err := object.PutDigest(ctx, p.to.Store, o.Name(), o.Size, p.tmp); err != nil {
		return err
	}
	p.done = append(p.done, o)
	p.pack = nil
	p.dropTemp()
	return nil
}

// worker seals rows side by side with others.
type worker struct {
	codec *seal.Codec
	index *keytree.Indexer
}

// row is a row of the batch.
type row struct {
	table, schema uint32
	tag           keytree.Tag
	staged        []byte
	reason        allod.DeleteReason
	salt          [keytree.SaltSize]byte
	out           pack.Entry
	gone          bool
	err           error
}

func (p *Packs) add(table, schema uint32, tag keytree.Tag, staged []byte, reason allod.DeleteReason) error {
	r := &p.batch[p.n]
	r.table, r.schema, r.tag, r.reason = table, schema, tag, reason
	r.staged = append(r.staged[:0], staged...)
	p.n++
	if p.n == len(p.batch) {
		return p.flush()
	}
	return nil
}

// flush seals the batch on all cores and adds it to the pack in order.
func (p *Packs) flush() error {
	if p.n == 0 {
		return nil
	}
	batch := p.batch[:p.n]
	p.n = 0
	var salts [batchSize * keytree.SaltSize]byte
	if _, err := io.ReadFull(rand.Reader, salts[:len(batch)*keytree.SaltSize]); err != nil {
		return allod.Errorf(allod.Internal, "draw salts: %w", err)
	}
	for i := range batch {
		copy(batch[i].salt[:], salts[i*keytree.SaltSize:])
	}
	var wg sync.WaitGroup
	for k, w := range p.workers {
		wg.Go(func() {
			for i := k; i < len(batch); i += len(p.workers) {
				r := &batch[i]
				r.err = w.seal(p, r)
			}
		})
	}
	wg.Wait()
	for i := range batch {
		r := &batch[i]
		if r.err != nil {
			return r.err
		}
		if r.gone {
			continue
		}
		if err := p.open(); err != nil {
			return err
		}
		if err := p.pack.Add(&r.out); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) seal(p *Packs, r *row) error {
	op, plain, err := ReadRow(r.staged)
	if err != nil {
		return err
	}
	if r.reason != 0 {
		plain.Reason = r.reason
	}
	c := &p.capture
	generation, seed, err := c.Tree.Current(w.index.Leaf(r.tag))
	meta := seal.Meta{Op: op, Root: c.Tree.Root(), Schema: r.schema}
	var kept *escrow.Public
	if why := content.Withheld(err); why != "" {
		if kept, err = c.escrow(r.tag, why); err != nil || kept == nil {
			r.gone = true
			return err
		}
		meta.KeyKind = seal.KindEscrow
	}
	if err != nil {
		return err
	}
	place := seal.Place{Vault: p.to.Vault, Environment: c.Environment, Table: r.table, Tag: r.tag, Generation: generation, Capture: c.Number, Meta: meta}
	r.out.Key = pack.MakeKey(r.table, r.tag, c.Number, generation)
	r.out.Meta = [seal.MetaSize]byte(meta.Append(nil))
	switch {
	case kept != nil:
		r.out.Sealed, err = kept.Seal(r.out.Sealed[:0], w.codec, &place, &plain)
		return err
	case c.Seal != nil:
		r.out.Sealed, err = c.Seal(r.out.Sealed[:0], &place, seed, r.salt, &plain)
		return err
	}
	r.out.Sealed, err = w.codec.Seal(r.out.Sealed[:0], &place, seed, r.salt, &plain)
	return err
}

// escrow returns what seals rows of a record whose key is gone for the reason.
func (c *Capture) escrow(tag keytree.Tag, why string) (*escrow.Public, error) {
	if c.Escrow == nil || !InEscrow(why) {
		return nil, nil
	}
	return c.Escrow(tag)
}

// InEscrow reports whether a key that is gone for the reason, as
// content.Withheld says it, lies in escrow.
func InEscrow(why string) bool {
	return why == keytree.Restricted.String() || why == keytree.Held.String()
}
