package e2e_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/act/files"
	"allod/internal/capture"
)

// exports counts the packages that are asked for.
type exports struct {
	mu    sync.Mutex
	names []string
}

func (e *exports) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := e.names
	slices.Sort(names)
	e.names = nil
	return names
}

// counted serves the company once more, noting which solutions are exported.
func counted(t *testing.T, co *company) (*exports, string) {
	t.Helper()
	e, inner := &exports{}, co.server.Handler()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ExportSolution") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			_, name, _ := strings.Cut(string(body), `"SolutionName":"`)
			name, _, _ = strings.Cut(name, `"`)
			e.mu.Lock()
			e.names = append(e.names, name)
			e.mu.Unlock()
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return e, h.URL
}

// TestSolutionPackages: the package of every unmanaged solution is in every
// backup, as the service exports it, and is exported again only when the
// solution or one of its components has changed, or after a week; managed
// solutions and the default one have none; without files, and without the right to
// export, the backup goes on and says what it lacks.
func TestSolutionPackages(t *testing.T) {
	clk := &clock{}
	co := startCompany(t, clk, nil)
	asked, url := counted(t, co)
	d := newDesk(t, clk)
	d.connect("demo", url)
	components := []string{
		"appmodule", "canvasapp", "connectionreference", "environmentvariabledefinition", "environmentvariablevalue",
		"role", "savedquery", "systemform", "webresource", "workflow",
	}
	o := capture.Options{Tables: append([]string{"solution", "contact"}, components...)}
	both := []string{"AlpenrandLoyalty", "AlpenrandService"}
	step := func(what string, o capture.Options, want ...string) *capture.Result {
		t.Helper()
		res := d.backup("demo", o)
		if got := asked.take(); !slices.Equal(got, want) {
			t.Errorf("%s: exported %v, want %v", what, got, want)
		}
		return res
	}
	without := o
	without.NoFiles = true
	if g := gap(step("without files", without), "solution", allod.GapFileUnread); g == nil || !g.Accepted || g.Rows != 2 {
		t.Errorf("without files: gap %+v", g)
	}
	step("the first backup", o, both...)
	for name, want := range wantPackages(t, co) {
		if got := storedPackage(t, d, name); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes are stored, the service exports %d", name, len(got), len(want))
		}
	}
	id := co.rows("contacts", "?$select=contactid&$top=1")[0]["contactid"].(string)
	co.call("PATCH", "contacts("+id+")", map[string]any{"firstname": "Changed"})
	for _, table := range components { // they are rows as well
		if n, there := d.rowsAt(latest("demo"), table), len(co.rows(setOf(t, d, table), "?$select=versionnumber")); n == 0 || n != there {
			t.Errorf("%s: %d rows are stored of %d", table, n, there)
		}
	}
	step("nothing changed but a row that is no component", o)
	form := co.rows("systemforms", "?$select=formid&$filter=name eq 'Case at Alpenrand'")[0]["formid"].(string)
	co.call("PATCH", "systemforms("+form+")", map[string]any{"description": "changed"})
	co.call("POST", "PublishAllXml", map[string]any{}) // until then nobody sees it
	step("a form changed", o, "AlpenrandService")
	flow := co.rows("workflows", "?$select=workflowid&$filter=name eq 'Greet new card holders'")[0]["workflowid"].(string)
	co.call("PATCH", "workflows("+flow+")", map[string]any{"statecode": 0, "statuscode": 1})
	step("a flow was switched off", o, "AlpenrandLoyalty")
	for _, s := range co.rows("solutions", "?$select=solutionid,uniquename") {
		if s["uniquename"] == "AlpenrandService" {
			co.call("PATCH", "solutions("+s["solutionid"].(string)+")", map[string]any{"version": "1.0.0.8"})
		}
	}
	step("a new version", o, "AlpenrandService")
	clk.advance(7 * 24 * time.Hour)
	step("a week later", o, both...)
	wantPackages(t, co)

	// A reader that may do everything else.
	co.faults([]map[string]any{{"kind": "status", "status": 403, "code": "0x80040220", "count": -1, "path": "/ExportSolution"}})
	co.call("PATCH", "systemforms("+form+")", map[string]any{"description": "changed again"})
	co.call("POST", "PublishAllXml", map[string]any{}) // until then nobody sees it
	res := d.backup("demo", o)
	g := gap(res, "solution", allod.GapFileUnread)
	if g == nil || g.Rows != 1 || !strings.Contains(g.Reason, "403") || !res.Complete || len(openGaps(res)) != 1 {
		t.Errorf("without the right: complete %v, gaps %+v", res.Complete, openGaps(res))
	}
	co.faults(nil)
	asked.take()
	step("with the right again", o, "AlpenrandService")
}

// wantPackages exports the unmanaged solutions and looks into the packages.
func wantPackages(t *testing.T, co *company) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{"AlpenrandLoyalty", "AlpenrandService"} {
		answer := co.call("POST", "ExportSolution", map[string]any{"SolutionName": name, "Managed": false})
		file, err := base64.StdEncoding.DecodeString(answer["ExportSolutionFile"].(string))
		if err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil || len(z.File) < 3 {
			t.Fatalf("%s is no package: %v", name, err)
		}
		out[name] = file
	}
	return out
}

// storedPackage reads the package of a solution out of the newest snapshot.
func storedPackage(t *testing.T, d *desk, name string) []byte {
	t.Helper()
	table, rows, err := d.Rows(t.Context(), latest("demo"), "solution", "uniquename eq '"+name+"'", 0)
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "package.zip")
		ref, err := files.Write(t.Context(), d.Office, latest("demo"), table.Name, row.Key.String(), "exported_package", path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || int64(len(b)) != ref.Size || ref.Name != name+".zip" {
			t.Errorf("%s: wrote %d bytes of %+v: %v", name, len(b), ref, err)
		}
		if _, err := files.Write(t.Context(), d.Office, latest("demo"), table.Name, row.Key.String(), "exported_package", path); allod.KindOf(err) != allod.Conflict {
			t.Errorf("over a file that is there: %v", err)
		}
		return b
	}
	t.Fatalf("there is no solution %s", name)
	return nil
}

// setOf is the name under which the service lists a table.
func setOf(t *testing.T, d *desk, table string) string {
	t.Helper()
	s, err := d.Schema(t.Context(), latest("demo"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Table(table).Set
}
