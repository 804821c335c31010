package store

import (
	"testing"

	"allod"
)

func TestEmpty(t *testing.T) {
	id := func(n byte) allod.GUID { return allod.GUID{15: n} }
	s := New(10)
	s.AddTable("account", []string{"name", "ownerid"})
	s.AddTable("user", []string{"name", "favourite"})
	insert := func(table string, key allod.GUID, cells ...Cell) {
		t.Helper()
		if err := s.Insert(table, key, cells); err != nil {
			t.Fatal(err)
		}
	}
	insert("user", id(1), Cell{0, allod.StringValue("Ada")}, Cell{1, allod.LookupValue("account", id(3))})
	insert("user", id(2), Cell{0, allod.StringValue("Bea")}, Cell{1, allod.LookupValue("account", id(4))})
	insert("account", id(3), Cell{0, allod.StringValue("stays")}, Cell{1, allod.LookupValue("user", id(1))})
	insert("account", id(4), Cell{0, allod.StringValue("goes")})
	s.Empty(func(table string) bool { return table == "account" }, map[allod.GUID]bool{id(3): true})
	s.View(func(tx *Tx) {
		if got := tx.Len("account"); got != 1 {
			t.Errorf("accounts: got %d, want the one that is kept", got)
		}
		if got := len(tx.Find("account", "ownerid", allod.LookupValue("user", id(1)))); got != 1 {
			t.Errorf("found by owner: got %d, want 1", got)
		}
		if got := len(tx.Changed("account", 0, s.version, 10)) + len(tx.Deleted("account", 0, s.version, 10)); got != 1 {
			t.Errorf("logged: got %d, want the one that is kept", got)
		}
		if got := tx.Value("user", tx.Get("user", id(1)), "favourite").Type(); got != allod.Lookup {
			t.Errorf("reference to the row that is kept: got %v", got)
		}
		if got := tx.Value("user", tx.Get("user", id(2)), "favourite"); !got.IsNull() {
			t.Errorf("reference to the row that is gone: got %v", got)
		}
		if got := tx.Value("user", tx.Get("user", id(2)), "name").Text(); got != "Bea" {
			t.Errorf("name of the row that referred: got %q", got)
		}
	})
}
