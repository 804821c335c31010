package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/compact"
	"allod/internal/vault/object"
	"allod/internal/vault/stage"
	"allod/internal/vault/verify"
)

var update = flag.Bool("update", false, "write golden vaults that are not there: what is there is never written again")

// goldens are the vaults that are kept, each with what was new in the format
// when it was written.
var goldens = []struct {
	dir   string
	make  func(*testing.T, *testVault)
	files int64 // that open
}{
	{"testdata/format-v1", makeGolden, 2},
	{"testdata/format-v1-roots", makeGoldenRoots, 0},
	{"testdata/format-v1-rectified", makeGoldenRectified, 2},
	{"testdata/format-v1-compacted", makeGoldenCompacted, 3},
}

// goldenRow is a row as the golden vault must give it back.
type goldenRow struct {
	Snapshot allod.SnapshotID
	Table    string
	Key      string
	Pair     string `json:",omitempty"`
	Version  uint64
	Modified string
	Cells    []string // type and value
	File     string   `json:",omitempty"` // SHA-256 of the bytes of its file
}

// goldenSchema has a column of every type.
func goldenSchema() *allod.Schema {
	s := testSchema()
	for typ := allod.String; typ <= allod.Binary; typ++ {
		s.Tables[2].Columns = append(s.Tables[2].Columns, allod.Column{Name: "c" + typ.String(), Type: typ})
	}
	return s
}

func goldenCells(s *allod.Schema, n int) []allod.Value {
	texts := map[allod.Type][]string{
		allod.String: {"Łódź 日本", ""}, allod.Decimal: {"20000.0000", "-0.0"}, allod.Double: {"1E-07", "51.5"}, allod.DateTime: {"2023-04-07T21:59:01Z", "2023-04-07T21:59:01.1230000Z"},
		allod.Date: {"1899-12-31", "9999-12-31"}, allod.Choices: {"1,2,3", ""}, allod.JSON: {`{"a":[1,2]}`, "null"}, allod.Binary: {"QUI=", "not base64"},
	}
	var cells []allod.Value
	for _, c := range s.Table("contact").Columns {
		switch t := texts[c.Type]; {
		case n == 2:
			cells = append(cells, allod.NullValue())
		case n == 3:
			cells = append(cells, allod.Value{})
		case t != nil:
			cells = append(cells, allod.TextValue(c.Type, t[n%2]))
		case c.Type == allod.Integer:
			cells = append(cells, allod.IntegerValue(-1<<63+int64(n)))
		case c.Type == allod.Boolean:
			cells = append(cells, allod.BooleanValue(n%2 == 0))
		case c.Type == allod.ID:
			cells = append(cells, allod.IDValue(key(n)))
		case c.Type == allod.Lookup:
			cells = append(cells, allod.LookupValue([]string{"account", "elsewhere"}[n%2], key(n)))
		default:
			cells = append(cells, allod.NullValue())
		}
	}
	return cells
}

