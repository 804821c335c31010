package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"allod"
	"allod/internal/blob"
)

var testVault = allod.GUID{0xa1, 0x10, 0xd0, 1}

func testKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+b)), 32)))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func testNow() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }

func testConfig(m *memory) Config {
	return Config{Store: m, Vault: testVault, Key: testKey(0), Now: testNow, Pseudonyms: [32]byte{7}}
}

func mustOpen(t testing.TB, c Config) *Ledger {
	t.Helper()
	l, err := Open(context.Background(), c)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

func testEntry(i int) Entry {
	return Entry{Kind: KindAct, Action: "read", Counts: map[string]int64{"i": int64(i)}}
}

func mustAppend(t testing.TB, l *Ledger, from, count int) {
	t.Helper()
	for i := range count {
		n, err := l.Append(context.Background(), testEntry(from+i))
		if err != nil || n != int64(from+i) {
			t.Fatalf("append %d: index %d, error %v", from+i, n, err)
		}
	}
}

func mustBeClean(t testing.TB, l *Ledger, entries int64) {
	t.Helper()
	r, err := l.Verify(context.Background())
	if err != nil || len(r.Bad) > 0 || r.Entries != entries {
		t.Fatalf("verify: %+v, %v; want %d entries and nothing bad", r, err, entries)
	}
}

// full is a ledger of 1,300 entries, made once: five full tiles and a rest.
var full = sync.OnceValue(func() *memory {
	m := newMemory()
	l, err := Open(context.Background(), testConfig(m))
	if err != nil {
		panic(err)
	}
	for i := range 1300 {
		if _, err := l.Append(context.Background(), testEntry(i)); err != nil {
			panic(err)
		}
	}
	return m
})

func TestAppendAndReopen(t *testing.T) {
	m := full().snapshot()
	before := mustOpen(t, testConfig(m))
	if size, _ := before.Root(); size != 1300 {
		t.Fatalf("size %d, want 1300", size)
	}
	if len(m.names(checkpointPrefix)) != 5 {
		t.Errorf("%d checkpoints, want 5", len(m.names(checkpointPrefix)))
	}
	m.gets = 0
	l := mustOpen(t, testConfig(m))
	if m.gets > 60 { // 1 checkpoint, 1 tile, 20 entries and the search for the end
		t.Errorf("opening took %d gets", m.gets)
	}
	mustAppend(t, l, 1300, 300)
	mustBeClean(t, l, 1600)
	e, err := l.Get(t.Context(), 1555)
	if err != nil || e.Counts["i"] != 1555 || !e.Time.Equal(testNow()) {
		t.Errorf("entry 1555 = %+v, %v", e, err)
	}
	if _, err := l.Get(t.Context(), 1600); allod.KindOf(err) != allod.NotFound {
		t.Errorf("entry beyond the end: %v", err)
	}
	// The tree is that of tlog over the objects, whatever the tiles say.
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(x []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(x))
		for i := range x {
			out[i] = stored[x[i]]
		}
		return out, nil
	})
	for i, name := range m.names(entryPrefix) {
		hs, err := tlog.StoredHashes(int64(i), m.objects[name], reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hs...)
	}
	want, _ := tlog.TreeHash(1600, reader)
	if _, got := l.Root(); got != want {
		t.Errorf("root %v, want %v", got, want)
	}
}

func TestManyTiles(t *testing.T) {
	if os.Getenv("ALLOD_LONG") == "" {
		t.Skip("appends 65,800 entries, 9 s; set ALLOD_LONG=1")
	}
	m := newMemory()
	l := mustOpen(t, testConfig(m))
	const size = 65_800
	mustAppend(t, l, 0, size)
	again := mustOpen(t, testConfig(m))
	if got, want := again.Head(), l.Head(); got != want {
		t.Fatalf("reopened at %v, want %v", got, want)
	}
	for _, n := range []int64{0, 255, 256, 65_535, 65_536, size - 1} {
		p, err := again.Prove(t.Context(), n)
		if err != nil {
			t.Fatalf("prove %d: %v", n, err)
		}
		if _, _, err := p.Check(testVault, []ed25519.PublicKey{public(testKey(0))}); err != nil {
			t.Errorf("check %d: %v", n, err)
		}
	}
	mustAppend(t, again, size, 300)
	if n := len(again.hashes.known); n > 3000 {
		t.Errorf("%d hashes in memory after %d entries", n, size)
	}
	mustBeClean(t, again, size+300)
}

