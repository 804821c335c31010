package vault

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/puncture"
	"allod/internal/vault/verify"
)

// beginRoot begins a new root and destroys the slots of before.
func (v *testVault) beginRoot() error {
	s := v.session(gate.ActionKeys)
	if _, err := v.BeginRoot(v.t.Context(), s); err != nil {
		return err
	}
	return v.destroySlots(s)
}

// A new root takes the rows that come; those of before stay readable, and what
// was erased before stays erased. Erasing afterwards takes records out of all
// roots, in every snapshot.
func TestNewRoot(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	other := v.reopen(v.store)
	first := v.mustCapture(ModeFull, numbered(6, "x"))
	v.mustCapture(ModeDelta, map[int]string{5: "five"})
	if err := v.puncture(6); err != nil {
		t.Fatal(err)
	}
	if err := v.erase(EraseOptions{Past: true}, 5); err != nil {
		t.Fatal(err)
	}
	for root := 2; root <= 3; root++ {
		if err := v.beginRoot(); err != nil {
			t.Fatal(err)
		}
		if _, c, err := other.captureRows(ModeDelta, map[int]string{2: fmt.Sprint("root ", root), 6: "back"}); err != nil || c.Updated != 1 || c.Erased != 1 {
			t.Fatalf("capture by another process under root %d: got %+v, %v, want one updated, one erased", root, c, err)
		}
	}
	st, err := v.Status(t.Context())
	if err != nil || len(st.Roots) != 3 || st.Roots[0].Epoch != st.Roots[2].Epoch || st.Roots[2].Punctures != 1 {
		t.Errorf("status: got %+v, %v, want three roots in one epoch, the last with one listed", st.Roots, err)
	}
	want := map[int]string{1: "x 1", 2: "x 2", 3: "x 3", 4: "x 4"}
	v.wantRows(first.ID, want)

	last := v.mustCapture(ModeDelta, map[int]string{5: "again", 7: "new"})
	if err := v.puncture(2); err != nil { // rows of it lie under every root
		t.Fatal(err)
	}
	if err := v.puncture(7); err != nil { // under the last alone
		t.Fatal(err)
	}
	delete(want, 2)
	now := maps.Clone(want)
	now[5] = "again"
	for _, p := range []*testVault{v, other, v.reopen(v.store)} {
		p.wantRows(first.ID, want)
		p.wantRows(last.ID, now)
		h, err := p.History(t.Context(), p.session(gate.ActionRead), "contoso", ref("account", 2))
		if err != nil || len(h) != 3 {
			t.Fatalf("history: got %d versions, %v, want 3", len(h), err)
		}
		for _, x := range h {
			if x.Withheld != "erased" || x.Row != nil {
				t.Errorf("history: got %+v, want it erased", x)
			}
		}
	}
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 1), ref("account", 2), ref("account", 6), ref("account", 7)})
	if err != nil {
		t.Fatal(err)
	}
	if why, err := v.Absences(tags); err != nil || fmt.Sprint(why) != "[ erased erased erased]" {
		t.Errorf("absences: got %q, %v", why, err)
	}
	if _, err := v.rectify(3, "right", RectifyOptions{}); err != nil {
		t.Fatal(err)
	}
	want[3], now[3] = "right", "right"
	v.wantRows(first.ID, want)
	v.wantRows(last.ID, now)
	rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
}

