package known

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"filippo.io/age"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
	"allod/internal/vault/stage"
)

// Update makes the head that belongs to an entry which is not written yet. It
// is used by one goroutine; Close frees it. Until the entry stands, the head of
// the entry before does too.
type Update struct {
	x       *Index
	before  *Head // nil = nothing was known
	next    Head
	rows    *stage.Packs
	layouts map[uint32]*layout
	escrow  func(keytree.Tag) (*escrow.Public, error)
	written []string // heads of entries that were not written
}

// Begin begins the update for a capture. Before is the head of the entry that
// the capture follows; nil when it is the first of the environment. Rows of
// records in escrow are kept as the vault has them.
func (x *Index) Begin(ctx context.Context, env uint32, capture uint64, tree *keytree.State, before *Head, kept func(keytree.Tag) (*escrow.Public, error)) (*Update, error) {
	u := &Update{x: x, before: before, layouts: map[uint32]*layout{}, escrow: kept}
	u.next = Head{Environment: env, Capture: capture, Root: tree.Root()}
	var err error
	if u.rows, err = u.packs(capture, tree); err != nil || before == nil {
		return u, err
	}
	if len(before.Segments) > 0 && before.Root != tree.Root() {
		u.next.Root = before.Root // a root was begun meanwhile: it all has to be made anew
	}
	if u.next.Segments, err = u.merged(ctx, before, tree); err != nil {
		u.Close()
		return nil, object.Named("merge what is known", err)
	}
	return u, nil
}

func (u *Update) packs(capture uint64, tree *keytree.State) (*stage.Packs, error) {
	to := stage.Place{Store: u.x.place, TempDir: u.x.temp, Vault: u.x.vault, Recipients: []age.Recipient{u.x.wrap}}
	return stage.NewPacks(to, stage.Capture{Environment: u.next.Environment, Number: capture, Tree: tree, Index: u.x.key, Seal: u.sealRow, Escrow: u.escrow})
}

// Close frees what the update holds.
func (u *Update) Close() { u.rows.Close() }

// Table takes what a commit stores of a table of the schema, as stage.Packs does.
func (u *Update) Table(ctx context.Context, number uint32, s *meta.Schema, queues []stage.Queue) error {
	u.layouts[number] = newLayout(s, number)
	return u.rows.Table(ctx, number, s.Number, queues)
}

// Put writes the head for an entry that is about to be written. It may be
// called again, for another.
func (u *Update) Put(ctx context.Context, n uint64, digest vlog.Digest, m *meta.Manifest, s *meta.Schema) error {
	asOf := n
	if u.before != nil && u.x.anew(u.next.Environment, u.before.AsOf) != 0 {
		asOf = u.before.AsOf // they came while this capture was under way
	}
	return u.put(ctx, n, digest, asOf, m, s)
}

func (u *Update) put(ctx context.Context, n uint64, digest vlog.Digest, asOf uint64, m *meta.Manifest, s *meta.Schema) error {
	if u.next.Encoded == nil {
		if err := u.rows.Finish(ctx); err != nil {
			return err
		}
		if done := u.rows.Done(); len(done) > 0 {
			rows, err := u.count(done)
			if err != nil {
				return err
			}
			u.next.Segments = slices.Insert(u.next.Segments, 0, Segment{Capture: u.next.Capture, Rows: rows, Objects: done})
		}
	}
	h := &u.next
	h.Entry, h.Digest, h.AsOf, h.manifest, h.schema = n, digest, asOf, m, s
	var err error
	if h.Encoded, err = m.Encode(); err != nil {
		return err
	}
	if s != nil {
		h.SchemaEntry, h.Number = m.SchemaEntry, s.Number
		if h.SchemaID, err = u.x.putSchema(ctx, s); err != nil {
			return err
		}
	}
	u.written = append(u.written, headName(h.Environment, digest))
	return u.x.write(ctx, h)
}