func TestEmptyAndReadOnly(t *testing.T) {
	m := newMemory()
	c := testConfig(m)
	c.Key, c.Trusted = nil, []ed25519.PublicKey{public(testKey(0))}
	l := mustOpen(t, c)
	if size, hash := l.Root(); size != 0 || hash != emptyTree() {
		t.Errorf("empty ledger: %d %v", size, hash)
	}
	if _, err := l.Append(t.Context(), testEntry(0)); allod.KindOf(err) != allod.Denied {
		t.Errorf("append without a key: %v", err)
	}
	writer := mustOpen(t, testConfig(m))
	mustAppend(t, writer, 0, 300)
	if h, err := l.Refresh(t.Context()); err != nil || h != writer.Head() {
		t.Errorf("refresh: %v %v, want %v", h, err, writer.Head())
	}
	mustBeClean(t, l, 300)
	c.Trusted = nil
	if _, err := Open(t.Context(), c); allod.KindOf(err) != allod.Denied {
		t.Errorf("open without trusted keys: %v", err)
	}
	c.Trusted = []ed25519.PublicKey{public(testKey(1))}
	if _, err := Open(t.Context(), c); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("open with a foreign key: %v", err)
	}
}

func TestConcurrentProcesses(t *testing.T) {
	m := newMemory()
	const processes, each = 6, 60
	keys := []ed25519.PublicKey{public(testKey(0)), public(testKey(1))}
	var wg sync.WaitGroup
	got := make([]map[int64]int, processes)
	for p := range processes {
		c := testConfig(m)
		c.Key, c.Trusted = testKey(byte(p%2)), keys
		l := mustOpen(t, c)
		got[p] = map[int64]int{}
		wg.Go(func() {
			for i := range each {
				n, err := l.Append(context.Background(), testEntry(p*1000+i))
				if err != nil {
					t.Errorf("process %d: %v", p, err)
					return
				}
				got[p][n] = p*1000 + i
			}
		})
	}
	wg.Wait()
	c := testConfig(m)
	c.Trusted = keys
	l := mustOpen(t, c)
	mustBeClean(t, l, processes*each)
	for p := range got {
		if len(got[p]) != each {
			t.Errorf("process %d got %d numbers, want %d", p, len(got[p]), each)
		}
		for n, i := range got[p] {
			if e, err := l.Get(t.Context(), n); err != nil || e.Counts["i"] != int64(i) {
				t.Errorf("entry %d = %v, %v; want %d", n, e.Counts, err, i)
			}
		}
	}
}

func TestFaultAtEachPut(t *testing.T) {
	base := newMemory()
	mustAppend(t, mustOpen(t, testConfig(base)), 0, 510)
	step := 1
	if testing.Short() {
		step = 3
	}
	for _, stored := range []bool{false, true} {
		for k := 1; k <= 9; k += step {
			t.Run(fmt.Sprintf("put %d, stored %v", k, stored), func(t *testing.T) {
				m := base.snapshot()
				l := mustOpen(t, testConfig(m))
				m.failAt, m.stored = k, stored
				acknowledged := map[int]bool{}
				for i := range 6 {
					if _, err := l.Append(t.Context(), testEntry(1000+i)); err == nil {
						acknowledged[1000+i] = true
					} else if allod.KindOf(err) != allod.Unavailable || stored {
						t.Errorf("append: %v", err)
					}
				}
				if m.puts < k {
					t.Fatalf("only %d puts: the fault never struck", m.puts)
				}
				m.failAt = 0
				again := mustOpen(t, testConfig(m))
				if again.Head() != l.Head() {
					t.Errorf("reopened at %v, want %v", again.Head(), l.Head())
				}
				mustAppend(t, again, int(again.Head().Size), 2)
				count := map[int64]int{}
				for n := range again.Head().Size {
					e, err := again.Get(t.Context(), n)
					if err != nil {
						t.Fatal(err)
					}
					count[e.Counts["i"]]++
				}
				for i := range acknowledged {
					if count[int64(i)] != 1 {
						t.Errorf("entry %d stands %d times", i, count[int64(i)])
					}
				}
				mustBeClean(t, again, again.Head().Size)
				if len(m.names(checkpointPrefix)) != 2 {
					t.Errorf("%d checkpoints, want 2", len(m.names(checkpointPrefix)))
				}
			})
		}
	}
}

