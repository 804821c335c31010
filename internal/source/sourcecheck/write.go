package sourcecheck

import (
	"context"
	"errors"
	"fmt"

	"allod"
	"allod/internal/source"
)

// Write returns the checks that write: each makes one row of the table under
// the key it is given, and removes it again. keys must return a new random key
// at every call. The table needs a title column of text and no other column
// that has to be given.
func Write(table string, keys func() allod.GUID) []Check {
	with := func(f func(context.Context, *writing) error) func(context.Context, source.Source) error {
		return func(ctx context.Context, s source.Source) error { return write(ctx, s, table, keys(), f) }
	}
	return []Check{
		{"create", "a restored row would have another key or other values", with(created)},
		{"create-twice", "a restore would overwrite a row that came back by itself", with(createdTwice)},
		{"update-stale", "a restore would overwrite what somebody just changed", with(updatedStale)},
		{"update-missing", "an update would bring a deleted row back", with(updatedMissing)},
		{"delete-stale", "an undo would delete what somebody just changed", with(deletedStale)},
		{"delete-twice", "an undo that is repeated would fail", with(deletedTwice)},
		{"absent", "a column that was never read would be cleared", with(absent)},
		{"delta-sees", "an incremental capture would miss changes or deletions", with(deltaSees)},
	}
}

// writing is one write check under way.
type writing struct {
	s      source.Source
	target source.Target
	finder source.Finder
	table  *allod.Table
	title  string
	key    allod.GUID
}

func write(ctx context.Context, s source.Source, table string, key allod.GUID, f func(context.Context, *writing) error) (err error) {
	w := &writing{s: s, key: key}
	var ok bool
	if w.target, ok = s.(source.Target); !ok {
		return Skipped("the source takes no writes")
	}
	if w.finder, err = finder(s); err != nil {
		return err
	}
	schema, err := describe(ctx, s)
	if err != nil {
		return err
	}
	if w.table = schema.Table(table); w.table == nil || w.table.Unreadable != "" {
		return allod.Errorf(allod.Invalid, "no readable table %q", table)
	}
	c := w.table.Column(w.table.Title)
	if c == nil || c.Type != allod.String || !c.Create || !c.Update {
		return Skipped("table " + table + " has no title column that can be written")
	}
	w.title = c.Name
	defer func() {
		if res := w.apply(context.WithoutCancel(ctx), source.Op{Kind: source.OpDelete}); res.Err != nil && allod.KindOf(res.Err) != allod.NotFound {
			err = errors.Join(err, fmt.Errorf("remove the row of the check again: %w", res.Err))
		}
	}()
	return f(ctx, w)
}

// apply carries out one op on the row of the check.
func (w *writing) apply(ctx context.Context, op source.Op) source.Result {
	op.Table, op.Key = w.table, w.key
	res, err := w.target.Apply(ctx, source.WriteOptions{Tag: "allod:check"}, []source.Op{op})
	if err != nil {
		return source.Result{Err: err}
	}
	if len(res) != 1 {
		return source.Result{Err: bad("one write has %d results", len(res))}
	}
	return res[0]
}

func (w *writing) titled(kind source.OpKind, title string, version uint64) source.Op {
	return source.Op{Kind: kind, Version: version, Cells: map[string]allod.Value{w.title: allod.StringValue(title)}}
}

// make creates the row and reads it back.
func (w *writing) make(ctx context.Context) (*allod.Row, error) {
	if res := w.apply(ctx, w.titled(source.OpCreate, "allod check", 0)); res.Err != nil {
		return nil, fmt.Errorf("create a row of %s: %w", w.table.Name, res.Err)
	}
	return w.read(ctx)
}

