package stage

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/spill"
)

func TestRowRoundTrip(t *testing.T) {
	guid := rapid.Custom(func(t *rapid.T) allod.GUID {
		return allod.GUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "guid"))
	})
	rapid.Check(t, func(t *rapid.T) {
		want := seal.Row{
			Key: guid.Draw(t, "key"), Pair: [2]allod.GUID{guid.Draw(t, "first"), guid.Draw(t, "second")}, Version: rapid.Uint64().Draw(t, "version"),
			Reason: allod.DeleteReason(rapid.Byte().Draw(t, "reason")), Content: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "content"),
		}
		if rapid.Bool().Draw(t, "dated") {
			want.Modified = time.Unix(rapid.Int64Range(-1e11, 1e11).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
		}
		b := AppendRow([]byte("before"), seal.OpPut, &want)[6:]
		op, got, err := ReadRow(b)
		if err != nil || op != seal.OpPut {
			t.Fatal(op, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("row (-want +got):\n" + diff)
		}
		if _, _, err := ReadRow(b[:rowHead-1]); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("a row cut off: got %v, want kind corrupt", err)
		}
	})
}

type bench struct {
	t     *testing.T
	id    *age.HybridIdentity
	store *mem.Store
	place Place
	tree  *keytree.State
}

func newBench(t *testing.T) *bench {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	store := mem.New(mem.Options{})
	tree, err := keytree.New(allod.GUID{1}, 1, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t, id, store, Place{Store: store, TempDir: t.TempDir(), Vault: allod.GUID{1}, Recipients: []age.Recipient{id.Recipient()}}, tree}
}

// empty fails the test unless the temporary files are gone.
func (b *bench) empty() {
	b.t.Helper()
	if left, err := os.ReadDir(b.place.TempDir); err != nil || len(left) > 0 {
		b.t.Errorf("temporary files left: %v, %v", left, err)
	}
}

func (b *bench) queue(op uint8, tags ...byte) *spill.Queue {
	b.t.Helper()
	q, err := spill.NewQueue(b.place.TempDir)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = q.Close() })
	for _, tag := range tags {
		if err := q.Add(SortKey(keytree.Tag{tag}, 0), AppendRow(nil, op, &seal.Row{Key: allod.GUID{tag}, Content: []byte{tag}})); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := q.End(); err != nil {
		b.t.Fatal(err)
	}
	return q
}

// read opens a pack and returns "tag operation reason" of its rows.
func (b *bench) read(o vlog.Object) (rows []string, p *pack.Reader) {
	b.t.Helper()
	p, err := pack.Open(object.NewReader(b.t.Context(), b.store, o.Name()), o.Size, b.id, o.Trailer, pack.NewCache(1<<20))
	if err != nil {
		b.t.Fatal(err)
	}
	codec, err := seal.NewCodec()
	if err != nil {
		b.t.Fatal(err)
	}
	defer codec.Close()
	index := keytree.NewIndexer([32]byte{2})
	it := p.Seek(pack.Key{}, 1<<16)
	for it.Next() {
		e := it.Entry()
		m, err := seal.ParseMeta(e.Meta[:])
		if err != nil {
			b.t.Fatal(err)
		}
		seed, err := b.tree.Seed(index.Leaf(e.Key.Tag()), e.Key.Generation())
		if err != nil {
			b.t.Fatal(err)
		}
		r, err := codec.Open(&seal.Place{Vault: b.place.Vault, Environment: 7, Table: e.Key.Table(), Tag: e.Key.Tag(), Generation: e.Key.Generation(), Capture: e.Key.Capture(), Meta: m}, seed, e.Sealed)
		if err != nil {
			b.t.Fatal(err)
		}
		rows = append(rows, fmt.Sprintf("%d %d %d", e.Key.Tag()[0], m.Op, r.Reason))
	}
	if it.Err() != nil {
		b.t.Fatal(it.Err())
	}
	return rows, p
}

