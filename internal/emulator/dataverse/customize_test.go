package dataverse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// label is a Label in English.
func label(text string) string {
	return fmt.Sprintf(`{"@odata.type":"Microsoft.Dynamics.CRM.Label","LocalizedLabels":[{"@odata.type":"Microsoft.Dynamics.CRM.LocalizedLabel","Label":%q,"LanguageCode":1033}]}`, text)
}

// column is the definition of a column; more are further members.
func column(class, schema string, more ...string) string {
	parts := append([]string{
		`"@odata.type":"Microsoft.Dynamics.CRM.` + class + `AttributeMetadata"`, `"SchemaName":"` + schema + `"`, `"DisplayName":` + label(schema),
		`"RequiredLevel":{"Value":"None","CanBeChanged":true,"ManagedPropertyLogicalName":"canmodifyrequirementlevelsettings"}`,
	}, more...)
	return "{" + strings.Join(parts, ",") + "}"
}

// bank is the definition of a table like that of the documentation.
func bank(schema string, more ...string) string {
	parts := append([]string{
		`"@odata.type":"Microsoft.Dynamics.CRM.EntityMetadata"`, `"SchemaName":"` + schema + `"`, `"DisplayName":` + label("Bank Account"),
		`"DisplayCollectionName":` + label("Bank Accounts"), `"Description":` + label("Of customers"), `"OwnershipType":"UserOwned"`,
		`"IsActivity":false`, `"HasActivities":false`, `"HasNotes":true`, `"ChangeTrackingEnabled":true`,
		`"Attributes":[` + column("String", "new_AccountName", `"IsPrimaryName":true`, `"MaxLength":50`, `"FormatName":{"Value":"Text"}`) + `]`,
	}, more...)
	return "{" + strings.Join(parts, ",") + "}"
}

func standardCompany(t *testing.T, o dvemu.Options) *client {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	o.Model = m
	return start(t, o)
}

const banks = "EntityDefinitions(LogicalName='new_bankaccount')"

// at returns the value at a path of members and positions.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func TestTableOfOnesOwn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	made := c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"), "MSCRM.SolutionUniqueName", "examplesolution")
	def := c.want(200, "GET", "EntityDefinitions("+made.id()+")", "").json()
	want := map[string]any{
		"LogicalName": "new_bankaccount", "SchemaName": "new_BankAccount", "EntitySetName": "new_bankaccounts", "PrimaryIdAttribute": "new_bankaccountid",
		"PrimaryNameAttribute": "new_accountname", "OwnershipType": "UserOwned", "IsManaged": false, "IsCustomEntity": true, "HasNotes": true,
		"ChangeTrackingEnabled": true, "TableType": "Standard",
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if def[name] != want[name] {
			t.Errorf("%s: got %v, want %v", name, def[name], want[name])
		}
	}
	if got := at(def, "DisplayCollectionName", "UserLocalizedLabel", "Label"); got != "Bank Accounts" {
		t.Errorf("DisplayCollectionName: got %v", got)
	}
	doc := c.want(200, "GET", "$metadata", "").Body
	for _, s := range []string{`<EntityType Name="new_bankaccount"`, `<Property Name="new_accountname" Type="Edm.String"`, `<EntitySet Name="new_bankaccounts"`} {
		if !strings.Contains(doc, s) {
			t.Errorf("$metadata lacks %s", s)
		}
	}
	row := c.want(204, "POST", "new_bankaccounts", `{"new_accountname":"Savings","statuscode":1}`).id()
	r := c.want(200, "GET", "new_bankaccounts("+row+")", "").json()
	if r["new_accountname"] != "Savings" || r["statecode"] != 0.0 || r["_ownerid_value"] == nil || r["createdon"] == nil {
		t.Errorf("row: got %v", r)
	}
	c.want(204, "POST", "annotations", `{"subject":"N","objectid_new_bankaccount@odata.bind":"/new_bankaccounts(`+row+`)"}`)
	if a := c.want(400, "POST", "new_bankaccounts", `{"new_accountname":"`+strings.Repeat("x", 51)+`"}`); a.code() != "0x80044331" {
		t.Errorf("too long a name: got %s", a.Body)
	}
	delta := c.want(200, "GET", "new_bankaccounts?$select=new_accountname", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)
	c.want(204, "DELETE", "new_bankaccounts("+row+")", "")
	if rows := c.want(200, "GET", delta, "").rows(); len(rows) != 1 || rows[0]["reason"] != "deleted" {
		t.Errorf("delta: got %v", rows)
	}
	other := c.want(204, "POST", "new_bankaccounts", `{"new_accountname":"Other"}`).id()
	note := c.want(204, "POST", "annotations", `{"subject":"N","objectid_new_bankaccount@odata.bind":"/new_bankaccounts(`+other+`)"}`).id()
	c.want(204, "DELETE", banks, "")
	c.want(404, "GET", "annotations("+note+")", "")
	c.want(404, "GET", banks, "")
	c.want(404, "GET", "new_bankaccounts", "")
	if doc := c.want(200, "GET", "$metadata", "").Body; strings.Contains(doc, "new_bankaccount") {
		t.Error("$metadata still has the table")
	}
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount", `"OwnershipType":"OrganizationOwned"`))
	if rows := c.want(200, "GET", "new_bankaccounts", "").rows(); len(rows) != 0 {
		t.Errorf("rows of a table made again: got %v", rows)
	}
}

