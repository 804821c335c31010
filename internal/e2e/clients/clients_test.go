// Package clients_test lets programs made by others talk to the emulator.
package clients_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// TestDynamicsWebAPI runs the released npm package dynamics-web-api, as
// package.json pins it and without a change, against the emulator
// (protocols/dataverse.md §14.2). Each scenario of proof.mjs is a subtest.
func TestDynamicsWebAPI(t *testing.T) {
	if os.Getenv("ALLOD_INTEGRATION") == "" {
		t.Skip("it installs an npm package; ALLOD_INTEGRATION=1 tries it, as make integration does")
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "proof.mjs"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, said.Bytes())
		}
		return out
	}
	run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")

	model, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	server, err := emu.New(emu.Options{Model: model, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sample.Load(model, server.Store(), sample.Options{Seed: 1, Scale: 1}); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	defer h.Close()

	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(run("node", "proof.mjs", h.URL+"/"))); lines.Scan(); n++ {
		var r struct {
			Name, Error string
			OK          bool
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		t.Run(r.Name, func(t *testing.T) {
			if !r.OK {
				t.Error(r.Error)
			}
		})
	}
	if n == 0 {
		t.Error("no scenario was run")
	}
}
