package compare

import (
	"bytes"
	"slices"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keytree"
	"allod/internal/vault/meta"
	"allod/internal/vault/pack"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
)

// Stored is the past as the vault holds it: rows are opened for the comparison,
// content with content whatever row versions say. It needs the read identity.
type Stored struct {
	Past   *shelf.Past
	Opener *content.Opener // of the schema
	Schema *meta.Schema    // of the rows that come
	Number uint32          // of the table in it

	same map[uint32]bool // schema number → its cells compare as bytes
}

var _ Past = (*Stored)(nil)

// Find implements Past.
func (s *Stored) Find(tag keytree.Tag) (Version, error) {
	e, err := s.Past.Find(s.Number, tag)
	if err != nil || e == nil {
		return nil, err
	}
	return &storedVersion{s, e}, nil
}

// Newest implements Past.
func (s *Stored) Newest() (Cursor, error) {
	c, err := s.Past.Newest(s.Number)
	if err != nil {
		return nil, err
	}
	return &storedCursor{Newest: c, version: storedVersion{of: s}}, nil
}

type storedCursor struct {
	*shelf.Newest
	version storedVersion
}

// Tag implements Cursor.
func (c *storedCursor) Tag() keytree.Tag { return keytree.Tag(c.Entry().Key.Tag()) }

// Version implements Cursor.
func (c *storedCursor) Version() Version {
	c.version.e = c.Entry()
	return &c.version
}

type storedVersion struct {
	of *Stored
	e  *pack.Entry
}

// Put implements Version.
func (v *storedVersion) Put() bool { return v.e.Meta[0] == seal.OpPut }

// Alive implements Version: it can still be opened.
func (v *storedVersion) Alive() (bool, error) {
	if v.e.Meta[0] == seal.OpDelete {
		return false, nil
	}
	if !v.of.Opener.Punctured() {
		return true, nil
	}
	_, _, err := v.of.Opener.Open(v.e)
	if content.Withheld(err) != "" {
		return false, nil
	}
	return err == nil, err
}

// SameInEscrow implements inEscrow.
func (v *storedVersion) SameInEscrow(u *escrow.Public, op uint8, schema uint32, content []byte) bool {
	return v.e.Meta[1] == seal.KindEscrow && v.e.Meta[0] == op && u.Same(v.e.Sealed, op, schema, content)
}

// Record implements Version.
func (v *storedVersion) Record() (seal.Row, error) {
	row, _, err := v.of.Opener.Open(v.e)
	row.Content = nil
	return row, err
}

// Same implements Version: bytes where both rows have the same layout, else
// cell by cell under the new schema.
func (v *storedVersion) Same(row *seal.Row) (bool, error) {
	s := v.of
	before, at, err := s.Opener.Open(v.e)
	if content.Withheld(err) != "" {
		return false, nil // a superseded generation: what comes now is stored
	}
	if err != nil {
		return false, err
	}
	comparable, err := s.comparable(at)
	if err != nil {
		return false, err
	}
	if comparable {
		return bytes.Equal(before.Content, row.Content), nil
	}
	then, err := s.Opener.Decode(&before, at, s.Number)
	if err != nil {
		return false, err
	}
	now, err := rowcodec.Decode(row.Content, s.Schema.Names)
	if err != nil {
		return false, err
	}
	for i := range s.Schema.TableOf(s.Number).Columns {
		var cell allod.Value
		if i < len(now) {
			cell = now[i]
		}
		if then.Cell(i) != cell {
			return false, nil
		}
	}
	return true, nil
}

// comparable reports whether a row version has the layout of new rows.
func (s *Stored) comparable(at seal.Meta) (bool, error) {
	same, known := s.same[at.Schema]
	if known {
		return same, nil
	}
	from, err := s.Opener.SchemaOf(at)
	if err != nil {
		return false, err
	}
	same = from == s.Schema
	if t := from.TableOf(s.Number); !same && t != nil {
		same = from.Names.Equal(s.Schema.Names) && slices.EqualFunc(t.Columns, s.Schema.TableOf(s.Number).Columns, func(a, b allod.Column) bool { return a.Name == b.Name && a.ID == b.ID })
	}
	if s.same == nil {
		s.same = map[uint32]bool{}
	}
	s.same[at.Schema] = same
	return same, nil
}
