package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/keyring"
	"allod/internal/vault/pack"
	"allod/internal/vault/reseal"
	"allod/internal/vault/verify"
)

// rectify gives every stored version of an account the name, and destroys the
// old slots.
func (v *testVault) rectify(n int, name string, opts RectifyOptions) (*reseal.Sealed, error) {
	ctx := context.Background()
	tags, err := v.Tags(ctx, v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", n)})
	if err != nil {
		return nil, err
	}
	record := reseal.Record{Table: tags[0].Table, Tag: tags[0].Tag, Change: func(at *reseal.Version) (bool, error) {
		i := at.Table.ColumnIndex("name")
		changed := at.Row.Cells[i].Text() != name
		at.Row.Cells[i] = allod.StringValue(name)
		return changed, nil
	}}
	s := v.session(gate.ActionErase)
	_, sealed, err := v.Rectify(ctx, s, "contoso", []reseal.Record{record}, opts)
	if err != nil {
		return nil, err
	}
	places, err := v.DestroySlots(ctx, s)
	for _, p := range places {
		err = errors.Join(err, p.Err)
	}
	return sealed, err
}

// everything returns what every sealed row of every pack says, as far as it
// opens with the keys of now.
func (v *testVault) everything() string {
	v.t.Helper()
	var all strings.Builder
	last, err := v.At(v.t.Context(), v.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		v.t.Fatal(err)
	}
	o, err := v.content.Opener(1, last.schema)
	if err != nil {
		v.t.Fatal(err)
	}
	defer o.Close()
	for _, e := range v.log.Entries() {
		for _, obj := range e.Packs() {
			if e.Environment != 1 {
				continue
			}
			p, err := v.content.Pack(obj, e.Environment)
			if err != nil {
				v.t.Fatal(err)
			}
			it := p.Seek(pack.Key{}, 1<<20)
			for it.Next() {
				if row, _, err := o.Open(it.Entry()); err == nil {
					fmt.Fprintf(&all, "%s\n", row.Content)
				}
			}
			for _, id := range p.Files() {
				if r, err := o.Blob(p, id); err == nil {
					b, err := io.ReadAll(r)
					fmt.Fprintf(&all, "%s %v\n", b, err)
				}
			}
		}
	}
	return all.String()
}

// stray reports whether objects were left behind, other than the trees of
// earlier epochs.
func stray(rep verify.Report) bool {
	return slices.ContainsFunc(rep.OrphanNames, func(name string) bool { return !strings.HasPrefix(name, "keytree/") })
}

// TestRectify corrects a record twice in all its versions, among others: every
// moment shows the corrected value, nothing that can be decrypted holds the old
// one, and the deletion stays where it was.
func TestRectify(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(4, "wrong"))
	second := v.mustCapture(ModeDelta, map[int]string{2: "wrong again", 3: "y"})
	third := v.mustCapture(ModeDelta, nil, 2)
	for i, name := range []string{"right", "better"} {
		sealed, err := v.rectify(2, name, RectifyOptions{Run: fmt.Sprint("run ", i)})
		if err != nil || sealed.Versions != 3 || sealed.Changed != 2 {
			t.Fatalf("rectify: got %+v, %v, want 3 versions, 2 changed", sealed, err)
		}
		for _, w := range []*testVault{v, v.reopen(v.store)} {
			want := numbered(4, "wrong")
			want[2] = name
			w.wantRows(first.ID, want)
			want[3] = "y"
			w.wantRows(second.ID, want)
			delete(want, 2)
			w.wantRows(third.ID, want)
			h, err := w.History(t.Context(), w.session(gate.ActionRead), "contoso", ref("account", 2))
			if err != nil || len(h) != 3 || !h[0].Deleted || h[1].Row.Cell(0).Text() != name || h[2].Snapshot != first.ID {
				t.Errorf("history: got %+v, %v", h, err)
			}
			if got := w.everything(); strings.Contains(got, "wrong 2") || strings.Contains(got, "wrong again") || strings.Count(got, name) != 2 {
				t.Errorf("what can be opened still names the old value, or not the new one:\n%s", got)
			}
			if done, err := w.ErasedBy(t.Context(), fmt.Sprint("run ", i)); err != nil || done == nil || done.Epoch != uint64(i)+2 {
				t.Errorf("in the log: got %+v, %v", done, err)
			}
			rep, err := w.Verify(t.Context(), verify.Options{Sample: 1})
			if err != nil || len(rep.Bad) != 0 || stray(rep) || rep.Erased != int64(3*(i+1)) {
				t.Errorf("verify: got %+v, %v", rep, err)
			}
		}
	}
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	without := numbered(4, "wrong")
	delete(without, 2)
	v.wantRows(first.ID, without)
}

