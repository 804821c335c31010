package e2e_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/odata/csdl"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/source/sourcecheck"
)

// openShared opens a file made by others, unzipped; the test is skipped where
// it is not there.
func openShared(t *testing.T, name string) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "dataverse", name))
	if err != nil {
		t.Skipf("data made by others is absent: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() }) // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// realModel reads the schema of a real organisation.
func realModel(t *testing.T, name string) *entity.Model {
	t.Helper()
	doc, err := csdl.ParseCSDL(openShared(t, name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := entity.FromCSDL(doc)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// connectReal runs an emulator with a real schema and connects to it.
func connectReal(t *testing.T, filled bool, change func(*emu.Options)) (*emu.Server, *dataverse.Source, *allod.Schema) {
	t.Helper()
	m := realModel(t, "csdl-jag-spd-spice.xml.gz")
	o := emu.Options{Model: m, Seed: 1}
	if change != nil {
		change(&o)
	}
	server, err := emu.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if filled {
		if err := fill.Fill(m, server.Store(), fill.Options{Seed: 1, Scale: 1}); err != nil {
			t.Fatal(err)
		}
	}
	h := httptest.NewServer(server.Handler())
	t.Cleanup(h.Close)
	src, err := dataverse.New(dataverse.Options{Environment: "real", URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return server, src, schema
}

func readTable(t *testing.T, src *dataverse.Source, req source.ReadRequest) (rows []allod.Row, deleted []allod.GUID, last source.Page) {
	t.Helper()
	for p, err := range src.Read(t.Context(), req) {
		if err != nil {
			t.Fatalf("%s: %v", req.Table.Name, err)
		}
		rows = append(rows, p.Rows...)
		deleted = append(deleted, p.Deleted...)
		last = p
	}
	if !last.Last {
		t.Fatalf("%s: ended without a last page", req.Table.Name)
	}
	return rows, deleted, last
}

// TestConnectorReadsEveryTable reads every readable table of a real schema
// whole, and sees each row and each cell type.
func TestConnectorReadsEveryTable(t *testing.T) {
	_, src, schema := connectReal(t, true, nil)
	related := map[string]bool{} // intersect tables whose relationship the schema knows
	for i := range schema.Relationships {
		related[schema.Relationships[i].Intersect] = true
	}
	odd := map[string]bool{} // columns with values of another type than their metadata say
	types := map[allod.Type]int{}
	total, unreadable := 0, 0
	classes := map[allod.Class]int{}
	for i := range schema.Tables {
		table := &schema.Tables[i]
		classes[table.Class]++
		if table.Unreadable != "" {
			unreadable++
			continue
		}
		rows, _, _ := readTable(t, src, source.ReadRequest{Table: table, PageSize: 7})
		seen := map[allod.RecordRef]bool{}
		for j := range rows {
			r := &rows[j]
			if related[table.Name] && !r.Ref().IsPair() {
				t.Errorf("%s: a pair without its two ids", table.Name)
			}
			if seen[r.Ref()] && !table.Intersect { // made-up pairs may repeat
				t.Errorf("%s: %v came twice", table.Name, r.Ref())
			}
			seen[r.Ref()] = true
			for k := range r.Cells {
				v := r.Cells[k]
				types[v.Type()]++
				if v.Type() == allod.Lookup {
					if target, _ := v.Target(); target == "" || schema.Table(target) == nil {
						t.Errorf("%s.%s: a reference to table %q", table.Name, table.Columns[k].Name, target)
					}
				}
				if c := &table.Columns[k]; !v.IsAbsent() && !v.IsNull() && v.Type() != c.Type {
					odd[table.Name+"."+c.Name] = true
				}
			}
		}
		if n, err := src.Count(t.Context(), table); err != nil || (n != int64(len(rows)) && n != -1) {
			t.Errorf("%s: count says %d (%v), read %d", table.Name, n, err, len(rows))
		}
		total += len(rows)
	}
	t.Logf("%d tables (%v), %d unreadable, %d rows, cells by type %v, requests %d", len(schema.Tables), classes, unreadable, total, types, src.Stats().Requests)
	for _, name := range slices.Sorted(maps.Keys(odd)) {
		if name != "queueitem.objecttypecode" { // a number in $metadata, a name on the wire
			t.Errorf("%s: values of another type than the column's", name)
		}
	}
	if total < 1000 {
		t.Errorf("got %d rows in all", total)
	}
	if schema.Identity.Organization.IsZero() || schema.Identity.User.IsZero() || schema.Identity.Version == "" {
		t.Errorf("identity is not whole: %+v", schema.Identity)
	}
}

// TestConnectorWritesAndTracks creates, changes, links, and deletes rows, and
// finds each change in the delta.
func TestConnectorWritesAndTracks(t *testing.T) {
	_, src, schema := connectReal(t, false, nil)
	ctx := t.Context()
	account, contact := schema.Table("account"), schema.Table("contact")
	_, _, last := readTable(t, src, source.ReadRequest{Table: account, Track: true})
	if last.Delta.Kind != source.CursorDelta {
		t.Fatal("no change tracking on account")
	}
	a, c := allod.GUID{1, 2, 3, 4, 5, 6, 0x47, 8, 0x89}, allod.GUID{9, 2, 3, 4, 5, 6, 0x47, 8, 0x89}
	name, created := "Łódź \"quoted\" \\ 日本", time.Date(2019, 5, 1, 8, 0, 0, 0, time.UTC)
	one := func(op source.Op) source.Result {
		t.Helper()
		res, err := src.Apply(ctx, source.WriteOptions{Tag: "allod:7"}, []source.Op{op})
		if err != nil {
			t.Fatal(err)
		}
		return res[0]
	}
	must := func(op source.Op) source.Result {
		t.Helper()
		res := one(op)
		if res.Err != nil {
			t.Fatalf("%s: %v", op.Kind, res.Err)
		}
		return res
	}
	must(source.Op{Kind: source.OpCreate, Table: contact, Key: c, Cells: map[string]allod.Value{"lastname": allod.StringValue("Nowak")}})
	create := source.Op{Kind: source.OpCreate, Table: account, Key: a, CreatedOn: created, Cells: map[string]allod.Value{
		"name": allod.StringValue(name), "revenue": allod.TextValue(allod.Decimal, "1234.5600"), "primarycontactid": allod.LookupValue("contact", c),
		"description": allod.NullValue(), "numberofemployees": allod.IntegerValue(12), "donotemail": allod.BooleanValue(true),
	}}
	res := must(create)
	if res.Version == 0 {
		t.Error("create gave no version")
	}
	if again := one(create); allod.KindOf(again.Err) != allod.Conflict {
		t.Errorf("created twice: got %v", again.Err)
	}
	rows, err := src.Get(ctx, account, []allod.GUID{a, {0xff}}, nil)
	if err != nil || len(rows) != 1 {
		t.Fatalf("get: %d rows, %v", len(rows), err)
	}
	cell := func(r *allod.Row, col string) allod.Value { return r.Cell(account.ColumnIndex(col)) }
	row := &rows[0]
	for col, want := range create.Cells {
		if got := cell(row, col); got != want && col != "revenue" {
			t.Errorf("%s: got %v, want %v", col, got, want)
		}
	}
	if got := cell(row, "createdon").Text(); got != created.Format(time.RFC3339) {
		t.Errorf("createdon: got %q, want the backdated %v", got, created)
	}
	if row.Version != res.Version {
		t.Errorf("version: read %d, written %d", row.Version, res.Version)
	}

	res = must(source.Op{Kind: source.OpUpdate, Table: account, Key: a, Version: row.Version, Cells: map[string]allod.Value{
		"name": allod.StringValue("new"), "primarycontactid": allod.NullValue(),
	}})
	if stale := one(source.Op{Kind: source.OpUpdate, Table: account, Key: a, Version: row.Version, Cells: map[string]allod.Value{"name": allod.StringValue("x")}}); allod.KindOf(stale.Err) != allod.Conflict {
		t.Errorf("stale update: got %v", stale.Err)
	}
	if gone := one(source.Op{Kind: source.OpUpdate, Table: account, Key: allod.GUID{0xee}, Cells: map[string]allod.Value{"name": allod.StringValue("x")}}); gone.Err == nil {
		t.Error("an update made a row")
	}
	must(source.Op{Kind: source.OpState, Table: account, Key: a, Version: res.Version, Cells: map[string]allod.Value{
		"statecode": allod.IntegerValue(1), "statuscode": allod.IntegerValue(2),
	}})

	changed, deleted, last := readTable(t, src, source.ReadRequest{Table: account, Cursor: last.Delta})
	if len(changed) != 1 || len(deleted) != 0 {
		t.Fatalf("delta: %d changed, %d deleted", len(changed), len(deleted))
	}
	if got := cell(&changed[0], "name"); got != allod.StringValue("new") || !cell(&changed[0], "primarycontactid").IsNull() || cell(&changed[0], "statecode").Int() != 1 {
		t.Errorf("delta row: got %v, %v, %v", got, cell(&changed[0], "primarycontactid"), cell(&changed[0], "statecode"))
	}
	must(source.Op{Kind: source.OpDelete, Table: account, Key: a, Version: changed[0].Version})
	must(source.Op{Kind: source.OpDelete, Table: account, Key: a})
	_, deleted, _ = readTable(t, src, source.ReadRequest{Table: account, Cursor: last.Delta})
	if !slices.Equal(deleted, []allod.GUID{a}) {
		t.Errorf("delta: deleted %v, want %v", deleted, a)
	}
	if rows, err := src.Get(ctx, account, []allod.GUID{a}, nil); err != nil || len(rows) != 0 {
		t.Errorf("get of a deleted row: %d rows, %v", len(rows), err)
	}
}

func TestConnectorPairs(t *testing.T) {
	_, src, schema := connectReal(t, false, nil)
	var rel *allod.Relationship
	for i := range schema.Relationships {
		if r := &schema.Relationships[i]; r.Intersect == "accountleads" {
			rel = r
		}
	}
	if rel == nil {
		t.Fatal("no relationship accountleads")
	}
	a, l := allod.GUID{1}, allod.GUID{2}
	keys := map[string]allod.GUID{"account": a, "lead": l}
	ops := []source.Op{
		{Kind: source.OpCreate, Table: schema.Table("account"), Key: a, Cells: map[string]allod.Value{"name": allod.StringValue("A")}},
		{Kind: source.OpCreate, Table: schema.Table("lead"), Key: l, Cells: map[string]allod.Value{"lastname": allod.StringValue("L")}},
	}
	results, err := src.Apply(t.Context(), source.WriteOptions{}, ops)
	if err != nil || results[0].Err != nil || results[1].Err != nil {
		t.Fatal(err, results)
	}
	pair := source.Op{Kind: source.OpAssociate, Table: schema.Table("accountleads"), Relationship: rel, Key: keys[rel.Table1], Other: keys[rel.Table2]}
	for range 2 { // the second time it is there already
		results, err = src.Apply(t.Context(), source.WriteOptions{}, []source.Op{pair})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	rows, _, _ := readTable(t, src, source.ReadRequest{Table: schema.Table("accountleads")})
	if len(rows) != 1 || rows[0].Pair != [2]allod.GUID{keys[rel.Table1], keys[rel.Table2]} {
		t.Fatalf("got %d pairs: %+v", len(rows), rows)
	}
	pair.Kind = source.OpDissociate
	for range 2 {
		results, err = src.Apply(t.Context(), source.WriteOptions{}, []source.Op{pair})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
	if rows, _, _ = readTable(t, src, source.ReadRequest{Table: schema.Table("accountleads")}); len(rows) != 0 {
		t.Errorf("got %d pairs after removing the only one", len(rows))
	}
}

func TestConnectorNotesKeepTheirFiles(t *testing.T) {
	_, src, schema := connectReal(t, false, nil)
	note := schema.Table("annotation")
	id := allod.GUID{7}
	data := strings.Repeat("\x00\xff bytes of a note ", 5000)
	ops := []source.Op{
		{Kind: source.OpCreate, Table: note, Key: id, Cells: map[string]allod.Value{"subject": allod.StringValue("s"), "isdocument": allod.BooleanValue(true)}},
		{
			Kind: source.OpFile, Table: note, Key: id, Column: "documentbody", File: allod.FileRef{Name: "a b.bin", MIME: "application/octet-stream", Size: int64(len(data))},
			Content: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil },
		},
	}
	results, err := src.Apply(t.Context(), source.WriteOptions{}, ops)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	rows, _, _ := readTable(t, src, source.ReadRequest{Table: note})
	if len(rows) != 1 {
		t.Fatalf("got %d notes", len(rows))
	}
	ref, err := rows[0].Cell(note.ColumnIndex("documentbody")).FileRef()
	if err != nil {
		t.Fatal(err)
	}
	if ref.Name != "a b.bin" || ref.MIME != "application/octet-stream" || (ref.Size != int64(len(data)) && ref.Size != 0) || ref.SourceID == "" {
		t.Errorf("got %+v", ref)
	}
	f, err := src.OpenFile(t.Context(), note, &rows[0], "documentbody")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil || string(got) != data {
		t.Errorf("got %d bytes, want %d (%v)", len(got), len(data), err)
	}
}

func TestConnectorRights(t *testing.T) {
	_, src, schema := connectReal(t, false, func(o *emu.Options) {
		o.AppUsers = emu.DefaultAppUsers(1)
		o.AppUsers[0].Administrator = false
		o.AppUsers[0].Depth = map[string]string{"contact": emu.DepthLocal, "lead": emu.DepthNone}
	})
	r, err := src.Rights(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]source.Depth{"account": source.DepthGlobal, "contact": source.DepthLocal, "lead": source.DepthNone, "accountleads": source.DepthNone}
	for name, d := range want {
		if got := r.Depth[name]; got != d {
			t.Errorf("%s: got depth %d, want %d", name, got, d)
		}
	}
	less := map[string]bool{}
	for i := range schema.Tables {
		if n := schema.Tables[i].Name; r.Depth[n] != source.DepthGlobal && schema.Tables[i].Unreadable == "" {
			less[n] = true
		}
	}
	t.Logf("not seen in full: %s", strings.Join(slices.Sorted(maps.Keys(less)), " "))
}

// TestConnectorPassesItsChecks runs what "allod check source" runs.
func TestConnectorPassesItsChecks(t *testing.T) {
	_, src, schema := connectReal(t, true, nil)
	n := byte(0)
	checks := append(sourcecheck.Read(), sourcecheck.Write("account", func() allod.GUID { n++; return allod.GUID{0xcc, n, 6: 0x40, 8: 0x80} })...)
	for _, c := range checks {
		t.Run(c.Name, func(t *testing.T) {
			var s source.Source = described{src, schema}
			if strings.HasPrefix(c.Name, "schema") {
				s = src
			}
			err := c.Run(t.Context(), s)
			var skipped sourcecheck.Skipped
			if errors.As(err, &skipped) {
				t.Skip(err)
			}
			if err != nil {
				t.Errorf("%v (without it, %s)", err, c.Why)
			}
		})
	}
}

// described is a source whose schema is known, to save asking for it in every
// check.
type described struct {
	*dataverse.Source
	schema *allod.Schema
}

// Describe returns the known schema.
func (d described) Describe(context.Context) (*allod.Schema, error) { return d.schema, nil }
