package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/durable"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run carries out a command line without any adapter: what it may reach is
// what needs none.
func run(t *testing.T, deps Deps, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	deps.Out, deps.Err = &out, &errs
	if deps.In == nil {
		deps.In = strings.NewReader("")
	}
	if deps.Getenv == nil {
		deps.Getenv = func(string) string { return "" }
	}
	if deps.Now == nil {
		deps.Now = func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }
	}
	if deps.Local == nil {
		deps.Local = time.FixedZone("CET", 3600)
	}
	deps.Disk = &durable.Disk{}
	code = Run(t.Context(), args, deps)
	return code, out.String(), errs.String()
}

// walk calls do for a command and all below it.
func walk(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, c := range cmd.Commands() {
		walk(c, do)
	}
}

// The help of every command is what stands in the golden file (-update writes
// it), and nowhere wider than 80 columns.
func TestHelp(t *testing.T) {
	var all strings.Builder
	walk((&app{}).rootCommand(), func(cmd *cobra.Command) {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		code, stdout, stderr := run(t, Deps{}, args...)
		if code != 0 || stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q", args, code, stderr)
		}
		for line := range strings.Lines(stdout) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%v: %d columns: %s", args, n, line)
			}
		}
		fmt.Fprintf(&all, "$ allod %s\n%s\n", strings.Join(args, " "), stdout)
	})
	if runtime.GOOS != "linux" {
		return // the default folder has another name there
	}
	const golden = "testdata/help.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), all.String()); diff != "" {
		t.Errorf("help is not what %s holds (-update writes it):\n%s", golden, diff)
	}
}

// Every Kind has its exit code, whatever is wrapped around it.
func TestExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"done", t.Context(), nil, 0},
		{"a defect", t.Context(), errors.New("odd"), 1},
		{"internal", t.Context(), allod.Errorf(allod.Internal, "odd"), 1},
		{"usage", t.Context(), &usageError{errors.New("what?")}, 2},
		{"invalid", t.Context(), allod.Errorf(allod.Invalid, "odd"), 2},
		{"partial", t.Context(), &silent{allod.Errorf(allod.Partial, "gaps")}, 3},
		{"denied", t.Context(), fmt.Errorf("read: %w", allod.Errorf(allod.Denied, "no")), 4},
		{"not found", t.Context(), allod.WithHint(allod.Errorf(allod.NotFound, "no"), "look"), 5},
		{"conflict", t.Context(), allod.Errorf(allod.Conflict, "no"), 6},
		{"corrupt", t.Context(), allod.Errorf(allod.Corrupt, "no"), 7},
		{"unavailable", t.Context(), allod.Errorf(allod.Unavailable, "no"), 8},
		{"took too long", t.Context(), context.DeadlineExceeded, 8},
		{"interrupted", cancelled, allod.Errorf(allod.Unavailable, "read: %w", context.Canceled), 130},
		{"interrupted, but it was something else", cancelled, allod.Errorf(allod.Corrupt, "no"), 7},
	} {
		if got := ExitCode(c.ctx, c.err); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.want)
		}
	}
}

// Wrong command lines end with 2 and say what to do next, in words and as JSON.
func TestUsage(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"no such command", "bakcup", "Did you mean `allod backup`"},
		{"another program's word", "undelete", "Did you mean `allod restore`"},
		{"nothing like it", "frobnicate", "`allod --help` lists the commands"},
		{"no such command below", "vault keys porve", "Did you mean `allod vault keys prove`"},
		{"deleted from where", "ls prod@1 --deleted", "of which table?"},
		{"no such flag", "backup --fast", "unknown flag: --fast"},
		{"no such flag below", "vault verify --quick", "unknown flag: --quick"},
		{"too few", "get prod account", "it takes ENV[@WHEN] TABLE ID; 2 were given"},
		{"too many", "init here", "it takes no arguments; 1 was given"},
		{"no moment", "ls prod@yesterday", `"yesterday" is not a moment`},
		{"no span", "ls prod@-3w", "not a span of time"},
		{"no environment", "ls @latest", "no environment is named"},
		{"no zone", "ls prod@2026-11-20T10:00", "the time has no zone"},
		{"from nowhere", "restore", "from where?"},
		{"nothing in particular", "restore prod@1", "what?"},
		{"all and a table", "restore prod@1 account --all", "exclude each other"},
		{"a plan and more", "restore prod@1 --apply 0123456789abcdef", "name nothing else"},
		{"a share of nothing", "vault verify --sample lots", "want a share such as 5%"},
		{"public and full", "vault verify --public --full", "exclude each other"},
		{"security, which is not there yet", "restore prod@1 --all --security", "unknown flag"},
		{"a span that is none", "status --max-age long", "invalid argument"},
	} {
		dir := t.TempDir()
		args := append([]string{"--dir", dir}, strings.Fields(c.args)...)
		code, stdout, stderr := run(t, Deps{}, args...)
		if code != 2 || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%s: exit code %d, %q, want 2 and %q", c.name, code, stderr, c.want)
		}
		if strings.Count(stderr, "\n") < 2 {
			t.Errorf("%s: there is no next step: %s", c.name, stderr)
		}
		_, stdout, _ = run(t, Deps{}, append(args, "--json")...)
		var body struct {
			Error map[string]*string `json:"error"`
		}
		if err := json.Unmarshal([]byte(stdout), &body); err != nil {
			t.Errorf("%s: stdout is not JSON: %q", c.name, stdout)
			continue
		}
		for _, key := range []string{"kind", "message", "hint", "request_id"} {
			if body.Error[key] == nil {
				t.Errorf("%s: the error has no %s: %s", c.name, key, stdout)
			}
		}
		if kind := body.Error["kind"]; kind == nil || *kind != "invalid" {
			t.Errorf("%s: got %s", c.name, stdout)
		}
	}
}