// TestScanWhileRectified corrects a record between the first row of a scan and
// the others: the scan shows what is right and leaves nothing out.
func TestScanWhileRectified(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(4, "wrong"))
	snap, err := v.At(t.Context(), v.session(gate.ActionRead), "contoso", first.ID)
	if err != nil {
		t.Fatal(err)
	}
	got, n := map[int]string{}, 0
	for row, err := range snap.Rows(t.Context(), "account") {
		if err != nil {
			t.Fatal(err)
		}
		at := int(row.Key[15])
		if got[at] = row.Cell(0).Text(); n != 0 {
			continue
		}
		n = at%4 + 1 // another one
		if _, err := v.rectify(n, "right", RectifyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	want := numbered(4, "wrong")
	want[n] = "right"
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	rows, err := snap.Get(t.Context(), "account", []allod.RecordRef{ref("account", n)})
	if err != nil || len(rows) != 1 || rows[0].Cell(0).Text() != "right" {
		t.Errorf("by its id: got %v, %v", rows, err)
	}
}

// TestRectifyFiles seals a record's files anew, small and large, each once: they
// open from every version, and no longer from where they were.
func TestRectifyFiles(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.fileObject = 1 << 10
	ctx := t.Context()
	contents := map[int][]byte{1: []byte("a small one"), 2: make([]byte, 1<<12)}
	_, _ = rand.Read(contents[2]) // never fails
	var ids []allod.SnapshotID
	for _, name := range []string{"wrong", "wrong, later"} {
		ids = append(ids, v.putFiles(t, name, contents).ID)
	}
	for n := 1; n <= 2; n++ {
		sealed, err := v.rectify(n, "right", RectifyOptions{})
		if err != nil || sealed.Files != 1 || sealed.Versions != 2 {
			t.Fatalf("rectify: got %+v, %v, want 1 file and 2 versions", sealed, err)
		}
		if n > 1 {
			continue
		}
		if err := v.beginRoot(); err != nil { // the next one moves to it
			t.Fatal(err)
		}
	}
	v = v.reopen(v.store)
	for _, id := range ids {
		s, err := v.At(ctx, v.session(gate.ActionRead), "contoso", id)
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
			if err != nil || !bytes.Equal(got, contents[int(row.Key[15])]) || f.Close() != nil || row.Cell(0).Text() != "right" {
				t.Errorf("file %d: got %d bytes, %v", row.Key[15], len(got), err)
			}
		}
		if rows != 2 {
			t.Errorf("got %d rows, want 2", rows)
		}
	}
	rep, err := v.Verify(ctx, verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 || rep.Files != 2 || rep.Erased != 6 || stray(rep) {
		t.Errorf("verify: got %+v, %v, want 2 files, and 4 rows and 2 files that are gone", rep, err)
	}
	if again := v.putFiles(t, "right", contents); again.Updated != 0 || again.Created != 0 {
		t.Errorf("the same files again: got %+v, want no change", again)
	}
}

// putFiles captures accounts with a file each.
func (v *testVault) putFiles(t *testing.T, name string, contents map[int][]byte) allod.Snapshot {
	t.Helper()
	r, err := v.Begin(t.Context(), v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	s := testSchema()
	if err := r.SetSchema(s); err != nil {
		t.Fatal(err)
	}
	w, err := r.Table(t.Context(), s.Table("account"), ModeDelta)
	if err != nil {
		t.Fatal(err)
	}
	for n, b := range contents {
		f, err := w.PutFile(t.Context(), ref("account", n), allod.FileRef{Name: "doc", SourceID: "x"}, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		row := account(n, name)
		row.Cells = append(row.Cells, allod.FileValue(f))
		if err := w.Put(row); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	snap, err := r.Commit(t.Context(), Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// TestEveryCallOfARectificationFails lets each call of one fail in turn, to the
// store and to the place of slots, not done and done but failed. What the next
// process finds is the old value or the new one, in all versions, never both
// and never none; it can correct again, and then nobody has an old slot.
func TestEveryCallOfARectificationFails(t *testing.T) {
	base := newVault(t, mem.New(mem.Options{}))
	first := base.putFiles(t, "wrong 2", map[int][]byte{2: []byte("file"), 3: []byte("other")})
	base.mustCapture(ModeDelta, map[int]string{2: "wrong 2, later", 3: "wrong 2"})
	outcomes := map[string]int{}
	steps := map[string]int{"store": 5, "slots": 1}
	if os.Getenv("ALLOD_INTEGRATION") != "" {
		steps["store"] = 1
	}
	for _, where := range []string{"store", "slots"} {
		for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
			for k := 1; ; k += steps[where] {
				sf, pf := fault.Fault{Call: k, Mode: mode, Down: true}, fault.Fault{Call: -1}
				if where == "slots" {
					sf, pf = pf, sf
				}
				store, place := fault.New(copyStore(t, base.store), sf), fault.New(copySlots(t, base.slots), pf)
				b := *base
				b.cfg.Slots = []blob.Mutable{place}
				v, err := b.tryOpen(store)
				if err == nil {
					_, err = v.rectify(2, "right", RectifyOptions{})
				}
				calls := store.Calls()
				if where == "slots" {
					calls = place.Calls()
				}
				if calls < k {
					break
				}
				what := fmt.Sprintf("%s, mode %d, call %d", where, mode, k)
				b.cfg.Slots = []blob.Mutable{place.Inner()}
				after := b.reopen(store.Inner())
				h, readErr := after.History(t.Context(), after.session(gate.ActionRead), "contoso", ref("account", 2))
				if readErr != nil || len(h) != 2 || h[0].Row == nil || h[1].Row == nil {
					t.Fatalf("%s: got %+v, %v, want two versions", what, h, readErr)
				}
				switch got := h[1].Row.Cell(0).Text() + ", " + h[0].Row.Cell(0).Text(); {
				case got == "right, right":
					outcomes["new"]++
				case got == "wrong 2, wrong 2, later" && err != nil:
					outcomes["old"]++
				default:
					t.Fatalf("%s: got %q, %v", what, got, err)
				}
				if rep, err := after.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
					t.Fatalf("%s: verify: %+v, %v", what, rep, err)
				}
				if _, err := after.rectify(2, "right", RectifyOptions{}); err != nil {
					t.Fatalf("%s: once more: %v", what, err)
				}
				wantOnlyEpoch(t, place.Inner(), after.log.Epoch())
				b.reopen(store.Inner()).wantRows(first.ID, map[int]string{2: "right", 3: "wrong 2"})
			}
		}
	}
	if outcomes["old"] == 0 || outcomes["new"] == 0 {
		t.Errorf("outcomes: got %v, want both", outcomes)
	}
}

// TestWritersBetween captures, and erases another record, while versions are
// sealed anew: nothing that came meanwhile is lost or keeps the old value.
func TestWritersBetween(t *testing.T) {
	for what, meanwhile := range map[string]func(v *testVault) error{
		"a capture": func(v *testVault) error {
			_, _, err := v.captureRows(ModeDelta, map[int]string{2: "wrong, newer"})
			return err
		},
		"an erasure":            func(v *testVault) error { return v.puncture(3) },
		"another rectification": func(v *testVault) error { _, err := v.rectify(2, "other", RectifyOptions{}); return err },
	} {
		t.Run(what, func(t *testing.T) {
			v := newVault(t, mem.New(mem.Options{}))
			first := v.mustCapture(ModeFull, numbered(2, "wrong"))
			other := v.reopen(v.store)
			tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 2)})
			if err != nil {
				t.Fatal(err)
			}
			tries := 0
			record := reseal.Record{Table: tags[0].Table, Tag: tags[0].Tag, Change: func(at *reseal.Version) (bool, error) {
				at.Row.Cells[0] = allod.StringValue("right")
				if tries++; tries > 1 {
					return true, nil
				}
				return true, meanwhile(other)
			}}
			if _, _, err := v.Rectify(t.Context(), v.session(gate.ActionErase), "contoso", []reseal.Record{record}, RectifyOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, w := range []*testVault{v, other, v.reopen(v.store)} {
				w.wantRows(first.ID, map[int]string{1: "wrong 1", 2: "right"})
				w.wantRows(0, map[int]string{1: "wrong 1", 2: "right"})
				if got := w.everything(); strings.Contains(got, "wrong 2") || strings.Contains(got, "newer") || strings.Contains(got, "other") {
					t.Errorf("what can be opened:\n%s", got)
				}
			}
			if rep, err := v.Verify(t.Context(), verify.Options{Sample: 1}); err != nil || len(rep.Bad) != 0 {
				t.Errorf("verify: got %+v, %v", rep, err)
			}
		})
	}
}

// TestRectifyRefuses names what cannot be sealed anew, and changes nothing then.
func TestRectifyRefuses(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	if err := v.puncture(3); err != nil {
		t.Fatal(err)
	}
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 2), ref("account", 3)})
	if err != nil {
		t.Fatal(err)
	}
	record := func(t RecordTag) reseal.Record { return reseal.Record{Table: t.Table, Tag: t.Tag} }
	before := v.log.Chain().N
	for _, tc := range []struct {
		what    string
		session gate.Session
		records []reseal.Record
		check   error
		want    allod.Kind
	}{
		{"a session to read", v.session(gate.ActionRead), []reseal.Record{record(tags[0])}, nil, allod.Denied},
		{"one that was erased", v.session(gate.ActionErase), []reseal.Record{record(tags[1])}, nil, allod.NotFound},
		{"one twice", v.session(gate.ActionErase), []reseal.Record{record(tags[0]), record(tags[0])}, nil, allod.Invalid},
		{"refused at the last moment", v.session(gate.ActionErase), []reseal.Record{record(tags[0])}, allod.Errorf(allod.Denied, "held"), allod.Denied},
	} {
		_, _, err := v.Rectify(t.Context(), tc.session, "contoso", tc.records, RectifyOptions{Check: func(context.Context) error { return tc.check }})
		if allod.KindOf(err) != tc.want {
			t.Errorf("%s: got %v, want kind %v", tc.what, err, tc.want)
		}
	}
	if n := v.log.Chain().N; n != before {
		t.Errorf("the log has %d entries, %d before", n, before)
	}
	seen, err := v.Corrections(t.Context(), v.session(gate.ActionRead), "contoso", []reseal.Record{record(tags[0])})
	if err != nil || seen.Versions != 1 || seen.Changed != 0 || len(seen.Objects) != 0 {
		t.Errorf("to look: got %+v, %v", seen, err)
	}
}