// makeGolden fills a vault: two captures, every type, null and absent, a pair,
// a delete, a small and a large file, an erased record.
func makeGolden(t *testing.T, v *testVault) {
	ctx := t.Context()
	s := goldenSchema()
	for capture := range 2 {
		r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Abort()
		if err := r.SetSchema(s); err != nil {
			t.Fatal(err)
		}
		writer := func(table string) *TableWriter {
			w, err := r.Table(ctx, s.Table(table), ModeDelta)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		accounts, contacts, pairs := writer("account"), writer("contact"), writer("account_contact")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := 1; n <= 4; n++ {
			row := account(n, fmt.Sprintf("account %d in capture %d", n, capture))
			size := map[int]int{1: 1000, 2: stage.SmallFile + 10}[n]
			if size > 0 && capture == 0 {
				f, err := accounts.PutFile(ctx, row.Ref(), allod.FileRef{Name: "doc.bin", MIME: "application/octet-stream", SourceID: "1"}, bytes.NewReader(bytes.Repeat([]byte{byte(n)}, size)))
				must(err)
				row.Cells = append(row.Cells, allod.FileValue(f))
			}
			if capture == 0 || n > 2 {
				must(accounts.Put(row))
			}
			must(contacts.Put(&allod.Row{Key: key(n), Version: uint64(n), Cells: goldenCells(s, n)}))
		}
		must(pairs.Put(&allod.Row{Key: key(9), Pair: [2]allod.GUID{key(1), key(2)}}))
		if capture == 1 {
			must(accounts.Delete(ref("account", 4), allod.DeleteSaid))
		}
		for _, w := range []*TableWriter{accounts, contacts, pairs} {
			_, err := w.Finish(ctx)
			must(err)
		}
		_, err = r.Commit(ctx, Manifest{Complete: true})
		must(err)
	}
	if err := v.puncture(3); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, v *testVault) []goldenRow {
	ctx := t.Context()
	var out []goldenRow
	snaps, err := v.Snapshots(ctx, "contoso")
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range snaps {
		s, err := v.At(ctx, v.session(gate.ActionRead), "contoso", meta.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"account", "account_contact", "contact"} {
			for row, err := range s.Rows(ctx, table) {
				if err != nil {
					t.Fatal(err)
				}
				g := goldenRow{Snapshot: meta.ID, Table: table, Key: row.Key.String(), Version: row.Version, Modified: row.Modified.String()}
				if row.Pair != [2]allod.GUID{} {
					g.Pair = row.Pair[0].String() + " " + row.Pair[1].String()
				}
				for _, c := range row.Cells {
					g.Cells = append(g.Cells, c.Type().String()+" "+c.String())
				}
				if row.Cell(2).Type() == allod.File {
					f, err := s.OpenFile(ctx, &row, "document")
					if err != nil {
						t.Fatal(err)
					}
					b, err := io.ReadAll(f)
					if err != nil {
						t.Fatal(err)
					}
					g.File = fmt.Sprintf("%x", sha256.Sum256(b))
				}
				out = append(out, g)
			}
		}
	}
	slices.SortFunc(out, func(a, b goldenRow) int {
		return strings.Compare(fmt.Sprint(a.Snapshot, a.Table, a.Key), fmt.Sprint(b.Snapshot, b.Table, b.Key))
	})
	return out
}

// makeGoldenRoots fills a vault with three roots of the key tree, and erases in
// all of them; one record forgot its past.
func makeGoldenRoots(t *testing.T, v *testVault) {
	v.mustCapture(ModeFull, numbered(6, "root 1"))
	if err := v.puncture(6); err != nil {
		t.Fatal(err)
	}
	for root := 2; root <= 3; root++ {
		if err := v.beginRoot(); err != nil {
			t.Fatal(err)
		}
		v.mustCapture(ModeDelta, map[int]string{2: fmt.Sprint("root ", root), 3: fmt.Sprint("root ", root), root + 5: "new"})
	}
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	if err := v.erase(EraseOptions{Past: true}, 3); err != nil {
		t.Fatal(err)
	}
}

// makeGoldenRectified fills a vault with versions sealed anew: of a record with
// a small file and one with a large file, of one that is deleted, twice of one,
// and the newest of one that forgot its past.
func makeGoldenRectified(t *testing.T, v *testVault) {
	v.fileObject = 1 << 10
	v.putFiles(t, "wrong", map[int][]byte{1: []byte("a small file"), 2: bytes.Repeat([]byte("a large one "), 200)})
	v.mustCapture(ModeDelta, map[int]string{3: "wrong", 4: "past", 5: "untouched"})
	v.mustCapture(ModeDelta, map[int]string{4: "newest"}, 3)
	for _, n := range []int{1, 2, 3, 3} {
		if _, err := v.rectify(n, fmt.Sprint("right ", n), RectifyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.erase(EraseOptions{Past: true}, 4); err != nil {
		t.Fatal(err)
	}
}

// makeGoldenCompacted fills a vault with packs that were merged, some of them
// twice, and removed; a small file, a large one, several schemas, one record
// sealed anew and one erased.
func makeGoldenCompacted(t *testing.T, v *testVault) {
	v.fileObject = 1 << 10
	v.putFiles(t, "first", map[int][]byte{1: []byte("a small file"), 2: bytes.Repeat([]byte("a large one "), 200)})
	v.mustCapture(ModeDelta, map[int]string{3: "wrong", 4: "erased"})
	v.mustCompact()
	v.mustCapture(ModeDelta, nil)
	v.mustCapture(ModeDelta, map[int]string{3: "wrong again"}, 2)
	v.putFiles(t, "second", map[int][]byte{5: []byte("another")})
	if _, err := v.rectify(3, "right", RectifyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := v.puncture(4); err != nil {
		t.Fatal(err)
	}
	v.clock.add(compact.Keep)
	v.mustCapture(ModeDelta, map[int]string{6: "six"})
	v.mustCompact()
	v.mustCapture(ModeDelta, map[int]string{6: "newest"})
}

// TestGolden opens vaults that format version 1 wrote when it was released, and
// when something was added to it.
func TestGolden(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.dir, func(t *testing.T) {
			if _, err := os.Stat(g.dir); *update && errors.Is(err, fs.ErrNotExist) {
				writeGolden(t, g.dir, g.make)
			}
			testGolden(t, g.dir, g.files)
		})
	}
}

func testGolden(t *testing.T, goldenDir string, files int64) {
	store, slots := mem.New(mem.Options{}), mem.New(mem.Options{})
	err := filepath.WalkDir(goldenDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := strings.CutPrefix(filepath.ToSlash(path), goldenDir+"/")
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if name, ok := strings.CutPrefix(rel, "store/"); ok {
			return object.Put(context.Background(), store, name, b)
		}
		if name, ok := strings.CutPrefix(rel, "places/"); ok {
			return object.Put(context.Background(), slots, name, b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t, mem.New(mem.Options{}))
	v.slots = slots
	if _, err := store.Stat(t.Context(), "ledger/entry/00000000000000000000"); err == nil { // that of the first was not kept
		v.side = store
	}
	v.cfg.Slots, v.cfg.Pin = []blob.Mutable{slots}, Pin{}
	readJSON(t, filepath.Join(goldenDir, "pin.json"), &v.cfg.Pin)
	v = v.reopen(store)
	v.openGate()
	var want []goldenRow
	readJSON(t, filepath.Join(goldenDir, "rows.json"), &want)
	if diff := cmp.Diff(want, readGolden(t, v)); diff != "" {
		t.Error("rows (-want +got):\n" + diff)
	}
	rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 || rep.Files != files || rep.Erased == 0 {
		t.Errorf("verify: got %+v, %v", rep, err)
	}
	v.clock.add(30 * 24 * time.Hour) // it may have been written over days
	v.mustCapture(ModeDelta, map[int]string{1: "written by this version"})
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeGolden(t *testing.T, goldenDir string, make func(*testing.T, *testVault)) {
	store := mem.New(mem.Options{})
	v := newVaultWith(t, store, store, "plain")
	make(t, v)
	files := map[string][]byte{}
	for _, name := range objectNames(t, v.store) {
		files["store/"+name] = objectBytes(t, v.store, name)
	}
	for _, name := range objectNames(t, v.slots) {
		files["places/"+name] = objectBytes(t, v.slots, name)
	}
	for name, content := range map[string]any{"pin.json": v.Pin(), "rows.json": readGolden(t, v)} {
		b, err := json.MarshalIndent(content, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		files[name] = append(b, '\n')
	}
	var names []string
	for name, b := range files {
		names = append(names, name)
		path := filepath.Join(goldenDir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	var sums strings.Builder
	for _, name := range names {
		fmt.Fprintf(&sums, "%x  ./%s\n", sha256.Sum256(files[name]), name)
	}
	if err := os.WriteFile(filepath.Join(goldenDir, "SHA256SUMS"), []byte(sums.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
