package compact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"slices"

	"allod"
	"allod/internal/durable"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/shelf"
)

// scanMemory is read-ahead over all units, bytes.
const scanMemory = 16 << 20

// merger writes the packs of one Merge. What it has read and what it has written
// is counted and hashed, so that neither can be less than there was.
type merger struct {
	*Compactor
	m     *Merge
	meter *meter
	packs *shelf.Shelf
	made  []vlog.Object
	tmp   *durable.Scratch // of the pack being written
	w     *pack.Writer
	want  int64           // rows, as the trailers say
	filed map[[2]int]bool // unit and pack of those with small files
	sum   tally
}

func newMerger(ctx context.Context, c *Compactor, m *Merge, meter *meter) *merger {
	return &merger{
		Compactor: c, m: m, meter: meter, packs: shelf.New(ctx, c.Store, c.Identity, 1, nil), filed: map[[2]int]bool{}, sum: tally{h: sha256.New()},
	}
}

// close lets the pack go that was not finished.
func (w *merger) close() {
	if w.tmp != nil {
		object.RemoveTemp(w.tmp)
		w.tmp = nil
	}
}

// drop removes the packs that were made, which no entry names: nobody else can
// have made the same. What it cannot remove stays behind as an orphan.
func (w *merger) drop(ctx context.Context) {
	for _, o := range w.made {
		_ = w.Store.Delete(context.WithoutCancel(ctx), o.Name()) // see above
	}
}

// run writes all packs and reads them back.
func (w *merger) run(ctx context.Context) error {
	if err := w.rows(ctx); err != nil {
		return err
	}
	if w.sum.rows != w.want {
		return allod.Errorf(allod.Corrupt, "the packs have %d rows, and their trailers say %d", w.sum.rows, w.want)
	}
	files, err := w.files(ctx)
	if err != nil {
		return err
	}
	frames, kept, err := w.frames()
	if err != nil {
		return err
	}
	if err := w.put(append(files, frames...)); err != nil {
		return err
	}
	if err := w.end(ctx, pack.EncodeKept(kept)); err != nil {
		return err
	}
	w.m.PacksMade, w.m.Rows, w.m.Files = len(w.made), w.sum.rows, w.sum.blobs-int64(len(frames))
	for _, o := range w.made {
		w.m.BytesMade += o.Size
	}
	return w.readBack(ctx)
}

// within yields what a unit holds, each row of one of its captures.
type within struct {
	pack.Cursor
	u   *unit
	err error
}

func (c *within) Next() bool {
	if c.err != nil || !c.Cursor.Next() {
		return false
	}
	if k := c.Entry().Key.Capture(); k < c.u.First || k > c.u.Last {
		c.err = allod.Errorf(allod.Corrupt, "a row is of another capture than its log entry")
		return false
	}
	return true
}

func (c *within) Err() error {
	if c.err != nil {
		return c.err
	}
	return c.Cursor.Err()
}

// named puts the name of the pack before errors.
type named struct {
	pack.Cursor
	o vlog.Object
}

func (n named) Err() error { return openAs(n.o, n.Cursor.Err()) }

// cursor returns a cursor over all rows of the unit.
func (w *merger) cursor(i, readAhead int) pack.Cursor {
	u := &w.m.units[i]
	var parts []func() (pack.Cursor, error)
	for j, o := range u.Packs {
		parts = append(parts, func() (pack.Cursor, error) {
			p, err := w.packs.Open(o, w.m.number)
			if err != nil {
				return nil, err
			}
			w.want += p.Rows()
			if len(p.Files()) > 0 {
				w.filed[[2]int{i, j}] = true
			}
			w.meter.add(o.Size)
			return named{p.Seek(pack.Key{}, readAhead), o}, nil
		})
	}
	return &within{Cursor: pack.NewConcat(parts), u: u}
}

