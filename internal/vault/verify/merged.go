package verify

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/pack"
	"allod/internal/vault/shelf"
)

// merged compares what each compaction has made with what it replaced, as long
// as that is still there: the same rows, byte for byte, and the same files,
// schemas and manifests. It needs the identity alone. Of a compaction that was
// replaced itself the packs may be gone; then nothing can be said.
func (c *check) merged(ctx context.Context) error {
	identity := c.Identity
	if c.Reader != nil {
		identity = c.Reader.Identity()
	}
	if c.opts.Public || identity == nil {
		return nil
	}
	from := map[vlog.Digest]*journal.Entry{} // packs → the entry that names them
	for _, e := range c.entries {
		for _, o := range e.Packs() {
			from[o.Digest] = e
		}
	}
	for _, e := range c.entries {
		if e.Compact == nil {
			continue
		}
		if err := c.compare(ctx, e, from, identity); err != nil {
			if err := c.bad(objectOf(err, vlog.EntryName(e.N)), err); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare is Corrupt unless the packs of a compaction hold what those hold that
// it replaced.
func (c *check) compare(ctx context.Context, e *journal.Entry, from map[vlog.Digest]*journal.Entry, identity age.Identity) error {
	packs := shelf.New(ctx, c.Store, identity, 1, nil)
	before, after := held{files: map[[16]byte]bool{}}, held{files: map[[16]byte]bool{}}
	for _, d := range e.Compact.Gone {
		by := from[d]
		if by == nil {
			return nil // the entry is bad, and was found
		}
		for _, o := range by.Packs() {
			if o.Digest != d {
				continue
			}
			if _, err := c.Store.Stat(ctx, o.Name()); errors.Is(err, blob.ErrNotFound) {
				return nil // it was removed
			} else if err != nil {
				return allod.Errorf(allod.KindOf(err), "look for %s: %w", o.Name(), err)
			}
			if err := before.add(ctx, packs, by, o); err != nil {
				return err
			}
		}
	}
	for _, o := range e.Packs() {
		if err := after.add(ctx, packs, e, o); err != nil {
			return err
		}
	}
	if before.items != after.items || before.sum != after.sum {
		return allod.Errorf(allod.Corrupt, "it does not hold what it replaced: %d rows, files and frames of %d; keep the packs it replaced", after.items, before.items)
	}
	return nil
}

// held is a set of rows, files and frames, whatever their order: the sum of
// their hashes.
type held struct {
	items int64
	sum   [4]uint64
	files map[[16]byte]bool // each counts once: a commit that had to try again stored it twice
}

func (s *held) take(parts ...[]byte) {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p)))) // a hash does not fail
		_, _ = h.Write(p)                                                  // the same
	}
	b := h.Sum(nil)
	for i := range s.sum {
		s.sum[i] += binary.BigEndian.Uint64(b[8*i:])
	}
	s.items++
}

// add adds what a pack of an entry holds: rows, ids of small files, and which
// schema and manifest are whose.
func (s *held) add(ctx context.Context, packs *shelf.Shelf, e *journal.Entry, o vlog.Object) error {
	p, err := packs.Open(o, e.Environment)
	if err != nil {
		return err
	}
	it := p.Seek(pack.Key{}, 1<<20)
	for n := 0; it.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		en := it.Entry()
		s.take(en.Key[:], en.Meta[:], en.Sealed)
	}
	if err := it.Err(); err != nil {
		return err
	}
	frames, err := framesOf(e, o, p)
	if err != nil {
		return err
	}
	for _, id := range p.Files() {
		if !frames[id] && !s.files[id] {
			s.files[id] = true
			s.take([]byte("file"), id[:])
		}
	}
	all := e.Packs()
	if o.Digest != all[len(all)-1].Digest {
		return nil
	}
	kept, err := keptOf(e, p)
	for i := range kept {
		s.take([]byte("frame"), binary.BigEndian.AppendUint64(nil, kept[i].Entry), []byte{kept[i].What}, kept[i].Hash[:])
	}
	return err
}

// keptOf says which schema and manifest the last pack of an entry has of which
// captures.
func keptOf(e *journal.Entry, p *shelf.Pack) ([]pack.Kept, error) {
	if e.Compact != nil {
		return p.Kept()
	}
	var out []pack.Kept
	for what, section := range map[uint8]func() ([]byte, error){pack.KeptSchema: p.Schema, pack.KeptManifest: p.Manifest} {
		b, err := section()
		if err != nil {
			return nil, err
		}
		if len(b) > 0 {
			out = append(out, pack.Kept{Entry: e.N, What: what, Hash: sha256.Sum256(b)})
		}
	}
	return out, nil
}