func (w *writing) read(ctx context.Context) (*allod.Row, error) {
	rows, err := w.finder.Get(ctx, w.table, []allod.GUID{w.key}, nil)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (w *writing) wants(ctx context.Context, title string) error {
	row, err := w.read(ctx)
	if err != nil {
		return err
	}
	if row == nil {
		return bad("the row is gone")
	}
	if got := row.Cell(w.table.ColumnIndex(w.title)); got != allod.StringValue(title) {
		return bad("the title is not what was written")
	}
	return nil
}

func created(ctx context.Context, w *writing) error {
	row, err := w.make(ctx)
	if err != nil {
		return err
	}
	if row == nil || row.Key != w.key {
		return bad("a created row is not there under its key")
	}
	return w.wants(ctx, "allod check")
}

func createdTwice(ctx context.Context, w *writing) error {
	if _, err := w.make(ctx); err != nil {
		return err
	}
	if res := w.apply(ctx, w.titled(source.OpCreate, "second", 0)); allod.KindOf(res.Err) != allod.Conflict {
		return bad("creating a row that exists: %w, want a conflict", errOrNone(res.Err))
	}
	return w.wants(ctx, "allod check")
}

func updatedStale(ctx context.Context, w *writing) error {
	row, err := w.make(ctx)
	if err != nil || row == nil {
		return errors.Join(err, errOrNone(nil))
	}
	if row.Version == 0 {
		return Skipped("rows of the table have no version")
	}
	if res := w.apply(ctx, w.titled(source.OpUpdate, "first", row.Version)); res.Err != nil {
		return fmt.Errorf("update at the current version: %w", res.Err)
	}
	if res := w.apply(ctx, w.titled(source.OpUpdate, "second", row.Version)); allod.KindOf(res.Err) != allod.Conflict {
		return bad("updating at a version that is over: %w, want a conflict", errOrNone(res.Err))
	}
	return w.wants(ctx, "first")
}

func updatedMissing(ctx context.Context, w *writing) error {
	if res := w.apply(ctx, w.titled(source.OpUpdate, "made", 0)); res.Err == nil {
		return bad("updating a row that does not exist gave no error")
	}
	row, err := w.read(ctx)
	if err != nil {
		return err
	}
	if row != nil {
		return bad("updating a row that does not exist made it")
	}
	return nil
}

func deletedStale(ctx context.Context, w *writing) error {
	row, err := w.make(ctx)
	if err != nil || row == nil {
		return errors.Join(err, errOrNone(nil))
	}
	if row.Version == 0 {
		return Skipped("rows of the table have no version")
	}
	if res := w.apply(ctx, w.titled(source.OpUpdate, "first", 0)); res.Err != nil {
		return fmt.Errorf("update: %w", res.Err)
	}
	if res := w.apply(ctx, source.Op{Kind: source.OpDelete, Version: row.Version}); allod.KindOf(res.Err) != allod.Conflict {
		return bad("deleting at a version that is over: %w, want a conflict", errOrNone(res.Err))
	}
	return w.wants(ctx, "first")
}

func deletedTwice(ctx context.Context, w *writing) error {
	if _, err := w.make(ctx); err != nil {
		return err
	}
	for range 2 {
		if res := w.apply(ctx, source.Op{Kind: source.OpDelete}); res.Err != nil {
			return fmt.Errorf("delete: %w", res.Err)
		}
	}
	row, err := w.read(ctx)
	if err == nil && row != nil {
		err = bad("a deleted row is still there")
	}
	return err
}

func absent(ctx context.Context, w *writing) error {
	if _, err := w.make(ctx); err != nil {
		return err
	}
	op := source.Op{Kind: source.OpUpdate, Cells: map[string]allod.Value{w.title: {}}}
	if res := w.apply(ctx, op); allod.KindOf(res.Err) != allod.Invalid {
		return bad("writing an absent value: %w, want a refusal", errOrNone(res.Err))
	}
	return w.wants(ctx, "allod check")
}

func deltaSees(ctx context.Context, w *writing) error {
	if !w.table.Tracking {
		return Skipped("changes of the table are not tracked")
	}
	_, from, err := tracked(ctx, w.s, source.ReadRequest{Table: w.table, Columns: []string{w.table.Key}, Track: true})
	if err != nil {
		return err
	}
	if _, err := w.make(ctx); err != nil {
		return err
	}
	rows, from, err := tracked(ctx, w.s, source.ReadRequest{Table: w.table, Columns: []string{w.table.Key}, Cursor: from})
	if err != nil {
		return err
	}
	if !refs(rows)[allod.RecordRef{Table: w.table.Name, Key: w.key}] {
		return bad("read changes of %s: a new row is not among them", w.table.Name)
	}
	if res := w.apply(ctx, source.Op{Kind: source.OpDelete}); res.Err != nil {
		return fmt.Errorf("delete: %w", res.Err)
	}
	for page, err := range w.s.Read(ctx, source.ReadRequest{Table: w.table, Columns: []string{w.table.Key}, Cursor: from}) {
		if err != nil {
			return err
		}
		for _, d := range page.Deleted {
			if d == w.key {
				return nil
			}
		}
	}
	return bad("read changes of %s: a deletion is not among them", w.table.Name)
}
