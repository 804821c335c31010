package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

var signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))

func pin() vlog.Pin {
	return vlog.Pin{Vault: allod.GUID{1}, Signers: []vlog.Signer{{Use: vlog.UseCapture, Key: vlog.Key(signer.Public().(ed25519.PublicKey))}}}
}

// next encodes the entry that follows a chain.
func next(t *testing.T, c vlog.Chain, run string) (*vlog.Entry, vlog.Digest, []byte) {
	t.Helper()
	p := pin()
	e := &vlog.Entry{
		Vault: fmt.Sprintf("%x", p.Vault[:]), N: c.N + 1, Prev: c.Last, Kind: vlog.KindCapture, Run: run, Time: time.Unix(int64(c.N), 0), Environment: 1, Capture: c.N + 1, Base: c.N,
		Root: 1, Epoch: 1, Objects: []vlog.Object{{Role: vlog.RolePack, Size: 1}, {Role: vlog.RoleFile, Size: 2}}, Sealed: []byte("sealed"),
	}
	b, d, err := e.Encode(signer)
	if err != nil {
		t.Fatal(err)
	}
	return e, d, b
}

// written returns a store with a log of n entries, and that log.
func written(t *testing.T, n int) (*mem.Store, *Log) {
	t.Helper()
	s := mem.New(mem.Options{})
	l := New(s, pin())
	for range n {
		e, _, b := next(t, l.Chain(), "a")
		if err := l.wouldFollow(b, e.N); err != nil {
			t.Fatal(err)
		}
		if err := object.Put(t.Context(), s, vlog.EntryName(e.N), b); err != nil {
			t.Fatal(err)
		}
		if _, err := l.AddOwn(b, e.N); err != nil {
			t.Fatal(err)
		}
	}
	return s, l
}

func TestRefresh(t *testing.T) {
	s, l := written(t, 3)
	other := New(s, pin())
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := other.Entries()
	if len(all) != 3 || other.Epoch() != 1 || other.Chain().Last != l.Chain().Last {
		t.Errorf("the log: got %d entries in epoch %d", len(all), other.Epoch())
	}
	for i, e := range all {
		if e.N != uint64(i)+1 || e.Sealed != nil || e.Size == 0 || len(e.Packs()) != 1 {
			t.Errorf("entry %d: got %+v", i+1, e)
		}
	}
	if _, err := other.Entry(4); allod.KindOf(err) != allod.NotFound {
		t.Errorf("entry 4: got %v, want kind not-found", err)
	}
	full, err := other.Full(t.Context(), all[1])
	if err != nil || string(full.Sealed) != "sealed" {
		t.Errorf("entry 2 in full: got %+v, %v", full, err)
	}
	if e, err := other.AddOwn([]byte("not looked at"), 2); err != nil || e != all[1] {
		t.Errorf("an own entry that was read already: got %+v, %v", e, err)
	}
}

func TestMissingEntryIsNoEnd(t *testing.T) {
	for gap := uint64(1); gap <= 3; gap++ {
		s, _ := written(t, 4)
		if err := s.Delete(t.Context(), vlog.EntryName(gap)); err != nil {
			t.Fatal(err)
		}
		err := New(s, pin()).Refresh(t.Context())
		if allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), vlog.EntryName(gap)) {
			t.Errorf("without entry %d: got %v, want kind corrupt that names it", gap, err)
		}
	}
}

func TestContinues(t *testing.T) {
	_, l := written(t, 3)
	all := l.Entries()
	for _, tc := range []struct {
		n    uint64
		d    vlog.Digest
		want allod.Kind
	}{{0, vlog.Digest{9}, 0}, {1, all[0].Digest, 0}, {3, all[2].Digest, 0}, {2, all[2].Digest, allod.Corrupt}, {4, vlog.Digest{}, allod.Corrupt}} {
		if err := l.Continues(tc.n, tc.d); allod.KindOf(err) != tc.want || (err != nil) != (allod.HintOf(err) != "") {
			t.Errorf("seen up to %d: got %v, want kind %v, with a hint", tc.n, err, tc.want)
		}
	}
}

func TestAnotherWay(t *testing.T) {
	s, l := written(t, 2)
	known := l.Entries()[1]
	if err := s.Delete(t.Context(), vlog.EntryName(2)); err != nil {
		t.Fatal(err)
	}
	before := vlog.Chain{N: 1, Last: l.Entries()[0].Digest}
	_, _, b := next(t, before, "another run")
	if err := object.Put(t.Context(), s, vlog.EntryName(2), b); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Full(t.Context(), known); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("entry 2 in full, exchanged: got %v, want kind corrupt", err)
	}
	if err := l.wouldFollow(b, 2); err != nil {
		t.Errorf("a number that is taken: got %v, want the put to decide", err)
	}
	_, _, b = next(t, vlog.Chain{N: 2, Last: vlog.Digest{9}}, "a run after something else")
	if err := l.wouldFollow(b, 3); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("an entry that does not follow: got %v, want kind corrupt", err)
	}
	_, _, b = next(t, l.Chain(), "no text: \xff")
	if err := l.wouldFollow(b, 3); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("an entry that no reader accepts: got %v, want kind corrupt", err)
	}
}

// TestManyMissing takes several entries in a row away.
func TestManyMissing(t *testing.T) {
	for from := uint64(1); from <= 3; from++ {
		s, _ := written(t, 9)
		for n := from; n < 9; n++ {
			if err := s.Delete(t.Context(), vlog.EntryName(n)); err != nil {
				t.Fatal(err)
			}
		}
		err := New(s, pin()).Refresh(t.Context())
		if allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), vlog.EntryName(from)) {
			t.Errorf("without entries %d to 8: got %v, want kind corrupt that names the first", from, err)
		}
	}
}

// lateStore puts an entry while the end of the log is looked for.
type lateStore struct {
	blob.Store
	late [][]byte // entries, from number 1
}

func (s *lateStore) Stat(ctx context.Context, name string) (blob.Info, error) {
	for i, b := range s.late {
		if err := object.Put(ctx, s.Store, vlog.EntryName(uint64(i)+1), b); err != nil {
			return blob.Info{}, err
		}
	}
	s.late = nil
	return s.Store.Stat(ctx, name)
}

func TestEntriesThatComeMeanwhile(t *testing.T) {
	s, _ := written(t, 3)
	late := &lateStore{Store: mem.New(mem.Options{})}
	for n := uint64(1); n <= 3; n++ {
		b, err := object.Get(t.Context(), s, vlog.EntryName(n), vlog.MaxEntry)
		if err != nil {
			t.Fatal(err)
		}
		late.late = append(late.late, b)
	}
	l := New(late, pin())
	if err := l.Refresh(t.Context()); err != nil || l.Chain().N != 3 {
		t.Errorf("refresh: got %d entries, %v, want 3", l.Chain().N, err)
	}
}

// denyStore lists an entry and does not give it.
type denyStore struct {
	blob.Store
	name string
}

func (s denyStore) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if name == s.name {
		return nil, blob.ErrNotFound
	}
	return s.Store.Get(ctx, name, off, n)
}

func TestStoreThatGivesNothing(t *testing.T) {
	s, _ := written(t, 3)
	err := New(denyStore{s, vlog.EntryName(2)}, pin()).Refresh(t.Context())
	if allod.KindOf(err) != allod.Unavailable {
		t.Errorf("refresh: got %v, want kind unavailable", err)
	}
}
