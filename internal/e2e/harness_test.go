// Package e2e_test tries the whole of Allod: the emulator and the connector,
// which share nothing but documents, with the vault between them.
package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/capture"
	"allod/internal/durable"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/history"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// clock is a clock that a test can push on. It never goes back.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.advance(d)
	return ctx.Err()
}

// integration skips a test that takes too long for every day.
func integration(t *testing.T) {
	t.Helper()
	if os.Getenv("ALLOD_INTEGRATION") == "" {
		t.Skip("it takes a minute; ALLOD_INTEGRATION=1 tries it, as make integration does")
	}
}

// company is a running emulator and a plain HTTP client for it.
type company struct {
	t      *testing.T
	server *emu.Server
	url    string
	user   emu.AppUser
}

// startCompany runs the sample company. change may adjust the options.
func startCompany(t *testing.T, c *clock, change func(*emu.Options)) *company {
	t.Helper()
	model, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	o := emu.Options{Model: model, Seed: 1, Now: c.Now}
	if change != nil {
		change(&o)
	}
	server, err := emu.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sample.Load(model, server.Store(), sample.Options{Seed: 1, Scale: 1}); err != nil {
		t.Fatal(err)
	}
	return serve(t, server)
}

func serve(t *testing.T, server *emu.Server) *company {
	t.Helper()
	h := httptest.NewServer(server.Handler())
	t.Cleanup(h.Close)
	return &company{t: t, server: server, url: h.URL, user: server.Users()[0]}
}

// call sends a request to the company, below the service root unless path
// begins with a slash, and decodes the answer.
func (c *company) call(method, path string, body any) map[string]any {
	c.t.Helper()
	status, out := c.try(method, path, body)
	if status >= 300 {
		c.t.Fatalf("%s %s: status %d: %v", method, path, status, out)
	}
	return out
}

func (c *company) try(method, path string, body any) (int, map[string]any) {
	c.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	path = strings.ReplaceAll(path, " ", "%20")
	if !strings.HasPrefix(path, "/") {
		path = "/api/data/v9.2/" + path
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, r)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer test")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]any{}
	if len(raw) > 0 && raw[0] == '{' {
		if err := json.Unmarshal(raw, &out); err != nil {
			c.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return res.StatusCode, out
}

// put sends a body that is a list.
func (c *company) put(path string, body []any) {
	c.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPut, c.url+path, bytes.NewReader(b))
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		c.t.Fatalf("PUT %s: status %d", path, res.StatusCode)
	}
}

// rows reads every row of a set, over all pages.
func (c *company) rows(set, query string) []map[string]any {
	c.t.Helper()
	var all []map[string]any
	next := set + query
	for next != "" {
		page := c.call(http.MethodGet, next, nil)
		for _, v := range page["value"].([]any) {
			all = append(all, v.(map[string]any))
		}
		link, _ := page["@odata.nextLink"].(string)
		next = strings.TrimPrefix(link, c.url)
	}
	return all
}

// desk is an Allod in a temporary folder.
type desk struct {
	*act.Office
	t     *testing.T
	dir   string
	deps  act.Deps
	clock *clock
}

// newDesk makes an Allod in a folder of its own.
func newDesk(t *testing.T, c *clock) *desk {
	t.Helper()
	return newDeskIn(t, c, filepath.Join(t.TempDir(), "allod"), deskDeps(c), act.InitOptions{Key: "file:keys/test.key"})
}

// newDeskIn makes an Allod in dir.
func newDeskIn(t *testing.T, c *clock, dir string, deps act.Deps, o act.InitOptions) *desk {
	t.Helper()
	d := &desk{t: t, dir: dir, deps: deps, clock: c}
	if _, err := act.Init(t.Context(), dir, o, d.deps); err != nil {
		t.Fatal(err)
	}
	d.reopen()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// deskDeps is what an Allod of these tests runs with. Its waits take no time:
// they push the clock on.
func deskDeps(clk *clock) act.Deps {
	return act.Deps{
		OpenSource: func(_ context.Context, env string, c act.Connection) (source.Source, error) {
			return dataverse.New(dataverse.Options{Environment: env, URL: c.URL, Now: clk.Now, Sleep: clk.sleep})
		},
		OpenStore: func(_ context.Context, path string, create bool) (blob.Mutable, error) {
			if create {
				return file.Create(path, file.Options{})
			}
			return file.Open(path, file.Options{})
		},
		Now: clk.Now, Actor: "test", Disk: &durable.Disk{}, NewID: newID,
	}
}

func newID() allod.GUID {
	var id allod.GUID
	_, _ = rand.Read(id[:]) // it does not fail
	return id
}

// reopen closes the Allod, if it is open, and opens it again.
func (d *desk) reopen() {
	d.t.Helper()
	if d.Office != nil {
		if err := d.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
	var err error
	if d.Office, err = act.Open(d.t.Context(), d.dir, d.deps); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) connect(env, url string) {
	d.t.Helper()
	if _, err := d.Connect(d.t.Context(), env, act.Connection{Kind: "dataverse", URL: url}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) backup(env string, o capture.Options) *capture.Result {
	d.t.Helper()
	res, err := d.Backup(d.t.Context(), env, o)
	if err != nil {
		d.t.Fatal(err)
	}
	return res
}

func (d *desk) compare(a, b act.Moment, o history.Options) *history.Diff {
	d.t.Helper()
	diff, err := d.Compare(d.t.Context(), a, b, o)
	if err != nil {
		d.t.Fatal(err)
	}
	return diff
}

// wantSame fails unless two moments hold the same rows.
func (d *desk) wantSame(a, b act.Moment, o history.Options) *history.Diff {
	d.t.Helper()
	o.Rows = true
	diff := d.compare(a, b, o)
	if !diff.Same() {
		d.t.Errorf("%s and %s differ: %d added, %d removed, %d changed", a, b, diff.Added, diff.Removed, diff.Changed)
		shown := 0
		for _, td := range diff.Tables {
			for _, r := range td.Rows {
				if shown++; shown <= 12 {
					d.t.Logf("  %s %s %v", r.Change, r.Record, r.Columns)
				}
			}
		}
	}
	return diff
}

// rowsAt counts the rows of a table at a moment.
func (d *desk) rowsAt(m act.Moment, table string) int {
	d.t.Helper()
	_, rows, err := d.Rows(d.t.Context(), m, table, "", 0)
	if err != nil {
		d.t.Fatal(err)
	}
	n := 0
	for _, err := range rows {
		if err != nil {
			d.t.Fatal(err)
		}
		n++
	}
	return n
}

func at(env string, id allod.SnapshotID) act.Moment {
	return act.Moment{Environment: env, Snapshot: id}
}
func latest(env string) act.Moment { return act.Moment{Environment: env} }
func live(env string) act.Moment   { return act.Moment{Environment: env, Live: true} }

// gap returns the first gap of the kind for the table, or nil.
func gap(res *capture.Result, table string, kind allod.GapKind) *allod.Gap {
	for i := range res.Gaps {
		if g := &res.Gaps[i]; g.Table == table && g.Kind == kind {
			return g
		}
	}
	return nil
}

func hash(b []byte) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
