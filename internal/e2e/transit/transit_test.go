// Package transit_test opens slots through the transit engine of HashiCorp
// Vault: the engine itself, in the last version under the Mozilla licence, behind
// an HTTP server of ours (testdata/engine) that stands in for Vault's own.
package transit_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/hcvault"
	"allod/internal/vault/keyring/kms"
)

const version = "v1.13.1"

// build compiles the engine into .tools of the repository, once.
func build(ctx context.Context, t *testing.T) (string, error) {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", "..", "..", ".tools", "transit-"+version))
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "engine")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	source, err := os.ReadFile(filepath.Join("testdata", "engine", "main.go"))
	if err != nil {
		return "", err
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module engine\n\ngo 1.26\n", "main.go": string(source)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{{"get", "github.com/hashicorp/vault/builtin/logical/transit@" + version}, {"build", "-o", binary, "."}} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %s: %w: %s", args[0], err, out)
		}
	}
	return binary, nil
}

// serve runs the engine and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	if os.Getenv("ALLOD_INTEGRATION") == "" {
		t.Skip("it builds the transit engine; ALLOD_INTEGRATION=1 tries it, as make integration does")
	}
	binary, err := build(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed with the test's context
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// A slot that the engine has wrapped opens through it: with its token, under its
// key, for its vault and name.
func TestSlot(t *testing.T) {
	address := serve(t)
	t.Setenv("VAULT_TOKEN", "root")
	t.Setenv("VAULT_MAX_RETRIES", "0")
	t.Setenv("VAULT_NAMESPACE", "")
	ctx := t.Context()
	key, err := hcvault.Open(address + "/transit/allod")
	if err != nil {
		t.Fatal(err)
	}
	w := kms.New(key)
	secrets, err := keyring.NewSecrets(allod.GUID{1})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := secrets.Signer(keyring.SignSlot)
	if err != nil {
		t.Fatal(err)
	}
	pin := keyring.Pin{Vault: secrets.Vault, Signers: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}}
	slot, err := keyring.NewSlot(ctx, secrets.Vault, "cloud", keyring.RoleAll, w)
	if err != nil {
		t.Fatal(err)
	}
	place := mem.New(mem.Options{})
	if err := keyring.Write(ctx, []blob.Mutable{place}, []keyring.Slot{slot}, secrets, time.Now); err != nil {
		t.Fatal(err)
	}
	got, _, err := keyring.OpenSlot(ctx, place, pin, 1, w)
	if err != nil || got.State != secrets.State {
		t.Fatalf("the slot opened to other secrets, or not: %v", err)
	}
	inner, err := key.Wrap(ctx, keyring.Of{Vault: secrets.Vault, Slot: "cloud"}, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Unwrap(ctx, keyring.Of{Vault: secrets.Vault, Slot: "other"}, inner); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("for another slot: got %v, want Corrupt", err)
	}
	inner.Bytes[len(inner.Bytes)-4] ^= 1
	if _, err := key.Unwrap(ctx, keyring.Of{Vault: secrets.Vault, Slot: "cloud"}, inner); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("changed bytes: got %v, want Corrupt", err)
	}
	t.Setenv("VAULT_TOKEN", "another")
	stranger, err := hcvault.Open(address + "/transit/allod")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := keyring.OpenSlot(ctx, place, pin, 1, kms.New(stranger)); allod.KindOf(err) != allod.Denied {
		t.Errorf("another token: got %v, want Denied", err)
	}
}