func TestActivitiesAboutOnesOwn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount", `"HasActivities":true`))
	if def := c.want(200, "GET", banks, "").json(); def["HasActivities"] != true {
		t.Errorf("HasActivities: got %v", def["HasActivities"])
	}
	row := c.want(204, "POST", "new_bankaccounts", `{"new_accountname":"A"}`).id()
	task := c.want(204, "POST", "tasks", `{"subject":"Call","regardingobjectid_new_bankaccount_task@odata.bind":"/new_bankaccounts(`+row+`)"}`).id()
	if list := c.want(200, "GET", "new_bankaccounts("+row+")/new_bankaccount_Tasks", "").rows(); len(list) != 1 {
		t.Errorf("tasks: got %v", list)
	}
	if list := c.want(200, "GET", "new_bankaccounts("+row+")/new_bankaccount_ActivityPointers", "").rows(); len(list) != 1 {
		t.Errorf("activities: got %v", list)
	}
	c.want(204, "DELETE", banks, "")
	if r := c.want(200, "GET", "tasks("+task+")", "").json(); r["_regardingobjectid_value"] != nil || r["subject"] != "Call" {
		t.Errorf("task of a table that is gone: got %v", r)
	}
	if doc := c.want(200, "GET", "$metadata", "").Body; strings.Contains(doc, "new_bankaccount") {
		t.Error("$metadata still names the table")
	}
}

func TestColumnsOfEveryType(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	var properties []string
	set := c.want(204, "POST", "GlobalOptionSetDefinitions", `{"@odata.type":"Microsoft.Dynamics.CRM.OptionSetMetadata","Name":"new_Colors","DisplayName":`+label("Colors")+
		`,"OptionSetType":"Picklist","Options":[{"Value":727000000,"Label":`+label("Red")+`},{"Value":null,"Label":`+label("Green")+`}]}`).id()
	local := `"OptionSet":{"@odata.type":"Microsoft.Dynamics.CRM.OptionSetMetadata","IsGlobal":false,"OptionSetType":"Picklist","Options":[{"Value":1,"Label":` + label("One") + `},{"Value":2,"Label":` + label("Two") + `,"Color":"#ff0000"}]}`
	for _, x := range []struct {
		class, schema string
		more          []string
		edm           string
		value         string // as sent; what comes back is the same unless back is set
		back          string
	}{
		{"String", "new_Text", []string{`"MaxLength":10`}, "Edm.String", `"abc"`, ""},
		{"Memo", "new_Memo", []string{`"Format":"TextArea"`, `"MaxLength":500`}, "Edm.String", `"long"`, ""},
		{"Integer", "new_Int", []string{`"MinValue":0`, `"MaxValue":100`}, "Edm.Int32", `7`, ""},
		{"BigInt", "new_Big", nil, "Edm.Int64", `9007199254740993`, ""},
		{"Decimal", "new_Dec", []string{`"Precision":3`, `"MinValue":0.0`, `"MaxValue":1000.5`}, "Edm.Decimal", `1.125`, ""},
		{"Double", "new_Dbl", []string{`"Precision":2`}, "Edm.Double", `2.5`, ""},
		{"Money", "new_Balance", []string{`"PrecisionSource":2`}, "Edm.Decimal", `12.5`, `12.5000`},
		{"Boolean", "new_Flag", []string{`"DefaultValue":false`, `"OptionSet":{"TrueOption":{"Value":1,"Label":` + label("True") + `},"FalseOption":{"Value":0,"Label":` + label("False") + `},"OptionSetType":"Boolean"}`}, "Edm.Boolean", `true`, ""},
		{"DateTime", "new_At", []string{`"Format":"DateAndTime"`}, "Edm.DateTimeOffset", `"2026-03-01T10:00:00Z"`, ""},
		{"DateTime", "new_Day", []string{`"Format":"DateOnly"`, `"DateTimeBehavior":{"Value":"DateOnly"}`}, "Edm.Date", `"2026-03-01"`, ""},
		{"DateTime", "new_Zone", []string{`"DateTimeBehavior":{"Value":"TimeZoneIndependent"}`}, "Edm.DateTimeOffset", `"2026-03-01T10:00:00Z"`, ""},
		{"Picklist", "new_Local", []string{local}, "Edm.Int32", `2`, ""},
		{"Picklist", "new_Color", []string{`"GlobalOptionSet@odata.bind":"/GlobalOptionSetDefinitions(` + set + `)"`}, "Edm.Int32", `727000000`, ""},
		{"Picklist", "new_Colour", []string{`"GlobalOptionSet@odata.bind":"/GlobalOptionSetDefinitions(Name='new_colors')"`}, "Edm.Int32", `727000001`, ""},
		{"MultiSelectPicklist", "new_Many", []string{local}, "Edm.String", `"1,2"`, ""},
		{"Image", "new_Photo", []string{`"MaxSizeInKB":20`, `"CanStoreFullImage":true`}, "Edm.Binary", `"` + pixel + `"`, ""},
		{"File", "new_Deed", []string{`"MaxSizeInKB":1024`}, "Edm.Binary", "", ""},
	} {
		name := strings.ToLower(x.schema)
		url := c.want(204, "POST", banks+"/Attributes", column(x.class, x.schema, x.more...)).Header.Get("OData-EntityId")
		if !strings.Contains(url, banks+"/Attributes(") {
			t.Errorf("%s: got address %s", name, url)
		}
		def := c.want(200, "GET", url, "").json()
		if def["LogicalName"] != name || def["@odata.type"] != "#Microsoft.Dynamics.CRM."+x.class+"AttributeMetadata" || def["IsCustomAttribute"] != true || def["IsManaged"] != false {
			t.Errorf("%s: got %v", name, def)
		}
		properties = append(properties, `<Property Name="`+name+`" Type="`+x.edm+`"`)
		if x.value == "" {
			continue
		}
		if x.back == "" {
			x.back = x.value
		}
		id := c.want(204, "POST", "new_bankaccounts", `{"`+name+`":`+x.value+`}`).id()
		if a := c.want(200, "GET", "new_bankaccounts("+id+")?$select="+name, ""); !strings.Contains(a.Body, `"`+name+`":`+x.back) {
			t.Errorf("%s: got %s, want %s", name, a.Body, x.back)
		}
	}
	doc := c.want(200, "GET", "$metadata", "").Body
	for _, p := range properties {
		if !strings.Contains(doc, p) {
			t.Errorf("$metadata lacks %s", p)
		}
	}
	for path, want := range map[string]any{
		banks + "/Attributes(LogicalName='new_text')/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=MaxLength":                                                 10.0,
		banks + "/Attributes(LogicalName='new_int')/Microsoft.Dynamics.CRM.IntegerAttributeMetadata?$select=MaxValue":                                                  100.0,
		banks + "/Attributes(LogicalName='new_balance')/Microsoft.Dynamics.CRM.MoneyAttributeMetadata?$select=PrecisionSource":                                         2.0,
		banks + "/Attributes(LogicalName='new_photo')/Microsoft.Dynamics.CRM.ImageAttributeMetadata?$select=CanStoreFullImage":                                         true,
		banks + "/Attributes(LogicalName='new_deed')/Microsoft.Dynamics.CRM.FileAttributeMetadata?$select=MaxSizeInKB":                                                 1024.0,
		"EntityDefinitions(LogicalName='new_bankaccount')/Attributes(LogicalName='new_day')/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata?$select=DateTimeBehavior": map[string]any{"Value": "DateOnly"},
	} {
		_, member, _ := strings.Cut(path, "$select=")
		if diff := cmp.Diff(want, c.want(200, "GET", path, "").json()[member]); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
	id := c.want(204, "POST", "new_bankaccounts", `{"new_balance":3}`).id()
	if r := c.want(200, "GET", "new_bankaccounts("+id+")", "").json(); r["new_balance_base"] != 3.0 || r["_transactioncurrencyid_value"] == nil {
		t.Errorf("money: got %v", r)
	}
	c.want(204, "PATCH", "new_bankaccounts("+id+")/new_deed", "bytes", "x-ms-file-name", "a.txt", "Content-Type", "application/octet-stream")
	if a := c.want(200, "GET", "new_bankaccounts("+id+")/new_deed/$value", ""); a.Body != "bytes" {
		t.Errorf("file: got %q", a.Body)
	}
	if r := c.want(200, "GET", "new_bankaccounts("+id+")?$select=new_deed_name", "").json(); r["new_deed_name"] != "a.txt" {
		t.Errorf("file name: got %v", r)
	}
	for _, name := range []string{"new_balance", "new_photo", "new_deed", "new_local", "new_color"} {
		c.want(204, "DELETE", banks+"/Attributes(LogicalName='"+name+"')", "")
	}
	doc = c.want(200, "GET", "$metadata", "").Body
	for _, name := range []string{"new_balance", "new_photo", "new_deed", "new_local"} {
		if strings.Contains(doc, `"`+name) {
			t.Errorf("$metadata still has %s or a part of it", name)
		}
	}
	c.want(204, "POST", banks+"/Attributes", column("Integer", "new_Balance"))
	if r := c.want(200, "GET", "new_bankaccounts("+id+")?$select=new_balance", "").json(); r["new_balance"] != nil {
		t.Errorf("a column made again has a value: %v", r["new_balance"])
	}
}

func TestAutoNumberOfOnesOwn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", banks+"/Attributes", column("String", "new_Serial", `"AutoNumberFormat":"BA-{SEQNUM:5}"`, `"MaxLength":100`))
	id := c.want(204, "POST", "new_bankaccounts", `{}`).id()
	if got := fmt.Sprint(c.want(200, "GET", "new_bankaccounts("+id+")", "").json()["new_serial"]); !strings.HasPrefix(got, "BA-0") {
		t.Errorf("got %s", got)
	}
}