// rows copies every row, in key order.
func (w *merger) rows(ctx context.Context) error {
	var all []pack.Cursor
	for i := range w.m.units {
		all = append(all, w.cursor(i, min(256<<10, scanMemory/len(w.m.units))))
	}
	m := pack.NewMerge(all)
	for m.Next() {
		if w.sum.rows%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := w.open(); err != nil {
			return err
		}
		e := m.Entry()
		if err := w.w.Add(e); err != nil {
			return err
		}
		w.sum.row(e)
		if w.w.Size() >= w.part {
			if err := w.end(ctx, nil); err != nil {
				return err
			}
		}
	}
	return m.Err()
}

// item is a small file or a frame on its way.
type item struct {
	id   [16]byte
	size int64
	open func() (io.Reader, error)
}

// files copies the small files, and returns those for the last pack.
func (w *merger) files(ctx context.Context) ([]item, error) {
	var batch []item
	size := int64(0)
	for i := range w.m.units {
		u := &w.m.units[i]
		for j, o := range u.Packs {
			if !w.filed[[2]int{i, j}] {
				continue
			}
			p, err := w.packs.Open(o, w.m.number)
			if err != nil {
				return nil, err
			}
			frames, err := framesIn(u, j, p)
			if err != nil {
				return nil, openAs(o, err)
			}
			for _, id := range p.Files() {
				if frames[id] {
					continue
				}
				b, err := p.Blob(id)
				if err != nil {
					return nil, openAs(o, err)
				}
				batch = append(batch, item{id, b.Size(), func() (io.Reader, error) { return b, nil }})
				if size += b.Size(); size+w.size() < w.part {
					continue
				}
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				if err := w.put(batch); err != nil {
					return nil, err
				}
				if err := w.end(ctx, nil); err != nil {
					return nil, err
				}
				batch, size = nil, 0
			}
		}
	}
	return batch, nil
}

// compacted reports whether the unit is a compaction itself.
func (u *unit) compacted() bool { return u.First != u.Last }

// framesIn returns the ids of small files that are schemas and manifests: in the
// last pack of a compaction.
func framesIn(u *unit, j int, p *shelf.Pack) (map[[16]byte]bool, error) {
	if !u.compacted() || j != len(u.Packs)-1 {
		return nil, nil
	}
	list, err := p.Kept()
	out := map[[16]byte]bool{}
	for i := range list {
		out[list[i].ID()] = true
	}
	return out, err
}

// frames returns the schemas and manifests of all captures, each once, and what
// says which is which.
func (w *merger) frames() ([]item, []pack.Kept, error) {
	var out []item
	var kept []pack.Kept
	seen := map[[16]byte]bool{}
	add := func(k pack.Kept, size int, open func() ([]byte, error)) {
		kept = append(kept, k)
		if !seen[k.ID()] {
			seen[k.ID()] = true
			out = append(out, item{k.ID(), int64(size), func() (io.Reader, error) {
				b, err := open()
				return bytes.NewReader(b), err
			}})
		}
	}
	for i := range w.m.units {
		u := &w.m.units[i]
		if len(u.Packs) == 0 {
			continue
		}
		o := u.Packs[len(u.Packs)-1]
		p, err := w.packs.Open(o, w.m.number)
		if err != nil {
			return nil, nil, err
		}
		if err := framesOf(u, p, add); err != nil {
			return nil, nil, openAs(o, err)
		}
	}
	return out, kept, nil
}

// framesOf adds the schemas and manifests that the last pack of a unit has.
func framesOf(u *unit, p *shelf.Pack, add func(k pack.Kept, size int, open func() ([]byte, error))) error {
	if u.compacted() {
		list, err := p.Kept()
		for _, k := range list {
			b, err := p.Frame(k.Entry, k.What)
			if err != nil {
				return err
			}
			add(k, len(b), func() ([]byte, error) { return p.Frame(k.Entry, k.What) })
		}
		return err
	}
	for what, section := range map[uint8]func() ([]byte, error){pack.KeptSchema: p.Schema, pack.KeptManifest: p.Manifest} {
		b, err := section()
		if err != nil {
			return err
		}
		if len(b) > 0 {
			add(pack.Kept{Entry: u.Entry, What: what, Hash: sha256.Sum256(b)}, len(b), section)
		}
	}
	return nil
}

