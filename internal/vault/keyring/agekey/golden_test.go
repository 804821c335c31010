package agekey

import (
	"encoding/base64"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"allod/internal/vault/keyring"
)

var update = flag.Bool("update", false, "write golden files of the current format")

// What version 1 wrote opens for ever, with either of two identities.
func TestGolden(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	const half = "AGE-SECRET-KEY-PQ-1 stands here"
	if *update {
		to, err := ParseRecipients(strings.Fields(read("recipients")))
		if err != nil {
			t.Fatal(err)
		}
		b, err := to.Wrap(t.Context(), keyring.Of{}, []byte(half))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "wrapped"), []byte(base64.StdEncoding.EncodeToString(b)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := base64.StdEncoding.DecodeString(read("wrapped"))
	if err != nil {
		t.Fatal(err)
	}
	for _, identity := range strings.Fields(read("identities")) {
		w, err := ParseIdentity([]byte(identity), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.Unwrap(t.Context(), keyring.Of{}, b); err != nil || string(got) != half {
			t.Errorf("got %q, %v, want %q", got, err, half)
		}
	}
}