func oneToMany(schema, one, many, lookup string, more ...string) string {
	parts := append([]string{
		`"@odata.type":"Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata"`, `"SchemaName":"` + schema + `"`, `"ReferencedEntity":"` + one + `"`,
		`"ReferencingEntity":"` + many + `"`, `"Lookup":` + column("Lookup", lookup),
	}, more...)
	return "{" + strings.Join(parts, ",") + "}"
}

func TestRelationshipsOfOnesOwn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	rel := c.want(204, "POST", "RelationshipDefinitions", oneToMany("new_account_bank", "account", "new_bankaccount", "new_HolderId",
		`"CascadeConfiguration":{"Assign":"NoCascade","Delete":"Restrict","Merge":"NoCascade","Reparent":"NoCascade","Share":"NoCascade","Unshare":"NoCascade"}`)).id()
	def := c.want(200, "GET", "RelationshipDefinitions("+rel+")", "").json()
	if def["ReferencingAttribute"] != "new_holderid" || def["ReferencingEntityNavigationPropertyName"] != "new_HolderId" || at(def, "CascadeConfiguration", "Delete") != "Restrict" {
		t.Errorf("got %v", def)
	}
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	row := c.want(204, "POST", "new_bankaccounts", `{"new_HolderId@odata.bind":"/accounts(`+acc+`)"}`).id()
	r := c.want(200, "GET", "new_bankaccounts("+row+")?$expand=new_HolderId($select=name)", "", "Prefer", `odata.include-annotations="*"`).json()
	if at(r, "new_HolderId", "name") != "A" || r["_new_holderid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] != "new_HolderId" {
		t.Errorf("lookup: got %v", r)
	}
	if list := c.want(200, "GET", "accounts("+acc+")/new_account_bank", "").rows(); len(list) != 1 {
		t.Errorf("collection: got %v", list)
	}
	if a := c.want(405, "DELETE", "accounts("+acc+")", ""); a.code() != "0x80040227" {
		t.Errorf("Restrict: got %s", a.Body)
	}
	c.want(204, "PUT", "RelationshipDefinitions("+rel+")", `{"@odata.type":"Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata","CascadeConfiguration":{"Delete":"Cascade"}}`)
	c.want(204, "DELETE", "accounts("+acc+")", "")
	c.want(404, "GET", "new_bankaccounts("+row+")", "")

	c.want(204, "POST", "RelationshipDefinitions", `{"@odata.type":"Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata","SchemaName":"new_banks_contacts","Entity1LogicalName":"new_bankaccount","Entity2LogicalName":"contact","IntersectEntityName":"new_banks_contacts"}`)
	con := c.want(204, "POST", "contacts", `{"lastname":"C"}`).id()
	row = c.want(204, "POST", "new_bankaccounts", `{"new_banks_contacts@odata.bind":["/contacts(`+con+`)"]}`).id()
	if list := c.want(200, "GET", "contacts("+con+")/new_banks_contacts", "").rows(); len(list) != 1 || list[0]["new_bankaccountid"] != row {
		t.Errorf("pairs: got %v", list)
	}
	if list := c.want(200, "GET", "new_banks_contactsset", "").rows(); len(list) != 1 || list[0]["contactid"] != con {
		t.Errorf("intersect rows: got %v", list)
	}
	c.want(204, "DELETE", "RelationshipDefinitions(SchemaName='new_banks_contacts')", "")
	c.want(404, "GET", "new_banks_contactsset", "")
	c.want(404, "GET", "contacts("+con+")/new_banks_contacts", "")

	a := c.want(200, "POST", "CreateCustomerRelationships", `{"OneToManyRelationships":[{"SchemaName":"new_bank_account2","ReferencedEntity":"account","ReferencingEntity":"new_bankaccount"},{"SchemaName":"new_bank_contact","ReferencedEntity":"contact","ReferencingEntity":"new_bankaccount"}],"Lookup":`+column("ComplexLookup", "new_CustomerId")+`}`).json()
	if at(a, "RelationshipIds", 1) == nil || a["AttributeId"] == nil {
		t.Errorf("customer: got %v", a)
	}
	id := c.want(204, "POST", "new_bankaccounts", `{"new_CustomerId_contact@odata.bind":"/contacts(`+con+`)"}`).id()
	if r := c.want(200, "GET", "new_bankaccounts("+id+")", "", "Prefer", `odata.include-annotations="*"`).json(); r["_new_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] != "contact" {
		t.Errorf("customer lookup: got %v", r)
	}
	if a := c.want(400, "DELETE", "RelationshipDefinitions(SchemaName='new_bank_contact')", ""); a.code() != "0x8004847d" {
		t.Errorf("got %s", a.Body)
	}
	c.want(204, "DELETE", banks+"/Attributes(LogicalName='new_customerid')", "")
	c.want(404, "GET", "RelationshipDefinitions(SchemaName='new_bank_contact')", "")
	c.want(204, "DELETE", "RelationshipDefinitions("+rel+")", "")
	c.want(404, "GET", banks+"/Attributes(LogicalName='new_holderid')", "")
}

