package dataverse_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// sms is the definition of a table of activities as the page "Custom
// activities" of the developer documentation has it.
func sms(more ...string) string {
	parts := append([]string{
		`"@odata.type":"Microsoft.Dynamics.CRM.EntityMetadata"`, `"SchemaName":"new_InstantMessage"`, `"DisplayName":` + label("Instant Message"),
		`"DisplayCollectionName":` + label("Instant Messages"), `"OwnershipType":"UserOwned"`, `"IsActivity":true`, `"IsAvailableOffline":true`,
		`"HasActivities":false`, `"HasNotes":true`, `"ChangeTrackingEnabled":true`,
		`"Attributes":[` + column("String", "Subject", `"IsPrimaryName":true`, `"MaxLength":100`) + `]`,
	}, more...)
	return "{" + strings.Join(parts, ",") + "}"
}

const smsTable = "EntityDefinitions(LogicalName='new_instantmessage')"

func TestActivitiesOfOnesOwn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", sms())
	def := c.want(200, "GET", smsTable+"?$expand=Attributes", "").json()
	for name, want := range map[string]any{
		"IsActivity": true, "ActivityTypeMask": 1.0, "PrimaryIdAttribute": "activityid", "PrimaryNameAttribute": "subject", "IsCustomEntity": true,
		"EntitySetName": "new_instantmessages", "OwnershipType": "UserOwned", "HasNotes": true, "IsManaged": false, "TableType": "Standard",
	} {
		if def[name] != want {
			t.Errorf("%s: got %v, want %v", name, def[name], want)
		}
	}
	kinds := map[string]string{}
	for _, a := range def["Attributes"].([]any) {
		kinds[fmt.Sprint(at(a, "LogicalName"))] = fmt.Sprint(at(a, "AttributeType"))
	}
	for name, want := range map[string]string{"regardingobjectid": "Lookup", "scheduledend": "DateTime", "statecode": "State", "to": "PartyList", "requiredattendees": "PartyList", "activityid": "Uniqueidentifier"} {
		if kinds[name] != want {
			t.Errorf("column %s: got %q, want %s", name, kinds[name], want)
		}
	}
	doc := c.want(200, "GET", "$metadata", "").Body
	for _, s := range []string{
		`<EntityType Name="new_instantmessage" BaseType="mscrm.activitypointer">`, `Name="regardingobjectid_account_new_instantmessage"`,
		`Name="account_new_instantmessages"`, `Name="new_instantmessage_activity_parties"`, `Name="createdby_new_instantmessage"`, `Name="ownerid_new_instantmessage"`,
	} {
		if !strings.Contains(doc, s) {
			t.Errorf("$metadata lacks %s", s)
		}
	}

	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	con := c.want(204, "POST", "contacts", `{"lastname":"C"}`).id()
	id := c.want(204, "POST", "new_instantmessages", `{"subject":"Hello","regardingobjectid_account_new_instantmessage@odata.bind":"/accounts(`+acc+`)",
		"new_instantmessage_activity_parties":[{"partyid_contact@odata.bind":"/contacts(`+con+`)","participationtypemask":2}]}`).id()
	r := c.want(200, "GET", "new_instantmessages("+id+")?$expand=new_instantmessage_activity_parties($select=participationtypemask,_partyid_value)", "", "Prefer", `odata.include-annotations="*"`).json()
	const nav = "_regardingobjectid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"
	if r["activityid"] != id || r["activitytypecode"] != "new_instantmessage" || r["statecode"] != 0.0 || r[nav] != "regardingobjectid_account_new_instantmessage" || r["_ownerid_value"] == nil {
		t.Errorf("activity: got %v", r)
	}
	if at(r, "new_instantmessage_activity_parties", 0, "_partyid_value") != con {
		t.Errorf("parties: got %v", r["new_instantmessage_activity_parties"])
	}
	// The row of the base is that of the activity (§3.1).
	if p := c.want(200, "GET", "activitypointers("+id+")", "").json(); p["subject"] != "Hello" || p["activitytypecode"] != "new_instantmessage" {
		t.Errorf("activitypointer: got %v", p)
	}
	for _, path := range []string{"accounts(" + acc + ")/account_new_instantmessages", "accounts(" + acc + ")/account_activitypointer_regardingobjectid"} {
		if l := c.want(200, "GET", path, "").rows(); len(l) != 1 {
			t.Errorf("%s: got %v", path, l)
		}
	}
	fetched := c.want(200, "GET", "activitypointers?fetchXml="+url.PathEscape(`<fetch><entity name="activitypointer"><attribute name="subject"/><filter><condition attribute="activitytypecode" operator="eq" value="new_instantmessage"/></filter></entity></fetch>`), "").rows()
	if len(fetched) != 1 || fetched[0]["subject"] != "Hello" || fetched[0]["activityid"] != id {
		t.Errorf("FetchXML of the base: got %v", fetched)
	}
	c.want(204, "POST", "annotations", `{"subject":"N","objectid_new_instantmessage@odata.bind":"/new_instantmessages(`+id+`)"}`)
	c.want(204, "PATCH", "new_instantmessages("+id+")", `{"statecode":1}`, "If-Match", "*")

	// A table made later can be regarded too.
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount", `"HasActivities":true`))
	row := c.want(204, "POST", "new_bankaccounts", `{"new_accountname":"B"}`).id()
	c.want(204, "POST", "new_instantmessages", `{"subject":"Bank","regardingobjectid_new_bankaccount_new_instantmessage@odata.bind":"/new_bankaccounts(`+row+`)"}`)
	if l := c.want(200, "GET", "new_bankaccounts("+row+")/new_bankaccount_new_instantmessages", "").rows(); len(l) != 1 {
		t.Errorf("activities of a table made later: got %v", l)
	}

	delta := c.want(200, "GET", "new_instantmessages?$select=subject", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)
	c.want(204, "DELETE", "accounts("+acc+")", "")
	if l := c.want(200, "GET", delta, "").rows(); len(l) != 1 || l[0]["id"] != id {
		t.Errorf("the activity of an account that is gone: got %v", l)
	}
	party := c.want(204, "POST", "new_instantmessages", `{"subject":"P","new_instantmessage_activity_parties":[{"partyid_contact@odata.bind":"/contacts(`+con+`)","participationtypemask":2}]}`).id()
	filter := "activityparties?$filter=" + url.PathEscape("_activityid_value eq "+party)
	if l := c.want(200, "GET", filter, "").rows(); len(l) != 1 {
		t.Errorf("party: got %v", l)
	}
	c.want(204, "DELETE", smsTable, "")
	if l := c.want(200, "GET", filter, "").rows(); len(l) != 0 {
		t.Errorf("party of a table that is gone: got %v", l)
	}
	if doc := c.want(200, "GET", "$metadata", "").Body; strings.Contains(doc, "new_instantmessage") {
		t.Error("$metadata still names the table")
	}
}

