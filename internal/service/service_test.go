package service

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/durable"
)

var update = flag.Bool("update", false, "write the golden files anew")

func examples() map[string]Service {
	return map[string]Service{
		"linux":   {Exe: "/usr/local/bin/allod", Dir: "/srv/100% ours/allod $1", Writable: []string{"/mnt/backup disk/vault"}, User: "allod", EnvFile: "/etc/allod/allod.env"},
		"windows": {Exe: `C:\Program Files\Allod\allod.exe`, Dir: `C:\ProgramData\Allod`, User: `NT AUTHORITY\LocalService`},
	}
}

// What would be written or run is what the golden files hold.
func TestPlan(t *testing.T) {
	for system, s := range examples() {
		got, err := Host{OS: system}.Plan(s)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", system+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-update writes it):\n%s", golden, diff)
		}
	}
	for _, s := range []Service{{Exe: "/bin/allod\nExecStartPre=/bin/evil"}, {Dir: `/srv/"`}, {Writable: []string{"/a\x00"}}} {
		if _, err := (Host{OS: "linux"}).Plan(s); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := (Host{OS: "plan9"}).Plan(Service{}); allod.KindOf(err) != allod.Invalid || !strings.Contains(allod.HintOf(err), "serve --once") {
		t.Errorf("an unknown system: %v", err)
	}
}

// recorder is a machine whose programs do nothing but be noted.
type recorder struct {
	ran  []string
	fail string // the program with this word fails
	out  string
}

func (r *recorder) run(_ context.Context, words []string) (string, error) {
	r.ran = append(r.ran, strings.Join(words, " "))
	if r.fail != "" && slices.Contains(words, r.fail) {
		return "Access denied\n", errors.New("exit status 5")
	}
	return r.out, nil
}

func TestLinux(t *testing.T) {
	r := &recorder{out: "active\n"}
	h := Host{OS: "linux", Units: t.TempDir(), Disk: &durable.Disk{}, Run: r.run}
	s := examples()["linux"]
	if _, err := h.Status(t.Context()); allod.KindOf(err) != allod.NotFound {
		t.Errorf("no service, and status: %v", err)
	}
	if err := h.Remove(t.Context()); allod.KindOf(err) != allod.NotFound {
		t.Errorf("no service, and remove: %v", err)
	}
	for range 2 { // a second time describes it anew
		if err := h.Install(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(h.Units, "allod.service")); err != nil || string(got) != s.Systemd() {
		t.Errorf("the unit: %v: %s", err, got)
	}
	if got, err := h.Status(t.Context()); err != nil || got != "active" {
		t.Errorf("status %q, %v", got, err)
	}
	r.fail = "disable"
	if err := h.Remove(t.Context()); allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), "Access denied") {
		t.Errorf("remove without the right: %v", err)
	}
	r.fail = ""
	if err := h.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(h.Units, "allod.service")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unit is still there: %v", err)
	}
	install := []string{"systemctl daemon-reload", "systemctl enable allod", "systemctl restart allod"}
	want := slices.Concat(install, install, []string{"systemctl is-active allod", "systemctl disable --now allod", "systemctl disable --now allod", "systemctl daemon-reload"})
	if diff := cmp.Diff(want, r.ran); diff != "" {
		t.Error(diff)
	}
}

func TestWindows(t *testing.T) {
	r := &recorder{out: " STATE : 4 RUNNING\n"}
	h := Host{OS: "windows", Run: r.run}
	if err := h.Install(t.Context(), examples()["windows"]); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Status(t.Context()); err != nil || got != "STATE : 4 RUNNING" {
		t.Errorf("status %q, %v", got, err)
	}
	r.fail = "stop" // it does not run: it is removed all the same
	if err := h.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := r.ran[len(r.ran)-1], "sc.exe delete allod"; got != want {
		t.Errorf("the last was %q, want %q", got, want)
	}
	r.fail = "create"
	if err := h.Install(t.Context(), examples()["windows"]); allod.KindOf(err) != allod.Denied {
		t.Errorf("install without the right: %v", err)
	}
	r.fail = "query"
	if _, err := h.Status(t.Context()); allod.KindOf(err) != allod.NotFound {
		t.Errorf("no service, and status: %v", err)
	}
}