func TestKeysOfOnesOwn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", banks+"/Attributes", column("String", "new_Number"))
	id := c.want(204, "POST", "new_bankaccounts", `{"new_number":"1"}`).id()
	status := func(name string) any {
		for _, k := range c.want(200, "GET", banks+"/Keys?$select=LogicalName,SchemaName,KeyAttributes,EntityKeyIndexStatus", "").rows() {
			if k["LogicalName"] == name {
				return k["EntityKeyIndexStatus"]
			}
		}
		return nil
	}
	key := c.want(204, "POST", banks+"/Keys", `{"SchemaName":"new_ByNumber","DisplayName":`+label("By number")+`,"KeyAttributes":["new_number"]}`).id()
	if got := status("new_bynumber"); got != "Active" {
		t.Fatalf("got status %v", got)
	}
	if r := c.want(200, "GET", "new_bankaccounts(new_number='1')", "").json(); r["new_bankaccountid"] != id {
		t.Errorf("by key: got %v", r)
	}
	if a := c.want(412, "POST", "new_bankaccounts", `{"new_number":"1"}`); a.code() != "0x80060892" {
		t.Errorf("got %s", a.Body)
	}
	if a := c.want(400, "DELETE", banks+"/Attributes(LogicalName='new_number')", ""); a.code() != "0x8004F01F" {
		t.Errorf("column of a key: got %s", a.Body)
	}
	c.want(204, "DELETE", banks+"/Keys("+key+")", "")
	twin := c.want(204, "POST", "new_bankaccounts", `{"new_number":"1"}`).id()
	c.want(204, "POST", banks+"/Keys", `{"SchemaName":"new_Again","KeyAttributes":["new_number"]}`)
	if got := status("new_again"); got != "Failed" {
		t.Errorf("rows alike: got status %v", got)
	}
	c.want(400, "GET", "new_bankaccounts(new_number='1')", "")
	c.want(204, "DELETE", "new_bankaccounts("+twin+")", "")
	c.want(204, "POST", "ReactivateEntityKey", `{"EntityLogicalName":"new_bankaccount","EntityKeyLogicalName":"new_again"}`)
	if got := status("new_again"); got != "Active" {
		t.Errorf("reactivated: got status %v", got)
	}
}

