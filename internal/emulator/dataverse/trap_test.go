package dataverse_test

import (
	"strings"
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
)

func TestWhoAmI(t *testing.T) {
	c := start(t, dvemu.Options{})
	a := c.want(200, "GET", "WhoAmI", "")
	for _, name := range []string{"OrganizationId", "UserId", "BusinessUnitId", "@odata.context"} {
		if a.json()[name] == nil {
			t.Errorf("no %s in %s", name, a.Body)
		}
	}
	if got := a.Header.Get("x-ms-ratelimit-time-remaining-xrm-requests"); !strings.Contains(got, ",") {
		t.Errorf("remaining time %q has no thousands separator", got)
	}
	if a.Header.Get("x-ms-dop-hint") != "48" || a.Header.Get("OData-Version") != "4.0" || a.Header.Get("REQ_ID") == "" {
		t.Errorf("headers of §1.3 are missing: %v", a.Header)
	}
	c.want(404, "POST", "WhoAmI", "")
	if a := c.want(401, "GET", "WhoAmI", "", "Authorization", ""); !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer authorization_uri=") {
		t.Errorf("no challenge: %v", a.Header)
	}
}

func TestNamesAreCaseSensitive(t *testing.T) {
	c := start(t, dvemu.Options{})
	if a := c.want(404, "GET", "Account", ""); a.code() != "0x8006088a" {
		t.Errorf("got %s", a.Body)
	}
	if a := c.want(400, "GET", "accounts?$select=Name", ""); a.code() != "0x0" || !strings.Contains(a.Body, "Could not find a property named 'Name'") {
		t.Errorf("got %s", a.Body)
	}
}

func TestPaging(t *testing.T) {
	c := start(t, dvemu.Options{})
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		c.want(204, "POST", "accounts", `{"name":"`+n+`"}`)
	}
	seen, pages := map[string]bool{}, 0
	for next := "accounts?$select=name"; next != ""; pages++ {
		a := c.want(200, "GET", next, "", "Prefer", "odata.maxpagesize=2")
		if got := a.Header.Get("Preference-Applied"); got != "odata.maxpagesize=2" {
			t.Errorf("Preference-Applied: got %q", got)
		}
		for _, r := range a.rows() {
			seen[r["name"].(string)] = true
		}
		next, _ = a.json()["@odata.nextLink"].(string)
		if next != "" && (!strings.Contains(next, "$skiptoken=%3Ccookie%20pagenumber=%22") || !strings.Contains(next, "%253ccookie%2520page%253d%2522") && !strings.Contains(next, "%253ccookie%2520page%253d%25221")) {
			t.Errorf("cookie is not encoded as documented: %s", next)
		}
	}
	if len(seen) != 5 || pages != 3 {
		t.Errorf("got %d rows on %d pages, want 5 on 3", len(seen), pages)
	}
	// $top is ignored beside maxpagesize.
	if a := c.want(200, "GET", "accounts?$top=1", "", "Prefer", "odata.maxpagesize=3"); len(a.rows()) != 3 {
		t.Errorf("$top with maxpagesize: got %d rows, want 3", len(a.rows()))
	}
	if a := c.want(200, "GET", "accounts?$top=1", ""); len(a.rows()) != 1 || a.json()["@odata.nextLink"] != nil {
		t.Errorf("$top: got %s", a.Body)
	}
	c.want(400, "GET", "accounts?$skip=1", "")
	if a := c.want(200, "GET", "accounts/$count", ""); a.Body != "\uFEFF5" {
		t.Errorf("count: got %q", a.Body)
	}
}

func TestFilterAndOrder(t *testing.T) {
	c := start(t, dvemu.Options{})
	for _, b := range []string{`{"name":"Adventure","revenue":5}`, `{"name":"Contoso","revenue":10}`, `{"name":"contoso two"}`} {
		c.want(204, "POST", "accounts", b)
	}
	a := c.want(200, "GET", "accounts?$select=name&$filter=startswith(name,'CONTOSO')&$orderby=name desc&$count=true", "")
	if r := a.rows(); len(r) != 2 || r[0]["name"] != "contoso two" || a.json()["@odata.count"] != 2.0 {
		t.Errorf("got %s", a.Body)
	}
	if a := c.want(200, "GET", "accounts?$select=name&$filter=revenue gt 6 and statecode eq 0", ""); len(a.rows()) != 1 {
		t.Errorf("got %s", a.Body)
	}
	c.want(400, "GET", "accounts?$filter=nope eq 1", "")
}

