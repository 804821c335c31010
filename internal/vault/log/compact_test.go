package log

import (
	"bytes"
	"testing"

	"allod"
)

// compactionOf is entry n, which replaces packs of captures of environment 1.
func compactionOf(n, first, last uint64, gone ...Digest) *Entry {
	e := entryOf(n, 0, Digest{})
	e.Kind, e.Capture, e.Base, e.Line, e.Environment, e.Counts, e.Sealed = KindCompact, 0, 0, 0, 1, Counts{}, nil
	e.Objects = []Object{{Digest: Digest{byte(n), 99}, Size: 5, Role: RolePack}}
	e.Compact = &Compaction{First: first, Last: last, Gone: gone}
	return e
}

// TestCompactionForm accepts an entry that says what FORMAT.md asks for, in
// format 2, and refuses every other one, also that of format 1.
func TestCompactionForm(t *testing.T) {
	b, _, err := compactionOf(1, 1, 2, Digest{7}).Encode(keyOf(3))
	if err != nil || !bytes.Contains(b, []byte(`"format":2`)) {
		t.Fatalf("%s, %v", b, err)
	}
	if e, _, err := Decode(b, 1, testPin()); err != nil || e.Compact.Last != 2 {
		t.Errorf("got %+v, %v", e, err)
	}
	for what, change := range map[string]func(e *Entry){
		"nothing replaced":        func(e *Entry) { e.Compact.Gone = nil },
		"no compaction":           func(e *Entry) { e.Compact = nil },
		"one capture":             func(e *Entry) { e.Compact.Last = e.Compact.First },
		"no first":                func(e *Entry) { e.Compact.First = 0 },
		"a file":                  func(e *Entry) { e.Objects = append(e.Objects, Object{Role: RoleFile}) },
		"no pack":                 func(e *Entry) { e.Objects = nil },
		"replaced and made":       func(e *Entry) { e.Compact.Gone = append(e.Compact.Gone, e.Objects[0].Digest) },
		"a capture":               func(e *Entry) { e.Capture = 3 },
		"something sealed":        func(e *Entry) { e.Sealed = []byte{1} },
		"counts":                  func(e *Entry) { e.Counts.Rows = 1 },
		"an absent list":          func(e *Entry) { e.AbsentAfter = Digest{1} },
		"of a capture":            func(e *Entry) { e.Kind, e.Capture = KindCapture, 3 },
		"another kind's replaced": func(e *Entry) { e.Kind = KindExpire },
	} {
		e := compactionOf(1, 1, 2, Digest{7})
		change(e)
		if _, _, err := e.Encode(keyOf(3)); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want kind invalid", what, err)
		}
	}
	for old, now := range map[string]string{`"format":2`: `"format":1`, `"format":2,"vault"`: `"format":3,"vault"`} {
		want := map[bool]allod.Kind{true: allod.Invalid, false: allod.Corrupt}[now[len(now)-7:] == `"vault"`]
		line, _, _ := bytes.Cut(bytes.Replace(b, []byte(old), []byte(now), 1), []byte("\n"))
		if _, _, err := Decode(sign(entrySigned, line, keyOf(3)), 1, testPin()); allod.KindOf(err) != want {
			t.Errorf("%s: got %v, want kind %v", now, err, want)
		}
	}
}

// TestStanding replaces captures, and what was replaced already, and refuses
// what does not stand.
func TestStanding(t *testing.T) {
	var s Standing
	add := func(e *Entry) error {
		err := s.Fits(e)
		if err == nil {
			s.Add(e)
		}
		return err
	}
	for c := uint64(1); c <= 5; c++ {
		e := entryOf(c, 0, Digest{})
		e.Kind, e.Environment, e.Capture, e.Base = KindCapture, 1, c, c-1
		e.Objects = []Object{{Digest: Digest{byte(c)}, Role: RolePack}, {Digest: Digest{byte(c), 1}, Role: RoleFile}}
		if c == 2 {
			e.Objects = nil
		}
		if err := add(e); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Of(1)
	for what, e := range map[string]*Entry{
		"too few":          compactionOf(6, 1, 3, Digest{1}),
		"too many":         compactionOf(6, 1, 3, Digest{1}, Digest{2}, Digest{3}),
		"another order":    compactionOf(6, 1, 3, Digest{3}, Digest{1}),
		"not there yet":    compactionOf(6, 5, 6, Digest{5}),
		"before the first": compactionOf(6, 6, 7, Digest{5}),
	} {
		if err := add(e); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", what, err)
		}
	}
	other := compactionOf(6, 1, 3, Digest{1}, Digest{3})
	other.Environment = 2
	if err := add(other); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("another environment: got %v, want kind corrupt", err)
	}
	if err := add(compactionOf(6, 1, 3, Digest{1}, Digest{3})); err != nil {
		t.Fatal(err)
	}
	if err := add(compactionOf(7, 2, 4, Digest{3}, Digest{4})); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("half of what stands: got %v, want kind corrupt", err)
	}
	if err := add(compactionOf(7, 1, 4, Digest{6, 99}, Digest{4})); err != nil {
		t.Fatal(err)
	}
	if got := s.Of(1); len(before) != 5 || len(got) != 2 || got[0].First != 1 || got[0].Last != 4 || s.Holder(1, 3) != 7 || s.Holder(1, 5) != 5 || s.Holder(1, 6) != 0 || s.Holder(2, 1) != 0 {
		t.Errorf("got %+v", got)
	}
}
