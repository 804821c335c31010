package s3_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"allod/internal/e2e/s3server"
)

// program runs the real program as people type it.
type program struct {
	t    *testing.T
	path string
	env  []string
}

func build(t *testing.T) *program {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "allod.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "allod/cmd/allod").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return &program{t, path, append(os.Environ(), "ALLOD_DIR="+filepath.Join(dir, "allod"), "ALLOD_PASSPHRASE=only a test would use this one")}
}

// run runs a command that must end with code, and say each of wants.
func (p *program) run(code int, command string, wants ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.path, strings.Fields(command)...)
	cmd.Env = p.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	got := 0
	var ended *exec.ExitError
	if err := cmd.Run(); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ") // lines are broken for people
	if got != code {
		p.t.Fatalf("allod %s: ended with %d, want %d:\n%s", command, got, code, &out)
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			p.t.Errorf("allod %s: says nothing of %q:\n%s", command, want, &out)
		}
	}
	return text
}

// TestStory: a vault in one bucket, its slots in another, from init to restore.
func TestStory(t *testing.T) {
	t.Parallel()
	server := startServer(t, map[string]s3server.Bucket{"vault": {Locks: true}, "keys": {Versions: true}, "kept": {DefaultDays: 3}})
	co := startCompany(t)
	p := build(t)
	vault, keys, kept := server.Address("vault/prod"), server.Address("keys"), server.Address("kept")

	p.run(0, "check store "+vault+" --lock", "Versions: on. Locks: possible.", "ok 16 racing puts", "ok lock grows")
	p.run(0, "check store "+kept, "every object for 3 days", "Slots may not lie here (L = 3 days)", "not tried")
	p.run(3, "check store "+keys+" --lock", "FAIL retention")
	p.run(2, "init --store "+vault+" --slots "+kept, "what is deleted there is not gone", "--accept-slot-history")
	p.run(2, "init --store "+vault+" --slots "+server.Address("vault/slots"), "inside the vault's store")
	p.run(0, "init --store "+vault+" --slots "+keys, "Your recovery key")
	p.run(0, "check store", "/prod", ", the vault", ", slots", "Slots may lie here; what is deleted is gone after L = 0 days", "ok slots may lie here")
	p.run(0, "check store --json "+kept, `"latency_days":3`, `"erasable":false`, `"name":"nothing left"`)

	p.run(0, "connect one "+co.url+" --kind dataverse")
	p.run(0, "backup one --table account --table contact")
	gone := co.call("GET", "accounts?$select=accountid&$top=1&$filter=name ne null", nil)["value"].([]any)[0].(map[string]any)["accountid"].(string)
	co.call("DELETE", "accounts("+gone+")", nil)
	p.run(0, "snapshots one", "one@1")
	p.run(0, "vault status", "1 log entries")
	p.run(0, "vault verify --full", "0 bad")
	p.run(0, "vault verify --public", "0 bad")
	p.run(0, "get one@latest account "+gone, gone)
	p.run(0, "restore one@latest account "+gone+" --yes", "1 created")
	if got := co.call("GET", "accounts("+gone+")?$select=accountid", nil)["accountid"]; got != gone {
		t.Errorf("the account that was restored is %v, want %s", got, gone)
	}
}
