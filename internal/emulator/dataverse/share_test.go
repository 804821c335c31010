package dataverse_test

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
)

func shareModel() *entity.Model {
	m := withTables(auditModel(), "principalobjectaccess principalobjectaccessset principalobjectaccessid objectid:Uniqueidentifier objecttypecode:String principalid:Uniqueidentifier principaltypecode:String accessrightsmask:Integer inheritedaccessrightsmask:Integer changedon:DateTime")
	for _, r := range m.Relationships {
		if r.Referenced == "account" && r.Referencing == "contact" {
			r.Cascade.Share = "Cascade"
		}
	}
	return m
}

func (c *client) sharedWith(id string) map[string]string {
	c.t.Helper()
	a := c.want(200, "GET", "RetrieveSharedPrincipalsAndAccess(Target=@p1)?@p1="+url.PathEscape("{'@odata.id':'accounts("+id+")'}"), "")
	out := map[string]string{}
	for _, x := range a.json()["PrincipalAccesses"].([]any) {
		e := x.(map[string]any)
		p := e["Principal"].(map[string]any)
		out[p["@odata.type"].(string)+" "+p["ownerid"].(string)] = e["AccessMask"].(string)
	}
	return out
}

func TestSharing(t *testing.T) {
	c := start(t, dvemu.Options{Model: shareModel()})
	c.enableAudit()
	user := c.want(204, "POST", "systemusers", `{"fullname":"U"}`).id()
	team := c.want(204, "POST", "teams", `{"name":"T"}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"a"}`).id()
	child := c.want(204, "POST", "contacts", `{"lastname":"c","parentcustomerid_account@odata.bind":"/accounts(`+id+`)"}`).id()
	target := `"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"` + id + `"}`
	grant := func(message, kind, who, mask string) {
		t.Helper()
		c.want(204, "POST", message, `{`+target+`,"PrincipalAccess":{"Principal":{"@odata.type":"Microsoft.Dynamics.CRM.`+kind+`","`+kind+`id":"`+who+`"},"AccessMask":"`+mask+`"}}`)
	}
	grant("GrantAccess", "systemuser", user, "ReadAccess")
	grant("GrantAccess", "systemuser", user, "WriteAccess")
	grant("GrantAccess", "systemuser", user, "None")
	grant("GrantAccess", "team", team, "ReadAccess,WriteAccess,DeleteAccess")
	grant("ModifyAccess", "team", team, "ReadAccess")
	want := map[string]string{"#Microsoft.Dynamics.CRM.systemuser " + user: "ReadAccess, WriteAccess", "#Microsoft.Dynamics.CRM.team " + team: "ReadAccess"}
	if diff := cmp.Diff(c.sharedWith(id), want); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
	rows := c.want(200, "GET", "principalobjectaccessset?$select=objectid,accessrightsmask,inheritedaccessrightsmask&$filter=principalid eq "+user, "").rows()
	got := map[string][2]any{}
	for _, r := range rows {
		got[r["objectid"].(string)] = [2]any{r["accessrightsmask"], r["inheritedaccessrightsmask"]}
	}
	if diff := cmp.Diff(got, map[string][2]any{id: {3.0, 0.0}, child: {0.0, 3.0}}); diff != "" {
		t.Errorf("principalobjectaccess, got -, want +:\n%s", diff)
	}
	rights := func(path string) any {
		t.Helper()
		return c.want(200, "GET", path+"/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@tid)?@tid="+url.PathEscape("{'@odata.id':'accounts("+id+")'}"), "").json()["AccessRights"]
	}
	if got := rights("systemusers(" + user + ")"); got != "ReadAccess, WriteAccess" {
		t.Errorf("rights of the user: got %v", got)
	}
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	if got := rights("systemusers(" + me + ")"); got != "ReadAccess, WriteAccess, AppendAccess, AppendToAccess, CreateAccess, DeleteAccess, ShareAccess, AssignAccess" {
		t.Errorf("rights of the owner: got %v", got)
	}
	c.want(204, "POST", "RevokeAccess", `{`+target+`,"Revokee":{"@odata.type":"Microsoft.Dynamics.CRM.systemuser","systemuserid":"`+user+`"}}`)
	if got := c.sharedWith(id); len(got) != 1 {
		t.Errorf("after RevokeAccess: got %v", got)
	}
	if rows := c.want(200, "GET", "principalobjectaccessset?$filter=principalid eq "+user, "").rows(); len(rows) != 0 {
		t.Errorf("inherited rights stay: %v", rows)
	}
	history := c.recordHistory(id, `{}`)["AuditDetails"].([]any)
	if d := history[0].(map[string]any); d["@odata.type"] != "#Microsoft.Dynamics.CRM.ShareAuditDetail" || d["OldPrivileges"] != "ReadAccess, WriteAccess" || d["NewPrivileges"] != "None" {
		t.Errorf("history: got %v", d)
	}
	c.want(204, "DELETE", "accounts("+id+")", "")
	if rows := c.want(200, "GET", "principalobjectaccessset", "").rows(); len(rows) != 0 {
		t.Errorf("rights to a deleted row: %v", rows)
	}
}

