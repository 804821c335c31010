package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/vault/keyring"
	"allod/internal/vault/object"
	"allod/internal/vault/verify"
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

// TestCreateFails lets each call of Create fail in turn, in the store and in
// the place of slots. Either there is a vault that opens, and Create said so,
// or there is nothing, and the next Create makes one.
func TestCreateFails(t *testing.T) {
	ctx := t.Context()
	opts := CreateOptions{Wrappers: []NamedWrapper{{Name: "plain", Wrapper: plainWrapper{}}}}
	made, failed := 0, 0
	for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed, fault.NoSpace} {
		for _, inSlots := range []bool{false, true} {
			for k := 1; ; k++ {
				store, slots := mem.New(mem.Options{}), mem.New(mem.Options{})
				cfg := Config{Store: store, Slots: []blob.Mutable{slots}, TempDir: t.TempDir()}
				f := fault.New(store, fault.Fault{Call: k, Mode: mode})
				cfg.Store = f
				if inSlots {
					f = fault.New(slots, fault.Fault{Call: k, Mode: mode})
					cfg.Store, cfg.Slots = store, []blob.Mutable{f}
				}
				_, pin, err := Create(ctx, cfg, opts)
				if f.Calls() < k {
					break
				}
				cfg.Store, cfg.Slots = store, []blob.Mutable{slots}
				_, statErr := store.Stat(ctx, "vault")
				if (statErr == nil) != (err == nil) && pin.IsZero() {
					t.Fatalf("mode %d, slots %v, call %d: create said %v, there is a vault: %v", mode, inSlots, k, err, statErr == nil)
				}
				if statErr != nil {
					failed++
					if left := append(objectNames(t, store), objectNames(t, slots)...); len(left) > 0 {
						t.Fatalf("mode %d, slots %v, call %d: left behind: %v", mode, inSlots, k, left)
					}
					if _, pin, err = Create(ctx, cfg, opts); err != nil {
						t.Fatalf("mode %d, slots %v, call %d: create again: %v", mode, inSlots, k, err)
					}
				} else {
					made++
				}
				cfg.Pin = pin
				if _, err := Open(ctx, cfg, plainWrapper{}); err != nil {
					t.Fatalf("mode %d, slots %v, call %d: open: %v", mode, inSlots, k, err)
				}
			}
		}
	}
	if made == 0 || failed == 0 {
		t.Errorf("made %d, failed %d times, want both", made, failed)
	}
}

// TestSlotsOfAnotherVaultAreKept makes a second vault with the places of the
// first.
func TestSlotsOfAnotherVaultAreKept(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	cfg := v.cfg
	cfg.Store, cfg.Pin = mem.New(mem.Options{}), Pin{}
	_, _, err := Create(t.Context(), cfg, CreateOptions{Wrappers: []NamedWrapper{{Name: "plain", Wrapper: plainWrapper{}}}})
	if allod.KindOf(err) != allod.Conflict || allod.HintOf(err) == "" {
		t.Errorf("create: got %v, want kind conflict with a hint", err)
	}
	if names := objectNames(t, cfg.Store); len(names) > 0 {
		t.Errorf("left in the second store: %v", names)
	}
	v.reopen(v.store)
}

// TestCutOffCreate leaves what a killed Create leaves: the next one says what
// to do and touches nothing.
func TestCutOffCreate(t *testing.T) {
	store := mem.New(mem.Options{})
	if err := object.Put(t.Context(), store, "keytree/00000001/00000000000000000001/root", []byte("of another")); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Store: store, Slots: []blob.Mutable{mem.New(mem.Options{})}}
	_, _, err := Create(t.Context(), cfg, CreateOptions{Wrappers: []NamedWrapper{{Name: "plain", Wrapper: plainWrapper{}}}})
	if allod.KindOf(err) != allod.Conflict || !strings.Contains(allod.HintOf(err), "cut off") {
		t.Errorf("create: got %v, hint %q", err, allod.HintOf(err))
	}
	if names := append(objectNames(t, store), objectNames(t, cfg.Slots[0])...); len(names) != 1 {
		t.Errorf("after it: %v, want what was there", names)
	}
}

