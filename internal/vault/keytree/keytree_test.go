package keytree

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
)

var update = flag.Bool("update", false, "write golden files anew")

var testVault = allod.GUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func fixed(t testing.TB, root uint64) *State {
	t.Helper()
	s, err := New(testVault, root, bytes.NewReader(bytes.Repeat([]byte{0x5a}, 1<<16)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type vector struct {
	Identity, Leaf, Tag string
	Generation          uint8
	Seed                string
}

// TestVectors pins leaf, tag and seed: whoever writes another reader checks
// against testdata/vectors.json (vault 0102…10, root 7, root seed 16 × 5a,
// index key 32 × a5).
func TestVectors(t *testing.T) {
	s := fixed(t, 7)
	x := NewIndexer([32]byte(bytes.Repeat([]byte{0xa5}, 32)))
	var got []vector
	for _, id := range []string{"", "a", "record identity of some length, beyond one block of the hash function"} {
		for _, gen := range []uint8{0, 1, 128, 255} {
			tag := x.Tag([]byte(id))
			leaf := x.Leaf(tag)
			seed, err := s.Seed(leaf, gen)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, vector{id, hex.EncodeToString(appendPath(nil, path{leaf: uint64(leaf)})[1:9]), hex.EncodeToString(tag[:]), gen, hex.EncodeToString(seed[:])})
		}
	}
	if *update {
		b, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/vectors.json", append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []vector
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("vectors (-want +got):\n" + diff)
	}
}

type held struct {
	kind Kind
	log  uint64
}

// TestPunctureModel runs punctures, put-backs and seal/load against a map.
func TestPunctureModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, err := New(testVault, 1, bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
		if err != nil {
			t.Fatal(err)
		}
		first.rand = bytes.NewReader(bytes.Repeat([]byte{9}, 1<<20))
		s := first
		gone := map[Leaf]map[int]held{} // generation → why; -1 = whole record
		// Few leaves close together and far apart, so that paths share nodes.
		leaves := []Leaf{0, 1, 2, 1 << 51, 1<<52 - 1, 1 << 52, 1 << 63, ^Leaf(0), ^Leaf(0) - 1, 0x123456789abcdef0}
		objects := map[string][]byte{}
		type kept struct {
			keys Kept
			gone map[int]held
		}
		escrow := map[Leaf]kept{}
		root, carried := uint64(1), map[Leaf]bool{} // listed in a root that still has the node
		logNo := uint64(0)
		check := func() {
			for _, leaf := range leaves {
				lowest := -1
				for gen := 0; gen < 256; gen += 1 + gen%5*7 {
					checkSeed(t, s, first, leaf, uint8(gen), gone[leaf])
				}
				for gen := range 256 {
					_, whole := gone[leaf][-1]
					if _, one := gone[leaf][gen]; !one && !whole {
						lowest = gen
						break
					}
				}
				gen, _, err := s.Current(leaf)
				if got := int(gen); lowest >= 0 && (err != nil || got != lowest) {
					t.Fatalf("current generation of %x: got %d, %v, want %d", leaf, got, err, lowest)
				}
				if lowest < 0 && err == nil {
					t.Fatalf("current generation of %x: got %d, want none", leaf, gen)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"puncture": func(t *rapid.T) {
				logNo++
				leaf := rapid.SampledFrom(leaves).Draw(t, "leaf")
				gen := rapid.IntRange(-1, 20).Draw(t, "generation")
				kind := Superseded
				if gen < 0 {
					kind = rapid.SampledFrom([]Kind{Erased, Restricted, Held, Superseded}).Draw(t, "kind")
				}
				if gone[leaf] == nil {
					gone[leaf] = map[int]held{}
				}
				if keys, err := s.Keep(leaf); err == nil && gen < 0 {
					escrow[leaf] = kept{keys, maps.Clone(gone[leaf])}
				}
				next, err := s.Puncture([]Target{{leaf, gen}}, kind, logNo)
				if err != nil {
					t.Fatal(err)
				}
				s = next
				was, whole := gone[leaf][-1]
				escrow := kind == Restricted || kind == Held
				if whole && (was.kind == Erased && kind != Erased || was.kind == Superseded && escrow) {
					return
				}
				if !whole || gen < 0 {
					carried[leaf] = carried[leaf] && whole && escrow
					if gen < 0 {
						clear(gone[leaf])
					}
					gone[leaf][gen] = held{kind, logNo}
				}
			},
			"put back": func(t *rapid.T) {
				leaf := rapid.SampledFrom(leaves).Draw(t, "leaf")
				h, whole := gone[leaf][-1]
				lift := whole && (h.kind == Restricted || h.kind == Held)
				if next, err := s.Admit(leaf); (err == nil) != (!lift || carried[leaf]) || err == nil && !lift && next != s {
					t.Fatalf("admit: got %v, want success %v", err, !lift || carried[leaf])
				} else if lift && err == nil {
					s = next
					delete(gone, leaf)
					return
				}
				next, err := s.PutBack([]Return{{leaf, escrow[leaf].keys}})
				if lift != (err == nil) {
					t.Fatalf("put back: got %v, want success %v", err, lift)
				}
				if err != nil {
					return
				}
				s = next // generations that were gone before are gone again
				gone[leaf] = escrow[leaf].gone
			},
			"begin a root": func(t *rapid.T) {
				next, err := s.Begin(bytes.NewReader(bytes.Repeat([]byte{byte(root)}, 16)))
				if err != nil {
					t.Fatal(err)
				}
				if next.Root() != root+1 || next.Epoch() <= s.Epoch() && !s.fresh {
					t.Fatalf("root %d in epoch %d after root %d in epoch %d", next.Root(), next.Epoch(), root, s.Epoch())
				}
				root++
				// What it would derive if it refused nothing.
				if first, err = New(testVault, root, bytes.NewReader(bytes.Repeat([]byte{byte(root - 1)}, 16))); err != nil {
					t.Fatal(err)
				}
				s, next.rand = next, s.rand
				clear(escrow)
				for leaf, why := range gone {
					if h, whole := why[-1]; whole && h.kind != Superseded {
						carried[leaf] = true
						continue
					}
					delete(gone, leaf)
				}
			},
			"store and load": func(t *rapid.T) {
				key := [32]byte{byte(s.Epoch())}
				sealed, err := s.Seal(key)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range sealed {
					objects[o.Name] = o.Data
				}
				loaded, err := Load(testVault, root, s.Epoch(), key, func(name string) ([]byte, error) {
					if b, ok := objects[name]; ok {
						return b, nil
					}
					return nil, errors.New("no object " + name)
				})
				if err != nil {
					t.Fatal(err)
				}
				if loaded.AbsentDigest() != s.AbsentDigest() {
					t.Fatal("absent list changed on the way")
				}
				loaded.rand = s.rand
				s = loaded
			},
			"": func(t *rapid.T) { check() },
		})
	})
}

func checkSeed(t *rapid.T, s, first *State, leaf Leaf, gen uint8, gone map[int]held) {
	got, err := s.Seed(leaf, gen)
	why, isGone := gone[-1]
	if !isGone {
		why, isGone = gone[int(gen)]
	}
	if !isGone {
		want, _ := first.Seed(leaf, gen)
		if err != nil || got != want {
			t.Fatalf("seed of %x/%d: got %x, %v, want %x", leaf, gen, got, err, want)
		}
		return
	}
	var a *AbsentError
	if !errors.As(err, &a) {
		t.Fatalf("seed of %x/%d: got %v, want it gone", leaf, gen, err)
	}
	if a.Kind != why.kind || a.Log != why.log {
		t.Fatalf("seed of %x/%d: got %v by %d, want %v by %d", leaf, gen, a.Kind, a.Log, why.kind, why.log)
	}
}

// TestPutBackRefusesNonsense hands in what Keep never returns.
func TestPutBackRefusesNonsense(t *testing.T) {
	s := fixed(t, 1)
	p, err := s.Puncture([]Target{{Leaf: 42, Generation: -1}}, Restricted, 3)
	if err != nil {
		t.Fatal(err)
	}
	whole := KeptNode{Depth: LeafDepth}
	for name, k := range map[string]Kept{
		"nothing":              {},
		"a node above":         {Nodes: []KeptNode{{Depth: LeafDepth - 1}}},
		"a node too deep":      {Nodes: []KeptNode{{Depth: Depth + 1}}},
		"stray bits":           {Nodes: []KeptNode{{Depth: LeafDepth, Generation: 1}}},
		"twice":                {Nodes: []KeptNode{whole, whole}},
		"descending":           {Nodes: []KeptNode{{Depth: Depth, Generation: 2}, {Depth: Depth, Generation: 1}}},
		"whole and absent":     {Nodes: []KeptNode{whole}, Absents: []KeptAbsent{{Depth, 0, Superseded, 1}}},
		"an unknown kind":      {Nodes: []KeptNode{{Depth: Depth, Generation: 1}}, Absents: []KeptAbsent{{Depth, 0, 9, 1}}},
		"the record's own":     {Nodes: []KeptNode{{Depth: Depth, Generation: 1}}, Absents: []KeptAbsent{{LeafDepth, 0, Superseded, 1}}},
		"derivable yet absent": {Nodes: []KeptNode{{Depth: Depth, Generation: 1}}, Absents: []KeptAbsent{{Depth, 1, Superseded, 1}}},
	} {
		if _, err := p.PutBack([]Return{{42, k}}); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want kind invalid", name, err)
		}
	}
	if w := p.Whole(42); w == nil || w.Kind != Restricted || w.Log != 3 {
		t.Errorf("whole record: got %v, want restricted by entry 3", w)
	}
	if got := p.Kinds()[Restricted]; got != 1 {
		t.Errorf("restricted records: got %d, want 1", got)
	}
}

