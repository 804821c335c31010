package vault

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"allod"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/preimage"
	"allod/internal/vault/verify"
)

// keepThree keeps three accounts: 1 as it was, with a file, 2 as it was, 9 was
// not there.
func (v *testVault) keepThree(run string) error {
	site, err := v.PreImages(context.Background(), v.session(gate.ActionRestore), "contoso")
	if err != nil {
		return err
	}
	table := testSchema().Table("account")
	one := account(1, "one before")
	one.Cells = append(one.Cells, allod.FileValue(allod.FileRef{SourceID: "x", Name: "a.txt", Size: 5}))
	return site.Keep(context.Background(), run, []preimage.Row{
		{Ref: ref("account", 1), Row: one, Table: table, Files: []string{"document"}, Open: func(context.Context, string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("bytes")), nil
		}},
		{Ref: ref("account", 2), Row: account(2, "two before"), Table: table},
		{Ref: ref("account", 9), Table: table},
	})
}

// before tells what is kept of accounts of a run: their names, "not there", or
// why it is withheld.
func (v *testVault) before(run string) (map[int]string, error) {
	site, err := v.PreImages(context.Background(), v.session(gate.ActionUndo), "contoso")
	if err != nil {
		return nil, err
	}
	view, err := site.Run(context.Background(), run)
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	for _, n := range []int{1, 2, 3, 9} {
		all, err := view.Of(context.Background(), "account", []allod.RecordRef{ref("account", n)})
		if err != nil {
			return nil, err
		}
		switch k, ok := all[ref("account", n)]; {
		case !ok:
		case k.Withheld != "":
			out[n] = k.Withheld
		case k.Row == nil:
			out[n] = "not there"
		default:
			out[n] = k.Row.Cell(0).Text()
		}
	}
	return out, nil
}

func (v *testVault) wantBefore(run string, want map[int]string) {
	v.t.Helper()
	got, err := v.before(run)
	if err != nil || !maps.Equal(got, want) {
		v.t.Fatalf("before %s: got %v, %v, want %v", run, got, err, want)
	}
}

// What is kept from before a restore is no snapshot, is found again by another
// process, is verified, and goes with the key of its record.
func TestPreImages(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "old"))
	if err := v.keepThree("0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
	all := map[int]string{1: "one before", 2: "two before", 9: "not there"}
	v = v.reopen(v.store)
	v.wantBefore("0123456789abcdef", all)
	v.wantRows(first.ID, numbered(3, "old"))
	second := v.mustCapture(ModeDelta, map[int]string{2: "changed"})
	if second.Capture != first.Capture+1 {
		t.Errorf("the capture after it has number %d, want %d", second.Capture, first.Capture+1)
	}
	snaps, err := v.Snapshots(t.Context(), "contoso")
	if err != nil || len(snaps) != 2 {
		t.Errorf("snapshots: %d, %v, want 2", len(snaps), err)
	}
	versions, err := v.History(t.Context(), v.session(gate.ActionRead), "contoso", ref("account", 2))
	if err != nil || len(versions) != 2 {
		t.Errorf("history: %d versions, %v, want 2", len(versions), err)
	}
	if _, err := v.before("other"); allod.KindOf(err) != allod.NotFound {
		t.Errorf("of another run: %v", err)
	}
	site, err := v.PreImages(t.Context(), v.session(gate.ActionUndo), "contoso")
	if err != nil {
		t.Fatal(err)
	}
	view, err := site.Run(t.Context(), "0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := view.Get(t.Context(), "account", []allod.RecordRef{ref("account", 1)})
	if err != nil || len(rows) != 1 || view.Base() != first.Capture {
		t.Fatalf("get: %v, %v, base %d", rows, err, view.Base())
	}
	in, err := view.OpenFile(t.Context(), &rows[0], "document")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(in); err != nil || string(b) != "bytes" {
		t.Errorf("the file: %q, %v", b, err)
	}
	rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || rep.Rows != 3+1+3 || rep.Files != 1 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 1), ref("account", 9)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Erase(t.Context(), v.session(gate.ActionErase), tags, EraseOptions{Run: "e"}); err != nil {
		t.Fatal(err)
	}
	v.wantBefore("0123456789abcdef", map[int]string{1: "erased", 2: "two before", 9: "erased"})
	if _, err := v.rectify(2, "right", RectifyOptions{Run: "r"}); err != nil {
		t.Fatal(err)
	}
	v.wantBefore("0123456789abcdef", map[int]string{1: "erased", 2: "superseded", 9: "erased"})
	if rep, err = v.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify after: %+v, %v", rep, err)
	}
	if err := v.keepThree("fedcba9876543210"); err != nil { // of records that are erased nothing is kept
		t.Fatal(err)
	}
	v.wantBefore("fedcba9876543210", map[int]string{2: "two before"})
}

