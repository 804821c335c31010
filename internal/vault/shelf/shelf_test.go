package shelf

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
)

const env = 7

type shelves struct {
	t     *testing.T
	id    *age.HybridIdentity
	store *mem.Store
	log   []*journal.Entry
}

func newShelves(t *testing.T) *shelves {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return &shelves{t: t, id: id, store: mem.New(mem.Options{})}
}

func (s *shelves) open(limit int64) *Shelf {
	return New(s.t.Context(), s.store, s.id, limit, pack.NewCache(1<<20))
}

// put stores rows, in key order, as a pack.
func (s *shelves) put(rows []pack.Entry, blobs ...byte) vlog.Object {
	s.t.Helper()
	var b bytes.Buffer
	w, err := pack.NewWriter(&b, []age.Recipient{s.id.Recipient()}, env)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range rows {
		if err := w.Add(&rows[i]); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, id := range blobs {
		if err := w.AddBlob([16]byte{id}, strings.NewReader("blob"), 4); err != nil {
			s.t.Fatal(err)
		}
	}
	res, err := w.Finish(nil, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	o := vlog.Object{Digest: res.Digest, Size: res.Size, Role: vlog.RolePack, Trailer: res.Trailer}
	if err := object.Put(s.t.Context(), s.store, o.Name(), b.Bytes()); err != nil {
		s.t.Fatal(err)
	}
	return o
}

// commit adds a log entry for a capture.
func (s *shelves) commit(capture uint64, kind vlog.Kind, packs ...vlog.Object) {
	s.log = append(s.log, &journal.Entry{Entry: vlog.Entry{N: uint64(len(s.log)) + 1, Kind: kind, Environment: env, Capture: capture, Objects: packs}})
}

func (s *shelves) entries() []*journal.Entry { return s.log }

func row(table uint32, tag byte, capture uint64, generation uint8) pack.Entry {
	return pack.Entry{Key: pack.MakeKey(table, [16]byte{tag}, capture, generation), Meta: [18]byte{0: 1, 9: 1}, Sealed: binary.BigEndian.AppendUint64(make([]byte, 40), capture)}
}

func sorted(rows []pack.Entry) []pack.Entry {
	slices.SortFunc(rows, func(a, b pack.Entry) int { return a.Key.Compare(&b.Key) })
	return rows
}

// TestPast stores captures of random rows, some in several parts, and compares
// what each moment shows with a list: by cursor, and record by record.
func TestPast(t *testing.T) {
	s := newShelves(t)
	rng := rand.New(rand.NewPCG(1, 1))
	var all []pack.Entry
	const captures, tables, tags = 12, 3, 20
	for c := uint64(1); c <= captures; c++ {
		var rows []pack.Entry
		for table := uint32(1); table <= tables; table++ {
			for tag := range byte(tags) {
				if rng.IntN(3) == 0 {
					rows = append(rows, row(table, tag, c, 0))
				}
			}
		}
		rows = sorted(rows)
		all = append(all, rows...)
		cut := rng.IntN(len(rows))
		if c%3 == 0 {
			s.commit(c, vlog.KindCapture, s.put(rows[:cut]), s.put(rows[cut:]), s.put(nil))
		} else {
			s.commit(c, vlog.KindCapture, s.put(rows))
		}
		s.commit(0, vlog.KindSlot) // not a capture
	}
	for k, limit := range map[uint64]int64{0: 1 << 20, 3: 1, 5: 1 << 20, captures: 1 << 20, 99: 1 << 20} { // 1: one pack at a time
		past := s.open(limit).Past(s.entries, env, k)
		for table := uint32(1); table <= tables+1; table++ {
			newest := map[byte]pack.Key{}
			versions := map[byte]int{}
			for _, e := range all {
				if tag := e.Key.Tag()[0]; e.Key.Table() == table && e.Key.Capture() <= k {
					versions[tag]++
					if best, ok := newest[tag]; !ok || e.Key.Compare(&best) < 0 {
						newest[tag] = e.Key
					}
				}
			}
			c, err := past.Newest(table)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for c.Next() {
				e := c.Entry()
				if n++; newest[e.Key.Tag()[0]] != e.Key || binary.BigEndian.Uint64(e.Sealed[40:]) != e.Key.Capture() {
					t.Errorf("as of %d, table %d: got key %x", k, table, e.Key)
				}
			}
			if n != len(newest) || c.Err() != nil {
				t.Errorf("as of %d, table %d: got %d records, %v, want %d", k, table, n, c.Err(), len(newest))
			}
			for tag := range byte(tags) {
				e, err := past.Find(table, [16]byte{tag})
				if err != nil {
					t.Fatal(err)
				}
				if want, ok := newest[tag]; ok != (e != nil) || ok && e.Key != want {
					t.Errorf("as of %d, record %d of table %d: got %v, want %x", k, tag, table, e, want)
				}
				seen := 0
				if err := past.Versions(table, [16]byte{tag}, func(*pack.Entry) bool { seen++; return true }); err != nil || seen != versions[tag] {
					t.Errorf("as of %d, record %d of table %d: got %d versions, %v, want %d", k, tag, table, seen, err, versions[tag])
				}
			}
		}
	}
}

// TestSealedAnew stores earlier captures anew under a higher generation: they
// count for every moment, also for one that was opened before, and only from
// an entry that may hold them.
func TestSealedAnew(t *testing.T) {
	s := newShelves(t)
	s.commit(1, vlog.KindCapture, s.put([]pack.Entry{row(1, 1, 1, 0), row(1, 2, 1, 0)}))
	s.commit(2, vlog.KindCapture, s.put([]pack.Entry{row(1, 1, 2, 0)}))
	opened := map[uint64]*Past{1: s.open(1<<20).Past(s.entries, env, 1), 2: s.open(1<<20).Past(s.entries, env, 2), 3: s.open(1<<20).Past(s.entries, env, 3)}
	s.commit(0, vlog.KindRectify, s.put(sorted([]pack.Entry{row(1, 1, 1, 1), row(1, 1, 2, 1)}), 7))
	s.commit(0, vlog.KindCapture, s.put([]pack.Entry{row(1, 1, 2, 9)})) // who captures may not rewrite
	s.commit(3, vlog.KindCapture, s.put([]pack.Entry{row(1, 1, 3, 1)}))
	for _, past := range []func(k uint64) *Past{
		func(k uint64) *Past { return opened[k] },
		func(k uint64) *Past { return s.open(1<<20).Past(s.entries, env, k) },
	} {
		for k, want := range map[uint64]pack.Key{2: row(1, 1, 2, 1).Key, 1: row(1, 1, 1, 1).Key} {
			p := past(k)
			e, err := p.Find(1, [16]byte{1})
			if err != nil || e == nil || e.Key != want {
				t.Errorf("as of %d: got %v, %v, want %x", k, e, err, want)
			}
			var got []pack.Key
			c, err := p.Every(1)
			if err != nil {
				t.Fatal(err)
			}
			for c.Next() {
				got = append(got, c.Entry().Key)
			}
			if len(got) != int(k)+1 || got[0] != want || c.Err() != nil {
				t.Errorf("as of %d: got %x, %v, want %d versions and %x first", k, got, c.Err(), k+1, want)
			}
			old := row(1, 1, k, 0)
			if e, err := p.Again(&old); err != nil || e == nil || e.Key != want {
				t.Errorf("as of %d, again: got %v, %v, want %x", k, e, err, want)
			}
			if e, err := p.Again(e); err != nil || e != nil {
				t.Errorf("as of %d, of the highest: got %v, %v, want none", k, e, err)
			}
			if f, err := p.SmallFile([16]byte{7}, 0); err != nil || !f.HasBlob([16]byte{7}) {
				t.Errorf("a file sealed anew: got %v", err)
			}
		}
	}
	if e, err := s.open(1<<20).Past(s.entries, env, 3).Find(1, [16]byte{1}); err != nil || e.Key != row(1, 1, 3, 1).Key {
		t.Errorf("a later capture: got %v, %v", e, err)
	}
}

func TestSmallFiles(t *testing.T) {
	s := newShelves(t)
	s.commit(1, vlog.KindCapture, s.put([]pack.Entry{row(1, 1, 1, 0)}, 1))
	s.commit(2, vlog.KindCapture, s.put(nil, 2))
	past := s.open(1<<20).Past(s.entries, env, 2)
	for _, tc := range []struct {
		id      byte
		capture uint64
		want    allod.Kind
	}{{1, 1, 0}, {2, 2, 0}, {2, 1, 0}, {1, 2, allod.Corrupt}, {3, 1, allod.Corrupt}} {
		p, err := past.SmallFile([16]byte{tc.id}, tc.capture)
		if allod.KindOf(err) != tc.want || err == nil && !p.HasBlob([16]byte{tc.id}) {
			t.Errorf("file %d from capture %d on: got %v, want kind %v", tc.id, tc.capture, err, tc.want)
		}
	}
}

func opened(_ *Pack, err error) error { return err }

func TestWrongPacks(t *testing.T) {
	s := newShelves(t)
	o := s.put([]pack.Entry{row(1, 1, 1, 0)})
	shelf := s.open(1 << 20)
	gone, changed := o, o
	gone.Digest[0] ^= 1
	changed.Trailer[0] ^= 1
	for _, tc := range []struct {
		what string
		o    vlog.Object
		env  uint32
	}{{"missing", gone, env}, {"another trailer", changed, env}, {"another environment", o, env + 1}} {
		if _, err := s.open(1<<20).Open(tc.o, tc.env); allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), tc.o.Name()) {
			t.Errorf("%s: got %v, want kind corrupt that names the object", tc.what, err)
		}
	}
	if _, err := shelf.Last(&journal.Entry{}); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("the last pack of none: got %v, want kind corrupt", err)
	}
	first, err := shelf.Open(o, env)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := shelf.Open(o, env); err != nil || again != first {
		t.Errorf("opened twice: got another pack, %v", err)
	}
	for what, err := range map[string]error{"another environment": opened(shelf.Open(o, env+1)), "another trailer": opened(shelf.Open(changed, env))} {
		if allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), o.Name()) {
			t.Errorf("%s, opened before: got %v, want kind corrupt that names the object", what, err)
		}
	}
	shelf.Clear()
	if again, err := shelf.Open(o, env); err != nil || again == first {
		t.Errorf("opened after Clear: got the same pack, %v", err)
	}
}
