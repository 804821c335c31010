package dataverse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"allod"
	"allod/internal/odata/batch"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// The ten traps of protocols/dataverse.md §15, each in short: the connector
// does not fall into them. Other tests go into them at length. That the service
// sets them stands in internal/emulator/dataverse/traps_test.go.

// apply carries out one operation; it must not fail as a whole.
func apply(t *testing.T, src *dataverse.Source, op source.Op) source.Result {
	t.Helper()
	res, err := src.Apply(t.Context(), source.WriteOptions{}, []source.Op{op})
	if err != nil {
		t.Fatal(err)
	}
	return res[0]
}

func named(name string) map[string]allod.Value {
	return map[string]allod.Value{"name": allod.StringValue(name)}
}

// noContent answers a write.
func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// 1. `If-None-Match: null` taken as a precondition.
func TestTrap01_IfNoneMatchNull(t *testing.T) {
	s := newService(t)
	s.on("PATCH accounts("+id1+")", noContent)
	if res := apply(t, s.source(t), source.Op{Kind: source.OpUpdate, Table: accounts(), Key: guid(t, id1), Version: 5, Cells: named("A")}); res.Err != nil {
		t.Fatal(res.Err)
	}
	for _, r := range s.asked {
		if got := r.Header.Get("If-None-Match"); got != "" && got != "null" {
			t.Errorf("%s %s: If-None-Match is %q beside If-Match %q", r.Method, r.URL.Path, got, r.Header.Get("If-Match"))
		}
	}
}

// 2. Confusing the two expiry clocks and the delete shape.
func TestTrap02_ExpiryAndDeletes(t *testing.T) {
	s := newService(t)
	s.json("GET accounts", `{"value":[],"@odata.deltaLink":"{B}accounts?$deltatoken=1"}`)
	s.json("GET accounts?$deltatoken=1", `{"value":[{"@odata.context":"{B}$metadata#accounts/$deletedEntity","id":"`+id3+`","reason":"deleted"}],"@odata.deltaLink":"{B}accounts?$deltatoken=2"}`)
	src := s.source(t)
	pages, err := collect(t, src, source.ReadRequest{Table: accounts(), Track: true})
	if err != nil {
		t.Fatal(err)
	}
	from := pages[0].Delta
	if pages, err = collect(t, src, source.ReadRequest{Table: accounts(), Cursor: from}); err != nil || !slices.Equal(pages[0].Deleted, []allod.GUID{guid(t, id3)}) {
		t.Errorf("got %v (%v), want the deletion of a row that was never seen", pages, err)
	}
	s.fail("GET accounts?$deltatoken=1", http.StatusBadRequest, "0x80044352")
	if _, err = collect(t, src, source.ReadRequest{Table: accounts(), Cursor: from}); !errors.Is(err, source.ErrDeltaExpired) {
		t.Errorf("got %v, want to be told to read whole again", err)
	}
	if got, want := src.Capabilities().DeltaLife, 7*24*time.Hour; got != want {
		t.Errorf("life of a token: got %v, want %v", got, want)
	}
}

// 3. Rebuilding or paging with own state.
func TestTrap03_Paging(t *testing.T) {
	s := newService(t)
	s.json("GET accounts", page1)
	const next = "$select=x&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%22%20/%3E"
	s.json("GET accounts?"+next, page2)
	if _, err := collect(t, s.source(t), source.ReadRequest{Table: accounts(), PageSize: 1}); err != nil {
		t.Fatal(err)
	}
	if got := s.asked[1].URL.RawQuery; got != next {
		t.Errorf("next page: got %q, want the link byte for byte", got)
	}
	for _, r := range s.asked {
		if q := r.URL.RawQuery; strings.Contains(q, "$top") || strings.Contains(q, "$skip=") || !strings.Contains(r.Header.Get("Prefer"), "odata.maxpagesize=1") {
			t.Errorf("asked %q with %q, want the page size in the preference of every page", q, r.Header.Get("Prefer"))
		}
	}
	s.json("GET accounts/$count", "\ufeff5000") // the count stops there, behind a byte order mark
	s.fail("GET RetrieveTotalRecordCount(EntityNames=@p1)", http.StatusBadRequest, "0x0")
	if n, err := s.source(t).Count(t.Context(), accounts()); n != -1 || err != nil {
		t.Errorf("count: got %d (%v), want that it is not known", n, err)
	}
}