// TestPuncturedElsewhere erases a record in another process: one that opened
// the vault before opens its slot again and shows everything but the record. One
// that cannot shows nothing any more.
func TestPuncturedElsewhere(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(3, "x"))
	before, blind := v.reopen(v.store), v.reopen(v.store)
	blind.wrapper = nil
	open := func(v *testVault) *Snapshot {
		s, err := v.At(t.Context(), v.session(gate.ActionRead), "contoso", first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := s.Get(t.Context(), "account", []allod.RecordRef{ref("account", 2)}); err != nil || len(rows) != 1 {
			t.Fatalf("before: got %d rows, %v", len(rows), err)
		}
		return s
	}
	s, unseen := open(before), open(blind)
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	if _, err := blind.rowsAt(first.ID); allod.KindOf(err) != allod.Conflict {
		t.Errorf("rows: got %v, want kind conflict", err)
	}
	if _, err := blind.History(t.Context(), blind.session(gate.ActionRead), "contoso", ref("account", 2)); allod.KindOf(err) != allod.Conflict {
		t.Errorf("history: got %v, want kind conflict", err)
	}
	if rows, err := unseen.Get(t.Context(), "account", []allod.RecordRef{ref("account", 2)}); allod.KindOf(err) != allod.Conflict {
		t.Errorf("a snapshot opened before: got %d rows, %v, want kind conflict", len(rows), err)
	}
	if _, _, err := blind.captureRows(ModeDelta, map[int]string{2: "back"}); allod.KindOf(err) != allod.Conflict {
		t.Errorf("capture: got %v, want kind conflict", err)
	}
	want := numbered(3, "x")
	delete(want, 2)
	before.wantRows(first.ID, want)
	if rows, err := s.Get(t.Context(), "account", []allod.RecordRef{ref("account", 1), ref("account", 2)}); err != nil || len(rows) != 1 {
		t.Errorf("a snapshot opened before: got %d rows, %v, want the other one", len(rows), err)
	}
	if _, c, err := before.captureRows(ModeDelta, map[int]string{2: "back"}); err != nil || c.Erased != 1 {
		t.Errorf("capture: got %+v, %v, want one erased", c, err)
	}
}

