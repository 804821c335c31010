package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/file"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/verify"
)

// copySlots returns a place with the same objects.
func copySlots(t testing.TB, from blob.Store) *mem.Store { return copyStore(t, from) }

// failure is an act of which one call failed, and what is there afterwards.
type failure struct {
	what  string
	err   error      // of the act
	after *testVault // the next process
	place blob.Store // of slots
	store blob.Store
}

// everyCall lets each call of an act on a vault like base fail in turn, to the
// store and to the place of slots, once as "not done" and once as "done but
// failed", with the process gone afterwards and, if both is set, without. It
// tries every call, or each step-th of them.
func everyCall(t *testing.T, base *testVault, step int, both bool, act func(v *testVault) error, check func(f failure)) {
	t.Helper()
	downs := []bool{true}
	if both {
		downs = append(downs, false)
	}
	for _, where := range []string{"store", "slots"} {
		for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
			for _, down := range downs {
				for k := 1; ; k += step {
					f, none := fault.Fault{Call: k, Mode: mode, Down: down}, fault.Fault{Call: -1}
					sf, pf := f, none
					if where == "slots" {
						sf, pf = none, f
					}
					store, place := fault.New(copyStore(t, base.store), sf), fault.New(copySlots(t, base.slots), pf)
					b := *base
					b.cfg.Slots = []blob.Mutable{place}
					v, err := b.tryOpen(store)
					if err == nil {
						err = act(v)
					}
					calls := store.Calls()
					if where == "slots" {
						calls = place.Calls()
					}
					if calls < k {
						break
					}
					b.cfg.Slots = []blob.Mutable{place.Inner()}
					after := b.reopen(store.Inner())
					after.slots = place.Inner()
					check(failure{fmt.Sprintf("%s, mode %d, down %v, call %d", where, mode, down, k), err, after, place.Inner(), store.Inner()})
				}
			}
		}
	}
}

// TestEveryCallOfAnErasureFails: what the next process finds is the record or its
// absence, in every snapshot and under every root, and nothing between; the
// others are untouched; it can erase again, and at the end nobody has an old slot.
func TestEveryCallOfAnErasureFails(t *testing.T) {
	for _, roots := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d roots", roots), func(t *testing.T) {
			base := newVault(t, mem.New(mem.Options{}))
			first := base.mustCapture(ModeFull, numbered(6, "x"))
			last := base.mustCapture(ModeDelta, map[int]string{2: "y", 3: "z"})
			whole, now := numbered(6, "x"), numbered(6, "x")
			now[2], now[3] = "y", "z"
			for n := 2; n <= roots; n++ {
				if err := base.beginRoot(); err != nil {
					t.Fatal(err)
				}
				now[2] = fmt.Sprint("root ", n)
				last = base.mustCapture(ModeDelta, map[int]string{2: now[2]})
			}
			gone, goneNow := maps.Clone(whole), maps.Clone(now)
			delete(gone, 2)
			delete(goneNow, 2)
			outcomes := map[string]int{}
			step := stepOf(roots)
			everyCall(t, base, step, roots == 1, func(v *testVault) error { return v.puncture(2) }, func(f failure) {
				got, err := f.after.rowsAt(first.ID)
				if err != nil {
					t.Fatalf("%s: %v", f.what, err)
				}
				switch {
				case maps.Equal(got, gone):
					outcomes["gone"]++
					f.after.wantRows(last.ID, goneNow)
				case maps.Equal(got, whole):
					outcomes["whole"]++
					f.after.wantRows(last.ID, now)
					if f.err == nil {
						t.Fatalf("%s: success was reported and the record is there", f.what)
					}
				default:
					t.Fatalf("%s: something between: %v", f.what, got)
				}
				rep, verr := f.after.Verify(t.Context(), verify.Options{Sample: 1})
				if verr != nil || len(rep.Bad) != 0 {
					t.Fatalf("%s: verify: %+v, %v", f.what, rep, verr)
				}
				if err := f.after.puncture(2); err != nil {
					t.Fatalf("%s: once more: %v", f.what, err)
				}
				wantOnlyEpoch(t, f.place, f.after.log.Epoch())
				if s, err := f.after.Status(t.Context()); err != nil || s.ErasuresPending != 0 || len(s.Roots) != roots {
					t.Fatalf("%s: at the end: %+v, %v", f.what, s, err)
				}
				again := f.after.reopen(f.store)
				again.wantRows(first.ID, gone)
				again.wantRows(last.ID, goneNow)
			})
			if outcomes["gone"] == 0 || outcomes["whole"] == 0 {
				t.Errorf("outcomes: got %v, want both", outcomes)
			}
		})
	}
}

