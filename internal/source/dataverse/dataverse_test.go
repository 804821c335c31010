package dataverse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// service is a handler that answers by method and path (with the query where
// one is given), and notes what was asked.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	routes map[string]http.HandlerFunc
	asked  []*http.Request
	bodies []string
}

const api = "/api/data/v9.2/"

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{routes: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := readAll(r)
		s.mu.Lock()
		s.asked = append(s.asked, r)
		s.bodies = append(s.bodies, body)
		h := s.routes[r.Method+" "+strings.TrimPrefix(r.URL.Path, api)+"?"+r.URL.RawQuery]
		if h == nil {
			h = s.routes[r.Method+" "+strings.TrimPrefix(r.URL.Path, api)]
		}
		s.mu.Unlock()
		w.Header().Set("x-ms-service-request-id", "11111111-2222-3333-4444-555555555555")
		w.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
		if h == nil {
			t.Logf("not routed: %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":"0x8006088a","message":"Resource not found for the segment"}}`)
			return
		}
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func readAll(r *http.Request) string {
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

func (s *service) on(route string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[route] = h
}

func (s *service) json(route, body string) {
	s.on(route, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.ReplaceAll(body, "{B}", s.URL+api))
	})
}

func (s *service) fail(route string, status int, code string) {
	s.on(route, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%q,"message":"says Secret Name Ltd."}}`, code)
	})
}