// 4. Assuming unwritable columns raise errors.
func TestTrap04_UnwritableColumns(t *testing.T) {
	s := newService(t)
	s.on("PATCH accounts("+id1+")", noContent)
	made := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	cells := named("A")
	cells["modifiedon"] = allod.TextValue(allod.DateTime, "2001-02-03T04:05:06Z")
	table := accounts()
	table.Columns = append(table.Columns, allod.Column{Name: "overriddencreatedon", Type: allod.DateTime, Create: true})
	res := apply(t, s.source(t), source.Op{Kind: source.OpCreate, Table: table, Key: guid(t, id1), CreatedOn: made, Cells: cells})
	body := s.bodies[len(s.bodies)-1]
	for _, b := range s.bodies {
		if strings.Contains(b, `"name"`) {
			body = b
		}
	}
	if strings.Contains(body, "modifiedon") || !strings.Contains(body, `"overriddencreatedon":"2001-02-03T04:05:06Z"`) {
		t.Errorf("body: got %s, want the date of creation by its override and nothing that is dropped", body)
	}
	if !strings.Contains(res.Note, "modifiedon") {
		t.Errorf("note %q does not name what was left out", res.Note)
	}
}

// 5. Naming lookups after columns.
func TestTrap05_LookupNames(t *testing.T) {
	s := newService(t)
	s.json("GET EntityDefinitions(LogicalName='contact')", `{"EntitySetName":"contacts"}`)
	s.on("PATCH tasks("+id1+")", noContent)
	task := &allod.Table{Name: "task", Set: "tasks", Key: "activityid", Columns: []allod.Column{
		{Name: "activityid", Type: allod.ID, Create: true},
		{Name: "regardingobjectid", Type: allod.Lookup, Create: true, Update: true, Bind: map[string]string{"contact": "regardingobjectid_contact_task"}},
	}}
	if res := apply(t, s.source(t), source.Op{Kind: source.OpUpdate, Table: task, Key: guid(t, id1), Cells: map[string]allod.Value{"regardingobjectid": allod.LookupValue("contact", guid(t, id2))}}); res.Err != nil {
		t.Fatal(res.Err)
	}
	if got, want := s.bodies[len(s.bodies)-1], `{"regardingobjectid_contact_task@odata.bind":"/contacts(`+id2+`)"}`; got != want {
		t.Errorf("body: got %s, want %s", got, want)
	}
}

