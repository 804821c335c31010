package rights

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"allod"
	"allod/internal/vault"
)

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		from, to, stored, next uint64
		want                   bool
	}{
		{0, 0, 1, 0, true},
		{3, 0, 1, 0, true},  // the newest, shown by 3
		{3, 0, 1, 4, true},  // shown by 3
		{3, 0, 1, 3, false}, // 3 shows the one after it
		{0, 3, 3, 4, true},
		{0, 3, 4, 0, false},
		{2, 3, 1, 2, false},
	} {
		c := Correction{From: tc.from, To: tc.to}
		if got := c.Covers(tc.stored, tc.next); got != tc.want {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
	if c := (Correction{From: 2, To: 3}); c.Shown(1) || !c.Shown(2) || !c.Shown(3) || c.Shown(4) {
		t.Error("from 2 to 3: got other snapshots")
	}
}

// TestApply tries a value of each type, in versions that have the column and
// those that do not.
func TestApply(t *testing.T) {
	table := &allod.Table{Name: "contact", Key: "contactid"}
	add := func(name string, typ allod.Type) {
		table.Columns = append(table.Columns, allod.Column{Name: name, Type: typ, MaxLength: 5})
	}
	right := map[string]string{"s": "right", "i": "-7", "b": "true", "d": "1.50", "f": "2e3", "t": "2026-01-31T12:00:00Z", "y": "2026-01-31", "c": "1,2", "l": "contact:01000000-0000-0000-0000-000000000000"}
	types := map[string]allod.Type{"s": allod.String, "i": allod.Integer, "b": allod.Boolean, "d": allod.Decimal, "f": allod.Double, "t": allod.DateTime, "y": allod.Date, "c": allod.Choices, "l": allod.Lookup}
	wrong := map[string]string{"s": "too long", "i": "1.5", "b": "1", "d": "x", "f": "0x1p3", "t": "2026-01-31", "y": "31.1.2026", "l": "contact"}
	for _, name := range []string{"s", "i", "b", "d", "f", "t", "y", "c", "l"} {
		add(name, types[name])
	}
	add("null", allod.String)
	add("absent", allod.String)
	cells := make([]allod.Value, len(table.Columns)-1) // a missing tail is absent
	for i := range cells {
		cells[i] = allod.NullValue()
	}
	c := Correction{Set: right, Clear: []string{"null", "absent", "gone"}}
	changed, err := c.Apply(table, cells)
	if err != nil || fmt.Sprint(changed) != "[b c d f i l s t y]" {
		t.Errorf("got %v, %v", changed, err)
	}
	if again, err := c.Apply(table, cells); err != nil || len(again) != 0 {
		t.Errorf("again: got %v, %v", again, err)
	}
	want := "[right -7 true 1.50 2e3 2026-01-31T12:00:00Z 2026-01-31 1,2 contact(01000000-0000-0000-0000-000000000000) (null)]"
	if got := fmt.Sprint(cells); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	again := &allod.Table{Name: "contact", Columns: []allod.Column{{Name: "s", ID: allod.GUID{1}, Type: allod.String}}}
	other := Correction{Set: map[string]string{"s": "other"}}
	if err := other.Check(again); err != nil {
		t.Fatal(err)
	}
	again.Columns[0].ID = allod.GUID{2} // dropped, and made again
	if changed, err := other.Apply(again, []allod.Value{allod.StringValue("x")}); err != nil || len(changed) != 0 {
		t.Errorf("another column of the name: got %v, %v", changed, err)
	}
	for name, text := range wrong {
		c := Correction{Set: map[string]string{name: text}}
		if err := c.Check(table); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want kind invalid", name, err)
		}
	}
}

// TestSpent says whose values are not needed any more.
func TestSpent(t *testing.T) {
	tag := func(n byte) vault.RecordTag { return vault.RecordTag{Environment: 1, Table: 1, Tag: [16]byte{n}} }
	asked := func(n byte) Erasure {
		return Erasure{ID: allod.GUID{n}, Tags: []vault.RecordTag{tag(n)}, Rectify: &Rectify{Values: allod.GUID{n}}}
	}
	one, waits, taken := asked(1), asked(2), asked(3)
	taken.Cancelled = time.Unix(1, 0)
	erase := Erasure{ID: allod.GUID{9}, Tags: []vault.RecordTag{tag(5)}}
	past := erase
	past.Past = true
	all := []Erasure{one, waits, taken, erase}
	known := []Correction{{ID: allod.GUID{1}, Tag: tag(1)}, {ID: allod.GUID{2}, Tag: tag(2)}, {ID: allod.GUID{3}, Tag: tag(3)}, {ID: allod.GUID{4}, Tag: tag(1), Keep: true}, {ID: allod.GUID{5}, Tag: tag(5), Keep: true}}
	for _, tc := range []struct {
		what string
		e    *Erasure
		want string
	}{{"a rectification", &one, "13"}, {"an erasure", &erase, "35"}, {"a past", &past, "3"}} {
		got := ""
		for _, c := range Spent(tc.e, all, known) {
			got += fmt.Sprint(c.ID[0])
		}
		if got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.what, got, tc.want)
		}
	}
	if Waiting(all) != 2 || len(Hidden(all)) != 1 {
		t.Errorf("got %d that wait and %d that are hidden, want 2 and 1", Waiting(all), len(Hidden(all)))
	}
	a, err := (&Correction{ID: allod.GUID{1}, Set: map[string]string{"a": "x"}}).Commit()
	b, err2 := (&Correction{ID: allod.GUID{1}, Set: map[string]string{"a": "y"}}).Commit()
	salted, err3 := (&Correction{ID: allod.GUID{1}, Set: map[string]string{"a": "x"}, Salt: allod.GUID{1}}).Commit()
	if err != nil || err2 != nil || err3 != nil || a == b || a == salted {
		t.Error("two corrections have one commitment")
	}
	typed := Correction{ID: allod.GUID{1}, Set: map[string]string{"a": "x"}, Clear: []string{}, Only: map[string]string{}}
	stored, err := json.Marshal(typed)
	if err != nil {
		t.Fatal(err)
	}
	var read Correction
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	was, err := typed.Commit()
	now, err2 := read.Commit()
	if err != nil || err2 != nil || was != now {
		t.Errorf("read back, a correction has the commitment %s, want %s", now, was)
	}
}
