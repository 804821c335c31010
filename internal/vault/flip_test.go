package vault

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
)

// flipStore gives out one object with one bit changed.
type flipStore struct {
	blob.Store
	name string
	at   int64
	bit  byte
}

func (s *flipStore) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, name, off, n)
	if err != nil || name != s.name {
		return r, err
	}
	return &flipReader{r, s.at - off, s.bit}, nil
}

type flipReader struct {
	io.ReadCloser
	at  int64
	bit byte
}

func (r *flipReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.at >= 0 && r.at < int64(n) {
		p[r.at] ^= r.bit
	}
	r.at -= int64(n)
	return n, err
}

// damaged makes a vault of about 200 kB with packs, a file object, several
// snapshots and a punctured key tree page.
func damaged(t *testing.T) (*testVault, map[allod.SnapshotID]map[int]string, []byte) {
	v := newVault(t, mem.New(mem.Options{}))
	want := map[allod.SnapshotID]map[int]string{}
	want[v.mustCapture(ModeFull, numbered(150, "first")).ID] = numbered(150, "first")
	second := numbered(150, "first")
	second[7], second[200] = "other", "other"
	want[v.mustCapture(ModeDelta, map[int]string{7: "other", 200: "other"}).ID] = second
	big := make([]byte, 2*smallFile/3*2)
	for i := range big {
		big[i] = byte(i * 7)
	}
	big = big[:smallFile+100]
	r, err := v.Begin(t.Context(), v.session(gate.ActionCapture), RunOptions{Environment: "contoso"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	w, err := r.Table(t.Context(), testSchema().Table("account"), ModeDelta)
	if err != nil {
		t.Fatal(err)
	}
	for n, b := range map[int][]byte{7: big, 8: big[:5000]} {
		f, err := w.PutFile(t.Context(), ref("account", n), allod.FileRef{Name: "doc"}, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		row := account(n, "filed")
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
	third := map[int]string{}
	for n, s := range second {
		third[n] = s
	}
	third[7], third[8] = "filed", "filed"
	want[snap.ID] = third
	return v, want, big
}

// TestFlippedBits changes bytes of every object of a vault of 300 kB in turn:
// verify names the object, and no read returns anything but what was stored.
// By default a sample; with ALLOD_LONG=1 every byte.
func TestFlippedBits(t *testing.T) {
	v, want, big := damaged(t)
	long := os.Getenv("ALLOD_LONG") != ""
	flip := &flipStore{Store: v.store}
	w := v.reopen(flip)
	total := 0
	for _, name := range objectNames(t, v.store) {
		size := len(objectBytes(t, v.store, name))
		step := 1
		if !long {
			step = max(1, size/60)
		}
		for at := 0; at < size; at += step {
			total++
			flip.name, flip.at, flip.bit = name, int64(at), 1<<(at%8)
			w.packs.clear()
			clear(w.env.schemas)
			rep, err := w.Verify(t.Context(), VerifyOptions{Sample: 1})
			if err != nil {
				t.Fatalf("%s byte %d: %v", name, at, err)
			}
			found := false
			for _, b := range rep.Bad {
				found = found || b.Object == name
			}
			if !found {
				t.Fatalf("%s byte %d: verify does not name it: %+v", name, at, rep.Bad)
			}
			w.packs.clear()
			clear(w.env.schemas)
			readDamaged(t, w, want, big)
			if at%(20*step) == 0 {
				if x, err := v.tryOpen(flip); err == nil {
					readDamaged(t, x, want, big)
				} else if allod.KindOf(err) != allod.Corrupt && allod.KindOf(err) != allod.Invalid {
					t.Fatalf("%s byte %d: open: %v, want kind corrupt", name, at, err)
				}
			}
		}
		flip.name = ""
	}
	t.Logf("%d flips", total)
}

// readDamaged reads everything: each value is right or there is an error.
func readDamaged(t *testing.T, v *testVault, want map[allod.SnapshotID]map[int]string, big []byte) {
	t.Helper()
	for id, rows := range want {
		got, err := v.rowsAt(id)
		for n, name := range got {
			if rows[n] != name {
				t.Fatalf("snapshot %d: row %d has a changed value", id, n)
			}
		}
		if err == nil && len(got) != len(rows) {
			t.Fatalf("snapshot %d: %d of %d rows and no error", id, len(got), len(rows))
		}
		if err != nil && allod.KindOf(err) != allod.Corrupt {
			t.Fatalf("snapshot %d: %v, want kind corrupt", id, err)
		}
		s, err := v.At(t.Context(), v.session(gate.ActionRead), "contoso", id)
		if err != nil {
			continue
		}
		found, err := s.Get(t.Context(), "account", []allod.RecordRef{ref("account", 7), ref("account", 8)})
		if err != nil {
			continue
		}
		for _, row := range found {
			f, err := s.OpenFile(t.Context(), &row, "document")
			if err != nil {
				continue
			}
			b, err := io.ReadAll(f)
			_ = f.Close() // read only
			full := big
			if row.Key == key(8) {
				full = big[:5000]
			}
			if !bytes.HasPrefix(full, b) || err == nil && len(b) != len(full) {
				t.Fatal("a file has a changed byte")
			}
		}
	}
}

// TestMissingObjects takes each object away: verify names it as missing.
func TestMissingObjects(t *testing.T) {
	v, _, _ := damaged(t)
	for _, name := range objectNames(t, v.store) {
		store := copyStore(t, v.store)
		if err := store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		w := v.reopen(v.store)
		w.cfg.Store = sideStore{store, v.side}
		w.packs.clear()
		rep, err := w.Verify(t.Context(), VerifyOptions{Sample: 1})
		if err != nil {
			t.Fatal(err)
		}
		ok := false
		for _, b := range rep.Bad {
			ok = ok || b.Object == name && b.Kind == "missing"
		}
		if !ok {
			t.Errorf("%s is gone: verify says %+v", name, rep.Bad)
		}
	}
}

// TestLongFlippedBits flips 1,000 random bits of a vault of 100 MB.
func TestLongFlippedBits(t *testing.T) {
	if os.Getenv("ALLOD_LONG") == "" {
		t.Skip("takes minutes: ALLOD_LONG=1 runs it")
	}
	dir, err := file.Create(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t, dir)
	const rows = 50_000
	payload := make([]byte, 2000)
	rng := rand.New(rand.NewPCG(1, 2))
	r, w := begin(t, v, "contoso")
	value := func(n int) string {
		src := rand.New(rand.NewPCG(uint64(n), 5))
		for i := range payload {
			payload[i] = byte(32 + src.IntN(90))
		}
		return string(payload)
	}
	ref := func(n int) allod.RecordRef {
		return allod.RecordRef{Table: "account", Key: allod.GUID{1, byte(n >> 16), byte(n >> 8), byte(n)}}
	}
	for n := range rows {
		if err := w.Put(&allod.Row{Key: ref(n).Key, Cells: []allod.Value{allod.StringValue(value(n))}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), Manifest{}); err != nil {
		t.Fatal(err)
	}
	names := objectNames(t, dir)
	sizes := make([]int64, len(names))
	total := int64(0)
	for i, name := range names {
		info, err := dir.Stat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		sizes[i] = info.Size
		total += info.Size
	}
	t.Logf("%d bytes", total)
	flip := &flipStore{Store: dir}
	x := v.reopen(flip)
	for i := range 1000 {
		at := rng.Int64N(total)
		j := 0
		for at >= sizes[j] {
			at -= sizes[j]
			j++
		}
		flip.name, flip.at, flip.bit = names[j], at, 1<<rng.IntN(8)
		rep, err := x.Verify(t.Context(), VerifyOptions{Public: true})
		if err != nil || len(rep.Bad) == 0 || rep.Bad[0].Object != names[j] {
			t.Fatalf("%s byte %d: verify says %+v, %v", names[j], at, rep.Bad, err)
		}
		x.packs.clear()
		x.packs.blocks = nil
		s, err := x.At(t.Context(), x.session(gate.ActionRead), "contoso", 0)
		if err != nil {
			continue
		}
		for range 50 {
			n := rng.IntN(rows)
			got, err := s.Get(t.Context(), "account", []allod.RecordRef{ref(n)})
			if err == nil && (len(got) != 1 || got[0].Cell(0).Text() != value(n)) {
				t.Fatalf("%s byte %d: a row has a changed value", names[j], at)
			}
		}
		if i%50 == 0 {
			for row, err := range s.Rows(t.Context(), "account") {
				if err != nil {
					break
				}
				if n := int(row.Key[1])<<16 | int(row.Key[2])<<8 | int(row.Key[3]); row.Cell(0).Text() != value(n) {
					t.Fatalf("%s byte %d: a row has a changed value", names[j], at)
				}
			}
		}
	}
}