// TestRectifyTakesBothRoles plans with a slot that reads. What opens rows and
// destroys keys, forgetting the past too, is refused to a slot that has one half
// of it, and nothing has changed.
func TestRectifyTakesBothRoles(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	v.mustCapture(ModeFull, numbered(3, "x"))
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", 2)})
	if err != nil {
		t.Fatal(err)
	}
	records := []reseal.Record{{Table: tags[0].Table, Tag: tags[0].Tag}}
	before := v.log.Chain().N
	for _, role := range []keyring.Role{keyring.RoleRead, keyring.RoleErase} {
		w := v.as(role, mem.New(mem.Options{}))
		seen, err := w.Corrections(t.Context(), w.session(gate.ActionRead), "contoso", records)
		if role == keyring.RoleRead && (err != nil || seen.Versions != 1) || role == keyring.RoleErase && allod.KindOf(err) != allod.Denied {
			t.Errorf("%s plans: got %+v, %v", role, seen, err)
		}
		if _, _, err := w.Rectify(t.Context(), w.session(gate.ActionErase), "contoso", records, RectifyOptions{}); allod.KindOf(err) != allod.Denied {
			t.Errorf("%s corrects: got %v, want kind denied", role, err)
		}
		if _, err := w.Erase(t.Context(), w.session(gate.ActionErase), tags, EraseOptions{Past: true}); allod.KindOf(err) != allod.Denied {
			t.Errorf("%s forgets the past: got %v, want kind denied", role, err)
		}
	}
	if n := v.log.Chain().N; n != before {
		t.Errorf("the log has %d entries, %d before", n, before)
	}
}