func TestLostSeedIsCorruption(t *testing.T) {
	s := fixed(t, 1)
	p, err := s.Puncture([]Target{{Leaf: 42, Generation: -1}}, Erased, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, pg := range p.pages {
		pg.absents = nil
	}
	if _, err := p.Seed(42, 0); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("seed that is gone without a record: got %v, want kind corrupt", err)
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	s := fixed(t, 1)
	p, err := s.Puncture([]Target{{Leaf: 42, Generation: -1}, {Leaf: 1 << 60, Generation: 0}}, Erased, 3)
	if err != nil {
		t.Fatal(err)
	}
	key := [32]byte{1}
	sealed, err := p.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string][]byte{}
	for _, o := range sealed {
		objects[o.Name] = o.Data
	}
	for name, data := range objects {
		for i := range data {
			data[i] ^= 1 << (i % 8)
			if _, err := Load(testVault, 1, 2, key, func(n string) ([]byte, error) { return objects[n], nil }); err == nil {
				t.Fatalf("%s: byte %d changed and nobody noticed", name, i)
			}
			data[i] ^= 1 << (i % 8)
		}
	}
}

func FuzzDecode(f *testing.F) {
	s := fixed(f, 1)
	p, err := s.Puncture([]Target{{Leaf: 42, Generation: -1}, {Leaf: 1 << 60, Generation: 0}}, Erased, 3)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.encode(), true)
	f.Add(p.encode(), true)
	f.Add(p.pages[0].encode(0), false)
	f.Fuzz(func(t *testing.T, b []byte, root bool) {
		if root {
			r := &State{vault: testVault, root: 1, epoch: 2, pages: map[uint16]*page{}}
			if r.decode(b) == nil && !bytes.Equal(r.encode(), b) {
				t.Error("root page has two encodings")
			}
			return
		}
		var q page
		if q.decode(b, 0) == nil && !bytes.Equal(q.encode(0), b) {
			t.Error("page has two encodings")
		}
	})
}

