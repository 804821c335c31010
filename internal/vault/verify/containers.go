package verify

import (
	"context"
	"io"

	"allod"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/shelf"
)

// containers opens packs and files to their end, and no row in them: form, order
// and hashes of blocks, manifests, the end of each file. It needs the identity
// alone.
func (c *check) containers(ctx context.Context) error {
	if c.opts.Public || c.Identity == nil {
		return nil
	}
	packs := shelf.New(ctx, c.Store, c.Identity, 1, nil)
	done := map[string]bool{}
	for _, e := range c.entries {
		for _, o := range e.Objects {
			if done[o.Name()] || c.gone[o.Digest] != nil {
				continue
			}
			done[o.Name()] = true
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if o.Role == vlog.RoleFile {
				err = c.fileEnd(ctx, o)
			} else {
				err = c.packEnd(packs, o, e)
			}
			if err := c.bad(o.Name(), err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *check) packEnd(packs *shelf.Shelf, o vlog.Object, e *journal.Entry) error {
	p, err := packs.Open(o, e.Environment)
	if err != nil {
		return err
	}
	rows := int64(0)
	it := p.Seek(pack.Key{}, 1<<20)
	for it.Next() {
		rows++
	}
	if err := it.Err(); err != nil {
		return err
	}
	if rows != p.Rows() {
		return allod.Errorf(allod.Corrupt, "it has %d rows, and its trailer says %d", rows, p.Rows())
	}
	for _, id := range p.Files() {
		b, err := p.Blob(id)
		if err == nil {
			_, err = io.Copy(io.Discard, b)
		}
		if err != nil {
			return err
		}
	}
	if err := sectionsOf(e, o, p); err != nil {
		return err
	}
	c.Packs++
	return nil
}

// sectionsOf reads schema and manifest of a pack, or those that it keeps.
func sectionsOf(e *journal.Entry, o vlog.Object, p *shelf.Pack) error {
	if e.Compact != nil {
		_, err := framesOf(e, o, p)
		return err
	}
	m, err := p.Manifest()
	if err == nil && len(m) > 0 {
		_, err = meta.DecodeManifest(m, o.Name())
	}
	if err == nil {
		_, err = p.Schema()
	}
	return err
}

func (c *check) fileEnd(ctx context.Context, o vlog.Object) error {
	body, err := c.Store.Get(ctx, o.Name(), 0, -1)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // what was read is what counts
	r, err := pack.Decrypt(body, c.Identity)
	if err == nil {
		_, err = object.Copy(ctx, io.Discard, r)
	}
	if err == nil {
		c.Files++
	}
	return err
}
