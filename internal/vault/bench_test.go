package vault

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
)

// wideTable is a table like contact: 40 columns, a third of them null.
func wideTable() (*allod.Schema, *allod.Table) {
	s := &allod.Schema{Tables: []allod.Table{{Name: "account", ID: allod.GUID{1}}, {Name: "contact", ID: allod.GUID{2}}, {Name: "systemuser", ID: allod.GUID{3}}}}
	types := []allod.Type{allod.String, allod.String, allod.Lookup, allod.DateTime, allod.Integer, allod.Boolean, allod.Decimal, allod.String}
	for i := range 40 {
		s.Tables[1].Columns = append(s.Tables[1].Columns, allod.Column{Name: fmt.Sprintf("column%02d", i), Type: types[i%len(types)]})
	}
	return s, &s.Tables[1]
}

var words = strings.Fields("north river stone anna maria peter street avenue sales service central partner global trade house market young green silver lake")

// wideRow fills a row from its number; version changes one cell.
func wideRow(t *allod.Table, n, version int, row *allod.Row) {
	src := rand.New(rand.NewPCG(uint64(n), 7))
	row.Table = t.Name
	binary.BigEndian.PutUint64(row.Key[:8], src.Uint64())
	binary.BigEndian.PutUint64(row.Key[8:], uint64(n)+1)
	row.Version, row.Modified = uint64(n+version), time.Unix(1_700_000_000+int64(n), 0).UTC()
	row.Cells = row.Cells[:0]
	for i, c := range t.Columns {
		var v allod.Value
		switch {
		case i%3 == 2:
			v = allod.NullValue()
		case c.Type == allod.Lookup:
			v = allod.LookupValue("systemuser", allod.GUID{1, byte(src.IntN(50))})
		case c.Type == allod.DateTime:
			v = allod.TextValue(allod.DateTime, time.Unix(1_600_000_000+src.Int64N(1e8), 0).UTC().Format("2006-01-02T15:04:05Z"))
		case c.Type == allod.Integer:
			v = allod.IntegerValue(src.Int64N(100_000))
		case c.Type == allod.Boolean:
			v = allod.BooleanValue(src.IntN(2) == 0)
		case c.Type == allod.Decimal:
			v = allod.TextValue(allod.Decimal, strconv.Itoa(src.IntN(1e6))+".0000")
		default:
			v = allod.StringValue(words[src.IntN(len(words))] + " " + words[src.IntN(len(words))] + " " + strconv.Itoa(src.IntN(10000)))
		}
		if i == 0 && version > 0 {
			v = allod.StringValue("version " + strconv.Itoa(version))
		}
		row.Cells = append(row.Cells, v)
	}
}

func captureWide(t testing.TB, v *testVault, rows, version int, watch func()) (allod.Snapshot, Changes, time.Duration) {
	t.Helper()
	ctx := t.Context()
	s, table := wideTable()
	r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	if err := r.SetSchema(s); err != nil {
		t.Fatal(err)
	}
	w, err := r.Table(ctx, table, ModeFull)
	if err != nil {
		t.Fatal(err)
	}
	var row allod.Row
	var spent time.Duration
	for n := range rows {
		wideRow(table, n, version, &row)
		begin := time.Now()
		if err := w.Put(&row); err != nil {
			t.Fatal(err)
		}
		spent += time.Since(begin)
		if n%50_000 == 0 {
			watch()
		}
	}
	begin := time.Now()
	c, err := w.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	watch()
	snap, err := r.Commit(ctx, Manifest{Complete: true})
	if err != nil {
		t.Fatal(err)
	}
	watch()
	return snap, c, spent + time.Since(begin)
}

