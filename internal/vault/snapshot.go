package vault

import (
	"context"
	"io"
	"iter"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/source"
)

var _ source.View = (*Snapshot)(nil)

// Snapshot is the rows of one environment at one capture. It implements
// source.View. Methods may be called from several goroutines.
type Snapshot struct{ v *Vault }

// Tombstone is a record that is deleted as of a snapshot.
type Tombstone struct {
	Ref     allod.RecordRef
	Reason  allod.DeleteReason
	Capture uint64 // capture number in which the deletion became known
}

// Version is one stored version of a record.
type Version struct {
	Snapshot allod.SnapshotID // the capture that stored it
	Capture  uint64
	Row      *allod.Row   // nil when Deleted or Withheld
	Table    *allod.Table // the columns Row.Cells stand parallel to
	Deleted  bool
	Reason   allod.DeleteReason
	Withheld string // "erased", "superseded", "restricted", "held": the key is gone
}

// Snapshots lists the snapshots of an environment, oldest first; "" = of all.
// Without keys environments are named "#<number>".
func (v *Vault) Snapshots(ctx context.Context, env string) ([]allod.Snapshot, error) {
	return nil, errNotBuilt
}

// Environments lists the names of environments that have snapshots, sorted.
func (v *Vault) Environments(ctx context.Context) ([]string, error) { return nil, errNotBuilt }

// At opens the snapshot; id 0 = the newest one of the environment.
func (v *Vault) At(ctx context.Context, s gate.Session, env string, id allod.SnapshotID) (*Snapshot, error) {
	return nil, errNotBuilt
}

// History returns the stored versions of a record, newest first.
func (v *Vault) History(ctx context.Context, s gate.Session, env string, ref allod.RecordRef) ([]Version, error) {
	return nil, errNotBuilt
}

// Name returns e.g. "contoso@42".
func (s *Snapshot) Name() string { return "" }

// Meta returns what the log says of the snapshot.
func (s *Snapshot) Meta() allod.Snapshot { return allod.Snapshot{} }

// Schema returns the schema as of the snapshot. Do not change it.
func (s *Snapshot) Schema() *allod.Schema { return nil }

// Manifest returns the manifest without State: every table known so far.
func (s *Snapshot) Manifest() Manifest { return Manifest{} }

// TableState returns what the snapshot says of a table; false when nothing.
func (s *Snapshot) TableState(table string) (allod.TableManifest, bool) {
	return allod.TableManifest{}, false
}

// Rows yields every row of the table alive in the snapshot, in tag order.
func (s *Snapshot) Rows(ctx context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) { yield(allod.Row{}, errNotBuilt) }
}

// Get returns the rows that exist among refs, in any order.
func (s *Snapshot) Get(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	return nil, errNotBuilt
}

// Deleted yields the records of the table that are deleted as of the snapshot.
func (s *Snapshot) Deleted(ctx context.Context, table string) iter.Seq2[Tombstone, error] {
	return func(yield func(Tombstone, error) bool) { yield(Tombstone{}, errNotBuilt) }
}

// OpenFile opens the bytes of a File cell; NotFound when they were not stored.
func (s *Snapshot) OpenFile(ctx context.Context, row *allod.Row, column string) (io.ReadCloser, error) {
	return nil, errNotBuilt
}
