package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// contactsAgain is a backup that reads every contact.
var contactsAgain = []string{"backup", "demo", "--full", "--table", "contact"}

// request names what every error of reading contacts names: environment, table
// and request.
const request = "demo, table contact: GET contacts?$select"

// strikes backs contacts up twice: while a fault strikes every answer, which
// ends the backup with code, and while it strikes those about contacts, which
// is a gap.
func (r *rough) strikes(code int, says string, fault map[string]any) {
	r.t.Helper()
	fault["count"], fault["path"] = -1, "/api/data"
	r.co.faults([]map[string]any{fault})
	r.allod(code, []string{"back up demo: read the schema", ": GET ", says}, contactsAgain...)
	fault["path"] = `/contacts\?`
	r.co.faults([]map[string]any{fault})
	r.allod(3, []string{request, says}, contactsAgain...)
	r.co.faults(nil)
}

// Nobody listens there, something else does, it leads elsewhere, or it is no
// address at all. Nothing is connected.
func wrongURL(t *testing.T, r *rough) {
	gone := httptest.NewServer(nil)
	gone.Close()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html><title>Welcome</title>")
	}))
	defer site.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	moved := httptest.NewServer(http.RedirectHandler("https://elsewhere.example/", http.StatusFound))
	defer moved.Close()
	plain := strings.Replace(r.co.url, "http:", "https:", 1)
	const asked = "connect crm: crm: GET WhoAmI"
	r.allod(8, []string{asked, "no connection"}, "connect", "crm", gone.URL)
	r.allod(2, []string{asked, "a web page came instead of data"}, "connect", "crm", site.URL)
	r.allod(5, []string{asked, "404"}, "connect", "crm", missing.URL)
	r.allod(2, []string{asked, "302"}, "connect", "crm", moved.URL)
	r.allod(2, []string{"not an address"}, "connect", "crm", "contoso.crm4.dynamics.com")
	r.secret = "anything"
	r.allod(8, []string{"crm", "does not speak TLS"}, "connect", "crm", plain, "--tenant-id", tenantID, "--client-id", clientID, "--authority", plain)
	r.desk.reopen()
	if got := r.desk.Environments(); len(got) != 1 {
		t.Errorf("connected are %v", got)
	}
}

// The secret is wrong, or the application or its tenant is another; it is told
// with the code of Microsoft Entra and what to do about it.
func wrongSecret(t *testing.T, r *rough) {
	s := startSecure(t, r.clock, nil)
	connect := func(tenant, client string) []string {
		return []string{"connect", "secure", s.url, "--tenant-id", tenant, "--client-id", client, "--authority", s.url, "--ca-file", s.ca}
	}
	r.secret = "no-secret"
	r.allod(4, []string{"sign in to secure", "AADSTS7000215", "give the secret's value"}, connect(tenantID, clientID)...)
	r.secret = "secret-1"
	r.allod(4, []string{"sign in to secure", "AADSTS700016", "check the client id"}, connect(tenantID, "00000000-0000-4000-a000-000000000099")...)
	r.allod(4, []string{"sign in to secure", "AADSTS90002", "check the tenant id"}, connect("99999999-2222-3333-4444-555555555555", clientID)...)
	r.allod(8, []string{"sign in to secure", "does not trust", "certificate authorities"}, connect(tenantID, clientID)[:9]...)
	r.allod(0, []string{"Connected secure"}, connect(tenantID, clientID)...)
	// Connected, and then the secret is replaced by another.
	r.secret = "secret-of-last-year"
	r.allod(4, []string{"back up secure", "sign in to secure", "AADSTS7000215"}, "backup", "secure")
}

