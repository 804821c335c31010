package dataverse_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// closedOpportunities is the policy of the page "Long-term data retention".
const closedOpportunities = `{"statecode":0,"name":"Retain all closed opportunities","uniquename":"ui_RetainAllClosedOpportunities","statuscode":10,
 "criteria":"<fetch version=\"1.0\" output-format=\"xml-platform\" mapping=\"logical\" distinct=\"false\"><entity name=\"opportunity\"><attribute name=\"name\" /><attribute name=\"statecode\" /><attribute name=\"actualclosedate\" /><attribute name=\"opportunityid\" /><order attribute=\"actualclosedate\" descending=\"true\" /><filter type=\"and\"><filter type=\"or\"><condition attribute=\"statecode\" operator=\"eq\" value=\"1\" /><condition attribute=\"statecode\" operator=\"eq\" value=\"2\" /></filter></filter></entity></fetch>",
 "starttime":"2023-05-01T00:00:00Z","recurrence":"FREQ=YEARLY;INTERVAL=1","retentionconfigid":"35cc1317-20b7-4f4f-829d-5d9d5d77f712","entitylogicalname":"opportunity"}`

func retainedOf(table, set string) string {
	return set + "?fetchXml=" + url.PathEscape(`<fetch datasource="retained"><entity name="`+table+`"><all-attributes/></entity></fetch>`)
}

func TestLongTermRetention(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "retentionconfigs", closedOpportunities)
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	open := c.want(204, "POST", "opportunities", `{"name":"open"}`).id()
	won := c.want(204, "POST", "opportunities", `{"name":"won","customerid_account@odata.bind":"/accounts(`+acc+`)"}`).id()
	c.want(204, "POST", "WinOpportunity", `{"Status":3,"OpportunityClose":{"subject":"Won","opportunityid@odata.bind":"/opportunities(`+won+`)"}}`)
	note := c.want(204, "POST", "annotations", `{"subject":"N","objectid_opportunity@odata.bind":"/opportunities(`+won+`)"}`).id()
	delta := c.want(200, "GET", "opportunities?$select=name", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)

	c.action("retention-run", `{"table":"opportunity"}`)
	c.want(404, "GET", "opportunities("+won+")", "")
	c.want(404, "GET", "annotations("+note+")", "")
	c.want(200, "GET", "opportunities("+open+")", "")
	if l := c.want(200, "GET", delta, "").rows(); len(l) != 1 || l[0]["id"] != won || l[0]["reason"] != "deleted" {
		t.Errorf("delta: got %v", l)
	}
	// What went stays readable with its values, and its parts with theirs.
	l := c.want(200, "GET", retainedOf("opportunity", "opportunities"), "").rows()
	if len(l) != 1 || l[0]["opportunityid"] != won || l[0]["name"] != "won" || l[0]["statecode"] != 1.0 || l[0]["_customerid_value"] != acc {
		t.Errorf("retained: got %v", l)
	}
	if l := c.want(200, "GET", retainedOf("annotation", "annotations"), "").rows(); len(l) != 1 || l[0]["annotationid"] != note {
		t.Errorf("retained notes: got %v", l)
	}
	if l := c.want(200, "GET", "opportunities?fetchXml="+url.PathEscape(`<fetch datasource="retained"><entity name="opportunity"><filter><condition attribute="name" operator="eq" value="lost"/></filter></entity></fetch>`), "").rows(); len(l) != 0 {
		t.Errorf("filtered: got %v", l)
	}
	// Read-only, one table at a time, no sums.
	c.want(404, "PATCH", "opportunities("+won+")", `{"name":"x"}`, "If-Match", "*")
	c.want(404, "DELETE", "opportunities("+won+")", "")
	for _, xml := range []string{
		`<fetch datasource="retained" aggregate="true"><entity name="opportunity"><attribute name="opportunityid" aggregate="count" alias="n"/></entity></fetch>`,
		`<fetch datasource="retained"><entity name="opportunity"><link-entity name="account" from="accountid" to="customerid"/></entity></fetch>`,
	} {
		if a := c.want(400, "GET", "opportunities?fetchXml="+url.PathEscape(xml), ""); a.code() != "0x80040203" || !strings.Contains(a.Body, "aren't allowed") {
			t.Errorf("%s: got %s", xml, a.Body)
		}
	}
	// The run is written down as the page shows it.
	runs := c.want(200, "GET", "retentionoperations?fetchXml="+url.PathEscape(`<fetch><entity name="retentionoperation"><attribute name="retentionoperationid"/><attribute name="rootentitylogicalname"/><attribute name="endtime"/><attribute name="criteria"/><filter><condition attribute="retentionconfigid" operator="eq" value="{35CC1317-20B7-4F4F-829D-5D9D5D77F712}"/></filter></entity></fetch>`), "").rows()
	if len(runs) != 1 || runs[0]["rootentitylogicalname"] != "opportunity" || runs[0]["endtime"] == nil || runs[0]["criteria"] == nil {
		t.Fatalf("run: got %v", runs)
	}
	got := map[string]any{}
	for _, d := range c.want(200, "GET", "retentionoperationdetails?$filter=_retentionoperationid_value eq "+runs[0]["retentionoperationid"].(string), "").rows() {
		got[fmt.Sprint(d["entitylogicalname"], " ", d["isrootentity"])] = d["retentioncount"]
	}
	if got["opportunity true"] != 1.0 || got["annotation false"] != 1.0 {
		t.Errorf("details: got %v", got)
	}
	// Who does not read the whole table reads none of it.
	c.action("set-depth", `{"table":"opportunity","depth":"Local"}`)
	if a := c.want(403, "GET", retainedOf("opportunity", "opportunities"), ""); a.code() != "0x80040220" {
		t.Errorf("Local: got %s", a.Body)
	}
}

// TestRetentionThatFails: a row that cannot be purged stays live and is told of.
func TestRetentionThatFails(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	res, err := http.Post(c.url+"/_emulator/actions/retention-run", "application/json", strings.NewReader(`{"table":"contact"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 404 {
		t.Errorf("no policy: got %d", res.StatusCode)
	}
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", "RelationshipDefinitions", oneToMany("new_contact_bank", "contact", "new_bankaccount", "new_HolderId", `"CascadeConfiguration":{"Delete":"Restrict"}`))
	held := c.want(204, "POST", "contacts", `{"lastname":"held"}`).id()
	free := c.want(204, "POST", "contacts", `{"lastname":"free"}`).id()
	c.want(204, "POST", "new_bankaccounts", `{"new_HolderId@odata.bind":"/contacts(`+held+`)"}`)
	c.action("retention-run", `{"table":"contact","ids":["`+held+`","`+free+`"]}`)
	c.want(200, "GET", "contacts("+held+")", "")
	c.want(404, "GET", "contacts("+free+")", "")
	if l := c.want(200, "GET", retainedOf("contact", "contacts"), "").rows(); len(l) != 1 || l[0]["lastname"] != "free" {
		t.Errorf("retained: got %v", l)
	}
	if l := c.want(200, "GET", "retentionfailuredetails", "").rows(); len(l) != 1 || l[0]["recordid"] != held || l[0]["message"] == nil {
		t.Errorf("failure: got %v", l)
	}
	if l := c.want(200, "GET", "retentionoperationdetails?$filter=isrootentity eq true", "").rows(); len(l) != 1 || l[0]["failedcount"] != 1.0 || l[0]["retentioncount"] != 1.0 {
		t.Errorf("details: got %v", l)
	}
}
