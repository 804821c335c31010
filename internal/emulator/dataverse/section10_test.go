package dataverse_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// What protocols/dataverse.md states in section 10 and no other test shows.

func TestSection10_1_AccessesOfUsers(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: k.now})
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"]
	c.settings(`{"isuseraccessauditenabled":true}`) // nothing without the audit itself
	accesses := func() (actions []float64, last string) {
		t.Helper()
		for _, r := range c.want(200, "GET", "audits?$filter=operation%20eq%204&$orderby=createdon", "").rows() {
			actions = append(actions, r["action"].(float64))
			if r["action"] == 65.0 {
				last = r["auditid"].(string)
				if r["objecttypecode"] != "systemuser" || r["_objectid_value"] != me || r["_userid_value"] != me {
					t.Errorf("got %v", r)
				}
			}
		}
		return actions, last
	}
	if got, _ := accesses(); len(got) != 0 {
		t.Errorf("without the audit: got %v", got)
	}
	c.settings(`{"isuseraccessauditenabled":false}`)
	c.settings(`{"isauditenabled":true}`)
	c.settings(`{"isuseraccessauditenabled":true,"useraccessauditinginterval":2}`)
	for range 3 {
		c.want(200, "GET", "WhoAmI", "")
	}
	k.at = k.at.Add(2*time.Hour - time.Second)
	if got, _ := accesses(); len(got) != 2 || got[0]+got[1] != 112+65 {
		t.Errorf("within two hours: got %v, want that it began and one access", got)
	}
	k.at = k.at.Add(time.Second)
	got, last := accesses()
	if len(got) != 3 {
		t.Errorf("after two hours: got %v", got)
	}
	d := c.want(200, "GET", "audits("+last+")/Microsoft.Dynamics.CRM.RetrieveAuditDetails", "").json()["AuditDetail"].(map[string]any)
	if d["@odata.type"] != "#Microsoft.Dynamics.CRM.UserAccessAuditDetail" || d["Interval"] != 2.0 || d["AccessTime"] == nil {
		t.Errorf("detail: got %v", d)
	}
	c.settings(`{"isuseraccessauditenabled":false}`)
	k.at = k.at.Add(24 * time.Hour)
	if got, _ := accesses(); len(got) != 4 { // that it ended
		t.Errorf("switched off: got %v", got)
	}
}