func TestAnnotationsComeBeforeValues(t *testing.T) {
	c := start(t, dvemu.Options{})
	contact := c.want(204, "POST", "contacts", `{"firstname":"Ana","lastname":"Núñez"}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"A","revenue":20000,"primarycontactid@odata.bind":"/contacts(`+contact+`)"}`).id()
	a := c.want(200, "GET", "accounts("+id+")?$select=name,revenue,statuscode,_primarycontactid_value", "", "Prefer", `odata.include-annotations="*"`)
	for _, want := range []string{
		`"revenue@OData.Community.Display.V1.FormattedValue":"$20,000.00","revenue":20000.0000`,
		`"statuscode@OData.Community.Display.V1.FormattedValue":"Active","statuscode":1`,
		`"_primarycontactid_value@OData.Community.Display.V1.FormattedValue":"Ana Núñez","_primarycontactid_value@Microsoft.Dynamics.CRM.associatednavigationproperty":"primarycontactid","_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"contact","_primarycontactid_value":"` + contact + `"`,
		`"accountid":"` + id + `"`,
		`"_transactioncurrencyid_value":`,
		`"@odata.etag":"W/\"`,
	} {
		if !strings.Contains(a.Body, want) {
			t.Errorf("no %s in %s", want, a.Body)
		}
	}
	if a.Header.Get("ETag") == "" {
		t.Error("no ETag header")
	}
	plain := c.want(200, "GET", "accounts("+id+")?$select=description", "")
	if !strings.Contains(plain.Body, `"description":null`) || strings.Contains(plain.Body, "Formatted") {
		t.Errorf("got %s", plain.Body)
	}
}

// TestPatchTable is protocols/dataverse.md §6.2.
func TestPatchTable(t *testing.T) {
	const missing = "11111111-1111-1111-1111-111111111111"
	cases := []struct {
		name, match, none string
		exists            bool
		want              int
		code              string
	}{
		{"plain, exists", "", "null", true, 204, ""},
		{"plain, missing creates", "", "null", false, 204, ""},
		{"If-Match star, exists", "*", "null", true, 204, ""},
		{"If-Match star, missing", "*", "null", false, 404, "0x80040217"},
		{"If-None-Match star, exists", "", "*", true, 412, "0x80040237"},
		{"If-None-Match star, missing", "", "*", false, 204, ""},
		{"stale etag", `W/"1"`, "null", true, 412, "0x80060882"},
		{"etag, missing", `W/"1"`, "null", false, 404, "0x80040217"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := start(t, dvemu.Options{})
			id := missing
			if tc.exists {
				id = c.want(204, "POST", "accounts", `{"name":"A"}`).id()
			}
			h := []string{"If-None-Match", tc.none}
			if tc.match != "" {
				h = append(h, "If-Match", tc.match)
			}
			a := c.want(tc.want, "PATCH", "accounts("+id+")", `{"name":"B"}`, h...)
			if tc.code != "" && a.code() != tc.code {
				t.Errorf("code: got %s, want %s", a.code(), tc.code)
			}
			if tc.want == 204 {
				if got := c.want(200, "GET", "accounts("+id+")?$select=name", "").json()["name"]; got != "B" {
					t.Errorf("name: got %v", got)
				}
			}
		})
	}
	c := start(t, dvemu.Options{})
	if a := c.want(201, "PATCH", "accounts("+missing+")?$select=name", `{"name":"B"}`, "Prefer", "return=representation"); a.json()["name"] != "B" {
		t.Errorf("got %s", a.Body)
	}
	a := c.want(200, "GET", "accounts("+missing+")", "")
	if got := c.want(304, "GET", "accounts("+missing+")", "", "If-None-Match", a.Header.Get("ETag")); got.Body != "" {
		t.Errorf("304 with body %q", got.Body)
	}
	c.want(405, "PATCH", "accounts", `{}`)
}