// Errors are wrapped on a terminal, and one line each in a log.
func TestErrorWidth(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		_, _, stderr := run(t, Deps{Terminal: terminal}, "--dir", t.TempDir(), "restore")
		wide := false
		for line := range strings.Lines(stderr) {
			wide = wide || utf8.RuneCountInString(line) > 81 && !strings.Contains(line, "`")
		}
		if got := strings.Count(stderr, "\n"); terminal == (got == 2) || wide {
			t.Errorf("terminal %v: %d lines:\n%s", terminal, got, stderr)
		}
	}
}

// A time without a zone is refused with both readings of it.
func TestTimeWithoutZone(t *testing.T) {
	_, _, stderr := run(t, Deps{}, "--dir", t.TempDir(), "ls", "prod@2026-11-20T10:00")
	for _, reading := range []string{"prod@2026-11-20T10:00Z for UTC", "prod@2026-11-20T10:00+01:00 for this machine"} {
		if !strings.Contains(stderr, reading) {
			t.Errorf("the reading %q is not offered: %s", reading, stderr)
		}
	}
}

// Flags come from the environment where the command line does not set them;
// what confirms a write never does.
func TestFlagsFromTheEnvironment(t *testing.T) {
	var got []EmulateOptions
	deps := Deps{
		Emulate: func(_ context.Context, o EmulateOptions) (*Emulator, error) {
			got = append(got, o)
			return &Emulator{URL: "http://127.0.0.1:1", Wait: func() error { return nil }}, nil
		},
		Getenv: func(name string) string { return map[string]string{"ALLOD_SCALE": "7", "ALLOD_YES": "true"}[name] },
	}
	if code, stdout, stderr := run(t, deps, "emulate", "dataverse"); code != 0 || stdout != "listening on http://127.0.0.1:1\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	run(t, deps, "emulate", "dataverse", "--scale", "2")
	if len(got) != 2 || got[0].Scale != 7 || got[1].Scale != 2 {
		t.Errorf("got %+v", got)
	}
	deps.Getenv = func(name string) string { return map[string]string{"ALLOD_SCALE": "many"}[name] }
	if code, _, stderr := run(t, deps, "emulate", "dataverse"); code != 2 || !strings.Contains(stderr, "ALLOD_SCALE") {
		t.Errorf("a bad variable: exit code %d, %q", code, stderr)
	}
}

// What the guided tour returns is the exit code of the command.
func TestDemoExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 0}, {allod.Errorf(allod.Internal, "the company is not what it was"), 1}} {
		deps := Deps{Demo: func(_ context.Context, o DemoOptions) error {
			if !o.Once || o.Port != 7 {
				t.Errorf("got %+v", o)
			}
			return c.err
		}}
		if code, _, stderr := run(t, deps, "demo", "--once", "--port", "7"); code != c.want {
			t.Errorf("exit code %d, want %d: %s", code, c.want, stderr)
		}
	}
}

// Paragraphs keep to 80 columns and lose no word.
func TestPara(t *testing.T) {
	var out bytes.Buffer
	a := &app{deps: Deps{Out: &out}}
	words := strings.Repeat("gaps are listed, ", 20) + strings.Repeat("x", 100)
	a.para("    ", "  %s", words)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 && n != 104 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if got, want := strings.Fields(out.String()), strings.Fields(words); !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A command that is to be copied stays on one line.
func TestParagraphKeepsCommandsWhole(t *testing.T) {
	var out bytes.Buffer
	command := "`allod connect contoso https://contoso.crm4.dynamics.com --same-as contoso`"
	paragraph(&out, "  ", "  An environment at a new address keeps its name: "+command+". After that everything is as it was before.")
	if !strings.Contains(out.String(), command) || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("got\n%s", out.String())
	}
}

// Words of the recovery key come in lines, as they were printed, and end with
// an empty one.
func TestReadWords(t *testing.T) {
	got, err := readWords(strings.NewReader("\n  a b\nc\n\nnot this\n"))
	if err != nil || got != "a b c" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := readWords(io.LimitReader(endless{}, 1<<30)); err != nil || len(got) > 16<<10 {
		t.Errorf("endless input: got %d bytes, %v", len(got), err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A folder without an Allod is not found, and the next step names the folder.
func TestNoAllodThere(t *testing.T) {
	for _, args := range []string{
		"status", "backup", "snapshots", "ls prod", "get prod account 1", "diff a b", "restore a@1 --all", "vault status",
		"vault verify", "vault verify --public", "vault keys list", "connect prod https://contoso.example", "check source prod", "schema prod",
	} {
		dir := t.TempDir()
		code, _, stderr := run(t, Deps{Deps: act.Deps{}}, append([]string{"--dir", dir}, strings.Fields(args)...)...)
		if code != 5 || !strings.Contains(stderr, "allod init --dir "+dir) {
			t.Errorf("%s: exit code %d, %q", args, code, stderr)
		}
	}
}