// A role that lacks the right to read a table, or an application user that the
// environment does not know.
func missingPrivilege(_ *testing.T, r *rough) {
	r.co.action("set-depth", map[string]any{"client_id": r.co.user.ClientID, "table": "contact", "depth": "None"})
	r.allod(3, []string{"contact", "table-unreadable", "role"}, contactsAgain...)
	r.co.action("set-depth", map[string]any{"client_id": r.co.user.ClientID, "table": "contact", "depth": "Global"})
	r.strikes(4, "403 Forbidden (0x80040220)", map[string]any{"kind": "status", "status": 403, "code": "0x80040220", "message": "missing prvRead " + canary})
	r.strikes(4, "0x80072560", map[string]any{"kind": "status", "status": 403, "code": "0x80072560", "message": canary})
	r.strikes(4, "401", map[string]any{"kind": "status", "status": 401})
	r.strikes(2, "400", map[string]any{"kind": "status", "status": 400, "code": canary + " and more", "message": canary})
	r.desk.reopen()
	r.desk.backup("demo", capture.Options{}) // the role's own row changed
}

// A clock that is wrong stops nothing, and is named where it may be the cause.
func clockSkew(t *testing.T, r *rough) {
	r.ahead = 11 * time.Minute
	r.allod(0, nil, contactsAgain...)
	r.co.faults([]map[string]any{{"kind": "status", "status": 401, "count": -1, "path": "/api/data"}})
	r.allod(4, []string{"demo", "401", "clock is off by about 11m"}, contactsAgain...)
	r.co.faults(nil)
	// A day behind what is stored: nothing is stored out of its order.
	r.changes("yesterday")
	now := r.desk.deps.Now
	r.desk.deps.Now = func() time.Time { return now().Add(-24 * time.Hour) }
	r.allod(2, []string{"back up demo", "clock of this machine shows", "Set the clock"}, "backup", "demo")
	r.desk.deps.Now = now
	r.allod(0, []string{"1 updated"}, "backup", "demo")
}

func htmlForJSON(_ *testing.T, r *rough) {
	r.strikes(2, "a web page came instead of data", map[string]any{"kind": "html"})
	r.strikes(4, "403", map[string]any{"kind": "html", "status": 403})
}

func truncatedJSON(_ *testing.T, r *rough) {
	r.strikes(8, "the connection broke off", map[string]any{"kind": "truncate"})
	r.strikes(8, "the connection broke off", map[string]any{"kind": "reset"})
	r.strikes(8, "not JSON", map[string]any{"kind": "badjson"})
}

func serverErrors(_ *testing.T, r *rough) {
	r.strikes(8, "500", map[string]any{"kind": "status", "status": 500, "code": "0x80040216", "message": canary})
	r.strikes(8, "503", map[string]any{"kind": "status", "status": 503, "message": canary})
	r.strikes(8, "502", map[string]any{"kind": "html", "status": 502})
	// Three on the fifth page are waited out; nothing is missing.
	r.co.faults([]map[string]any{{"kind": "status", "status": 503, "count": 3, "nth": 5, "path": `/contacts\?`}})
	r.allod(0, nil, contactsAgain...)
}

// A nextLink that leads to its own page ends the table, not the night.
func cyclicNextLink(_ *testing.T, r *rough) {
	r.co.faults([]map[string]any{{"kind": "cyclic", "count": -1, "path": `/contacts\?`}})
	r.allod(3, []string{"demo, table contact", "leads back to a page"}, contactsAgain...)
}

// Twenty refusals with 429 in a row are waited out; a storm without an end is
// given up, and a deadline ends the wait at once.
func throttleStorms(t *testing.T, r *rough) {
	r.co.faults([]map[string]any{{"kind": "throttle", "count": 20, "retry_after": 30, "path": `/contacts\?`}})
	r.allod(0, nil, contactsAgain...)
	r.strikes(8, "429", map[string]any{"kind": "throttle", "retry_after": 2})

	quick := r.desk.deps.OpenSource
	defer func() { r.desk.deps.OpenSource = quick }()
	r.desk.deps.OpenSource = func(_ context.Context, env string, c act.Connection) (source.Source, error) {
		return dataverse.New(dataverse.Options{Environment: env, URL: c.URL}) // waits for real
	}
	r.desk.reopen()
	r.co.faults([]map[string]any{{"kind": "throttle", "count": -1, "retry_after": 60, "path": "/api/data"}})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := r.desk.Backup(ctx, "demo", capture.Options{Full: true})
	if allod.KindOf(err) != allod.Unavailable || time.Since(begun) > 10*time.Second || !strings.Contains(err.Error(), "demo") {
		t.Errorf("after %s: %v (%s)", time.Since(begun), err, allod.KindOf(err))
	}
}