func TestAlternateKey(t *testing.T) {
	c := start(t, dvemu.Options{})
	a := c.want(204, "PATCH", "accounts(accountnumber='X1')", `{"name":"A"}`)
	if !strings.HasSuffix(a.Header.Get("OData-EntityId"), "accounts(accountnumber='X1')") {
		t.Errorf("OData-EntityId: got %s", a.Header.Get("OData-EntityId"))
	}
	if r := c.want(200, "GET", "accounts(accountnumber='x1')", "").json(); r["name"] != "A" || r["accountnumber"] != "X1" {
		t.Errorf("got %v", r)
	}
	if a := c.want(404, "GET", "accounts(accountnumber='no')", ""); a.code() != "0x80060891" {
		t.Errorf("got %s", a.Body)
	}
	if a := c.want(412, "POST", "accounts", `{"name":"B","accountnumber":"X1"}`); a.code() != "0x80060892" {
		t.Errorf("got %s", a.Body)
	}
	c.want(400, "GET", "accounts(name='A')", "")
}

func TestWritesRefusedAndIgnored(t *testing.T) {
	c := start(t, dvemu.Options{})
	contact := c.want(204, "POST", "contacts", `{"lastname":"L"}`).id()
	for name, tc := range map[string]struct {
		body, code string
		status     int
	}{
		"column name instead of nav": {`{"primarycontactid_value@odata.bind":"/contacts(` + contact + `)"}`, "0x80048d19", 400},
		"case of nav":                {`{"PrimaryContactId@odata.bind":"/contacts(` + contact + `)"}`, "0x80048d19", 400},
		"unknown property":           {`{"nope":1}`, "0x80048d19", 400},
		"wrong type":                 {`{"name":5}`, "0x80048d19", 400},
		"no JSON":                    {`{"name":`, "0x80048d19", 400},
		"too long":                   {`{"name":"` + strings.Repeat("é", 161) + `"}`, "0x80044331", 400},
		"target missing":             {`{"primarycontactid@odata.bind":"/contacts(11111111-1111-1111-1111-111111111111)"}`, "0x80040217", 404},
		"wrong target":               {`{"primarycontactid@odata.bind":"/accounts(` + contact + `)"}`, "0x80048d19", 400},
		"bad state pair":             {`{"statecode":1,"statuscode":1}`, "0x80048408", 400},
	} {
		if a := c.want(tc.status, "POST", "accounts", tc.body); a.code() != tc.code {
			t.Errorf("%s: got %s, want %s", name, a.Body, tc.code)
		}
	}
	// Unwritable columns are dropped in silence (trap 4).
	id := c.want(204, "POST", "accounts", `{"name":"A","createdon":"1999-01-01T00:00:00Z","versionnumber":5,"opendeals":7,"_createdby_value":"`+contact+`","contract":"`+contact+`"}`).id()
	r := c.want(200, "GET", "accounts("+id+")", "").json()
	if strings.HasPrefix(r["createdon"].(string), "1999") || r["opendeals"] != nil || r["contract"] != nil || r["versionnumber"] == 5.0 {
		t.Errorf("unwritable columns were written: %v", r)
	}
	if r["statecode"] != 0.0 || r["statuscode"] != 1.0 || r["_ownerid_value"] == nil || r["_owningbusinessunit_value"] == nil {
		t.Errorf("platform columns are missing: %v", r)
	}
	back := c.want(204, "POST", "accounts", `{"name":"A","overriddencreatedon":"2019-05-01T00:00:00Z"}`).id()
	if r := c.want(200, "GET", "accounts("+back+")", "").json(); r["createdon"] != "2019-05-01T00:00:00Z" {
		t.Errorf("createdon: got %v", r["createdon"])
	}
	if a := c.want(412, "POST", "accounts", `{"accountid":"`+id+`"}`); a.code() != "0x80040237" {
		t.Errorf("got %s", a.Body)
	}
}

func TestPolymorphicLookup(t *testing.T) {
	c := start(t, dvemu.Options{})
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	boss := c.want(204, "POST", "contacts", `{"lastname":"Boss"}`).id()
	id := c.want(204, "POST", "contacts", `{"lastname":"L","parentcustomerid_account@odata.bind":"/accounts(`+acc+`)"}`).id()
	c.want(204, "PATCH", "contacts("+id+")", `{"parentcustomerid_contact@odata.bind":"contacts(`+boss+`)"}`)
	a := c.want(200, "GET", "contacts("+id+")?$select=_parentcustomerid_value&$expand=parentcustomerid_account($select=name),parentcustomerid_contact($select=lastname)", "", "Prefer", `odata.include-annotations="*"`)
	r := a.json()
	if r["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] != "contact" || r["parentcustomerid_account"] != nil || r["parentcustomerid_contact"].(map[string]any)["lastname"] != "Boss" {
		t.Errorf("got %s", a.Body)
	}
	c.want(204, "PATCH", "contacts("+id+")", `{"parentcustomerid_contact@odata.bind":null}`)
	if r := c.want(200, "GET", "contacts("+id+")?$select=_parentcustomerid_value", "").json(); r["_parentcustomerid_value"] != nil {
		t.Errorf("lookup is not cleared: %v", r)
	}
}