func TestChoicesOfOnesOwn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", "GlobalOptionSetDefinitions", `{"@odata.type":"Microsoft.Dynamics.CRM.OptionSetMetadata","Name":"new_kinds","DisplayName":`+label("Kinds")+`,"Options":[{"Value":5,"Label":`+label("Five")+`}]}`)
	for _, schema := range []string{"new_One", "new_Two"} {
		c.want(204, "POST", banks+"/Attributes", column("Picklist", schema, `"GlobalOptionSet@odata.bind":"/GlobalOptionSetDefinitions(Name='new_kinds')"`))
	}
	choices := func(column string) (out []string) {
		a := c.want(200, "GET", banks+"/Attributes(LogicalName='"+column+"')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)", "").json()
		list, _ := at(a, "OptionSet", "Options").([]any)
		for _, o := range list {
			out = append(out, fmt.Sprint(at(o, "Value"), " ", at(o, "Label", "UserLocalizedLabel", "Label")))
		}
		return out
	}
	expect := func(want ...string) {
		t.Helper()
		for _, column := range []string{"new_one", "new_two"} {
			if diff := cmp.Diff(want, choices(column)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", column, diff)
			}
		}
	}
	expect("5 Five")
	if got := c.want(200, "POST", "InsertOptionValue", `{"OptionSetName":"new_kinds","Label":`+label("Next")+`}`).json()["NewOptionValue"]; got != 100000000.0 {
		t.Errorf("got %v", got)
	}
	c.want(200, "POST", "InsertOptionValue", `{"EntityLogicalName":"new_bankaccount","AttributeLogicalName":"new_one","Value":6,"Label":`+label("Six")+`}`)
	c.want(204, "POST", "OrderOption", `{"OptionSetName":"new_kinds","Values":[6,5,100000000]}`)
	c.want(204, "POST", "UpdateOptionValue", `{"OptionSetName":"new_kinds","Value":5,"MergeLabels":true,"Label":{"LocalizedLabels":[{"Label":"Fünf","LanguageCode":1031}]}}`)
	expect("6 Six", "5 Five", "1e+08 Next")
	c.want(204, "POST", "DeleteOptionValue", `{"OptionSetName":"new_kinds","Value":100000000}`)
	expect("6 Six", "5 Five")
	id := c.want(204, "POST", "new_bankaccounts", `{"new_one":6}`).id()
	if r := c.want(200, "GET", "new_bankaccounts("+id+")", "", "Prefer", `odata.include-annotations="*"`).json(); r["new_one@OData.Community.Display.V1.FormattedValue"] != "Six" {
		t.Errorf("got %v", r)
	}
	c.want(400, "PATCH", "new_bankaccounts("+id+")", `{"new_one":100000000}`)
	if a := c.want(400, "DELETE", "GlobalOptionSetDefinitions(Name='new_kinds')", ""); a.code() != "0x80048417" {
		t.Errorf("in use: got %s", a.Body)
	}

	status := c.want(200, "POST", "InsertStatusValue", `{"EntityLogicalName":"new_bankaccount","AttributeLogicalName":"statuscode","StateCode":1,"Label":`+label("Frozen")+`}`).json()["NewOptionValue"]
	c.want(204, "PATCH", "new_bankaccounts("+id+")", fmt.Sprintf(`{"statecode":1,"statuscode":%.0f}`, status))
	c.want(204, "POST", "UpdateStateValue", `{"EntityLogicalName":"new_bankaccount","AttributeLogicalName":"statecode","Value":1,"MergeLabels":false,"Label":`+label("Closed")+fmt.Sprintf(`,"DefaultStatusCode":%.0f}`, status))
	if a := c.want(400, "POST", "DeleteOptionValue", fmt.Sprintf(`{"EntityLogicalName":"new_bankaccount","AttributeLogicalName":"statuscode","Value":%.0f}`, status)); a.code() != "0x80044341" {
		t.Errorf("default status: got %s", a.Body)
	}
	c.want(204, "POST", "DeleteOptionValue", `{"EntityLogicalName":"new_bankaccount","AttributeLogicalName":"statuscode","Value":2}`)

	c.want(204, "PUT", "GlobalOptionSetDefinitions(Name='new_kinds')", `{"@odata.type":"Microsoft.Dynamics.CRM.OptionSetMetadata","DisplayName":`+label("Sorts")+`}`)
	set := c.want(200, "GET", "GlobalOptionSetDefinitions(Name='new_kinds')", "").json()
	if at(set, "DisplayName", "UserLocalizedLabel", "Label") != "Sorts" || at(set, "Options", 1, "Label", "LocalizedLabels", 0, "Label") != "Fünf" {
		t.Errorf("got %v", set)
	}
	c.want(204, "DELETE", banks, "")
	c.want(204, "DELETE", "GlobalOptionSetDefinitions(Name='new_kinds')", "")
	c.want(404, "GET", "GlobalOptionSetDefinitions(Name='new_kinds')", "")
	c.want(204, "POST", "PublishAllXml", "{}")
	c.want(204, "POST", "PublishXml", `{"ParameterXml":"<importexportxml><entities><entity>new_bankaccount</entity></entities></importexportxml>"}`)
}

