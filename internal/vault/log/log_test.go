package log

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
)

var vaultID = allod.GUID{1, 2, 3}

func keyOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func testPin() Pin {
	p := Pin{Vault: vaultID, Recipients: []string{"age1pq1x"}}
	for i, use := range []string{UseCapture, UseErase, UseMaintain, UseSlot} {
		p.Signers = append(p.Signers, Signer{use, Key(keyOf(byte(i + 1)).Public().(ed25519.PublicKey))})
	}
	return p
}

func entryOf(n, capture uint64, prev Digest) *Entry {
	return &Entry{
		Vault: fmt.Sprintf("%x", vaultID[:]), N: n, Prev: prev, Kind: KindCapture, Run: "r", Time: time.Date(2026, 1, 1, 0, 0, int(n), 0, time.UTC),
		Environment: 1, Capture: capture, Base: capture - 1, Line: 1, Root: 1, Epoch: 1, Objects: []Object{{Digest: Digest{9}, Size: 5, Role: RolePack}}, Sealed: []byte("sealed"),
	}
}

func TestVaultObject(t *testing.T) {
	pin := testPin()
	b, err := EncodeVault(pin, keyOf(4))
	if err != nil {
		t.Fatal(err)
	}
	for _, expect := range []Pin{pin, {}} {
		got, err := DecodeVault(b, expect)
		if err != nil || !got.Equal(pin) {
			t.Errorf("vault object: got %+v, %v", got, err)
		}
	}
	other := testPin()
	other.Recipients = []string{"age1pq1y"}
	changed, err := EncodeVault(other, keyOf(4))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeVault(changed, pin); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("another recipient than pinned: got %v, want kind corrupt", err)
	}
	wrong, err := EncodeVault(pin, keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeVault(wrong, pin); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("signed by a key for another use: got %v, want kind corrupt", err)
	}
	if _, err := DecodeVault([]byte(strings.Replace(string(b), `"format":1`, `"format":7`, 1)), pin); allod.KindOf(err) != allod.Invalid || !strings.Contains(err.Error(), "7") || !strings.Contains(err.Error(), "1") {
		t.Errorf("newer format: got %v, want kind invalid that names both versions", err)
	}
}

func TestEntryRoundTripAndFlips(t *testing.T) {
	e := entryOf(1, 1, Digest{})
	b, digest, err := e.Encode(keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	got, gotDigest, err := Decode(b, 1, testPin())
	if err != nil || gotDigest != digest {
		t.Fatalf("decode: %v", err)
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Error("entry (-want +got):\n" + diff)
	}
	one := testPin()
	one.Signers = one.Signers[:1] // each signer more is a signature more to try
	for i := range b {
		for _, bit := range []byte{1, 0x20, 0x80} {
			c := bytes.Clone(b)
			c[i] ^= bit
			if _, _, err := Decode(c, 1, one); err == nil {
				t.Fatalf("byte %d changed and nobody noticed", i)
			} else if k := allod.KindOf(err); k != allod.Corrupt && k != allod.Invalid {
				t.Fatalf("byte %d: got %v, want kind corrupt", i, err)
			}
		}
	}
	if _, _, err := Decode(b, 2, testPin()); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("under another number: got %v, want kind corrupt", err)
	}
}