// Somebody has kept a slot, what opens it, and every object there ever is. After
// a rotation he opens rows that are sealed later; after a new root was begun he
// does not, whatever he kept from before. What was sealed before he opens for
// ever, erased or not.
func TestKeptSlotAfterANewRoot(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{Versions: true}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	kept := copySlots(t, v.slots)
	s := v.session(gate.ActionKeys)
	if _, err := v.Rotate(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := v.destroySlots(s); err != nil {
		t.Fatal(err)
	}
	rotated := v.mustCapture(ModeDelta, map[int]string{2: "rotated"})
	before := copySlots(t, v.slots)
	if err := v.beginRoot(); err != nil {
		t.Fatal(err)
	}
	later := v.mustCapture(ModeDelta, map[int]string{2: "later", 4: "new"})
	if err := v.puncture(1); err != nil {
		t.Fatal(err)
	}
	whole := numbered(3, "x")
	atRotated := maps.Clone(whole)
	atRotated[2] = "rotated"
	atLater := map[int]string{1: "x 1", 3: "x 3"} // those that were sealed before
	for what, place := range map[string]*mem.Store{"from before the rotation": kept, "from before the new root": before} {
		got := v.opens(t, place)
		for id, want := range map[allod.SnapshotID]map[int]string{first.ID: whole, rotated.ID: atRotated, later.ID: atLater} {
			if got[id] != fmt.Sprint(want) {
				t.Errorf("with a slot %s, snapshot %d: got %s, want %v", what, id, got[id], want)
			}
		}
	}
	if got := v.opens(t, still(t, v.slots)); got[later.ID] != fmt.Sprint(map[int]string{2: "later", 3: "x 3", 4: "new"}) {
		t.Errorf("with the slots of now: got %s", got[later.ID])
	}
}

// A process that captures and holds the current root alone follows to a new one:
// it needs what is known made anew, and then refuses who was erased before.
func TestCaptureRoleFollowsANewRoot(t *testing.T) {
	v, index := newVault(t, mem.New(mem.Options{})), mem.New(mem.Options{})
	c := v.as(keyring.RoleCapture, index)
	first := c.mustCapture(ModeFull, numbered(4, "x"))
	if err := v.puncture(4); err != nil {
		t.Fatal(err)
	}
	if err := v.beginRoot(); err != nil {
		t.Fatal(err)
	}
	rows := map[int]string{1: "x 1", 3: "later", 4: "back"}
	if _, _, err := c.captureRows(ModeDelta, rows); !strings.Contains(allod.HintOf(err), "allod vault index rebuild") {
		t.Errorf("with what was known under the root before: got %v, %q", err, allod.HintOf(err))
	}
	if _, err := v.RebuildIndex(t.Context(), v.session(gate.ActionVerify), index); err != nil {
		t.Fatal(err)
	}
	_, changes, err := c.captureRows(ModeDelta, rows)
	if err != nil || changes.Updated != 1 || changes.Unchanged != 1 || changes.Erased != 1 {
		t.Errorf("afterwards: got %+v, %v, want one of each", changes, err)
	}
	if trees := c.content.Trees(); len(trees) != 1 || trees[0].Root() != 2 {
		t.Errorf("it holds %d roots, the first of them %d, want the current one alone", len(trees), trees[0].Root())
	}
	v.wantRows(first.ID, numbered(3, "x"))
}

// A record in its last generation needs a new root, says so, and goes on under it.
func TestLastGenerationNeedsANewRoot(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 2)})
	if err != nil {
		t.Fatal(err)
	}
	o := puncture.Order{Kind: vlog.KindErase, Absent: keytree.Superseded}
	leaf := keytree.NewIndexer(v.secrets.Index).Leaf(tags[0].Tag)
	for g := range 255 {
		o.Targets = append(o.Targets, keytree.Target{Leaf: leaf, Generation: g})
	}
	if _, err := v.Vault.puncture(t.Context(), v.session(gate.ActionErase), o); err != nil {
		t.Fatal(err)
	}
	second := v.mustCapture(ModeDelta, map[int]string{2: "last"})
	err = v.erase(EraseOptions{Past: true}, 2)
	if allod.KindOf(err) != allod.Invalid || !strings.Contains(allod.HintOf(err), "allod vault keys new-root") {
		t.Errorf("in its last generation: got %v, %q, want a hint to begin a new root", err, allod.HintOf(err))
	}
	if err := v.beginRoot(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := v.erase(EraseOptions{Past: true}, 2); err != nil {
			t.Fatalf("time %d: %v", i, err)
		}
		want := numbered(3, "x")
		delete(want, 2)
		v.wantRows(first.ID, want)
		want[2] = "last"
		v.wantRows(second.ID, want) // though generation 1 is lower than 255
		h, err := v.History(t.Context(), v.session(gate.ActionRead), "contoso", ref("account", 2))
		if err != nil || len(h) != 2 || h[0].Row == nil || h[1].Withheld != "superseded" {
			t.Errorf("history: got %+v, %v, want the newest version alone", h, err)
		}
	}
	if _, err := v.rectify(2, "right", RectifyOptions{}); err != nil {
		t.Fatal(err)
	}
	want := numbered(3, "x")
	want[2] = "right"
	v.reopen(v.store).wantRows(second.ID, want)
	if rep, err := v.reopen(v.store).Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
}