func TestRemoved(t *testing.T) {
	whole := full()
	head := mustOpen(t, testConfig(whole)).Head()
	tests := []struct {
		name   string
		harm   func(m *memory)
		open   allod.Kind // of Open that remembers the head; 0 = opens
		object string     // that Verify names when opened without memory; "" = nothing
	}{
		{"last entry", func(m *memory) { delete(m.objects, entryName(1299)) }, allod.Corrupt, ""},
		{"entry after the checkpoint", func(m *memory) { delete(m.objects, entryName(1285)) }, allod.Corrupt, "cannot open"},
		{"entry before the checkpoint", func(m *memory) { delete(m.objects, entryName(700)) }, 0, entryName(700)},
		{"everything after 1000, checkpoint left", func(m *memory) {
			for i := 1000; i < 1300; i++ {
				delete(m.objects, entryName(int64(i)))
			}
		}, allod.Corrupt, entryName(1000)},
		{"everything after 1000, checkpoint too", func(m *memory) {
			for i := 1000; i < 1300; i++ {
				delete(m.objects, entryName(int64(i)))
			}
			for _, n := range append(m.names(checkpointPrefix+"00000000000000001"), m.names(tilePrefix)...) {
				delete(m.objects, n)
			}
		}, allod.Corrupt, ""},
		{"all tiles", func(m *memory) {
			for _, n := range m.names(tilePrefix) {
				delete(m.objects, n)
			}
		}, 0, ""},
		{"all checkpoints", func(m *memory) {
			for _, n := range m.names(checkpointPrefix) {
				delete(m.objects, n)
			}
		}, 0, ""},
		{"everything", func(m *memory) { clear(m.objects) }, allod.Corrupt, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := whole.snapshot()
			test.harm(m)
			c := testConfig(m)
			c.Remembered = head
			if _, err := Open(t.Context(), c); allod.KindOf(err) != test.open {
				t.Errorf("open remembering the head: %v, want kind %v", err, test.open)
			} else if err != nil && strings.Contains(err.Error(), "shorter") && allod.HintOf(err) == "" {
				t.Error("no hint")
			}
			harmed := test.open == allod.Corrupt || test.object != ""
			c.Key, c.Trusted = nil, []ed25519.PublicKey{public(testKey(0))}
			if r, err := Verify(t.Context(), c); err != nil || harmed != (len(r.Bad) > 0) {
				t.Errorf("verify without opening, remembering the head: got %+v, %v, want something bad: %v", r.Bad, err, harmed)
			}
			c.Key, c.Trusted = testKey(0), nil
			c.Remembered = Head{}
			l, err := Open(t.Context(), c)
			if test.object == "cannot open" {
				if allod.KindOf(err) != allod.Corrupt {
					t.Errorf("open: %v, want Corrupt", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("open: %v", err)
			}
			r, err := l.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if test.object == "" && len(r.Bad) > 0 || test.object != "" && (len(r.Bad) == 0 || r.Bad[0].Object != test.object) {
				t.Errorf("verify: %+v, want %q", r.Bad, test.object)
			}
		})
	}
}

// oddLists lists every object twice, but the newest entries not yet.
type oddLists struct{ *memory }

func (o oddLists) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range o.memory.List(ctx, prefix) {
			if info.Name >= entryName(1290) && strings.HasPrefix(info.Name, entryPrefix) {
				continue
			}
			for range 2 {
				if !yield(info, err) {
					return
				}
			}
		}
	}
}