// TestMemory captures a table much larger than what is kept in memory, twice,
// and reads it, watching the live heap. By default 60,000 rows × 40 columns;
// ALLOD_LONG=1 takes a million.
func TestMemory(t *testing.T) {
	rows := 60_000
	if testing.Short() {
		t.Skip("measures memory, which -race changes")
	}
	if os.Getenv("ALLOD_LONG") != "" {
		rows = 1_000_000
	}
	dir, err := file.Create(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t, dir)
	peak := uint64(0)
	watch := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				watch()
			}
		}
	}()
	first, _, d := captureWide(t, v, rows, 0, func() {})
	t.Logf("first full capture: %d rows, %.0f rows/s, %.0f bytes/row", rows, float64(rows)/d.Seconds(), float64(first.StoredBytes)/float64(rows))
	_, c, d := captureWide(t, v, rows, 0, func() {})
	if c != (Changes{Before: int64(rows), Unchanged: int64(rows)}) {
		t.Errorf("second capture: got %+v, want everything unchanged", c)
	}
	t.Logf("second full capture, unchanged: %.0f rows/s", float64(rows)/d.Seconds())
	begin := time.Now()
	s, err := v.reopen(dir).At(t.Context(), v.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range s.Rows(t.Context(), "contact") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	t.Logf("scan: %.0f rows/s", float64(n)/time.Since(begin).Seconds())
	close(stop)
	<-stopped
	t.Logf("peak heap in use: %d MiB", peak>>20)
	if peak > 150<<20 {
		t.Errorf("peak heap in use: got %d MiB, want at most 150", peak>>20)
	}
	if n != rows {
		t.Errorf("rows: got %d, want %d", n, rows)
	}
	if left, _ := filepath.Glob(filepath.Join(v.cfg.TempDir, "allod-*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

// endless yields n bytes and counts nothing in memory.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	k := int(min(int64(len(p)), e.n))
	for i := range p[:k] {
		p[i] = byte(e.n + int64(i))
	}
	e.n -= int64(k)
	return k, nil
}

// TestLargeFile streams a large file in and out. By default 40 MB; with
// ALLOD_LONG=1 1 GB.
func TestLargeFile(t *testing.T) {
	size := int64(40 << 20)
	if os.Getenv("ALLOD_LONG") != "" {
		size = 1 << 30
	}
	dir, err := file.Create(t.TempDir(), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t, dir)
	r, w := begin(t, v, "contoso")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := w.PutFile(t.Context(), ref("account", 1), allod.FileRef{Name: "large"}, &endless{size})
	if err != nil {
		t.Fatal(err)
	}
	row := account(1, "x")
	row.Cells = append(row.Cells, allod.FileValue(f))
	if err := w.Put(row); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), Manifest{}); err != nil {
		t.Fatal(err)
	}
	s, err := v.At(t.Context(), v.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.OpenFile(t.Context(), row, "document")
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil || in.Close() != nil || fmt.Sprintf("%x", h.Sum(nil)) != f.SHA256 || f.Size != size {
		t.Errorf("the file came back changed: %v", err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 64<<20 {
		t.Errorf("heap grew by %d MiB for a file of %d MiB", grown>>20, size>>20)
	}
}

func BenchmarkCapture(b *testing.B) {
	const rows = 50_000
	for b.Loop() {
		dir, err := file.Create(b.TempDir(), file.Options{})
		if err != nil {
			b.Fatal(err)
		}
		v := newVault(b, dir)
		snap, _, d := captureWide(b, v, rows, 0, func() {})
		b.ReportMetric(rows/d.Seconds(), "rows/s")
		b.ReportMetric(float64(snap.StoredBytes)/rows, "B/row")
	}
}

func wideVault(b *testing.B, rows int) (*testVault, *Snapshot, *allod.Table) {
	dir, err := file.Create(b.TempDir(), file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	v := newVault(b, dir)
	captureWide(b, v, rows, 0, func() {})
	v = v.reopen(dir)
	s, err := v.At(b.Context(), v.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		b.Fatal(err)
	}
	_, t := wideTable()
	return v, s, t
}

func BenchmarkPointRead(b *testing.B) {
	const rows = 50_000
	v, s, t := wideVault(b, rows)
	for _, cold := range []bool{false, true} {
		name := "warm"
		if cold {
			name = "cold"
		}
		b.Run(name, func(b *testing.B) {
			var row allod.Row
			for i := 0; b.Loop(); i++ {
				if cold {
					v.content.ForgetPacks()
				}
				wideRow(t, i*7919%rows, 0, &row)
				got, err := s.Get(b.Context(), "contact", []allod.RecordRef{{Key: row.Key}})
				if err != nil || len(got) != 1 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	const rows = 50_000
	_, s, _ := wideVault(b, rows)
	for b.Loop() {
		for _, err := range s.Rows(b.Context(), "contact") {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkEraseAfterSnapshots erases one record of a vault with 1 or 1,000
// snapshots, from the plan's tags to the last old slot, in memory: it must not
// depend on how many there are.
func BenchmarkEraseAfterSnapshots(b *testing.B) {
	for _, snapshots := range []int{1, 1000} {
		b.Run(strconv.Itoa(snapshots), func(b *testing.B) {
			v := newVault(b, mem.New(mem.Options{}))
			v.mustCapture(ModeFull, numbered(2000, "x"))
			for i := range snapshots - 1 {
				v.mustCapture(ModeDelta, map[int]string{1 + i%50: "y" + strconv.Itoa(i)})
			}
			refs := []allod.RecordRef{}
			for n := range 2000 {
				refs = append(refs, ref("account", n+1))
			}
			tags, err := v.Tags(b.Context(), v.session(gate.ActionRead), "contoso", refs)
			if err != nil {
				b.Fatal(err)
			}
			s := v.session(gate.ActionErase)
			bytes := packBytes(b, v)
			for i := 0; b.Loop(); i++ {
				if _, err := v.Erase(b.Context(), s, tags[i%2000:i%2000+1], EraseOptions{}); err != nil {
					b.Fatal(err)
				}
				if _, err := v.DestroySlots(b.Context(), s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(packBytes(b, v)-bytes), "pack-bytes-rewritten")
		})
	}
}

// BenchmarkErase500Roots erases 500 records, in memory from the tags to the last
// old slot, of a vault with one root of the key tree or with three. It reports
// what is written of the tree.
func BenchmarkErase500Roots(b *testing.B) {
	for _, roots := range []int{1, 3} {
		b.Run(strconv.Itoa(roots), func(b *testing.B) {
			base := newVault(b, mem.New(mem.Options{}))
			base.mustCapture(ModeFull, numbered(2000, "x"))
			for range roots - 1 {
				if err := base.beginRoot(); err != nil {
					b.Fatal(err)
				}
			}
			var refs []allod.RecordRef
			for n := range 500 {
				refs = append(refs, ref("account", n+1))
			}
			tags, err := base.Tags(b.Context(), base.session(gate.ActionRead), "contoso", refs)
			if err != nil {
				b.Fatal(err)
			}
			written := int64(0)
			for b.Loop() {
				b.StopTimer()
				v := *base
				v.slots = copySlots(b, base.slots)
				v.cfg.Slots = []blob.Mutable{v.slots}
				v = *v.reopen(copyStore(b, base.store))
				s := v.session(gate.ActionErase)
				b.StartTimer()
				done, err := v.Erase(b.Context(), s, tags, EraseOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if err := v.destroySlots(s); err != nil {
					b.Fatal(err)
				}
				written = done.Written
			}
			b.ReportMetric(float64(written), "tree-bytes")
		})
	}
}

func packBytes(b *testing.B, v *testVault) int64 {
	n := int64(0)
	for info, err := range v.store.List(b.Context(), "packs/") {
		if err != nil {
			b.Fatal(err)
		}
		n += info.Size
	}
	return n
}
