package vault

import (
	"context"
	"fmt"
	"io"
	"testing"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/object"
	"allod/internal/vault/verify"
)

// copyStore returns a store with the same objects.
func copyStore(t testing.TB, from blob.Store) *mem.Store {
	t.Helper()
	to := mem.New(mem.Options{})
	for _, name := range objectNames(t, from) {
		if err := object.Put(context.Background(), to, name, objectBytes(t, from, name)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestEveryCallFails lets each storage call of a capture fail in turn, once as
// "not done" and once as "done but failed", with the store gone afterwards and
// without. What the next process finds is the old or the new snapshot, and a
// new capture works. With -short every fourth call fails.
func TestEveryCallFails(t *testing.T) {
	base := newVault(t, mem.New(mem.Options{}))
	base.mustCapture(ModeFull, numbered(20, "old"))
	old, fresh := numbered(20, "old"), numbered(20, "old")
	fresh[1], fresh[21] = "new", "new"
	outcomes, step := map[string]int{}, 1
	if testing.Short() {
		step = 4
	}
	for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed, fault.NoSpace, fault.Truncate, fault.BreakOff} {
		for _, down := range []bool{true, false} {
			for k := 1; ; k += step {
				store := fault.New(copyStore(t, base.store), fault.Fault{Call: k, Mode: mode, Down: down})
				v, err := base.tryOpen(store)
				if err == nil {
					_, _, err = v.captureRows(ModeDelta, map[int]string{1: "new", 21: "new"})
				}
				if store.Calls() < k {
					break
				}
				after := base.reopen(store.Inner())
				got, readErr := after.rowsAt(0)
				if readErr != nil {
					t.Fatalf("mode %d, call %d: %v", mode, k, readErr)
				}
				switch {
				case fmt.Sprint(got) == fmt.Sprint(fresh):
					outcomes["new"]++
				case fmt.Sprint(got) == fmt.Sprint(old):
					outcomes["old"]++
					if err == nil {
						t.Fatalf("mode %d, call %d: success was reported and the old snapshot is there", mode, k)
					}
				default:
					t.Fatalf("mode %d, call %d: something between: %v", mode, k, got)
				}
				rep, err := after.Verify(t.Context(), verify.Options{Sample: 1})
				if err != nil || len(rep.Bad) != 0 {
					t.Fatalf("mode %d, call %d: verify: %+v, %v", mode, k, rep, err)
				}
				after.mustCapture(ModeDelta, map[int]string{1: "again"})
			}
		}
	}
	if outcomes["old"] == 0 || outcomes["new"] == 0 {
		t.Errorf("outcomes: got %v, want both", outcomes)
	}
}

func begin(t *testing.T, v *testVault, env string) (*Run, *TableWriter) {
	t.Helper()
	r, err := v.Begin(t.Context(), v.session(gate.ActionCapture), RunOptions{Environment: env, Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Abort)
	s := testSchema()
	if err := r.SetSchema(s); err != nil {
		t.Fatal(err)
	}
	w, err := r.Table(t.Context(), s.Table("account"), ModeFull)
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// TestTwoProcesses commits from two processes at once: of one environment only
// the first, of two environments both.
func TestTwoProcesses(t *testing.T) {
	a := newVault(t, mem.New(mem.Options{}))
	a.mustCapture(ModeFull, numbered(3, "x"))
	b := a.reopen(a.store)
	commit := func(r *Run, w *TableWriter, name string) (allod.Snapshot, error) {
		if err := w.Put(account(1, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r.Commit(t.Context(), Manifest{})
	}
	ra, wa := begin(t, a, "contoso")
	rb, wb := begin(t, b, "contoso")
	rc, wc := begin(t, b, "fabrikam")
	if _, err := commit(ra, wa, "by a"); err != nil {
		t.Fatal(err)
	}
	if _, err := commit(rb, wb, "by b"); allod.KindOf(err) != allod.Conflict || allod.HintOf(err) == "" {
		t.Errorf("the slower of one environment: got %v, want kind conflict with a hint", err)
	}
	snap, err := commit(rc, wc, "by c")
	if err != nil || snap.Capture != 1 {
		t.Fatalf("another environment: got %+v, %v", snap, err)
	}
	envs, err := a.Environments(t.Context())
	if err != nil || fmt.Sprint(envs) != "[contoso fabrikam]" {
		t.Errorf("environments: got %v, %v", envs, err)
	}
	w := a.reopen(a.store)
	s, err := w.At(t.Context(), w.session(gate.ActionRead), "fabrikam", 0)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Get(t.Context(), "account", []allod.RecordRef{ref("account", 1)})
	if err != nil || len(rows) != 1 || rows[0].Cell(0).Text() != "by c" {
		t.Errorf("rows of fabrikam: got %v, %v", rows, err)
	}
	rep, err := w.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
}

// TestRaceForANumber takes the entry's number between draft and put.
func TestRaceForANumber(t *testing.T) {
	a := newVault(t, mem.New(mem.Options{}))
	a.mustCapture(ModeFull, numbered(3, "x"))
	racing := &raceStore{Store: a.store}
	b := a.reopen(racing)
	r, w := begin(t, b, "fabrikam")
	if err := w.Put(account(1, "late")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	racing.before = func() { a.mustCapture(ModeDelta, map[int]string{1: "early"}) }
	snap, err := r.Commit(t.Context(), Manifest{})
	if err != nil || snap.ID != 3 {
		t.Fatalf("commit: got %+v, %v, want snapshot 3", snap, err)
	}
	c := a.reopen(a.store)
	s, err := c.At(t.Context(), c.session(gate.ActionRead), "fabrikam", 0)
	if err != nil || s.Schema() == nil {
		t.Fatalf("fabrikam: %v", err)
	}
	for row, err := range s.Rows(t.Context(), "account") {
		if err != nil || row.Cell(0).Text() != "late" {
			t.Errorf("row: got %v, %v", row, err)
		}
	}
}

type raceStore struct {
	blob.Store
	before func()
}

func (s *raceStore) Put(ctx context.Context, name string, r io.Reader, size int64, o blob.PutOptions) error {
	if s.before != nil && name == "log/00000000000000000002" {
		f := s.before
		s.before = nil
		f()
	}
	return s.Store.Put(ctx, name, r, size, o)
}

func TestNewerFormatIsLeftAlone(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	newer := mem.New(mem.Options{})
	for _, name := range objectNames(t, v.store) {
		b := objectBytes(t, v.store, name)
		if name == "vault" {
			b = []byte(`{"magic":"allod vault","format":2,"something":"else"}` + "\nnew\nform")
		}
		if err := object.Put(t.Context(), newer, name, b); err != nil {
			t.Fatal(err)
		}
	}
	store := fault.New(newer)
	_, err := v.tryOpen(store)
	if allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
		t.Errorf("newer vault: got %v, want kind invalid with a hint", err)
	}
	for _, c := range store.Trace() {
		if c.Op == fault.Put || c.Op == fault.Delete || c.Op == fault.Replace {
			t.Errorf("newer vault: %v was called", c)
		}
	}
}

func TestAbortLeavesNothingVisible(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	r, w := begin(t, v, "contoso")
	if err := w.Put(account(1, "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Abort()
	if snaps, err := v.Snapshots(t.Context(), ""); err != nil || len(snaps) != 0 {
		t.Errorf("after abort: got %v, %v", snaps, err)
	}
	if _, err := r.Commit(t.Context(), Manifest{}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("commit after abort: got %v, want kind invalid", err)
	}
}
