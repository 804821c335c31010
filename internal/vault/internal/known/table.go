package known

import (
	"crypto/hmac"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/compare"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keytree"
	"allod/internal/vault/meta"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
)

// Table is what is known of one table. It is used by one goroutine.
type Table struct {
	x      *Index
	h      *Head
	number uint32
	layout *layout
	past   *shelf.Past
	index  *keytree.Indexer
	buf    []byte
}

var _ compare.Past = (*Table)(nil)

// Table returns what the head knows of a table of the schema.
func (x *Index) Table(h *Head, s *meta.Schema, number uint32) *Table {
	return &Table{x: x, h: h, number: number, layout: newLayout(s, number), past: x.past(h, h.Segments), index: keytree.NewIndexer(x.key)}
}

// Find implements compare.Past.
func (t *Table) Find(tag keytree.Tag) (compare.Version, error) {
	e, err := t.past.Find(t.number, tag)
	if err != nil || e == nil {
		return nil, err
	}
	return &version{t, e}, nil
}

// Newest implements compare.Past.
func (t *Table) Newest() (compare.Cursor, error) {
	c, err := t.past.Newest(t.number)
	if err != nil {
		return nil, err
	}
	return &cursor{Newest: c, version: version{t: t}}, nil
}

// Known returns what is known of a record that is alive: a row without cells but
// those of files; false when there is none, or nothing is known of it.
func (t *Table) Known(tag keytree.Tag) (compare.KnownRow, bool, error) {
	none := compare.KnownRow{}
	e, err := t.past.Find(t.number, tag)
	if err != nil || e == nil || e.Meta[0] == seal.OpDelete || e.Meta[1] == seal.KindEscrow {
		return none, false, err
	}
	v := version{t, e}
	d, err := v.open()
	if content.Withheld(err) != "" {
		return none, false, nil
	}
	if err != nil {
		return none, false, err
	}
	r := &d.row
	row := &allod.Row{Table: t.layout.table.Name, Key: r.Key, Pair: r.Pair, Version: r.Version, Cells: make([]allod.Value, len(t.layout.table.Columns))}
	for name, f := range d.files {
		if i := t.layout.table.ColumnIndex(name); i >= 0 {
			row.Cells[i] = allod.FileValue(f)
		}
	}
	return compare.KnownRow{Version: r.Version, Row: row, Table: t.layout.table}, true, nil
}

type cursor struct {
	*shelf.Newest
	version version
}

// Tag implements compare.Cursor.
func (c *cursor) Tag() keytree.Tag { return keytree.Tag(c.Entry().Key.Tag()) }

// Version implements compare.Cursor.
func (c *cursor) Version() compare.Version {
	c.version.e = c.Entry()
	return &c.version
}

type version struct {
	t *Table
	e *pack.Entry
}

// seed derives the record's seed that the entry is sealed under; an error that
// content.Withheld names when it is gone.
func (v *version) seed() (keytree.Seed, error) {
	return v.t.x.r.Tree().Seed(v.t.index.Leaf(keytree.Tag(v.e.Key.Tag())), v.e.Key.Generation())
}

func (v *version) open() (*details, error) {
	m, err := seal.ParseMeta(v.e.Meta[:])
	if err != nil {
		return nil, err
	}
	seed, err := v.seed()
	if err != nil {
		return nil, err
	}
	p := seal.Place{
		Vault: v.t.x.vault, Environment: v.t.h.Environment, Table: v.t.number, Tag: keytree.Tag(v.e.Key.Tag()), Generation: v.e.Key.Generation(),
		Capture: v.e.Key.Capture(), Meta: m,
	}
	return v.t.x.openRow(&p, seed, v.e.Sealed)
}

// Put implements compare.Version.
func (v *version) Put() bool { return v.e.Meta[0] == seal.OpPut }

// Alive implements compare.Version.
func (v *version) Alive() (bool, error) {
	if !v.Put() {
		return false, nil
	}
	if v.t.x.r.Tree().Punctures() == 0 {
		return true, nil
	}
	_, err := v.seed()
	if v.inEscrow() { // of a record that is restricted, or was
		_, _, err = v.t.x.r.Tree().Current(v.t.index.Leaf(keytree.Tag(v.e.Key.Tag())))
	}
	if content.Withheld(err) != "" {
		return false, nil
	}
	return err == nil, err
}

// inEscrow reports whether nothing is known but that there is a row of key kind
// 1: it may be that row, as the vault has it, to be compared without being opened.
func (v *version) inEscrow() bool { return v.e.Meta[1] == seal.KindEscrow }

// SameInEscrow reports whether it is a row of key kind 1 with this content.
func (v *version) SameInEscrow(u *escrow.Public, op uint8, schema uint32, content []byte) bool {
	return v.inEscrow() && v.e.Meta[0] == op && u.Same(v.e.Sealed, op, schema, content)
}

// Record implements compare.Version.
func (v *version) Record() (seal.Row, error) {
	if v.inEscrow() {
		return seal.Row{}, allod.WithHint(allod.Errorf(allod.Conflict, "a record was restricted until lately, and the index of what is known does not say which"), "Run `allod vault index rebuild` with a slot that reads.")
	}
	d, err := v.open()
	if err != nil {
		return seal.Row{}, err
	}
	return d.row, nil
}

// Same implements compare.Version: by the digest alone.
func (v *version) Same(row *seal.Row) (bool, error) {
	if v.inEscrow() {
		return false, nil // it was restricted until lately: what comes now is stored
	}
	seed, err := v.seed()
	if content.Withheld(err) != "" {
		return false, nil // a superseded generation: what comes now is stored
	}
	if err != nil {
		return false, err
	}
	if len(v.e.Sealed) < keytree.SaltSize+digestSize {
		return false, allod.Errorf(allod.Corrupt, "compare with what is known of a record: it is not what was written")
	}
	if v.t.buf, _, err = v.t.layout.canonical(v.t.buf[:0], row.Content); err != nil {
		return false, err
	}
	d := digest(seed, v.t.buf)
	return hmac.Equal(d[:], v.e.Sealed[keytree.SaltSize:keytree.SaltSize+digestSize]), nil
}
