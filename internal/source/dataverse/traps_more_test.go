package dataverse_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/source"
)

// The runner-ups of protocols/dataverse.md §15, as in traps_test.go.

// sent counts the requests of the given methods and returns the address of the last.
func (s *service) sent(methods ...string) (n int, last string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		if slices.Contains(methods, r.Method) {
			n, last = n+1, strings.TrimPrefix(r.URL.Path, api)
		}
	}
	return n, last
}

// described is the schema of tables that the service defines like this.
func (s *service) described(t *testing.T, tables map[string]string) *allod.Schema {
	t.Helper()
	s.identity()
	var list []string
	for name, more := range tables {
		head, rest, _ := strings.Cut(more, "\n")
		list = append(list, `{"LogicalName":"`+name+`",`+head+`}`)
		s.json("GET EntityDefinitions(LogicalName='"+name+"')", `{"LogicalName":"`+name+`",`+rest+`}`)
	}
	s.json("GET EntityDefinitions", `{"value":[`+strings.Join(list, ",")+`]}`)
	schema, err := s.source(t).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// 11. set names never guessed
func TestTrap11_SetNamesAreNeverGuessed(t *testing.T) {
	s := newService(t)
	schema := s.described(t, map[string]string{
		"webresource": `"EntitySetName":"webresourceset","PrimaryIdAttribute":"webresourceid"` + "\n" + `"Attributes":[{"LogicalName":"webresourceid","AttributeType":"Uniqueidentifier","IsValidForRead":true}]`,
		"nameless":    `"EntitySetName":"","PrimaryIdAttribute":"namelessid"` + "\n" + `"Attributes":[{"LogicalName":"namelessid","AttributeType":"Uniqueidentifier","IsValidForRead":true}]`,
	})
	s.json("GET webresourceset", `{"value":[{"webresourceid":"`+id1+`"}]}`)
	if pages, err := collect(t, s.source(t), source.ReadRequest{Table: schema.Table("webresource")}); err != nil || len(pages[0].Rows) != 1 {
		t.Errorf("a table whose set has a name of its own: got %v (%v)", pages, err)
	}
	before, _ := s.sent("GET")
	if _, err := collect(t, s.source(t), source.ReadRequest{Table: schema.Table("nameless")}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a table without a set: got %v, want Invalid", err)
	}
	if n, last := s.sent("GET"); n != before {
		t.Errorf("a name was made up: %s", last)
	}

	// In a process that has not read the schema, the service is asked.
	table := &allod.Table{Name: "account", Set: "accounts", Key: "accountid", Columns: []allod.Column{
		{Name: "accountid", Type: allod.ID, Create: true},
		{Name: "page", Type: allod.Lookup, Update: true, Bind: map[string]string{"webresource": "Page", "nameless": "Page"}},
	}}
	s.on("PATCH accounts("+id1+")", noContent)
	for target, kind := range map[string]allod.Kind{"webresource": 0, "nameless": allod.Invalid} {
		before, _ := s.sent("PATCH")
		s.json("GET EntityDefinitions(LogicalName='"+target+"')", `{"EntitySetName":"`+schema.Table(target).Set+`"}`)
		res := apply(t, s.source(t), source.Op{Kind: source.OpUpdate, Table: table, Key: guid(t, id1), Cells: map[string]allod.Value{"page": allod.LookupValue(target, guid(t, id2))}})
		if got := allod.KindOf(res.Err); got != kind {
			t.Errorf("a reference to %s: got %v", target, res.Err)
		}
		switch n, _ := s.sent("PATCH"); {
		case kind != 0 && n != before:
			t.Errorf("a reference to %s was written: %s", target, s.bodies[len(s.bodies)-1])
		case kind == 0 && s.bodies[len(s.bodies)-1] != `{"Page@odata.bind":"/webresourceset(`+id2+`)"}`:
			t.Errorf("a reference to %s: got %s", target, s.bodies[len(s.bodies)-1])
		}
	}
}

// 12. systemuser key is `ownerid` in CSDL
func TestTrap12_KeyOfUsers(t *testing.T) {
	for member, row := range map[string]string{
		"both":                  `"systemuserid":"` + id1 + `","ownerid":"` + id1 + `"`,
		"that of the metadata":  `"systemuserid":"` + id1 + `"`,
		"that of the CSDL only": `"ownerid":"` + id1 + `"`,
	} {
		s := newService(t)
		row = `{"@odata.etag":"W/\"5\"",` + row + `,"nickname":"A"}`
		s.json("GET systemusers", `{"value":[`+row+`]}`)
		s.json("GET systemusers("+id1+")", row)
		s.on("PATCH systemusers("+id1+")", noContent)
		user := &allod.Table{Name: "systemuser", Set: "systemusers", Key: "systemuserid", Columns: []allod.Column{
			{Name: "systemuserid", Type: allod.ID, Create: true}, {Name: "nickname", Type: allod.String, Create: true, Update: true},
		}}
		src := s.source(t)
		pages, err := collect(t, src, source.ReadRequest{Table: user})
		if err != nil || len(pages[0].Rows) != 1 || pages[0].Rows[0].Key != guid(t, id1) {
			t.Errorf("%s: got %v (%v), want the row under its key", member, pages, err)
		}
		if rows, err := src.Get(t.Context(), user, []allod.GUID{guid(t, id1)}, nil); err != nil || len(rows) != 1 || rows[0].Key != guid(t, id1) {
			t.Errorf("%s: one row: got %v (%v)", member, rows, err)
		}
		if res := apply(t, src, source.Op{Kind: source.OpUpdate, Table: user, Key: guid(t, id1), Version: 5, Cells: map[string]allod.Value{"nickname": allod.StringValue("B")}}); res.Err != nil {
			t.Errorf("%s: an address by the bare id: %v", member, res.Err)
		}
		for _, r := range s.asked {
			if strings.Contains(r.URL.Path, "id=") {
				t.Errorf("%s: addressed by a named key: %s", member, r.URL.Path)
			}
		}
	}
}

// 13. AttributeType "Virtual" hides File/Image/MultiSelect
func TestTrap13_VirtualColumns(t *testing.T) {
	hidden := map[string]allod.Type{"File": allod.File, "Image": allod.File, "MultiSelectPicklist": allod.Choices}
	for _, form := range []string{
		`"AttributeTypeName":{"Value":"%sType"}`,
		`"@odata.type":"#Microsoft.Dynamics.CRM.%sAttributeMetadata","AttributeTypeName":null`,
	} {
		attributes := []string{`{"LogicalName":"thingid","AttributeType":"Uniqueidentifier","IsValidForRead":true}`, `{"LogicalName":"label","AttributeType":"Virtual","AttributeOf":"thingid","IsValidForRead":true}`}
		for kind := range hidden {
			attributes = append(attributes, fmt.Sprintf(`{"LogicalName":%q,"AttributeType":"Virtual","IsValidForRead":true,`+form+`}`, "x"+strings.ToLower(kind), kind))
		}
		s := newService(t)
		thing := s.described(t, map[string]string{"thing": `"EntitySetName":"things","PrimaryIdAttribute":"thingid"` + "\n" + `"Attributes":[` + strings.Join(attributes, ",") + `]`}).Table("thing")
		for kind, want := range hidden {
			if c := thing.Column("x" + strings.ToLower(kind)); c == nil || c.Type != want || c.Derived != "" || c.Unreadable != "" {
				t.Errorf("%s by %s: got %+v, want it kept as %v", kind, form, c, want)
			}
		}
		if c := thing.Column("label"); c == nil || c.Derived == "" {
			t.Errorf("a column that is a label: got %+v, want it left out", c)
		}
	}
}

// notes is the table of notes as Describe would give it.
func notes() *allod.Table {
	return &allod.Table{Name: "annotation", Set: "annotations", Key: "annotationid", Tracking: true, Columns: []allod.Column{
		{Name: "annotationid", Type: allod.ID, Create: true},
		{Name: "documentbody", Type: allod.File, Native: "String", Create: true, Update: true},
		{Name: "filesize", Type: allod.Integer},
		{Name: "isdocument", Type: allod.Boolean, Create: true, Update: true},
		{Name: "createdon", Type: allod.DateTime},
	}}
}

// 14. `documentbody/$value` returns Base64 text
func TestTrap14_BodiesAreText(t *testing.T) {
	data := []byte("\x00\xff%PDF, and what looks like text: aGVsbG8=")
	text := base64.StdEncoding.EncodeToString(data)
	for name, c := range map[string]struct {
		answer string
		want   []byte
	}{
		"text":                 {text, data},
		"with a mark in front": {"\ufeff" + text, data},
		"in lines":             {text[:20] + "\r\n" + text[20:] + "\r\n", data},
		"bytes":                {string(data), nil},
		"cut off":              {text[:21], nil},
	} {
		s := newService(t)
		s.on("GET annotations("+id1+")/documentbody/$value", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, c.answer)
		})
		f, err := s.source(t).OpenFile(t.Context(), notes(), &allod.Row{Table: "annotation", Key: guid(t, id1)}, "documentbody")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		switch {
		case c.want == nil && allod.KindOf(err) != allod.Unavailable:
			t.Errorf("%s: got %d bytes (%v), want to be told that it is no base64", name, len(got), err)
		case c.want != nil && (err != nil || !bytes.Equal(got, c.want)):
			t.Errorf("%s: got %q (%v), want %q", name, got, err, c.want)
		}
	}
	s := newService(t)
	s.on("PATCH annotations("+id1+")", noContent)
	res := apply(t, s.source(t), source.Op{
		Kind: source.OpFile, Table: notes(), Key: guid(t, id1), Version: 5, Column: "documentbody", File: allod.FileRef{Size: int64(len(data))},
		Content: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	})
	if got := s.bodies[len(s.bodies)-1]; res.Err != nil || !strings.Contains(got, `"documentbody":"`+text+`"`) {
		t.Errorf("written: %s (%v), want the same text", got, res.Err)
	}
}

