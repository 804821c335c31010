package vault

import (
	"context"
	"errors"
	"iter"
	"slices"

	"allod"
	"allod/internal/vault/internal/compare"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/internal/known"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
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
	index  *known.Table // instead, for who cannot read

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
	w := &TableWriter{r: r, number: number, table: r.schema.TableOf(number), schema: r.schema, mode: mode, o: o}
	w.look()
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
// this writer; false when there is none alive. Who cannot read is told of files
// alone, without their names.
func (w *TableWriter) Known(ctx context.Context, ref allod.RecordRef) (KnownRow, bool, error) {
	if err := ctx.Err(); err != nil {
		return KnownRow{}, false, err
	}
	tag := w.o.Tag(w.number, ref.Key, ref.Pair)
	if !w.r.v.held().Role.Reader() {
		row, ok, err := w.index.Known(tag)
		return row, ok, object.Named("look up a record of table "+w.table.Name, err)
	}
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
	return KnownRow{Version: row.Version, Modified: row.Modified, Row: row, Table: w.table}, true, nil
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
	past := w.look()
	before := w.r.last.RowsOf(w.number)
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
	table := compare.Table{
		Past: past,
		Tree: w.r.v.content.Tree, Leaf: w.o.Leaf, Escrow: w.r.v.escrowOf(ctx, w.r.v.content.Tree), Number: w.schema.Number, Changed: w.changed, Missing: w.missing,
	}
	if w.mode == ModeFull {
		err = table.Full(ctx, in)
	} else {
		table.Changes.Before = before
		err = table.Delta(ctx, in)
	}
	if w.changes = table.Changes; err != nil {
		return err
	}
	if err := errors.Join(w.changed.End(), w.missing.End(), w.sorter.Close()); err != nil {
		return err
	}
	w.r.mu.Lock() // from here on the next commit takes it, whoever commits
	defer w.r.mu.Unlock()
	w.finished = true
	return nil
}

// Missing yields, after Finish in ModeFull, the records alive before and not
// put now, in tag order.
func (w *TableWriter) Missing(ctx context.Context) iter.Seq2[allod.RecordRef, error] {
	return func(yield func(allod.RecordRef, error) bool) {
		if !w.finished {
			yield(allod.RecordRef{}, allod.Errorf(allod.Invalid, "list missing rows of %s: the writer is not finished", w.table.Name))
			return
		}
		for ref, err := range compare.Refs(ctx, w.missing, w.table.Name) {
			if !yield(ref, err) {
				return
			}
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
