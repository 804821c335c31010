package pack

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"allod"
)

func identity(t testing.TB) *age.HybridIdentity {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func testRows(n int) []Entry {
	var out []Entry
	for i := range n {
		var tag [16]byte
		sum := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i/3)))
		copy(tag[:], sum[:])
		e := Entry{Key: MakeKey(uint32(1+i%2), tag, uint64(100-i%3), uint8(i%2)), Sealed: make([]byte, 64+i%700)}
		e.Meta[0], e.Meta[9] = byte(1+i%2), 1
		_, _ = rand.Read(e.Sealed) // never fails
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return a.Key.Compare(&b.Key) })
	return out
}

func write(t testing.TB, id *age.HybridIdentity, rows []Entry, files map[[16]byte][]byte) ([]byte, Result) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, []age.Recipient{id.Recipient()}, 7)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := w.Add(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	var ids [][16]byte
	for id := range files {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		if err := w.AddBlob(id, bytes.NewReader(files[id]), int64(len(files[id]))); err != nil {
			t.Fatal(err)
		}
	}
	res, err := w.Finish([]byte("the schema"), []byte("the manifest"))
	if err != nil {
		t.Fatal(err)
	}
	if res.Digest != sha256.Sum256(b.Bytes()) || res.Size != int64(b.Len()) {
		t.Error("digest or size is not that of the object")
	}
	return b.Bytes(), res
}

// TestPlainReaderAgrees reads a pack with age and the reader that is written
// from FORMAT.md alone.
func TestPlainReaderAgrees(t *testing.T) {
	id := identity(t)
	files := map[[16]byte][]byte{{1}: []byte("first"), {2}: bytes.Repeat([]byte("second"), 9999)}
	for _, n := range []int{0, 1, 2000} {
		rows := testRows(n)
		obj, res := write(t, id, rows, files)
		dec, err := age.Decrypt(bytes.NewReader(obj), id)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(dec)
		if err != nil {
			t.Fatal(err)
		}
		p, err := readPlain(plain)
		if err != nil {
			t.Fatal(err)
		}
		if p.environment != 7 || len(p.rows) != n || string(p.schema) != "the schema" || string(p.manifest) != "the manifest" || res.Rows != int64(n) {
			t.Errorf("plain pack: got environment %d, %d rows, want 7, %d", p.environment, len(p.rows), n)
		}
		for i, got := range p.rows {
			e := Entry{Key: MakeKey(got.table, got.tag, got.capture, got.generation), Meta: got.meta, Sealed: got.sealed}
			if e.Key != rows[i].Key || e.Meta != rows[i].Meta || !bytes.Equal(e.Sealed, rows[i].Sealed) {
				t.Fatalf("row %d differs", i)
			}
			if ok, err := p.mayHold(got.tag); !ok || err != nil {
				t.Fatalf("filter misses row %d: %v", i, err)
			}
		}
		for id, want := range files {
			if !bytes.Equal(p.files[id], want) {
				t.Errorf("file %x differs", id)
			}
		}
	}
}