// TestListingsAreNotBelieved verifies a whole ledger through listings that are
// late and name objects twice, and one with a hole that such a listing hides.
func TestListingsAreNotBelieved(t *testing.T) {
	c := testConfig(nil)
	c.Store = oddLists{full().snapshot()}
	l := mustOpen(t, c)
	if r, err := l.Verify(t.Context()); err != nil || len(r.Bad) > 0 || r.Entries != 1300 || l.Head().Size != 1300 {
		t.Errorf("verify: got %+v, %v, want 1300 entries and nothing bad", r, err)
	}
	m := full().snapshot()
	delete(m.objects, entryName(700))
	c.Store = oddLists{m}
	if r, err := mustOpen(t, c).Verify(t.Context()); err != nil || len(r.Bad) == 0 || r.Bad[0].Object != entryName(700) {
		t.Errorf("verify with a hole: got %+v, %v, want it named", r, err)
	}
}

// TestNewerFormat puts an entry of a later format behind the others: opening
// refuses and says so, and nothing is appended over it.
func TestNewerFormat(t *testing.T) {
	m := newMemory()
	c := testConfig(m)
	l := mustOpen(t, c)
	newer, err := signNote([]byte(`{"format":"allod ledger entry v2","vault":"`+c.Vault.String()+`","more":1}`+"\n"), l.signer)
	if err != nil {
		t.Fatal(err)
	}
	m.objects[entryName(0)] = newer
	if _, err := Open(t.Context(), c); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
		t.Errorf("open: got %v, want kind invalid with a hint", err)
	}
	if _, err := l.Append(t.Context(), testEntry(1)); allod.KindOf(err) != allod.Invalid || len(m.objects) != 1 {
		t.Errorf("append: got %v with %d objects, want kind invalid and the one", err, len(m.objects))
	}
}

func TestForgedEntryIsRefused(t *testing.T) {
	m := newMemory()
	l := mustOpen(t, testConfig(m))
	mustAppend(t, l, 0, 3)
	forger, err := newSigner(testVault, testKey(5))
	if err != nil {
		t.Fatal(err)
	}
	own, err := newSigner(testVault, testKey(0))
	if err != nil {
		t.Fatal(err)
	}
	e := testEntry(3)
	e.Time = testNow()
	tests := map[string]func() ([]byte, error){
		"foreign key":   func() ([]byte, error) { return sealEntry(e, testVault, 3, l.head.Hash, [16]byte{}, forger) },
		"other number":  func() ([]byte, error) { return sealEntry(e, testVault, 4, l.head.Hash, [16]byte{}, own) },
		"other history": func() ([]byte, error) { return sealEntry(e, testVault, 3, tlog.Hash{}, [16]byte{}, own) },
		"other vault":   func() ([]byte, error) { return sealEntry(e, allod.GUID{9}, 3, l.head.Hash, [16]byte{}, own) },
		"checkpoint":    func() ([]byte, error) { return signNote(checkpointText(testVault, l.head), own) },
		"too long":      func() ([]byte, error) { return make([]byte, maxObject+1), nil },
		"empty":         func() ([]byte, error) { return nil, nil },
	}
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			c := m.snapshot()
			c.objects[entryName(3)], err = forge()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), testConfig(c)); allod.KindOf(err) != allod.Corrupt {
				t.Errorf("open: %v, want Corrupt", err)
			}
		})
	}
}

