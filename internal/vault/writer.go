package vault

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"allod"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keytree"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
	"allod/internal/vault/spill"
	"allod/internal/vault/stage"
)

// sortMemory is what one TableWriter keeps in memory before it spills, bytes.
const sortMemory = 8 << 20

// TableWriter takes the rows of one table. It is used by one goroutine.
type TableWriter struct {
	r      *Run
	number uint32
	table  *allod.Table // of the run's schema
	schema *meta.Schema
	mode   Mode
	o      *content.Opener
	past   *shelf.Past
	before *meta.Manifest  // of the past; nil for none
	same   map[uint32]bool // schema number → its cells compare as bytes

	sorter  *spill.Sorter
	seq     uint64
	content []byte
	pending []byte

	changed  *spill.Queue // after Finish: what is to be stored, by tag
	missing  *spill.Queue
	reason   allod.DeleteReason // of the missing ones; 0 = they stay
	changes  Changes
	files    *stage.Files
	finished bool
}

func newTableWriter(r *Run, number uint32, mode Mode) (*TableWriter, error) {
	if err := r.v.needKeys("open rows"); err != nil {
		return nil, err
	}
	o, err := r.v.content.Opener(r.env, r.schema)
	if err != nil {
		return nil, err
	}
	w := &TableWriter{r: r, number: number, table: r.schema.TableOf(number), schema: r.schema, mode: mode, o: o, past: r.v.content.Past(r.env, r.capture), same: map[uint32]bool{}}
	w.sorter = spill.NewSorter(r.v.cfg.TempDir, sortMemory)
	w.files = stage.NewFiles(r.v.place(), r.v.fileObject)
	return w, nil
}

// free removes temporary files. Errors of removing are of no use to anybody
// here: the files are encrypted under keys that are forgotten now.
func (w *TableWriter) free() {
	_ = w.sorter.Close()  // see above
	_ = w.changed.Close() // see above
	_ = w.missing.Close() // see above
	w.files.Close()
	if w.o != nil {
		w.o.Close()
		w.o = nil
	}
}

func (w *TableWriter) add(op uint8, row *seal.Row) error {
	if w.finished {
		return allod.Errorf(allod.Invalid, "write table %s: the writer is finished", w.table.Name)
	}
	tag := w.o.Tag(w.number, row.Key, row.Pair)
	w.pending = stage.AppendRow(w.pending[:0], op, row)
	w.seq++
	return object.Named("write table "+w.table.Name, w.sorter.Add(stage.SortKey(tag, ^w.seq), w.pending))
}

// Put adds a row; a record put twice keeps the later row. It copies what it
// needs.
func (w *TableWriter) Put(row *allod.Row) error {
	if row.Key.IsZero() && row.Pair == [2]allod.GUID{} {
		return allod.Errorf(allod.Invalid, "write table %s: a row without a key", w.table.Name)
	}
	if len(row.Cells) > len(w.table.Columns) {
		return allod.Errorf(allod.Invalid, "write table %s: a row has %d cells, the table %d columns", w.table.Name, len(row.Cells), len(w.table.Columns))
	}
	var err error
	if w.content, err = rowcodec.Append(w.content[:0], row.Cells, w.schema.Names); err != nil {
		return object.Named("write table "+w.table.Name, err)
	}
	if len(w.content) > seal.MaxContent {
		return allod.Errorf(allod.Invalid, "write table %s: a row has %d bytes, more than %d", w.table.Name, len(w.content), seal.MaxContent)
	}
	return w.add(seal.OpPut, &seal.Row{Key: row.Key, Pair: row.Pair, Version: row.Version, Modified: row.Modified, Content: w.content})
}

// Delete records a deletion said by the source. A record that the vault never
// held is tolerated and counted.
func (w *TableWriter) Delete(ref allod.RecordRef, reason allod.DeleteReason) error {
	return w.add(seal.OpDelete, &seal.Row{Key: ref.Key, Pair: ref.Pair, Reason: reason})
}

