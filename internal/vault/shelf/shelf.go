// Package shelf finds sealed rows: it keeps the packs of a vault open that were
// asked for, and merges those of an environment into what it held as of a
// capture. It opens the packs' age layer and no row.
package shelf

import (
	"container/list"
	"context"
	"sync"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
)

// Shelf keeps packs open: their indexes and filters, bounded in bytes. Methods
// may be called from several goroutines.
type Shelf struct {
	life     context.Context // values of the opening call, without its end: packs stay open across calls
	store    blob.Store
	identity age.Identity
	blocks   *pack.Cache
	limit    int64

	mu    sync.Mutex
	used  int64
	order *list.List
	items map[vlog.Digest]*list.Element
}

// Pack is an open pack.
type Pack struct {
	*pack.Reader
	Name string // of the object, for errors

	digest, trailer vlog.Digest
}

// New returns an empty shelf for packs that identity opens; nil opens none. It holds limit
// bytes of indexes and filters; blocks keeps what point reads decrypt. life is
// the context of reads from packs, which outlive the call that opened them.
func New(life context.Context, store blob.Store, identity age.Identity, limit int64, blocks *pack.Cache) *Shelf {
	return &Shelf{life: life, store: store, identity: identity, blocks: blocks, limit: limit, order: list.New(), items: map[vlog.Digest]*list.Element{}}
}

// NoIdentity is the error, of kind Denied, of who would open an object without
// the read identity.
func NoIdentity(name string) error {
	return allod.WithHint(allod.Errorf(allod.Denied, "open %s: this slot has no read identity", name), "Name a slot that reads with --key.")
}

// Clear closes every pack.
func (c *Shelf) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used, c.order, c.items = 0, list.New(), map[vlog.Digest]*list.Element{}
}

// Open returns the pack that an entry of the environment names. Corrupt, naming
// the object, if it is not what the entry says.
func (c *Shelf) Open(o vlog.Object, env uint32) (*Pack, error) {
	c.mu.Lock()
	if el := c.items[o.Digest]; el != nil {
		c.order.MoveToFront(el)
		c.mu.Unlock()
		p := el.Value.(*Pack)
		if err := p.fits(o, env); err != nil {
			return nil, err
		}
		return p, nil
	}
	c.mu.Unlock()
	if c.identity == nil {
		return nil, NoIdentity(o.Name())
	}
	r, err := pack.Open(object.NewReader(c.life, c.store, o.Name()), o.Size, c.identity, o.Trailer, c.blocks)
	if err != nil {
		return nil, object.Named(o.Name(), err)
	}
	p := &Pack{Reader: r, Name: o.Name(), digest: o.Digest, trailer: o.Trailer}
	if err := p.fits(o, env); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.items[o.Digest]; el != nil {
		return el.Value.(*Pack), nil
	}
	c.items[o.Digest] = c.order.PushFront(p)
	c.used += r.Memory()
	for c.used > c.limit && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Back()).(*Pack)
		delete(c.items, old.digest)
		c.used -= old.Memory()
	}
	return p, nil
}

// fits is Corrupt unless the pack is what an entry of the environment says,
// whichever entry it was opened for.
func (p *Pack) fits(o vlog.Object, env uint32) error {
	switch {
	case p.Environment() != env:
		return allod.Errorf(allod.Corrupt, "%s: it is of another environment than its log entry", p.Name)
	case p.trailer != o.Trailer:
		return allod.Errorf(allod.Corrupt, "%s: its trailer is not the one in the log", p.Name)
	}
	return nil
}

// Frame returns the schema or the manifest (pack.KeptSchema, pack.KeptManifest)
// that the last pack of a capture's entry had, and the name of the object that
// it stands in: of that pack, or of one of the compaction that holds it now.
// Empty when it had none.
func (c *Shelf) Frame(e, holder *journal.Entry, what uint8) (b []byte, name string, err error) {
	p, err := c.Last(holder)
	if err != nil {
		return nil, "", err
	}
	switch {
	case e.N != holder.N:
		b, err = p.Frame(e.N, what)
	case what == pack.KeptSchema:
		b, err = p.Schema()
	default:
		b, err = p.Manifest()
	}
	return b, p.Name, object.Named(p.Name, err)
}

// Last returns the last pack of an entry: the one with its schema and manifest.
func (c *Shelf) Last(e *journal.Entry) (*Pack, error) {
	packs := e.Packs()
	if len(packs) == 0 {
		return nil, allod.Errorf(allod.Corrupt, "%s: it names no pack", vlog.EntryName(e.N))
	}
	return c.Open(packs[len(packs)-1], e.Environment)
}
