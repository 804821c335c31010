// Package live presents a source as it is right now as a source.View, so that
// comparing, following relations and restoring use the same code for the
// environment itself as for a snapshot of it.
package live

import (
	"context"
	"io"
	"iter"

	"allod"
	"allod/internal/source"
)

// chunk is how many keys one call of Finder.Get is asked for.
const chunk = 1000

// View is a live environment seen as a source.View. It holds the schema as of
// New and no rows: two calls may see different moments. Safe for use from
// several goroutines as far as its source is.
type View struct {
	name   string
	src    source.Source
	find   source.Finder
	files  source.FileReader
	schema *allod.Schema
}

var _ source.View = (*View)(nil)

// New describes the source and returns it as a view named "ENV@live", ENV
// being its Capabilities.Environment. A source that cannot find single rows is
// Invalid; one that cannot read files is accepted, and OpenFile then is
// Invalid.
func New(ctx context.Context, src source.Source) (*View, error) {
	find, ok := src.(source.Finder)
	if !ok {
		return nil, allod.Errorf(allod.Invalid, "look at %s live: sources of kind %q cannot find single rows",
			src.Capabilities().Environment, src.Capabilities().Kind)
	}
	schema, err := src.Describe(ctx)
	if err != nil {
		return nil, err
	}
	return WithSchema(src, find, schema), nil
}

// WithSchema is New for a caller that has described the source already. find
// is usually src itself.
func WithSchema(src source.Source, find source.Finder, schema *allod.Schema) *View {
	v := &View{name: src.Capabilities().Environment + "@live", src: src, find: find, schema: schema}
	v.files, _ = src.(source.FileReader)
	return v
}

// Name returns "ENV@live".
func (v *View) Name() string { return v.name }

// Schema returns the schema as of New; the caller does not change it.
func (v *View) Schema() *allod.Schema { return v.schema }

// table returns the readable table of the name.
func (v *View) table(name string) (*allod.Table, error) {
	t := v.schema.Table(name)
	switch {
	case t == nil:
		return nil, allod.Errorf(allod.NotFound, "read %s: it has no table %q", v.name, name)
	case t.Unreadable != "":
		return nil, allod.Errorf(allod.Invalid, "read table %s of %s: %s", name, v.name, t.Unreadable)
	}
	return t, nil
}

// Rows reads the whole table page by page and yields each record once. Of a
// row that comes twice, because it changed while being read, the first is
// yielded. It keeps 16 bytes per row.
func (v *View) Rows(ctx context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		t, err := v.table(table)
		if err != nil {
			yield(allod.Row{}, err)
			return
		}
		seen := newSeen(t.Intersect)
		for page, err := range v.src.Read(ctx, source.ReadRequest{Table: t}) {
			if err != nil {
				yield(allod.Row{}, err)
				return
			}
			for _, row := range page.Rows {
				if !seen.add(&row) {
					continue
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// seen remembers which records have been yielded.
type seen struct {
	keys  map[allod.GUID]struct{}
	pairs map[[2]allod.GUID]struct{}
}

func newSeen(intersect bool) *seen {
	if intersect {
		return &seen{pairs: map[[2]allod.GUID]struct{}{}}
	}
	return &seen{keys: map[allod.GUID]struct{}{}}
}

func (s *seen) add(r *allod.Row) bool {
	if s.pairs != nil {
		if _, dup := s.pairs[r.Pair]; dup {
			return false
		}
		s.pairs[r.Pair] = struct{}{}
		return true
	}
	if _, dup := s.keys[r.Key]; dup {
		return false
	}
	s.keys[r.Key] = struct{}{}
	return true
}

// Get returns the rows that exist among refs. Pairs of an intersect table have
// no key of their own to ask for: the table is read once and sifted.
func (v *View) Get(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	t, err := v.table(table)
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return nil, nil
	}
	if t.Intersect {
		return v.pairs(ctx, table, refs)
	}
	var out []allod.Row
	keys := make([]allod.GUID, 0, min(len(refs), chunk))
	for len(refs) > 0 {
		n := min(len(refs), chunk)
		keys = keys[:0]
		for _, r := range refs[:n] {
			keys = append(keys, r.Key)
		}
		rows, err := v.find.Get(ctx, t, keys, nil)
		if err != nil {
			return nil, err
		}
		out, refs = append(out, rows...), refs[n:]
	}
	return out, nil
}

func (v *View) pairs(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	want := make(map[[2]allod.GUID]struct{}, len(refs))
	for _, r := range refs {
		want[r.Pair] = struct{}{}
	}
	var out []allod.Row
	for row, err := range v.Rows(ctx, table) {
		if err != nil {
			return nil, err
		}
		if _, ok := want[row.Pair]; ok {
			out = append(out, row)
			if len(out) == len(want) {
				break
			}
		}
	}
	return out, nil
}

// OpenFile opens the bytes that the row's column refers to; the caller closes
// it. NotFound when the source has none.
func (v *View) OpenFile(ctx context.Context, row *allod.Row, column string) (io.ReadCloser, error) {
	t, err := v.table(row.Table)
	if err != nil {
		return nil, err
	}
	if v.files == nil {
		return nil, allod.Errorf(allod.Invalid, "open column %s of table %s in %s: the source cannot read files", column, row.Table, v.name)
	}
	return v.files.OpenFile(ctx, t, row, column)
}
