package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"allod"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/history"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

const (
	longColumns = 520
	longRows    = 150
	longStep    = 30 // columns from one that holds a value to the next
)

func longColumn(i int) string {
	return fmt.Sprintf("new_the_quite_long_name_of_one_of_many_columns_%03d", i)
}

// long is an environment with a table whose columns do not fit one address.
// Some columns of a row, all over it, hold the number of its last change: values that
// differ come from two versions.
type long struct {
	*company
	meddle  func() // runs before a batch about the table is answered
	mu      sync.Mutex
	longest int // address
	bare    int // reads of many rows without $select
}

func startLong(t *testing.T) *long {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	table := &entity.Table{
		LogicalName: "new_long", SchemaName: "new_Long", SetName: "new_longs", PrimaryID: "new_longid", ODataKey: "new_longid", PrimaryName: longColumn(0),
		TableType: "Standard", Ownership: 8, ChangeTracking: true, CanTrack: true, Optimistic: true, Custom: true,
	}
	m.Tables = append(m.Tables, table)
	add := func(name, kind, edm string) {
		table.Columns = append(table.Columns, &entity.Column{LogicalName: name, Kind: entity.ColumnKind(kind), EdmType: edm, MaxLength: 100, ValidForCreate: true, ValidForRead: true, ValidForUpdate: true, ValidOData: true})
	}
	add("new_longid", "Uniqueidentifier", "Edm.Guid")
	for i := range longColumns {
		add(longColumn(i), "String", "Edm.String")
	}
	m.Seal()
	entity.Derive(m)
	server, err := emu.New(emu.Options{Model: m, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	l := &long{}
	inner := server.Handler()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") == "Allod" {
			l.watch(t, r)
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	l.company = &company{t: t, server: server, url: h.URL, user: server.Users()[0]}
	for from := 0; from < longRows; from += 50 {
		var targets []map[string]any
		for n := from; n < from+50; n++ {
			row := values(0)
			row["@odata.type"], row["new_longid"] = "Microsoft.Dynamics.CRM.new_long", longKey(n)
			targets = append(targets, row)
		}
		l.call("POST", "new_longs/Microsoft.Dynamics.CRM.CreateMultiple", map[string]any{"Targets": targets})
	}
	return l
}

func longKey(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func values(change int) map[string]any {
	row := map[string]any{}
	for i := 0; i < longColumns; i += longStep {
		row[longColumn(i)] = fmt.Sprint("change ", change)
	}
	return row
}

// watch notes how long addresses are, and meddles between the parts of rows.
func (l *long) watch(t *testing.T, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	note := func(address string) {
		l.longest = max(l.longest, len(address))
		if strings.Contains(address, "/new_longs?") && !strings.Contains(address, "$select") {
			l.bare++
		}
	}
	note(r.URL.String())
	for line := range strings.SplitSeq(string(body), "\n") {
		if strings.HasPrefix(line, "GET ") {
			note(line)
		}
	}
	if strings.HasSuffix(r.URL.Path, "$batch") && strings.Contains(string(body), "/new_longs?") && l.meddle != nil {
		l.meddle()
	}
}

// wantWhole checks that no row was put together from two versions.
func wantWhole(t *testing.T, table *allod.Table, rows []allod.Row) {
	t.Helper()
	for i := range rows {
		first := rows[i].Cell(table.ColumnIndex(longColumn(0))).Text()
		for n := 0; n < longColumns; n += longStep {
			if got := rows[i].Cell(table.ColumnIndex(longColumn(n))).Text(); got != first || got == "" {
				t.Fatalf("row %v: column %d holds %q, the first one %q", rows[i].Key, n, got, first)
			}
		}
	}
}

// TestLongSelect reads a table whose columns do not fit one address, while rows
// change and vanish between the parts they are read in: no row is torn, none is
// missing, and nothing is asked for that the service would not take.
func TestLongSelect(t *testing.T) {
	l := startLong(t)
	src, err := dataverse.New(dataverse.Options{Environment: "long", URL: l.url})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := schema.Table("new_long")
	change, batches, removed := 0, 0, false
	l.meddle = func() {
		batches++
		switch {
		case change < 8: // rows of each of the batches change, the same ones again and again
			change++
			for n := 7; n < longRows; n += 50 {
				l.call("PATCH", "new_longs("+longKey(n)+")", values(change))
			}
		case !removed:
			removed = true
			l.call("DELETE", "new_longs("+longKey(9)+")", nil)
		}
	}
	rows, _, last := readTable(t, src, source.ReadRequest{Table: table, Track: true, PageSize: 50})
	wantWhole(t, table, rows)
	if change == 0 {
		t.Error("nothing changed meanwhile")
	}
	seen := map[allod.GUID]bool{} // those that change meanwhile may come with the changes alone
	for i := range rows {
		seen[rows[i].Key] = true
	}
	change = 0
	keys := make([]allod.GUID, longRows)
	for n := range keys {
		if keys[n], err = allod.ParseGUID(longKey(n)); err != nil {
			t.Fatal(err)
		}
	}
	batches = 0
	got, err := src.Get(t.Context(), table, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantWhole(t, table, got)
	if len(got) < longRows-1 || change == 0 || batches == 0 {
		t.Errorf("%d rows were read by key in %d batches, with %d changes meanwhile", len(got), batches, change)
	}
	l.meddle = nil
	changed, deleted, _ := readTable(t, src, source.ReadRequest{Table: table, Cursor: last.Delta})
	wantWhole(t, table, changed)
	for i := range changed {
		seen[changed[i].Key] = true
		if changed[i].Cell(table.ColumnIndex(longColumn(510))).Text() != fmt.Sprint("change ", change) {
			t.Errorf("row %v is of %v", changed[i].Key, changed[i].Cell(table.ColumnIndex(longColumn(510))))
		}
	}
	if len(changed) != 3 || len(deleted) != 1 {
		t.Errorf("the changes tell %d rows and %d deletions, want 3 and 1", len(changed), len(deleted))
	}
	for i := range deleted {
		delete(seen, deleted[i])
	}
	if len(seen) != longRows-1 {
		t.Errorf("%d rows came, want %d", len(seen), longRows-1)
	}
	longSelectBackup(t, l)
	if l.longest > 32768 || l.longest < 10000 || l.bare > 0 {
		t.Errorf("the longest address has %d bytes, %d reads had no $select", l.longest, l.bare)
	}
}

// longSelectBackup backs the table up and finds it row by row as it is.
func longSelectBackup(t *testing.T, l *long) {
	t.Helper()
	d := newDesk(t, &clock{})
	d.connect("long", l.url)
	o := capture.Options{Tables: []string{"new_long"}}
	if res := d.backup("long", o); res.Created != longRows-1 {
		t.Fatalf("stored %d rows, want %d", res.Created, longRows-1)
	}
	l.call("PATCH", "new_longs("+longKey(1)+")", map[string]any{longColumn(519): "the last column"})
	if res := d.backup("long", o); res.Updated != 1 {
		t.Errorf("%d rows updated, want 1", res.Updated)
	}
	d.wantSame(latest("long"), live("long"), history.Options{Tables: []string{"new_long"}})
}
