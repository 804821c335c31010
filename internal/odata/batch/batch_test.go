package batch_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/odata/batch"
)

// documented is the sample of protocols/dataverse.md §6.11.
const documented = `--batch_80dd
Content-Type: multipart/mixed; boundary="changeset_1"

--changeset_1
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

POST /api/data/v9.2/contacts HTTP/1.1
Content-Type: application/json; type=entry

{"lastname":"X"}
--changeset_1
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 2

PATCH $1 HTTP/1.1
Content-Type: application/json; type=entry

{"name":"A","primarycontactid@odata.bind":"$1"}
--changeset_1--
--batch_80dd
Content-Type: application/http
Content-Transfer-Encoding: binary

GET /api/data/v9.2/accounts?$select=name&$top=1 HTTP/1.1
Accept: application/json

--batch_80dd--
`

var parsed = []batch.Item{
	{ChangeSet: true, Operations: []batch.Operation{
		{
			ContentID: "1", Method: "POST", URL: "/api/data/v9.2/contacts",
			Header: http.Header{"Content-Type": {"application/json; type=entry"}}, Body: []byte(`{"lastname":"X"}`),
		},
		{
			ContentID: "2", Method: "PATCH", URL: "$1",
			Header: http.Header{"Content-Type": {"application/json; type=entry"}}, Body: []byte(`{"name":"A","primarycontactid@odata.bind":"$1"}`),
		},
	}},
	{Operations: []batch.Operation{
		{Method: "GET", URL: "/api/data/v9.2/accounts?$select=name&$top=1", Header: http.Header{"Accept": {"application/json"}}},
	}},
}

