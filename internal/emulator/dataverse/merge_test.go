package dataverse_test

import (
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// mergeBody is the body of Merge of two rows of the table.
func mergeBody(table, target, sub, content string, check bool) string {
	row := func(id string) string {
		return `{"` + table + `id":"` + id + `","@odata.type":"Microsoft.Dynamics.CRM.` + table + `"}`
	}
	body := `{"Target":` + row(target) + `,"Subordinate":` + row(sub)
	if content != "" {
		body += `,"UpdateContent":` + content
	}
	if check {
		return body + `,"PerformParentingChecks":true}`
	}
	return body + `,"PerformParentingChecks":false}`
}

// Trap: merged records. What the subordinate row had hangs on the target.
func TestMergeMovesWhatHangsOnTheRow(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	target := c.want(204, "POST", "accounts", `{"name":"T","telephone1":"1"}`).id()
	sub := c.want(204, "POST", "accounts", `{"name":"S","telephone1":"2","fax":"3"}`).id()
	contact := c.want(204, "POST", "contacts", `{"lastname":"C","parentcustomerid_account@odata.bind":"/accounts(`+sub+`)"}`).id()
	below := c.want(204, "POST", "accounts", `{"name":"B","parentaccountid@odata.bind":"/accounts(`+sub+`)"}`).id()
	task := c.want(204, "POST", "tasks", `{"subject":"t","regardingobjectid_account_task@odata.bind":"/accounts(`+sub+`)"}`).id()
	note := c.want(204, "POST", "annotations", `{"subject":"n","objectid_account@odata.bind":"/accounts(`+sub+`)"}`).id()
	c.want(204, "POST", "Merge", mergeBody("account", target, sub, `{"accountnumber":"1234","@odata.type":"Microsoft.Dynamics.CRM.account"}`, false))
	if r := c.want(200, "GET", "accounts("+sub+")", "").json(); r["_masterid_value"] != target || r["merged"] != true || r["statecode"] != 1.0 || r["statuscode"] != 2.0 || r["name"] != "S" {
		t.Errorf("subordinate: got %v", r)
	}
	if r := c.want(200, "GET", "accounts("+target+")", "").json(); r["accountnumber"] != "1234" || r["telephone1"] != "1" || r["fax"] != nil || r["statecode"] != 0.0 || r["merged"] == true {
		t.Errorf("target: got %v", r)
	}
	for url, column := range map[string]string{
		"contacts(" + contact + ")": "_parentcustomerid_value", "accounts(" + below + ")": "_parentaccountid_value",
		"tasks(" + task + ")": "_regardingobjectid_value", "annotations(" + note + ")": "_objectid_value",
	} {
		if r := c.want(200, "GET", url, "").json(); r[column] != target {
			t.Errorf("%s: got %v = %v, want the target", url, column, r[column])
		}
	}
	if r := c.want(200, "GET", "contacts("+contact+")", "").json(); r["_accountid_value"] != target {
		t.Errorf("what follows from the parent: got %v", r["_accountid_value"])
	}
	if n := len(c.want(200, "GET", "customeraddresses?$filter=_parentid_value eq "+sub, "").rows()); n != 2 {
		t.Errorf("addresses of the subordinate: got %d, want its own two", n)
	}
	again := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	for _, pair := range [][2]string{{again, sub}, {sub, again}} {
		if a := c.want(400, "POST", "Merge", mergeBody("account", pair[0], pair[1], "", false)); !strings.Contains(a.Body, "inactive") {
			t.Errorf("with a merged row: got %s", a.Body)
		}
	}
}

func TestMergeFillsTheTarget(t *testing.T) {
	c := standardCompany(t, dvemu.Options{Assume: map[string]string{"merge-fills": "empty"}})
	target := c.want(204, "POST", "leads", `{"subject":"T","lastname":"L","telephone1":"1"}`).id()
	sub := c.want(204, "POST", "leads", `{"subject":"S","lastname":"L","telephone1":"2","mobilephone":"3"}`).id()
	c.want(204, "POST", "Merge", mergeBody("lead", target, sub, "", true))
	if r := c.want(200, "GET", "leads("+target+")", "").json(); r["telephone1"] != "1" || r["mobilephone"] != "3" || r["subject"] != "T" {
		t.Errorf("target: got %v", r)
	}
	if r := c.want(200, "GET", "leads("+sub+")", "").json(); r["_masterid_value"] != target || r["statecode"] != 2.0 || r["statuscode"] != 7.0 {
		t.Errorf("subordinate: got %v", r)
	}
}

func TestMergeOfCases(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	account := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	incident := func(more string) string {
		return c.want(204, "POST", "incidents", `{"title":"I","customerid_account@odata.bind":"/accounts(`+account+`)"`+more+`}`).id()
	}
	child := func(of string) string { return incident(`,"parentcaseid@odata.bind":"/incidents(` + of + `)"`) }
	target, sub := incident(""), incident("")
	a, b := child(target), child(sub)
	c.want(400, "POST", "Merge", mergeBody("incident", a, b, "", false)) // of different parents
	c.want(204, "POST", "Merge", mergeBody("incident", target, sub, `{"title":"new","@odata.type":"Microsoft.Dynamics.CRM.incident"}`, false))
	if r := c.want(200, "GET", "incidents("+sub+")", "").json(); r["_masterid_value"] != target || r["merged"] != true || r["statecode"] != 2.0 || r["statuscode"] != 2000.0 {
		t.Errorf("subordinate: got %v", r)
	}
	if r := c.want(200, "GET", "incidents("+target+")", "").json(); r["title"] != "I" {
		t.Errorf("UpdateContent is not used for cases: got %v", r["title"])
	}
	c.want(204, "POST", "Merge", mergeBody("incident", a, b, "", false)) // of the same parent now
	other := incident("")
	if r := c.want(400, "POST", "Merge", mergeBody("incident", child(other), other, "", false)); !strings.Contains(r.Body, "cyclical") {
		t.Errorf("into a child: got %s", r.Body)
	}
}

func TestMergeRefuses(t *testing.T) {
	users := dvemu.DefaultAppUsers(1)
	c := standardCompany(t, dvemu.Options{AppUsers: users})
	one := c.want(204, "POST", "contacts", `{"lastname":"1"}`).id()
	parent := c.want(204, "POST", "accounts", `{"name":"P"}`).id()
	two := c.want(204, "POST", "contacts", `{"lastname":"2","parentcustomerid_account@odata.bind":"/accounts(`+parent+`)"}`).id()
	for name, x := range map[string][2]string{
		"the same row":     {mergeBody("contact", one, one, "", false), "identical"},
		"another table":    {strings.Replace(mergeBody("contact", one, two, "", false), `{"contactid":"`+two+`","@odata.type":"Microsoft.Dynamics.CRM.contact"}`, `{"accountid":"`+parent+`"}`, 1), "not supported"},
		"teams":            {mergeBody("team", one, two, "", false), "not supported"},
		"another parent":   {mergeBody("contact", one, two, "", true), "lose parenting"},
		"without type":     {mergeBody("contact", one, two, `{"lastname":"x"}`, false), "@odata.type"},
		"without checking": {strings.Replace(mergeBody("contact", one, two, "", false), "PerformParentingChecks", "Checks", 1), "PerformParentingChecks"},
	} {
		if a := c.want(400, "POST", "Merge", x[0]); !strings.Contains(a.Body, x[1]) {
			t.Errorf("%s: got %s", name, a.Body)
		}
	}
	c.want(404, "POST", "Merge", mergeBody("contact", one, nobody, "", false))
	c.action("set-administrator", `{"on":false}`)
	if a := c.want(403, "POST", "Merge", mergeBody("contact", one, two, "", false)); !strings.Contains(a.Body, "prvMerge") {
		t.Errorf("without the privilege: got %s", a.Body)
	}
	if r := c.want(200, "GET", "contacts("+two+")", "").json(); r["_masterid_value"] != nil || r["statecode"] != 0.0 {
		t.Errorf("after refusals: got %v", r)
	}
}