// The history is joined with one other table at most, which is that of users;
// $expand of them is null.
func TestSection10_1_QueriesOverTheHistory(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.settings(`{"isauditenabled":true}`)
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	const link = `<link-entity name="systemuser" from="systemuserid" to="userid" alias="u"><attribute name="fullname"/></link-entity>`
	query := func(inner string) answer {
		return c.fetch("audits", `<fetch><entity name="audit"><attribute name="auditid"/>`+inner+`</entity></fetch>`)
	}
	if rows := query(link + `<filter><condition attribute="objectid" operator="eq" value="` + id + `"/></filter>`).rows(); len(rows) != 1 || rows[0]["u.fullname"] == nil {
		t.Errorf("one link: got %v", rows)
	}
	for name, inner := range map[string]string{
		"two":               link + strings.Replace(strings.ReplaceAll(link, `"u"`, `"v"`), "userid", "callinguserid", 1),
		"one below another": strings.Replace(link, "</link-entity>", `<link-entity name="businessunit" from="businessunitid" to="businessunitid"/></link-entity>`, 1),
		"one in a filter":   link + `<filter>` + strings.Replace(strings.Replace(link, `alias="u"`, `link-type="any"`, 1), `<attribute name="fullname"/>`, "", 1) + `</filter>`,
		"to another table":  `<link-entity name="account" from="accountid" to="objectid"/>`,
	} {
		if a := query(inner); a.Status != 400 || a.code() != "0x80040203" || !strings.Contains(a.Body, "audit entity") {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
	}
	a := c.want(200, "GET", "audits?$filter=_objectid_value%20eq%20"+id+"&$expand=userid($select=fullname)&$select=auditid,_userid_value", "", "Prefer", `odata.include-annotations="*"`)
	r := a.rows()[0]
	if u, shown := r["userid"]; u != nil || !shown || r["_userid_value"] == nil || r["_userid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] != "systemuser" || r["_userid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] != nil {
		t.Errorf("$expand=userid: got %s", a.Body)
	}
}

func TestSection10_2_RolePrivileges(t *testing.T) {
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, dvemu.Options{Model: m})
	role := c.want(204, "POST", "roles", `{"name":"Reader"}`).id()
	at := "roles(" + role + ")/Microsoft.Dynamics.CRM."
	id := func(table string) string { return m.Table(table).PrivilegeID("Read").String() }
	give := func(action, table string) {
		t.Helper()
		c.want(204, "POST", at+action, fmt.Sprintf(`{"Privileges":[{"PrivilegeId":%q,"Depth":"Deep"}]}`, id(table)))
	}
	give("AddPrivilegesRole", "account") // before the audit begins
	c.settings(`{"isauditenabled":true}`)
	give("AddPrivilegesRole", "contact")
	give("AddPrivilegesRole", "contact") // nothing changes
	c.want(204, "POST", at+"RemovePrivilegeRole", `{"PrivilegeId":"`+id("account")+`"}`)
	give("ReplacePrivilegesRole", "lead")
	names := func(list any) string {
		var out []string
		for _, p := range list.([]any) {
			p := p.(map[string]any)
			if p["Depth"] != "Deep" || p["PrivilegeId"] == "" || p["BusinessUnitId"] == nil || p["RecordFilterId"] != "00000000-0000-0000-0000-000000000000" {
				t.Errorf("got %v", p)
			}
			out = append(out, p["PrivilegeName"].(string))
		}
		return strings.Join(out, " ")
	}
	var got []string
	for _, r := range c.want(200, "GET", "audits?$filter=_objectid_value%20eq%20"+role+"%20and%20action%20gt%2050", "").rows() {
		d := c.want(200, "GET", "audits("+r["auditid"].(string)+")/Microsoft.Dynamics.CRM.RetrieveAuditDetails", "").json()["AuditDetail"].(map[string]any)
		if d["@odata.type"] != "#Microsoft.Dynamics.CRM.RolePrivilegeAuditDetail" || len(d["InvalidNewPrivileges"].([]any)) != 0 || len(d) != 4 || r["objecttypecode"] != "role" || r["operation"] != 2.0 {
			t.Errorf("got %v of %v", d, r)
		}
		got = append(got, fmt.Sprint(r["action"], ": ", names(d["OldRolePrivileges"]), " > ", names(d["NewRolePrivileges"])))
	}
	slices.Sort(got)
	both := "prvReadAccount prvReadContact"
	if id("account") > id("contact") {
		both = "prvReadContact prvReadAccount"
	}
	if d := cmp.Diff(got, []string{"57: prvReadAccount > " + both, "58: " + both + " > prvReadContact", "59: prvReadContact > prvReadLead"}); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
	if all := c.recordHistory(role, `{}`)["AuditDetails"].([]any); len(all) != 3 {
		t.Errorf("history: got %v", all)
	}
}

// BulkDelete removes rows of the history, which nothing else deletes one by one.
func TestSection10_3_BulkDelete(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.settings(`{"isauditenabled":true}`)
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	other := c.want(204, "POST", "accounts", `{"name":"B"}`).id()
	c.want(204, "DELETE", "accounts("+id+")", "")
	count := func(id string) int {
		t.Helper()
		return len(c.want(200, "GET", "audits?$select=auditid&$filter=_objectid_value%20eq%20"+id, "").rows())
	}
	if count(id) != 2 || count(other) != 1 {
		t.Fatalf("got %d and %d", count(id), count(other))
	}
	c.want(200, "POST", "BulkDelete", bulk("audit", `{"Conditions":[{"AttributeName":"objectid","Operator":"Equal","Values":[{"Value":"`+id+`","Type":"System.Guid"}]}]}`))
	if count(id) != 0 || count(other) != 1 {
		t.Errorf("after BulkDelete: got %d and %d", count(id), count(other))
	}
}

// The history is tracked by default: rows of it come as a delta, those that
// BulkDelete removes as deletions.
func TestSection5_2_AuditIsTracked(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	if d := c.want(200, "GET", "EntityDefinitions(LogicalName='audit')?$select=ChangeTrackingEnabled", "").json(); d["ChangeTrackingEnabled"] != true {
		t.Errorf("got %v", d)
	}
	c.settings(`{"isauditenabled":true}`)
	link := c.want(200, "GET", "audits?$select=action", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	delta := func() answer { return c.want(200, "GET", link[strings.Index(link, "audits?"):], "") }
	rows := delta().rows()
	if len(rows) != 1 || rows[0]["action"] != 1.0 || rows[0]["@odata.etag"] != nil {
		t.Fatalf("got %v", rows)
	}
	c.want(200, "POST", "DeleteRecordChangeHistory", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"`+id+`"}}`)
	if got := delta().rows(); len(got) != 1 || got[0]["reason"] != "deleted" || got[0]["id"] != rows[0]["auditid"] {
		t.Errorf("after it was erased: got %v", got)
	}
}