// What the next process finds after a call of a new root failed is the vault with
// one root or with two, every row in both, and nothing between; captures go on,
// and a root can be begun.
func TestEveryCallOfANewRootFails(t *testing.T) {
	base := newVault(t, mem.New(mem.Options{}))
	first := base.mustCapture(ModeFull, numbered(4, "x"))
	if err := base.puncture(4); err != nil {
		t.Fatal(err)
	}
	want := numbered(3, "x")
	begun := map[int]int{}
	everyCall(t, base, stepOf(2), false, (*testVault).beginRoot, func(f failure) {
		had := len(f.after.content.Trees())
		begun[had]++
		if had != 2 && (had != 1 || f.err == nil) {
			t.Fatalf("%s: %d roots after %v", f.what, had, f.err)
		}
		f.after.wantRows(first.ID, want)
		if rep, err := f.after.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
			t.Fatalf("%s: verify: %+v, %v", f.what, rep, err)
		}
		later, c, err := f.after.captureRows(ModeDelta, map[int]string{3: "later", 4: "back"})
		if err != nil || c.Updated != 1 || c.Erased != 1 {
			t.Fatalf("%s: capture: %+v, %v", f.what, c, err)
		}
		if err := f.after.beginRoot(); err != nil {
			t.Fatalf("%s: once more: %v", f.what, err)
		}
		wantOnlyEpoch(t, f.place, f.after.log.Epoch())
		again := f.after.reopen(f.store)
		again.wantRows(first.ID, want)
		again.wantRows(later.ID, map[int]string{1: "x 1", 2: "x 2", 3: "later"})
		if st, err := again.Status(t.Context()); err != nil || len(st.Roots) != had+1 || st.Roots[0].Epoch != st.Roots[had].Epoch {
			t.Fatalf("%s: at the end: %+v, %v", f.what, st.Roots, err)
		}
	})
	if begun[1] == 0 || begun[2] == 0 {
		t.Errorf("roots afterwards: got %v, want both", begun)
	}
}

// One entry that was overwritten, also the one that began a root, is one finding:
// those behind it are as good as they were.
func TestVerifyGoesOnBehindABadEntry(t *testing.T) {
	base := newVault(t, mem.New(mem.Options{}))
	base.mustCapture(ModeFull, numbered(3, "x"))
	if err := base.beginRoot(); err != nil {
		t.Fatal(err)
	}
	base.mustCapture(ModeDelta, map[int]string{1: "y"})
	if err := base.puncture(2); err != nil {
		t.Fatal(err)
	}
	base.mustCapture(ModeDelta, map[int]string{1: "z"})
	for n := uint64(1); n <= base.log.Chain().N; n++ {
		store := copyStore(t, base.store)
		v := base.reopen(store)
		if err := store.Replace(t.Context(), vlog.EntryName(n), []byte("x")); err != nil {
			t.Fatal(err)
		}
		rep, err := v.Verify(t.Context(), verify.Options{Public: true})
		if err != nil || len(rep.Bad) != 1 || rep.Bad[0].Object != vlog.EntryName(n) {
			t.Errorf("entry %d: got %+v, %v, want one finding", n, rep.Bad, err)
		}
	}
}
