package preimage

import (
	"context"
	"io"
	"iter"
	"slices"

	"allod"
	"allod/internal/source"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
)

var _ source.View = (*View)(nil)

// View is the rows of an environment from before a run wrote to them. Methods may
// be called from several goroutines.
type View struct {
	site    *Site
	run     string
	entries []*journal.Entry // newest first
	schema  *meta.Schema
	past    *shelf.Past
}

// Kept is what is known of one record from before the run.
type Kept struct {
	Row *allod.Row // nil = it was not there, or Withheld
	// Withheld says why it cannot be opened: "erased", "superseded",
	// "restricted", "held", "erasure requested"; "" = it can.
	Withheld string
}

// Run opens what is kept of a run. NotFound when nothing is.
func (s *Site) Run(ctx context.Context, run string) (*View, error) {
	if err := s.Settle(ctx); err != nil {
		return nil, err
	}
	v := &View{site: s, run: run}
	for _, e := range slices.Backward(s.Log.Entries()) {
		if e.Kind == vlog.KindUndo && e.Environment == s.Environment && e.Run == run {
			v.entries = append(v.entries, e)
		}
	}
	if len(v.entries) == 0 {
		return nil, allod.Errorf(allod.NotFound, "open what was there before %s: the vault has nothing of it", run)
	}
	part, err := s.Reader.Part(ctx, v.entries[0])
	if err != nil {
		return nil, err
	}
	if v.schema, err = s.Reader.Schema(s.Environment, part.Schema, part.SchemaEntry); err != nil {
		return nil, err
	}
	if v.schema == nil {
		return nil, allod.Errorf(allod.Corrupt, "%s: it names no schema", vlog.EntryName(v.entries[0].N))
	}
	v.past = s.Reader.Undo(s.Environment, v.entries)
	return v, nil
}

// Base is the last capture of the environment before the run wrote.
func (v *View) Base() uint64 { return v.entries[len(v.entries)-1].Base }

// Name implements source.View: "ENV before RUN".
func (v *View) Name() string { return v.site.Name + "@before-" + v.run }

// Schema implements source.View.
func (v *View) Schema() *allod.Schema { return &v.schema.Schema }

// opener opens rows of the run with the keys of now.
func (v *View) opener(ctx context.Context) (*content.Opener, error) {
	if err := v.site.Settle(ctx); err != nil {
		return nil, err
	}
	o, err := v.site.Reader.Opener(v.site.Environment, v.schema)
	if err != nil {
		return nil, err
	}
	for _, t := range v.site.Hidden {
		o.Hide(t.Environment, t.Table, t.Tag)
	}
	return o, nil
}

func (v *View) fail(table string, err error) error {
	return object.Named("read table "+table+" of "+v.Name(), err)
}

func (v *View) number(table string) (uint32, error) {
	n := v.schema.NumberOf(table)
	if n == 0 {
		return 0, allod.Errorf(allod.NotFound, "read table %s of %s: there is no such table", table, v.Name())
	}
	return n, nil
}

// Of returns what is kept of records of a table; those that nothing is kept of
// are left out.
func (v *View) Of(ctx context.Context, table string, refs []allod.RecordRef) (map[allod.RecordRef]Kept, error) {
	number, err := v.number(table)
	if err != nil {
		return nil, err
	}
	o, err := v.opener(ctx)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	out := map[allod.RecordRef]Kept{}
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := v.past.Find(number, o.Tag(number, ref.Key, ref.Pair))
		if err != nil {
			return nil, v.fail(table, err)
		}
		if e == nil {
			continue
		}
		k, err := kept(o, e)
		if err != nil {
			return nil, v.fail(table, err)
		}
		out[ref] = k
	}
	return out, nil
}

func kept(o *content.Opener, e *pack.Entry) (Kept, error) {
	row, m, err := o.Open(e)
	if why := content.Withheld(err); why != "" {
		return Kept{Withheld: why}, nil
	}
	if err != nil || m.Op == seal.OpDelete {
		return Kept{}, err
	}
	var k Kept
	k.Row, err = o.Decode(&row, m, e.Key.Table())
	return k, err
}

// Get implements source.View: rows that were there and can be opened.
func (v *View) Get(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	all, err := v.Of(ctx, table, refs)
	if err != nil {
		return nil, err
	}
	var out []allod.Row
	for _, ref := range refs {
		if k := all[ref]; k.Row != nil {
			out = append(out, *k.Row)
			delete(all, ref) // one that is asked for twice is given once
		}
	}
	return out, nil
}

// Rows implements source.View: rows that were there and can be opened.
func (v *View) Rows(ctx context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		err := v.rows(ctx, table, func(row *allod.Row) bool { return yield(*row, nil) })
		if err != nil {
			yield(allod.Row{}, v.fail(table, err))
		}
	}
}

func (v *View) rows(ctx context.Context, table string, yield func(*allod.Row) bool) error {
	number, err := v.number(table)
	if err != nil {
		return err
	}
	o, err := v.opener(ctx)
	if err != nil {
		return err
	}
	defer o.Close()
	c, err := v.past.Newest(number)
	if err != nil {
		return err
	}
	for c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := c.Entry().Key
		e, err := v.past.Find(number, key.Tag()) // of several entries the newest counts
		if err != nil {
			return err
		}
		k, err := kept(o, e)
		if err != nil {
			return err
		}
		if k.Row != nil && !yield(k.Row) {
			return nil
		}
	}
	return c.Err()
}

// OpenFile implements source.View. NotFound when the bytes were not kept, or when
// the record's key is gone.
func (v *View) OpenFile(ctx context.Context, row *allod.Row, column string) (io.ReadCloser, error) {
	number, err := v.number(row.Table)
	if err != nil {
		return nil, err
	}
	cell := row.Cell(v.schema.TableOf(number).ColumnIndex(column))
	if cell.Type() != allod.File {
		return nil, allod.Errorf(allod.NotFound, "open file %s of %s: the cell holds none", column, row.Table)
	}
	f, err := cell.FileRef()
	if err != nil {
		return nil, err
	}
	o, err := v.opener(ctx)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	r, err := o.File(ctx, v.past, number, row.Ref(), f)
	return r, v.fail(row.Table, err)
}