func TestDefinitionsAreReplaced(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	made := c.want(201, "POST", "EntityDefinitions", bank("new_BankAccount", `"ChangeTrackingEnabled":false`), "Prefer", "return=representation").json()
	german := `{"LocalizedLabels":[{"Label":"Bankkonto","LanguageCode":1031}]}`
	names := func() (out []string) {
		list, _ := at(c.want(200, "GET", banks, "").json(), "DisplayName", "LocalizedLabels").([]any)
		for _, l := range list {
			out = append(out, fmt.Sprint(at(l, "Label")))
		}
		slices.Sort(out)
		return out
	}
	made["DisplayName"], made["EntityColor"], made["ChangeTrackingEnabled"] = json.RawMessage(german), "#123456", true
	body, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	c.want(204, "PUT", banks, string(body), "MSCRM.MergeLabels", "true")
	if diff := cmp.Diff([]string{"Bank Account", "Bankkonto"}, names()); diff != "" {
		t.Errorf("merged labels (-want +got)\n%s", diff)
	}
	c.want(204, "PUT", banks, string(body))
	if diff := cmp.Diff([]string{"Bankkonto"}, names()); diff != "" {
		t.Errorf("replaced labels (-want +got)\n%s", diff)
	}
	if def := c.want(200, "GET", banks, "").json(); def["EntityColor"] != "#123456" || def["ChangeTrackingEnabled"] != true || def["MetadataId"] != made["MetadataId"] {
		t.Errorf("got %v", def)
	}
	c.want(204, "PUT", banks, `{"ChangeTrackingEnabled":false}`)
	if def := c.want(200, "GET", banks, "").json(); def["ChangeTrackingEnabled"] != true {
		t.Error("change tracking was switched off, which cannot be")
	}
	c.want(204, "PUT", banks+"/Attributes(LogicalName='new_accountname')", column("String", "new_AccountName", `"MaxLength":5`, `"RequiredLevel":{"Value":"ApplicationRequired"}`))
	if a := c.want(400, "POST", "new_bankaccounts", `{"new_accountname":"123456"}`); a.code() != "0x80044331" {
		t.Errorf("got %s", a.Body)
	}
	c.want(204, "PUT", "EntityDefinitions(LogicalName='account')", `{"DisplayName":`+label("Client")+`}`)
	c.want(204, "PUT", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='description')", column("Memo", "Description", `"IsSecured":true`))
	if def := c.want(200, "GET", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='description')", "").json(); def["IsSecured"] != true {
		t.Errorf("got %v", def)
	}
}

