// Package compare finds what of a table is new, changed, unchanged or missing:
// the rows that came, sorted by tag, against what was there before. How the
// past is known is behind an interface; nothing is opened here.
package compare

import (
	"bytes"
	"context"
	"iter"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keytree"
	"allod/internal/vault/seal"
	"allod/internal/vault/spill"
	"allod/internal/vault/stage"
)

// Changes counts what a comparison found.
type Changes struct {
	Before    int64 // alive before
	Created   int64
	Updated   int64
	Unchanged int64
	Deleted   int64 // said by the source, or concluded from absence
	Missing   int64 // all rows were read: alive before, not put now; still alive unless they are deleted
	Unknown   int64 // deletions of records the vault never held, or holds as deleted
	Erased    int64 // rows of erased records that came back: not stored
	Escrow    int64 // rows of restricted and held records: stored sealed to their container, or stored so before
	Lost      int64 // rows of restricted and held records whose escrow is missing: not stored
}

// After returns how many rows are alive once the changes are committed.
func (c Changes) After() int64 { return c.Before + c.Created - c.Deleted }

// Past is what was there of a table. It is used by one goroutine.
type Past interface {
	// Find returns the newest version of a record, valid until the next Find;
	// nil when there is none.
	Find(tag keytree.Tag) (Version, error)
	// Newest walks the newest versions of all records by tag, deletes included.
	Newest() (Cursor, error)
}

// Cursor walks versions by tag.
type Cursor interface {
	Next() bool
	Tag() keytree.Tag
	Version() Version // valid until Next
	Err() error
}

// Version is the newest version of a record.
type Version interface {
	// Put reports whether it is a row, and not a deletion.
	Put() bool
	// Alive reports whether it is a row whose key is still there.
	Alive() (bool, error)
	// Same reports whether it has the content of the row that came.
	Same(row *seal.Row) (bool, error)
	// Record names the record: a row without content.
	Record() (seal.Row, error)
}

// Table compares what came of one table. It is used by one goroutine.
type Table struct {
	Past    Past
	Tree    func() *keytree.State // of new rows, as of now
	Leaf    func(keytree.Tag) keytree.Leaf
	Escrow  func(keytree.Tag) (*escrow.Public, error) // of a restricted or held record; nil = it is missing
	Number  uint32                                    // of the schema of what comes
	Changed *spill.Queue                              // what is to be stored, by tag
	Missing *spill.Queue                              // what was alive and did not come, by tag
	Changes Changes
}

// latest yields the last record put under each tag.
type latest struct {
	in   *spill.Sorted
	last keytree.Tag
	any  bool
}

func (l *latest) Next() bool {
	for l.in.Next() {
		tag := stage.TagOf(l.in.Key())
		if l.any && tag == l.last {
			continue
		}
		l.last, l.any = tag, true
		return true
	}
	return false
}

// Delta looks each record up that came: only what changed was read. Before is
// the caller's to set.
func (t *Table) Delta(ctx context.Context, sorted *spill.Sorted) error {
	in := &latest{in: sorted}
	for in.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		old, err := t.Past.Find(in.last)
		if err != nil {
			return err
		}
		if err := t.decide(in.last, in.in.Value(), old); err != nil {
			return err
		}
	}
	return in.in.Err()
}

// Full walks the records that came and the newest old ones side by side: all
// rows of the table were read.
func (t *Table) Full(ctx context.Context, sorted *spill.Sorted) error {
	in := &latest{in: sorted}
	past, err := t.Past.Newest()
	if err != nil {
		return err
	}
	more, have := in.Next(), past.Next()
	for more || have {
		if err := ctx.Err(); err != nil {
			return err
		}
		order := 0
		switch {
		case !more:
			order = 1
		case !have:
			order = -1
		default:
			tag := past.Tag()
			order = bytes.Compare(in.last[:], tag[:])
		}
		var old Version
		if order >= 0 {
			old = past.Version()
			alive, err := old.Alive()
			if err != nil {
				return err
			}
			if alive {
				t.Changes.Before++
				if order > 0 {
					err = t.lost(past.Tag(), old)
				}
			}
			if err != nil {
				return err
			}
		}
		if order <= 0 {
			if err := t.decide(in.last, in.in.Value(), old); err != nil {
				return err
			}
			more = in.Next()
		}
		if order >= 0 {
			have = past.Next()
		}
	}
	if err := in.in.Err(); err != nil {
		return err
	}
	return past.Err()
}

// lost notes a record that was alive and was not put.
func (t *Table) lost(tag keytree.Tag, old Version) error {
	row, err := old.Record()
	if err != nil {
		return err
	}
	t.Changes.Missing++
	return t.Missing.Add(stage.SortKey(tag, 0), stage.AppendRow(nil, seal.OpDelete, &row))
}

// decide compares one record with its newest old version, nil for none.
func (t *Table) decide(tag keytree.Tag, pending []byte, old Version) error {
	op, row, err := stage.ReadRow(pending)
	if err != nil {
		return err
	}
	if tree := t.Tree(); tree.Punctures() > 0 {
		if _, _, err := tree.Current(t.Leaf(tag)); content.Withheld(err) != "" {
			return t.gone(tag, pending, old, content.Withheld(err))
		} else if err != nil {
			return err
		}
	}
	exists := old != nil && old.Put()
	switch {
	case op == seal.OpDelete && !exists:
		t.Changes.Unknown++
		return nil
	case op == seal.OpDelete:
		t.Changes.Deleted++
	case !exists:
		t.Changes.Created++
	default:
		same, err := old.Same(&row)
		if err != nil {
			return err
		}
		if same {
			t.Changes.Unchanged++
			return nil
		}
		t.Changes.Updated++
	}
	return t.Changed.Add(stage.SortKey(tag, 0), pending)
}

// inEscrow is a Version that can be compared without being opened.
type inEscrow interface {
	// SameInEscrow reports whether it is a row of key kind 1 with this content.
	SameInEscrow(u *escrow.Public, op uint8, schema uint32, content []byte) bool
}

// gone decides on a record whose key is gone for the reason.
func (t *Table) gone(tag keytree.Tag, pending []byte, old Version, why string) error {
	if !stage.InEscrow(why) {
		t.Changes.Erased++
		return nil
	}
	op, row, err := stage.ReadRow(pending)
	if err != nil {
		return err
	}
	u, err := t.Escrow(tag)
	if err != nil {
		return err
	}
	if u == nil {
		t.Changes.Lost++
		return nil
	}
	if op == seal.OpDelete && (old == nil || !old.Put()) {
		t.Changes.Unknown++
		return nil
	}
	t.Changes.Escrow++
	if v, ok := old.(inEscrow); ok && v.SameInEscrow(u, op, t.Number, row.Content) {
		return nil
	}
	return t.Changed.Add(stage.SortKey(tag, 0), pending)
}

// Refs yields the records of queued rows of a table, in their order; an error
// ends it.
func Refs(ctx context.Context, rows *spill.Queue, table string) iter.Seq2[allod.RecordRef, error] {
	return func(yield func(allod.RecordRef, error) bool) {
		q, err := rows.Read()
		if err != nil {
			yield(allod.RecordRef{}, err)
			return
		}
		for q.Next() {
			_, row, err := stage.ReadRow(q.Value())
			if err == nil {
				err = ctx.Err()
			}
			if !yield(content.RefOf(table, &row), err) || err != nil {
				return
			}
		}
		if err := q.Err(); err != nil {
			yield(allod.RecordRef{}, err)
		}
	}
}
