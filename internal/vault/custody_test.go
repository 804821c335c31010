package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/escrow"
	"allod/internal/vault/puncture"
	"allod/internal/vault/verify"
)

// strongbox is a container and who may open it.
type strongbox struct {
	escrow.Container
	key *age.HybridIdentity
}

func newBox(t testing.TB, n byte) strongbox {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return strongbox{escrow.Container{ID: allod.GUID{n}, Recipient: id.Recipient().String()}, id}
}

func runID(n int) string { return fmt.Sprintf("%032x", n) }

func (v *testVault) tagsOf(ns ...int) ([]RecordTag, error) {
	var refs []allod.RecordRef
	for _, n := range ns {
		refs = append(refs, ref("account", n))
	}
	return v.Tags(context.Background(), v.session(gate.ActionRead), "contoso", refs)
}

// destroyed ends an act: no place has an old slot, or escrow that counts no more.
func (v *testVault) destroyed(closed ...allod.GUID) error {
	places, err := v.DestroySlots(context.Background(), v.session(gate.ActionErase), closed...)
	for _, p := range places {
		if p.Err != nil || p.Escrow != nil {
			return errors.Join(p.Err, p.Escrow)
		}
	}
	return err
}

func (v *testVault) restrict(box strongbox, run int, ns ...int) error {
	tags, err := v.tagsOf(ns...)
	if err != nil {
		return err
	}
	if _, err = v.Restrict(context.Background(), v.session(gate.ActionErase), tags, box.Container, runID(run), nil); err != nil {
		return err
	}
	return v.destroyed()
}

func (v *testVault) lift(box strongbox, run int, ns ...int) (int, error) {
	tags, err := v.tagsOf(ns...)
	if err != nil {
		return 0, err
	}
	_, rows, err := v.Lift(context.Background(), v.session(gate.ActionErase), tags, box.ID, box.key, runID(run), nil)
	if err != nil {
		return rows, err
	}
	return rows, v.destroyed()
}

// withhold erases a record that is under holds.
func (v *testVault) withhold(run, n int, boxes ...strongbox) (*puncture.Done, error) {
	tags, err := v.tagsOf(n)
	if err != nil {
		return nil, err
	}
	done, err := v.Erase(context.Background(), v.session(gate.ActionErase), tags, EraseOptions{Run: runID(run), Holds: func(RecordTag) []escrow.Container {
		var out []escrow.Container
		for _, b := range boxes {
			out = append(out, b.Container)
		}
		return out
	}})
	if err != nil {
		return done, err
	}
	return done, v.destroyed()
}

func (v *testVault) absence(n int) string {
	v.t.Helper()
	tags, err := v.tagsOf(n)
	if err != nil {
		v.t.Fatal(err)
	}
	why, err := v.Absences(tags)
	if err != nil {
		v.t.Fatal(err)
	}
	return why[0]
}