func TestCascades(t *testing.T) {
	c := start(t, dvemu.Options{})
	acc := c.want(204, "POST", "accounts", `{"name":"A","address1_city":"Bern","Account_Tasks":[{"subject":"deep"}]}`).id()
	child := c.want(204, "POST", "accounts", `{"name":"child","parentaccountid@odata.bind":"/accounts(`+acc+`)"}`).id()
	con := c.want(204, "POST", "contacts", `{"lastname":"L","parentcustomerid_account@odata.bind":"/accounts(`+acc+`)"}`).id()
	opp := c.want(204, "POST", "opportunities", `{"name":"O","customerid_account@odata.bind":"/accounts(`+acc+`)"}`).id()
	addr := c.want(200, "GET", "customeraddresses?$filter=_parentid_value eq "+acc+"&$orderby=addressnumber", "").rows()
	if len(addr) != 2 || addr[0]["city"] != "Bern" {
		t.Errorf("addresses of the account: got %v", addr)
	}
	if r := c.want(200, "GET", "activitypointers?$select=subject,activitytypecode", "").rows(); len(r) != 1 || r[0]["activitytypecode"] != "task" {
		t.Errorf("activitypointers: got %v", r)
	}
	if a := c.want(405, "DELETE", "accounts("+acc+")", ""); a.code() != "0x80040227" {
		t.Errorf("got %s", a.Body)
	}
	c.want(204, "DELETE", "opportunities("+opp+")", "")
	before := c.want(200, "GET", "accounts("+child+")", "").json()["@odata.etag"]
	c.want(204, "DELETE", "accounts("+acc+")", "")
	c.want(404, "GET", "contacts("+con+")", "")
	if n := len(c.want(200, "GET", "tasks", "").rows()); n != 0 {
		t.Errorf("tasks left: %d", n)
	}
	r := c.want(200, "GET", "accounts("+child+")", "").json()
	if r["_parentaccountid_value"] != nil || r["@odata.etag"] == before {
		t.Errorf("child: got %v", r)
	}
	c.want(404, "DELETE", "accounts("+acc+")", "")
}

func TestPairs(t *testing.T) {
	c := start(t, dvemu.Options{})
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	lead := c.want(204, "POST", "leads", `{"subject":"L"}`).id()
	ref := `{"@odata.id":"` + c.url + `/api/data/v9.2/leads(` + lead + `)"}`
	c.want(204, "POST", "accounts("+acc+")/accountleads_association/$ref", ref)
	if a := c.want(412, "POST", "accounts("+acc+")/accountleads_association/$ref", ref); a.code() != "0x80040237" {
		t.Errorf("got %s", a.Body)
	}
	rows := c.want(200, "GET", "accountleadscollection", "").rows()
	if len(rows) != 1 || rows[0]["accountid"] != acc || rows[0]["leadid"] != lead {
		t.Errorf("got %v", rows)
	}
	if a := c.want(400, "POST", "accountleadscollection", `{}`); a.code() != "0x8004830F" {
		t.Errorf("got %s", a.Body)
	}
	if n := len(c.want(200, "GET", "leads("+lead+")/accountleads_association", "").rows()); n != 1 {
		t.Errorf("accounts of the lead: got %d", n)
	}
	c.want(204, "DELETE", "accounts("+acc+")/accountleads_association("+lead+")/$ref", "")
	if n := len(c.want(200, "GET", "accounts("+acc+")/accountleads_association/$ref", "").rows()); n != 0 {
		t.Errorf("pairs left: %d", n)
	}
}