// TestPuncturedWhileItSeals erases a record between the comparison of a run and
// its commit: the run seals anew, without the record.
func TestPuncturedWhileItSeals(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	other := v.reopen(v.store)
	r, w := begin(t, other, "contoso")
	for n := range 3 {
		if err := w.Put(account(n+1, "y")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	snap, err := r.Commit(t.Context(), Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	v.reopen(v.store).wantRows(snap.ID, map[int]string{1: "y", 3: "y"})
}

// TestCheckpointFails commits the entry that a checkpoint belongs to while
// checkpoints cannot be written: it is committed, and once.
func TestCheckpointFails(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	for v.Head().N < 255 {
		r, _ := begin(t, v, "contoso")
		if _, err := r.Commit(t.Context(), Manifest{}); err != nil {
			t.Fatal(err)
		}
	}
	store := fault.New(v.store.(*mem.Store), fault.Fault{Call: 1, Mode: fault.NoSpace, Match: func(c fault.Call) bool { return strings.HasPrefix(c.Name, "checkpoints/") }})
	w := v.reopen(store)
	snap, c, err := w.captureRows(ModeDelta, map[int]string{1: "new", 4: "new"})
	if err != nil || c.Created != 1 || snap.ID != 256 || snap.Rows != 4 {
		t.Fatalf("commit of entry 256: got %+v, %+v, %v", snap, c, err)
	}
	if store.Calls() == 0 {
		t.Error("no checkpoint was tried")
	}
	if again, c, err := w.captureRows(ModeDelta, map[int]string{1: "new", 4: "new"}); err != nil || again.Rows != 4 || c.Created+c.Updated != 0 {
		t.Errorf("the same again: got %+v, %+v, %v", again, c, err)
	}
}

// TestRunIDThatIsNoText commits under a run id that no reader would read as it
// was written: the entry is refused before it is put.
func TestRunIDThatIsNoText(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	r, err := v.Begin(t.Context(), v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1, RunID: "\xff"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	if _, err := r.Commit(t.Context(), Manifest{}); err == nil {
		t.Error("committed")
	}
	v.reopen(v.store).mustCapture(ModeFull, numbered(2, "x"))
}

// TestKillLeavesNoTemporaryFiles looks into the temporary folder while rows
// have spilled, files wait and a commit is on its way, which is what a killed
// process would leave there.
func TestKillLeavesNoTemporaryFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file keeps its name there")
	}
	v := newVault(t, mem.New(mem.Options{}))
	looked := 0
	look := func(when string) {
		t.Helper()
		looked++
		if left, err := os.ReadDir(v.cfg.TempDir); err != nil || len(left) > 0 {
			t.Errorf("%s: got %v, %v, want nothing", when, left, err)
		}
	}
	store := fault.New(v.store.(*mem.Store), fault.Fault{Call: 1 << 30, Match: func(fault.Call) bool { look("at a call of the store"); return true }})
	w := v.reopen(store)
	w.fileObject = 1000
	r, tw := begin(t, w, "contoso")
	for n := range 3000 {
		if err := tw.Put(account(n, strings.Repeat("long ", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	look("with spilled rows")
	for _, size := range []int{10, 5000} {
		if _, err := tw.PutFile(t.Context(), ref("account", 1), allod.FileRef{Name: "f"}, bytes.NewReader(make([]byte, size))); err != nil {
			t.Fatal(err)
		}
	}
	look("with files")
	if _, err := tw.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("after finish")
	if _, err := r.Commit(t.Context(), Manifest{}); err != nil {
		t.Fatal(err)
	}
	if looked < 10 {
		t.Errorf("looked %d times only", looked)
	}
}

// oddLists lists every object twice, and log entries from the third on not yet.
type oddLists struct{ blob.Mutable }

func (o oddLists) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range o.Mutable.List(ctx, prefix) {
			if strings.HasPrefix(info.Name, "log/") && info.Name > "log/00000000000000000002" {
				continue
			}
			for range 2 {
				if !yield(info, err) {
					return
				}
			}
		}
	}
}

// TestListingsAreNotBelieved opens, reads, verifies and goes on with a vault
// whose store and place of slots list late and twice.
func TestListingsAreNotBelieved(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	v.mustCapture(ModeDelta, map[int]string{1: "y"})
	v.mustCapture(ModeDelta, map[int]string{1: "z"})
	v.mustCapture(ModeDelta, map[int]string{4: "z"})
	if err := object.Put(t.Context(), v.store, "packs/of-nobody", []byte("x")); err != nil {
		t.Fatal(err)
	}
	odd := *v
	odd.cfg.Slots = []blob.Mutable{oddLists{v.slots}}
	w := odd.reopen(oddLists{v.store.(*mem.Store)})
	want := numbered(3, "x")
	want[1], want[4] = "z", "z"
	w.wantRows(0, want)
	w.mustCapture(ModeDelta, map[int]string{5: "z"})
	rep, err := w.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 || rep.Orphans != 1 {
		t.Errorf("verify: got %+v, %v, want nothing bad and one orphan", rep, err)
	}
	if s, err := w.Status(t.Context()); err != nil || len(s.Slots) != 1 || s.Entries != 5 {
		t.Errorf("status: got %+v, %v, want one slot and five entries", s, err)
	}
}

// TestWrongBytes gives out, for each object in turn, fewer bytes, more bytes,
// none, and those of each other object of its kind: packs of other snapshots
// and environments, earlier log entries, pages, slots of an earlier epoch. What
// is read is what was stored, or an error of damage; verify names the object.
func TestWrongBytes(t *testing.T) {
	store := mem.New(mem.Options{})
	v := newVaultWith(t, store, store, "plain")
	v.mustCapture(ModeFull, numbered(30, "old"))
	v.mustCapture(ModeDelta, map[int]string{1: "new", 31: "new"})
	r, w := begin(t, v, "fabrikam")
	if err := w.Put(account(1, "of fabrikam")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), Manifest{}); err != nil {
		t.Fatal(err)
	}
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	v.mustCapture(ModeDelta, map[int]string{3: "newest"})
	want := map[allod.SnapshotID]string{}
	for _, id := range []allod.SnapshotID{1, 2, 5} {
		rows, err := v.rowsAt(id)
		if err != nil {
			t.Fatal(err)
		}
		want[id] = fmt.Sprint(rows)
	}
	damage := func(inSlots bool, name, what string, b []byte) {
		t.Helper()
		from := v.store
		if inSlots {
			from = v.slots
		}
		changed := copyStore(t, from)
		replace(t, changed, name, b)
		odd := *v
		odd.store, odd.side = copyStore(t, v.store), copyStore(t, v.store)
		if inSlots {
			odd.cfg.Slots = []blob.Mutable{changed}
		} else {
			odd.store = changed
		}
		w, err := odd.tryOpen(odd.store)
		for id := range want {
			var rows map[int]string
			if err == nil {
				rows, err = w.rowsAt(id)
			}
			if err == nil && fmt.Sprint(rows) != want[id] {
				t.Errorf("%s, %s: snapshot %d holds something else", name, what, id)
			}
			if err != nil && allod.KindOf(err) != allod.Corrupt {
				t.Errorf("%s, %s: snapshot %d: got %v, want kind corrupt", name, what, id, err)
			}
			if w == nil {
				break
			}
			err = nil
		}
		if w == nil {
			return
		}
		rep, err := w.Verify(t.Context(), verify.Options{Sample: 1})
		if err != nil || !slices.ContainsFunc(rep.Bad, func(b verify.Bad) bool { return b.Object == name }) {
			t.Errorf("%s, %s: verify says %+v, %v", name, what, rep.Bad, err)
		}
	}
	kinds := map[string][]string{}
	inSlots := map[string]bool{}
	for _, name := range objectNames(t, v.store) {
		kind, _, _ := strings.Cut(name, "/")
		if kind != "ledger" {
			kinds[kind] = append(kinds[kind], name)
		}
	}
	kinds["slots"] = objectNames(t, v.slots)
	for _, name := range kinds["slots"] {
		inSlots[name] = true
	}
	for kind, names := range kinds {
		for _, name := range names {
			if strings.HasPrefix(name, "keytree/00000001/00000000000000000001/") {
				continue // of the former epoch: nobody asks for them
			}
			from := v.store
			if inSlots[name] {
				from = v.slots
			}
			b := objectBytes(t, from, name)
			damage(inSlots[name], name, "cut short", b[:len(b)-1])
			damage(inSlots[name], name, "longer", append(bytes.Clone(b), 0))
			damage(inSlots[name], name, "empty", nil)
			for _, other := range kinds[kind] {
				if other != name {
					damage(inSlots[name], name, "those of "+other, objectBytes(t, from, other))
				}
			}
		}
	}
	if len(kinds["packs"]) < 4 || len(kinds["log"]) != 5 || len(kinds["slots"]) != 1 || len(kinds["keytree"]) < 3 {
		t.Errorf("objects: got %v", kinds)
	}
}

// TestSlotOfAnEarlierEpoch leaves a place only the slot of before a puncture.
func TestSlotOfAnEarlierEpoch(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	before := objectBytes(t, v.slots, keyring.ObjectName("plain", 1))
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.slots.Replace(t.Context(), keyring.ObjectName("plain", 1), before), v.slots.Delete(t.Context(), keyring.ObjectName("plain", 2))); err != nil {
		t.Fatal(err)
	}
	if names := objectNames(t, v.slots); len(names) != 1 {
		t.Fatalf("slots: got %v, want that of epoch 1", names)
	}
	if _, err := v.tryOpen(v.store); allod.KindOf(err) != allod.NotFound {
		t.Errorf("open: got %v, want kind not-found", err)
	}
}

func TestNothingPinned(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.cfg.Pin = Pin{}
	if _, err := v.tryOpen(v.store); allod.KindOf(err) != allod.Invalid {
		t.Errorf("open: got %v, want kind invalid", err)
	}
}

// TestRolledBackUnderAnOpenVault puts the store back by one entry while a
// process that knows that entry captures: it writes nothing behind the hole.
func TestRolledBackUnderAnOpenVault(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	last := v.mustCapture(ModeDelta, map[int]string{1: "y"})
	r, w := begin(t, v, "contoso")
	if err := w.Put(account(2, "z")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := v.store.Delete(t.Context(), fmt.Sprintf("log/%020d", last.ID)); err != nil {
		t.Fatal(err)
	}
	_, err := r.Commit(t.Context(), Manifest{})
	if allod.KindOf(err) != allod.Corrupt || allod.HintOf(err) == "" {
		t.Errorf("capture: got %v, want kind corrupt with a hint", err)
	}
	for _, name := range objectNames(t, v.store) {
		if strings.HasPrefix(name, "log/") && name != "log/00000000000000000001" {
			t.Errorf("%s was written", name)
		}
	}
}

// TestLedgerForkedBetweenCaptures replaces the ledger by another one, signed
// with the right key and longer, which a later capture names: verify remembers
// what the earlier capture saw.
func TestLedgerForkedBetweenCaptures(t *testing.T) {
	store := mem.New(mem.Options{})
	v := newVaultWith(t, store, store, "plain")
	v.mustCapture(ModeFull, numbered(3, "x"))
	v.mustCapture(ModeDelta, map[int]string{1: "y"})
	for _, name := range objectNames(t, store) {
		if strings.HasPrefix(name, "ledger/") {
			if err := store.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := v.LedgerConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.Remembered = ledger.Head{} // who forks it does not ask
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	v.gate = gate.New(gate.ShippedMatrix(), l, v.clock.now)
	for range 5 {
		v.session(gate.ActionRead)
	}
	v.mustCapture(ModeDelta, map[int]string{2: "z"})
	rep, err := v.Verify(t.Context(), verify.Options{Public: true})
	if err != nil || len(rep.Bad) != 2 || !strings.HasPrefix(rep.Bad[0].Object, "ledger/entry/") {
		t.Errorf("verify: got %+v, %v, want the two heads that captures saw", rep.Bad, err)
	}
}

// TestErasedFiles keeps a row, erases its record, and asks for its files with
// what was kept: neither a small nor a large one opens, from any snapshot.
func TestErasedFiles(t *testing.T) {
	for _, size := range []int{50, 5000} {
		v := newVault(t, mem.New(mem.Options{}))
		v.fileObject = 100
		snap := v.captureFile(2, bytes.Repeat([]byte("x"), size))
		kept, err := v.At(t.Context(), v.session(gate.ActionRead), "contoso", snap.ID)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := kept.Get(t.Context(), "account", []allod.RecordRef{ref("account", 2)})
		if err != nil || len(rows) != 1 {
			t.Fatalf("before: got %d rows, %v", len(rows), err)
		}
		if b, err := v.readFile(snap.ID, 2); err != nil || len(b) != size {
			t.Fatalf("before: got %d bytes, %v", len(b), err)
		}
		if err := v.puncture(2); err != nil {
			t.Fatal(err)
		}
		s, err := v.At(t.Context(), v.session(gate.ActionRead), "contoso", snap.ID)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := s.OpenFile(t.Context(), &rows[0], "document"); allod.KindOf(err) != allod.NotFound || r != nil || !strings.Contains(err.Error(), "erased") {
			t.Errorf("%d bytes, afterwards: got %v, want kind not-found and \"erased\"", size, err)
		}
		if err := kept.v.log.Refresh(t.Context()); err != nil { // the process of before reads the log again
			t.Fatal(err)
		}
		if r, err := kept.OpenFile(t.Context(), &rows[0], "document"); allod.KindOf(err) != allod.NotFound || r != nil || !strings.Contains(err.Error(), "erased") {
			t.Errorf("%d bytes, from a snapshot opened before: got %v, want kind not-found and \"erased\"", size, err)
		}
		rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
		if err != nil || len(rep.Bad) > 0 || rep.Erased != 2 || rep.Files != 0 {
			t.Errorf("%d bytes: verify: got %+v, %v, want row and file erased", size, rep, err)
		}
	}
}
