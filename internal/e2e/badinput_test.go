package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/capture"
	"allod/internal/cli"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/history"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/vault/verify"
)

// canary is content: nothing that people are told may hold it.
const canary = "Canary-Contents"

// TestBadInput does everything to one company and its vault that should not
// happen to them, and looks at what a person reads then: the golden file shows
// every text, 80 columns wide, and every exit code. After each part, what was
// stored before is whole, row by row and byte by byte; in the end, the next
// backup brings everything.
func TestBadInput(t *testing.T) {
	r := newRough(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *rough)
	}{
		{"wrong URL", wrongURL},
		{"wrong secret", wrongSecret},
		{"missing privilege", missingPrivilege},
		{"clock skew", clockSkew},
		{"HTML instead of JSON", htmlForJSON},
		{"truncated JSON", truncatedJSON},
		{"absurd page sizes", absurdPages},
		{"cyclic nextLink", cyclicNextLink},
		{"429 storms", throttleStorms},
		{"5xx", serverErrors},
		{"disk full", diskFull},
		{"read-only store", readOnlyStore},
		{"wrong passphrase", wrongPassphrase},
		{"vault of a newer format", newerFormat},
		{"two processes at once", twoAtOnce},
		{"hostile lengths", hostileLengths},
		{"schema changed during the run", schemaChanges}, // last: the company stays changed
	} {
		t.Run(strings.ReplaceAll(part.name, " ", "-"), func(t *testing.T) {
			r.use(t)
			r.shown.Reset()
			part.run(t, r)
			r.intact()
			r.golden(part.name)
		})
	}
	r.use(t)
	r.desk.reopen()
	if res := r.desk.backup("demo", capture.Options{}); !res.Complete {
		t.Error("the backup after all that is not complete")
	}
	r.desk.wantSame(latest("demo"), live("demo"), history.Options{})
}

// rough is a scene in which things go wrong. Waits take no time: they push the
// clock on.
type rough struct {
	*scene
	transport  http.RoundTripper // of the connector; nil = the network
	ahead      time.Duration     // of this machine's clock
	wrap       func(blob.Mutable) blob.Mutable
	secret     string
	passphrase string

	disk    string                 // folder of the store
	mounted bool                   // it is a disk of its own
	before  map[string][]allod.Row // every row of snapshot 2
	shown   strings.Builder
}

// diskSize is more than the vault needs, in bytes.
const diskSize = 48 << 20

func newRough(t *testing.T) *rough {
	t.Helper()
	r := &rough{scene: &scene{t: t, clock: &clock{}}, before: map[string][]allod.Row{}}
	r.co = startCompany(t, r.clock, func(o *emu.Options) { o.PageSize = 100 })
	dir := shortDir(t)
	r.disk = filepath.Join(dir, "disk")
	if err := os.MkdirAll(r.disk, 0o700); err != nil {
		t.Fatal(err)
	}
	r.mounted = mountDisk(t, r.disk, diskSize)
	deps := deskDeps(r.clock)
	deps.OpenSource, deps.Passphrase = r.openSource, func(bool) ([]byte, error) { return []byte(r.passphrase), nil }
	openStore := deps.OpenStore
	deps.OpenStore = func(ctx context.Context, path string, create bool) (blob.Mutable, error) {
		s, err := openStore(ctx, path, create)
		if err == nil && r.wrap != nil && filepath.Base(path) == "vault" {
			s = r.wrap(s)
		}
		return s, err
	}
	r.desk = newDeskIn(t, r.clock, dir, deps, act.InitOptions{Key: "file:keys/test.key", Store: "disk/vault"})
	r.desk.connect("demo", r.co.url)
	r.desk.backup("demo", capture.Options{})
	id, _ := r.contactWithPhone()
	r.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"lastname": canary, "telephone1": canary})
	r.desk.backup("demo", capture.Options{})
	schema, err := r.desk.Schema(t.Context(), at("demo", 2))
	if err != nil {
		t.Fatal(err)
	}
	for i := range schema.Tables {
		name := schema.Tables[i].Name
		r.before[name] = r.rowsOf(at("demo", 2), name)
	}
	return r
}