func TestChangeTracking(t *testing.T) {
	k := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := start(t, dvemu.Options{Now: k.now})
	first := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	second := c.want(204, "POST", "accounts", `{"name":"B"}`).id()
	c.want(204, "POST", "accounts", `{"name":"C"}`)
	next := "accounts?$select=name"
	n, link := 0, ""
	for next != "" {
		a := c.want(200, "GET", next, "", "Prefer", "odata.track-changes,odata.maxpagesize=2")
		n += len(a.rows())
		next, _ = a.json()["@odata.nextLink"].(string)
		link, _ = a.json()["@odata.deltaLink"].(string)
		if (next == "") == (link == "") {
			t.Fatalf("neither or both links: %s", a.Body)
		}
	}
	if n != 3 || !strings.Contains(link, "$deltatoken=") || !strings.Contains(link, "%21") {
		t.Fatalf("got %d rows and %s", n, link)
	}
	if a := c.want(200, "GET", link, ""); len(a.rows()) != 0 {
		t.Errorf("no changes: got %s", a.Body)
	}
	c.want(204, "PATCH", "accounts("+second+")", `{"name":"B2"}`)
	c.want(204, "DELETE", "accounts("+first+")", "")
	ghost := c.want(204, "POST", "accounts", `{"name":"ghost"}`).id()
	c.want(204, "DELETE", "accounts("+ghost+")", "")
	a := c.want(200, "GET", link, "")
	rows := a.rows()
	if len(rows) != 3 || rows[0]["name"] != "B2" || rows[1]["id"] != first || rows[1]["reason"] != "deleted" || rows[2]["id"] != ghost || !strings.HasSuffix(rows[1]["@odata.context"].(string), "$metadata#accounts/$deletedEntity") {
		t.Errorf("delta: got %s", a.Body)
	}
	if !strings.HasSuffix(a.json()["@odata.context"].(string), "#accounts(name)/$delta") {
		t.Errorf("context: got %v", a.json()["@odata.context"])
	}
	if a := c.want(400, "GET", "accounts?$filter=statecode eq 0", "", "Prefer", "odata.track-changes"); !strings.Contains(a.Body, `The \"$filter\" query parameter isn't supported when Change Tracking is enabled.`) {
		t.Errorf("got %s", a.Body)
	}
	c.want(400, "GET", "customeraddresses", "", "Prefer", "odata.track-changes")
	k.at = k.at.Add(7*24*time.Hour + time.Second)
	if a := c.want(400, "GET", link, ""); a.code() != "0x80044352" {
		t.Errorf("expired token: got %s", a.Body)
	}
}

func TestRewindAndRetention(t *testing.T) {
	c := start(t, dvemu.Options{})
	old := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	c.action("mark", `{"name":"m"}`)
	who := c.want(200, "GET", "WhoAmI", "").json()["OrganizationId"]
	c.want(204, "POST", "accounts", `{"name":"B"}`)
	link := c.want(200, "GET", "accounts?$select=name", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)
	c.action("rewind-to", `{"name":"m"}`)
	if rows := c.want(200, "GET", "accounts", "").rows(); len(rows) != 1 || rows[0]["accountid"] != old {
		t.Errorf("after rewind: %v", rows)
	}
	if a := c.want(200, "GET", link, ""); len(a.rows()) != 0 {
		t.Errorf("a token from the undone future sees %s", a.Body)
	}
	if got := c.want(200, "GET", "WhoAmI", "").json()["OrganizationId"]; got != who {
		t.Error("organisation id changed")
	}
	c.action("rewind-to", `{"name":"m","new_organization":true}`)
	if got := c.want(200, "GET", "WhoAmI", "").json()["OrganizationId"]; got == who {
		t.Error("organisation id did not change")
	}
	link = c.want(200, "GET", "accounts?$select=name", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)
	c.action("retention-run", `{"table":"account","count":1}`)
	if rows := c.want(200, "GET", link, "").rows(); len(rows) != 1 || rows[0]["reason"] != "deleted" {
		t.Errorf("after retention: %v", rows)
	}
}