func BenchmarkDerive(b *testing.B) {
	s := fixed(b, 1)
	var sum byte
	for i := 0; b.Loop(); i++ {
		_, seed, err := s.Current(Leaf(uint64(i) * 0x9e3779b97f4a7c15))
		if err != nil {
			b.Fatal(err)
		}
		sum ^= seed[0]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

func BenchmarkDeriveAfterPunctures(b *testing.B) {
	s := fixed(b, 1)
	var targets []Target
	for i := range 10_000 {
		targets = append(targets, Target{Leaf: Leaf(uint64(i) * 0xbf58476d1ce4e5b9), Generation: -1})
	}
	s, err := s.Puncture(targets, Erased, 1)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, _, err := s.Current(Leaf(uint64(i) * 0x9e3779b97f4a7c15)); err != nil && i > 0 && allod.KindOf(err) == allod.Corrupt {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// BenchmarkErase500 is the key work of erasing 500 records after others: what is
// computed, without storing. It reports the bytes of the whole tree as stored,
// and those of the objects that one erasure writes.
func BenchmarkErase500(b *testing.B) {
	for _, before := range []int{0, 1000, 100_000} {
		b.Run(fmt.Sprintf("after-%d", before), func(b *testing.B) {
			s := fixed(b, 1)
			s.rand = rand.Reader
			var targets []Target
			for i := range before + 500 {
				targets = append(targets, Target{Leaf: Leaf(uint64(i+1) * 0xbf58476d1ce4e5b9), Generation: -1})
			}
			key := [32]byte{1}
			whole := 0
			if before > 0 {
				var err error
				if s, err = s.Puncture(targets[:before], Erased, 1); err != nil {
					b.Fatal(err)
				}
				objects, err := s.Seal(key)
				if err != nil {
					b.Fatal(err)
				}
				for _, o := range objects {
					whole += len(o.Data)
				}
			}
			written := 0
			for b.Loop() {
				next, err := s.Puncture(targets[before:], Erased, 2)
				if err != nil {
					b.Fatal(err)
				}
				objects, err := next.Seal(key)
				if err != nil {
					b.Fatal(err)
				}
				if next.AbsentDigest() == s.AbsentDigest() {
					b.Fatal("nothing was punctured")
				}
				written = 0
				for _, o := range objects {
					written += len(o.Data)
				}
			}
			b.ReportMetric(float64(written), "written-B")
			b.ReportMetric(float64(whole), "state-B")
		})
	}
}
