package keyspec

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"allod"
	"allod/internal/durable"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/kms"
)

// memory is a service that wraps nothing.
type memory string

func (m memory) Kind() string    { return "memory" }
func (m memory) Address() string { return string(m) }

func (m memory) Wrap(_ context.Context, _ keyring.Of, key []byte) (kms.Wrapped, error) {
	return kms.Wrapped{Bytes: bytes.Clone(key)}, nil
}

func (m memory) Unwrap(_ context.Context, _ keyring.Of, w kms.Wrapped) ([]byte, error) {
	return bytes.Clone(w.Bytes), nil
}

func sources(t *testing.T) (*Sources, string) {
	t.Helper()
	dir := t.TempDir()
	p, err := keyring.NewPaper()
	if err != nil {
		t.Fatal(err)
	}
	return &Sources{
		Passphrase: func(bool) ([]byte, error) { return []byte("correct horse battery"), nil },
		Recovery:   func() (string, error) { return strings.Join(p.Words(), " "), nil },
		Services:   map[string]func(context.Context, string) (kms.Service, error){"mem": func(_ context.Context, address string) (kms.Service, error) { return memory(address), nil }},
		Path:       func(p string) string { return filepath.Join(dir, p) },
		Disk:       &durable.Disk{},
	}, dir
}

// What was made of a SPEC is opened by the SPEC that goes with it.
func TestMakeAndOpen(t *testing.T) {
	s, dir := sources(t)
	one, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	two, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"one.txt": one.String(), "two.txt": two.String(), "to.txt": "# people\n\n" + two.Recipient().String() + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := keyring.Of{Vault: allod.GUID{1}, Slot: "a"}
	for _, tt := range []struct{ make, open, kind string }{
		{"passphrase", "", "passphrase"},
		{"file:keys/main", "file:keys/main", "key-file"},
		{"mem:one", "mem:one", "memory"},
		{"age:" + one.Recipient().String(), "identity:one.txt", "age"},
		{"age:" + one.Recipient().String() + ",@to.txt", "identity:two.txt", "age"},
	} {
		w, err := s.Make(t.Context(), tt.make)
		if err != nil {
			t.Fatalf("make %s: %v", tt.make, err)
		}
		wrapped, err := w.Wrap(t.Context(), of, []byte("half"))
		if err != nil {
			t.Fatal(err)
		}
		if w, err = s.Open(t.Context(), tt.open); err != nil {
			t.Fatalf("open %s: %v", tt.open, err)
		}
		if got, err := w.Unwrap(t.Context(), of, wrapped); err != nil || string(got) != "half" || w.Kind() != tt.kind {
			t.Errorf("%s: got %q of kind %s, %v, want the half of kind %s", tt.make, got, w.Kind(), err, tt.kind)
		}
		if o := Opener(tt.make); o != tt.make && tt.kind != "age" || tt.kind == "age" && o != "" {
			t.Errorf("%s is said to be opened by %q", tt.make, o)
		}
	}
	if w, err := s.Open(t.Context(), "paper"); err != nil || w.Kind() != keyring.KindPaper {
		t.Errorf("paper: got %v", err)
	}
	if _, err := s.Make(t.Context(), "file:keys/main"); allod.KindOf(err) != allod.Conflict {
		t.Errorf("a key file that is there: got %v, want Conflict", err)
	}
}

func TestRefused(t *testing.T) {
	s, dir := sources(t)
	if err := os.WriteFile(filepath.Join(dir, "long"), make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]allod.Kind{
		"file": allod.Invalid, "file:": allod.Invalid, "file:absent": allod.Denied, "file:long": allod.Denied, "identity:absent": allod.Denied, "identity:": allod.Invalid,
		"passphrase:hunter2-secret": allod.Invalid, "paper:hunter2-secret": allod.Invalid, "cloud:hunter2-secret": allod.Invalid, "mem:": allod.Invalid, "age:hunter2-secret": allod.Invalid,
	} {
		_, err := s.Open(t.Context(), spec)
		if allod.KindOf(err) != want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("open %s: got %v, want %v without what follows the colon", spec, err, want)
		}
	}
	for spec, want := range map[string]allod.Kind{"paper": allod.Invalid, "identity:x": allod.Invalid, "age:": allod.Invalid, "age:hunter2-secret": allod.Invalid, "age:@absent": allod.Denied, "passphrase:hunter2-secret": allod.Invalid} {
		_, err := s.Make(t.Context(), spec)
		if allod.KindOf(err) != want || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("make %s: got %v, want %v without what follows the colon", spec, err, want)
		}
	}
	s.Recovery = nil
	if _, err := s.Open(t.Context(), "paper"); allod.KindOf(err) != allod.Denied {
		t.Errorf("nobody has the words: got %v, want Denied", err)
	}
}