func TestRights(t *testing.T) {
	users := dvemu.DefaultAppUsers(1)
	c := start(t, dvemu.Options{AppUsers: users})
	c.want(204, "POST", "accounts", `{"name":"A","governmentid":"secret"}`)
	if r := c.want(200, "GET", "accounts", "").rows(); r[0]["governmentid"] != "secret" {
		t.Errorf("administrator: got %v", r)
	}
	c.action("set-administrator", `{"on":false}`)
	if r := c.want(200, "GET", "accounts?$select=governmentid", "").rows(); r[0]["governmentid"] != nil {
		t.Errorf("secured column: got %v", r)
	}
	c.action("set-depth", `{"table":"account","depth":"Basic"}`)
	if a := c.want(403, "GET", "accounts", "", "Prefer", "odata.track-changes"); a.code() != "0x80040220" {
		t.Errorf("got %s", a.Body)
	}
	if n := len(c.want(200, "GET", "accounts", "").rows()); n != 1 {
		t.Errorf("own rows: got %d", n)
	}
	c.action("set-depth", `{"table":"account","depth":"None"}`)
	if a := c.want(403, "GET", "accounts", ""); a.code() != "0x80040220" || !strings.Contains(a.Body, "prvReadAccount") {
		t.Errorf("got %s", a.Body)
	}
	id := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	a := c.want(200, "GET", "systemusers("+id+")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges", "")
	if strings.Contains(a.Body, `"prvReadAccount"`) || !strings.Contains(a.Body, `"prvReadContact"`) {
		t.Errorf("privileges: got %s", a.Body)
	}
}

func TestDropTable(t *testing.T) {
	c := start(t, dvemu.Options{})
	c.want(204, "POST", "leads", `{"subject":"L"}`)
	c.action("drop-table", `{"table":"lead"}`)
	c.want(404, "GET", "leads", "")
	c.action("create-table", `{"table":"lead"}`)
	if n := len(c.want(200, "GET", "leads", "").rows()); n != 0 {
		t.Errorf("rows after re-creation: %d", n)
	}
	c.action("add-column", `{"table":"lead","column":"new_score","kind":"Integer"}`)
	id := c.want(204, "POST", "leads", `{"new_score":7}`).id()
	if r := c.want(200, "GET", "leads("+id+")", "").json(); r["new_score"] != 7.0 {
		t.Errorf("new column: got %v", r)
	}
}

func TestMultiple(t *testing.T) {
	c := start(t, dvemu.Options{})
	a := c.want(200, "POST", "accounts/Microsoft.Dynamics.CRM.CreateMultiple", `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","name":"A"},{"@odata.type":"#Microsoft.Dynamics.CRM.account","name":"B"}]}`)
	ids := a.json()["Ids"].([]any)
	if len(ids) != 2 {
		t.Fatalf("got %s", a.Body)
	}
	c.want(204, "POST", "accounts/Microsoft.Dynamics.CRM.UpdateMultiple", `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"`+ids[0].(string)+`","name":"A2"}]}`)
	c.want(204, "POST", "accounts/Microsoft.Dynamics.CRM.UpsertMultiple", `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","@odata.id":"accounts(accountnumber='N')","name":"C"}]}`)
	c.want(400, "POST", "accounts/Microsoft.Dynamics.CRM.CreateMultiple", `{"Targets":[{"name":"A"}]}`)
	// All or nothing.
	c.want(404, "POST", "accounts/Microsoft.Dynamics.CRM.UpdateMultiple", `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"`+ids[0].(string)+`","name":"no"},{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"11111111-1111-1111-1111-111111111111","name":"no"}]}`)
	if a := c.want(200, "GET", "accounts?$filter=name eq 'A2' or name eq 'C'", ""); len(a.rows()) != 2 {
		t.Errorf("got %s", a.Body)
	}
}

func TestParties(t *testing.T) {
	c := start(t, dvemu.Options{})
	con := c.want(204, "POST", "contacts", `{"lastname":"L"}`).id()
	party := func(mask string) string {
		return `{"partyid_contact@odata.bind":"/contacts(` + con + `)","participationtypemask":` + mask + `}`
	}
	id := c.want(204, "POST", "emails", `{"subject":"S","email_activity_parties":[`+party("1")+`,`+party("2")+`]}`).id()
	if n := len(c.want(200, "GET", "emails("+id+")/email_activity_parties", "").rows()); n != 2 {
		t.Errorf("parties: got %d", n)
	}
	c.want(204, "PUT", "emails("+id+")/email_activity_parties", `{"value":[`+party("1")+`]}`)
	if n := len(c.want(200, "GET", "activityparties", "").rows()); n != 1 {
		t.Errorf("parties: got %d", n)
	}
}