func TestRefusedDefinitions(t *testing.T) {
	c := standardCompany(t, dvemu.Options{AppUsers: append(dvemu.DefaultAppUsers(1), dvemu.AppUser{ClientID: "plain", Secret: "s"})})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", banks+"/Attributes", column("Money", "new_Sum"))
	c.want(204, "POST", "EntityDefinitions", bank("new_Branch"))
	c.want(204, "POST", "RelationshipDefinitions", oneToMany("new_branch_bank", "new_branch", "new_bankaccount", "new_BranchId"))
	account := "EntityDefinitions(LogicalName='account')"
	for _, x := range []struct {
		what, method, path, body string
		status                   int
		code                     string
	}{
		{"a table twice", "POST", "EntityDefinitions", bank("new_bankaccount"), 400, "0x80044363"},
		{"a table without prefix", "POST", "EntityDefinitions", bank("BankAccount"), 400, "0x80048062"},
		{"the prefix of the platform", "POST", "EntityDefinitions", bank("mscrm_Bank"), 400, "0x80048062"},
		{"a table without a primary name", "POST", "EntityDefinitions", bank("new_Bare", `"Attributes":[]`), 400, "0x80040203"},
		{"a table without a collection name", "POST", "EntityDefinitions", `{"SchemaName":"new_Bare","DisplayName":` + label("X") + `}`, 400, "0x80040203"},
		{"an unknown owner", "POST", "EntityDefinitions", bank("new_Bare", `"OwnershipType":"BusinessOwned"`), 400, "0x80040203"},
		{"an activity with another name", "POST", "EntityDefinitions", bank("new_Bare", `"IsActivity":true`), 400, "0x80040203"},
		{"no JSON", "POST", "EntityDefinitions", `{`, 400, "0x80048d19"},
		{"too deep", "POST", "EntityDefinitions", strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), 400, "0x80048d19"},
		{"a wrong type", "POST", "EntityDefinitions", bank("new_Bare", `"IsQuickCreateEnabled":"yes"`), 400, "0x80048d19"},
		{"PATCH of a table", "PATCH", banks, `{}`, 405, ""},
		{"PUT of all", "PUT", "EntityDefinitions", `{}`, 405, ""},
		{"an unknown table", "PUT", "EntityDefinitions(LogicalName='new_nope')", `{}`, 404, "0x80041102"},
		{"deleting a table of the platform", "DELETE", account, "", 400, "0x8004F032"},
		{"deleting a table that is looked up", "DELETE", "EntityDefinitions(LogicalName='new_branch')", "", 400, "0x8004F01F"},
		{"a column twice", "POST", banks + "/Attributes", column("String", "new_accountname"), 400, "0x80047013"},
		{"a column without prefix", "POST", banks + "/Attributes", column("String", "Number"), 400, "0x80048062"},
		{"a lookup as a column", "POST", banks + "/Attributes", column("Lookup", "new_LookupId"), 400, "0x80048403"},
		{"a length", "POST", banks + "/Attributes", column("String", "new_Long", `"MaxLength":5000`), 400, "0x80040203"},
		{"bounds", "POST", banks + "/Attributes", column("Integer", "new_Bad", `"MinValue":9`, `"MaxValue":1`), 400, "0x80040203"},
		{"a behavior", "POST", banks + "/Attributes", column("DateTime", "new_Bad", `"DateTimeBehavior":{"Value":"Sometimes"}`), 400, "0x80048d19"},
		{"a choice without options", "POST", banks + "/Attributes", column("Picklist", "new_Bad"), 400, "0x80048403"},
		{"a global choice made inline", "POST", banks + "/Attributes", column("Picklist", "new_Bad", `"OptionSet":{"IsGlobal":true,"Name":"new_x"}`), 400, "0x80048403"},
		{"a global choice that is not there", "POST", banks + "/Attributes", column("Picklist", "new_Bad", `"GlobalOptionSet@odata.bind":"/GlobalOptionSetDefinitions(Name='new_x')"`), 404, "0x80044183"},
		{"an option twice", "POST", banks + "/Attributes", column("Picklist", "new_Bad", `"OptionSet":{"Options":[{"Value":1,"Label":`+label("A")+`},{"Value":1,"Label":`+label("B")+`}]}`), 400, "0x80040203"},
		{"another type", "PUT", banks + "/Attributes(LogicalName='new_sum')", column("String", "new_Sum"), 400, "0x80040203"},
		{"the primary name", "DELETE", banks + "/Attributes(LogicalName='new_accountname')", "", 400, "0x80047002"},
		{"a column of the platform", "DELETE", banks + "/Attributes(LogicalName='createdon')", "", 400, "0x8004F032"},
		{"a base amount", "DELETE", banks + "/Attributes(LogicalName='new_sum_base')", "", 400, "0x80048cfe"},
		{"a shadow", "DELETE", banks + "/Attributes(LogicalName='new_branchidname')", "", 400, "0x80047016"},
		{"a column that is not there", "DELETE", banks + "/Attributes(LogicalName='new_nope')", "", 404, "0x80044183"},
		{"a relationship twice", "POST", "RelationshipDefinitions", oneToMany("new_branch_bank", "account", "new_bankaccount", "new_X"), 400, "0x80044363"},
		{"a relationship to nothing", "POST", "RelationshipDefinitions", oneToMany("new_nope_bank", "new_nope", "new_bankaccount", "new_X"), 400, "0x80041102"},
		{"a cascade", "POST", "RelationshipDefinitions", oneToMany("new_y", "account", "new_bankaccount", "new_X", `"CascadeConfiguration":{"Assign":"Restrict"}`), 400, "0x80040203"},
		{"a relationship of no kind", "POST", "RelationshipDefinitions", `{"SchemaName":"new_y"}`, 400, "0x80048d19"},
		{"a lookup over a text", "POST", "RelationshipDefinitions", oneToMany("new_y", "account", "new_bankaccount", "new_AccountName"), 400, "0x80047013"},
		{"a relationship of the platform", "DELETE", "RelationshipDefinitions(SchemaName='account_primary_contact')", "", 400, "0x8004F032"},
		{"a key of no column", "POST", banks + "/Keys", `{"SchemaName":"new_K","KeyAttributes":["new_nope"]}`, 400, "0x80040203"},
		{"a key of a memo", "POST", account + "/Keys", `{"SchemaName":"new_K","KeyAttributes":["description"]}`, 400, "0x80040203"},
		{"a key of nothing", "POST", banks + "/Keys", `{"SchemaName":"new_K","KeyAttributes":[]}`, 400, "0x80040203"},
		{"options of a text", "POST", "InsertOptionValue", `{"EntityLogicalName":"new_bankaccount","AttributeLogicalName":"new_accountname","Label":` + label("X") + `}`, 400, "0x80040203"},
		{"options of no set", "POST", "OrderOption", `{"OptionSetName":"new_nope","Values":[]}`, 400, "0x80040203"},
		{"publishing nothing", "POST", "PublishXml", `{}`, 400, "0x80048d19"},
		{"GET of an action", "GET", "PublishAllXml", "", 404, ""},
		{"changes by POST", "POST", "RetrieveMetadataChanges", "{}", 404, ""},
		{"a stamp", "GET", "RetrieveMetadataChanges(ClientVersionStamp=@s)?@s='x'", "", 400, "0x80040203"},
		{"a filter", "GET", "RetrieveMetadataChanges(DeletedMetadataFilters=@f)?@f=Microsoft.Dynamics.CRM.DeletedMetadataFilters'Some'", "", 400, "0x80048d19"},
	} {
		a := c.do(x.method, x.path, x.body)
		if a.Status != x.status || a.code() != x.code {
			t.Errorf("%s: got %d %s, want %d %s", x.what, a.Status, a.Body, x.status, x.code)
		}
	}
	c.want(404, "GET", "EntityDefinitions(LogicalName='new_bare')", "")
	if a := c.want(400, "POST", "$batch", "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 1\r\n\r\nDELETE EntityDefinitions(LogicalName='new_branch') HTTP/1.1\r\n\r\n\r\n--c--\r\n--b--\r\n", "Content-Type", "multipart/mixed; boundary=b"); !strings.Contains(a.Body, "501") {
		t.Errorf("change set: got %s", a.Body)
	}
	c.action("set-administrator", `{"on":false}`)
	if a := c.want(403, "POST", "EntityDefinitions", bank("new_Late")); a.code() != "0x80040220" {
		t.Errorf("no administrator: got %s", a.Body)
	}
}

// Writers meet a schema change with an answer, and never with half a write.
func TestWritersWhileTablesComeAndGo(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	stop := make(chan struct{})
	var g sync.WaitGroup
	for range 2 {
		g.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				req, err := http.NewRequestWithContext(t.Context(), "POST", c.url+"/api/data/v9.2/new_bankaccounts", strings.NewReader(`{"new_accountname":"X"}`))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer x")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
			}
		})
	}
	for range 5 {
		c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount", `"HasNotes":false`))
		c.want(204, "POST", banks+"/Attributes", column("String", "new_Extra"))
		c.want(204, "DELETE", banks, "")
	}
	close(stop)
	g.Wait()
	c.want(404, "GET", "new_bankaccounts", "")
}

// A batch sees the schema that its own parts made.
func TestBatchSeesItsOwnSchema(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	part := func(method, url, body string) string {
		return "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" + method + " " + url + " HTTP/1.1\r\nContent-Type: application/json\r\n\r\n" + body + "\r\n"
	}
	body := part("POST", "EntityDefinitions", bank("new_BankAccount")) + part("POST", "new_bankaccounts", `{"new_accountname":"B"}`) + "--b--\r\n"
	if a := c.want(200, "POST", "$batch", body, "Content-Type", "multipart/mixed; boundary=b"); strings.Count(a.Body, "204 No Content") != 2 {
		t.Errorf("got %s", a.Body)
	}
}

