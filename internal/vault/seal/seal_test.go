package seal

import (
	"bytes"
	"crypto/rand"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/vault/keytree"
)

var place = Place{Vault: allod.GUID{9}, Environment: 1, Table: 2, Tag: keytree.Tag{3}, Capture: 4, Meta: Meta{Op: OpPut, Root: 1, Schema: 5}}

func codec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRowRoundTrip(t *testing.T) {
	c := codec(t)
	seed, salt := keytree.Seed{1}, [16]byte{2}
	long := bytes.Repeat([]byte("the quick brown fox "), 500)
	random := make([]byte, 5000)
	_, _ = rand.Read(random) // never fails
	rows := []Row{
		{Key: allod.GUID{1}},
		{Key: allod.GUID{1}, Version: 7, Modified: time.Date(1899, 1, 2, 3, 4, 5, 678, time.UTC), Content: []byte("x")},
		{Pair: [2]allod.GUID{{1}, {2}}, Content: long},
		{Key: allod.GUID{5}, Pair: [2]allod.GUID{{}, {2}}, Version: 1<<64 - 1, Content: random},
	}
	for _, want := range rows {
		sealed, err := c.Seal(nil, &place, seed, salt, &want)
		if err != nil {
			t.Fatal(err)
		}
		if (len(sealed)-32)%32 != 0 {
			t.Errorf("length %d shows more than steps of 32", len(sealed))
		}
		got, err := c.Open(&place, seed, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Content) == 0 {
			got.Content = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("row (-want +got):\n" + diff)
		}
	}
	d := place
	d.Op = OpDelete
	want := Row{Key: allod.GUID{1}, Reason: allod.DeleteAbsent}
	sealed, err := c.Seal(nil, &d, seed, salt, &want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Open(&d, seed, sealed)
	if err != nil || got.Key != want.Key || got.Reason != want.Reason {
		t.Errorf("delete: got %+v, %v, want %+v", got, err, want)
	}
}

// TestRowIsBoundToItsPlace changes every field that FORMAT.md §6.1 lists, and
// every byte of the sealed row.
func TestRowIsBoundToItsPlace(t *testing.T) {
	c := codec(t)
	seed := keytree.Seed{1}
	sealed, err := c.Seal(nil, &place, seed, [16]byte{2}, &Row{Key: allod.GUID{1}, Content: []byte("content")})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Place){
		"vault": func(p *Place) { p.Vault[0]++ }, "environment": func(p *Place) { p.Environment++ }, "table": func(p *Place) { p.Table++ },
		"tag": func(p *Place) { p.Tag[15]++ }, "generation": func(p *Place) { p.Generation++ }, "capture": func(p *Place) { p.Capture++ },
		"operation": func(p *Place) { p.Op = OpDelete }, "key kind": func(p *Place) { p.KeyKind = 1 }, "root": func(p *Place) { p.Root++ },
		"schema": func(p *Place) { p.Schema++ }, "dictionary": func(p *Place) { p.Dictionary++ },
	} {
		p := place
		change(&p)
		if _, err := c.Open(&p, seed, sealed); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s changed: got %v, want kind corrupt", name, err)
		}
	}
	for i := range sealed {
		sealed[i] ^= 0x10
		if _, err := c.Open(&place, seed, sealed); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("byte %d changed: got %v, want kind corrupt", i, err)
		}
		sealed[i] ^= 0x10
	}
}

// TestOneSpelling decodes a row, and the same row in other spellings, which no
// writer writes.
func TestOneSpelling(t *testing.T) {
	c := codec(t)
	row := func(rest ...byte) []byte {
		b := append(append([]byte{flagModified}, make([]byte, 16)...), rest...)
		return append(b, make([]byte, padTo-len(b))...)
	}
	r, err := c.decode(OpPut, row(5, 1, 2, 1, 'x'))
	if want := time.Unix(-1, 2).UTC(); err != nil || r.Version != 5 || !r.Modified.Equal(want) || string(r.Content) != "x" {
		t.Fatalf("the row: got %+v, %v", r, err)
	}
	for what, b := range map[string][]byte{
		"a longer version":           row(0x85, 0, 1, 2, 1, 'x'),
		"longer seconds":             row(5, 0x81, 0, 2, 1, 'x'),
		"a second of nanoseconds":    row(5, 1, 0x80, 0x94, 0xeb, 0xdc, 3, 1, 'x'),
		"a longer length":            row(5, 1, 2, 0x81, 0, 'x'),
		"a byte that is no padding":  append(row(5, 1, 2, 1, 'x')[:padTo-1], 1),
		"a length beyond the row":    row(5, 1, 2, 30, 'x'),
		"32 bytes more than needed":  append(row(5, 1, 2, 1, 'x'), make([]byte, padTo)...),
		"a flag that nobody defined": append([]byte{flagModified | 8}, row(5, 1, 2, 1, 'x')[1:]...),
	} {
		if _, err := c.decode(OpPut, b); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", what, err)
		}
	}
}