func (u *Update) count(objects []vlog.Object) (int64, error) {
	var rows int64
	for _, o := range objects {
		p, err := u.x.packs.Open(o, u.next.Environment)
		if err != nil {
			return 0, err
		}
		rows += p.Rows()
	}
	return rows, nil
}

// Done returns the head of the entry that now stands, and the names of what
// only the one before needed: for Drop, when nobody looks at that one any more.
func (u *Update) Done() (*Head, []string) {
	h := u.next
	drop := slices.Clone(u.written[:len(u.written)-1])
	if u.before != nil && u.before.Entry != 0 {
		if u.before.Digest != h.Digest {
			drop = append(drop, headName(h.Environment, u.before.Digest))
		}
		now := h.objects()
		for _, o := range u.before.objects() {
			if !slices.ContainsFunc(now, func(n vlog.Object) bool { return n.Digest == o.Digest }) {
				drop = append(drop, o.Name())
			}
		}
	}
	return &h, drop
}

// Drop removes objects by name. What cannot be removed stays until the next
// RebuildAll: it is of no use to anybody.
func (x *Index) Drop(ctx context.Context, names []string) {
	_ = x.remove(ctx, names) // see above
}

// merged returns the segments of a head, fewer where they have become many: the
// newest are merged until what they have is less than half of the next.
func (u *Update) merged(ctx context.Context, h *Head, tree *keytree.State) ([]Segment, error) {
	if len(h.Segments) < maxSegments {
		return slices.Clone(h.Segments), nil
	}
	n, rows := 2, h.Segments[0].Rows+h.Segments[1].Rows
	for n < len(h.Segments) && h.Segments[n].Rows <= 2*rows {
		rows += h.Segments[n].Rows
		n++
	}
	w, err := u.packs(0, tree) // what it is given is sealed already
	if err != nil {
		return nil, err
	}
	defer w.Close()
	one := Segment{Capture: h.Segments[0].Capture}
	past := u.x.past(h, h.Segments[:n])
	for _, number := range numbers(h.schema) {
		c, err := past.Newest(number)
		if err != nil {
			return nil, err
		}
		for c.Next() {
			e := c.Entry()
			if n == len(h.Segments) && e.Meta[0] != seal.OpPut {
				continue // nothing older is left that it could hide
			}
			if err := cmp.Or(ctx.Err(), w.Sealed(ctx, e)); err != nil {
				return nil, err
			}
			one.Rows++
		}
		if err := c.Err(); err != nil {
			return nil, err
		}
	}
	if err := w.Finish(ctx); err != nil {
		return nil, err
	}
	one.Objects = w.Done()
	return append([]Segment{one}, h.Segments[n:]...), nil
}

// numbers are those of the tables that the schema has, ascending. What is known
// of others is of no use: a table that comes back has another number.
func numbers(s *meta.Schema) []uint32 {
	if s == nil {
		return nil
	}
	var out []uint32
	for i := range s.StoredSchema.Schema.Tables {
		out = append(out, s.NumberOf(s.StoredSchema.Schema.Tables[i].Name))
	}
	slices.Sort(out)
	return out
}