func TestWhatAnActivityTableMustBe(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	for what, more := range map[string]string{
		"owned by the organisation": `"OwnershipType":"OrganizationOwned"`, "with activities": `"HasActivities":true`, "without notes": `"HasNotes":false`,
		"online only": `"IsAvailableOffline":false`, "with mail merge": `"IsMailMergeEnabled":{"Value":true}`, "elastic": `"TableType":"Elastic"`,
		"with another name": `"Attributes":[` + column("String", "new_Name", `"IsPrimaryName":true`) + `]`,
	} {
		if a := c.want(400, "POST", "EntityDefinitions", sms(more)); a.code() != "0x80040203" {
			t.Errorf("%s: got %s", what, a.Body)
		}
	}
	c.want(204, "POST", "EntityDefinitions", sms(`"OwnershipType":"TeamOwned"`, `"ActivityTypeMask":0`))
	def := c.want(200, "GET", smsTable, "").json()
	if def["OwnershipType"] != "TeamOwned" || def["ActivityTypeMask"] != 0.0 {
		t.Errorf("got %v %v", def["OwnershipType"], def["ActivityTypeMask"])
	}
	c.want(204, "PUT", smsTable, `{"@odata.type":"Microsoft.Dynamics.CRM.EntityMetadata","ActivityTypeMask":1}`)
	if def := c.want(200, "GET", smsTable, "").json(); def["ActivityTypeMask"] != 0.0 {
		t.Errorf("ActivityTypeMask changed to %v", def["ActivityTypeMask"])
	}
}

