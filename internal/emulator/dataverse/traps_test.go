package dataverse_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"allod/internal/emulator"
	dvemu "allod/internal/emulator/dataverse"
)

// The ten traps of protocols/dataverse.md §15, each in short: the service sets
// them as the documentation says. Other tests go into them at length. What the
// connector makes of them stands in internal/source/dataverse/traps_test.go.

// 1. `If-None-Match: null` taken as a precondition.
func TestTrap01_IfNoneMatchNull(t *testing.T) {
	c := start(t, dvemu.Options{})
	null := []string{"If-None-Match", "null"}
	id := c.want(204, "POST", "accounts", `{"name":"A"}`, null...).id()
	c.want(204, "PATCH", "accounts("+id+")", `{"name":"B"}`, null...)
	c.want(204, "PATCH", "accounts("+id+")", `{"name":"C"}`, append(null, "If-Match", "*")...)
	c.want(204, "PATCH", "accounts(11111111-0000-4000-8000-000000000001)", `{"name":"upserted"}`, null...)
	c.want(200, "GET", "accounts("+id+")", "", null...)
	c.want(204, "DELETE", "accounts("+id+")", "", null...)
}

// 2. Confusing the two expiry clocks and the delete shape.
func TestTrap02_ExpiryAndDeletes(t *testing.T) {
	k := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := start(t, dvemu.Options{Now: k.now})
	link := c.want(200, "GET", "accounts?$select=name", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)
	ghost := c.want(204, "POST", "accounts", `{"name":"ghost"}`).id()
	c.want(204, "DELETE", "accounts("+ghost+")", "")
	rows := c.want(200, "GET", link, "").rows()
	if len(rows) != 1 || rows[0]["id"] != ghost || rows[0]["reason"] != "deleted" || rows[0]["@odata.etag"] != nil {
		t.Errorf("a row made and deleted since: got %v, want its bare id", rows)
	}
	k.at = k.at.Add(7*24*time.Hour - time.Second)
	c.want(200, "GET", link, "")
	k.at = k.at.Add(2 * time.Second)
	if a := c.want(400, "GET", link, ""); a.code() != "0x80044352" {
		t.Errorf("after 7 days: got %s", a.Body)
	}
}

