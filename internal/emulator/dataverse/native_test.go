package dataverse_test

import (
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// §12.1: what a restore by the platform does besides bringing back data.
func TestSection12_1_AfterARestoreByThePlatform(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	org := c.want(200, "GET", "organizations?$select=organizationid", "").rows()[0]["organizationid"].(string)
	c.want(204, "PATCH", "organizations("+org+")", `{"isauditenabled":true}`)
	account := c.want(204, "POST", "accounts", `{"name":"audited"}`).id()
	flow := c.want(204, "POST", "workflows", `{"name":"flow","category":5,"type":1,"primaryentity":"none","statecode":1,"statuscode":2}`).id()
	rule := c.want(204, "POST", "workflows", `{"name":"workflow","category":0,"type":1,"primaryentity":"account","statecode":1,"statuscode":2}`).id()
	c.want(204, "PATCH", "workflows("+flow+")", `{"statecode":1,"statuscode":2}`)
	c.want(204, "PATCH", "workflows("+rule+")", `{"statecode":1,"statuscode":2}`)
	ref := c.want(204, "POST", "connectionreferences", `{"connectionreferencelogicalname":"new_ref","connectionid":"abc"}`).id()
	app := c.want(204, "POST", "canvasapps", `{"name":"new_app","displayname":"App"}`).id()
	count := func(set string) int { return len(c.want(200, "GET", set, "").rows()) }
	if count("audits") == 0 || count("canvasapps") != 1 {
		t.Fatal("nothing to begin with")
	}
	c.srv.Keep("monday")
	c.want(204, "DELETE", "accounts("+account+")", "")
	if err := c.srv.TakeBack("monday", false); err != nil {
		t.Fatal(err)
	}
	c.want(200, "GET", "accounts("+account+")", "")
	state := func(set, id, column string) any { return c.want(200, "GET", set+"("+id+")", "").json()[column] }
	if got := state("workflows", flow, "statecode"); got != 0.0 {
		t.Errorf("a cloud flow has statecode %v, want 0", got)
	}
	if got := state("workflows", rule, "statecode"); got != 1.0 {
		t.Errorf("a workflow that is no cloud flow has statecode %v, want 1", got)
	}
	if got := state("connectionreferences", ref, "connectionid"); got != nil {
		t.Errorf("a connection reference is still connected: %v", got)
	}
	c.want(404, "GET", "canvasapps("+app+")", "")
	if got := c.want(200, "GET", "canvasapps", "").rows(); len(got) != 1 || got[0]["name"] != "new_app" {
		t.Errorf("canvas apps: %v", got)
	}
	if n := count("audits"); n != 0 {
		t.Errorf("%d rows of the audit came back", n)
	}

	// Only administrators are let in, until it ends.
	c.action("set-administrator", `{"on":false}`)
	c.want(403, "GET", "accounts", "")
	c.srv.Administer(false)
	c.want(200, "GET", "accounts", "")

	c.action("set-administrator", `{"on":true}`)
	if err := c.srv.TakeBack("monday", true); err != nil {
		t.Fatal(err)
	}
	if count("audits") == 0 {
		t.Error("the audit did not come back although it was asked for")
	}
}