func (s *service) source(t *testing.T) *dataverse.Source {
	t.Helper()
	src, err := dataverse.New(dataverse.Options{
		Environment: "contoso", URL: s.URL, Rand: func() float64 { return 0.5 },
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// accounts is a table as Describe would give it.
func accounts() *allod.Table {
	return &allod.Table{
		Name: "account", Set: "accounts", SchemaName: "Account", Key: "accountid", Title: "name", Tracking: true, Class: allod.ClassData,
		Columns: []allod.Column{
			{Name: "accountid", Type: allod.ID, Create: true},
			{Name: "doc", Type: allod.File, Native: "File"},
			{Name: "entityimage", Type: allod.File, Native: "Image", Create: true, Update: true},
			{Name: "modifiedon", Type: allod.DateTime},
			{Name: "name", Type: allod.String, Create: true, Update: true},
			{Name: "ownerid", Type: allod.Lookup, Create: true, Update: true, Bind: map[string]string{"systemuser": "ownerid", "team": "ownerid"}},
			{Name: "primarycontactid", Type: allod.Lookup, Create: true, Update: true, Bind: map[string]string{"contact": "primarycontactid"}},
			{Name: "revenue", Type: allod.Decimal, Create: true, Update: true},
			{Name: "statecode", Type: allod.Integer, Update: true},
			{Name: "statuscode", Type: allod.Integer, Create: true, Update: true},
			{Name: "doc_name", Type: allod.String, Derived: "kept with the file of doc"},
			{Name: "entityimage_timestamp", Type: allod.Integer, Derived: "part of the image column"},
			{Name: "entityimageid", Type: allod.ID, Derived: "part of the image column"},
		},
	}
}

func guid(t *testing.T, s string) allod.GUID {
	t.Helper()
	g, err := allod.ParseGUID(s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const (
	id1 = "49b0be2e-d01c-ed11-b83e-000d3a572421"
	id2 = "d5026a4d-d01c-ed11-b83e-000d3a572421"
	id3 = "2e451703-c486-e711-80e3-00155d9b4e5d"
)

func collect(t *testing.T, src *dataverse.Source, req source.ReadRequest) ([]source.Page, error) {
	t.Helper()
	var pages []source.Page
	for p, err := range src.Read(t.Context(), req) {
		if err != nil {
			return pages, err
		}
		pages = append(pages, p)
		if len(pages) > 50 {
			t.Fatal("does not end")
		}
	}
	return pages, nil
}

const page1 = `{"@odata.context":"{B}$metadata#accounts","value":[
 {"@odata.etag":"W/\"502186\"","name":"Contoso \u0141","revenue":20000.0000,"statecode":0,"statuscode":1,
  "_ownerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty":"ownerid",
  "_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"team","_ownerid_value":"` + id2 + `",
  "_primarycontactid_value":"` + id3 + `","modifiedon":"2023-04-07T21:59:01Z","accountid":"` + id1 + `",
  "doc":"` + id2 + `","doc_name":"a.pdf","entityimageid":"` + id3 + `","entityimage_timestamp":638000000000000001}
 ],"@odata.nextLink":"{B}accounts?$select=x&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%22%20/%3E"}`

const page2 = `{"value":[{"@odata.etag":"W/\"7\"","name":"","revenue":null,"accountid":"` + id2 + `","_ownerid_value":"` + id3 + `","_primarycontactid_value":null,"modifiedon":null,"doc":null,"entityimageid":null}]}`

func TestReadPages(t *testing.T) {
	s := newService(t)
	s.json("GET accounts", page1)
	const next = "$select=x&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%22%20/%3E"
	s.json("GET accounts?"+next, page2)
	src, table := s.source(t), accounts()
	pages, err := collect(t, src, source.ReadRequest{Table: table, PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(pages), 2; got != want {
		t.Fatalf("got %d pages, want %d", got, want)
	}
	var got []allod.Row
	for _, p := range pages {
		got = append(got, p.Rows...)
	}
	value := func(typ allod.Type, s string) allod.Value { return allod.TextValue(typ, s) }
	want := []allod.Row{
		{Table: "account", Key: guid(t, id1), Version: 502186, Modified: time.Date(2023, 4, 7, 21, 59, 1, 0, time.UTC), Cells: []allod.Value{
			allod.IDValue(guid(t, id1)), allod.FileValue(allod.FileRef{SourceID: id2, Name: "a.pdf"}),
			allod.FileValue(allod.FileRef{SourceID: id3 + "/638000000000000001"}),
			value(allod.DateTime, "2023-04-07T21:59:01Z"), allod.StringValue("Contoso Ł"),
			allod.LookupValue("team", guid(t, id2)), allod.LookupValue("contact", guid(t, id3)),
			value(allod.Decimal, "20000.0000"), allod.IntegerValue(0), allod.IntegerValue(1),
		}},
		{Table: "account", Key: guid(t, id2), Version: 7, Cells: []allod.Value{
			allod.IDValue(guid(t, id2)), allod.NullValue(), allod.NullValue(), allod.NullValue(), allod.StringValue(""),
			allod.LookupValue("", guid(t, id3)), allod.NullValue(), allod.NullValue(),
			{},
			{},
		}},
	}
	if d := cmp.Diff(got, want, cmp.Comparer(func(a, b allod.Value) bool { return a == b })); d != "" {
		t.Errorf("rows (-got +want):\n%s", d)
	}
	if pages[0].Last || !pages[1].Last || pages[0].Next.Kind != source.CursorNext {
		t.Errorf("got last %v, %v and cursor %q", pages[0].Last, pages[1].Last, pages[0].Next.Kind)
	}
	if got, want := s.asked[0].Header.Get("Prefer"), s.asked[1].Header.Get("Prefer"); got != want || !strings.Contains(got, "odata.maxpagesize=2") {
		t.Errorf("Prefer: got %q on the first page and %q on the second", got, want)
	}
	if got := s.asked[1].URL.RawQuery; got != next {
		t.Errorf("next link: got %q, want %q", got, next)
	}
	sel, _ := url.QueryUnescape(s.asked[0].URL.RawQuery)
	if got, want := sel, "$select=accountid,doc,modifiedon,name,_ownerid_value,_primarycontactid_value,revenue,statecode,statuscode,doc_name,entityimageid,entityimage_timestamp"; got != want {
		t.Errorf("select: got %q, want %q", got, want)
	}

	rest, err := collect(t, src, source.ReadRequest{Table: table, Cursor: pages[0].Next})
	if err != nil || len(rest) != 1 || len(rest[0].Rows) != 1 {
		t.Errorf("resumed: got %d pages, %v", len(rest), err)
	}
}

func TestDelta(t *testing.T) {
	s := newService(t)
	s.json("GET accounts", `{"value":[{"@odata.etag":"W/\"5\"","accountid":"`+id1+`"}],"@odata.deltaLink":"{B}accounts?$select=name&$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44"}`)
	const delta = "GET accounts?$select=name&$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44"
	s.json(delta, `{"value":[{"@odata.etag":"W/\"915244\"","name":"Monte","accountid":"`+id2+`"},
	  {"@odata.context":"{B}$metadata#accounts/$deletedEntity","id":"`+id3+`","reason":"deleted"}],
	  "@odata.deltaLink":"{B}accounts?$select=name&$deltatoken=919058%21x"}`)
	src, table := s.source(t), accounts()
	pages, err := collect(t, src, source.ReadRequest{Table: table, Track: true})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.asked[0].Header.Get("Prefer"), "odata.track-changes") {
		t.Errorf("no wish to track in %q", s.asked[0].Header.Get("Prefer"))
	}
	from := pages[0].Delta
	if from.Kind != source.CursorDelta {
		t.Fatalf("got cursor %q", from.Kind)
	}
	pages, err = collect(t, src, source.ReadRequest{Table: table, Cursor: from})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pages[0].Deleted, []allod.GUID{guid(t, id3)}; cmp.Diff(got, want) != "" {
		t.Errorf("deleted: got %v, want %v", got, want)
	}
	if len(pages[0].Rows) != 1 || !pages[0].Last || pages[0].Delta.Kind != source.CursorDelta {
		t.Errorf("got %d rows, last %v, delta %q", len(pages[0].Rows), pages[0].Last, pages[0].Delta.Kind)
	}
	for _, c := range []struct {
		status int
		code   string
		want   bool
	}{
		{400, "0x80044352", true},
		{410, "", true},
		{400, "0x0", true},
		{500, "0x80044352", true},
		{403, "0x80040220", false},
		{503, "", false},
		{404, "0x8006088a", false},
	} {
		s.fail(delta, c.status, c.code)
		_, err := collect(t, src, source.ReadRequest{Table: table, Cursor: from})
		if got := errors.Is(err, source.ErrDeltaExpired); err == nil || got != c.want {
			t.Errorf("status %d code %s: got expired %v (%v), want %v", c.status, c.code, got, err, c.want)
		}
	}
}
