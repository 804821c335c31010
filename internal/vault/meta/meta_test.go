package meta

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	vlog "allod/internal/vault/log"
)

func tables(ts ...allod.Table) *allod.Schema { return &allod.Schema{Tables: ts} }

// TestNumbersAreKept follows a schema through its changes: a table keeps its
// number whatever it is called, and no number is given twice.
func TestNumbersAreKept(t *testing.T) {
	a, b := allod.Table{Name: "a", ID: allod.GUID{1}}, allod.Table{Name: "b"}
	var s *Schema
	step := func(next *allod.Schema, want map[string]uint32) {
		t.Helper()
		var err error
		if s, err = s.Successor(next); err != nil {
			t.Fatal(err)
		}
		s.Entry = uint64(s.Number) * 10
		for name, n := range want {
			if got := s.NumberOf(name); got != n || s.TableOf(n).Name != name {
				t.Errorf("schema %d: table %s has number %d, want %d", s.Number, name, got, n)
			}
		}
	}
	step(tables(a, b), map[string]uint32{"a": 1, "b": 2})
	step(tables(b, allod.Table{Name: "renamed", ID: a.ID}), map[string]uint32{"renamed": 1, "b": 2})
	step(tables(b), map[string]uint32{"b": 2})
	if got := s.FormerNumber("renamed"); got != 1 || s.NumberOf("renamed") != 0 || s.TableOf(1) != nil {
		t.Errorf("a table that is gone: got former number %d", got)
	}
	step(tables(b, allod.Table{Name: "a", ID: allod.GUID{2}}), map[string]uint32{"a": 3, "b": 2})
	if got := s.FormerNumber("never"); got != 0 {
		t.Errorf("a table that never was: got number %d", got)
	}
	enc, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeSchema(enc, 4, 40, "packs/x")
	if err != nil || got.Entry != 40 {
		t.Fatal(got, err)
	}
	if diff := cmp.Diff(s.StoredSchema, got.StoredSchema); diff != "" {
		t.Error("schema (-want +got):\n" + diff)
	}
	if diff := cmp.Diff([]SchemaEntry{{1, 10}, {2, 20}, {3, 30}}, got.Earlier); diff != "" {
		t.Error("earlier schemas (-want +got):\n" + diff)
	}
	for _, tc := range []struct {
		b      []byte
		number uint32
	}{{enc, 3}, {enc[:len(enc)-1], 4}, {nil, 4}, {[]byte("{}"), 4}} {
		if _, err := DecodeSchema(tc.b, tc.number, 40, "packs/x"); allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), "packs/x") {
			t.Errorf("schema %d of %d bytes: got %v, want kind corrupt that names the object", tc.number, len(tc.b), err)
		}
	}
}

func TestSameSchema(t *testing.T) {
	var none *Schema
	s, err := none.Successor(tables(allod.Table{Name: "a"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what string
		s    allod.Schema
		want bool
	}{
		{"itself", allod.Schema{Tables: s.Schema.Tables}, true},
		{"another identity", allod.Schema{Tables: s.Schema.Tables, Identity: allod.Identity{Organization: allod.GUID{1}}}, true},
		{"another table", *tables(allod.Table{Name: "b"}), false},
	} {
		if got, err := s.Is(&tc.s); got != tc.want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", tc.what, got, err, tc.want)
		}
	}
}

// TestSchemaWithoutNumbers is one whose list of numbers lacks a table.
func TestSchemaWithoutNumbers(t *testing.T) {
	s := &Schema{StoredSchema: StoredSchema{Number: 1, Schema: *tables(allod.Table{Name: "a"})}}
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeSchema(b, 1, 1, "packs/x"); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("got %v, want kind corrupt", err)
	}
}

func TestManifest(t *testing.T) {
	m := &Manifest{Schema: 1, SchemaEntry: 2, Gaps: []allod.Gap{}, Tables: []Table{
		{1, allod.TableManifest{Table: "a", State: allod.TableFull, Rows: 3}}, {4, allod.TableManifest{Table: "b", State: allod.TableDelta, Rows: 4}},
	}}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeManifest(b, "packs/x")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Error("manifest (-want +got):\n" + diff)
	}
	if got.Rows() != 7 || got.Table(4).Table != "b" || got.Table(2) != nil {
		t.Errorf("got %d rows, tables %v and %v", got.Rows(), got.Table(4), got.Table(2))
	}
}

// TestPartIsBoundToItsEntry opens a sealed part at its own place only.
func TestPartIsBoundToItsEntry(t *testing.T) {
	cipher := func(vault byte, index byte) *Cipher {
		c, err := NewCipher(allod.GUID{vault}, [32]byte{index})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := cipher(1, 2)
	e := &vlog.Entry{N: 7, Environment: 1, Capture: 3}
	want := &Part{Environment: "contoso", Schema: 2, SchemaEntry: 5, State: []byte("token"), Manifest: &Manifest{Schema: 2}}
	if err := c.Seal(e, want); err != nil {
		t.Fatal(err)
	}
	got, err := c.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("part (-want +got):\n" + diff)
	}
	changed := append([]byte(nil), e.Sealed...)
	changed[len(changed)-1] ^= 1
	for _, tc := range []struct {
		what string
		c    *Cipher
		e    vlog.Entry
	}{
		{"another number", c, vlog.Entry{N: 8, Environment: 1, Capture: 3, Sealed: e.Sealed}},
		{"another environment", c, vlog.Entry{N: 7, Environment: 2, Capture: 3, Sealed: e.Sealed}},
		{"another capture", c, vlog.Entry{N: 7, Environment: 1, Capture: 4, Sealed: e.Sealed}},
		{"another vault", cipher(3, 2), *e},
		{"another key", cipher(1, 3), *e},
		{"a changed bit", c, vlog.Entry{N: 7, Environment: 1, Capture: 3, Sealed: changed}},
		{"cut off", c, vlog.Entry{N: 7, Environment: 1, Capture: 3, Sealed: e.Sealed[:5]}},
		{"none", c, vlog.Entry{N: 7, Environment: 1, Capture: 3}},
	} {
		if _, err := tc.c.Open(&tc.e); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", tc.what, err)
		}
	}
}

// FuzzDecode reads any bytes as a schema and as a manifest: an answer or an
// error of kind corrupt, and what was read can be written and read again.
func FuzzDecode(f *testing.F) {
	var none *Schema
	s, err := none.Successor(tables(allod.Table{Name: "a", ID: allod.GUID{1}, Columns: []allod.Column{{Name: "c", Type: allod.String}}}))
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range []interface{ Encode() ([]byte, error) }{s, &Manifest{Schema: 1, Tables: []Table{{Number: 1}}}} {
		b, err := v.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeSchema(b, 1, 1, "packs/x"); err == nil {
			again, err := s.Encode()
			if err == nil {
				_, err = DecodeSchema(again, 1, 1, "packs/x")
			}
			if err != nil {
				t.Errorf("a schema that was read is not written: %v", err)
			}
		} else if allod.KindOf(err) != allod.Corrupt {
			t.Errorf("schema: %v, want kind corrupt", err)
		}
		if m, err := DecodeManifest(b, "packs/x"); err == nil {
			_ = m.Table(1) // any answer will do
		} else if allod.KindOf(err) != allod.Corrupt {
			t.Errorf("manifest: %v, want kind corrupt", err)
		}
	})
}
