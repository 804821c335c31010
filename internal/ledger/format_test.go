package ledger

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"allod"
)

var update = flag.Bool("update", false, "write golden files of the current format")

func goldenEntry() Entry {
	return Entry{
		Time: time.Date(2026, 11, 21, 10, 0, 0, 123_000_000, time.UTC), Kind: KindDecision, Session: "00112233445566778899aabbccddeeff",
		Actor: "0f1e", Environment: "ab", Action: "restore", Purpose: "restore", Class: "content", Effect: "allow",
		Counts: map[string]int64{"rows": 40, "tables": -1}, Commitment: [32]byte{1, 2, 3},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed:\n%s\nwant\n%s", name, got, want)
	}
}

func goldenVerifiers(t testing.TB) note.Verifiers {
	t.Helper()
	v, err := newVerifier(testVault, public(testKey(0)))
	if err != nil {
		t.Fatal(err)
	}
	return note.VerifierList(v)
}

// TestGoldenFiles pins the bytes of version 1: they must be written alike and
// stay readable.
func TestGoldenFiles(t *testing.T) {
	s, err := newSigner(testVault, testKey(0))
	if err != nil {
		t.Fatal(err)
	}
	object, err := sealEntry(goldenEntry(), testVault, 42, tlog.Hash{9}, [16]byte{8}, s)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "entry-v1.txt", object)
	p, err := openEntry(object, testVault, goldenVerifiers(t))
	if err != nil || p.n != 42 || p.before != (tlog.Hash{9}) || p.Counts["rows"] != 40 || !p.Time.Equal(goldenEntry().Time) {
		t.Errorf("read back %+v, %v", p, err)
	}
	checkpoint, err := signNote(checkpointText(testVault, Head{Size: 512, Hash: tlog.Hash{7}}), s)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "checkpoint-v1.txt", checkpoint)
	key, err := VerifierKey(testVault, public(testKey(0)))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "key-v1.txt", []byte(key+"\n"))
	golden(t, "pseudonym-v1.txt", []byte((&Ledger{pseudonym: [32]byte{7}}).Opaque("actor", "os:alice")+"\n"))
}

func TestTileNames(t *testing.T) {
	tests := map[string]tlog.Tile{
		"ledger/tile/0/000":           {H: 8, L: 0, N: 0, W: 256},
		"ledger/tile/1/x001/067.p/12": {H: 8, L: 1, N: 1067, W: 12},
	}
	for name, tile := range tests {
		if got := tileName(tile); got != name {
			t.Errorf("name of %v = %s, want %s", tile, got, name)
		}
		if got, ok := parseTileName(name); !ok || got != tile {
			t.Errorf("parse %s = %v %v", name, got, ok)
		}
	}
	for _, name := range []string{"ledger/tile/0/0", "ledger/tile/data/000", "ledger/tile/9/000", "ledger/tile/0/000.p/256", "ledger/tile/0/000.p/0", "ledger/entry/0"} {
		if got, ok := parseTileName(name); ok {
			t.Errorf("parse %s = %v", name, got)
		}
	}
}

func FuzzEntry(f *testing.F) {
	text, err := goldenEntry().text(testVault, 42, tlog.Hash{9}, [16]byte{8})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte(`"n":42`), []byte(`"n":042`), 1))
	f.Add(bytes.Replace(text, []byte(`"rows":40`), []byte(`"rows":4e1`), 1))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseText(b)
		if err != nil {
			if allod.KindOf(err) != allod.Corrupt {
				t.Fatalf("kind %v", allod.KindOf(err))
			}
			return
		}
		again, err := p.text(p.vault, p.n, p.before, p.id)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("two spellings of one entry: %q %q %v", b, again, err)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(checkpointText(testVault, Head{Size: 512, Hash: tlog.Hash{7}}))
	f.Add([]byte("allod/x\n1\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseCheckpoint(b, testVault)
		if err != nil {
			if allod.KindOf(err) != allod.Corrupt {
				t.Fatalf("kind %v", allod.KindOf(err))
			}
			return
		}
		if !bytes.Equal(checkpointText(testVault, h), b) {
			t.Fatalf("two spellings of one checkpoint: %q", b)
		}
	})
}

func FuzzNote(f *testing.F) {
	for _, name := range []string{"entry-v1.txt", "checkpoint-v1.txt"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(bytes.Clone(b), '\n'))
	}
	v := goldenVerifiers(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := openNote(b, v)
		if err == nil && !bytes.HasPrefix(b, text) {
			t.Fatalf("text %q is not in %q", text, b)
		}
	})
}