// TestHostileSizes reads objects of 2 MiB that nobody signed: lines without
// end, objects without end. They cost no more than their own size.
func TestHostileSizes(t *testing.T) {
	head := `{"magic":"allod log","format":1,"objects":[`
	check := `{"magic":"allod checkpoint","format":1,"live":[`
	for name, b := range map[string][]byte{
		"lines":   append([]byte(head+"]}"), bytes.Repeat([]byte("\n"), 2<<20)...),
		"objects": append(append([]byte(head), bytes.Repeat([]byte("{},"), 2<<20/3)...), "{}]}\n"+strings.Repeat("A", 86)+"==\n"...),
		"live":    append(append([]byte(check), bytes.Repeat([]byte("{},"), 2<<20/3)...), "{}]}\n"+strings.Repeat("A", 86)+"==\n"...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := Decode(b, 1, testPin())
		_, checkErr := DecodeCheckpoint(b, 256, testPin())
		runtime.ReadMemStats(&after)
		if allod.KindOf(err) != allod.Corrupt || allod.KindOf(checkErr) != allod.Corrupt {
			t.Errorf("%s: got %v and %v, want kind corrupt", name, err, checkErr)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 24<<20 {
			t.Errorf("%s: %d MiB were allocated", name, cost>>20)
		}
	}
}

func TestSignersHaveRoles(t *testing.T) {
	for kind, signer := range map[Kind]byte{KindCapture: 1, KindErase: 2, KindCompact: 3, KindSlot: 4} {
		for k := byte(1); k <= 4; k++ {
			e := entryOf(1, 0, Digest{})
			e.Base, e.Kind = 0, kind
			if kind == KindCompact {
				e = compactionOf(1, 1, 2, Digest{7})
			}
			b, _, err := e.Encode(keyOf(k))
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = Decode(b, 1, testPin())
			if ok := k == signer; ok != (err == nil) {
				t.Errorf("%s signed by key %d: got %v, want accepted %v", kind, k, err, ok)
			}
		}
	}
}

func TestChain(t *testing.T) {
	base := func() Chain {
		var c Chain
		if err := c.Add(entryOf(1, 1, Digest{}), Digest{1}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ok := func() *Entry { return entryOf(2, 2, Digest{1}) }
	for name, change := range map[string]func(*Entry){
		"number": func(e *Entry) { e.N = 3 }, "prev": func(e *Entry) { e.Prev = Digest{2} }, "time": func(e *Entry) { e.Time = e.Time.Add(-time.Hour) },
		"capture again": func(e *Entry) { e.Capture, e.Base = 1, 0 }, "base": func(e *Entry) { e.Capture, e.Base = 3, 2 }, "epoch back": func(e *Entry) { e.Epoch = 0 },
		"epoch moved by a capture": func(e *Entry) { e.Epoch = 2 }, "root begun by a capture": func(e *Entry) { e.Root = 2 }, "no root": func(e *Entry) { e.Root = 0 },
		"no epoch, by who may move it": func(e *Entry) { e.Kind, e.Root, e.Epoch = KindErase, 2, 0 },
	} {
		c := base()
		e := ok()
		change(e)
		if err := c.Add(e, Digest{2}); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", name, err)
		}
	}
	c := base()
	if err := c.Add(ok(), Digest{2}); err != nil {
		t.Error(err)
	}
	erase := entryOf(3, 0, Digest{2})
	erase.Kind, erase.Base, erase.Epoch = KindErase, 0, 2
	if err := c.Add(erase, Digest{3}); err != nil {
		t.Error(err)
	}
	root := func() *Entry {
		e := entryOf(4, 0, Digest{3})
		e.Kind, e.Base, e.Root, e.Epoch, e.Roots = KindSlot, 0, 2, 3, []Moved{{Root: 1}}
		return e
	}
	for name, change := range map[string]func(*Entry){
		"in the epoch of the one before": func(e *Entry) { e.Epoch = 2 }, "without the one before": func(e *Entry) { e.Roots = nil },
		"two at once": func(e *Entry) { e.Root = 3 }, "with one that there is not": func(e *Entry) { e.Roots = append(e.Roots, Moved{Root: 7}) },
	} {
		c, e := c, root()
		c.Epochs = maps.Clone(c.Epochs)
		change(e)
		if err := c.Add(e, Digest{4}); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("a new root %s: got %v, want kind corrupt", name, err)
		}
	}
	if err := c.Add(root(), Digest{4}); err != nil || c.Root() != 2 || c.Epoch() != 3 || c.Epochs[1] != 3 {
		t.Errorf("a new root: got %v, current root %d, epochs %v", err, c.Root(), c.Epochs)
	}
	for name, change := range map[string]func(*Entry){
		"a capture under the former root":      func(e *Entry) { e.Root = 1 },
		"a capture that names the former root": func(e *Entry) { e.Roots = []Moved{{Root: 1}} },
		"an erasure in the former root alone":  func(e *Entry) { e.Kind, e.Root, e.Epoch = KindErase, 1, 4 },
		"an erasure in the new root alone":     func(e *Entry) { e.Kind, e.Epoch = KindErase, 4 },
	} {
		e := entryOf(5, 3, Digest{4})
		e.Base, e.Root, e.Epoch = 2, 2, 3
		change(e)
		c := c
		c.Epochs, c.Capture = maps.Clone(c.Epochs), maps.Clone(c.Capture)
		if err := c.Add(e, Digest{5}); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", name, err)
		}
	}
	both := entryOf(5, 0, Digest{4})
	both.Kind, both.Base, both.Root, both.Epoch, both.Roots = KindErase, 0, 2, 4, []Moved{{Root: 1, AbsentAfter: Digest{1}}}
	if err := c.Add(both, Digest{5}); err != nil || c.Epochs[1] != 4 || c.Epochs[2] != 4 {
		t.Errorf("an erasure in both: got %v, epochs %v", err, c.Epochs)
	}
}

// An entry that moves several roots reads back as it was written; one that
// names them out of order, or is of a kind that may not, is not written.
func TestEntryOfSeveralRoots(t *testing.T) {
	of := func() *Entry {
		e := entryOf(5, 0, Digest{4})
		e.Kind, e.Base, e.Root, e.Epoch, e.Roots = KindErase, 0, 3, 9, []Moved{{1, Digest{1}, Digest{2}}, {2, Digest{3}, Digest{4}}}
		return e
	}
	e := of()
	b, _, err := e.Encode(keyOf(2))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := Decode(b, 5, testPin()); err != nil || cmp.Diff(e, got) != "" {
		t.Errorf("read back: %v (-want +got):\n%s", err, cmp.Diff(e, got))
	}
	for name, change := range map[string]func(*Entry){
		"not in order": func(e *Entry) { e.Roots[0].Root = 2 }, "itself": func(e *Entry) { e.Roots[1].Root = 3 }, "root 0": func(e *Entry) { e.Roots[0].Root = 0 },
		"by a capture": func(e *Entry) { e.Kind = KindCapture }, "too many": func(e *Entry) { e.Roots = make([]Moved, MaxRoots+1) },
	} {
		e := of()
		change(e)
		if _, _, err := e.Encode(keyOf(2)); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want kind invalid", name, err)
		}
	}
}