// Pages may have any size: seven rows each although thousands were asked for,
// or one that cannot be.
func absurdPages(_ *testing.T, r *rough) {
	r.transport = pages(func(req *http.Request) { req.Header.Set("Prefer", `odata.include-annotations="*",odata.maxpagesize=7`) }, nil)
	r.allod(0, []string{"0 created, 0 updated, 0 deleted"}, contactsAgain...)
	r.transport = pages(nil, func(res *http.Response) { res.ContentLength = 1 << 50 })
	r.allod(3, []string{request, "bytes"}, contactsAgain...)
	r.transport = pages(nil, func(res *http.Response) { says(res, `{"more":`+strings.Repeat("[", 200_000)) })
	r.allod(3, []string{request, "deep"}, contactsAgain...)
	r.transport = pages(nil, func(res *http.Response) {
		says(res, `{"value":[],"@odata.nextLink":"https://elsewhere.example/api/data/v9.2/contacts?$skiptoken=1"}`)
	})
	r.allod(3, []string{"table contact", "another host"}, contactsAgain...)
	var page atomic.Int64
	r.transport = pages(nil, func(res *http.Response) {
		says(res, fmt.Sprintf(`{"value":[],"@odata.nextLink":%q}`, r.co.url+"/api/data/v9.2/contacts?$skiptoken="+fmt.Sprint(page.Add(1))))
	})
	r.allod(3, []string{"table contact", "empty pages in a row"}, contactsAgain...)
}

// says makes an answer another.
func says(res *http.Response, body string) {
	res.StatusCode, res.Body = http.StatusOK, io.NopCloser(strings.NewReader(body))
}

// pages changes the requests for contacts and their answers.
func pages(ask func(*http.Request), answer func(*http.Response)) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		hit := strings.HasSuffix(req.URL.Path, "/contacts")
		if hit && ask != nil {
			req = req.Clone(req.Context())
			ask(req)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err == nil && hit && answer != nil {
			_ = res.Body.Close() // what it held is not wanted
			res.ContentLength = -1
			res.Body = io.NopCloser(strings.NewReader("{}"))
			answer(res)
		}
		return res, err
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The schema changes while rows are read. What then cannot be read is a gap or
// comes with the next backup; nothing that was stored is lost.
func schemaChanges(t *testing.T, r *rough) {
	for _, c := range []struct {
		action string
		body   map[string]any
		table  string
		code   int
		names  []string
	}{
		{"add-column", map[string]any{"table": "contact", "column": "alp_new", "kind": "String"}, "contact", 0, nil},
		{"remove-column", map[string]any{"table": "contact", "column": "alp_interests"}, "contact", 3, []string{request, "400"}},
		{"drop-table", map[string]any{"table": "alp_loyaltycard"}, "alp_loyaltycard", 3, []string{"alp_loyaltycard", "went away"}},
	} {
		var asked atomic.Int64
		r.transport = roundTrip(func(req *http.Request) (*http.Response, error) {
			// Before the second page of contacts; a table goes before its first.
			first := strings.HasSuffix(req.URL.Path, "/alp_loyaltycards") && c.action == "drop-table"
			next := strings.HasSuffix(req.URL.Path, "/contacts") && strings.Contains(req.URL.RawQuery, "skiptoken") && c.action != "drop-table"
			if (first || next) && asked.Add(1) == 1 {
				r.co.action(c.action, c.body)
			}
			return http.DefaultTransport.RoundTrip(req)
		})
		r.allod(c.code, append(c.names, "0 deleted"), "backup", "demo", "--full", "--table", c.table)
		if asked.Load() == 0 {
			t.Fatalf("%s: the table was not read", c.action)
		}
	}
	r.transport = nil
	r.allod(3, []string{"0 deleted", "table-dropped alp_loyaltycard"}, contactsAgain...)
}