// TestPacks merges queues: the first wins, a reason of a queue goes to its rows,
// a record whose key is gone is left out; files stand behind the rows.
func TestPacks(t *testing.T) {
	b := newBench(t)
	var err error
	if b.tree, err = b.tree.Puncture([]keytree.Target{{Leaf: keytree.NewIndexer([32]byte{2}).Leaf(keytree.Tag{5}), Generation: -1}}, keytree.Erased, 1); err != nil {
		t.Fatal(err)
	}
	files := NewFiles(b.place, 10)
	defer files.Close()
	f, err := files.Put(t.Context(), seal.FileHead{}, keytree.Seed{}, 3, allod.FileRef{}, strings.NewReader("ten bytes."), nil)
	if err != nil || !strings.HasSuffix(f.Content, ".3") || len(files.Large()) != 0 {
		t.Fatal(f, err)
	}
	p, err := NewPacks(b.place, Capture{Environment: 7, Number: 3, Tree: b.tree, Index: [32]byte{2}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !p.Empty() {
		t.Error("nothing was added: not empty")
	}
	queues := []Queue{{Rows: b.queue(seal.OpPut, 2, 4, 5)}, {Rows: b.queue(seal.OpDelete, 1, 2, 3), Reason: allod.DeleteAbsent}, {Rows: b.queue(seal.OpPut, 3, 9)}}
	if err := p.Table(t.Context(), 1, 1, queues); err != nil {
		t.Fatal(err)
	}
	if err := p.Files(t.Context(), []*Files{files}); err != nil {
		t.Fatal(err)
	}
	if err := p.End(t.Context(), []byte("schema"), []byte("manifest")); err != nil {
		t.Fatal(err)
	}
	if len(p.Done()) != 1 || p.Empty() {
		t.Fatalf("packs: got %v, want one", p.Done())
	}
	rows, r := b.read(p.Done()[0])
	absent := int(allod.DeleteAbsent)
	want := []string{fmt.Sprintf("1 2 %d", absent), "2 1 0", fmt.Sprintf("3 2 %d", absent), "4 1 0", "9 1 0"}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error("rows (-want +got):\n" + diff)
	}
	if m, err := r.Manifest(); err != nil || string(m) != "manifest" || len(r.Files()) != 1 {
		t.Errorf("manifest: got %q, %v and %d files", m, err, len(r.Files()))
	}
	if err := p.End(t.Context(), nil, []byte("another manifest")); err != nil || len(p.Done()) != 2 {
		t.Errorf("ended again: got %d packs, %v", len(p.Done()), err)
	}
	p.Close()
	files.Close()
	for _, q := range queues {
		if err := q.Rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b.empty()
}

// TestFiles puts a file object; one the record has already is not stored again.
func TestFiles(t *testing.T) {
	b := newBench(t)
	plain := bytes.Repeat([]byte("0123456789"), 10_000)
	files := NewFiles(b.place, 10)
	head, seed := seal.FileHead{Root: 1, Environment: 7, Table: 2, Tag: keytree.Tag{3}}, keytree.Seed{4}
	f, err := files.Put(t.Context(), head, seed, 1, allod.FileRef{Name: "doc"}, bytes.NewReader(plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(plain)); f.SHA256 != want || f.Size != int64(len(plain)) || f.Name != "doc" || f.Content[0] != 'f' {
		t.Errorf("got %+v", f)
	}
	large := files.Large()
	if len(large) != 1 || f.Content[1:] != large[0].Digest.String() {
		t.Fatalf("objects: got %+v", large)
	}
	again, err := files.Put(t.Context(), head, seed, 2, allod.FileRef{}, bytes.NewReader(plain), []allod.FileRef{f})
	if err != nil || again.Content != f.Content || len(files.Large()) != 1 {
		t.Errorf("the same again: got %+v, %v and %d objects", again, err, len(files.Large()))
	}
	body, err := b.store.Get(t.Context(), large[0].Name(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := age.Decrypt(body, b.id)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := seal.ReadFileHead(inner)
	if err != nil || stored != head {
		t.Fatalf("head: got %+v, %v", stored, err)
	}
	r, err := seal.NewFileReader(inner, b.place.Vault, stored, seed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("the file came back changed: %d bytes, %v", len(got), err)
	}
	files.Close()
	b.empty()
}