// Known returns the newest stored version of the record as of the beginning of
// this writer; false when there is none alive.
func (w *TableWriter) Known(ctx context.Context, ref allod.RecordRef) (KnownRow, bool, error) {
	if err := ctx.Err(); err != nil {
		return KnownRow{}, false, err
	}
	tag := w.o.Tag(w.number, ref.Key, ref.Pair)
	e, err := w.past.Find(w.number, tag)
	if err != nil || e == nil || e.Meta[0] == seal.OpDelete {
		return KnownRow{}, false, object.Named("read table "+w.table.Name, err)
	}
	row, err := w.o.Row(e)
	if content.Withheld(err) != "" {
		return KnownRow{}, false, nil
	}
	if err != nil {
		return KnownRow{}, false, object.Named("read table "+w.table.Name, err)
	}
	return KnownRow{Version: row.Version, Modified: row.Modified, row: row, table: w.table}, true, nil
}

// Finish sorts what was put and compares it with the past, content with
// content whatever row versions say: a row version comes back with other
// content after a native restore.
func (w *TableWriter) Finish(ctx context.Context) (Changes, error) {
	if w.finished {
		return w.changes, nil
	}
	err := w.finish(ctx)
	if err != nil {
		return Changes{}, object.Named("compare table "+w.table.Name, err)
	}
	return w.changes, nil
}

func (w *TableWriter) finish(ctx context.Context) error {
	w.r.mu.Lock() // commits of other tables may have come between
	w.past, w.before = w.r.v.content.Past(w.r.env, w.r.capture), w.r.last
	w.r.mu.Unlock()
	in, err := w.sorter.Sorted()
	if err != nil {
		return err
	}
	if w.changed, err = spill.NewQueue(w.r.v.cfg.TempDir); err != nil {
		return err
	}
	if w.missing, err = spill.NewQueue(w.r.v.cfg.TempDir); err != nil {
		return err
	}
	compare := w.compareDelta
	if w.mode == ModeFull {
		compare = w.compareFull
	}
	if err := compare(ctx, &latest{in: in}); err != nil {
		return err
	}
	if err := w.changed.End(); err != nil {
		return err
	}
	if err := w.missing.End(); err != nil {
		return err
	}
	if err := w.sorter.Close(); err != nil {
		return err
	}
	w.r.mu.Lock() // from here on the next commit takes it, whoever commits
	defer w.r.mu.Unlock()
	w.finished = true
	return nil
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

// compareDelta looks each record up.
func (w *TableWriter) compareDelta(ctx context.Context, in *latest) error {
	if w.before != nil {
		if t := w.before.Table(w.number); t != nil {
			w.changes.Before = t.Rows
		}
	}
	for in.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		old, err := w.past.Find(w.number, in.last)
		if err != nil {
			return err
		}
		if err := w.decide(in.last, in.in.Value(), old); err != nil {
			return err
		}
	}
	return in.in.Err()
}