// inEscrow counts the escrow objects of a place.
func inEscrow(t testing.TB, place blob.Store) int {
	t.Helper()
	all, err := escrow.List(t.Context(), place, true)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func without(m map[int]string, n int) map[int]string {
	m = maps.Clone(m)
	delete(m, n)
	return m
}

// TestRestrictAndLift restricts a record, captures while it is restricted, and
// lifts it: meanwhile nothing shows it, afterwards everything does, what was
// captured meanwhile included, in every snapshot.
func TestRestrictAndLift(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	box := newBox(t, 1)
	whole := numbered(4, "x")
	first := v.mustCapture(ModeFull, whole)
	second := v.mustCapture(ModeDelta, map[int]string{2: "y"})
	if err := v.restrict(box, 1, 2); err != nil {
		t.Fatal(err)
	}
	if got := v.absence(2); got != "restricted" {
		t.Errorf("absence: got %q, want restricted", got)
	}
	v.wantRows(first.ID, without(whole, 2))
	changed := maps.Clone(whole)
	changed[2] = "z"
	third, c, err := v.captureRows(ModeFull, changed)
	if err != nil || c.Escrow != 1 || c.Erased != 0 || c.Missing != 0 {
		t.Fatalf("a capture meanwhile: got %+v, %v, want one row in escrow", c, err)
	}
	packs := len(objectNames(t, v.store))
	fourth, c, err := v.captureRows(ModeFull, changed)
	if err != nil || c.Escrow != 1 || fourth.StoredBytes >= third.StoredBytes {
		t.Errorf("the same again: got %+v, %+v, %v, want nothing stored", c, fourth, err)
	}
	if now := len(objectNames(t, v.store)); now != packs+1 { // the log entry
		t.Errorf("the same again made %d objects, want the log entry alone", now-packs)
	}
	fifth, _, err := v.captureRows(ModeDelta, map[int]string{2: "w"})
	if err != nil {
		t.Fatal(err)
	}
	reader := v.reopen(v.store)
	reader.wantRows(0, without(whole, 2))
	for _, h := range mustHistory(t, reader, 2) {
		if h.Row != nil || h.Withheld != "restricted" {
			t.Errorf("history: got %+v, want every version withheld as restricted", h)
		}
	}
	rep, err := reader.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || stray(rep) {
		t.Errorf("verify while restricted: got %+v, %v", rep, err)
	}
	st, err := reader.Status(t.Context())
	if err != nil || st.Roots[0].Restricted != 1 || st.ErasuresPending != 0 {
		t.Errorf("status: got %+v, %v", st, err)
	}
	if _, err := reader.lift(newBox(t, 1), 2, 2); allod.KindOf(err) != allod.Denied {
		t.Errorf("lift with another key: got %v, want kind denied", err)
	}
	if rows, err := v.lift(box, 2, 2); err != nil || rows != 2 {
		t.Fatalf("lift: got %d rows, %v, want 2", rows, err)
	}
	for _, w := range []*testVault{v, reader, v.reopen(v.store)} {
		w.wantRows(first.ID, whole)
		for id, name := range map[allod.SnapshotID]string{second.ID: "y", third.ID: "z", fourth.ID: "z", fifth.ID: "w", 0: "w"} {
			want := maps.Clone(whole)
			want[2] = name
			w.wantRows(id, want)
		}
		if got := w.absence(2); got != "" {
			t.Errorf("absence after the lift: got %q", got)
		}
	}
	if n := inEscrow(t, v.slots); n != 0 {
		t.Errorf("%d escrow objects are left after the lift", n)
	}
	changed[2] = "w"
	if _, c, err := v.captureRows(ModeFull, changed); err != nil || c.Updated+c.Created+c.Missing+c.Escrow != 0 {
		t.Errorf("a capture after the lift: got %+v, %v, want no change", c, err)
	}
	rep, err = v.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || stray(rep) {
		t.Errorf("verify after the lift: got %+v, %v", rep, err)
	}
	if err := v.puncture(2); err != nil { // an erasure after all of that takes everything
		t.Fatal(err)
	}
	v.reopen(v.store).wantRows(third.ID, without(whole, 2))
}

func mustHistory(t testing.TB, v *testVault, n int) []Version {
	t.Helper()
	h, err := v.History(t.Context(), v.session(gate.ActionRead), "contoso", ref("account", n))
	if err != nil || len(h) == 0 {
		t.Fatalf("history: got %v, %v", h, err)
	}
	return h
}

// TestRestrictAgain goes through two restrictions of one record, with a
// rectification between: generations that are gone stay gone.
func TestRestrictAgain(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	box := newBox(t, 1)
	first := v.mustCapture(ModeFull, map[int]string{2: "wrong 2"})
	for round := range 2 {
		if err := v.restrict(box, 10+round, 2); err != nil {
			t.Fatal(err)
		}
		if err := v.restrict(box, 20+round, 2); allod.KindOf(err) != allod.Conflict {
			t.Errorf("restrict it twice: got %v, want kind conflict", err)
		}
		meanwhile := v.mustCapture(ModeDelta, map[int]string{2: fmt.Sprint("wrong 2 in round ", round)})
		if _, err := v.lift(box, 30+round, 2); err != nil {
			t.Fatal(err)
		}
		v.wantRows(meanwhile.ID, map[int]string{2: fmt.Sprint("wrong 2 in round ", round)})
		if _, err := v.rectify(2, "right", RectifyOptions{}); err != nil {
			t.Fatal(err)
		}
		w := v.reopen(v.store)
		w.wantRows(meanwhile.ID, map[int]string{2: "right"})
		w.wantRows(first.ID, map[int]string{2: "right"})
	}
	rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || stray(rep) {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
}

// TestHeld erases a record under two holds, and releases them one after the
// other: until the last its keys are in escrow, afterwards nowhere.
func TestHeld(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	one, two := newBox(t, 1), newBox(t, 2)
	whole := numbered(3, "x")
	first := v.mustCapture(ModeFull, whole)
	if _, err := v.withhold(1, 2, one, two); err != nil {
		t.Fatal(err)
	}
	if got := v.absence(2); got != "held" {
		t.Errorf("absence: got %q, want held", got)
	}
	v.reopen(v.store).wantRows(first.ID, without(whole, 2))
	if _, c, err := v.captureRows(ModeDelta, map[int]string{2: "back"}); err != nil || c.Escrow != 1 || c.Erased != 0 {
		t.Errorf("it came back: got %+v, %v, want it in escrow", c, err)
	}
	if n := inEscrow(t, v.slots); n != 2 {
		t.Errorf("escrow objects: got %d, want one for each hold", n)
	}
	if err := v.destroyed(one.ID); err != nil { // the first hold is released
		t.Fatal(err)
	}
	if _, err := v.lift(one, 2, 2); allod.KindOf(err) != allod.NotFound {
		t.Errorf("open it with the hold that was released: got %v, want kind not found", err)
	}
	kept := copyStore(t, v.store)
	v.cfg.Slots = []blob.Mutable{copySlots(t, v.slots)}
	if rows, err := v.reopen(kept).lift(two, 3, 2); err != nil || rows != 1 {
		t.Errorf("open a copy with the hold that stands: got %d, %v", rows, err)
	}
	v.cfg.Slots = []blob.Mutable{v.slots}
	if err := v.puncture(2); err != nil { // the last hold is released: listed as erased
		t.Fatal(err)
	}
	if got := v.absence(2); got != "erased" {
		t.Errorf("absence: got %q, want erased", got)
	}
	if n := inEscrow(t, v.slots); n != 0 {
		t.Errorf("%d escrow objects are left", n)
	}
	if _, err := v.lift(two, 4, 2); allod.KindOf(err) != allod.Conflict {
		t.Errorf("lift an erased record: got %v, want kind conflict", err)
	}
	if _, c, err := v.captureRows(ModeDelta, map[int]string{2: "back again"}); err != nil || c.Erased != 1 || c.Escrow != 0 {
		t.Errorf("it came back: got %+v, %v, want it refused", c, err)
	}
}

// TestEscrowIsMissing captures while the escrow of a record is gone from every
// place: the row is not stored and said to be lost, and nothing else fails.
func TestEscrowIsMissing(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	box := newBox(t, 1)
	v.mustCapture(ModeFull, numbered(3, "x"))
	if err := v.restrict(box, 1, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := escrow.Remove(t.Context(), v.slots, func(*escrow.Record) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if _, c, err := v.reopen(v.store).captureRows(ModeDelta, map[int]string{2: "y", 3: "y"}); err != nil || c.Lost != 1 || c.Updated != 1 {
		t.Errorf("got %+v, %v, want one lost and one stored", c, err)
	}
	if _, err := v.lift(box, 2, 2); allod.KindOf(err) != allod.NotFound {
		t.Errorf("lift: got %v, want kind not found", err)
	}
}

// TestVerifyEscrow damages, forges and removes escrow: each is named, in its
// place, and what is whole is not.
func TestVerifyEscrow(t *testing.T) {
	for _, tc := range []struct {
		what   string
		public bool
		do     func(v *testVault, one, two *mem.Store, name string, b []byte) error
		want   []string // kinds and what they say
	}{
		{"whole", false, func(*testVault, *mem.Store, *mem.Store, string, []byte) error { return nil }, nil},
		{"a flipped bit", false, func(v *testVault, one, _ *mem.Store, name string, b []byte) error {
			b[200] ^= 1
			return one.Replace(t.Context(), name, b)
		}, []string{"corrupt in place 1"}},
		{"a flipped bit, without keys", true, func(v *testVault, one, _ *mem.Store, name string, b []byte) error {
			b[200] ^= 1
			return one.Replace(t.Context(), name, b)
		}, []string{"corrupt in place 1"}},
		{"cut off", false, func(v *testVault, _, two *mem.Store, name string, b []byte) error {
			return two.Replace(t.Context(), name, b[:20])
		}, []string{"corrupt in place 2"}},
		{"that of another record", false, func(v *testVault, one, _ *mem.Store, name string, b []byte) error {
			return one.Replace(t.Context(), name[:len(name)-1]+"7", b)
		}, []string{"corrupt in place 1"}},
		{"a name that is none", false, func(v *testVault, one, _ *mem.Store, _ string, b []byte) error {
			return one.Replace(t.Context(), "escrow/x", b)
		}, []string{"corrupt in place 1"}},
		{"missing in one place", false, func(v *testVault, _, two *mem.Store, name string, _ []byte) error {
			return two.Delete(t.Context(), name)
		}, []string{"missing it is missing in place 2"}},
		{"missing in both", false, func(v *testVault, one, two *mem.Store, name string, _ []byte) error {
			return errors.Join(one.Delete(t.Context(), name), two.Delete(t.Context(), name))
		}, []string{"missing no place has the escrow of 1 of the 2"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			one, two := mem.New(mem.Options{}), mem.New(mem.Options{})
			v := newVaultAt(t, mem.New(mem.Options{}), one, &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
			box := newBox(t, 1)
			v.mustCapture(ModeFull, numbered(4, "x"))
			if err := v.restrict(box, 1, 2); err != nil {
				t.Fatal(err)
			}
			if _, err := v.withhold(2, 3, box); err != nil {
				t.Fatal(err)
			}
			name := ""
			for _, n := range objectNames(t, one) {
				if err := two.Replace(t.Context(), n, objectBytes(t, one, n)); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(n, escrow.Prefix) {
					name = n
				}
			}
			if err := tc.do(v, one, two, name, objectBytes(t, one, name)); err != nil {
				t.Fatal(err)
			}
			v.cfg.Slots = []blob.Mutable{one, two}
			rep, err := v.Verify(t.Context(), verify.Options{Public: tc.public, Sample: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Bad) != len(tc.want) {
				t.Fatalf("got %+v, want %q", rep.Bad, tc.want)
			}
			for i, want := range tc.want {
				if got := rep.Bad[i].Kind + " " + rep.Bad[i].What; !strings.HasPrefix(got, want) || !strings.HasPrefix(rep.Bad[i].Object, escrow.Prefix) {
					t.Errorf("got %+v, want %q", rep.Bad[i], want)
				}
			}
		})
	}
}

// TestEscrowInALaterPlace adds a place of slots while a record is restricted:
// rotating copies its escrow there. What is damaged in one place and gone from
// another is not copied, and verify names it.
func TestEscrowInALaterPlace(t *testing.T) {
	one, two := mem.New(mem.Options{}), mem.New(mem.Options{})
	v := newVaultAt(t, mem.New(mem.Options{}), one, &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
	box := newBox(t, 1)
	v.mustCapture(ModeFull, numbered(4, "x"))
	if err := v.restrict(box, 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	for _, n := range objectNames(t, one) {
		if strings.HasPrefix(n, "slots/") { // as one copies a folder of slots
			if err := two.Replace(t.Context(), n, objectBytes(t, one, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	v.cfg.Slots = []blob.Mutable{one, two}
	v.finder.Places = v.cfg.Slots
	rotate := func() {
		t.Helper()
		if _, err := v.Rotate(t.Context(), v.session(gate.ActionKeys)); err != nil {
			t.Fatal(err)
		}
		if err := v.destroyed(); err != nil {
			t.Fatal(err)
		}
	}
	rotate()
	if n := inEscrow(t, two); n != 2 {
		t.Fatalf("the later place has %d escrow objects, want 2", n)
	}
	if rep, err := v.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify: got %+v, %v", rep.Bad, err)
	}
	for _, n := range objectNames(t, two) { // one is damaged here, and both are gone there
		if strings.HasPrefix(n, escrow.Prefix) {
			if err := errors.Join(one.Delete(t.Context(), n), two.Replace(t.Context(), n, objectBytes(t, two, n)[:99])); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	rotate()
	if n := inEscrow(t, one); n != 1 {
		t.Errorf("the first place has %d escrow objects, want the one that is whole", n)
	}
	if rep, err := v.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) == 0 {
		t.Errorf("verify says nothing of what is damaged: %v", err)
	}
}

// TestRestrictWhileCapturing restricts a record after a run has compared its
// row, and before it commits: what it stores is in escrow.
func TestRestrictWhileCapturing(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	box := newBox(t, 1)
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	r, w := begin(t, v, "contoso")
	if err := w.Put(account(2, "meanwhile")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := v.reopen(v.store).restrict(box, 1, 2); err != nil {
		t.Fatal(err)
	}
	snap, err := r.Commit(t.Context(), Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	v.wantRows(snap.ID, without(numbered(3, "x"), 2))
	if rows, err := v.lift(box, 2, 2); err != nil || rows != 1 {
		t.Fatalf("lift: got %d, %v, want the row of the run", rows, err)
	}
	want := numbered(3, "x")
	v.wantRows(first.ID, want)
	want[2] = "meanwhile"
	v.reopen(v.store).wantRows(0, want)
}

// TestCaptureWhileLifting captures between the reading of the escrow and the
// entry of the lift: the row that came is not lost.
func TestCaptureWhileLifting(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	box := newBox(t, 1)
	v.mustCapture(ModeFull, numbered(3, "x"))
	if err := v.restrict(box, 1, 2); err != nil {
		t.Fatal(err)
	}
	other := v.reopen(v.store)
	tags, err := v.tagsOf(2)
	if err != nil {
		t.Fatal(err)
	}
	l, err := v.desk().Open(t.Context(), box.ID, box.key, tags)
	if err != nil {
		t.Fatal(err)
	}
	other.mustCapture(ModeDelta, map[int]string{2: "meanwhile"})
	if _, err := v.Vault.puncture(t.Context(), v.session(gate.ActionErase), l.Order(v.desk(), runID(2), nil)); err == nil {
		t.Fatal("the lift was committed without the row that came")
	}
	if rows, err := v.lift(box, 2, 2); err != nil || rows != 1 {
		t.Fatalf("lift: got %d, %v, want the row that came", rows, err)
	}
	want := numbered(3, "x")
	want[2] = "meanwhile"
	other.wantRows(0, want)
}

// TestEveryCallOfARestrictionFails lets each call of a restriction and of a lift
// fail in turn, to the store and to the place of slots, not done and done but
// failed. What the next process finds is the record open or restricted, never
// lost: it can always be restricted and lifted again with all it held.
func TestEveryCallOfARestrictionFails(t *testing.T) {
	box := newBox(t, 1)
	whole := numbered(3, "x")
	base := newVault(t, mem.New(mem.Options{}))
	first := base.mustCapture(ModeFull, whole)
	restricted := *base
	restricted.slots = copySlots(t, base.slots)
	restricted.cfg.Slots = []blob.Mutable{restricted.slots}
	restricted.side = copyStore(t, base.side)
	r := restricted.reopen(copyStore(t, base.store))
	r.openGate()
	if err := r.restrict(box, 1, 2); err != nil {
		t.Fatal(err)
	}
	r.mustCapture(ModeDelta, map[int]string{2: "meanwhile"})
	outcomes := map[string]int{}
	step := 1
	if testing.Short() {
		step = 3
	}
	for _, act := range []struct {
		what string
		from *testVault
		do   func(v *testVault) error
	}{
		{"restrict", base, func(v *testVault) error { return v.restrict(box, 2, 2) }},
		{"lift", r, func(v *testVault) error { _, err := v.lift(box, 2, 2); return err }},
	} {
		for _, where := range []string{"store", "slots"} {
			for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
				begun, calls := false, 0 // to open a vault is tested elsewhere; to read it fails in one way
				for k := 1; ; k += step {
					match := func(c fault.Call) bool {
						if !begun || mode == fault.DoneButFailed && c.Op != fault.Put && c.Op != fault.Replace && c.Op != fault.Delete {
							return false
						}
						calls++
						return true
					}
					sf, pf := fault.Fault{Call: k, Mode: mode, Down: true, Match: match}, fault.Fault{Call: -1}
					if where == "slots" {
						sf, pf = pf, sf
					}
					store, place := fault.New(copyStore(t, act.from.store), sf), fault.New(copySlots(t, act.from.slots), pf)
					b := *act.from
					b.cfg.Slots = []blob.Mutable{place}
					begun, calls = false, 0
					v := b.reopen(store)
					begun = true
					err := act.do(v)
					if calls < k {
						break
					}
					what := fmt.Sprintf("%s, %s, mode %d, call %d", act.what, where, mode, k)
					b.cfg.Slots = []blob.Mutable{place.Inner()}
					b.slots = place.Inner()
					after := b.reopen(store.Inner())
					outcomes[act.what+" "+afterwards(t, what, after, box, act.do, first.ID, whole, err)]++
				}
			}
		}
	}
	for _, want := range []string{"restrict open", "restrict restricted", "lift open", "lift restricted"} {
		if outcomes[want] == 0 {
			t.Errorf("outcomes: got %v, want all four", outcomes)
			break
		}
	}
}

// afterwards checks what an act that failed with err, or not, has left, and
// finishes it.
func afterwards(t *testing.T, what string, v *testVault, box strongbox, do func(*testVault) error, first allod.SnapshotID, whole map[int]string, err error) string {
	t.Helper()
	outcome := "open"
	got, readErr := v.rowsAt(first)
	if readErr != nil {
		t.Fatalf("%s: %v", what, readErr)
	}
	if maps.Equal(got, without(whole, 2)) {
		outcome = "restricted"
	} else if !maps.Equal(got, whole) {
		t.Fatalf("%s: something between: %v", what, got)
	}
	if err == nil && (outcome == "open") != strings.HasPrefix(what, "lift") {
		t.Fatalf("%s: success was reported and the record is %s", what, outcome)
	}
	if rep, verr := v.Verify(t.Context(), verify.Options{Sample: 1}); verr != nil || len(rep.Bad) != 0 {
		t.Fatalf("%s: verify: %+v, %v", what, rep, verr)
	}
	if err := do(v); err != nil && allod.KindOf(err) != allod.Conflict { // it was done already
		t.Fatalf("%s: once more: %v", what, err)
	}
	if err := v.destroyed(); err != nil {
		t.Fatalf("%s: destroy: %v", what, err)
	}
	wantOnlyEpoch(t, v.slots, v.log.Epoch())
	if v.absence(2) == "" {
		if n := inEscrow(t, v.slots); n != 0 {
			t.Fatalf("%s: the record is open and %d escrow objects are left", what, n)
		}
	} else if _, err := v.lift(box, 9, 2); err != nil {
		t.Fatalf("%s: lift it at the end: %v", what, err)
	}
	v.wantRows(first, whole)
	return outcome
}

// TestRestrictOverRoots restricts a record that was rectified, begins another
// root while it is away, captures it there, and lifts it.
func TestRestrictOverRoots(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	box := newBox(t, 1)
	first := v.mustCapture(ModeFull, map[int]string{2: "one", 3: "other"})
	root := func() {
		t.Helper()
		if err := v.beginRoot(); err != nil {
			t.Fatal(err)
		}
	}
	root()
	if _, err := v.rectify(3, "other", RectifyOptions{}); err != nil { // the record is gone from the first root
		t.Fatal(err)
	}
	if err := v.restrict(box, 7, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := v.lift(box, 8, 3); err != nil {
		t.Fatal(err)
	}
	second := v.mustCapture(ModeDelta, map[int]string{2: "two"})
	if err := v.restrict(box, 1, 2); err != nil {
		t.Fatal(err)
	}
	v.mustCapture(ModeDelta, map[int]string{2: "three"})
	root()
	v.mustCapture(ModeDelta, map[int]string{2: "four"})
	if rows, err := v.lift(box, 2, 2); err != nil || rows != 2 {
		t.Fatalf("lift: got %d, %v, want 2 rows", rows, err)
	}
	for _, w := range []*testVault{v, v.reopen(v.store)} {
		w.wantRows(first.ID, map[int]string{2: "one", 3: "other"})
		w.wantRows(second.ID, map[int]string{2: "two", 3: "other"})
		w.wantRows(0, map[int]string{2: "four", 3: "other"})
	}
	if err := v.restrict(box, 3, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := v.lift(box, 4, 2); err != nil {
		t.Fatal(err)
	}
	v.reopen(v.store).wantRows(0, map[int]string{2: "four", 3: "other"})
	if rep, err := v.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
}
