package spill

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"allod"
)

func key(i int) Key {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
	return Key(sum[:KeySize])
}

func TestSorter(t *testing.T) {
	for name, c := range map[string]struct{ n, limit int }{
		"nothing": {0, 1 << 20}, "memory only": {100, 1 << 20}, "some runs": {3000, 20_000}, "two levels": {6000, 2_000}, "records above the limit": {70, 10},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := NewSorter(dir, c.limit)
			secret := []byte("this text must not be on disk ")
			for i := range c.n {
				if err := s.Add(key(i), binary.BigEndian.AppendUint32(bytes.Clone(secret), uint32(i))); err != nil {
					t.Fatal(err)
				}
			}
			files := slices.Concat(s.runs...)
			if c.limit < 1<<20 && len(files) == 0 || len(files) > 2*fanIn {
				t.Errorf("files on disk: got %d", len(files))
			}
			for _, q := range files {
				if b, err := io.ReadAll(io.NewSectionReader(q.f, 0, 1<<40)); err != nil || len(b) == 0 || bytes.Contains(b, secret[:10]) {
					t.Errorf("a spilled file is readable: %d bytes, %v", len(b), err)
				}
			}
			if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) > 0 && runtime.GOOS != "windows" {
				t.Errorf("a kill now would leave %v", names)
			}
			it, err := s.Sorted()
			if err != nil {
				t.Fatal(err)
			}
			var last Key
			got := 0
			for ; it.Next(); got++ {
				if got > 0 && bytes.Compare(last[:], it.Key()[:]) >= 0 {
					t.Fatal("out of order")
				}
				last = *it.Key()
				if i := int(binary.BigEndian.Uint32(it.Value()[len(secret):])); key(i) != last {
					t.Fatalf("value %d under another key", i)
				}
			}
			if it.Err() != nil || got != c.n || s.Len() != int64(c.n) {
				t.Errorf("records: got %d, %v, want %d", got, it.Err(), c.n)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 0 {
				t.Errorf("left behind: %v", files)
			}
		})
	}
}

func TestQueueNoticesDamage(t *testing.T) {
	dir := t.TempDir()
	q, err := NewQueue(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for i := range 5000 {
		if err := q.Add(key(i), make([]byte, 50)); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.End(); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := q.f.ReadAt(b[:], 100_000); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := q.f.WriteAt(b[:], 100_000); err != nil {
		t.Fatal(err)
	}
	r, err := q.Read()
	if err != nil {
		t.Fatal(err)
	}
	for r.Next() {
	}
	if allod.KindOf(r.Err()) != allod.Corrupt {
		t.Errorf("got %v, want kind corrupt", r.Err())
	}
}

func TestNoRoom(t *testing.T) {
	s := NewSorter(filepath.Join(t.TempDir(), "missing"), 10)
	var err error
	for i := 0; i < 5 && err == nil; i++ {
		err = s.Add(key(i), make([]byte, 20))
	}
	if allod.KindOf(err) != allod.Unavailable || allod.HintOf(err) == "" {
		t.Errorf("got %v, want kind unavailable with a hint", err)
	}
}