// 15. audit old values truncated and without actor via Web API
func TestTrap15_AuditIsAListOfRows(t *testing.T) {
	s := newService(t)
	attribute := func(name, kind string) string {
		return `{"LogicalName":"` + name + `","AttributeType":"` + kind + `","IsValidForRead":true}`
	}
	schema := s.described(t, map[string]string{"audit": `"EntitySetName":"audits","PrimaryIdAttribute":"auditid"` + "\n" +
		`"Attributes":[` + attribute("auditid", "Uniqueidentifier") + "," + attribute("userid", "Lookup") + "," + attribute("changedata", "Memo") + `],` +
		`"ManyToOneRelationships":[{"SchemaName":"u","ReferencedEntity":"systemuser","ReferencingAttribute":"userid","ReferencingEntity":"audit","ReferencingEntityNavigationPropertyName":"userid"}]`})
	table := schema.Table("audit")
	short := strings.Repeat("x", 5000) + "…"
	s.json("GET audits", `{"value":[{"auditid":"`+id1+`","_userid_value":"`+id2+`","changedata":"`+short+`"}]}`)
	s.asked = nil
	pages, err := collect(t, s.source(t), source.ReadRequest{Table: table})
	if err != nil || len(pages[0].Rows) != 1 {
		t.Fatal(err, pages)
	}
	row := &pages[0].Rows[0]
	if target, id := row.Cell(table.ColumnIndex("userid")).Target(); target != "systemuser" || id != guid(t, id2) {
		t.Errorf("who it was: got %q %s", target, id)
	}
	if got := row.Cell(table.ColumnIndex("changedata")).Text(); got != short || row.Version != 0 {
		t.Errorf("got %d characters and version %d, want what came, and none", len(got), row.Version)
	}
	for _, r := range s.asked { // no values are taken out of the histories
		if got := strings.TrimPrefix(r.URL.Path, api); got != "audits" {
			t.Errorf("asked %s", got)
		}
	}
	if table.Class == allod.ClassData || table.Class == allod.ClassLink {
		t.Errorf("the log counts as %v: a restore would take values from it", table.Class)
	}
}

