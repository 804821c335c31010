package vault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/verify"
)

// flipStore gives out one object with one bit changed.
type flipStore struct {
	blob.Mutable
	name string
	at   int64
	bit  byte
}

func (s *flipStore) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	r, err := s.Mutable.Get(ctx, name, off, n)
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

// stored is what a vault made for damage holds.
type stored struct {
	*testVault
	rows    map[allod.SnapshotID]map[int]string
	files   map[allod.GUID][]byte
	history []string // of row 7, newest first
	entries []ledger.Entry
	session gate.Session
}

// damaged makes a vault of about 200 kB with everything a vault has: three
// snapshots, a small file and a file object, a punctured key tree, two slots, a
// checkpoint, a ledger.
func damaged(t *testing.T) *stored {
	store := mem.New(mem.Options{})
	s := &stored{testVault: newVaultWith(t, store, store, "plain", "second"), rows: map[allod.SnapshotID]map[int]string{}}
	v := s.testVault
	first := numbered(250, "first")
	s.rows[v.mustCapture(ModeFull, first).ID] = first
	second := maps.Clone(first)
	second[7], second[300] = "other", "other"
	s.rows[v.mustCapture(ModeDelta, map[int]string{7: "other", 300: "other"}, 9).ID] = second
	delete(second, 9)
	big := make([]byte, 120_000)
	for i := range big {
		big[i] = byte(i * 7)
	}
	s.files = map[allod.GUID][]byte{key(7): big, key(8): big[:5000]}
	v.fileObject = 20_000 // instead of 256 KiB
	r, err := v.Begin(t.Context(), v.session(gate.ActionCapture), RunOptions{Environment: "contoso"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	w, err := r.Table(t.Context(), testSchema().Table("account"), ModeDelta)
	if err != nil {
		t.Fatal(err)
	}
	for n := 7; n <= 8; n++ {
		f, err := w.PutFile(t.Context(), ref("account", n), allod.FileRef{Name: "doc"}, bytes.NewReader(s.files[key(n)]))
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
	third := maps.Clone(second)
	third[7], third[8] = "filed", "filed"
	s.rows[snap.ID] = third
	s.history = []string{"filed", "other", "first 7"}
	if err := v.puncture(10); err != nil {
		t.Fatal(err)
	}
	for _, rows := range s.rows {
		delete(rows, 10)
	}
	// What no slot opens any more is not part of the vault.
	if err := store.Delete(t.Context(), "keytree/00000001/00000000000000000001/root"); err != nil {
		t.Fatal(err)
	}
	last, err := v.log.Entry(uint64(snap.ID))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.log.Checkpoint(t.Context(), last, v.content.Absents(), v.signer); err != nil {
		t.Fatal(err)
	}
	s.session = v.session(gate.ActionRead)
	l := s.ledger(t, v)
	for n := range l.Head().Size {
		e, err := l.Get(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		s.entries = append(s.entries, e)
	}
	return s
}

func (s *stored) ledger(t *testing.T, v *testVault) *ledger.Ledger {
	c, err := v.LedgerConfig()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// victim is one worker's view of the stored vault, with one byte changed.
type victim struct {
	*stored
	flip, slots *flipStore // one of them names the object
	open        *testVault // opened before anything was changed
}

func (s *stored) victim(t *testing.T) *victim {
	x := &victim{stored: s, flip: &flipStore{Mutable: s.store.(blob.Mutable)}, slots: &flipStore{Mutable: s.testVault.slots}}
	w := *s.testVault
	w.side = x.flip
	w.Vault = &Vault{cfg: s.cfg}
	w.cfg.Slots = []blob.Mutable{x.slots}
	open, err := w.tryOpen(x.flip)
	if err != nil {
		t.Fatal(err)
	}
	x.open = open
	return x
}

// try changes one byte and says what is wrong with how that is dealt with, ""
// for nothing. With all it reads everything whatever the object.
func (x *victim) try(ctx context.Context, name string, at int, all bool) string {
	to := x.flip
	if strings.HasPrefix(name, "slots/") {
		to = x.slots
	}
	to.name, to.at, to.bit = name, int64(at), 1<<(at%8)
	defer func() { to.name = "" }()
	kind, _, _ := strings.Cut(name, "/")
	options := verify.Options{Public: true}
	switch {
	case all:
		options = verify.Options{Sample: 1}
	case kind == "keytree": // without keys nobody can check it
		options = verify.Options{}
	}
	if bad := x.verify(ctx, name, options); bad != "" {
		return bad
	}
	x.open.content.Forget()
	if bad := x.read(ctx, x.open, func(id allod.SnapshotID) bool { return all || x.involves(name, id) }); bad != "" {
		return bad
	}
	switch kind {
	case "packs", "files", "checkpoints":
		if !all {
			return "" // opening a vault does not read them
		}
	}
	fresh, err := x.open.tryOpen(x.flip)
	if err == nil {
		defer func() { _ = fresh.Close() }() // of keys alone
		return x.read(ctx, fresh, func(allod.SnapshotID) bool { return all })
	}
	if k := allod.KindOf(err); k != allod.Corrupt && k != allod.Invalid && k != allod.Denied {
		return fmt.Sprintf("open: %v, of kind %v", err, k)
	}
	if !strings.Contains(err.Error(), name) {
		return fmt.Sprintf("open does not name it: %v", err)
	}
	return ""
}

func (x *victim) verify(ctx context.Context, name string, o verify.Options) string {
	rep, err := x.open.Verify(ctx, o)
	if err != nil {
		return fmt.Sprintf("verify: %v", err)
	}
	if !slices.ContainsFunc(rep.Bad, func(b verify.Bad) bool { return b.Object == name }) {
		return fmt.Sprintf("verify does not name it: %+v", rep.Bad)
	}
	return ""
}

// involves reports whether a snapshot is read from the object.
func (x *victim) involves(name string, id allod.SnapshotID) bool {
	if n, ok := vlog.ParseEntryName(name); ok {
		return n == uint64(id)
	}
	for _, e := range x.log.Entries() {
		if e.N <= uint64(id) && slices.ContainsFunc(e.Objects, func(o vlog.Object) bool { return o.Name() == name }) {
			return true
		}
	}
	return false
}

// read reads snapshots, files and the history of a record, and the ledger:
// each value is the one stored or there is an error.
func (x *victim) read(ctx context.Context, v *testVault, which func(allod.SnapshotID) bool) string {
	any := false
	for id, rows := range x.rows {
		if !which(id) {
			continue
		}
		any = true
		s, err := v.At(ctx, x.session, "contoso", id)
		if err != nil {
			if allod.KindOf(err) != allod.Corrupt {
				return fmt.Sprintf("open snapshot %d: %v, want kind corrupt", id, err)
			}
			continue
		}
		if bad := x.readRows(ctx, s, rows); bad != "" {
			return fmt.Sprintf("snapshot %d: %s", id, bad)
		}
		if bad := x.readFiles(ctx, s); bad != "" {
			return fmt.Sprintf("snapshot %d: %s", id, bad)
		}
	}
	if any {
		if bad := x.readHistory(ctx, v); bad != "" {
			return bad
		}
	}
	if strings.HasPrefix(x.flip.name, "ledger/") {
		return x.readLedger(ctx, v)
	}
	return ""
}

func (x *victim) readRows(ctx context.Context, s *Snapshot, want map[int]string) string {
	n := 0
	for row, err := range s.Rows(ctx, "account") {
		if err != nil {
			if allod.KindOf(err) != allod.Corrupt {
				return fmt.Sprintf("%v, want kind corrupt", err)
			}
			return ""
		}
		n++
		i := int(row.Key[14])<<8 | int(row.Key[15])
		if name, ok := want[i]; !ok || row.Cell(0).Text() != name || row.Version != uint64(i) || !row.Modified.Equal(time.Unix(int64(i), 0)) || row.Cell(1).Text() != "12.3400" {
			return fmt.Sprintf("row %d has a changed value", i)
		}
	}
	if n != len(want) {
		return fmt.Sprintf("%d of %d rows and no error", n, len(want))
	}
	for d, err := range s.Deleted(ctx, "account") {
		if err == nil && (d.Ref.Key != key(9) || d.Reason != allod.DeleteSaid) {
			return "a deletion has a changed value"
		}
	}
	return ""
}

func (x *victim) readFiles(ctx context.Context, s *Snapshot) string {
	found, err := s.Get(ctx, "account", []allod.RecordRef{ref("account", 7), ref("account", 8)})
	if err != nil {
		return ""
	}
	if len(found) != 2 {
		return fmt.Sprintf("%d of 2 records and no error", len(found))
	}
	for _, row := range found {
		if row.Cell(0).Text() != "filed" {
			continue // of an earlier snapshot
		}
		f, err := s.OpenFile(ctx, &row, "document")
		if err != nil {
			continue
		}
		b, err := io.ReadAll(f)
		_ = f.Close() // read only
		want := x.files[row.Key]
		if !bytes.HasPrefix(want, b) || err == nil && len(b) != len(want) {
			return "a file has a changed byte"
		}
	}
	return ""
}

func (x *victim) readHistory(ctx context.Context, v *testVault) string {
	versions, err := v.History(ctx, x.session, "contoso", ref("account", 7))
	if err != nil {
		return ""
	}
	var got []string
	for _, version := range versions {
		if version.Row != nil {
			got = append(got, version.Row.Cell(0).Text())
		}
	}
	if !slices.Equal(got, x.history) {
		return fmt.Sprintf("history: got %v, want %v", got, x.history)
	}
	return ""
}

func (x *victim) readLedger(ctx context.Context, v *testVault) string {
	c, err := v.LedgerConfig()
	if err != nil {
		return err.Error()
	}
	l, err := ledger.Open(ctx, c)
	if err != nil {
		return ""
	}
	for n, want := range x.entries {
		if e, err := l.Get(ctx, int64(n)); err == nil && fmt.Sprint(e) != fmt.Sprint(want) {
			return fmt.Sprintf("entry %d of the ledger has a changed value", n)
		}
	}
	return ""
}

// side by side runs jobs on all cores and collects what they complain of.
func sideBySide(t *testing.T, jobs int, worker func() func(job int) string) {
	t.Helper()
	queue := make(chan int)
	var mu sync.Mutex
	var complaints []string
	var wg sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		do := worker()
		wg.Go(func() {
			for j := range queue {
				mu.Lock()
				stop := len(complaints) > 20
				mu.Unlock()
				if stop {
					continue
				}
				if bad := do(j); bad != "" {
					mu.Lock()
					complaints = append(complaints, bad)
					mu.Unlock()
				}
			}
		})
	}
	for j := range jobs {
		queue <- j
	}
	close(queue)
	wg.Wait()
	for _, c := range complaints {
		t.Error(c)
	}
}

// TestFlippedBits changes bytes of every object of a vault of about 200 kB in
// turn, one bit of each: verify names the object, and no read returns anything
// but what was stored. By default a sample; with ALLOD_LONG=1 every byte.
func TestFlippedBits(t *testing.T) {
	s := damaged(t)
	long := os.Getenv("ALLOD_LONG") != ""
	type place struct {
		name string
		at   int
		all  bool
	}
	var jobs []place
	sizes := map[string]int{}
	total := 0
	for _, store := range []blob.Store{s.store, s.slots} {
		for _, name := range objectNames(t, store) {
			size := len(objectBytes(t, store, name))
			kind, _, _ := strings.Cut(name, "/")
			sizes[kind] += size
			total += size
			step, whole := 1, 64
			if !long {
				step, whole = max(1, size/12), size/12*6
			}
			for at := 0; at < size; at += step {
				jobs = append(jobs, place{name, at, at%max(whole, 1) == 0})
			}
		}
	}
	for _, kind := range []string{"vault", "log", "checkpoints", "packs", "files", "keytree", "slots", "ledger"} {
		if sizes[kind] == 0 {
			t.Errorf("the vault has no object of kind %s", kind)
		}
	}
	objects := len(objectNames(t, s.store)) + len(objectNames(t, s.slots))
	var named atomic.Int64
	began := time.Now()
	sideBySide(t, len(jobs), func() func(int) string {
		x := s.victim(t)
		return func(j int) string {
			if bad := x.try(t.Context(), jobs[j].name, jobs[j].at, jobs[j].all); bad != "" {
				return fmt.Sprintf("%s byte %d: %s", jobs[j].name, jobs[j].at, bad)
			}
			named.Add(1)
			return ""
		}
	})
	t.Logf("%d objects of %d bytes (%v): %d bytes flipped, %d named by verify and never read as another value, in %v", objects, total, sizes, len(jobs), named.Load(), time.Since(began).Round(time.Second))
}

// swapStore can be exchanged under an open vault.
type swapStore struct{ blob.Store }

// TestMissingObjects takes each object away: verify names it as missing.
func TestMissingObjects(t *testing.T) {
	v := damaged(t)
	swap := &swapStore{v.store}
	w := *v.testVault
	w.side = swap
	whole := w.reopen(swap)
	last := fmt.Sprintf("ledger/entry/%020d", len(v.entries)-1)
	for _, name := range objectNames(t, v.store) {
		// Nothing is lost with a checkpoint; nothing in the store remembers an
		// end of the ledger that came after the last log entry.
		if strings.HasPrefix(name, "checkpoints/") || name == last {
			continue
		}
		store := copyStore(t, v.store)
		if err := store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		swap.Store = store
		rep, err := whole.Verify(t.Context(), verify.Options{Sample: 1})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(rep.Bad, func(b verify.Bad) bool { return b.Object == name && b.Kind == "missing" }) {
			t.Errorf("%s is gone: verify says %+v", name, rep.Bad)
		}
	}
}

// TestLongFlippedBits flips 1,000 random bits of a vault of 100 MB, and reads
// it whole each time.
func TestLongFlippedBits(t *testing.T) {
	if os.Getenv("ALLOD_LONG") == "" {
		t.Skip("takes minutes: ALLOD_LONG=1 runs it")
	}
	dir, err := file.Create(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t, dir)
	big := newBigRows(t, v)
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
	type place struct {
		name string
		at   int64
		bit  byte
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var jobs []place
	for range 1000 {
		at, j := rng.Int64N(total), 0
		for at >= sizes[j] {
			at -= sizes[j]
			j++
		}
		jobs = append(jobs, place{names[j], at, 1 << rng.IntN(8)})
	}
	session := v.session(gate.ActionRead)
	var named atomic.Int64
	began := time.Now()
	sideBySide(t, len(jobs), func() func(int) string {
		flip := &flipStore{Mutable: dir}
		x := v.reopen(flip)
		return func(j int) string {
			flip.name, flip.at, flip.bit = jobs[j].name, jobs[j].at, jobs[j].bit
			rep, err := x.Verify(t.Context(), verify.Options{Public: true})
			if err != nil || len(rep.Bad) != 1 || rep.Bad[0].Object != flip.name {
				return fmt.Sprintf("%s byte %d: verify says %+v, %v", flip.name, flip.at, rep.Bad, err)
			}
			x.content.Forget()
			s, err := x.At(t.Context(), session, "contoso", 0)
			if err != nil {
				named.Add(1)
				return ""
			}
			if bad := big.read(t.Context(), s, uint64(j)); bad != "" {
				return fmt.Sprintf("%s byte %d: %s", flip.name, flip.at, bad)
			}
			named.Add(1)
			return ""
		}
	})
	t.Logf("%d objects of %d bytes: %d bits flipped, %d named by verify and never read as another value, in %v", len(names), total, len(jobs), named.Load(), time.Since(began).Round(time.Second))
}

// bigRows are 50,000 rows of 2,000 bytes that do not compress well.
type bigRows struct{ count int }

func (b bigRows) ref(n int) allod.RecordRef {
	return allod.RecordRef{Table: "account", Key: allod.GUID{1, byte(n >> 16), byte(n >> 8), byte(n)}}
}

// value is the text of row n: cheap to make again.
func (b bigRows) value(n int) string {
	src := rand.NewPCG(uint64(n), 5)
	text := make([]byte, 0, 2000)
	for len(text) < cap(text) {
		for x, i := src.Uint64(), 0; i < 8; i, x = i+1, x>>8 {
			text = append(text, 32+byte(x)%90)
		}
	}
	return string(text)
}

func newBigRows(t *testing.T, v *testVault) bigRows {
	b := bigRows{50_000}
	r, w := begin(t, v, "contoso")
	for n := range b.count {
		if err := w.Put(&allod.Row{Key: b.ref(n).Key, Cells: []allod.Value{allod.StringValue(b.value(n))}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), Manifest{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// read reads all rows up to the first error, and 200 rows one by one.
func (b bigRows) read(ctx context.Context, s *Snapshot, seed uint64) string {
	rows, broken := 0, false
	for row, err := range s.Rows(ctx, "account") {
		if err != nil {
			broken = true
			break
		}
		rows++
		if n := int(row.Key[1])<<16 | int(row.Key[2])<<8 | int(row.Key[3]); row.Cell(0).Text() != b.value(n) {
			return "a row has a changed value"
		}
	}
	if !broken && rows != b.count {
		return fmt.Sprintf("%d of %d rows and no error", rows, b.count)
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	for range 200 {
		n := rng.IntN(b.count)
		got, err := s.Get(ctx, "account", []allod.RecordRef{b.ref(n)})
		if err == nil && (len(got) != 1 || got[0].Cell(0).Text() != b.value(n)) {
			return "a row has a changed value"
		}
	}
	return ""
}
