package fill

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/entity/export"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/odata/csdl"
)

// shared opens a file made by others, unzipped; the test is skipped where it
// is not there.
func shared(t testing.TB, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "..", "..", "shared", "data", "dataverse", name))
	if err != nil {
		t.Skipf("data made by others is absent: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() }) // read only
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func realModel(t testing.TB, name string) *entity.Model {
	t.Helper()
	doc, err := csdl.ParseCSDL(shared(t, name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := entity.FromCSDL(doc)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newStore(m *entity.Model) *store.Store {
	s := store.New(1000)
	for _, t := range m.Tables {
		if t.Abstract {
			continue
		}
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = c.LogicalName
		}
		s.AddTable(t.LogicalName, names)
	}
	return s
}

// walk calls f with every cell of every row.
func walk(m *entity.Model, s *store.Store, f func(t *entity.Table, r *store.Row, c *entity.Column, v allod.Value)) (rows map[string]int) {
	rows = map[string]int{}
	s.View(func(tx *store.Tx) {
		for _, t := range m.Tables {
			var after *allod.GUID
			for {
				page := tx.Page(t.LogicalName, after, 5000)
				for _, r := range page {
					rows[t.LogicalName]++
					for _, c := range tx.Cells(r) {
						f(t, r, t.Columns[c.Column], c.Value)
					}
				}
				if len(page) < 5000 {
					break
				}
				after = &page[len(page)-1].Key
			}
		}
	})
	return rows
}

func TestFillRealModels(t *testing.T) {
	for _, name := range []string{"csdl-jag-spd-spice.xml.gz", "csdl-embc-dfa.xml.gz"} {
		t.Run(name, func(t *testing.T) { checkFilled(t, realModel(t, name)) })
	}
}

func TestFillRefinedModel(t *testing.T) {
	m := realModel(t, "csdl-jag-spd-spice.xml.gz")
	for _, name := range []string{"account", "connection", "team", "systemform"} {
		if err := export.Refine(m, shared(t, "entitymetadata-"+name+".xml.gz")); err != nil {
			t.Fatal(err)
		}
	}
	checkFilled(t, m)
}

func checkFilled(t *testing.T, m *entity.Model) {
	s := newStore(m)
	if err := Fill(m, s, Options{Seed: 1, Scale: 1}); err != nil {
		t.Fatal(err)
	}
	seen := map[*entity.Column]int{}
	referred := map[string]bool{}
	cells, nonLatin, empty, long := 0, 0, 0, 0
	rows := walk(m, s, func(tb *entity.Table, r *store.Row, c *entity.Column, v allod.Value) {
		cells++
		seen[c]++
		if v.Type() == allod.Lookup {
			target, id := v.Target()
			referred[tb.LogicalName+"."+c.LogicalName+">"+target] = true
			s.View(func(tx *store.Tx) {
				if tx.Get(target, id) == nil {
					t.Errorf("%s.%s refers to %s(%s), which is not there", tb.LogicalName, c.LogicalName, target, id)
				}
			})
		}
		if v.Type() == allod.String {
			if v.Text() == "" {
				empty++
			}
			for _, x := range v.Text() {
				if x > 0x370 {
					nonLatin++
					break
				}
			}
			if c.MaxLength > 0 && utf16Len(v.Text()) > c.MaxLength {
				t.Errorf("%s.%s: text of %d, maximum %d", tb.LogicalName, c.LogicalName, utf16Len(v.Text()), c.MaxLength)
			}
			if len(v.Text()) >= min(c.MaxLength, 10000) {
				long++
			}
		}
	})
	total := 0
	for _, x := range m.Tables {
		total += rows[x.LogicalName]
		if x.SetName == "" || x.Abstract {
			continue
		}
		if rows[x.LogicalName] == 0 {
			t.Errorf("%s has a set and no rows", x.LogicalName)
		}
		for _, c := range x.Columns {
			if !c.ValidOData || c.LogicalName == x.PrimaryID || !c.ValidForCreate && !c.ValidForUpdate {
				continue
			}
			if seen[c] == 0 && reachable(m, c) {
				t.Errorf("%s.%s (%s) can be written and is null everywhere", x.LogicalName, c.LogicalName, c.Kind)
			}
			for _, target := range c.Targets {
				if q := m.Table(target); q != nil && q.SetName != "" && !q.Abstract && !q.Intersect && !referred[x.LogicalName+"."+c.LogicalName+">"+target] && len(c.Targets) > 1 && c.Kind != "Owner" {
					t.Errorf("%s.%s never refers to %s", x.LogicalName, c.LogicalName, target)
				}
			}
		}
	}
	if nonLatin == 0 || empty == 0 || long == 0 {
		t.Errorf("texts: %d outside Latin, %d empty, %d long", nonLatin, empty, long)
	}
	t.Logf("%d rows, %d non-null cells, %d lookups kinds; %d texts outside Latin, %d empty, %d long", total, cells, len(referred), nonLatin, empty, long)
}

func utf16Len(s string) int {
	n := 0
	for _, c := range s {
		n++
		if c > 0xffff {
			n++
		}
	}
	return n
}

// reachable reports whether a lookup has a target with rows at all.
func reachable(m *entity.Model, c *entity.Column) bool {
	if c.Kind != "Lookup" && c.Kind != "Customer" {
		return true
	}
	for _, x := range c.Targets {
		if q := m.Table(x); q != nil && q.SetName != "" && !q.Abstract {
			return true
		}
	}
	return false
}

// Rows a server has made before are referred to and stay as they are.
func TestFillBesideRows(t *testing.T) {
	m := realModel(t, "csdl-jag-spd-spice.xml.gz")
	s := newStore(m)
	keys := map[string]allod.GUID{}
	for i, table := range []string{"organization", "businessunit", "transactioncurrency", "systemuser", "role"} {
		keys[table] = allod.GUID{15: byte(i + 1)}
		name := s.Columns(table)[m.Table(table).PrimaryName]
		if err := s.Insert(table, keys[table], []store.Cell{{Column: name, Value: allod.StringValue("was here")}}); err != nil {
			t.Fatal(err)
		}
	}
	const pairs = "systemuserroles"
	at := s.Columns(pairs)
	if err := s.Insert(pairs, allod.GUID{1}, []store.Cell{
		{Column: at["systemuserid"], Value: allod.IDValue(keys["systemuser"])}, {Column: at["roleid"], Value: allod.IDValue(keys["role"])},
	}); err != nil {
		t.Fatal(err)
	}
	if err := Fill(m, s, Options{Seed: 2}); err != nil {
		t.Fatal(err)
	}
	roots, cells, seen := 0, 0, map[[2]allod.GUID]bool{}
	s.View(func(tx *store.Tx) {
		for _, table := range []string{"organization", "businessunit", "transactioncurrency", "systemuser"} {
			if got := tx.Value(table, tx.Get(table, keys[table]), m.Table(table).PrimaryName).Text(); got != "was here" {
				t.Errorf("%s: the row that was there is called %q", table, got)
			}
		}
		for _, r := range tx.Page("businessunit", nil, 100) {
			if tx.Value("businessunit", r, "parentbusinessunitid").Type() != allod.Lookup {
				roots++
			}
		}
		for _, r := range tx.Page(pairs, nil, 1000) {
			ends := [2]allod.GUID{tx.Value(pairs, r, "systemuserid").GUID(), tx.Value(pairs, r, "roleid").GUID()}
			if seen[ends] {
				t.Errorf("a user has the role twice: %v", ends)
			}
			seen[ends] = true
		}
		cells = len(tx.Cells(tx.Get("organization", keys["organization"])))
	})
	if len(seen) < 5 {
		t.Errorf("users have %d roles", len(seen))
	}
	if roots != 1 {
		t.Errorf("root business units: got %d, want 1", roots)
	}
	if cells < 200 {
		t.Errorf("the organisation has %d columns that are not null", cells)
	}
}

func TestFillDeterministic(t *testing.T) {
	m := realModel(t, "csdl-embc-dfa.xml.gz")
	digest := func(seed uint64) string {
		s := newStore(m)
		if err := Fill(m, s, Options{Seed: seed}); err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		walk(m, s, func(tb *entity.Table, r *store.Row, c *entity.Column, v allod.Value) {
			fmt.Fprintln(h, tb.LogicalName, r.Key, r.Version, c.LogicalName, v)
		})
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	one := digest(5)
	if two := digest(5); one != two {
		t.Errorf("the same seed gave %s and %s", one, two)
	}
	if other := digest(6); one == other {
		t.Error("another seed gave the same rows")
	}
}

func TestFillManyRows(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("ALLOD_FILL_ROWS")) // 0 when unset
	if n == 0 {
		n = 30000
	}
	m := realModel(t, "csdl-jag-spd-spice.xml.gz")
	s := newStore(m)
	if err := Fill(m, s, Options{Seed: 1, Rows: map[string]int{"account": n}}); err != nil {
		t.Fatal(err)
	}
	var got int
	s.View(func(tx *store.Tx) { got = tx.Len("account") })
	if got != n {
		t.Errorf("accounts: got %d, want %d", got, n)
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	t.Logf("%d accounts: %d MB of heap", n, mem.HeapAlloc>>20)
	runtime.KeepAlive(s)
}