// stepOf says how many calls a test goes on by: every call is tried where time is
// no matter, or there are few.
func stepOf(roots int) int {
	switch {
	case roots > 1 && os.Getenv("ALLOD_INTEGRATION") == "":
		return 7
	case testing.Short():
		return 3
	}
	return 1
}

// wantOnlyEpoch fails if the place has a slot of another epoch.
func wantOnlyEpoch(t testing.TB, place blob.Store, epoch uint64) {
	t.Helper()
	for info, err := range place.List(t.Context(), "slots/") {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(info.Name, fmt.Sprintf("@%d", epoch)) {
			t.Fatalf("place: got %s, want slots of epoch %d alone", info.Name, epoch)
		}
	}
}

// TestTwoErase erases from several processes in turns, with captures and new roots
// of others between: every erasure holds, whoever opened when.
func TestTwoErase(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	a := newVault(t, mem.New(mem.Options{}))
	first := a.mustCapture(ModeFull, numbered(40, "x"))
	want := numbered(40, "x")
	procs := []*testVault{a, a.reopen(a.store), a.reopen(a.store)}
	for n := 1; n <= 30; n++ {
		p := procs[rnd.IntN(len(procs))]
		if n%8 == 0 {
			if err := procs[rnd.IntN(len(procs))].beginRoot(); err != nil {
				t.Fatal(err)
			}
		}
		switch rnd.IntN(3) {
		case 0:
			if _, _, err := p.captureRows(ModeDelta, map[int]string{n: "again", n + 1: "again"}); err != nil {
				t.Fatal(err)
			}
		default:
			if err := p.puncture(n); err != nil {
				t.Fatal(err)
			}
			delete(want, n)
		}
		procs[rnd.IntN(len(procs))].wantRows(first.ID, want)
	}
	a.reopen(a.store).wantRows(first.ID, want)
	if rep, err := a.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
}

// TestTwoEraseAtOnce lets two processes erase another record each at the same
// time: both records are gone, whoever had to begin again.
func TestTwoEraseAtOnce(t *testing.T) {
	a := newVault(t, mem.New(mem.Options{}))
	first := a.mustCapture(ModeFull, numbered(12, "x"))
	procs := []*testVault{a, a.reopen(a.store)}
	want := numbered(12, "x")
	for n := 1; n <= 10; n += 2 {
		errs := make(chan error, 2)
		for i, p := range procs {
			go func() {
				err := p.puncture(n + i)
				for range 20 {
					if k := allod.KindOf(err); err == nil || k != allod.Conflict && k != allod.NotFound {
						break
					}
					err = p.puncture(n + i) // the other was faster
				}
				errs <- err
			}()
			delete(want, n+i)
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Fatal(err)
		}
	}
	a.reopen(a.store).wantRows(first.ID, want)
}

// TestForgetThePast destroys what is stored of a record but its newest version,
// which is sealed anew in the same step; what comes later is stored and shown.
func TestForgetThePast(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	gone := numbered(3, "x")
	delete(gone, 2)
	for i := range 3 {
		name := fmt.Sprintf("after %d", i)
		snap, c, err := v.captureRows(ModeDelta, map[int]string{2: name})
		if err != nil || c.Erased != 0 {
			t.Fatalf("capture: got %+v, %v", c, err)
		}
		with := maps.Clone(gone)
		with[2] = name
		if err := v.erase(EraseOptions{Past: true}, 2); err != nil {
			t.Fatal(err)
		}
		v.wantRows(first.ID, gone)
		v.wantRows(snap.ID, with)
		if _, c, err := v.captureRows(ModeFull, with); err != nil || c.Unchanged != 3 {
			t.Errorf("a full read: got %+v, %v, want no change", c, err)
		}
	}
	deleted := v.mustCapture(ModeDelta, nil, 3)
	if err := v.erase(EraseOptions{Past: true}, 3, 1); err != nil {
		t.Fatal(err)
	}
	v.wantRows(first.ID, map[int]string{1: "x 1"})
	v.wantRows(deleted.ID, map[int]string{1: "x 1", 2: "after 2"})
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	_, c, err := v.captureRows(ModeDelta, map[int]string{2: "back"})
	if err != nil || c.Erased != 1 {
		t.Errorf("after it was erased: got %+v, %v", c, err)
	}
	rep, err := v.reopen(v.store).Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
}