// vendor is a virtual table whose provider is not known yet ("API
// considerations of virtual tables").
func vendor(more ...string) string {
	parts := append([]string{
		`"@odata.type":"Microsoft.Dynamics.CRM.EntityMetadata"`, `"SchemaName":"new_Vendor"`, `"DisplayName":` + label("Vendor"), `"DisplayCollectionName":` + label("Vendors"),
		`"OwnershipType":"OrganizationOwned"`, `"ExternalName":"Vendor"`, `"ExternalCollectionName":"Vendors"`, `"DataProviderId":"7015A531-CC0D-4537-B5F2-C882A1EB65AD"`, `"DataSourceId":null`,
		`"Attributes":[` + column("String", "new_Name", `"IsPrimaryName":true`, `"ExternalName":"Name"`) + `,` + column("Money", "new_Limit", `"ExternalName":"Limit"`) + `]`,
	}, more...)
	return "{" + strings.Join(parts, ",") + "}"
}

const vendorTable = "EntityDefinitions(LogicalName='new_vendor')"

func TestVirtualTables(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", vendor())
	def := c.want(200, "GET", vendorTable+"?$expand=Attributes", "").json()
	for name, want := range map[string]any{
		"TableType": "Virtual", "DataProviderId": "7015a531-cc0d-4537-b5f2-c882a1eb65ad", "DataSourceId": nil, "ExternalName": "Vendor", "ExternalCollectionName": "Vendors",
		"OwnershipType": "OrganizationOwned", "ChangeTrackingEnabled": false, "IsOptimisticConcurrencyEnabled": false, "IsActivity": false, "ActivityTypeMask": 0.0, "IsStateModelAware": false,
	} {
		if def[name] != want {
			t.Errorf("%s: got %v, want %v", name, def[name], want)
		}
	}
	if at(def, "CanChangeTrackingBeEnabled", "Value") != false || at(def, "IsAuditEnabled", "Value") != false {
		t.Errorf("tracking or audit: got %v %v", def["CanChangeTrackingBeEnabled"], def["IsAuditEnabled"])
	}
	var names []string
	for _, a := range def["Attributes"].([]any) {
		names = append(names, at(a, "LogicalName").(string))
	}
	for _, n := range []string{"createdon", "ownerid", "versionnumber", "statecode"} {
		if slices.Contains(names, n) {
			t.Errorf("a virtual table has the column %s", n)
		}
	}
	if a := c.want(200, "GET", vendorTable+"/Attributes(LogicalName='new_name')", "").json(); a["ExternalName"] != "Name" {
		t.Errorf("ExternalName: got %v", a["ExternalName"])
	}
	if doc := c.want(200, "GET", "$metadata", "").Body; !strings.Contains(doc, `<EntitySet Name="new_vendors"`) {
		t.Error("$metadata lacks the set")
	}
	const id = "(11111111-1111-1111-1111-111111111111)"
	for _, x := range [][2]string{
		{"GET", "new_vendors"},
		{"GET", "new_vendors" + id},
		{"POST", "new_vendors"},
		{"PATCH", "new_vendors" + id},
		{"DELETE", "new_vendors" + id},
		{"GET", "new_vendors/$count"},
		{"GET", "new_vendors?fetchXml=" + url.PathEscape(`<fetch><entity name="new_vendor"/></fetch>`)},
	} {
		if a := c.want(400, x[0], x[1], `{"new_name":"V"}`); a.code() != "0x80048d0b" {
			t.Errorf("%s %s: got %s", x[0], x[1], a.Body)
		}
	}
	// A provider is told later; it does not become a standard table.
	c.want(204, "PUT", vendorTable, `{"@odata.type":"Microsoft.Dynamics.CRM.EntityMetadata","TableType":"Standard","DataProviderId":"B2112A7E-B26C-42F7-9B63-9A809A9D716F","DataSourceId":"22222222-2222-2222-2222-222222222222"}`)
	if def := c.want(200, "GET", vendorTable, "").json(); def["DataProviderId"] != "b2112a7e-b26c-42f7-9b63-9a809a9d716f" || def["DataSourceId"] != "22222222-2222-2222-2222-222222222222" || def["TableType"] != "Virtual" {
		t.Errorf("got %v %v %v", def["DataProviderId"], def["DataSourceId"], def["TableType"])
	}
	c.want(204, "POST", "RelationshipDefinitions", oneToMany("new_vendor_account", "new_vendor", "account", "new_VendorId"))
	for what, x := range map[string][2]string{
		"a key":                  {vendorTable + "/Keys", `{"SchemaName":"new_VendorKey","DisplayName":` + label("K") + `,"KeyAttributes":["new_name"]}`},
		"a calculated column":    {vendorTable + "/Attributes", column("String", "new_Calc", `"SourceType":1`, `"FormulaDefinition":"CONCAT(new_name, \"x\")"`)},
		"owned by a user":        {"EntityDefinitions", vendor(`"SchemaName":"new_Other"`, `"OwnershipType":"UserOwned"`)},
		"an activity":            {"EntityDefinitions", vendor(`"SchemaName":"new_Other"`, `"IsActivity":true`)},
		"tracked":                {"EntityDefinitions", vendor(`"SchemaName":"new_Other"`, `"ChangeTrackingEnabled":true`)},
		"two virtual ones":       {"RelationshipDefinitions", oneToMany("new_vendor_vendor", "new_vendor", "new_vendor", "new_ParentId")},
		"a standard table's own": {"EntityDefinitions", vendor(`"SchemaName":"new_Other"`, `"TableType":"Standard"`)},
	} {
		if a := c.want(400, "POST", x[0], x[1]); a.code() != "0x80040203" {
			t.Errorf("%s: got %s", what, a.Body)
		}
	}
}

