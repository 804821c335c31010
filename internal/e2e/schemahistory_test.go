package e2e_test

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/history"

	gocmp "github.com/google/go-cmp/cmp"
)

// Ten dated schemas of one real organisation, backed up one after another as
// one environment, and the first once more, so that what was added goes again:
// the history of the schema is what a plain comparison of the files gives, in
// tables and in columns.
func TestSchemaHistoryEqualsFiles(t *testing.T) {
	names := schemaFiles(t)
	if os.Getenv("ALLOD_INTEGRATION") == "" {
		names = []string{names[0], names[len(names)-1]}
	}
	names = append(names, names[0])
	c := &clock{}
	var served atomic.Pointer[emu.Server]
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served.Load().Handler().ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	d := newDesk(t, c)
	var want []delta
	var first, before edmx
	for i, name := range names {
		server, err := emu.New(emu.Options{Model: realModel(t, name), Seed: 1, Now: c.Now}) // the same seed: the same organization
		if err != nil {
			t.Fatal(err)
		}
		served.Store(server)
		if i == 0 {
			d.connect("real", front.URL)
		}
		c.advance(time.Hour)
		for range 40 * i { // versions go on, though a smaller schema has fewer rows of its own
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+"/api/data/v9.2/contacts", strings.NewReader(`{"lastname": "x"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer test")
			req.Header.Set("Content-Type", "application/json")
			answer, err := http.DefaultClient.Do(req)
			if err != nil || answer.StatusCode != http.StatusNoContent {
				t.Fatalf("%v, %v", answer, err)
			}
			_ = answer.Body.Close() // it is empty
		}
		began := time.Now()
		res := d.backup("real", capture.Options{Tables: []string{"account"}})
		t.Logf("%s: snapshot %d, line %d, %s", name, res.Snapshot, res.Line, time.Since(began).Round(time.Millisecond))
		if res.Line != 1 {
			t.Errorf("%s: line %d: it was taken for another environment: %s", name, res.Line, res.LineReason)
		}
		is := readEdmx(t, name)
		if i == 0 {
			first = is
		} else {
			want = append(want, compareEdmx(before, is, res.Snapshot))
		}
		before = is
	}
	h, err := d.SchemaHistory(t.Context(), latest("real"), "")
	if err != nil {
		t.Fatal(err)
	}
	var sum [5]int
	for _, w := range want {
		for i, list := range [][]string{w.TablesAdded, w.TablesRemoved, w.ColumnsAdded, w.ColumnsRemoved, w.OtherType} {
			sum[i] += len(list)
		}
	}
	t.Logf("tables: %d added, %d removed; columns: %d added, %d removed, %d with another type", sum[0], sum[1], sum[2], sum[3], sum[4])
	if slices.Contains(sum[:], 0) || h.Snapshots != len(names) {
		t.Fatalf("%d snapshots of %d files, differences %v: not every kind was tried", h.Snapshots, len(names), sum)
	}
	if h.Tables != len(first) {
		t.Errorf("the first snapshot has %d tables, the first file %d", h.Tables, len(first))
	}
	if diff := gocmp.Diff(deltas(h), want); diff != "" {
		t.Errorf("history of the schema (-got, +files):\n%s", diff)
	}
}

// schemaFiles are the dated $metadata files, oldest first.
func schemaFiles(t *testing.T) []string {
	t.Helper()
	const folder = "history-jag-spd-spice"
	paths, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "dataverse", folder, "*.xml.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skip("data made by others is absent: " + folder)
	}
	if len(paths) != 10 {
		t.Fatalf("%d dated schemas, want 10", len(paths))
	}
	for i, p := range paths {
		paths[i] = filepath.Join(folder, filepath.Base(p))
	}
	slices.Sort(paths) // names begin with the date
	return paths
}

// delta is a difference in plain words: a table, or table.column.
type delta struct {
	Snapshot                                allod.SnapshotID
	TablesAdded, TablesRemoved              []string
	ColumnsAdded, ColumnsRemoved, OtherType []string
}

func deltas(h *act.SchemaHistory) []delta {
	out := make([]delta, 0, len(h.Changes))
	for _, c := range h.Changes {
		d := delta{Snapshot: c.Snapshot, TablesAdded: c.Added, TablesRemoved: c.Removed, ColumnsAdded: []string{}, ColumnsRemoved: []string{}, OtherType: []string{}}
		for _, t := range c.Changed {
			names := func(list []history.TypedColumn) (out []string) {
				for _, x := range list {
					out = append(out, t.Table+"."+x.Column)
				}
				return out
			}
			d.ColumnsAdded = append(d.ColumnsAdded, names(t.Added)...)
			d.ColumnsRemoved = append(d.ColumnsRemoved, names(t.Removed)...)
			for _, x := range t.Retyped {
				d.OtherType = append(d.OtherType, t.Table+"."+x.Column)
			}
		}
		out = append(out, d)
	}
	return out
}

// edmx is a $metadata document as table → column → type.
//
// An EntityType that derives from crmbaseentity is the table of its name, but
// for expando, an open type, and principal, the base of users and teams, which
// are in $metadata only. A Property of it or of its base types is a
// column: _x_value is the lookup x, every other name is the column's own
// (protocols/dataverse.md §3.1).
type edmx map[string]map[string]string

func readEdmx(t *testing.T, name string) edmx {
	t.Helper()
	type entityType struct {
		Name       string `xml:"Name,attr"`
		BaseType   string `xml:"BaseType,attr"`
		OpenType   bool   `xml:"OpenType,attr"`
		Properties []struct {
			Name string `xml:"Name,attr"`
			Type string `xml:"Type,attr"`
		} `xml:"Property"`
	}
	var doc struct {
		Types []entityType `xml:"DataServices>Schema>EntityType"`
	}
	if err := xml.NewDecoder(openShared(t, name)).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	types := map[string]*entityType{}
	for i := range doc.Types {
		types[doc.Types[i].Name] = &doc.Types[i]
	}
	out := edmx{}
	for _, et := range types {
		columns := map[string]string{}
		for x := et; x != nil; x = types[strings.TrimPrefix(x.BaseType, "mscrm.")] {
			if x.Name == "crmbaseentity" && x != et && !et.OpenType && et.Name != "principal" {
				out[et.Name] = columns
			}
			for _, p := range x.Properties {
				if lookup, ok := strings.CutPrefix(p.Name, "_"); ok && strings.HasSuffix(lookup, "_value") {
					columns[strings.TrimSuffix(lookup, "_value")] = "lookup"
				} else {
					columns[p.Name] = p.Type
				}
			}
		}
	}
	return out
}

func compareEdmx(a, b edmx, snapshot allod.SnapshotID) delta {
	d := delta{Snapshot: snapshot, TablesAdded: missing(a, b), TablesRemoved: missing(b, a), ColumnsAdded: []string{}, ColumnsRemoved: []string{}, OtherType: []string{}}
	for table, is := range b {
		was, ok := a[table]
		if !ok {
			continue
		}
		for _, c := range missing(was, is) {
			d.ColumnsAdded = append(d.ColumnsAdded, table+"."+c)
		}
		for _, c := range missing(is, was) {
			d.ColumnsRemoved = append(d.ColumnsRemoved, table+"."+c)
		}
		for c, kind := range is {
			if was[c] != "" && was[c] != kind {
				d.OtherType = append(d.OtherType, table+"."+c)
			}
		}
	}
	for _, list := range [][]string{d.ColumnsAdded, d.ColumnsRemoved, d.OtherType} {
		slices.SortFunc(list, func(x, y string) int { // by table, then column
			tx, cx, _ := strings.Cut(x, ".")
			ty, cy, _ := strings.Cut(y, ".")
			return cmp.Or(cmp.Compare(tx, ty), cmp.Compare(cx, cy))
		})
	}
	return d
}

// missing are the names that b has and a has not, sorted.
func missing[T any](a, b map[string]T) []string {
	out := []string{}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
