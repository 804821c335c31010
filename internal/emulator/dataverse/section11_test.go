package dataverse_test

import (
	"fmt"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// What protocols/dataverse.md states in section 11 and no other test shows.

func TestSection11_2_AppComponents(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	app := c.want(204, "POST", "appmodules", `{"name":"A","uniquename":"new_A"}`).id()
	form := c.want(204, "POST", "systemforms", `{"name":"F","objecttypecode":"account","type":2}`).id()
	view := c.want(204, "POST", "savedqueries", `{"name":"V","returnedtypecode":"account"}`).id()
	script := c.want(204, "POST", "webresourceset", `{"name":"new_/a.js","webresourcetype":3}`).id()
	body := func(components string) string { return `{"AppId":"` + app + `","Components":[` + components + `]}` }
	a, b := `{"@odata.type":"Microsoft.Dynamics.CRM.systemform","formid":"`+form+`"}`, `{"@odata.type":"Microsoft.Dynamics.CRM.savedquery","savedqueryid":"`+view+`"}`
	parts := func() map[string]float64 {
		t.Helper()
		out := map[string]float64{}
		for _, r := range c.want(200, "GET", "RetrieveAppComponents(AppModuleId="+app+")", "").rows() {
			out[r["objectid"].(string)] = r["componenttype"].(float64)
		}
		return out
	}
	c.want(204, "POST", "AddAppComponents", body(a+","+b))
	c.want(204, "POST", "AddAppComponents", body(b)) // once is enough
	if got := parts(); len(got) != 2 || got[form] != 60 || got[view] != 26 {
		t.Errorf("got %v", got)
	}
	rows := c.want(200, "GET", "appmodulecomponents?$select=objectid&$filter=_appmoduleidunique_value eq "+app, "").rows()
	if len(rows) != 2 {
		t.Fatalf("got %v", rows)
	}
	for _, r := range [][3]string{{"POST", "appmodulecomponents", `{}`}, {"DELETE", "appmodulecomponents(" + rows[0]["appmodulecomponentid"].(string) + ")", ""}} {
		c.want(405, r[0], r[1], r[2])
	}
	c.want(400, "POST", "AddAppComponents", body(`{"@odata.type":"Microsoft.Dynamics.CRM.webresource","webresourceid":"`+script+`"}`))
	c.want(404, "POST", "AddAppComponents", body(`{"@odata.type":"Microsoft.Dynamics.CRM.systemform","formid":"`+nobody+`"}`))
	c.want(404, "POST", "AddAppComponents", `{"AppId":"`+nobody+`","Components":[`+a+`]}`)
	c.want(400, "POST", "AddAppComponents", body(""))

	valid := func() any {
		t.Helper()
		return at(c.want(200, "GET", "ValidateApp(AppModuleId="+app+")", "").json(), "AppValidationResponse", "ValidationSuccess")
	}
	if valid() != true {
		t.Error("an app that is whole is not valid")
	}
	c.want(204, "DELETE", "systemforms("+form+")", "")
	if valid() != false {
		t.Error("an app whose form is gone is valid")
	}
	c.want(204, "POST", "RemoveAppComponents", body(a))
	c.want(404, "POST", "RemoveAppComponents", body(a))
	if got := parts(); len(got) != 1 || valid() != true {
		t.Errorf("after it was removed: got %v", got)
	}
	c.want(404, "GET", "RetrieveAppComponents(AppModuleId="+nobody+")", "")
}

func TestSection11_1_KindsOfTablesInPackages(t *testing.T) {
	from, to := standardCompany(t, dvemu.Options{}), standardCompany(t, dvemu.Options{})
	publisher := from.want(204, "POST", "publishers", `{"uniquename":"house","friendlyname":"House","customizationprefix":"new"}`).id()
	from.want(204, "POST", "solutions", `{"uniquename":"New","friendlyname":"New","version":"1.0","publisherid@odata.bind":"/publishers(`+publisher+`)"}`)
	for name, more := range map[string]string{"new_Sensor": `"TableType":"Elastic"`, "new_Far": `"TableType":"Virtual","OwnershipType":"OrganizationOwned","ChangeTrackingEnabled":false,"HasNotes":false`, "new_Plain": `"HasNotes":false`} {
		from.want(204, "POST", "EntityDefinitions", bank(name, more), "MSCRM.SolutionUniqueName", "New")
	}
	file := from.want(200, "POST", "ExportSolution", `{"SolutionName":"New","Managed":false}`).json()["ExportSolutionFile"].(string)
	to.want(204, "POST", "ImportSolution", `{"CustomizationFile":"`+file+`"}`)
	kinds := "EntityDefinitions?$select=LogicalName,TableType,DataProviderId&$filter=LogicalName eq 'new_sensor' or LogicalName eq 'new_far' or LogicalName eq 'new_plain'"
	for _, c := range []*client{from, to} {
		got := map[string]any{}
		for _, r := range c.want(200, "GET", kinds, "").rows() {
			got[r["LogicalName"].(string)] = r["TableType"]
			if (r["DataProviderId"] != nil) != (r["TableType"] == "Virtual") {
				t.Errorf("provider: got %v", r)
			}
		}
		if got["new_sensor"] != "Elastic" || got["new_far"] != "Virtual" || got["new_plain"] != "Standard" {
			t.Errorf("got %v", got)
		}
	}
	to.want(204, "POST", "new_sensors", `{"partitionid":"d1","ttlinseconds":60}`)
}

// What a managed solution brought is changed and deleted as its managed
// properties say; another import of the solution goes on writing it.
func TestSection11_2_ManagedComponents(t *testing.T) {
	from, c := standardCompany(t, dvemu.Options{}), standardCompany(t, dvemu.Options{Seed: 7})
	publisher := from.want(204, "POST", "publishers", `{"uniquename":"boats","friendlyname":"Boats","customizationprefix":"new"}`).id()
	from.want(204, "POST", "solutions", `{"uniquename":"Harbour","friendlyname":"Harbour","version":"1.0","publisherid@odata.bind":"/publishers(`+publisher+`)"}`)
	in := []string{"MSCRM.SolutionUniqueName", "Harbour"}
	ids := map[string]string{}
	for set, body := range map[string]string{
		"systemforms": `{"name":"F","objecttypecode":"account","type":2,"formxml":"<form/>"}`, "savedqueries": `{"name":"V","returnedtypecode":"account","querytype":0,"fetchxml":"<fetch/>"}`,
		"webresourceset": `{"name":"new_/a.js","webresourcetype":3,"content":"YQ=="}`, "roles": `{"name":"Sailor"}`,
		"workflows": `{"name":"W","category":5,"type":1,"primaryentity":"none","clientdata":"{}"}`,
	} {
		ids[set] = from.want(204, "POST", set, body, in...).id()
	}
	bring := func(managed string) {
		t.Helper()
		file := from.want(200, "POST", "ExportSolution", `{"SolutionName":"Harbour","Managed":`+managed+`}`).json()["ExportSolutionFile"].(string)
		c.want(204, "POST", "ImportSolution", `{"OverwriteUnmanagedCustomizations":true,"PublishWorkflows":true,"ImportJobId":"00000000-0000-4000-8000-00000000000a","CustomizationFile":"`+file+`"}`)
	}
	bring("true")
	refused := func(code string, a answer) {
		t.Helper()
		if a.Status != 400 || a.code() != code {
			t.Errorf("got %d %s, want %s", a.Status, a.Body, code)
		}
	}
	property := func(name string, on bool) string {
		return fmt.Sprintf(`{"%s":{"Value":%v,"CanBeChanged":true,"ManagedPropertyLogicalName":"%s"}}`, name, on, name)
	}
	for set, id := range ids {
		row := set + "(" + id + ")"
		if r := c.want(200, "GET", row+"?$select=ismanaged", "").json(); r["ismanaged"] != true {
			t.Fatalf("%s: got %v", row, r)
		}
		c.want(204, "PATCH", row, `{"name":"Other"}`) // customizable
		c.want(204, "PATCH", row, property("iscustomizable", false))
		c.want(204, "POST", "PublishAllXml", "{}")
		refused("0x8004F026", c.do("PATCH", row, `{"name":"Another"}`))
		if set != "systemforms" {
			refused("0x8004F032", c.do("DELETE", row, ""))
		}
		c.want(200, "GET", row, "")
		from.want(204, "PATCH", set+"("+id+")", property("iscustomizable", false)) // not managed
		from.want(204, "PATCH", set+"("+id+")", `{"name":"free"}`)
	}
	c.want(204, "PATCH", "workflows("+ids["workflows"]+")", `{"statecode":1,"statuscode":2}`)
	from.want(204, "POST", "PublishAllXml", "{}")
	bring("true")
	if r := c.want(200, "GET", "webresourceset("+ids["webresourceset"]+")?$select=name", "").json(); r["name"] != "free" {
		t.Errorf("after another import: got %v", r)
	}
	form := "systemforms(" + ids["systemforms"] + ")"
	c.want(204, "DELETE", form, "") // canbedeleted
	from.want(204, "DELETE", form, "")
	from.want(204, "DELETE", "roles("+ids["roles"]+")", "")
}