// TestActivityTablesMove: a solution takes a table of activities to another
// organisation, where it is one as well.
func TestActivityTablesMove(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	publisher := c.want(204, "POST", "publishers", `{"uniquename":"new","friendlyname":"New","customizationprefix":"new"}`).id()
	c.want(204, "POST", "solutions", `{"uniquename":"Messages","friendlyname":"Messages","version":"1.0","publisherid@odata.bind":"/publishers(`+publisher+`)"}`)
	c.want(204, "POST", "EntityDefinitions", sms(`"OwnershipType":"TeamOwned"`), "MSCRM.SolutionUniqueName", "Messages")
	c.want(204, "POST", smsTable+"/Attributes", column("String", "new_Sender"), "MSCRM.SolutionUniqueName", "Messages")
	file := c.want(200, "POST", "ExportSolution", `{"SolutionName":"Messages","Managed":false}`).json()["ExportSolutionFile"].(string)
	to := standardCompany(t, dvemu.Options{})
	to.want(204, "POST", "ImportSolution", `{"OverwriteUnmanagedCustomizations":true,"PublishWorkflows":true,"ImportJobId":"00000000-0000-4000-8000-00000000000a","CustomizationFile":"`+file+`"}`)
	if def := to.want(200, "GET", smsTable, "").json(); def["IsActivity"] != true || def["OwnershipType"] != "TeamOwned" {
		t.Errorf("got %v %v", def["IsActivity"], def["OwnershipType"])
	}
	acc := to.want(204, "POST", "accounts", `{"name":"A"}`).id()
	to.want(204, "POST", "new_instantmessages", `{"subject":"Hello","new_sender":"S","regardingobjectid_account_new_instantmessage@odata.bind":"/accounts(`+acc+`)"}`)
}