func TestCheckpoint(t *testing.T) {
	c := &Checkpoint{Vault: fmt.Sprintf("%x", vaultID[:]), N: 256, Live: []Object{{Role: RolePack, Digest: Digest{2}}, {Role: RoleFile, Digest: Digest{1}}}, Kept: []uint64{1}}
	b, err := c.Encode(keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeCheckpoint(b, 256, testPin())
	if err != nil || len(got.Live) != 2 || got.Live[0].Role != RoleFile {
		t.Errorf("checkpoint: got %+v, %v", got, err)
	}
	if b, err = c.Encode(keyOf(4)); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeCheckpoint(b, 256, testPin()); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("signed by a key for another use: got %v, want kind corrupt", err)
	}
}

func TestNames(t *testing.T) {
	if n, ok := ParseEntryName(EntryName(42)); n != 42 || !ok {
		t.Errorf("entry name: got %d, %v", n, ok)
	}
	for _, bad := range []string{"log/42", "log/0000000000000000004x", "log/99999999999999999999", "log/+0000000000000000042"} {
		if _, ok := ParseEntryName(bad); ok {
			t.Errorf("%s is no entry name", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, _, err := entryOf(1, 1, Digest{}).Encode(keyOf(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}\nx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := Decode(b, 1, testPin()); err == nil && !bytes.Contains(b, []byte(`"magic":"allod log"`)) {
			t.Error("accepted what is no entry")
		}
		if _, err := DecodeVault(b, Pin{}); err == nil {
			t.Error("accepted what is no vault object")
		}
	})
}
