package vault

import (
	"bytes"
	"crypto/rand"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/stage"
	"allod/internal/vault/verify"
)

func TestCaptureAndRead(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(100, "a"))
	if first.Created != 100 || first.Rows != 100 || !first.Complete || first.Environment != "contoso" || first.Capture != 1 {
		t.Errorf("first snapshot: got %+v", first)
	}
	second := v.mustCapture(ModeDelta, map[int]string{1: "changed", 2: "a 2", 101: "new"}, 3, 999)
	if second.Created != 1 || second.Updated != 1 || second.Deleted != 1 || second.Rows != 100 {
		t.Errorf("second snapshot: got %+v", second)
	}
	third, changes, err := v.captureRows(ModeFull, map[int]string{1: "changed", 3: "back"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Changes{Before: 100, Created: 1, Unchanged: 1, Missing: 99}); changes != want {
		t.Errorf("third: got %+v, want %+v", changes, want)
	}
	if third.Rows != 2 || third.Deleted != 99 {
		t.Errorf("third snapshot: got %+v", third)
	}
	fourth := v.mustCapture(ModeDelta, nil)
	for _, w := range []*testVault{v, v.reopen(v.store)} {
		w.wantRows(first.ID, numbered(100, "a"))
		want := numbered(100, "a")
		want[1], want[101] = "changed", "new"
		delete(want, 3)
		w.wantRows(second.ID, want)
		w.wantRows(third.ID, map[int]string{1: "changed", 3: "back"})
		w.wantRows(fourth.ID, map[int]string{1: "changed", 3: "back"})
	}
	e, err := v.log.Entry(uint64(fourth.ID))
	if err != nil || len(e.Objects) != 0 {
		t.Errorf("a capture without changes: got %d objects, %v, want none", len(e.Objects), err)
	}
	state, last, err := v.CaptureState(t.Context(), "contoso")
	if err != nil || string(state) != "state" || last.ID != fourth.ID {
		t.Errorf("capture state: got %q of %+v, %v", state, last, err)
	}
	rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || rep.Rows != 100+3+100 || rep.Orphans != 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
	history, err := v.History(t.Context(), v.session(gate.ActionRead), "contoso", ref("account", 3))
	if err != nil || len(history) != 3 || history[0].Row.Cell(0).Text() != "back" || !history[1].Deleted || history[1].Reason != allod.DeleteSaid || history[2].Row.Cell(0).Text() != "a 3" {
		t.Errorf("history: got %+v, %v", history, err)
	}
	snap, err := v.At(t.Context(), v.session(gate.ActionRead), "contoso", second.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := snap.Get(t.Context(), "account", []allod.RecordRef{ref("account", 1), ref("account", 3), ref("account", 101), ref("account", 5000)})
	if err != nil || len(rows) != 2 || rows[0].Cell(0).Text() != "changed" || rows[1].Cell(0).Text() != "new" {
		t.Errorf("get: got %v, %v", rows, err)
	}
	var gone []Tombstone
	for d, err := range snap.Deleted(t.Context(), "account") {
		if err != nil {
			t.Fatal(err)
		}
		gone = append(gone, d)
	}
	if diff := cmp.Diff([]Tombstone{{Ref: ref("account", 3), Reason: allod.DeleteSaid, Capture: 2}}, gone); diff != "" {
		t.Error("deleted (-want +got):\n" + diff)
	}
}

func TestSessionsAreAsked(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "a"))
	ctx := t.Context()
	if _, err := v.At(ctx, gate.Session{}, "contoso", 0); allod.KindOf(err) != allod.Denied {
		t.Errorf("read without a session: got %v, want kind denied", err)
	}
	if _, err := v.At(ctx, v.session(gate.ActionCapture), "contoso", 0); allod.KindOf(err) != allod.Denied {
		t.Errorf("read with a session to capture: got %v, want kind denied", err)
	}
	if _, err := v.Begin(ctx, v.session(gate.ActionRead), RunOptions{Environment: "contoso"}); allod.KindOf(err) != allod.Denied {
		t.Errorf("capture with a session to read: got %v, want kind denied", err)
	}
	other := newVault(t, mem.New(mem.Options{}))
	if _, err := v.At(ctx, other.session(gate.ActionRead), "contoso", 0); allod.KindOf(err) != allod.Denied {
		t.Errorf("read with a session of another vault: got %v, want kind denied", err)
	}
	one, err := v.gate.Open(ctx, gate.Request{Actor: "os:test", Action: gate.ActionRead, Purpose: allod.PurposeRestore, Resource: gate.Resource{Environment: "contoso", Table: "contact", Class: allod.ClassContent}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.At(ctx, one, "contoso", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Rows(ctx, "account") {
		if allod.KindOf(err) != allod.Denied {
			t.Errorf("rows of another table: got %v, want kind denied", err)
		}
	}
	for _, err := range s.Deleted(ctx, "account") {
		if allod.KindOf(err) != allod.Denied {
			t.Errorf("deleted rows of another table: got %v, want kind denied", err)
		}
	}
	if _, err := s.Get(ctx, "account", []allod.RecordRef{ref("account", 1)}); allod.KindOf(err) != allod.Denied {
		t.Errorf("a row of another table: got %v, want kind denied", err)
	}
	if _, err := v.History(ctx, one, "contoso", ref("account", 1)); allod.KindOf(err) != allod.Denied {
		t.Errorf("history of another table: got %v, want kind denied", err)
	}
	if _, err := s.OpenFile(ctx, &allod.Row{Table: "account", Key: key(1)}, "document"); allod.KindOf(err) != allod.Denied {
		t.Errorf("a file of another table: got %v, want kind denied", err)
	}
	if _, err := v.Begin(ctx, one, RunOptions{Environment: "contoso"}); allod.KindOf(err) != allod.Denied {
		t.Errorf("capture with a session to read one table: got %v, want kind denied", err)
	}
	for action, env := range map[gate.Action]string{gate.ActionRead: "contoso", gate.ActionCapture: "contoso"} {
		bare, err := v.gate.Open(ctx, gate.Request{Actor: "os:test", Action: action, Purpose: allod.PurposeRestore, Resource: gate.Resource{Environment: env, Class: allod.ClassCustomerData}})
		if err != nil {
			t.Fatal(err)
		}
		_, readErr := v.At(ctx, bare, env, 0)
		_, writeErr := v.Begin(ctx, bare, RunOptions{Environment: env})
		if allod.KindOf(readErr) != allod.Denied || allod.KindOf(writeErr) != allod.Denied {
			t.Errorf("%s with a session without content: got %v and %v, want kind denied", action, readErr, writeErr)
		}
	}
	elsewhere, err := v.gate.Open(ctx, gate.Request{Actor: "os:test", Action: gate.ActionRead, Purpose: allod.PurposeRestore, Resource: gate.Resource{Environment: "fabrikam", Class: allod.ClassContent}})
	if err != nil {
		t.Fatal(err)
	}
	if snap, err := v.At(ctx, elsewhere, "contoso", 0); allod.KindOf(err) != allod.Denied || snap != nil {
		t.Errorf("read with a session for another environment: got %v, %v, want kind denied", snap, err)
	}
	pub, err := OpenPublic(ctx, v.cfg)
	if err != nil {
		t.Fatal(err)
	}
	snaps, err := pub.Snapshots(ctx, "")
	if err != nil || len(snaps) != 1 || snaps[0].Environment != "#1" {
		t.Errorf("snapshots without keys: got %+v, %v", snaps, err)
	}
	if _, err := pub.At(ctx, v.session(gate.ActionRead), "#1", 0); allod.KindOf(err) != allod.Denied {
		t.Errorf("read without keys: got %v, want kind denied", err)
	}
}

func TestFiles(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	ctx := t.Context()
	contents := map[int][]byte{1: nil, 2: []byte("small"), 3: make([]byte, stage.SmallFile), 4: make([]byte, stage.SmallFile+1), 5: make([]byte, 1<<20)}
	for _, b := range contents {
		_, _ = rand.Read(b) // never fails
	}
	put := func() allod.Snapshot {
		r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Abort()
		s := testSchema()
		if err := r.SetSchema(s); err != nil {
			t.Fatal(err)
		}
		w, err := r.Table(ctx, s.Table("account"), ModeDelta)
		if err != nil {
			t.Fatal(err)
		}
		for n, b := range contents {
			f, err := w.PutFile(ctx, ref("account", n), allod.FileRef{Name: "doc", SourceID: "x"}, bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if f.Size != int64(len(b)) || f.Content == "" || len(f.SHA256) != 64 {
				t.Errorf("file %d: got %+v", n, f)
			}
			row := account(n, "with file")
			row.Cells = append(row.Cells, allod.FileValue(f))
			if err := w.Put(row); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		snap, err := r.Commit(ctx, Manifest{})
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	snap := put()
	if again := put(); again.Updated != 0 || again.Created != 0 {
		t.Errorf("the same files again: got %+v, want no change", again)
	}
	s, err := v.reopen(v.store).At(ctx, v.session(gate.ActionRead), "contoso", snap.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for row, err := range s.Rows(ctx, "account") {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		f, err := s.OpenFile(ctx, &row, "document")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, contents[int(row.Key[15])]) || f.Close() != nil {
			t.Errorf("file %d: got %d bytes, %v", row.Key[15], len(got), err)
		}
	}
	rep, err := v.Verify(ctx, verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || rep.Files != 5 || rows != 5 || rep.Orphans != 0 {
		t.Errorf("verify: got %+v, %v, %d rows", rep, err, rows)
	}
}

// TestTableNumbersFollowMetadataIds drops a table and makes one of the same
// name: its rows are not mixed with the former ones.
func TestTableNumbersFollowMetadataIds(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	ctx := t.Context()
	first := v.mustCapture(ModeFull, numbered(3, "old"))
	s := testSchema()
	s.Tables[0].ID = allod.GUID{1: 99}
	s.Tables[0].Columns = s.Tables[0].Columns[:1]
	r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetSchema(s); err != nil {
		t.Fatal(err)
	}
	w, err := r.Table(ctx, s.Table("account"), ModeFull)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(&allod.Row{Key: key(1), Cells: []allod.Value{allod.StringValue("new")}}); err != nil {
		t.Fatal(err)
	}
	c, err := w.Finish(ctx)
	if err != nil || c != (Changes{Created: 1}) {
		t.Errorf("changes: got %+v, %v", c, err)
	}
	snap, err := r.Commit(ctx, Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	v = v.reopen(v.store)
	v.wantRows(first.ID, numbered(3, "old"))
	at, err := v.At(ctx, v.session(gate.ActionRead), "contoso", snap.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := at.Get(ctx, "account", []allod.RecordRef{ref("account", 1), ref("account", 2)})
	if err != nil || len(rows) != 1 || rows[0].Cell(0).Text() != "new" {
		t.Errorf("rows of the new table: got %v, %v", rows, err)
	}
}

// TestSchemaChange adds, moves and drops columns: unchanged rows stay where
// they are and are read through the new schema.
func TestSchemaChange(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	ctx := t.Context()
	v.mustCapture(ModeFull, numbered(3, "old"))
	s := testSchema()
	cols := s.Tables[0].Columns
	s.Tables[0].Columns = []allod.Column{cols[1], {Name: "extra", ID: allod.GUID{7}, Type: allod.String}, cols[0]}
	s.Tables = append([]allod.Table{{Name: "aaa", ID: allod.GUID{5}}}, s.Tables...)
	r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetSchema(s); err != nil {
		t.Fatal(err)
	}
	w, err := r.Table(ctx, s.Table("account"), ModeFull)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		row := account(n, "old "+string(rune('0'+n)))
		row.Cells = []allod.Value{row.Cells[1], {}, row.Cells[0]}
		if n == 2 {
			row.Cells[1] = allod.StringValue("filled")
		}
		if err := w.Put(row); err != nil {
			t.Fatal(err)
		}
	}
	c, err := w.Finish(ctx)
	if err != nil || c != (Changes{Before: 3, Unchanged: 2, Updated: 1}) {
		t.Errorf("changes: got %+v, %v", c, err)
	}
	if _, err := r.Commit(ctx, Manifest{}); err != nil {
		t.Fatal(err)
	}
	at, err := v.reopen(v.store).At(ctx, v.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for row, err := range at.Rows(ctx, "account") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if row.Cell(0).Text() != "12.3400" || row.Cell(2).Text() == "" || row.Cell(1).IsAbsent() != (row.Key != key(2)) {
			t.Errorf("row through the new schema: got %v", row.Cells)
		}
	}
	if n != 3 {
		t.Errorf("rows: got %d, want 3", n)
	}
}

func TestPairs(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	ctx := t.Context()
	s := testSchema()
	r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetSchema(s); err != nil {
		t.Fatal(err)
	}
	w, err := r.Table(ctx, s.Table("account_contact"), ModeFull)
	if err != nil {
		t.Fatal(err)
	}
	a, b := allod.Row{Key: key(9), Pair: [2]allod.GUID{key(1), key(2)}}, allod.Row{Pair: [2]allod.GUID{key(2), key(1)}}
	for _, row := range []*allod.Row{&a, &b} {
		if err := w.Put(row); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(ctx, Manifest{}); err != nil {
		t.Fatal(err)
	}
	at, err := v.At(ctx, v.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := at.Get(ctx, "account_contact", []allod.RecordRef{{Pair: a.Pair}, {Pair: b.Pair}, {Key: key(9)}})
	if err != nil || len(rows) != 2 || rows[0].Key != key(9) || rows[1].Pair != b.Pair {
		t.Errorf("pairs: got %+v, %v", rows, err)
	}
}

// A check that another process writes beside finds nothing wrong with what it
// writes.
func TestVerifyBesideWriter(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	other := v.reopen(v.store)
	v.mustCapture(ModeFull, map[int]string{1: "one"})
	v.mustCapture(ModeDelta, map[int]string{2: "two"})
	rep, err := other.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || rep.Rows != 2 {
		t.Errorf("got %+v, %v, want 2 rows and nothing bad", rep, err)
	}
}