// 16. dup detection 412 vs 500
func TestTrap16_DuplicateDetection(t *testing.T) {
	for _, status := range []int{http.StatusPreconditionFailed, http.StatusInternalServerError} {
		for _, kind := range []source.OpKind{source.OpCreate, source.OpUpdate} {
			s := newService(t)
			s.fail("PATCH accounts("+id1+")", status, "0x80040333")
			s.json("GET accounts("+id1+")", `{"@odata.etag":"W/\"5\"","accountid":"`+id1+`","name":"before"}`)
			res := apply(t, s.source(t), source.Op{Kind: kind, Table: accounts(), Key: guid(t, id1), Version: 5, Cells: named("A")})
			// Not Conflict, which means that this very row is not as planned.
			if got := allod.KindOf(res.Err); got != allod.Invalid || !strings.Contains(allod.HintOf(res.Err), "duplicate") {
				t.Errorf("%s answered %d: got %v: %v", kind, status, got, res.Err)
			}
			if n, _ := s.sent("PATCH"); n != 1 {
				t.Errorf("%s answered %d: sent %d times, want once: it was answered", kind, status, n)
			}
		}
	}
	s := newService(t)
	s.fail("PATCH accounts("+id1+")", http.StatusPreconditionFailed, "0x80060882")
	if res := apply(t, s.source(t), source.Op{Kind: source.OpUpdate, Table: accounts(), Key: guid(t, id1), Version: 5, Cells: named("A")}); allod.KindOf(res.Err) != allod.Conflict {
		t.Errorf("412 of a row that was changed: got %v, want Conflict", res.Err)
	}
}

