package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
)

func guid(n uint64) allod.GUID {
	var g allod.GUID
	n *= 0x9e3779b97f4a7c15
	for i := range 8 {
		g[i] = byte(n >> (8 * i))
		g[15-i] = byte(n >> (7 * i))
	}
	return g
}

func TestCellsSurvivePacking(t *testing.T) {
	s := New(100)
	s.AddTable("account", []string{"name", "revenue", "n", "yes", "id", "parent", "when", "empty"})
	cells := []Cell{
		{5, allod.LookupValue("contact", guid(7))},
		{0, allod.StringValue("Zürich \"x\"\n")},
		{1, allod.TextValue(allod.Decimal, "20000.0000")},
		{2, allod.IntegerValue(-5)},
		{3, allod.BooleanValue(true)},
		{4, allod.IDValue(guid(9))},
		{6, allod.TextValue(allod.DateTime, "2023-04-07T21:59:01Z")},
		{7, allod.StringValue("")},
	}
	if err := s.Insert("account", guid(1), cells); err != nil {
		t.Fatal(err)
	}
	s.View(func(tx *Tx) {
		got := tx.Cells(tx.Get("account", guid(1)))
		if d := cmp.Diff(got, cells, cmp.Comparer(func(a, b allod.Value) bool { return a == b })); d != "" {
			t.Errorf("cells (-got +want):\n%s", d)
		}
	})
	if err := s.Insert("account", guid(1), nil); allod.KindOf(err) != allod.Conflict {
		t.Errorf("second insert: got %v, want Conflict", err)
	}
	if err := s.Insert("nope", guid(1), nil); allod.KindOf(err) != allod.Invalid {
		t.Errorf("unknown table: got %v, want Invalid", err)
	}
}

func TestOrderIsThatOfUniqueIdentifier(t *testing.T) {
	// SQL Server: the last group weighs most.
	low, _ := allod.ParseGUID("ffffffff-ffff-ffff-ffff-000000000001")
	high, _ := allod.ParseGUID("00000000-0000-0000-0000-000000000002")
	a, b := orderOf(low), orderOf(high)
	if !a.less(&b) || b.less(&a) {
		t.Error("order of GUIDs is not that of uniqueidentifier")
	}
}

// TestStoreAgainstModel drives the store and a plain map with the same steps.
func TestStoreAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := New(0)
		s.AddTable("t", []string{"a", "b"})
		model := map[allod.GUID]string{}
		deletedSince := map[allod.GUID]bool{}
		n := rapid.IntRange(1, 60).Draw(rt, "steps")
		for range n {
			k := guid(uint64(rapid.IntRange(0, 20).Draw(rt, "key")))
			switch rapid.IntRange(0, 3).Draw(rt, "op") {
			case 0, 1:
				v := rapid.StringN(0, 4, 8).Draw(rt, "v")
				must(rt, s.Update(func(tx *Tx) error {
					tx.Find("t", "a", allod.StringValue("x")) // index kept true from here on
					tx.Put("t", k, []Cell{{0, allod.StringValue(v)}})
					return nil
				}))
				model[k] = v
				delete(deletedSince, k)
			case 2:
				must(rt, s.Update(func(tx *Tx) error {
					if tx.Delete("t", k) {
						deletedSince[k] = true
					}
					return nil
				}))
				delete(model, k)
			case 3:
				before := s.Version()
				err := s.Update(func(tx *Tx) error {
					tx.Put("t", k, nil)
					tx.Delete("t", k)
					tx.PutBlob(k, NewBlob("", "", nil))
					return errors.New("no")
				})
				if err == nil || s.Version() != before {
					rt.Fatal("a failed update left a trace")
				}
			}
		}
		check(rt, s, model, deletedSince)
	})
}

func must(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(err)
	}
}

