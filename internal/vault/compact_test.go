package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/compact"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/verify"
)

func (v *testVault) compactor() (*compact.Compactor, error) {
	return v.Compactor(v.session(gate.ActionCompact))
}

// compact merges everything that stands.
func (v *testVault) compact() (compact.Report, error) {
	c, err := v.compactor()
	if err != nil {
		return compact.Report{}, err
	}
	return c.Run(context.Background(), compact.Options{All: true})
}

func (v *testVault) mustCompact() compact.Report {
	v.t.Helper()
	r, err := v.compact()
	if err != nil {
		v.t.Fatal(err)
	}
	return r
}

// picture is all that can be read of an environment, at every moment.
func (v *testVault) picture(env string) []string {
	v.t.Helper()
	ctx := v.t.Context()
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	read, err := v.Snapshots(ctx, env)
	if err != nil {
		v.t.Fatal(err)
	}
	refs := map[string][]allod.RecordRef{}
	for _, meta := range read {
		s, err := v.At(ctx, v.session(gate.ActionRead), env, meta.ID)
		if err != nil {
			v.t.Fatal(err)
		}
		say("%s schema %d, %+v, %+v", s.Name(), s.SchemaNumber(), s.Meta(), s.Manifest())
		for _, table := range s.Schema().Tables {
			for row, err := range s.Rows(ctx, table.Name) {
				if err != nil {
					v.t.Fatal(err)
				}
				say("%s row %s %v %d %v", table.Name, row.Key, row.Pair, row.Version, row.Cells)
				if !slices.Contains(refs[table.Name], row.Ref()) {
					refs[table.Name] = append(refs[table.Name], row.Ref())
				}
				for _, c := range table.Columns {
					if row.Cell(table.ColumnIndex(c.Name)).Type() == allod.File {
						say("file %s", v.fileOf(s, &row, c.Name))
					}
				}
			}
			for d, err := range s.Deleted(ctx, table.Name) {
				if err != nil {
					v.t.Fatal(err)
				}
				say("%s deleted %+v", table.Name, d)
			}
			for x, err := range s.Versions(ctx, table.Name) {
				if err != nil {
					v.t.Fatal(err)
				}
				say("%s version %d %v %t %q", table.Name, x.Capture, x.Ref, x.Deleted, x.Withheld)
			}
			rows, err := s.Get(ctx, table.Name, refs[table.Name])
			if err != nil {
				v.t.Fatal(err)
			}
			for _, row := range rows {
				say("%s got %s %v", table.Name, row.Key, row.Cells)
			}
		}
	}
	for table, all := range refs {
		for _, r := range all {
			h, err := v.History(ctx, v.session(gate.ActionRead), env, r)
			if err != nil {
				v.t.Fatal(err)
			}
			for _, x := range h {
				say("%s history %v: %d %d %t %q", table, r.Key, x.Snapshot, x.Capture, x.Deleted, x.Withheld)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (v *testVault) fileOf(s *Snapshot, row *allod.Row, column string) string {
	v.t.Helper()
	f, err := s.OpenFile(v.t.Context(), row, column)
	if allod.KindOf(err) == allod.NotFound {
		return "none"
	}
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return fmt.Sprintf("%d bytes %x", len(b), b[:min(len(b), 20)])
}

func (v *testVault) wantPicture(env string, want []string) {
	v.t.Helper()
	if diff := cmp.Diff(want, v.picture(env)); diff != "" {
		v.t.Fatalf("%s (-before +after):\n%s", env, diff)
	}
	rep, err := v.Verify(v.t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 || slices.ContainsFunc(rep.OrphanNames, func(name string) bool { return strings.HasPrefix(name, "packs/") }) {
		v.t.Fatalf("verify: got %+v, %v", rep, err)
	}
}

// packsIn counts the packs of a store.
func packsIn(t testing.TB, s blob.Store) int {
	t.Helper()
	n := 0
	for _, name := range objectNames(t, s) {
		if strings.HasPrefix(name, "packs/") {
			n++
		}
	}
	return n
}

// varied fills a vault with all that a compaction may meet.
func varied(t *testing.T) *testVault {
	v := newVault(t, mem.New(mem.Options{}))
	v.fileObject = 1 << 10
	v.putFiles(t, "wrong", map[int][]byte{1: []byte("a small file"), 2: []byte(strings.Repeat("a large one ", 200)), 3: []byte("another")})
	v.mustCapture(ModeDelta, map[int]string{3: "three", 4: "past", 5: "five", 6: "six", 9: "nine"})
	v.mustCapture(ModeDelta, nil) // without a pack
	v.mustCapture(ModeDelta, map[int]string{4: "newest", 7: "seven"}, 3, 6)
	if err := v.beginRoot(); err != nil {
		t.Fatal(err)
	}
	v.mustCapture(ModeDelta, map[int]string{3: "back", 5: "five again"})
	for _, n := range []int{1, 2, 5} {
		if _, err := v.rectify(n, fmt.Sprint("right ", n), RectifyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.erase(EraseOptions{Past: true}, 4); err != nil {
		t.Fatal(err)
	}
	if err := v.puncture(9); err != nil {
		t.Fatal(err)
	}
	v.mustCapture(ModeDelta, map[int]string{1: "one again", 8: "eight"})
	return v
}

// TestCompaction merges, merges what was merged, and removes what was replaced:
// everything reads as before at each step, in this process and in a new one.
func TestCompaction(t *testing.T) {
	v := varied(t)
	before := v.picture("contoso")
	old := v.reopen(v.store) // knows nothing of the merge
	packs := packsIn(t, v.store)
	r := v.mustCompact()
	if len(r.Merged) != 1 || r.Merged[0].Packs != 5 || r.Merged[0].PacksMade != 1 || r.Merged[0].Files != 2 || r.Merged[0].First != 1 || r.Merged[0].Last != 6 {
		t.Fatalf("got %+v", r.Merged)
	}
	v.wantPicture("contoso", before)
	old.wantPicture("contoso", before)
	if n := packsIn(t, v.store); n != packs+1 {
		t.Errorf("%d packs, want what was replaced to stay", n)
	}
	if r := v.mustCompact(); len(r.Merged) != 0 || len(r.Replaced) != 1 || r.Replaced[0].Due || r.Replaced[0].Packs != 5 {
		t.Errorf("again: got %+v", r)
	}
	v.mustCapture(ModeDelta, map[int]string{2: "two again"}, 8)
	if _, err := v.rectify(7, "right 7", RectifyOptions{}); err != nil { // it lies in what was merged
		t.Fatal(err)
	}
	v.clock.add(compact.Keep)
	v.mustCapture(ModeDelta, map[int]string{10: "ten"})
	before = v.picture("contoso")
	r = v.mustCompact()
	if len(r.Merged) != 1 || r.Merged[0].Packs != 3 || r.Merged[0].Files != 2 || len(r.Replaced) != 1 || r.Replaced[0].Removed != 5 {
		t.Errorf("got %+v", r)
	}
	v.wantPicture("contoso", before)
	v.clock.add(compact.Keep)
	v.mustCapture(ModeDelta, map[int]string{10: "ten again"})
	before = v.picture("contoso")
	v.mustCompact()
	v.clock.add(compact.Keep)
	v.mustCapture(ModeDelta, nil)
	v.mustCompact()
	v = v.reopen(v.store)
	got := v.picture("contoso")
	for _, line := range before {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	if n := packsIn(t, v.store); n != 1+5 { // and those of what was sealed anew
		t.Errorf("%d packs are left", n)
	}
	s, err := v.Status(t.Context())
	if err != nil || s.Packs != 6 || s.Compacted == 0 {
		t.Errorf("status: got %+v, %v", s, err)
	}
}

// TestCompactionIsForMaintainers refuses everybody else, and whoever asks with a
// session for something else.
func TestCompactionIsForMaintainers(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	v.mustCapture(ModeDelta, map[int]string{1: "y"})
	if _, err := v.Compactor(v.session(gate.ActionVerify)); allod.KindOf(err) != allod.Denied {
		t.Errorf("a session to verify: got %v, want kind denied", err)
	}
	for role, may := range map[keyring.Role]bool{keyring.RoleCapture: false, keyring.RoleRead: false, keyring.RoleRestore: false, keyring.RoleErase: false, keyring.RoleMaintain: true} {
		secrets, err := v.held().For(role)
		if err != nil {
			t.Fatal(err)
		}
		w, err := openWith(t.Context(), v.cfg, secrets)
		if err != nil {
			t.Fatal(err)
		}
		c, err := w.Compactor(v.session(gate.ActionCompact))
		if may != (err == nil) || !may && allod.KindOf(err) != allod.Denied {
			t.Errorf("role %s: got %v", role, err)
		}
		if !may {
			continue
		}
		want := v.picture("contoso")
		r, err := c.Run(t.Context(), compact.Options{All: true, Environment: "#1"})
		if err != nil || len(r.Merged) != 1 {
			t.Errorf("role %s: got %+v, %v", role, r, err)
		}
		v.wantPicture("contoso", want)
	}
}

// hooked calls a function once, before a log entry is put.
type hooked struct {
	blob.Store
	before func()
}

func (h *hooked) Put(ctx context.Context, name string, r io.Reader, size int64, o blob.PutOptions) error {
	if do := h.before; do != nil && strings.HasPrefix(name, "log/") {
		h.before = nil
		do()
	}
	return h.Store.Put(ctx, name, r, size, o)
}

// TestCompactionBesideOthers has something else committed between the merge and
// its log entry: a capture, an erasure, a rectification, a new root stay, and
// the merge comes after them; another merge of the same wins. Then the reverse: a
// merge between a capture's comparison and its commit.
func TestCompactionBesideOthers(t *testing.T) {
	for what, do := range map[string]func(v *testVault) error{
		"capture": func(v *testVault) error {
			_, _, err := v.captureRows(ModeDelta, map[int]string{1: "meanwhile"}, 2)
			return err
		},
		"erasure":  func(v *testVault) error { return v.puncture(5) },
		"new root": func(v *testVault) error { return v.beginRoot() },
		"rectification": func(v *testVault) error {
			_, err := v.rectify(7, "right", RectifyOptions{})
			return err
		},
		"compaction": func(v *testVault) error {
			_, err := v.compact()
			return err
		},
	} {
		v := varied(t)
		h := &hooked{Store: v.store}
		w, err := v.tryOpen(h)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		h.before = func() {
			if err := do(v); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			want = v.picture("contoso")
		}
		_, err = w.compact()
		if lost := what == "compaction"; lost != (allod.KindOf(err) == allod.Conflict) || !lost && err != nil {
			t.Errorf("%s: got %v", what, err)
		}
		if want == nil {
			t.Fatalf("%s: it was not between", what)
		}
		v.reopen(v.store).wantPicture("contoso", want)
	}

	v := varied(t)
	h := &hooked{Store: v.store}
	w, err := v.tryOpen(h)
	if err != nil {
		t.Fatal(err)
	}
	h.before = func() { v.mustCompact() }
	if _, c, err := w.captureRows(ModeDelta, map[int]string{1: "one again", 2: "meanwhile"}); err != nil || c.Updated != 1 {
		t.Errorf("a capture with a merge in between: got %+v, %v", c, err)
	}
	v.wantPicture("contoso", w.picture("contoso"))
}

// TestCompactionEveryCallFails lets each storage call fail in turn, "not done"
// and "done but failed", of a merge and of a removal: every snapshot reads as
// before, and the next run completes it.
func TestCompactionEveryCallFails(t *testing.T) {
	base := newVault(t, mem.New(mem.Options{}))
	base.putFiles(t, "x", map[int][]byte{1: []byte("a small file")})
	base.mustCapture(ModeDelta, map[int]string{2: "y"})
	base.mustCapture(ModeDelta, map[int]string{2: "z"}, 1)
	want := base.picture("contoso")
	run := func(phase string) {
		outcomes := map[bool]int{}
		for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
			for _, down := range []bool{true, false} {
				step := map[bool]int{true: 1, false: 3}[down]
				if testing.Short() {
					step = 4
				}
				for k := 1; ; k += step {
					store := fault.New(copyStore(t, base.store), fault.Fault{Call: k, Mode: mode, Down: down})
					v, err := base.tryOpen(store)
					if err == nil {
						_, err = v.compact()
					}
					if store.Calls() < k {
						break
					}
					outcomes[err == nil]++
					after := base.reopen(store.Inner())
					if diff := cmp.Diff(want, after.picture("contoso")); diff != "" {
						t.Fatalf("%s, mode %d, call %d: (-before +after):\n%s", phase, mode, k, diff)
					}
					after.mustCompact()
					if r := after.mustCompact(); len(r.Merged) > 0 || slices.ContainsFunc(r.Replaced, func(x compact.Replaced) bool { return x.Due }) {
						t.Fatalf("%s, mode %d, call %d: something is left to do: %+v", phase, mode, k, r)
					}
					if diff := cmp.Diff(want, after.picture("contoso")); diff != "" {
						t.Fatalf("%s, mode %d, call %d, completed: (-before +after):\n%s", phase, mode, k, diff)
					}
				}
			}
		}
		if outcomes[false] == 0 {
			t.Errorf("%s: no call failed", phase)
		}
	}
	run("merge")
	base.mustCompact()
	base.clock.add(compact.Keep)
	base.mustCapture(ModeDelta, nil)
	want = base.picture("contoso")
	run("removal")
}

// TestRemovalWantsWhatStands removes nothing while what stands in its place is
// damaged, or the store has it locked.
func TestRemovalWantsWhatStands(t *testing.T) {
	v := varied(t)
	r := v.mustCompact()
	v.clock.add(compact.Keep - time.Hour)
	v.mustCapture(ModeDelta, map[int]string{1: "later"})
	if r := v.mustCompact(); len(r.Replaced) == 0 || r.Replaced[0].Due || r.Replaced[0].Removed > 0 {
		t.Errorf("an hour too early: got %+v", r.Replaced)
	}
	v = varied(t)
	r = v.mustCompact()
	e, err := v.log.Entry(r.Merged[0].Entry)
	if err != nil {
		t.Fatal(err)
	}
	v.clock.add(compact.Keep)
	v.mustCapture(ModeDelta, nil)
	name := e.Packs()[0].Name()
	good := objectBytes(t, v.store, name)
	before := packsIn(t, v.store)
	for what, bad := range map[string][]byte{"changed": append(good[:len(good)-1:len(good)-1], good[len(good)-1]^1), "missing": nil} {
		if err := v.store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if bad != nil {
			if err := v.store.Put(t.Context(), name, strings.NewReader(string(bad)), int64(len(bad)), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := v.compact(); allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want kind corrupt that names the pack", what, err)
		}
		if n := packsIn(t, v.store); n < before-1 {
			t.Errorf("%s: %d packs are left of %d", what, n, before)
		}
	}
	if err := v.store.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := v.store.Put(t.Context(), name, strings.NewReader(string(good)), int64(len(good)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := v.tryOpen(lockedStore{v.store})
	if err != nil {
		t.Fatal(err)
	}
	if r := w.mustCompact(); len(r.Replaced) != 1 || r.Replaced[0].Removed != 0 || r.Replaced[0].Locked != 5 {
		t.Errorf("locked: got %+v", r.Replaced)
	}
	if r := v.mustCompact(); len(r.Replaced) != 1 || r.Replaced[0].Removed != 5 {
		t.Errorf("unlocked: got %+v", r.Replaced)
	}
}

// lockedStore refuses to remove anything.
type lockedStore struct{ blob.Store }

func (lockedStore) Delete(context.Context, string) error {
	return allod.Errorf(allod.Denied, "%w", errors.Join(blob.ErrLocked))
}

// TestCompactionThatLeavesOut has a maintainer commit packs without one row, and
// without one manifest: whoever opens packs sees it while those of before are
// there.
func TestCompactionThatLeavesOut(t *testing.T) {
	for _, what := range []string{"row", "frame"} {
		v := newVault(t, mem.New(mem.Options{}))
		v.putFiles(t, "x", map[int][]byte{1: []byte("a small file")})
		v.mustCapture(ModeDelta, map[int]string{2: "y", 3: "z"})
		chain, standing := v.log.Chain(), v.log.Standing(1)
		var out bytes.Buffer
		w, err := pack.NewWriter(&out, v.recipients, 1)
		if err != nil {
			t.Fatal(err)
		}
		var kept []pack.Kept
		frames := map[[16]byte][]byte{}
		var rows []pack.Entry
		for _, s := range standing {
			p, err := v.content.Pack(s.Packs[0], 1)
			if err != nil {
				t.Fatal(err)
			}
			it := p.Seek(pack.Key{}, 1<<20)
			for it.Next() {
				rows = append(rows, pack.Entry{Key: it.Entry().Key, Meta: it.Entry().Meta, Sealed: bytes.Clone(it.Entry().Sealed)})
			}
			for _, id := range p.Files() {
				r, err := p.Blob(id)
				if err != nil {
					t.Fatal(err)
				}
				if frames[id], err = io.ReadAll(r); err != nil {
					t.Fatal(err)
				}
			}
			for kind, section := range map[uint8]func() ([]byte, error){pack.KeptSchema: p.Schema, pack.KeptManifest: p.Manifest} {
				b, err := section()
				if err != nil {
					t.Fatal(err)
				}
				if k := (pack.Kept{Entry: s.Entry, What: kind, Hash: sha256.Sum256(b)}); len(b) > 0 {
					kept, frames[k.ID()] = append(kept, k), b
				}
			}
		}
		slices.SortFunc(rows, func(a, b pack.Entry) int { return a.Compare(&b) })
		slices.SortFunc(kept, func(a, b pack.Kept) int { return int(int64(a.Entry)-int64(b.Entry))*4 + int(a.What) - int(b.What) })
		if what == "row" {
			rows = rows[:len(rows)-1]
		} else {
			kept = kept[:len(kept)-1]
		}
		for i := range rows {
			if err := w.Add(&rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range slices.SortedFunc(maps.Keys(frames), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }) {
			if err := w.AddBlob(id, bytes.NewReader(frames[id]), int64(len(frames[id]))); err != nil {
				t.Fatal(err)
			}
		}
		res, err := w.Finish(nil, pack.EncodeKept(kept))
		if err != nil {
			t.Fatal(err)
		}
		o := vlog.Object{Digest: res.Digest, Size: res.Size, Role: vlog.RolePack, Trailer: res.Trailer, Tier: 3}
		if err := object.Put(t.Context(), v.store, o.Name(), out.Bytes()); err != nil {
			t.Fatal(err)
		}
		key, err := v.held().Signer(keyring.SignMaintain)
		if err != nil {
			t.Fatal(err)
		}
		e := &vlog.Entry{
			Vault: fmt.Sprintf("%x", v.cfg.Pin.Vault[:]), N: chain.N + 1, Prev: chain.Last, Kind: vlog.KindCompact, Environment: 1, Root: chain.Root(), Epoch: chain.Epoch(), Time: chain.Time,
			Objects: []vlog.Object{o}, Compact: &vlog.Compaction{First: 1, Last: 2, Gone: vlog.Digests(standing)},
		}
		b, _, err := e.Encode(key)
		if err != nil {
			t.Fatal(err)
		}
		if taken, err := v.log.Put(t.Context(), b, e.N); taken || err != nil {
			t.Fatal(taken, err)
		}
		v = v.reopen(v.store)
		rep, err := v.Verify(t.Context(), verify.Options{})
		if err != nil || !slices.ContainsFunc(rep.Bad, func(b verify.Bad) bool {
			return b.Object == vlog.EntryName(e.N) && strings.Contains(b.What, "does not hold")
		}) {
			t.Errorf("without a %s: verify found %+v, %v", what, rep.Bad, err)
		}
	}
}

// TestCompactionAndIndex keeps what a capture that cannot read knows: a merge
// changes nothing of it, also one of captures before and after those that it
// knows of, with a record among them that was restricted then and lifted since.
func TestCompactionAndIndex(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	index := mem.New(mem.Options{})
	rows := numbered(20, "x")
	change := func(w *testVault, name string, ns ...int) {
		t.Helper()
		delta := map[int]string{}
		for _, n := range ns {
			delta[n], rows[n] = name, name
		}
		w.mustCapture(ModeDelta, delta)
	}
	c := v.as(keyring.RoleCapture, index)
	c.mustCapture(ModeFull, rows)
	box := newBox(t, 1)
	if err := v.restrict(box, 1, 3); err != nil {
		t.Fatal(err)
	}
	change(c, "restricted", 3, 4)
	if _, err := v.lift(box, 2, 3); err != nil {
		t.Fatal(err)
	}
	change(v.with(index), "known", 5)
	v.mustCompact()
	change(v, "behind", 6) // nobody tells the index
	change(v, "behind", 7)
	v.mustCompact()
	w := v.with(index)
	if _, got, err := w.captureRows(ModeDelta, map[int]string{6: "behind", 8: "new"}); err != nil || got.Updated != 1 || got.Unchanged != 1 {
		t.Errorf("with an index that was behind: got %+v, %v", got, err)
	}
	rows[8] = "new"
	v.mustCompact()
	if _, got, err := c.captureRows(ModeFull, rows); err != nil || got.Updated+got.Created != 0 || got.Unchanged != 20 {
		t.Errorf("a full capture that cannot read: got %+v, %v, want no change", got, err)
	}
}