// 17. intersect sets are read-only (`$ref` only)
func TestTrap17_PairsByReference(t *testing.T) {
	rel := &allod.Relationship{Name: "accountleads_association", Intersect: "accountleads", Table1: "account", Table2: "lead", Column1: "accountid", Column2: "leadid", Bind1: "accountleads_association", Bind2: "accountleads_association"}
	for name, c := range map[string]struct {
		status int
		code   string
		kind   allod.Kind
	}{
		"made":                   {204, "", 0},
		"there, as 412":          {412, "0x80040237", 0},
		"there, as 400":          {400, "0x80040237", 0},
		"refused, as 412":        {412, "0x80060882", allod.Conflict},
		"a duplicate of another": {412, "0x80040333", allod.Invalid},
		"a set of pairs":         {400, "0x8004830F", allod.Invalid},
	} {
		s := newService(t)
		s.json("GET EntityDefinitions(LogicalName='account')", `{"EntitySetName":"accounts"}`)
		s.json("GET EntityDefinitions(LogicalName='lead')", `{"EntitySetName":"leads"}`)
		const at = "accounts(" + id1 + ")/accountleads_association/$ref"
		s.fail("POST "+at, c.status, c.code)
		if c.status == 204 {
			s.on("POST "+at, noContent)
		}
		res := apply(t, s.source(t), source.Op{Kind: source.OpAssociate, Table: accounts(), Relationship: rel, Key: guid(t, id1), Other: guid(t, id2)})
		if got := allod.KindOf(res.Err); got != c.kind {
			t.Errorf("%s: got %v (%v)", name, got, res.Err)
		}
		if n, last := s.sent("POST", "PATCH", "PUT"); n != 1 || last != at {
			t.Errorf("%s: %d writes, the last to %s", name, n, last)
		}
	}
	pairs := &allod.Table{Name: "accountleads", Set: "accountleadscollection", Key: "accountleadid", Intersect: true, Columns: []allod.Column{
		{Name: "accountid", Type: allod.ID, Create: true}, {Name: "accountleadid", Type: allod.ID, Create: true}, {Name: "leadid", Type: allod.ID, Create: true},
	}}
	for _, kind := range []source.OpKind{source.OpCreate, source.OpUpdate, source.OpDelete, source.OpState} {
		s := newService(t)
		res := apply(t, s.source(t), source.Op{Kind: kind, Table: pairs, Key: guid(t, id1), Cells: map[string]allod.Value{"leadid": allod.IDValue(guid(t, id2))}})
		if allod.KindOf(res.Err) != allod.Invalid {
			t.Errorf("%s: got %v, want Invalid", kind, res.Err)
		}
		if len(s.asked) != 0 {
			t.Errorf("%s was sent: %s %s", kind, s.asked[0].Method, s.asked[0].URL.Path)
		}
	}
}