func FuzzDecodeRow(f *testing.F) {
	c := codec(f)
	c.encode(OpPut, &Row{Key: allod.GUID{1}, Version: 5, Modified: time.Unix(1, 2), Content: bytes.Repeat([]byte("ab"), 100)})
	f.Add(bytes.Clone(c.plain), uint8(OpPut))
	c.encode(OpDelete, &Row{Pair: [2]allod.GUID{{1}}, Reason: 2})
	f.Add(bytes.Clone(c.plain), uint8(OpDelete))
	f.Fuzz(func(t *testing.T, b []byte, op uint8) {
		if len(b) < padTo {
			return
		}
		if _, err := c.decode(1+op%2, b); err != nil && allod.KindOf(err) != allod.Corrupt {
			t.Errorf("got %v, want kind corrupt", err)
		}
	})
}

func sealFile(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewFileWriter(&b, allod.GUID{9}, FileHead{Root: 1, Tag: keytree.Tag{1}, Salt: [16]byte{7}}, keytree.Seed{1})
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openFile(sealed []byte) ([]byte, error) {
	r := bytes.NewReader(sealed)
	h, err := ReadFileHead(r)
	if err != nil {
		return nil, err
	}
	f, err := NewFileReader(r, allod.GUID{9}, h, keytree.Seed{1})
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func TestFile(t *testing.T) {
	for _, n := range []int{0, 1, fileChunk - 1, fileChunk, fileChunk + 1, 2 * fileChunk, 3*fileChunk + 5} {
		plain := make([]byte, n)
		_, _ = rand.Read(plain) // never fails
		sealed := sealFile(t, plain)
		if got, want := int64(len(sealed)), int64(n)+FileOverhead(int64(n)); got != want {
			t.Errorf("%d bytes: sealed length %d, want %d", n, got, want)
		}
		got, err := openFile(sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: came back as %d, %v", n, len(got), err)
		}
		for _, cut := range []int{1, 16, 17, fileChunk + overhead, len(sealed) - 1} {
			if cut >= len(sealed) {
				continue
			}
			got, err := openFile(sealed[:len(sealed)-cut])
			if allod.KindOf(err) != allod.Corrupt {
				t.Errorf("%d bytes cut by %d: got %v, want kind corrupt", n, cut, err)
			}
			if !bytes.HasPrefix(plain, got) {
				t.Errorf("%d bytes cut by %d: wrong bytes came out", n, cut)
			}
		}
	}
}

// TestBrokenConnectionIsNoDamage reads a file whose source breaks off with an
// error that wraps the end of a stream, as a closed connection does.
func TestBrokenConnectionIsNoDamage(t *testing.T) {
	sealed := sealFile(t, make([]byte, 3*fileChunk))
	for _, cause := range []error{io.EOF, io.ErrUnexpectedEOF} {
		broken := allod.Errorf(allod.Unavailable, "get: %w", cause)
		for _, n := range []int{0, 10, fileHeadSize, fileHeadSize + fileChunk + overhead, len(sealed) - 1, len(sealed)} {
			src := io.MultiReader(bytes.NewReader(sealed[:n]), iotest.ErrReader(broken))
			h, err := ReadFileHead(src)
			if err == nil {
				var r *FileReader
				if r, err = NewFileReader(src, place.Vault, h, keytree.Seed{1}); err == nil {
					_, err = io.Copy(io.Discard, r)
				}
			}
			if allod.KindOf(err) != allod.Unavailable {
				t.Errorf("broken off behind %d bytes by %v: got %v, want kind unavailable", n, cause, err)
			}
		}
	}
}

func TestFileChunksStayInOrder(t *testing.T) {
	plain := make([]byte, 3*fileChunk)
	sealed := sealFile(t, plain)
	one := fileChunk + overhead
	swapped := bytes.Clone(sealed[:fileHeadSize])
	swapped = append(swapped, sealed[fileHeadSize+one:fileHeadSize+2*one]...)
	swapped = append(swapped, sealed[fileHeadSize:fileHeadSize+one]...)
	swapped = append(swapped, sealed[fileHeadSize+2*one:]...)
	if _, err := openFile(swapped); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("swapped chunks: got %v, want kind corrupt", err)
	}
	for i := 0; i < len(sealed); i += 997 {
		sealed[i] ^= 1
		if _, err := openFile(sealed); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("byte %d changed: got %v, want kind corrupt", i, err)
		}
		sealed[i] ^= 1
	}
}

func BenchmarkDeriveAndSeal(b *testing.B) {
	s, err := keytree.New(allod.GUID{9}, 1, nil)
	if err != nil {
		b.Fatal(err)
	}
	c := codec(b)
	content := make([]byte, 300)
	_, _ = rand.Read(content) // never fails
	row := Row{Key: allod.GUID{1}, Version: 7, Content: content}
	var salts [16 * 256]byte
	var out []byte
	p := place
	for i := 0; b.Loop(); i++ {
		if i%256 == 0 {
			_, _ = rand.Read(salts[:]) // never fails
		}
		gen, seed, err := s.Current(keytree.Leaf(uint64(i) * 0x9e3779b97f4a7c15))
		if err != nil {
			b.Fatal(err)
		}
		p.Generation = gen
		if out, err = c.Seal(out[:0], &p, seed, [16]byte(salts[i%256*16:]), &row); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