// 3. Rebuilding or paging with own state.
func TestTrap03_Paging(t *testing.T) {
	c := start(t, dvemu.Options{})
	for i := range uint64(5001) {
		if err := c.srv.Store().Insert("lead", key(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	c.want(400, "GET", "leads?$skip=1", "")
	a := c.want(200, "GET", "leads?$select=subject&$top=1", "", "Prefer", "odata.maxpagesize=3")
	next, _ := a.json()["@odata.nextLink"].(string)
	if len(a.rows()) != 3 || !strings.Contains(next, "%253ccookie%2520page%253d") {
		t.Errorf("$top beside a page size: got %d rows and the link %q, want 3 and a cookie that is encoded twice", len(a.rows()), next)
	}
	next = c.want(200, "GET", "leads?$select=subject", "", "Prefer", "odata.maxpagesize=3").json()["@odata.nextLink"].(string)
	if n := len(c.want(200, "GET", next, "").rows()); n != 4998 {
		t.Errorf("the next page without a preference has %d rows, want all that are left: the link knows no page size", n)
	}
	if a := c.want(200, "GET", "leads/$count", ""); a.Body != "\uFEFF5000" {
		t.Errorf("count: got %q, want it to stop at 5000", a.Body)
	}
}

// 4. Assuming unwritable columns raise errors.
func TestTrap04_UnwritableColumns(t *testing.T) {
	c := start(t, dvemu.Options{})
	const old = "2001-02-03T04:05:06Z"
	id := c.want(204, "POST", "accounts", `{"name":"A","createdon":"`+old+`","modifiedon":"`+old+`","versionnumber":7}`).id()
	c.want(204, "PATCH", "accounts("+id+")", `{"createdon":"`+old+`"}`)
	row := c.want(200, "GET", "accounts("+id+")", "").json()
	if row["createdon"] == old || row["modifiedon"] == old || row["versionnumber"] == 7.0 {
		t.Errorf("values that cannot be written were kept: %v", row)
	}
	id = c.want(204, "POST", "accounts", `{"name":"B","overriddencreatedon":"`+old+`"}`).id()
	if got := c.want(200, "GET", "accounts("+id+")", "").json()["createdon"]; got != old {
		t.Errorf("backdated: got %v", got)
	}
}

// 5. Naming lookups after columns.
func TestTrap05_LookupNames(t *testing.T) {
	c := start(t, dvemu.Options{})
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	if a := c.want(400, "POST", "contacts", `{"lastname":"L","parentcustomerid@odata.bind":"/accounts(`+acc+`)"}`); a.code() != "0x80048d19" {
		t.Errorf("bound by its column: got %s", a.Body)
	}
	id := c.want(204, "POST", "contacts", `{"lastname":"L","parentcustomerid_account@odata.bind":"/accounts(`+acc+`)"}`).id()
	row := c.want(200, "GET", "contacts("+id+")?$select=_parentcustomerid_value", "", "Prefer", `odata.include-annotations="*"`).json()
	if row["_parentcustomerid_value"] != acc || row["_parentcustomerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] != "parentcustomerid_account" {
		t.Errorf("got %v", row)
	}
}

// 6. PATCH without If-Match resurrects deleted rows
func TestTrap06_PatchResurrects(t *testing.T) {
	c := start(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	c.want(204, "DELETE", "accounts("+id+")", "")
	c.want(404, "PATCH", "accounts("+id+")", `{"name":"B"}`, "If-Match", "*")
	c.want(204, "PATCH", "accounts("+id+")", `{"name":"B"}`)
	c.want(412, "PATCH", "accounts("+id+")", `{"name":"C"}`, "If-None-Match", "*")
	c.want(204, "PATCH", "accounts(accountnumber='of the address')", `{"name":"K","accountnumber":"of the body"}`)
	rows := c.want(200, "GET", "accounts?$select=accountnumber&$filter=name eq 'K'", "").rows()
	if len(rows) != 1 || rows[0]["accountnumber"] != "of the body" {
		t.Errorf("the key of the row: got %v, want that of the body", rows)
	}
}

// 7. Treating FetchXML output like OData.
func TestTrap07_FetchXMLOutput(t *testing.T) {
	c := start(t, dvemu.Options{})
	con := c.want(204, "POST", "contacts", `{"lastname":"L"}`).id()
	c.want(204, "POST", "accounts", `{"name":"A","primarycontactid@odata.bind":"/contacts(`+con+`)"}`)
	c.want(204, "POST", "accounts", `{"name":"B"}`)
	const xml = `<fetch count="1"><entity name="account"><attribute name="name"/><attribute name="revenue"/><order attribute="name"/>` +
		`<link-entity name="contact" from="contactid" to="primarycontactid" alias="p" link-type="outer"><attribute name="lastname"/></link-entity></entity></fetch>`
	a := c.fetch("accounts", xml)
	row := a.rows()[0]
	if _, has := row["revenue"]; has || row["p.lastname"] != "L" {
		t.Errorf("got %v, want no member for a null, and the alias in the name", row)
	}
	if j := a.json(); j["@odata.nextLink"] != nil || j["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"] != nil {
		t.Errorf("a page without the preference: got %v", j)
	}
	cookie, _ := c.fetch("accounts", xml, "Prefer", `odata.include-annotations="*"`).json()["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"].(string)
	if !strings.Contains(escapeTwiceDecoded(t, cookie), "cookie page=") {
		t.Errorf("the cookie is not encoded twice: %q", cookie)
	}
}

// 8. Rate-limit parsing.
func TestTrap08_RateLimits(t *testing.T) {
	h := limited(t, dvemu.Options{Servers: 2, Now: (&clock{time.Unix(1_700_000_000, 0)}).now}).Handler()
	for range 2 { // two servers, each with a budget of its own
		res := direct(t, h, "WhoAmI")
		if got := res.Header.Get("x-ms-ratelimit-time-remaining-xrm-requests"); got != "1,200.00" {
			t.Errorf("time remaining: got %q, which should be no plain number", got)
		}
		if got := res.Header.Get(remained); got != "5999" {
			t.Errorf("requests remaining: got %q", got)
		}
	}
	c := start(t, dvemu.Options{Faults: []emulator.Fault{{Kind: "throttle", Count: 2, RetryAfter: 7}}})
	for range 2 { // the first 429 is not the last
		if got := c.want(429, "GET", "WhoAmI", "").Header.Get("Retry-After"); got != "7" {
			t.Errorf("Retry-After: got %q", got)
		}
	}
	c.want(200, "GET", "WhoAmI", "")
}

// 9. Batch details.
func TestTrap09_Batch(t *testing.T) {
	c := start(t, dvemu.Options{})
	const missing = "accounts(11111111-1111-4111-8111-111111111111)"
	bad := changeSet(op("1", "POST", "accounts", `{"name":"undone"}`), op("2", "PATCH", "accounts(11111111-1111-4111-8111-111111111111)", `{"primarycontactid@odata.bind":"$9"}`))
	a := c.batch(400, "", bad)
	if n := strings.Count(a.Body, "HTTP/1.1 "); n != 1 || !strings.Contains(a.Body, "REQ_ID: ") || !strings.HasPrefix(a.Body, "--batchresponse_") {
		t.Errorf("a failed change set: got %d answers, want one with REQ_ID behind a known boundary: %s", n, a.Body)
	}
	a = c.batch(200, "odata.continue-on-error", op("", "GET", missing, ""), op("", "GET", "accounts", ""))
	if !strings.Contains(a.Body, "HTTP/1.1 404 ") || !strings.Contains(a.Body, "HTTP/1.1 200 ") || strings.Contains(a.Body, "undone") {
		t.Errorf("continued: got %s", a.Body)
	}
	if a = c.batch(400, "", changeSet(op("1", "GET", "accounts", ""))); strings.Contains(a.Body, "HTTP/1.1 200 ") {
		t.Errorf("GET in a change set: got %s", a.Body)
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = op("", "GET", "WhoAmI", "")
	}
	c.batch(400, "odata.continue-on-error", many...)
	strict := start(t, dvemu.Options{Assume: map[string]string{"batch-line-ends": "strict"}})
	body := strings.ReplaceAll("--b\r\n"+op("", "GET", "WhoAmI", "")+"--b--\r\n", "\r\n", "\n")
	strict.want(400, "POST", "$batch", body, "Content-Type", "multipart/mixed; boundary=b")
	c.want(200, "POST", "$batch", body, "Content-Type", "multipart/mixed; boundary=b")
}

// 10. Single-pass restore.
func TestTrap10_SinglePassRestore(t *testing.T) {
	c := start(t, dvemu.Options{})
	const one, two = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"
	account := fmt.Sprintf(`{"accountid":%q,"name":"A","primarycontactid@odata.bind":"/contacts(%s)"}`, one, two)
	if a := c.do(http.MethodPost, "accounts", account); a.Status < 400 {
		t.Errorf("a lookup to a row that is yet to come: got %d", a.Status)
	}
	c.want(204, "POST", "accounts", fmt.Sprintf(`{"accountid":%q,"name":"A"}`, one))
	c.want(204, "POST", "contacts", fmt.Sprintf(`{"contactid":%q,"lastname":"L","parentcustomerid_account@odata.bind":"/accounts(%s)"}`, two, one))
	c.want(204, "PATCH", "accounts("+one+")", fmt.Sprintf(`{"primarycontactid@odata.bind":"/contacts(%s)"}`, two))
	if a := c.do(http.MethodPost, "tasks", `{"subject":"done","statecode":1,"statuscode":2}`); a.Status < 400 {
		t.Errorf("made in another than the default state: got %d", a.Status)
	}
	deal := c.want(204, "POST", "opportunities", fmt.Sprintf(`{"name":"D","customerid_account@odata.bind":"/accounts(%s)"}`, one)).id()
	if a := c.want(405, "DELETE", "accounts("+one+")", ""); a.code() != "0x80040227" {
		t.Errorf("restricted: got %s", a.Body)
	}
	c.want(204, "DELETE", "opportunities("+deal+")", "")
	c.want(204, "DELETE", "accounts("+one+")", "")
	c.want(404, "GET", "contacts("+two+")", "")
}