func TestSingleProperty(t *testing.T) {
	c := start(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	c.want(204, "PUT", "accounts("+id+")/name", `{"value":"New"}`)
	if r := c.want(200, "GET", "accounts("+id+")/name", "").json(); r["value"] != "New" {
		t.Errorf("got %v", r)
	}
	if a := c.want(200, "GET", "accounts("+id+")/name/$value", ""); a.Body != "New" || a.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("got %q", a.Body)
	}
	c.want(204, "DELETE", "accounts("+id+")/name", "")
	c.want(204, "GET", "accounts("+id+")/name", "")
}

func TestFileColumn(t *testing.T) {
	c := start(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	if a := c.want(404, "GET", "accounts("+id+")/contract/$value", ""); a.code() != "0x80040217" {
		t.Errorf("got %s", a.Body)
	}
	c.want(204, "PATCH", "accounts("+id+")/contract", "hello world", "Content-Type", "application/octet-stream", "x-ms-file-name", "a.pdf")
	a := c.want(200, "GET", "accounts("+id+")/contract/$value", "")
	if a.Body != "hello world" || a.Header.Get("x-ms-file-name") != "a.pdf" || a.Header.Get("x-ms-file-size") != "11" || a.Header.Get("mimetype") != "application/pdf" {
		t.Errorf("got %q %v", a.Body, a.Header)
	}
	if a := c.want(206, "GET", "accounts("+id+")/contract/$value", "", "Range", "bytes=6-10"); a.Body != "world" {
		t.Errorf("range: got %q", a.Body)
	}
	if r := c.want(200, "GET", "accounts("+id+")?$select=contract,contract_name", "").json(); r["contract"] == nil || r["contract_name"] != "a.pdf" {
		t.Errorf("got %v", r)
	}
	begin := c.want(200, "PATCH", "accounts("+id+")/contract?x-ms-file-name=b.txt", "", "x-ms-transfer-mode", "chunked")
	if begin.Header.Get("x-ms-chunk-size") != "4194304" {
		t.Errorf("headers: %v", begin.Header)
	}
	at := begin.Header.Get("Location")
	c.want(206, "PATCH", at, "abc", "Content-Type", "application/octet-stream", "Content-Range", "bytes 0-2/5")
	c.want(204, "PATCH", at, "de", "Content-Type", "application/octet-stream", "Content-Range", "bytes 3-4/5")
	c.want(204, "PATCH", at, "", "Content-Type", "application/octet-stream", "Content-Range", "bytes 5-4/5") // §14.2: some clients send one more
	c.want(400, "PATCH", at, "f", "Content-Type", "application/octet-stream", "Content-Range", "bytes 5-5/6")
	if a := c.want(200, "GET", "accounts("+id+")/contract/$value", ""); a.Body != "abcde" || a.Header.Get("x-ms-file-name") != "b.txt" {
		t.Errorf("chunked: got %q", a.Body)
	}
	c.want(204, "DELETE", "accounts("+id+")/contract", "")
	c.want(404, "GET", "accounts("+id+")/contract/$value", "")
}

func TestFileBlocks(t *testing.T) {
	c := start(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	target := `"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"` + id + `"},"FileAttributeName":"contract"`
	tok := c.want(200, "POST", "InitializeFileBlocksUpload", `{`+target+`,"FileName":"a.txt"}`).json()["FileContinuationToken"].(string)
	c.want(204, "POST", "UploadBlock", `{"BlockId":"YQ==","BlockData":"aGVsbG8=","FileContinuationToken":"`+tok+`"}`)
	if r := c.want(200, "POST", "CommitFileBlocksUpload", `{"FileName":"a.txt","MimeType":"text/plain","BlockList":["YQ=="],"FileContinuationToken":"`+tok+`"}`).json(); r["FileSizeInBytes"] != 5.0 {
		t.Errorf("got %v", r)
	}
	r := c.want(200, "POST", "InitializeFileBlocksDownload", `{`+target+`}`).json()
	tok = r["FileContinuationToken"].(string)
	if d := c.want(200, "POST", "DownloadBlock", `{"Offset":1,"BlockLength":3,"FileContinuationToken":"`+tok+`"}`).json(); d["Data"] != "ZWxs" {
		t.Errorf("got %v", d)
	}
}
