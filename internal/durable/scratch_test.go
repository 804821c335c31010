package durable

import (
	"io"
	"os"
	"runtime"
	"testing"

	"allod"
)

// TestScratch writes and reads a temporary file, which a kill at any moment
// would leave no name of.
func TestScratch(t *testing.T) {
	dir := t.TempDir()
	s, err := NewScratch(dir, "x-*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteAt([]byte("J"), 0); err != nil {
		t.Fatal(err)
	}
	if info, err := s.f.Stat(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v, want 0600", info.Mode(), err)
	}
	b := make([]byte, 9)
	if n, err := s.ReadAt(b, 0); string(b[:n]) != "Jello" || err != io.EOF { //nolint:errorlint // wrapped it would be no end
		t.Errorf("read: got %q, %v, want all and io.EOF", b[:n], err)
	}
	if left, err := os.ReadDir(dir); err != nil || runtime.GOOS != "windows" && len(left) > 0 {
		t.Errorf("while it is open the folder holds %v, %v", left, err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("afterwards the folder holds %v, %v", left, err)
	}
}

func TestScratchWithoutRoom(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("needs /dev/full")
	}
	s := &Scratch{f: f}
	if _, err := s.Write([]byte("x")); allod.KindOf(err) != allod.Unavailable || allod.HintOf(err) == "" {
		t.Errorf("write: got %v, want kind unavailable with a hint", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
