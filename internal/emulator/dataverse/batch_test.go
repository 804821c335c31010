package dataverse_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"allod/internal/emulator"
	dvemu "allod/internal/emulator/dataverse"
)

// reply is an answer that was not sent over a connection.
type reply struct {
	StatusCode int
	Header     http.Header
	Body       *bytes.Buffer
}

func direct(t *testing.T, h http.Handler, path string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/data/v9.2/"+path, nil)
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Result().Header, w.Body}
}

func op(id, method, url, body string) string {
	head := "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
	if id != "" {
		head += "Content-ID: " + id + "\r\n"
	}
	return head + "\r\n" + method + " " + url + " HTTP/1.1\r\nContent-Type: application/json\r\n\r\n" + body + "\r\n"
}

func changeSet(ops ...string) string {
	b := "Content-Type: multipart/mixed; boundary=\"cs\"\r\n\r\n"
	for _, o := range ops {
		b += "--cs\r\n" + o
	}
	return b + "--cs--\r\n"
}

func (c *client) batch(status int, prefer string, parts ...string) answer {
	c.t.Helper()
	b := ""
	for _, p := range parts {
		b += "--b\r\n" + p
	}
	return c.want(status, "POST", "$batch", b+"--b--\r\n", "Content-Type", `multipart/mixed; boundary="b"`, "Prefer", prefer)
}

func TestBatch(t *testing.T) {
	c := start(t, dvemu.Options{})
	a := c.batch(200, "",
		changeSet(
			op("1", "POST", "/api/data/v9.2/contacts", `{"lastname":"X"}`),
			op("2", "POST", c.url+"/api/data/v9.2/accounts", `{"name":"A","primarycontactid@odata.bind":"$1"}`)),
		op("", "GET", "accounts?$select=name&$expand=primarycontactid($select=lastname)", ""))
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/mixed; boundary=batchresponse_") || !strings.Contains(a.Body, "changesetresponse_") {
		t.Errorf("boundaries: %v %s", a.Header, a.Body)
	}
	if !strings.Contains(a.Body, `"lastname":"X"`) || !strings.Contains(a.Body, "HTTP/1.1 204 No Content") || !strings.Contains(a.Body, "Content-ID: 2") {
		t.Errorf("got %s", a.Body)
	}
}

func TestBatchChangeSetIsAtomic(t *testing.T) {
	c := start(t, dvemu.Options{})
	bad := changeSet(op("1", "POST", "accounts", `{"name":"A"}`), op("2", "POST", "accounts", `{"nope":1}`))
	get := op("", "GET", "accounts/$count", "")
	a := c.batch(400, "", bad, get)
	if n := strings.Count(a.Body, "HTTP/1.1"); n != 1 || !strings.Contains(a.Body, "0x80048d19") || !strings.Contains(a.Body, "REQ_ID") {
		t.Errorf("stopped batch: got %s", a.Body)
	}
	a = c.batch(200, "odata.continue-on-error", bad, get)
	if n := strings.Count(a.Body, "HTTP/1.1"); n != 2 || !strings.Contains(a.Body, "\uFEFF0") {
		t.Errorf("continued batch: got %s", a.Body)
	}
	a = c.batch(400, "", changeSet(op("1", "PATCH", "accounts(11111111-1111-1111-1111-111111111111)", `{"primarycontactid@odata.bind":"$9"}`)))
	if !strings.Contains(a.Body, "Content-ID Reference: '$9' does not exist in the batch context.") {
		t.Errorf("got %s", a.Body)
	}
}

func TestFaults(t *testing.T) {
	c := start(t, dvemu.Options{})
	for range 3 {
		c.want(204, "POST", "accounts", `{"name":"A","description":"`+strings.Repeat("long enough to be compressed ", 100)+`"}`)
	}
	set := func(f ...emulator.Fault) {
		t.Helper()
		if err := c.srv.SetFaults(f); err != nil {
			t.Fatal(err)
		}
	}
	set(emulator.Fault{Table: "accounts", Nth: 2, Kind: "status", Status: 503})
	c.want(200, "GET", "accounts", "")
	c.want(503, "GET", "accounts", "")
	c.want(200, "GET", "accounts", "")
	set(emulator.Fault{Kind: "throttle", RetryAfter: 7, Count: 2})
	if a := c.want(429, "GET", "accounts", ""); a.Header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After: %v", a.Header)
	}
	set(emulator.Fault{Kind: "html"})
	if a := c.want(200, "GET", "accounts", ""); !strings.HasPrefix(a.Body, "<!DOCTYPE") {
		t.Errorf("got %s", a.Body)
	}
	set(emulator.Fault{Kind: "cyclic"})
	a := c.want(200, "GET", "accounts?$select=description", "", "Prefer", "odata.maxpagesize=1")
	if got := a.json()["@odata.nextLink"]; got != c.url+"/api/data/v9.2/accounts?$select=description" {
		t.Errorf("nextLink: got %v", got)
	}
	for _, kind := range []string{"reset", "reset-after", "truncate"} {
		set(emulator.Fault{Kind: kind})
		req, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/api/data/v9.2/accounts", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer x")
		res, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			continue
		}
		var buf [1 << 16]byte
		for err == nil {
			_, err = res.Body.Read(buf[:])
		}
		_ = res.Body.Close()
		if err.Error() == "EOF" {
			t.Errorf("%s: the body came whole", kind)
		}
	}
	if err := c.srv.SetFaults([]emulator.Fault{{Kind: "no such"}}); err == nil {
		t.Error("unknown kind accepted")
	}
}
