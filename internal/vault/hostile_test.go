package vault

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/object"
)

// captureFile commits one row of account with the file.
func (v *testVault) captureFile(n int, b []byte) allod.Snapshot {
	v.t.Helper()
	ctx := v.t.Context()
	r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.Abort()
	s := testSchema()
	if err := r.SetSchema(s); err != nil {
		v.t.Fatal(err)
	}
	w, err := r.Table(ctx, s.Table("account"), ModeDelta)
	if err != nil {
		v.t.Fatal(err)
	}
	f, err := w.PutFile(ctx, ref("account", n), allod.FileRef{Name: "doc"}, bytes.NewReader(b))
	if err != nil {
		v.t.Fatal(err)
	}
	row := account(n, "with file")
	row.Cells = append(row.Cells, allod.FileValue(f))
	if err := w.Put(row); err != nil {
		v.t.Fatal(err)
	}
	if _, err := w.Finish(ctx); err != nil {
		v.t.Fatal(err)
	}
	snap, err := r.Commit(ctx, Manifest{})
	if err != nil {
		v.t.Fatal(err)
	}
	return snap
}

func (v *testVault) readFile(id allod.SnapshotID, n int) ([]byte, error) {
	v.t.Helper()
	s, err := v.At(v.t.Context(), v.session(gate.ActionRead), "contoso", id)
	if err != nil {
		return nil, err
	}
	rows, err := s.Get(v.t.Context(), "account", []allod.RecordRef{ref("account", n)})
	if err != nil || len(rows) != 1 {
		return nil, err
	}
	r, err := s.OpenFile(v.t.Context(), &rows[0], "document")
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}

// TestFilesOfOneRecordAreNotExchanged puts the object of one version of a file
// under the name of another version, of the same record and size.
func TestFilesOfOneRecordAreNotExchanged(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.fileObject = 100
	first := v.captureFile(1, bytes.Repeat([]byte("old "), 100))
	second := v.captureFile(1, bytes.Repeat([]byte("new "), 100))
	var names []string
	for _, n := range objectNames(t, v.store) {
		if strings.HasPrefix(n, "files/") {
			names = append(names, n)
		}
	}
	if len(names) != 2 {
		t.Fatalf("file objects: got %v, want two", names)
	}
	store := copyStore(t, v.store)
	for i, n := range names {
		replace(t, store, n, objectBytes(t, v.store, names[1-i]))
	}
	w := v.reopen(store)
	for _, id := range []allod.SnapshotID{first.ID, second.ID} {
		if got, err := v.readFile(id, 1); err != nil || len(got) != 400 {
			t.Errorf("snapshot %d: got %d bytes, %v", id, len(got), err)
		}
		if _, err := w.readFile(id, 1); allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), "files/") {
			t.Errorf("snapshot %d, exchanged: got %v, want kind corrupt that names the object", id, err)
		}
	}
}

func replace(t *testing.T, s blob.Store, name string, b []byte) {
	t.Helper()
	if err := s.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := object.Put(t.Context(), s, name, b); err != nil {
		t.Fatal(err)
	}
}