func check(rt *rapid.T, s *Store, model map[allod.GUID]string, deleted map[allod.GUID]bool) {
	s.View(func(tx *Tx) {
		if tx.Len("t") != len(model) {
			rt.Fatalf("rows: got %d, want %d", tx.Len("t"), len(model))
		}
		seen := 0
		var after *allod.GUID
		for {
			page := tx.Page("t", after, 3)
			for _, r := range page {
				seen++
				if got := tx.Value("t", r, "a").Text(); got != model[r.Key] {
					rt.Fatalf("value: got %q, want %q", got, model[r.Key])
				}
			}
			if len(page) == 0 {
				break
			}
			after = &page[len(page)-1].Key
		}
		if seen != len(model) {
			rt.Fatalf("paged rows: got %d, want %d", seen, len(model))
		}
		if got := len(tx.Changed("t", 0, tx.Version(), 1000)); got != len(model) {
			rt.Fatalf("changed since 0: got %d, want %d", got, len(model))
		}
		if got := len(tx.Deleted("t", 0, tx.Version(), 1000)); got != len(deleted) {
			rt.Fatalf("deleted since 0: got %d, want %d", got, len(deleted))
		}
		for k, v := range model {
			found := false
			for _, g := range tx.Find("t", "a", allod.StringValue(v)) {
				found = found || g == k
			}
			if !found {
				rt.Fatalf("index lost %q", v)
			}
			// The first search walks, later ones use an index: same answer.
			s.View(func(fresh *Tx) {
				for range 3 {
					if got, want := len(fresh.Find("t", "b", allod.StringValue("never"))), 0; got != want {
						rt.Fatalf("found %d rows with a value none has", got)
					}
					if got, want := len(fresh.Find("t", "a", allod.StringValue(v))), len(tx.Find("t", "a", allod.StringValue(v))); got != want {
						rt.Fatalf("found %d rows, want %d", got, want)
					}
				}
			})
		}
	})
}

func TestManyRowsSplitChunks(t *testing.T) {
	s := New(0)
	s.AddTable("t", []string{"a"})
	const n = 5000
	for i := range uint64(n) {
		if err := s.Insert("t", guid(i+1), []Cell{{0, allod.IntegerValue(int64(i))}}); err != nil {
			t.Fatal(err)
		}
	}
	s.View(func(tx *Tx) {
		rows := tx.Page("t", nil, n+1)
		if len(rows) != n {
			t.Fatalf("rows: got %d, want %d", len(rows), n)
		}
		for i := 1; i < n; i++ {
			a, b := orderOf(rows[i-1].Key), orderOf(rows[i].Key)
			if !a.less(&b) {
				t.Fatal("rows out of order")
			}
		}
	})
}

func TestRewindGivesVersionsOutAgain(t *testing.T) {
	s := New(0)
	s.AddTable("t", []string{"a"})
	put := func(n uint64) {
		if err := s.Update(func(tx *Tx) error { tx.Put("t", guid(n), nil); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(1)
	s.Mark("m")
	put(2)
	if err := s.Rewind("m"); err != nil {
		t.Fatal(err)
	}
	put(3)
	s.View(func(tx *Tx) {
		if tx.Version() != 2 || tx.Get("t", guid(2)) != nil || tx.Get("t", guid(3)) == nil {
			t.Errorf("after rewind: version %d", tx.Version())
		}
	})
	if err := s.Rewind("other"); allod.KindOf(err) != allod.NotFound {
		t.Errorf("unknown mark: got %v, want NotFound", err)
	}
}

func TestMadeBlobReadsTheSameFromAnyOffset(t *testing.T) {
	b := MadeBlob("f", "x/y", 1000, 42)
	all := make([]byte, 1000)
	if _, err := b.ReadAt(all, 0); err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 100)
	for off := int64(0); off < 900; off += 37 {
		if _, err := b.ReadAt(part, off); err != nil || !bytes.Equal(part, all[off:off+100]) {
			t.Fatalf("content at %d differs (%v)", off, err)
		}
	}
}