// shortDir is a new folder whose path is equally long in every run, since texts
// that name it are wrapped.
func shortDir(t *testing.T) string {
	t.Helper()
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("allod-%08x", b))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (r *rough) openSource(_ context.Context, env string, c act.Connection) (source.Source, error) {
	o := dataverse.Options{
		Environment: env, URL: c.URL, Transport: r.transport, CAFile: c.CAFile,
		Now:   func() time.Time { return r.clock.Now().Add(r.ahead) },
		Sleep: r.clock.sleep,
	}
	var err error
	if c.Auth != "loopback" {
		o.Credential, err = signIn(c, r.secret)
	}
	if err != nil {
		return nil, err
	}
	return dataverse.New(o)
}

// use makes failures those of t.
func (r *rough) use(t *testing.T) { r.t, r.desk.t, r.co.t = t, t, t }

// rowsOf reads a table at a moment; the order is that of the vault.
func (r *rough) rowsOf(m act.Moment, table string) []allod.Row {
	r.t.Helper()
	_, rows, err := r.desk.Rows(r.t.Context(), m, table, "", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []allod.Row
	for row, err := range rows {
		if err != nil {
			r.t.Fatal(err)
		}
		row.Cells = slices.Clone(row.Cells)
		out = append(out, row)
	}
	return out
}

// intact ends what is wrong, and checks that every row of snapshot 2 is what it
// was, that no contact was deleted since, and that every byte of the vault is
// what was stored.
func (r *rough) intact() {
	r.t.Helper()
	r.co.faults(nil)
	r.transport, r.ahead, r.wrap = nil, 0, nil
	r.desk.reopen()
	for name, want := range r.before {
		if got := r.rowsOf(at("demo", 2), name); !slices.EqualFunc(got, want, sameRow) {
			r.t.Errorf("snapshot 2: the rows of %s are not what they were (%d, had %d)", name, len(got), len(want))
		}
	}
	if got, want := r.desk.rowsAt(latest("demo"), "contact"), len(r.before["contact"]); got != want {
		r.t.Errorf("the latest snapshot has %d contacts; nobody deleted one of %d", got, want)
	}
	rep, err := r.desk.Verify(r.t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 || rep.Rows == 0 {
		r.t.Errorf("verify: %v %v, %d rows", err, rep.Bad, rep.Rows)
	}
}

func sameRow(a, b allod.Row) bool {
	return a.Ref() == b.Ref() && a.Version == b.Version && a.Modified.Equal(b.Modified) && slices.Equal(a.Cells, b.Cells)
}

// lockedBuffer is what a terminal is: stdout and stderr together.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// allod runs a command line as a person at a terminal would, and wants an exit
// code and names in what is shown.
func (r *rough) allod(code int, names []string, args ...string) {
	r.t.Helper()
	r.allodIn(r.desk.dir, code, names, args...)
}

func (r *rough) allodIn(dir string, code int, names []string, args ...string) {
	r.t.Helper()
	if r.desk.Office != nil {
		if err := r.desk.Close(); err != nil {
			r.t.Fatal(err)
		}
		r.desk.Office = nil
	}
	var screen lockedBuffer
	got := cli.Run(r.t.Context(), append(slices.Clone(args), "--dir", dir), cli.Deps{
		Deps: r.desk.deps, In: strings.NewReader(""), Out: &screen, Err: &screen,
		Getenv: func(string) string { return "" }, Terminal: true, Local: time.UTC, Version: "test",
	})
	text := tidy(screen.b.String())
	fmt.Fprintf(&r.shown, "$ allod %s\n%s[%d]\n\n", tidy(strings.Join(args, " ")), text, got)
	if got != code {
		r.t.Errorf("allod %s ended with %d, want %d:\n%s", strings.Join(args, " "), got, code, text)
	}
	flat := strings.Join(strings.Fields(text), " ")
	for _, name := range names {
		if !strings.Contains(flat, name) {
			r.t.Errorf("allod %s: %q is not named:\n%s", strings.Join(args, " "), name, text)
		}
	}
	if strings.Contains(text, canary) {
		r.t.Errorf("allod %s: content is shown:\n%s", strings.Join(args, " "), text)
	}
	for line := range strings.Lines(screen.b.String()) {
		line = line[strings.LastIndexByte(line, '\r')+1:]
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && strings.Contains(strings.TrimSpace(line), " ") && os.TempDir() == "/tmp" {
			r.t.Errorf("allod %s: %d columns: %s", strings.Join(args, " "), n, line)
		}
	}
}

// What differs from run to run, with what stands for it.
var tidying = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^.*\r`), ""}, // progress bars
	{regexp.MustCompile(`/[a-z/A-Z0-9._-]*/allod-[0-9a-f]{8}`), "/tmp/allod-xxxxxxxx"},
	{regexp.MustCompile(`/[a-z/A-Z0-9._-]*/ca\.pem`), "ca.pem"},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]{4,5}`), "127.0.0.1:ppppp"},
	{regexp.MustCompile(`[0-9a-f]{64}`), strings.Repeat("d", 64)},
	{regexp.MustCompile(`leases/keys/[0-9a-f]{32}`), "leases/keys/hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "gggggggg-gggg-gggg-gggg-gggggggggggg"},
	{regexp.MustCompile(`/[0-9]{20}`), "/nnnnnnnnnnnnnnnnnnnn"},
	{regexp.MustCompile(`20[0-9-]{8}T[0-9:]{8}Z`), "yyyy-mm-ddThh:mm:ssZ"},
	{regexp.MustCompile(`demo@[0-9]+`), "demo@N"},
	{regexp.MustCompile(`Stored .* in .*\.`), "Stored N in T."},
	{regexp.MustCompile(`about 1[0-9]m[0-9]+s`), "about 11m0s"},
	{regexp.MustCompile(`[0-9]+ objects checked, [0-9]+ rows and [0-9]+ files opened`), "N objects checked, N rows and N files opened"},
	{regexp.MustCompile(`[0-9]+ of [0-9]+ objects are`), "N of N objects are"},
	{regexp.MustCompile(`([0-9]+) bytes are not the [0-9]+`), "N bytes are not the N"},
	{regexp.MustCompile(`the [0-9]{7} bytes`), "the NNNNNNN bytes"},
	{regexp.MustCompile(`(log\s+entry) [0-9]+`), "$1 N"},
	{regexp.MustCompile(`[0-9]+ orphans`), "N orphans"},
	{regexp.MustCompile(`\(byte [0-9]+\)`), "(byte N)"},
	{regexp.MustCompile(`[0-9]+ rows in all`), "N rows in all"},
	{regexp.MustCompile(`~tmp-[0-9A-Z]{26}`), "~tmp-" + strings.Repeat("T", 26)},
}

func tidy(text string) string {
	for _, t := range tidying {
		text = t.what.ReplaceAllString(text, t.with)
	}
	return text
}

// golden compares what was shown with the section of that name in the golden
// file; ALLOD_UPDATE=1 writes it.
func (r *rough) golden(name string) {
	r.t.Helper()
	const file = "testdata/badinput.golden"
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	head := "== " + name + "\n\n"
	before, rest, found := strings.Cut(string(raw), head)
	want, after := rest, ""
	if i := strings.Index(rest, "\n== "); i >= 0 {
		want, after = rest[:i+1], rest[i+1:]
	}
	got := r.shown.String()
	if os.Getenv("ALLOD_UPDATE") != "" {
		if !found {
			before, after = string(raw), ""
		}
		if err := os.WriteFile(file, []byte(before+head+got+after), 0o644); err != nil {
			r.t.Fatal(err)
		}
		return
	}
	if os.TempDir() != "/tmp" { // lines break elsewhere
		got, want = strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(want), " ")
	}
	if got != want {
		r.t.Errorf("got\n%s\nwant (ALLOD_UPDATE=1 writes it)\n%s", got, want)
	}
}