func TestSharedRowsAreReadable(t *testing.T) {
	c := start(t, dvemu.Options{Model: shareModel(), AppUsers: dvemu.DefaultAppUsers(2)})
	users := c.srv.Users()
	other := c.want(204, "POST", "systemusers", `{"fullname":"U"}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"a","ownerid@odata.bind":"/systemusers(`+other+`)"}`).id()
	share := `{"Target":{"@odata.id":"accounts(` + id + `)"},"PrincipalAccess":{"Principal":{"ownerid":"` + users[0].User.String() + `","@odata.type":"Microsoft.Dynamics.CRM.systemuser"},"AccessMask":"ReadAccess"}}`
	c.want(204, "POST", "GrantAccess", share)
	c.action("set-depth", `{"table":"account","depth":"Basic"}`)
	c.want(200, "GET", "accounts("+id+")", "")
	c.want(204, "POST", "RevokeAccess", `{"Target":{"@odata.id":"accounts(`+id+`)"},"Revokee":{"@odata.type":"Microsoft.Dynamics.CRM.systemuser","systemuserid":"`+users[0].User.String()+`"}}`)
	c.want(403, "GET", "accounts("+id+")", "")
	if a := c.want(403, "POST", "GrantAccess", share); a.code() != "0x80048306" {
		t.Errorf("sharing a row nobody gave: got %s", a.Body)
	}
}

func TestSharingRefuses(t *testing.T) {
	users := dvemu.DefaultAppUsers(1)
	users[0].Deny = []string{"prvShareContact"}
	c := start(t, dvemu.Options{Model: shareModel(), AppUsers: users})
	id := c.want(204, "POST", "accounts", `{"name":"a"}`).id()
	contact := c.want(204, "POST", "contacts", `{"lastname":"a"}`).id()
	me := c.srv.Users()[0].User.String()
	to := func(target, who, mask string) string {
		return `{"Target":{"@odata.id":"` + target + `"},"PrincipalAccess":{"Principal":{"@odata.type":"Microsoft.Dynamics.CRM.systemuser","systemuserid":"` + who + `"},"AccessMask":"` + mask + `"}}`
	}
	missing := "00000000-0000-4000-8000-00000000ffff"
	for _, tt := range []struct {
		status int
		code   string
		body   string
	}{
		{404, "0x80040217", to("accounts("+missing+")", me, "ReadAccess")},
		{404, "0x80040217", to("accounts("+id+")", missing, "ReadAccess")},
		{400, "0x80048d19", to("accounts("+id+")", me, "EveryAccess")},
		{400, "0x80048d19", `{"Target":{"@odata.id":"accounts(` + id + `)"}}`},
		{403, "0x80040220", to("contacts("+contact+")", me, "ReadAccess")},
	} {
		if a := c.want(tt.status, "POST", "GrantAccess", tt.body); a.code() != tt.code {
			t.Errorf("%s: got %s, want %s", tt.body, a.Body, tt.code)
		}
	}
}