// TestFlippedBytes flips each byte of entries, and some of every other object
// (all with ALLOD_LONG=1), one at a time: Verify names the object.
func TestFlippedBytes(t *testing.T) {
	m := newMemory()
	l := mustOpen(t, testConfig(m))
	mustAppend(t, l, 0, 257)
	names := append(m.names(entryPrefix)[:2], m.names(checkpointPrefix)...)
	names = append(append(names, entryName(256)), m.names(tilePrefix)...)
	for _, name := range names {
		object := m.objects[name]
		step := 1
		switch {
		case len(object) > 2000:
			step = 797
		case !strings.HasPrefix(name, entryPrefix):
			step = 5
		}
		if os.Getenv("ALLOD_LONG") != "" {
			step = 1
		} else if testing.Short() {
			step *= 7
		}
		for at := 0; at < len(object); at += step {
			if strings.HasPrefix(name, entryPrefix) {
				// The whole ledger is read below only for a few; the object
				// itself must be refused for every byte.
				object[at] ^= 1
				_, err := openEntry(object, testVault, l.verifiers)
				object[at] ^= 1
				if allod.KindOf(err) != allod.Corrupt {
					t.Fatalf("%s: byte %d flipped: %v", name, at, err)
				}
				if at%500 >= step {
					continue
				}
			}
			object[at] ^= 1
			r, err := l.Verify(t.Context())
			object[at] ^= 1
			if err != nil || len(r.Bad) == 0 || r.Bad[0].Object != name {
				t.Fatalf("%s: byte %d flipped: %+v, %v", name, at, r, err)
			}
		}
	}
	mustBeClean(t, l, 257)
}

func TestProofs(t *testing.T) {
	trusted := []ed25519.PublicKey{public(testKey(0))}
	l := mustOpen(t, testConfig(full().snapshot()))
	old := l.Head()
	mustAppend(t, l, 1300, 20)
	for _, n := range []int64{0, 255, 256, 1279, 1280, 1319} {
		p, err := l.Prove(t.Context(), n)
		if err != nil {
			t.Fatalf("prove %d: %v", n, err)
		}
		e, head, err := p.Check(testVault, trusted)
		if err != nil || e.Counts["i"] != n || head != l.Head() {
			t.Errorf("check %d: %+v %v %v", n, e, head, err)
		}
		if _, _, err := p.Check(allod.GUID{3}, trusted); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("check for another vault: %v", err)
		}
		if _, _, err := p.Check(testVault, []ed25519.PublicKey{public(testKey(1))}); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("check with another key: %v", err)
		}
		p.Path[len(p.Path)-1][0] ^= 1
		if _, _, err := p.Check(testVault, trusted); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("check of a changed path: %v", err)
		}
	}
	g, err := l.ProveGrowth(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := g.Check(testVault, trusted); err != nil || head != l.Head() {
		t.Errorf("growth: %v %v", head, err)
	}
	other := old
	other.Hash[0] ^= 1
	if _, err := l.ProveGrowth(t.Context(), other); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("growth from another past: %v", err)
	}
	if err := l.Contains(t.Context(), old); err != nil {
		t.Errorf("contains: %v", err)
	}
	if err := l.Contains(t.Context(), other); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("contains another past: %v", err)
	}
	if _, err := l.Prove(t.Context(), 1320); allod.KindOf(err) != allod.NotFound {
		t.Errorf("prove beyond the end: %v", err)
	}
}