// compareFull walks the new records and the newest old ones side by side.
func (w *TableWriter) compareFull(ctx context.Context, in *latest) error {
	past, err := w.past.Newest(w.number)
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
			tag := past.Entry().Key.Tag()
			order = bytes.Compare(in.last[:], tag[:])
		}
		var old *pack.Entry
		if order >= 0 {
			old = past.Entry()
			alive, err := w.alive(old)
			if err != nil {
				return err
			}
			if alive {
				w.changes.Before++
				if order > 0 {
					err = w.lost(old)
				}
			}
			if err != nil {
				return err
			}
		}
		if order <= 0 {
			if err := w.decide(in.last, in.in.Value(), old); err != nil {
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

// alive reports whether an old version is a row that can still be opened.
func (w *TableWriter) alive(old *pack.Entry) (bool, error) {
	if old.Meta[0] == seal.OpDelete {
		return false, nil
	}
	if w.r.v.content.Tree().Punctures() == 0 {
		return true, nil
	}
	_, _, err := w.o.Open(old)
	if content.Withheld(err) != "" {
		return false, nil
	}
	return err == nil, err
}

// lost notes a record that was alive and was not put.
func (w *TableWriter) lost(old *pack.Entry) error {
	row, _, err := w.o.Open(old)
	if err != nil {
		return err
	}
	w.changes.Missing++
	row.Content = nil
	return w.missing.Add(stage.SortKey(old.Key.Tag(), 0), stage.AppendRow(nil, seal.OpDelete, &row))
}

// decide compares one record with its newest old version, nil for none.
func (w *TableWriter) decide(tag keytree.Tag, pending []byte, old *pack.Entry) error {
	op, row, err := stage.ReadRow(pending)
	if err != nil {
		return err
	}
	tree := w.r.v.content.Tree()
	if tree.Punctures() > 0 {
		if _, _, err := tree.Current(w.o.Leaf(tag)); content.Withheld(err) != "" {
			w.changes.Erased++
			return nil
		} else if err != nil {
			return err
		}
	}
	exists := old != nil && old.Meta[0] == seal.OpPut
	switch {
	case op == seal.OpDelete && !exists:
		w.changes.Unknown++
		return nil
	case op == seal.OpDelete:
		w.changes.Deleted++
	case !exists:
		w.changes.Created++
	default:
		same, err := w.unchanged(&row, old)
		if err != nil {
			return err
		}
		if same {
			w.changes.Unchanged++
			return nil
		}
		w.changes.Updated++
	}
	return w.changed.Add(stage.SortKey(tag, 0), pending)
}

// unchanged compares content: bytes where both rows have the same layout, else
// cell by cell under the new schema.
func (w *TableWriter) unchanged(row *seal.Row, old *pack.Entry) (bool, error) {
	before, at, err := w.o.Open(old)
	if content.Withheld(err) != "" {
		return false, nil // a superseded generation: what comes now is stored
	}
	if err != nil {
		return false, err
	}
	comparable, err := w.comparable(at)
	if err != nil {
		return false, err
	}
	if comparable {
		return bytes.Equal(before.Content, row.Content), nil
	}
	then, err := w.o.Decode(&before, at, w.number)
	if err != nil {
		return false, err
	}
	now, err := rowcodec.Decode(row.Content, w.schema.Names)
	if err != nil {
		return false, err
	}
	for i := range w.table.Columns {
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
func (w *TableWriter) comparable(at seal.Meta) (bool, error) {
	same, known := w.same[at.Schema]
	if known {
		return same, nil
	}
	from, err := w.o.SchemaOf(at)
	if err != nil {
		return false, err
	}
	same = from == w.schema
	if t := from.TableOf(w.number); !same && t != nil {
		same = from.Names.Equal(w.schema.Names) && slices.EqualFunc(t.Columns, w.table.Columns, func(a, b allod.Column) bool { return a.Name == b.Name && a.ID == b.ID })
	}
	w.same[at.Schema] = same
	return same, nil
}

// Missing yields, after Finish in ModeFull, the records alive before and not
// put now, in tag order.
func (w *TableWriter) Missing(ctx context.Context) iter.Seq2[allod.RecordRef, error] {
	return func(yield func(allod.RecordRef, error) bool) {
		if !w.finished {
			yield(allod.RecordRef{}, allod.Errorf(allod.Invalid, "list missing rows of %s: the writer is not finished", w.table.Name))
			return
		}
		q, err := w.missing.Read()
		if err != nil {
			yield(allod.RecordRef{}, err)
			return
		}
		for q.Next() {
			_, row, err := stage.ReadRow(q.Value())
			if err == nil {
				err = ctx.Err()
			}
			if !yield(content.RefOf(w.table.Name, &row), err) || err != nil {
				return
			}
		}
		if err := q.Err(); err != nil {
			yield(allod.RecordRef{}, err)
		}
	}
}

// DeleteMissing records the missing ones as deleted, with the next Commit.
// Invalid before Finish.
func (w *TableWriter) DeleteMissing(reason allod.DeleteReason) error {
	if !w.finished || reason == 0 {
		return allod.Errorf(allod.Invalid, "delete missing rows of %s: the writer is not finished, or there is no reason", w.table.Name)
	}
	if w.reason == 0 {
		w.changes.Deleted += w.changes.Missing
	}
	w.reason = reason
	return nil
}

// Discard forgets the writer and what was put; it does nothing after Finish.
func (w *TableWriter) Discard() {
	if w.finished {
		return
	}
	w.r.mu.Lock()
	w.r.writers = slices.DeleteFunc(w.r.writers, func(o *TableWriter) bool { return o == w })
	w.r.mu.Unlock()
	w.free()
	w.finished = true
}