func TestParseRequest(t *testing.T) {
	crlf := strings.ReplaceAll(documented, "\n", "\r\n")
	for _, c := range []struct {
		name, contentType, body string
		strict, refused         bool
	}{
		{"CRLF, quoted boundary", `multipart/mixed; boundary="batch_80dd"`, crlf, false, false},
		{"CRLF, strict", `multipart/mixed;boundary=batch_80dd`, crlf, true, false},
		{"LF, tolerant", `multipart/mixed; boundary=batch_80dd`, documented, false, false},
		{"LF, strict", `multipart/mixed; boundary=batch_80dd`, documented, true, true},
		{"preamble and epilogue", `multipart/mixed; boundary=batch_80dd`, "hello\r\n" + crlf + "bye", true, false},
		{"no CRLF at the end, strict", `multipart/mixed; boundary=batch_80dd`, strings.TrimRight(crlf, "\r\n"), true, true},
		{"no CRLF at the end, tolerant", `multipart/mixed; boundary=batch_80dd`, strings.TrimRight(crlf, "\r\n"), false, false},
		{"other boundary", `multipart/mixed; boundary=other`, crlf, false, true},
		{"no boundary", `multipart/mixed`, crlf, false, true},
		{"other type", `application/json`, crlf, false, true},
		{"breaks off", `multipart/mixed; boundary=batch_80dd`, crlf[:len(crlf)-20], false, true},
		{"GET in change set", `multipart/mixed; boundary=batch_80dd`, strings.Replace(crlf, "PATCH $1", "GET $1", 1), false, true},
		{"nested batch", `multipart/mixed; boundary=batch_80dd`, strings.Replace(crlf, "PATCH $1", "POST /api/data/v9.2/$batch", 1), false, true},
		{
			"nested change set", `multipart/mixed; boundary=batch_80dd`,
			strings.Replace(crlf, "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 2", "Content-Type: multipart/mixed; boundary=x", 1), false, true,
		},
		{"a part of another type", `multipart/mixed; boundary=batch_80dd`, strings.Replace(crlf, "application/http", "text/plain", 1), false, true},
		{"a transfer encoding", `multipart/mixed; boundary=batch_80dd`, strings.Replace(crlf, "binary", "base64", 1), false, true},
		{
			"a length that lies", `multipart/mixed; boundary=batch_80dd`,
			strings.Replace(crlf, "Accept: application/json", "Content-Length: 99999999999999", 1), false, true,
		},
		{"no version", `multipart/mixed; boundary=batch_80dd`, strings.Replace(crlf, " HTTP/1.1", "", 1), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := batch.ParseRequest(c.contentType, []byte(c.body), batch.Options{RequireCRLF: c.strict})
			if c.refused {
				if allod.KindOf(err) != allod.Invalid {
					t.Fatalf("got %v, want an Invalid error", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, parsed); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestRoundTrip(t *testing.T) {
	body, err := batch.AppendRequest(nil, "batch_x", parsed)
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.IndexByte(bytes.ReplaceAll(body, []byte("\r\n"), nil), '\n'); i >= 0 {
		t.Error("a bare line feed in what was written")
	}
	got, err := batch.ParseRequest("multipart/mixed; boundary=batch_x", body, batch.Options{RequireCRLF: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, parsed); diff != "" {
		t.Error(diff)
	}
}

func TestResponse(t *testing.T) {
	items := []batch.ResultItem{
		{ChangeSet: true, Results: []batch.Result{
			{ContentID: "1", Status: 204, Header: http.Header{"Odata-Version": {"4.0"}, "Location": {"https://org/contacts(1)"}}},
			{ContentID: "2", Status: 204, Header: http.Header{}},
		}},
		{Results: []batch.Result{{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte("{\"value\":[\n]}")}}},
		{Results: []batch.Result{{Status: 412, Header: http.Header{}, Body: []byte(`{"error":{}}`)}}},
	}
	body, err := batch.AppendResponse(nil, "77aa", items)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--batchresponse_77aa\r\n", "--changesetresponse_77aa_1\r\n", "\r\nHTTP/1.1 412 Precondition Failed\r\n", "--batchresponse_77aa--\r\n"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("response lacks %q", want)
		}
	}
	got, err := batch.ParseResponse("multipart/mixed; boundary=batchresponse_77aa", body, batch.Options{RequireCRLF: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, items); diff != "" {
		t.Error(diff)
	}
}

func TestLimits(t *testing.T) {
	for _, n := range []int{batch.MaxOperations, batch.MaxOperations + 1} {
		var b strings.Builder
		for range n {
			fmt.Fprint(&b, "--b\r\nContent-Type: application/http\r\n\r\nGET x HTTP/1.1\r\n\r\n\r\n")
		}
		b.WriteString("--b--\r\n")
		items, err := batch.ParseRequest("multipart/mixed; boundary=b", []byte(b.String()), batch.Options{})
		if n <= batch.MaxOperations && (err != nil || len(items) != n) {
			t.Errorf("%d operations: got %d, %v", n, len(items), err)
		}
		if n > batch.MaxOperations && allod.KindOf(err) != allod.Invalid {
			t.Errorf("%d operations: got %v, want an Invalid error", n, err)
		}
		if _, err := batch.AppendRequest(nil, "b", items); err != nil {
			t.Errorf("write %d operations: %v", len(items), err)
		}
	}
	if _, err := batch.ParseRequest("multipart/mixed; boundary=b", make([]byte, 100), batch.Options{MaxBody: 99}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a body over the limit: got %v, want an Invalid error", err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(documented), true)
	f.Add([]byte(strings.ReplaceAll(documented, "\n", "\r\n")), false)
	f.Fuzz(func(t *testing.T, body []byte, strict bool) {
		items, err := batch.ParseRequest("multipart/mixed; boundary=batch_80dd", body, batch.Options{RequireCRLF: strict})
		if err != nil {
			if allod.KindOf(err) != allod.Invalid {
				t.Fatalf("got %v, want an Invalid error", err)
			}
			return
		}
		out, err := batch.AppendRequest(nil, "zzzzzzzz", items)
		if err != nil {
			return // e.g. a Content-ID or header value that a line cannot hold
		}
		again, err := batch.ParseRequest("multipart/mixed; boundary=zzzzzzzz", out, batch.Options{RequireCRLF: true})
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if diff := cmp.Diff(again, items); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n\r\n--b--\r\n"))
	f.Add([]byte("--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: application/http\n\nHTTP/1.1 400 Bad Request\n\n{}\n--c--\n--b--"))
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := batch.ParseResponse("multipart/mixed; boundary=b", body, batch.Options{})
		if err != nil {
			if allod.KindOf(err) != allod.Invalid {
				t.Fatalf("got %v, want an Invalid error", err)
			}
			return
		}
		out, err := batch.AppendResponse(nil, "zzzzzzzz", items)
		if err != nil {
			return
		}
		again, err := batch.ParseResponse("multipart/mixed; boundary=batchresponse_zzzzzzzz", out, batch.Options{RequireCRLF: true})
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if diff := cmp.Diff(again, items); diff != "" {
			t.Fatal(diff)
		}
	})
}