func TestEntryCarriesNoNames(t *testing.T) {
	l := mustOpen(t, testConfig(newMemory()))
	tests := map[string]Entry{
		"actor":        {Kind: KindAct, Action: "read", Actor: "os:alice"},
		"environment":  {Kind: KindAct, Action: "read", Environment: "contoso"},
		"action":       {Kind: KindAct, Action: "read Alice"},
		"purpose":      {Kind: KindAct, Action: "read", Purpose: "find Alice"},
		"count":        {Kind: KindAct, Action: "read", Counts: map[string]int64{"Alice": 1}},
		"no kind":      {Action: "read"},
		"effect":       {Kind: KindDecision, Action: "read", Effect: "perhaps"},
		"act's effect": {Kind: KindAct, Action: "read", Effect: "allow"},
		"time":         {Kind: KindAct, Action: "read", Time: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for name, e := range tests {
		if _, err := l.Append(t.Context(), e); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	if size, _ := l.Root(); size != 0 {
		t.Errorf("%d entries were stored", size)
	}
	a, b := l.Opaque("actor", "os:alice"), l.Opaque("actor", "os:bob")
	if a == b || !opaque(a) || len(a) != 32 || a == l.Opaque("environment", "os:alice") {
		t.Errorf("opaque names %q %q", a, b)
	}
}

func TestSealOpens(t *testing.T) {
	c, o, err := Seal([]byte("why"))
	if err != nil {
		t.Fatal(err)
	}
	if o.Commitment() != c {
		t.Error("the opening does not open the commitment")
	}
	o.Text = []byte("Why")
	if o.Commitment() == c {
		t.Error("another text opens the commitment")
	}
	if d, _, _ := Seal([]byte("why")); d == c {
		t.Error("two commitments to the same text are alike")
	}
}

func TestCancelledAndDown(t *testing.T) {
	m := newMemory()
	l := mustOpen(t, testConfig(m))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, testEntry(0)); !errors.Is(err, context.Canceled) {
		t.Errorf("append when cancelled: %v", err)
	}
	m.down = true
	if _, err := l.Append(t.Context(), testEntry(0)); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("append when down: %v", err)
	}
	m.down = false
	mustAppend(t, l, 0, 1)
}

// TestModel compares ledgers of several processes over one failing store with
// a list.
func TestModel(t *testing.T) {
	base := newMemory()
	mustAppend(t, mustOpen(t, testConfig(base)), 0, 250)
	rapid.Check(t, func(t *rapid.T) {
		m, first := newMemory(), int64(0)
		if rapid.IntRange(0, 9).Draw(t, "full") == 7 { // the faults strike around the first tile
			m, first = base.snapshot(), 250
		}
		open := func() *Ledger {
			l, err := Open(context.Background(), testConfig(m))
			if err != nil {
				t.Fatalf("open: %v", err)
			}
			return l
		}
		ledgers := []*Ledger{open(), open()}
		var want []int64          // acknowledged, in order
		maybe := map[int64]bool{} // not acknowledged, perhaps stored
		next, head := int64(1000), Head{}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				l := ledgers[rapid.IntRange(0, 1).Draw(t, "process")]
				for range rapid.IntRange(1, 8).Draw(t, "count") {
					m.failAt = 0
					if f := rapid.IntRange(0, 20).Draw(t, "fault"); f < 4 {
						m.failAt, m.stored = m.puts+1+f/2, f%2 == 0
					}
					if _, err := l.Append(context.Background(), testEntry(int(next))); err == nil {
						want = append(want, next)
					} else {
						maybe[next] = true
					}
					next++
				}
				m.failAt = 0
				head = l.Head()
			},
			"reopen": func(t *rapid.T) { ledgers[rapid.IntRange(0, 1).Draw(t, "process")] = open() },
			"check": func(t *rapid.T) {
				l := open()
				if err := l.Contains(context.Background(), head); err != nil {
					t.Fatalf("contains: %v", err)
				}
				at := 0
				for n := first; n < l.Head().Size; n++ {
					e, err := l.Get(context.Background(), n)
					if err != nil {
						t.Fatal(err)
					}
					i := e.Counts["i"]
					if at < len(want) && want[at] == i {
						at++
					} else if !maybe[i] {
						t.Fatalf("entry %d is %d, want %v", n, i, want[at:])
					}
				}
				if at != len(want) {
					t.Fatalf("%d acknowledged entries are gone", len(want)-at)
				}
			},
		})
	})
}

func BenchmarkAppend(b *testing.B) {
	l := mustOpen(b, testConfig(newMemory()))
	for i := 0; b.Loop(); i++ {
		if _, err := l.Append(b.Context(), testEntry(i)); err != nil {
			b.Fatal(err)
		}
	}
}