// 18. aggregates stop at 50,000
func TestTrap18_Aggregates(t *testing.T) {
	const rows, most = 130_000, 50_000 // one an hour
	first := time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC)
	between := regexp.MustCompile(`createdon ge (\S+) and createdon lt ([^)\s]+)`)
	hours := func(text string) int {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Error(err)
		}
		return min(max(int((at.Sub(first)+time.Hour-1)/time.Hour), 0), rows)
	}
	s := newService(t)
	s.on("GET annotations", func(w http.ResponseWriter, r *http.Request) {
		n := rows
		if m := between.FindStringSubmatch(r.URL.Query().Get("$apply")); m != nil {
			n = hours(m[2]) - hours(m[1])
		}
		if n > most {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"code":"0x8004E023","message":"The maximum record limit is exceeded. Reduce the number of records."}}`)
			return
		}
		fmt.Fprintf(w, `{"value":[{"n":%d,"bytes":%d}]}`, n, n*10)
	})
	schema := &allod.Schema{Tables: []allod.Table{*notes()}}
	sizes, err := s.source(t).FileSizes(t.Context(), schema)
	if got, want := sizes["annotation"], (source.FileSize{Files: rows, Bytes: rows * 10}); err != nil || got != want {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	s.fail("GET annotations", http.StatusBadRequest, "0x8004E023") // whatever it is asked
	if sizes, err := s.source(t).FileSizes(t.Context(), schema); err != nil || len(sizes) != 0 {
		t.Errorf("a service that never adds up: got %v (%v), want nothing and not a part", sizes, err)
	}
}

// 19. weak ETag is not an order
func TestTrap19_EtagsAreNoOrder(t *testing.T) {
	// A row found afterwards with a smaller etag was written as well as one with a greater.
	for tag, sends := range map[string]int{"9": 1, "4": 1, "5": 2} {
		s := newService(t)
		n := 0
		s.on("PATCH accounts("+id1+")", func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("If-Match"); got != `W/"5"` {
				t.Errorf("If-Match: got %q", got)
			}
			if n++; n == 1 {
				w.WriteHeader(http.StatusBadGateway) // the answer is lost
				return
			}
			w.WriteHeader(http.StatusNoContent)
		})
		s.json("GET accounts("+id1+")", `{"@odata.etag":"W/\"`+tag+`\"","accountid":"`+id1+`","name":"A"}`)
		res := apply(t, s.source(t), source.Op{Kind: source.OpUpdate, Table: accounts(), Key: guid(t, id1), Version: 5, Cells: named("A")})
		if res.Err != nil || n != sends {
			t.Errorf("found with etag %s: sent %d times (%v), want %d", tag, n, res.Err, sends)
		}
	}
	// Neither does a row count as untouched because its etag is smaller.
	cases := &allod.Table{Name: "incident", Set: "incidents", Key: "incidentid", Columns: []allod.Column{
		{Name: "incidentid", Type: allod.ID, Create: true}, {Name: "statecode", Type: allod.Integer, Update: true}, {Name: "statuscode", Type: allod.Integer, Update: true},
	}}
	for _, tag := range []string{"4", "6"} {
		s := newService(t)
		s.json("GET incidents("+id1+")", `{"@odata.etag":"W/\"`+tag+`\"","incidentid":"`+id1+`","statecode":0}`)
		res := apply(t, s.source(t), source.Op{Kind: source.OpState, Table: cases, Key: guid(t, id1), Version: 5, Cells: map[string]allod.Value{"statecode": allod.IntegerValue(1), "statuscode": allod.IntegerValue(5)}})
		if n, _ := s.sent("POST", "PATCH"); allod.KindOf(res.Err) != allod.Conflict || n != 0 {
			t.Errorf("planned against 5, found %s: %d writes, %v; want Conflict", tag, n, res.Err)
		}
	}
	// Changed rows come as they are said, older etags too, and one that is no
	// number is told from another one.
	s := newService(t)
	marks := map[string]bool{}
	for _, tag := range []string{`W/\"9\"`, `W/\"4\"`, `W/\"a1\"`, `W/\"b2\"`} {
		s.json("GET annotations", `{"value":[{"@odata.etag":"`+tag+`","annotationid":"`+id1+`","filesize":5,"isdocument":true}]}`)
		pages, err := collect(t, s.source(t), source.ReadRequest{Table: notes()})
		if err != nil || len(pages[0].Rows) != 1 {
			t.Fatalf("etag %s: got %v (%v)", tag, pages, err)
		}
		file, err := pages[0].Rows[0].Cell(notes().ColumnIndex("documentbody")).FileRef()
		if err != nil || file.SourceID == "" || marks[file.SourceID] {
			t.Errorf("etag %s: the body is marked %q (%v), as before", tag, file.SourceID, err)
		}
		marks[file.SourceID] = true
	}
	s.json("GET annotations", `{"value":[{"annotationid":"`+id1+`","filesize":5,"isdocument":true}]}`)
	pages, err := collect(t, s.source(t), source.ReadRequest{Table: notes()})
	if err != nil {
		t.Fatal(err)
	}
	if file, err := pages[0].Rows[0].Cell(notes().ColumnIndex("documentbody")).FileRef(); err != nil || file.SourceID != "" {
		t.Errorf("no etag: the body is marked %q (%v) and would not be read again", file.SourceID, err)
	}
}

