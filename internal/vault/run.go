package vault

import (
	"context"
	"io"
	"iter"
	"time"

	"allod"
	"allod/internal/govern/gate"
)

// RunOptions of Begin.
type RunOptions struct {
	Environment string // name of the environment, e.g. "contoso"
	Line        uint64 // line of the environment, from 1
	Full        bool   // recorded only
	RunID       string // "" = a new run; otherwise the run to go on with
}

// Mode says what the rows put into a TableWriter mean.
type Mode uint8

// The modes.
const (
	ModeFull  Mode = 1 // all rows of the table: what is not put is missing
	ModeDelta Mode = 2 // only what changed
)

// Manifest is what a capture says of itself. Times are UTC.
type Manifest struct {
	Identity allod.Identity
	Tables   []allod.TableManifest // tables of this commit; others are carried from the commit before
	Gaps     []allod.Gap           // all gaps known now; replaces the list of the commit before
	State    []byte                // the capture's own: cursors, tokens; sealed
	From, To time.Time             // first read started, last read finished
	Complete bool                  // this entry closes the run
}

// Changes counts what Finish found.
type Changes struct {
	Before    int64 // alive before
	Created   int64
	Updated   int64
	Unchanged int64
	Deleted   int64 // by Delete, and by DeleteMissing
	Missing   int64 // ModeFull: alive before, not put now; still alive unless DeleteMissing is called
	Unknown   int64 // Delete of records the vault never held, or holds as deleted
	Erased    int64 // rows of erased records that came back: not stored
}

// After returns how many rows are alive once the changes are committed.
func (c Changes) After() int64 { return c.Before + c.Created - c.Deleted }

// Run is one capture run of one environment. Commit may be called several
// times. Methods may be called from several goroutines.
type Run struct{ v *Vault }

// TableWriter takes the rows of one table. It is used by one goroutine.
type TableWriter struct{ r *Run }

// KnownRow is the newest stored version of a record.
type KnownRow struct {
	Version  uint64
	Modified time.Time
	row      *allod.Row
	table    *allod.Table
}

// Cell returns the stored value of a column by logical name; Absent when the
// column was not stored.
func (k KnownRow) Cell(column string) allod.Value {
	if k.table == nil || k.row == nil {
		return allod.Value{}
	}
	return k.row.Cell(k.table.ColumnIndex(column))
}

// Begin starts a capture run. The session must allow capturing the environment.
func (v *Vault) Begin(ctx context.Context, s gate.Session, opts RunOptions) (*Run, error) {
	return nil, errNotBuilt
}

// ID returns the run id, 32 hex digits.
func (r *Run) ID() string { return "" }

// SetSchema says which schema the tables of the following writers belong to.
// It is stored once per content.
func (r *Run) SetSchema(s *allod.Schema) error { return errNotBuilt }

// Table opens a writer for one table of the schema.
func (r *Run) Table(ctx context.Context, t *allod.Table, mode Mode) (*TableWriter, error) {
	return nil, errNotBuilt
}

// Commit stores everything finished since the last commit: packs first, then
// the log entry, which is the commit point.
func (r *Run) Commit(ctx context.Context, m Manifest) (allod.Snapshot, error) {
	return allod.Snapshot{}, errNotBuilt
}

// Abort forgets what was not committed and removes temporary files. It may be
// called after Commit, then it only cleans up.
func (r *Run) Abort() {}

// Put adds a row; a record put twice keeps the later row.
func (w *TableWriter) Put(row *allod.Row) error { return errNotBuilt }

// Delete records a deletion said by the source.
func (w *TableWriter) Delete(ref allod.RecordRef, reason allod.DeleteReason) error {
	return errNotBuilt
}

// PutFile stores the bytes of a file of the record and returns f with Content,
// SHA256 and Size filled, to be put into the row's cell.
func (w *TableWriter) PutFile(ctx context.Context, ref allod.RecordRef, f allod.FileRef, r io.Reader) (allod.FileRef, error) {
	return f, errNotBuilt
}

// Known returns the newest stored version of the record as of the beginning of
// this writer; false when there is none alive.
func (w *TableWriter) Known(ctx context.Context, ref allod.RecordRef) (KnownRow, bool, error) {
	return KnownRow{}, false, errNotBuilt
}

// Finish sorts what was put and compares it with the past.
func (w *TableWriter) Finish(ctx context.Context) (Changes, error) { return Changes{}, errNotBuilt }

// Missing yields, after Finish in ModeFull, the records alive before and not
// put now.
func (w *TableWriter) Missing(ctx context.Context) iter.Seq2[allod.RecordRef, error] {
	return func(yield func(allod.RecordRef, error) bool) { yield(allod.RecordRef{}, errNotBuilt) }
}

// DeleteMissing records the missing ones as deleted.
func (w *TableWriter) DeleteMissing(reason allod.DeleteReason) error { return errNotBuilt }

// Discard forgets the writer and what was put.
func (w *TableWriter) Discard() {}

// CaptureState returns the newest State of the environment and the snapshot it
// was committed with (its Run and Complete tell whether a run can go on); nil
// and nil when the environment has none.
func (v *Vault) CaptureState(ctx context.Context, env string) ([]byte, *allod.Snapshot, error) {
	return nil, nil, errNotBuilt
}
