package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/keyring"
)

// as opens the vault with a slot of the role, and keeps what is known in index.
func (v *testVault) as(role keyring.Role, index blob.Store) *testVault {
	v.t.Helper()
	key, err := keyring.NewKeyFile()
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.AddSlot(v.t.Context(), v.session(gate.ActionKeys), string(role), role, key); err != nil {
		v.t.Fatal(err)
	}
	cfg := v.cfg
	cfg.Index = in(index)
	opened, err := Open(v.t.Context(), cfg, key)
	if err != nil {
		v.t.Fatal(err)
	}
	w := *v
	w.Vault = opened
	w.openGate()
	return &w
}

func in(place blob.Store) func(context.Context, bool) (blob.Store, error) {
	return func(context.Context, bool) (blob.Store, error) { return place, nil }
}

// with opens the vault with all roles, and keeps what is known in index.
func (v *testVault) with(index blob.Store) *testVault {
	v.t.Helper()
	cfg := v.cfg
	cfg.Index = in(index)
	opened, err := Open(v.t.Context(), cfg, plainWrapper{})
	if err != nil {
		v.t.Fatal(err)
	}
	w := *v
	w.Vault = opened
	return &w
}

// A capture without the read identity finds what one with it finds, over so many
// commits that what is known is merged, and reads nothing of what is stored.
func TestCaptureWithoutReading(t *testing.T) {
	reader := newVault(t, mem.New(mem.Options{}))
	other := newVault(t, mem.New(mem.Options{}))
	index := mem.New(mem.Options{})
	c := reader.as(keyring.RoleCapture, index)
	if s, err := c.Status(t.Context()); err != nil || s.Role != "capture" || strings.Contains(s.RoleSeparation, "all roles") {
		t.Errorf("status: got %q, %q, %v", s.Role, s.RoleSeparation, err)
	}
	steps := []struct {
		mode    Mode
		rows    map[int]string
		deletes []int
	}{
		{mode: ModeFull, rows: numbered(300, "x")},
		{mode: ModeFull, rows: numbered(300, "x")},
		{mode: ModeFull, rows: numbered(290, "x")},
		{mode: ModeDelta, rows: map[int]string{3: "y", 4: "x 4", 295: "back"}, deletes: []int{5, 6, 299}},
		{mode: ModeDelta, deletes: []int{5, 7}},
	}
	for i := range 12 {
		rows := map[int]string{}
		for n := range 1 + i%5 {
			rows[n+1] = fmt.Sprint("round ", i)
		}
		steps = append(steps, struct {
			mode    Mode
			rows    map[int]string
			deletes []int
		}{mode: ModeDelta, rows: rows})
	}
	steps = append(steps, struct {
		mode    Mode
		rows    map[int]string
		deletes []int
	}{mode: ModeFull, rows: numbered(280, "x")})
	for i, s := range steps {
		got, gc, err := c.captureRows(s.mode, s.rows, s.deletes...)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		want, wc, err := other.captureRows(s.mode, s.rows, s.deletes...)
		if err != nil {
			t.Fatal(err)
		}
		if gc != wc || got.Rows != want.Rows {
			t.Errorf("step %d: got %+v, %d rows, want %+v, %d rows", i, gc, got.Rows, wc, want.Rows)
		}
		rows, err := other.rowsAt(want.ID)
		if err != nil {
			t.Fatal(err)
		}
		r := reader.reopen(reader.store)
		r.wantRows(got.ID, rows)
	}
	if _, err := c.rowsAt(1); allod.KindOf(err) != allod.Denied {
		t.Errorf("read a snapshot: got %v, want kind denied", err)
	}
	if n := len(objectNames(t, index)); n > 12 {
		t.Errorf("the index has %d objects: %v", n, objectNames(t, index))
	}
}