// put copies items into the open pack, by id.
func (w *merger) put(items []item) error {
	slices.SortStableFunc(items, func(a, b item) int { return bytes.Compare(a.id[:], b.id[:]) })
	items = slices.CompactFunc(items, func(a, b item) bool { return a.id == b.id }) // a file that a commit had to try again
	if err := w.open(); err != nil {
		return err
	}
	for _, it := range items {
		r, err := it.open()
		if err != nil {
			return err
		}
		if err := w.w.AddBlob(it.id, w.sum.blob(it.id, it.size, r), it.size); err != nil {
			return err
		}
	}
	return nil
}

// size returns the plain bytes of the open pack.
func (w *merger) size() int64 {
	if w.w == nil {
		return 0
	}
	return w.w.Size()
}

// open begins a pack if none is open.
func (w *merger) open() error {
	if w.w != nil {
		return nil
	}
	recipients, err := pack.ParseRecipients(w.Pin.Recipients)
	if err != nil {
		return err
	}
	if w.tmp, err = object.Temp(w.TempDir, "allod-pack-*"); err != nil {
		return err
	}
	w.w, err = pack.NewWriter(w.tmp, recipients, w.m.number)
	return err
}

// end finishes the open pack and puts it.
func (w *merger) end(ctx context.Context, kept []byte) error {
	res, err := w.w.Finish(nil, kept)
	if err != nil {
		return err
	}
	o := vlog.Object{Digest: res.Digest, Size: res.Size, Role: vlog.RolePack, Trailer: res.Trailer, Tier: w.m.Tier}
	w.made = append(w.made, o) // before it is put: it may be there after an error
	if err := object.PutDigest(ctx, w.Store, o.Name(), o.Size, w.tmp); err != nil {
		return err
	}
	w.close()
	w.w = nil
	return nil
}

// readBack reads every byte of what was made from the store. Corrupt unless it
// is what was read before.
func (w *merger) readBack(ctx context.Context) error {
	packs := shelf.New(ctx, w.Store, w.Identity, 1, nil)
	got := tally{h: sha256.New()}
	for _, o := range w.made {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := packs.Open(o, w.m.number)
		if err != nil {
			return err
		}
		it := p.Seek(pack.Key{}, 1<<20)
		for it.Next() {
			got.row(it.Entry())
		}
		if err := it.Err(); err != nil {
			return openAs(o, err)
		}
		for _, id := range p.Files() {
			b, err := p.Blob(id)
			if err == nil {
				_, err = io.Copy(io.Discard, got.blob(id, b.Size(), b))
			}
			if err != nil {
				return openAs(o, err)
			}
		}
		w.meter.add(o.Size)
	}
	if got.rows != w.sum.rows || got.blobs != w.sum.blobs || !bytes.Equal(got.h.Sum(nil), w.sum.h.Sum(nil)) {
		return allod.Errorf(allod.Corrupt, "the store gives back other rows than were put there")
	}
	return nil
}

// tally hashes rows and files in their order.
type tally struct {
	h           hash.Hash
	rows, blobs int64
}

func (t *tally) row(e *pack.Entry) {
	t.rows++
	head := append(append([]byte{1}, e.Key[:]...), e.Meta[:]...)
	_, _ = t.h.Write(binary.BigEndian.AppendUint64(head, uint64(len(e.Sealed)))) // a hash does not fail
	_, _ = t.h.Write(e.Sealed)                                                   // the same
}

// blob returns r, hashed while it is read.
func (t *tally) blob(id [16]byte, size int64, r io.Reader) io.Reader {
	t.blobs++
	_, _ = t.h.Write(binary.BigEndian.AppendUint64(append([]byte{2}, id[:]...), uint64(size))) // a hash does not fail
	return io.TeeReader(r, t.h)
}