// still returns a place with every version of every object that the place would
// give today: what somebody with all its credentials can get.
func still(t testing.TB, place blob.Mutable) *mem.Store {
	t.Helper()
	out := mem.New(mem.Options{})
	keep := func(name string, b []byte) {
		if err := out.Replace(t.Context(), name, b); err != nil {
			t.Fatal(err)
		}
	}
	versioned, ok := place.(blob.Versioned)
	if !ok {
		for _, name := range objectNames(t, place) {
			keep(name, objectBytes(t, place, name))
		}
		return out
	}
	for v, err := range versioned.Versions(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if v.Marker {
			continue
		}
		r, err := versioned.GetVersion(t.Context(), v.Name, v.ID, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		keep(v.Name, b)
	}
	return out
}

// keeper is a place that keeps whatever was ever written, where nobody who uses
// it sees it: backups of a disk, replication elsewhere.
type keeper struct {
	blob.Mutable
	all *mem.Store
}

func (k keeper) Replace(ctx context.Context, name string, b []byte) error {
	if err := k.all.Replace(ctx, name, b); err != nil {
		return err
	}
	return k.Mutable.Replace(ctx, name, b)
}

// TestAttack plays somebody who has every object that was ever in the store, the
// passphrase, and every version of every slot that the places still give: he
// opens the others and no version of the record, under any epoch. The packs lie
// in a versioned store under lock.
func TestAttack(t *testing.T) {
	whole := numbered(5, "x")
	without := maps.Clone(whole)
	delete(without, 2)
	for _, tc := range []struct {
		what  string
		g     int  // days that slots are locked
		kept  bool // copies that nobody deletes
		roots int  // of the key tree; 0 = 1
		place func(now func() time.Time) blob.Mutable
	}{
		{what: "a folder", place: func(now func() time.Time) blob.Mutable {
			f, err := file.Open(t.TempDir(), file.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}},
		{what: "versioned, G = 0", place: func(now func() time.Time) blob.Mutable { return mem.New(mem.Options{Now: now, Versions: true}) }},
		{what: "versioned, G = 14", g: 14, place: func(now func() time.Time) blob.Mutable { return mem.New(mem.Options{Now: now, Versions: true}) }},
		{what: "two roots", roots: 2, place: func(now func() time.Time) blob.Mutable { return mem.New(mem.Options{Now: now, Versions: true}) }},
		{what: "three roots, G = 14", g: 14, roots: 3, place: func(now func() time.Time) blob.Mutable { return mem.New(mem.Options{Now: now, Versions: true}) }},
		{what: "copies that nobody sees", kept: true, place: func(now func() time.Time) blob.Mutable {
			return keeper{mem.New(mem.Options{}), mem.New(mem.Options{})}
		}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c := &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
			place := tc.place(c.now)
			v := newVaultAt(t, mem.New(mem.Options{Now: c.now, Versions: true}), place, c)
			first := v.mustCapture(ModeFull, whole)
			v.mustCapture(ModeDelta, map[int]string{2: "y"})
			for n := 2; n <= tc.roots; n++ {
				if err := v.beginRoot(); err != nil {
					t.Fatal(err)
				}
				v.mustCapture(ModeDelta, map[int]string{2: fmt.Sprint("root ", n)})
			}
			if _, err := v.Slots().Lock(t.Context(), tc.g); err != nil {
				t.Fatal(err)
			}
			real := place
			if k, ok := place.(keeper); ok {
				real = k.all
			}
			if got := v.opens(t, still(t, real)); got[first.ID] != fmt.Sprint(whole) {
				t.Fatalf("before: got %v", got)
			}
			err := v.puncture(2)
			if pending := tc.g > 0; pending != (err != nil) {
				t.Fatalf("erase: got %v, want an error %v", err, pending)
			}
			v.mustCapture(ModeDelta, map[int]string{3: "z"})
			if tc.g > 0 { // before the date: pending, and the attack succeeds
				st, err := v.Status(t.Context())
				if err != nil || st.ErasuresPending != 1 {
					t.Errorf("status before the date: got %+v, %v, want one pending", st, err)
				}
				if got := v.opens(t, still(t, real)); got[first.ID] != fmt.Sprint(whole) {
					t.Errorf("before the date the attack must succeed: got %v", got)
				}
				c.add(time.Duration(tc.g)*24*time.Hour + time.Minute)
				places, err := v.DestroySlots(t.Context(), v.session(gate.ActionErase))
				if err != nil || places[0].Err != nil || places[0].Slots == 0 {
					t.Fatalf("after the date: got %+v, %v", places, err)
				}
			}
			st, err := v.Status(t.Context())
			if err != nil || st.ErasuresPending != 0 {
				t.Errorf("status at the end: got %+v, %v", st, err)
			}
			want := without
			if tc.kept { // it was accepted that slots have a history: the attack succeeds
				want = whole
			}
			if got := v.opens(t, still(t, real)); got[first.ID] != fmt.Sprint(want) {
				t.Errorf("at the end: got %v, want %v", got, want)
			}
			v.wantRows(first.ID, without)
		})
	}
}

// opens tries every slot of the place, of every epoch, with the passphrase: for
// each the tree of its epoch, and every row version of every pack. It returns
// what it could read, by snapshot, of the richest slot.
func (v *testVault) opens(t testing.TB, place blob.Store) map[allod.SnapshotID]string {
	t.Helper()
	slots, _, err := keyring.List(t.Context(), place, v.keyringPin())
	if err != nil {
		t.Fatal(err)
	}
	best := map[allod.SnapshotID]string{}
	for _, slot := range slots {
		s, _, err := keyring.OpenSlot(t.Context(), place, v.keyringPin(), slot.Epoch, plainWrapper{})
		if err != nil {
			t.Fatal(err)
		}
		w, err := OpenPublic(t.Context(), v.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.loot(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		thief := *v
		thief.Vault = w
		for _, e := range w.log.Entries() {
			if e.Capture == 0 {
				continue
			}
			rows, err := thief.stolen(t, e.N)
			if err != nil {
				t.Fatal(err)
			}
			if id := allod.SnapshotID(e.N); len(rows) > len(best[id]) {
				best[id] = rows
			}
		}
	}
	return best
}

// loot loads the tree of a slot whatever the log says is in force.
func (v *Vault) loot(ctx context.Context, s keyring.Secrets) error {
	err := v.unlock(ctx, s)
	if allod.KindOf(err) == allod.Conflict && v.content != nil {
		v.secrets = s
		return nil
	}
	return err
}

// stolen reads the rows of a snapshot without asking what is in force.
func (v *testVault) stolen(t testing.TB, n uint64) (string, error) {
	e, err := v.log.Entry(n)
	if err != nil {
		return "", err
	}
	m, err := v.content.Manifest(t.Context(), e)
	if err != nil {
		return "", err
	}
	schema, err := v.content.Schema(e.Environment, m.Schema, m.SchemaEntry)
	if err != nil {
		return "", err
	}
	o, err := v.content.Opener(e.Environment, schema)
	if err != nil {
		return "", err
	}
	defer o.Close()
	c, err := v.content.Past(e.Environment, e.Capture).Newest(1)
	if err != nil {
		return "", err
	}
	out := map[int]string{}
	for c.Next() {
		if row, err := o.Row(c.Entry()); err == nil {
			out[int(row.Key[15])] = row.Cell(0).Text()
		}
	}
	return fmt.Sprint(out), c.Err()
}

// TestHoldStopsAnErasure refuses in Check, at the last moment: nothing changed.
func TestHoldStopsAnErasure(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	before := objectNames(t, v.store)
	err := v.erase(EraseOptions{Check: func(context.Context) error { return allod.Errorf(allod.Denied, "held") }}, 2)
	if allod.KindOf(err) != allod.Denied {
		t.Errorf("got %v, want kind denied", err)
	}
	if after := objectNames(t, v.store); !slices.Equal(before, after) {
		t.Errorf("objects: got %v, want %v", after, before)
	}
	v.wantRows(first.ID, numbered(3, "x"))
}

// TestDamagedSlotStopsAnErasure keeps the others from being rotated without it.
func TestDamagedSlotStopsAnErasure(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	if err := v.slots.Replace(t.Context(), "slots/other@1", []byte("not a slot")); err != nil {
		t.Fatal(err)
	}
	err := v.puncture(2)
	if allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), "slots/other@1") {
		t.Errorf("got %v, want kind corrupt naming the slot", err)
	}
	if v.log.Epoch() != 1 {
		t.Errorf("epoch: got %d, want 1", v.log.Epoch())
	}
}

// TestRotate changes no row, and old slots are gone.
func TestRotate(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	s := v.session(gate.ActionKeys)
	done, err := v.Rotate(t.Context(), s)
	if err != nil || done.Epoch != 2 || done.Records != 0 || done.AbsentBefore != done.AbsentAfter {
		t.Fatalf("rotate: got %+v, %v", done, err)
	}
	if e, err := v.log.Entry(done.Entry); err != nil || e.Kind != vlog.KindSlot {
		t.Errorf("entry: got %+v, %v", e, err)
	}
	if st, err := v.Status(t.Context()); err != nil || st.ErasuresPending != 0 || len(st.Slots) != 2 {
		t.Errorf("before the old slots are gone: got %+v, %v", st, err)
	}
	if _, err := v.DestroySlots(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	wantOnlyEpoch(t, v.slots, 2)
	v.reopen(v.store).wantRows(first.ID, numbered(3, "x"))
}

// TestPendingIsTold counts erasures whose old slots are still there.
func TestPendingIsTold(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if why, err := v.Absences(tags); err != nil || why[0] != "" {
		t.Errorf("before: got %q, %v", why, err)
	}
	if _, err := v.Erase(t.Context(), v.session(gate.ActionErase), tags, EraseOptions{}); err != nil {
		t.Fatal(err)
	}
	if why, err := v.Absences(tags); err != nil || why[0] != "erased" {
		t.Errorf("after: got %q, %v", why, err)
	}
	if st, err := v.Status(t.Context()); err != nil || st.ErasuresPending != 1 {
		t.Errorf("pending: got %+v, %v", st, err)
	}
	if _, err := v.Erase(t.Context(), v.session(gate.ActionRead), tags, EraseOptions{}); allod.KindOf(err) != allod.Denied {
		t.Errorf("with a session to read: got %v, want kind denied", err)
	}
	v.clock.t = v.clock.t.Add(-time.Hour)
	if _, err := v.Erase(t.Context(), v.session(gate.ActionErase), tags, EraseOptions{}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("with a clock behind: got %v, want kind invalid", err)
	}
}

// TestHidden withholds a record whose erasure was asked for, from every function
// and every process, and lets captures of it go on.
func TestHidden(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	other := v.reopen(v.store)
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 2)})
	if err != nil {
		t.Fatal(err)
	}
	hide := func(tags []RecordTag) {
		t.Helper()
		s, err := v.gate.Open(t.Context(), gate.Request{Actor: "os:test", Action: gate.ActionOffice, Purpose: allod.PurposeOperate, Resource: gate.Resource{Environment: Office, Class: allod.ClassContent}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := v.Begin(t.Context(), s, RunOptions{Environment: Office, Line: 1})
		if err != nil {
			t.Fatal(err)
		}
		state, err := json.Marshal(OfficeState{Hidden: tags})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Commit(t.Context(), Manifest{State: state, Complete: true}); err != nil {
			t.Fatal(err)
		}
	}
	hide(tags)
	want := numbered(3, "x")
	delete(want, 2)
	for _, p := range []*testVault{v, other} {
		p.wantRows(first.ID, want)
		h, err := p.History(t.Context(), p.session(gate.ActionRead), "contoso", ref("account", 2))
		if err != nil || len(h) != 1 || h[0].Withheld != "erasure requested" || h[0].Row != nil {
			t.Errorf("history: got %+v, %v", h, err)
		}
		s, err := p.At(t.Context(), p.session(gate.ActionRead), "contoso", 0)
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := s.Get(t.Context(), "account", []allod.RecordRef{ref("account", 2)}); err != nil || len(rows) != 0 {
			t.Errorf("get: got %d rows, %v", len(rows), err)
		}
	}
	if _, c, err := other.captureRows(ModeDelta, map[int]string{2: "y", 3: "x 3"}); err != nil || c.Updated != 1 || c.Unchanged != 1 {
		t.Errorf("capture: got %+v, %v, want one updated", c, err)
	}
	hide(nil) // the request was taken back
	v.wantRows(first.ID, numbered(3, "x"))
}
