package dataverse_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
)

func binModel() *entity.Model {
	return withTables(model(),
		"recyclebinconfig recyclebinconfigs recyclebinconfigid name:String cleanupintervalindays:Integer isreadyforrecyclebin:Boolean statecode:State statuscode:Status",
		"deleteditemreference deleteditemreferences deleteditemreferenceid name:String deletedobject:Lookup createdon:DateTime createdby:Lookup")
}

func (c *client) binned(table, set string) []map[string]any {
	c.t.Helper()
	q := url.QueryEscape("<fetch datasource='bin'><entity name='" + table + "'><all-attributes/></entity></fetch>")
	return c.want(200, "GET", set+"?fetchXml="+strings.ReplaceAll(q, "+", "%20"), "").rows()
}

func TestRecycleBinRestoresARowWithItsChildren(t *testing.T) {
	c := start(t, dvemu.Options{Model: binModel()})
	early := c.want(204, "POST", "accounts", `{"name":"early"}`).id()
	c.want(204, "DELETE", "accounts("+early+")", "")
	target := func(id, more string) string {
		return `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"` + id + `"` + more + `}}`
	}
	if a := c.want(400, "POST", "Restore", target(early, "")); a.code() != "0x80049959" {
		t.Errorf("deleted while the bin was off: got %s", a.Body)
	}
	c.want(204, "POST", "recyclebinconfigs", `{"name":"organization","isreadyforrecyclebin":true,"cleanupintervalindays":30}`)
	if rows := c.want(200, "GET", "recyclebinconfigs?$filter=name eq 'account' and statecode eq 0 and isreadyforrecyclebin eq true", "").rows(); len(rows) != 1 {
		t.Errorf("accounts have no configuration: %v", rows)
	}
	parent := c.want(204, "POST", "accounts", `{"name":"parent"}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"a","revenue":12.5,"address1_city":"Linz","parentaccountid@odata.bind":"/accounts(`+parent+`)","Account_Tasks":[{"subject":"call"}]}`).id()
	contact := c.want(204, "POST", "contacts", `{"lastname":"L","parentcustomerid_account@odata.bind":"/accounts(`+id+`)"}`).id()
	c.want(204, "PATCH", "accounts("+id+")/contract", "content", "Content-Type", "application/octet-stream", "x-ms-file-name", "a.txt")
	was := c.want(200, "GET", "accounts("+id+")", "").json()
	c.want(204, "DELETE", "accounts("+id+")", "")
	c.want(404, "GET", "accounts("+id+")", "")
	c.want(404, "GET", "contacts("+contact+")", "")
	if rows := c.binned("account", "accounts"); len(rows) != 1 || rows[0]["name"] != "a" || rows[0]["accountid"] != id {
		t.Errorf("bin: got %v", rows)
	}
	if rows := c.binned("contact", "contacts"); len(rows) != 1 {
		t.Errorf("bin of contacts: got %v", rows)
	}
	if rows := c.want(200, "GET", "deleteditemreferences", "").rows(); len(rows) != 1 || rows[0]["_deletedobject_value"] != id || rows[0]["name"] != "a" {
		t.Errorf("deletions: got %v, want the account alone", rows)
	}
	c.want(204, "DELETE", "accounts("+parent+")", "")

	a := c.want(200, "POST", "Restore", target(id, `,"name":"back"`))
	if a.json()["id"] != id || !strings.HasSuffix(a.json()["@odata.context"].(string), "#Microsoft.Dynamics.CRM.RestoreResponse") {
		t.Errorf("got %s", a.Body)
	}
	is := c.want(200, "GET", "accounts("+id+")", "").json()
	for _, column := range []string{"revenue", "createdon", "_createdby_value", "address1_city", "address1_addressid", "contract", "contract_name"} {
		if is[column] != was[column] {
			t.Errorf("%s: got %v, want %v", column, is[column], was[column])
		}
	}
	if is["name"] != "back" || is["_parentaccountid_value"] != nil {
		t.Errorf("got %v", is)
	}
	if a := c.want(200, "GET", "accounts("+id+")/contract/$value", ""); a.Body != "content" {
		t.Errorf("file: got %q", a.Body)
	}
	c.want(200, "GET", "contacts("+contact+")", "")
	if rows := c.want(200, "GET", "accounts("+id+")/Account_Tasks", "").rows(); len(rows) != 1 {
		t.Errorf("tasks: got %v", rows)
	}
	if rows := c.want(200, "GET", "customeraddresses?$filter=_parentid_value eq "+id, "").rows(); len(rows) != 2 {
		t.Errorf("addresses: got %d, want 2", len(rows))
	}
	if rows := c.binned("contact", "contacts"); len(rows) != 0 {
		t.Errorf("still in the bin: %v", rows)
	}
	c.want(400, "POST", "Restore", target(id, ""))
}

func TestRecycleBinRefuses(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := start(t, dvemu.Options{Model: binModel(), Now: k.now, Assume: map[string]string{"restore-refused-status": "412"}})
	c.action("set-recycle-bin", `{"on":true,"count":7}`)
	gone := func(body string) string {
		id := c.want(204, "POST", "accounts", body).id()
		c.want(204, "DELETE", "accounts("+id+")", "")
		return id
	}
	refused := func(id, code string) {
		t.Helper()
		if a := c.want(412, "POST", "Restore", `{"Target":{"@odata.id":"`+c.url+`/api/data/v9.2/accounts(`+id+`)"}}`); a.code() != code {
			t.Errorf("got %s, want %s", a.Body, code)
		}
	}
	again := gone(`{"name":"a"}`)
	c.want(204, "PATCH", "accounts("+again+")", `{"name":"b"}`)
	refused(again, "0x80049939")
	key := gone(`{"accountnumber":"7"}`)
	c.want(204, "POST", "accounts", `{"accountnumber":"7"}`)
	refused(key, "0x80049929")
	old := gone(`{"name":"c"}`)
	k.at = k.at.AddDate(0, 0, 8)
	refused(old, "0x80049959")
	if rows := c.binned("account", "accounts"); len(rows) != 0 {
		t.Errorf("after 8 of 7 days: %v", rows)
	}
	off := c.want(200, "GET", "recyclebinconfigs?$filter=name eq 'account'", "").rows()[0]["recyclebinconfigid"].(string)
	c.want(204, "DELETE", "recyclebinconfigs("+off+")", "")
	refused(gone(`{"name":"d"}`), "0x80049959")
	c.want(400, "POST", "Restore", `{"Target":{}}`)
}

func TestRecycleBinWithoutItsTables(t *testing.T) {
	c := start(t, dvemu.Options{})
	c.action("set-recycle-bin", `{"on":true,"count":-1}`)
	id := c.want(204, "POST", "contacts", `{"lastname":"L"}`).id()
	c.want(204, "DELETE", "contacts("+id+")", "")
	c.want(200, "POST", "Restore", `{"Target":{"contactid":"`+id+`"}}`)
	c.want(200, "GET", "contacts("+id+")", "")
	elastic := c.want(204, "POST", "contoso_sensordatas", `{"name":"s"}`).id()
	c.want(204, "DELETE", "contoso_sensordatas("+elastic+")", "")
	if a := c.want(400, "POST", "Restore", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.contoso_sensordata","contoso_sensordataid":"`+elastic+`"}}`); a.code() != "0x80049959" {
		t.Errorf("elastic: got %s", a.Body)
	}
	c.action("set-recycle-bin", `{"on":false}`)
	c.want(204, "DELETE", "contacts("+id+")", "")
	c.want(400, "POST", "Restore", `{"Target":{"contactid":"`+id+`"}}`)
}