// 20. UpsertMultiple returns 204 with no ids
func TestTrap20_WritesNeedNoIDs(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"nothing said": noContent,
		"another id said": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("OData-EntityId", "http://"+r.Host+api+"accounts("+id3+")")
			w.WriteHeader(http.StatusNoContent)
		},
		"the row": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"@odata.etag":"W/\"6\"","accountid":%q}`, regexp.MustCompile(`\((.*)\)`).FindStringSubmatch(r.URL.Path)[1])
		},
	} {
		s := newService(t)
		var ops []source.Op
		for _, id := range []string{id1, id2} {
			s.on("PATCH accounts("+id+")", answer)
			ops = append(ops,
				source.Op{Kind: source.OpCreate, Table: accounts(), Key: guid(t, id), Cells: named("A")},
				source.Op{Kind: source.OpUpdate, Table: accounts(), Key: guid(t, id), Cells: named("B")})
		}
		results, err := s.source(t).Apply(t.Context(), source.WriteOptions{}, ops)
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(0) // not known
		if name == "the row" {
			want = 6
		}
		for i, res := range results {
			if res.Err != nil || res.Version != want {
				t.Errorf("%s: op %d: version %d (%v), want %d", name, i, res.Version, res.Err, want)
			}
		}
		seen := map[string]int{}
		for _, r := range s.asked {
			seen[r.Method+" "+strings.TrimPrefix(r.URL.Path, api)]++
		}
		if seen["PATCH accounts("+id1+")"] != 2 || seen["PATCH accounts("+id2+")"] != 2 || len(seen) != 2 {
			t.Errorf("%s: asked %v, want each row under the id it was given", name, seen)
		}
	}
}
