package dataverse_test

import (
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