func TestReader(t *testing.T) {
	id := identity(t)
	rows := testRows(3000)
	files := map[[16]byte][]byte{{1}: []byte("first"), {9}: {}}
	obj, res := write(t, id, rows, files)
	r, err := Open(bytes.NewReader(obj), int64(len(obj)), id, res.Trailer, NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	for start := 0; start < len(rows); start += 371 {
		it := r.Seek(rows[start].Key, 256<<10)
		i := start
		for ; it.Next(); i++ {
			if e := it.Entry(); e.Key != rows[i].Key || e.Meta != rows[i].Meta || !bytes.Equal(e.Sealed, rows[i].Sealed) {
				t.Fatalf("from %d: row %d differs", start, i)
			}
		}
		if it.Err() != nil || i != len(rows) {
			t.Fatalf("from %d: ended at %d of %d: %v", start, i, len(rows), it.Err())
		}
	}
	for i := range rows {
		var got int
		err := r.Find(rows[i].Key.Table(), rows[i].Key.Tag(), func(e *Entry) bool { got++; return true })
		want := 0
		for j := max(0, i-6); j < min(len(rows), i+7); j++ {
			if rows[j].Key.SameRecord(&rows[i].Key) {
				want++
			}
		}
		if err != nil || got != want {
			t.Fatalf("versions of row %d: got %d, %v, want %d", i, got, err, want)
		}
	}
	if err := r.Find(1, [16]byte{1, 2, 3}, func(*Entry) bool { t.Error("found what is not there"); return false }); err != nil {
		t.Error(err)
	}
	b, err := r.Blob([16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); string(got) != "first" || err != nil {
		t.Errorf("file: got %q, %v", got, err)
	}
	if _, err := r.Blob([16]byte{2}); allod.KindOf(err) != allod.NotFound {
		t.Errorf("missing file: got %v, want kind not-found", err)
	}
}

// brokenStore breaks off every read behind the first n bytes with an error that
// wraps io.EOF, as a closed connection does.
type brokenStore struct {
	b []byte
	n int64
}

var errBroken = allod.Errorf(allod.Unavailable, "get: %w", io.EOF)

func (s brokenStore) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.n {
		return 0, errBroken
	}
	return bytes.NewReader(s.b).ReadAt(p, off)
}

// TestBrokenConnectionIsNoDamage: a store that cannot be read is not a pack
// that is damaged, nor the end of a file.
func TestBrokenConnectionIsNoDamage(t *testing.T) {
	id := identity(t)
	rows := testRows(3000)
	obj, res := write(t, id, rows, nil)
	size := int64(len(obj))
	for _, n := range []int64{0, 100, size / 2} {
		if _, err := Open(brokenStore{obj, n}, size, id, res.Trailer, NewCache(1<<20)); allod.KindOf(err) != allod.Unavailable {
			t.Errorf("open behind %d bytes: got %v, want kind unavailable", n, err)
		}
		var got []byte
		r, err := Decrypt(io.MultiReader(bytes.NewReader(obj[:n]), iotest.ErrReader(errBroken)), id)
		if err == nil {
			got, err = io.ReadAll(r)
		}
		if allod.KindOf(err) != allod.Unavailable {
			t.Errorf("decrypt behind %d bytes: got %d bytes, %v, want kind unavailable", n, len(got), err)
		}
	}
	store := &brokenStore{obj, size}
	r, err := Open(store, size, id, res.Trailer, NewCache(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	store.n = 0
	it := r.Seek(rows[0].Key, 1<<10)
	for it.Next() {
	}
	if allod.KindOf(it.Err()) != allod.Unavailable {
		t.Errorf("rows: got %v, want kind unavailable", it.Err())
	}
}

func TestFilterErrsSeldom(t *testing.T) {
	id := identity(t)
	obj, res := write(t, id, testRows(9000), nil)
	r, err := Open(bytes.NewReader(obj), int64(len(obj)), id, res.Trailer, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for i := range 10_000 {
		var tag [16]byte
		sum := sha256.Sum256([]byte(fmt.Sprint("none", i)))
		copy(tag[:], sum[:])
		if r.MayContain(1, tag) {
			wrong++
		}
	}
	if wrong > 250 {
		t.Errorf("filter says maybe for %d of 10000 absent tags, want about 100", wrong)
	}
}

func TestMergeAndConcat(t *testing.T) {
	id := identity(t)
	rows := testRows(999)
	split := make([][]Entry, 3)
	for i := range rows {
		split[i%3] = append(split[i%3], rows[i])
	}
	var cs []Cursor
	for _, part := range split {
		half := len(part) / 2
		var parts []func() (Cursor, error)
		for _, p := range [][]Entry{part[:half], part[half:], nil} {
			obj, res := write(t, id, p, nil)
			parts = append(parts, func() (Cursor, error) {
				r, err := Open(bytes.NewReader(obj), int64(len(obj)), id, res.Trailer, nil)
				if err != nil {
					return nil, err
				}
				return r.Seek(Key{}, 0), nil
			})
		}
		cs = append(cs, NewConcat(parts))
	}
	m := NewMerge(cs)
	i := 0
	for ; m.Next(); i++ {
		if m.Entry().Key != rows[i].Key {
			t.Fatalf("row %d out of order", i)
		}
	}
	if m.Err() != nil || i != len(rows) {
		t.Errorf("merge: got %d rows, %v, want %d", i, m.Err(), len(rows))
	}
}

// TestFlippedBytes changes every byte of a small pack: either it does not
// open, or what is read is what was written.
func TestFlippedBytes(t *testing.T) {
	id := identity(t)
	rows := testRows(20)
	obj, res := write(t, id, rows, map[[16]byte][]byte{{1}: []byte("first")})
	for at := range obj {
		obj[at] ^= 1 << (at % 8)
		found := readAll(t, obj, id, res.Trailer, rows)
		if !found {
			t.Fatalf("byte %d changed and everything was read", at)
		}
		obj[at] ^= 1 << (at % 8)
	}
}

func readAll(t *testing.T, obj []byte, id age.Identity, trailer [32]byte, rows []Entry) (corrupt bool) {
	r, err := Open(bytes.NewReader(obj), int64(len(obj)), id, trailer, nil)
	if err != nil {
		if allod.KindOf(err) != allod.Corrupt {
			t.Fatalf("kind: got %v (%v), want corrupt", allod.KindOf(err), err)
		}
		return true
	}
	it := r.Seek(Key{}, 1<<20)
	for i := 0; it.Next(); i++ {
		if e := it.Entry(); e.Key != rows[i].Key || !bytes.Equal(e.Sealed, rows[i].Sealed) {
			t.Fatalf("row %d is not what was written", i)
		}
	}
	return it.Err() != nil
}

func FuzzOpen(f *testing.F) {
	id := identity(f)
	obj, _ := write(f, id, testRows(50), map[[16]byte][]byte{{1}: []byte("first")})
	dec, err := age.Decrypt(bytes.NewReader(obj), id)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := io.ReadAll(dec)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < TrailerSize {
			return
		}
		r, err := open(bytes.NewReader(b), int64(len(b)), sha256.Sum256(b[len(b)-TrailerSize:]), nil)
		if err != nil {
			if allod.KindOf(err) != allod.Corrupt {
				t.Errorf("kind: got %v, want corrupt", allod.KindOf(err))
			}
			return
		}
		it := r.Seek(Key{}, 1<<16)
		var last Key
		for n := 0; it.Next(); n++ {
			if e := it.Entry(); n > 0 && last.Compare(&e.Key) == 0 {
				t.Error("keys repeat")
			} else {
				last = e.Key
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	id := identity(b)
	rows := testRows(20000)
	for b.Loop() {
		w, err := NewWriter(io.Discard, []age.Recipient{id.Recipient()}, 1)
		if err != nil {
			b.Fatal(err)
		}
		for i := range rows {
			if err := w.Add(&rows[i]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Finish(nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(rows))/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkScan(b *testing.B) {
	id := identity(b)
	rows := testRows(20000)
	obj, res := write(b, id, rows, nil)
	r, err := Open(bytes.NewReader(obj), int64(len(obj)), id, res.Trailer, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		it := r.Seek(Key{}, 256<<10)
		for it.Next() {
		}
		if it.Err() != nil {
			b.Fatal(it.Err())
		}
	}
	b.ReportMetric(float64(b.N*len(rows))/b.Elapsed().Seconds(), "rows/s")
}