// Who may not write to an environment keeps nothing of it, and what was never
// backed up has no place.
func TestPreImagesRefuse(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	if err := v.keepThree("r"); allod.KindOf(err) != allod.NotFound {
		t.Errorf("without a snapshot: %v", err)
	}
	v.mustCapture(ModeFull, numbered(1, "old"))
	if _, err := v.PreImages(t.Context(), v.session(gate.ActionRead), "contoso"); allod.KindOf(err) != allod.Denied {
		t.Errorf("to read: %v", err)
	}
	site, err := v.PreImages(t.Context(), v.session(gate.ActionRestore), "contoso")
	if err != nil {
		t.Fatal(err)
	}
	err = site.Keep(t.Context(), "r", []preimage.Row{{Ref: ref("elsewhere", 1)}})
	if allod.KindOf(err) != allod.Conflict || !strings.Contains(allod.HintOf(err), "allod backup contoso") {
		t.Errorf("of a table that is not known: %v", err)
	}
	if lost, whole := site.Lacks("account", []string{"name", "new"}); whole || fmt.Sprint(lost) != "[new]" {
		t.Errorf("lacks: %v, %v", lost, whole)
	}
	if _, whole := site.Lacks("elsewhere", nil); !whole {
		t.Error("a table that is not known is said to be")
	}
	site.Key = nil
	if err := site.Keep(t.Context(), "r", []preimage.Row{{Ref: ref("account", 1)}}); allod.KindOf(err) != allod.Denied {
		t.Errorf("without the key of use undo: %v", err)
	}
}

// Each storage call fails in turn, not stored and stored but failed: everything
// is kept or nothing, success is never said of nothing, and the vault stands.
func TestEveryCallOfKeepingFails(t *testing.T) {
	base := newVault(t, mem.New(mem.Options{}))
	base.mustCapture(ModeFull, numbered(3, "old"))
	all := fmt.Sprint(map[int]string{1: "one before", 2: "two before", 9: "not there"})
	outcomes := map[string]int{}
	for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
		for k := 1; ; k++ {
			store := fault.New(copyStore(t, base.store), fault.Fault{Call: k, Mode: mode, Down: true})
			v, err := base.tryOpen(store)
			if err == nil {
				err = v.keepThree("r")
			}
			if store.Calls() < k {
				break
			}
			after := base.reopen(store.Inner())
			got, readErr := after.before("r")
			switch {
			case readErr == nil && fmt.Sprint(got) == all:
				outcomes["all"]++
			case allod.KindOf(readErr) == allod.NotFound && err != nil:
				outcomes["nothing"]++
			default:
				t.Fatalf("mode %d, call %d (%v): %v, %v", mode, k, err, got, readErr)
			}
			if rep, err := after.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
				t.Fatalf("mode %d, call %d: verify: %+v, %v", mode, k, rep, err)
			}
			after.wantRows(0, numbered(3, "old"))
			after.mustCapture(ModeDelta, map[int]string{1: "again"})
		}
	}
	if outcomes["all"] == 0 || outcomes["nothing"] == 0 {
		t.Errorf("outcomes: %v, want both", outcomes)
	}
}