// 6. PATCH without If-Match resurrects deleted rows
func TestTrap06_PatchResurrects(t *testing.T) {
	s := newService(t)
	s.fail("PATCH accounts("+id1+")", http.StatusNotFound, "0x80040217")
	s.fail("GET accounts("+id1+")", http.StatusNotFound, "0x80040217")
	for version, want := range map[uint64]string{0: "*", 5: `W/"5"`} {
		s.asked = nil
		if res := apply(t, s.source(t), source.Op{Kind: source.OpUpdate, Table: accounts(), Key: guid(t, id1), Version: version, Cells: named("A")}); res.Err == nil {
			t.Error("a row that is gone was updated")
		}
		for _, r := range s.asked {
			if got := r.Header.Get("If-Match"); r.Method == http.MethodPatch && got != want {
				t.Errorf("update of version %d: If-Match is %q, want %q", version, got, want)
			}
		}
	}
	s.on("PATCH accounts("+id1+")", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("If-None-Match"); got != "*" {
			t.Errorf("create: If-None-Match is %q, want *", got)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	apply(t, s.source(t), source.Op{Kind: source.OpCreate, Table: accounts(), Key: guid(t, id1), Cells: named("A")})
}

// 7. Treating FetchXML output like OData.
func TestTrap07_FetchXMLOutput(t *testing.T) {
	s := newService(t)
	s.json("GET accounts", `{"value":[{"@odata.etag":"W/\"5\"","accountid":"`+id1+`","name":null}]}`)
	table := accounts()
	pages, err := collect(t, s.source(t), source.ReadRequest{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	row := &pages[0].Rows[0]
	if v := row.Cell(table.ColumnIndex("name")); !v.IsNull() || v.IsAbsent() {
		t.Error("a null that was said is not null")
	}
	if v := row.Cell(table.ColumnIndex("revenue")); !v.IsAbsent() {
		t.Error("a column that did not come is taken for a null")
	}
	for _, r := range s.asked {
		if strings.Contains(strings.ToLower(r.URL.RawQuery), "fetchxml") {
			t.Errorf("rows are read by FetchXML: %s", r.URL.RawQuery)
		}
	}
}

// 8. Rate-limit parsing.
func TestTrap08_RateLimits(t *testing.T) {
	s := newService(t)
	n := 0
	s.on("GET accounts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-ms-ratelimit-time-remaining-xrm-requests", "1,200.00")
		w.Header().Set("x-ms-ratelimit-burst-remaining-xrm-requests", "7999")
		if n++; n < 4 { // the first 429 is not the last
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"error":{"code":"0x80072322","message":"Number of requests exceeded the limit of 6000 over time window of 300 seconds."}}`)
			return
		}
		fmt.Fprint(w, `{"value":[]}`)
	})
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := began
	src, err := dataverse.New(dataverse.Options{
		Environment: "contoso", URL: s.URL, Now: func() time.Time { return now }, Rand: func() float64 { return 0 },
		Sleep: func(ctx context.Context, d time.Duration) error { now = now.Add(d); return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := collect(t, src, source.ReadRequest{Table: accounts()}); err != nil {
		t.Fatal(err)
	}
	if waited := now.Sub(began); n != 4 || waited < 21*time.Second || waited > time.Minute {
		t.Errorf("sent %d times, waited %v; want 4 and three times 7 s", n, waited)
	}
}

// 9. Batch details.
func TestTrap09_Batch(t *testing.T) {
	s := newService(t)
	s.identity()
	const tables = 40
	var list []string
	for i := range tables {
		list = append(list, fmt.Sprintf(`{"LogicalName":"t%d","SchemaName":"T%d","EntitySetName":"t%ds","PrimaryIdAttribute":"t%did","MetadataId":"%s"}`, i, i, i, i, id1))
	}
	s.json("GET EntityDefinitions", `{"value":[`+strings.Join(list, ",")+`]}`)
	var batches, singles atomic.Int64
	s.on("POST $batch", func(w http.ResponseWriter, r *http.Request) {
		body := s.batchBody()
		if strings.Contains(strings.ReplaceAll(body, "\r\n", ""), "\n") {
			t.Error("a line ends without a carriage return")
		}
		if got := r.Header.Get("Prefer"); !strings.Contains(got, "odata.continue-on-error") {
			t.Errorf("Prefer: got %q: the first refusal would end the batch", got)
		}
		parts, err := batch.ParseRequest(r.Header.Get("Content-Type"), []byte(body), batch.Options{})
		if err != nil || len(parts) > 1000 {
			t.Errorf("got %d parts (%v), want at most 1000", len(parts), err)
		}
		batches.Add(1)
		w.Header().Set("Content-Type", "multipart/mixed; boundary=batchresponse_1")
		w.WriteHeader(http.StatusBadRequest) // one part with an error for all of it, as when the preference is not kept
		fmt.Fprint(w, "--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 404 Not Found\r\nREQ_ID: 1\r\nContent-Type: application/json\r\n\r\n{\"error\":{\"code\":\"0x80060888\",\"message\":\"x\"}}\r\n--batchresponse_1--\r\n")
	})
	s.Config.Handler = counting(s.Config.Handler, func(r *http.Request) {
		if strings.Contains(r.URL.Path, "EntityDefinitions(") {
			singles.Add(1)
		}
	})
	if _, err := s.source(t).Describe(t.Context()); err != nil && allod.KindOf(err) == allod.Internal {
		t.Error(err)
	}
	if batches.Load() == 0 || singles.Load() == 0 {
		t.Errorf("%d batches, then %d single requests: want what a batch did not answer to be asked by itself", batches.Load(), singles.Load())
	}
}

// batchBody is the body of the newest batch; several may be under way.
func (s *service) batchBody() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.bodies) - 1; i >= 0; i-- {
		if strings.HasSuffix(s.asked[i].URL.Path, "$batch") {
			return s.bodies[i]
		}
	}
	return ""
}

// counting calls count before every request.
func counting(h http.Handler, count func(*http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count(r)
		h.ServeHTTP(w, r)
	})
}

// 10. Single-pass restore.
func TestTrap10_SinglePassRestore(t *testing.T) {
	s := newService(t)
	s.on("PATCH accounts("+id1+")", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `W/"6"`)
		w.WriteHeader(http.StatusNoContent)
	})
	s.json("GET accounts("+id1+")", `{"@odata.etag":"W/\"6\"","accountid":"`+id1+`"}`)
	state := map[string]allod.Value{"statecode": allod.IntegerValue(1), "statuscode": allod.IntegerValue(2)}
	src := s.source(t)
	cells := named("A")
	cells["statecode"] = allod.IntegerValue(1)
	res := apply(t, src, source.Op{Kind: source.OpCreate, Table: accounts(), Key: guid(t, id1), Cells: cells})
	for i, r := range s.asked {
		if r.Method == http.MethodPatch && strings.Contains(s.bodies[i], "statecode") {
			t.Errorf("made with its state in one pass: %s", s.bodies[i])
		}
	}
	if !strings.Contains(res.Note, "statecode") {
		t.Errorf("note %q does not say that the state is yet to come", res.Note)
	}
	if res := apply(t, src, source.Op{Kind: source.OpState, Table: accounts(), Key: guid(t, id1), Version: 6, Cells: state}); res.Err != nil {
		t.Error(res.Err)
	}
	if got, want := s.bodies[len(s.bodies)-1], `{"statecode":1,"statuscode":2}`; !slices.Contains(s.bodies, want) {
		t.Errorf("the pass for the state: got %s, want %s", got, want)
	}
}