// Rebuild makes the head of an entry from the rows themselves: from those that
// came after before, or from all of them where before is nil. It needs the read
// identity. The head before is removed.
func (x *Index) Rebuild(ctx context.Context, e *journal.Entry, before *Head) (*Head, error) {
	m, err := x.r.Manifest(ctx, e)
	if err != nil {
		return nil, err
	}
	s, err := x.r.Schema(e.Environment, m.Schema, m.SchemaEntry)
	if err != nil {
		return nil, err
	}
	log := x.r.After(0)
	u, err := x.Begin(ctx, e.Environment, e.Capture, x.r.Tree(), before, nil)
	if err != nil {
		return nil, err
	}
	defer u.Close()
	for _, number := range numbers(s) {
		u.layouts[number] = newLayout(s, number)
	}
	o, err := x.r.Opener(e.Environment, s)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	after := uint64(0)
	if before != nil {
		after = before.AsOf
	}
	past := x.r.PastAfter(e.Environment, e.Capture, after)
	for _, number := range numbers(s) {
		c, err := past.Newest(number)
		if err != nil {
			return nil, err
		}
		for c.Next() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := u.take(ctx, o, s, c.Entry(), before != nil); err != nil {
				return nil, object.Named("read what is stored of table "+s.TableOf(number).Name, err)
			}
		}
		if err := c.Err(); err != nil {
			return nil, err
		}
	}
	if err := u.put(ctx, e.N, e.Digest, log[len(log)-1].N, m, s); err != nil {
		return nil, err
	}
	h, drop := u.Done()
	x.Drop(ctx, drop)
	return h, nil
}

// Indexed is what is known of one environment.
type Indexed struct {
	Environment string           `json:"environment"`
	Snapshot    allod.SnapshotID `json:"snapshot"` // as of which it is known
	Rows        int64            `json:"rows"`     // alive
}

// RebuildAll makes the heads of the newest entries of environments, by name,
// anew from all rows, and removes whatever else lies in the place. It returns
// what is known then, oldest first. Nobody may write there meanwhile. Of the
// office, environment 0, nothing is kept.
func (x *Index) RebuildAll(ctx context.Context, newest map[string]*journal.Entry) ([]Indexed, error) {
	out := []Indexed{}
	for name, e := range newest {
		if e.Environment == 0 {
			continue
		}
		if _, err := x.Rebuild(ctx, e, nil); err != nil {
			return nil, object.Named(fmt.Sprintf("make the index of environment %d", e.Environment), err)
		}
		out = append(out, Indexed{Environment: name, Snapshot: allod.SnapshotID(e.N), Rows: e.Counts.Rows})
	}
	slices.SortFunc(out, func(a, b Indexed) int { return cmp.Compare(a.Snapshot, b.Snapshot) })
	return out, x.sweep(ctx, slices.Collect(maps.Values(newest)))
}

// take adds what is stored of one record. One whose key is gone is left out; of
// one in escrow it stays known that there is one.
func (u *Update) take(ctx context.Context, o *content.Opener, s *meta.Schema, e *pack.Entry, deletes bool) error {
	op := e.Meta[0]
	if op == seal.OpDelete && !deletes {
		return nil
	}
	row, at, err := o.Open(e)
	if why := content.Withheld(err); why != "" {
		if !stage.InEscrow(why) {
			return nil
		}
		kept := pack.Entry{Key: e.Key, Meta: e.Meta, Sealed: e.Sealed}
		if e.Meta[1] != seal.KindEscrow {
			kept.Meta[1], kept.Sealed = seal.KindEscrow, nil
		}
		return u.rows.Sealed(ctx, &kept)
	}
	if err != nil {
		return err
	}
	if op == seal.OpPut {
		r, err := o.Decode(&row, at, e.Key.Table())
		if err != nil {
			return err
		}
		if row.Content, err = rowcodec.Append(nil, r.Cells, s.Names); err != nil {
			return err
		}
	}
	return u.rows.Add(ctx, e.Key.Table(), s.Number, keytree.Tag(e.Key.Tag()), stage.AppendRow(nil, op, &row))
}

// Newest returns, of the environment's entries, the newest that something is
// known of, and what; nil when there is none. What does not open is as good as
// missing here: it is made anew.
func (x *Index) Newest(ctx context.Context, entries []*journal.Entry, env uint32) *Head {
	for _, e := range slices.Backward(entries) {
		if e.Environment != env || e.Capture == 0 {
			continue
		}
		h, err := x.Head(ctx, e)
		if h != nil || allod.KindOf(err) != allod.NotFound {
			return h
		}
	}
	return nil
}
