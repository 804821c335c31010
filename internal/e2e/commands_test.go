package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildAllod builds the program as README.md says.
func buildAllod(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "allod.exe") // a name that every system runs
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "allod/cmd/allod")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build allod: %v\n%s", err, out)
	}
	return bin
}

// person types commands. Each is a process of its own.
type person struct {
	t   *testing.T
	bin string
	env []string
}

func newPerson(t *testing.T, bin string) *person {
	t.Helper()
	home := t.TempDir()
	return &person{t: t, bin: bin, env: append(os.Environ(), "HOME="+home, "NO_COLOR=1",
		"ALLOD_DIR="+filepath.Join(home, "allod"), "ALLOD_PASSPHRASE=only a test would use this one")}
}

// types runs `allod ARGS…`, which must succeed, and returns what it prints.
func (p *person) types(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.bin, args...)
	cmd.Env = p.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("allod %s: %v\n%.4000s%.4000s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// asks runs `allod ARGS… --json` and decodes what it prints.
func (p *person) asks(into any, args ...string) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.types(append(args, "--json")...)), into); err != nil {
		p.t.Fatalf("allod %s --json: %v", strings.Join(args, " "), err)
	}
}

// emulates runs `allod emulate dataverse FLAGS…` until the test ends and
// returns its address.
func (p *person) emulates(flags ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.bin, append([]string{"emulate", "dataverse", "--json"}, flags...)...)
	cmd.Env, cmd.Stderr = p.env, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // of the signal
	})
	var ready struct{ URL string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil || ready.URL == "" {
		p.t.Fatalf("allod emulate dataverse %s: %q, %v", strings.Join(flags, " "), line, err)
	}
	return ready.URL
}