// A schema that was changed is the same after saving, and can be changed on.
func TestChangedSchemaIsSaved(t *testing.T) {
	const root = "/api/data/v9.2/"
	before := emptyOrganisation(t)
	asked(t, before, "POST", root+"EntityDefinitions", bank("new_BankAccount"))
	asked(t, before, "POST", root+"GlobalOptionSetDefinitions", `{"Name":"new_kinds","DisplayName":`+label("Kinds")+`,"Options":[{"Value":5,"Label":`+label("Five")+`,"Color":"#112233"}]}`)
	for _, body := range []string{
		column("Picklist", "new_Kind", `"GlobalOptionSet@odata.bind":"/GlobalOptionSetDefinitions(Name='new_kinds')"`), column("String", "new_Number", `"FormatName":{"Value":"Url"}`),
	} {
		asked(t, before, "POST", root+banks+"/Attributes", body)
	}
	asked(t, before, "POST", root+banks+"/Keys", `{"SchemaName":"new_ByNumber","KeyAttributes":["new_number"]}`)
	var b bytes.Buffer
	if err := before.Save(&b); err != nil {
		t.Fatal(err)
	}
	after := emptyOrganisation(t)
	if err := after.Load(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{banks + "?$expand=Attributes,Keys,ManyToOneRelationships", "GlobalOptionSetDefinitions"} {
		want, got := asked(t, before, "GET", root+path, "").Body.String(), asked(t, after, "GET", root+path, "").Body.String()
		if got != want {
			t.Errorf("%s: another answer after loading (-want +got)\n%s", path, cmp.Diff(want, got))
		}
	}
	c := &client{t: t, srv: after}
	h := httptest.NewServer(after.Handler())
	defer h.Close()
	c.url = h.URL
	if a := c.want(400, "DELETE", "GlobalOptionSetDefinitions(Name='new_kinds')", ""); a.code() != "0x80048417" {
		t.Errorf("a choice in use: got %s", a.Body)
	}
	c.want(204, "DELETE", banks+"/Attributes(LogicalName='new_kind')", "")
	c.want(204, "DELETE", "GlobalOptionSetDefinitions(Name='new_kinds')", "")
	c.want(204, "DELETE", banks, "")
}

// A change set of definitions comes into force as a whole, or not at all; one
// that mixes them with rows, or deletes, is refused.
func TestDefinitionsInChangeSet(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	const onAccount = "/api/data/v9.2/EntityDefinitions(LogicalName='account')/Attributes"
	table, good, bad := op("1", "POST", "EntityDefinitions", bank("new_BankAccount")), op("1", "POST", onAccount, column("String", "new_Iban")), op("1", "POST", onAccount, column("String", "name"))
	c.want(204, "POST", "accounts", `{"name":"A"}`)
	if a := c.batch(400, "", changeSet(table, good, bad)); strings.Count(a.Body, "HTTP/1.1 ") != 1 {
		t.Errorf("a part that fails: got %s", a.Body)
	}
	c.want(404, "GET", banks, "")
	c.want(400, "GET", "accounts?$select=new_iban", "")
	if rows := c.want(200, "GET", "accounts?$select=name", "").rows(); len(rows) != 1 || rows[0]["name"] != "A" {
		t.Errorf("rows: got %v", rows)
	}
	if a := c.batch(200, "", changeSet(table, good)); strings.Count(a.Body, "HTTP/1.1 204") != 2 {
		t.Errorf("got %s", a.Body)
	}
	c.want(200, "GET", banks, "")
	if rows := c.want(200, "GET", "accounts?$select=new_iban", "").rows(); len(rows) != 1 {
		t.Errorf("got %v", rows)
	}
	for _, mixed := range [][]string{
		{op("1", "POST", onAccount, column("String", "new_Bic")), op("1", "POST", "accounts", `{"name":"B"}`)},
		{op("1", "DELETE", "EntityDefinitions(LogicalName='new_bankaccount')", "")},
	} {
		if a := c.batch(400, "", changeSet(mixed...)); !strings.Contains(a.Body, "501") {
			t.Errorf("got %s", a.Body)
		}
	}
	if rows := c.want(200, "GET", "accounts", "").rows(); len(rows) != 1 {
		t.Errorf("a row of a refused set was kept: %v", rows)
	}
}

// activitypointers shows what all activities have, and deletes; it neither
// creates nor changes.
func TestActivityPointers(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	task := c.want(204, "POST", "tasks", `{"subject":"T","percentcomplete":5}`).id()
	call := c.want(204, "POST", "phonecalls", `{"subject":"C"}`).id()
	if rows := c.want(200, "GET", "activitypointers?$select=subject,activitytypecode&$orderby=subject", "").rows(); len(rows) != 2 || rows[0]["activitytypecode"] != "phonecall" || rows[1]["activityid"] != task {
		t.Errorf("got %v", rows)
	}
	if one := c.want(200, "GET", "activitypointers("+call+")", "").json(); one["subject"] != "C" || one["activitytypecode"] != "phonecall" {
		t.Errorf("got %v", one)
	}
	c.want(400, "GET", "activitypointers?$select=percentcomplete", "")
	c.want(405, "POST", "activitypointers", `{"subject":"X"}`)
	c.want(405, "PATCH", "activitypointers("+call+")", `{"subject":"X"}`)
	c.want(204, "DELETE", "activitypointers("+call+")", "")
	c.want(404, "GET", "phonecalls("+call+")", "")
	c.want(200, "GET", "tasks("+task+")", "")
	c.want(404, "DELETE", "activitypointers("+call+")", "")
}
