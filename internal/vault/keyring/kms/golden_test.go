package kms

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"allod"
	"allod/internal/vault/keyring"
)

var update = flag.Bool("update", false, "write golden files of the current format")

// openly is a service that wraps a key as itself, for golden files.
type openly struct{}

func (openly) Kind() string    { return "openly" }
func (openly) Address() string { return "https://contoso.vault.azure.net/keys/allod" }

func (openly) Wrap(_ context.Context, _ keyring.Of, key []byte) (Wrapped, error) {
	return Wrapped{Version: "0123456789abcdef", Algorithm: "RSA-OAEP-256", Bytes: bytes.Clone(key)}, nil
}

func (openly) Unwrap(_ context.Context, _ keyring.Of, w Wrapped) ([]byte, error) {
	return bytes.Clone(w.Bytes), nil
}

// What version 1 wrote opens for ever.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "v1", "wrapped.hex")
	of := keyring.Of{Vault: allod.GUID{0xa1, 0x10, 0xd0, 1}, Slot: "cloud"}
	const half = "AGE-SECRET-KEY-PQ-1 stands here"
	if *update {
		b, err := New(openly{}).Wrap(t.Context(), of, []byte(half))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := New(openly{}).Unwrap(t.Context(), of, b)
	if err != nil || string(got) != half {
		t.Errorf("got %q, %v, want %q", got, err, half)
	}
	if a := Address(b); a != (openly{}).Address() {
		t.Errorf("the golden file is wrapped under %q", a)
	}
}