// What is missing, behind, of other bytes or of other records is refused by who
// cannot read, and made anew by who can.
func TestIndexIsNotBelieved(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	index := mem.New(mem.Options{})
	c := v.as(keyring.RoleCapture, index)
	c.mustCapture(ModeFull, numbered(20, "x"))
	refused := func(what string) {
		t.Helper()
		_, _, err := c.captureRows(ModeDelta, map[int]string{1: "new"})
		if err == nil || !strings.Contains(allod.HintOf(err), "vault index rebuild") {
			t.Errorf("%s: got %v, hint %q, want the next step", what, err, allod.HintOf(err))
		}
	}
	unchanged := func(what string) {
		t.Helper()
		if _, got, err := c.captureRows(ModeFull, numbered(20, "x")); err != nil || got.Unchanged != 20 {
			t.Errorf("%s: got %+v, %v, want 20 unchanged", what, got, err)
		}
	}
	rebuild := func() {
		t.Helper()
		all := v.with(index)
		if list, err := all.RebuildIndex(t.Context(), v.session(gate.ActionVerify), index); err != nil || len(list) != 1 || list[0].Rows != 20 {
			t.Fatalf("rebuild: got %+v, %v", list, err)
		}
	}
	unchanged("at first")
	v.mustCapture(ModeDelta, map[int]string{7: "x 7", 8: "y"}) // without the index
	refused("behind")
	v.mustCapture(ModeDelta, map[int]string{8: "x 8"})
	if _, got, err := v.with(index).captureRows(ModeFull, numbered(20, "x")); err != nil || got.Unchanged != 20 {
		t.Fatalf("who reads: got %+v, %v", got, err)
	}
	unchanged("after who reads has brought it to its end")
	for _, name := range objectNames(t, index) {
		if err := index.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	refused("missing")
	rebuild()
	unchanged("made anew")
	for _, name := range objectNames(t, index) {
		b := objectBytes(t, index, name)
		for _, at := range []int{len(b) / 2, len(b) - 1} {
			bad := bytes.Clone(b)
			bad[at] ^= 1
			if err := index.Replace(t.Context(), name, bad); err != nil {
				t.Fatal(err)
			}
			again := c.again(index)
			if _, _, err := again.captureRows(ModeFull, numbered(20, "x")); err == nil {
				t.Fatalf("%s with byte %d changed: no error", name, at)
			}
		}
		if err := index.Replace(t.Context(), name, b); err != nil {
			t.Fatal(err)
		}
	}
	c = c.again(index)
	unchanged("put back")
	if err := v.reopen(v.store).erase(EraseOptions{}, 3); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.captureRows(ModeFull, numbered(20, "x")); err != nil || got.Erased != 1 || got.Unchanged != 19 {
		t.Errorf("after an erasure: got %+v, %v", got, err)
	}
	if _, err := v.reopen(v.store).rectify(4, "right", RectifyOptions{}); err != nil {
		t.Fatal(err)
	}
	refused("sealed anew")
	all := v.with(index)
	if _, got, err := all.captureRows(ModeDelta, map[int]string{4: "right"}); err != nil || got.Unchanged != 1 {
		t.Errorf("who reads, after a rectification: got %+v, %v", got, err)
	}
	if _, got, err := c.captureRows(ModeDelta, map[int]string{4: "right"}); err != nil || got.Unchanged != 1 {
		t.Errorf("after a rectification: got %+v, %v", got, err)
	}
}

// again opens the same slot again: nothing is left in memory.
func (v *testVault) again(index blob.Store) *testVault {
	v.t.Helper()
	cfg := v.cfg
	cfg.Index = in(index)
	opened, err := Open(v.t.Context(), cfg, v.wrapper)
	if err != nil {
		v.t.Fatal(err)
	}
	w := *v
	w.Vault = opened
	return &w
}

// Files that are known are not stored again, and a schema that gains and loses
// columns leaves rows as they are.
func TestIndexKnowsFilesAndColumns(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	c := v.as(keyring.RoleCapture, mem.New(mem.Options{}))
	ctx := t.Context()
	capture := func(s *allod.Schema, tail ...allod.Value) Changes {
		t.Helper()
		r, err := c.Begin(ctx, c.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Abort()
		if err := r.SetSchema(s); err != nil {
			t.Fatal(err)
		}
		w, err := r.Table(ctx, s.Table("account"), ModeFull)
		if err != nil {
			t.Fatal(err)
		}
		f := allod.FileRef{SourceID: "file-1", Name: "secret name.txt"}
		k, ok, err := w.Known(ctx, ref("account", 1))
		if err != nil {
			t.Fatal(err)
		}
		if cell := k.Cell("document"); ok && cell.Type() == allod.File {
			known, err := cell.FileRef()
			if err != nil || known.SourceID != "file-1" || known.Name != "" || known.Size != 5 || k.Version != 1 {
				t.Errorf("known: got %+v, %v", known, err)
			}
		}
		if f, err = w.PutFile(ctx, ref("account", 1), f, strings.NewReader("bytes")); err != nil {
			t.Fatal(err)
		}
		row := account(1, "x")
		row.Cells = append(append(row.Cells, allod.FileValue(f)), tail...)
		if err := w.Put(row); err != nil {
			t.Fatal(err)
		}
		changes, err := w.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Commit(ctx, Manifest{Complete: true}); err != nil {
			t.Fatal(err)
		}
		return changes
	}
	if got := capture(testSchema()); got.Created != 1 {
		t.Errorf("first: got %+v", got)
	}
	if got := capture(testSchema()); got.Unchanged != 1 {
		t.Errorf("again: got %+v", got)
	}
	wider := testSchema()
	wider.Tables[0].Columns = append(wider.Tables[0].Columns, allod.Column{Name: "added", ID: allod.GUID{9}, Type: allod.String})
	wider.Tables = append(wider.Tables, allod.Table{Name: "aaa", ID: allod.GUID{8}, Key: "id"})
	if got := capture(wider); got.Unchanged != 1 {
		t.Errorf("with another column and table: got %+v", got)
	}
	if got := capture(wider, allod.StringValue("now")); got.Updated != 1 {
		t.Errorf("with a value in it: got %+v", got)
	}
	if got := capture(wider, allod.StringValue("now")); got.Unchanged != 1 {
		t.Errorf("again: got %+v", got)
	}
	s, err := v.At(ctx, v.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Get(ctx, "account", []allod.RecordRef{ref("account", 1)})
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	body, err := s.OpenFile(ctx, &rows[0], "document")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(body); err != nil || string(b) != "bytes" {
		t.Errorf("the file: got %q, %v", b, err)
	}
}

// Every call of the place of the index fails in turn, once not stored and once
// stored: the next run captures, or says what has to be done, and what is
// stored is what came.
func TestEveryCallOfTheIndexFails(t *testing.T) {
	for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
		for n := 1; ; n++ {
			v := newVault(t, mem.New(mem.Options{}))
			place := mem.New(mem.Options{})
			c := v.as(keyring.RoleCapture, place)
			c.mustCapture(ModeFull, numbered(5, "x"))
			faulty := fault.New(place, fault.Fault{Call: n, Mode: mode, Down: true})
			want := map[int]string{1: "x 1", 2: "new"}
			_, _, _ = c.again(faulty).captureRows(ModeFull, want) // it fails, or what fails does not matter
			if faulty.Calls() < n {
				break
			}
			c = c.again(place)
			if _, _, err := c.captureRows(ModeFull, want); err != nil {
				t.Fatalf("call %d, mode %d: the next capture: %v", n, mode, err)
			}
			v.reopen(v.store).wantRows(0, want)
		}
	}
}

// A capture that is cut off between the index and the log entry leaves the index
// of the entry before, and one cut off right behind it that of the new one.
func TestCutOffBesideTheIndex(t *testing.T) {
	for _, after := range []bool{false, true} {
		v := newVault(t, mem.New(mem.Options{}))
		c := v.as(keyring.RoleCapture, mem.New(mem.Options{}))
		c.mustCapture(ModeFull, numbered(5, "x"))
		cfg := c.cfg
		cfg.Store = &cutLog{Store: cfg.Store, stored: after}
		opened, err := Open(t.Context(), cfg, c.wrapper)
		if err != nil {
			t.Fatal(err)
		}
		w := *c
		w.Vault = opened
		if _, _, err := w.captureRows(ModeDelta, map[int]string{2: "new"}); err == nil {
			t.Fatal("no error")
		}
		_, got, err := c.captureRows(ModeFull, map[int]string{1: "x 1", 2: "new", 3: "x 3", 4: "x 4", 5: "x 5"})
		want := Changes{Before: 5, Unchanged: 4, Updated: 1}
		if after {
			want = Changes{Before: 5, Unchanged: 5}
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("stored %v: %v (-want +got)\n%s", after, err, diff)
		}
	}
}

// cutLog is a store that is gone from the moment a log entry is put, stored or
// not.
type cutLog struct {
	blob.Store
	stored, gone bool
}

var errCut = errors.New("cut off")

func (c *cutLog) Put(ctx context.Context, name string, r io.Reader, size int64, o blob.PutOptions) error {
	if !strings.HasPrefix(name, "log/") {
		return c.Store.Put(ctx, name, r, size, o)
	}
	c.gone = true
	if c.stored {
		if err := c.Store.Put(ctx, name, r, size, o); err != nil {
			return err
		}
	}
	return errCut
}

func (c *cutLog) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if c.gone {
		return nil, errCut
	}
	return c.Store.Get(ctx, name, off, n)
}

// A record that is restricted is captured into its container without being read,
// once; what lifting has sealed anew has to be learned from who can read.
func TestIndexOfRestrictedRecords(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	index, box := mem.New(mem.Options{}), newBox(t, 1)
	c := v.as(keyring.RoleCapture, index)
	c.mustCapture(ModeFull, numbered(5, "x"))
	captured := func(what string, mode Mode, rows map[int]string, want Changes) {
		t.Helper()
		if _, got, err := c.captureRows(mode, rows); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
		}
	}
	restrict := func(run int, ns ...int) {
		t.Helper()
		if err := v.reopen(v.store).restrict(box, run, ns...); err != nil {
			t.Fatal(err)
		}
	}
	lift := func(run int, ns ...int) {
		t.Helper()
		if _, err := v.reopen(v.store).lift(box, run, ns...); err != nil {
			t.Fatal(err)
		}
	}
	restrict(1, 3)
	lift(2, 3)
	captured("restricted for a while", ModeFull, numbered(5, "x"), Changes{Before: 5, Unchanged: 5})
	restrict(3, 2)
	rows := numbered(5, "x")
	rows[2] = "new"
	captured("restricted", ModeFull, rows, Changes{Before: 4, Unchanged: 4, Escrow: 1})
	before := len(objectNames(t, v.store))
	captured("restricted, the same again", ModeDelta, map[int]string{2: "new"}, Changes{Before: 4, Escrow: 1})
	if n := len(objectNames(t, v.store)); n != before+1 {
		t.Errorf("the same again: %d new objects, want the log entry", n-before)
	}
	lift(4, 2)
	if _, _, err := c.captureRows(ModeFull, rows); allod.KindOf(err) != allod.Conflict || !strings.Contains(allod.HintOf(err), "vault index rebuild") {
		t.Errorf("lifted: got %v, want the next step", err)
	}
	if _, err := v.with(index).RebuildIndex(t.Context(), v.session(gate.ActionVerify), index); err != nil {
		t.Fatal(err)
	}
	captured("made anew", ModeFull, rows, Changes{Before: 5, Unchanged: 5})
	restrict(5, 4)
	if _, err := v.with(index).RebuildIndex(t.Context(), v.session(gate.ActionVerify), index); err != nil {
		t.Fatal(err)
	}
	captured("made anew while restricted", ModeDelta, map[int]string{4: "other"}, Changes{Before: 5, Escrow: 1})
}
