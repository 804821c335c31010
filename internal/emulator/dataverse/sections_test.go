package dataverse_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// Cookies of the capture in §1.3, for a client that has none.
func TestS13Cookies(t *testing.T) {
	c := start(t, dvemu.Options{})
	a := c.want(200, "GET", "WhoAmI", "")
	org := a.json()["OrganizationId"].(string)
	all := strings.Join(a.Header.Values("Set-Cookie"), "\n")
	if !strings.Contains(all, "ReqClientId=") || !strings.Contains(all, "orgId="+org+"; expires=") {
		t.Errorf("got %s", all)
	}
	a = c.want(200, "GET", "WhoAmI", "", "Cookie", "ReqClientId=00000000-0000-4000-8000-000000000001")
	if all := strings.Join(a.Header.Values("Set-Cookie"), "\n"); strings.Contains(all, "orgId=") {
		t.Errorf("to a client that has them: got %s", all)
	}
}

// The global discovery service lists the environment, for those who are users of it
// (§1.4).
func TestS14Discovery(t *testing.T) {
	c := start(t, dvemu.Options{OrganizationName: "Contoso"})
	at := c.url + "/api/discovery/v2.0/Instances"
	a := c.want(200, "GET", at, "")
	rows := a.rows()
	if len(rows) != 1 || rows[0]["FriendlyName"] != "Contoso" || rows[0]["ApiUrl"] != c.url || rows[0]["Url"] != c.url || rows[0]["IsUserSysAdmin"] != true || len(rows[0]) != 20 {
		t.Fatalf("got %s", a.Body)
	}
	if rows[0]["Id"] != c.want(200, "GET", "WhoAmI", "").json()["OrganizationId"] {
		t.Errorf("Id: got %v", rows[0]["Id"])
	}
	unique := rows[0]["UniqueName"].(string)
	want := `{"@odata.context":"` + c.url + `/api/discovery/v2.0/$metadata#Instances","value":[{"UniqueName":"` + unique + `","FriendlyName":"Contoso","ApiUrl":"` + c.url + `"}]}`
	if got := c.want(200, "GET", at+"?$select=ApiUrl,UniqueName,FriendlyName&$filter=Type%20eq%200", "").Body; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if rows := c.want(200, "GET", at+"?$filter=UniqueName%20eq%20'other'", "").rows(); len(rows) != 0 {
		t.Errorf("by another name: got %v", rows)
	}
	for _, key := range []string{"UniqueName='" + unique + "'", rows[0]["Id"].(string)} {
		if got := c.want(200, "GET", at+"("+key+")?$select=UniqueName", "").json()["UniqueName"]; got != unique {
			t.Errorf("%s: got %v", key, got)
		}
	}
	for path, status := range map[string]int{"(UniqueName='other')": 404, "?$select=Nothing": 400, "?$filter=Nothing%20eq%201": 400, "?$top=1": 400, "/more": 404, "?$filter=Type%20eq": 400} {
		c.want(status, "GET", at+path, "")
	}
	c.want(405, "POST", at, "{}")
	res, err := http.Get(at) // without a token
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("without a token: got %d", res.StatusCode)
	}
}

// $metadata?annotations=true (§3.1, "Web API Properties").
func TestS31Annotations(t *testing.T) {
	c := start(t, dvemu.Options{})
	plain := c.want(200, "GET", "$metadata", "").Body
	if strings.Contains(plain, "Org.OData.C") {
		t.Error("the plain document has annotations")
	}
	doc := c.want(200, "GET", "$metadata?annotations=true", "").Body
	for _, s := range []string{
		`<Property Name="createdon" Type="Edm.DateTimeOffset"><Annotation Term="Org.OData.Core.V1.Computed" Bool="true" /><Annotation Term="Org.OData.Core.V1.Permissions"><EnumMember>Org.OData.Core.V1.PermissionType/Read</EnumMember></Annotation></Property>`,
		`<Property Name="_primarycontactid_value" Type="Edm.Guid"><Annotation Term="Org.OData.Core.V1.Computed"`,
		`<Property Name="name" Type="Edm.String" Unicode="false" />`,
		`<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking"><Record><PropertyValue Property="Supported" Bool="true" /></Record></Annotation></EntitySet>`,
		`<PropertyValue Property="Supported" Bool="false" />`, // customeraddress
		`<edmx:IncludeAnnotations TermNamespace="Org.OData.Core.V1" />`,
	} {
		if !strings.Contains(doc, s) {
			t.Errorf("the document lacks %s", s)
		}
	}
	if again := c.want(200, "GET", "$metadata", "").Body; again != plain {
		t.Error("the plain document has changed")
	}
	c = standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount", `"Description":{"LocalizedLabels":[{"Label":"Where money lies","LanguageCode":1033}]}`))
	if doc := c.want(200, "GET", "$metadata?annotations=true", "").Body; !strings.Contains(doc, `<Annotation Term="Org.OData.Core.V1.Description" String="Where money lies" />`) {
		t.Error("a description is missing")
	}
}

// Filters of metadata compare enums with typed literals (§3.2).
func TestS32TypedLiterals(t *testing.T) {
	c := start(t, dvemu.Options{})
	for filter, status := range map[string]int{
		"OwnershipType eq Microsoft.Dynamics.CRM.OwnershipTypes'UserOwned'": 200, "OwnershipType eq 'UserOwned'": 400, "TableType eq 'Standard'": 200,
	} {
		c.want(status, "GET", "EntityDefinitions?$select=LogicalName&$filter="+filter, "")
	}
	c.want(400, "GET", "EntityDefinitions(LogicalName='account')/Attributes?$filter=RequiredLevel/Value ne 'None'", "")
}

// $filter, $select and $count beside $apply speak of what it made (§4.5).
// Accept says how much control information a response has (§2.2).
func TestSection2_2_ControlInformation(t *testing.T) {
	c := start(t, dvemu.Options{})
	con := c.want(204, "POST", "contacts", `{"lastname":"L"}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"A & <B>","revenue":1.5,"primarycontactid@odata.bind":"/contacts(`+con+`)"}`).id()
	accept := func(level string) []string {
		return []string{"Accept", "text/html, application/json;odata.metadata=" + level + ";q=0.9"}
	}
	ask := func(level, path string) answer {
		t.Helper()
		a := c.want(200, "GET", path, "", accept(level)...)
		if got := a.Header.Get("Content-Type"); got != "application/json; odata.metadata="+level {
			t.Errorf("%s of %s: got the type %s", level, path, got)
		}
		return a
	}
	root := c.url + "/api/data/v9.2"
	one := "accounts(" + id + ")?$select=name,revenue,statecode,_primarycontactid_value,description&$expand=primarycontactid($select=lastname)"
	etag := c.want(200, "GET", one, "").json()
	account, _ := json.Marshal(etag["@odata.etag"])
	contact, _ := json.Marshal(etag["primarycontactid"].(map[string]any)["@odata.etag"])
	got := ask("full", one).Body
	for _, part := range []string{
		`"@odata.type":"#Microsoft.Dynamics.CRM.account","@odata.id":"` + root + `/accounts(` + id + `)","@odata.editLink":"accounts(` + id + `)","@odata.etag":` + string(account) + `,`,
		`"accountid@odata.type":"#Guid","accountid":"` + id + `"`, `"name":"A & <B>"`, `"revenue@odata.type":"#Decimal","revenue":1.5`, `"statecode":0`, `,"description":null`,
		`"_primarycontactid_value@odata.type":"#Guid","_primarycontactid_value":"` + con + `"`,
		`"primarycontactid@odata.associationLink":"` + root + `/accounts(` + id + `)/primarycontactid/$ref","primarycontactid@odata.navigationLink":"` + root + `/accounts(` + id + `)/primarycontactid","primarycontactid":{"@odata.type":"#Microsoft.Dynamics.CRM.contact","@odata.id":"` + root + `/contacts(` + con + `)","@odata.editLink":"contacts(` + con + `)","@odata.etag":` + string(contact) + `,"contactid@odata.type":"#Guid"`,
	} {
		if !strings.Contains(got, part) {
			t.Errorf("full: got %s\nlacks %s", got, part)
		}
	}
	if strings.Contains(got, "statecode@odata.type") || strings.Contains(got, "parentaccountid@odata") {
		t.Errorf("full with $select: got %s", got)
	}
	all := ask("full", "accounts").json()["value"].([]any)[0].(map[string]any)
	if all["parentaccountid@odata.navigationLink"] != root+"/accounts("+id+")/parentaccountid" || all["createdon@odata.type"] != "#DateTimeOffset" || all["versionnumber@odata.type"] != "#Int64" {
		t.Errorf("full without $select: got %v", all)
	}
	if a := ask("full", "WhoAmI").json(); a["@odata.type"] != "#Microsoft.Dynamics.CRM.WhoAmIResponse" {
		t.Errorf("full of a function: got %v", a)
	}
	if a := ask("full", "accounts?$apply=aggregate($count as n)").Body; !strings.HasSuffix(a, `"value":[{"n":1}]}`) {
		t.Errorf("full of an aggregate: got %s", a)
	}
	if a := c.want(200, "GET", "accounts", "", "Accept", "application/json"); a.Header.Get("Content-Type") != "application/json; odata.metadata=minimal" {
		t.Errorf("without a word: got %v", a.Header)
	}

	c.want(204, "POST", "accounts", `{"name":"C"}`)
	page := c.want(200, "GET", "accounts?$select=name&$count=true", "", append(accept("none"), "Prefer", `odata.maxpagesize=1,odata.include-annotations="OData.Community.Display.V1.FormattedValue"`)...).json()
	if page["@odata.count"] != 2.0 || page["@odata.nextLink"] == nil || page["@odata.context"] != nil || page["value"].([]any)[0].(map[string]any)["@odata.etag"] != nil {
		t.Errorf("none: got %v", page)
	}
	if a := ask("none", "accounts("+id+")?$select=name").Body; strings.Contains(a, "@odata") || !strings.Contains(a, `"name":"A & <B>"`) {
		t.Errorf("none of a row: got %s", a)
	}
	tracked := c.want(200, "GET", "accounts?$select=name", "", append(accept("none"), "Prefer", "odata.track-changes")...).json()
	if tracked["@odata.deltaLink"] == nil {
		t.Errorf("none of changes: got %v", tracked)
	}
	part := strings.Replace(op("", "GET", "accounts", ""), "HTTP/1.1\r\n", "HTTP/1.1\r\nAccept: application/json;odata.metadata=full\r\n", 1)
	if a := c.batch(200, "", part); !strings.Contains(a.Body, "odata.metadata=full") || !strings.Contains(a.Body, `"@odata.editLink"`) {
		t.Errorf("in a batch: got %s", a.Body)
	}
	if a := c.want(201, "POST", "accounts", `{"name":"R"}`, append(accept("full"), "Prefer", "return=representation")...).json(); a["@odata.editLink"] == nil {
		t.Errorf("of what was made: got %v", a)
	}
}

func TestS45OptionsBesideApply(t *testing.T) {
	c, ids := company(t)
	ask := func(rest string) string {
		t.Helper()
		body := c.want(200, "GET", "accounts?$apply=groupby((statecode,_primarycontactid_value),aggregate($count as n))"+rest, "").Body
		_, after, _ := strings.Cut(body, "#accounts\",")
		return strings.TrimSuffix(after, "}")
	}
	y := `"_primarycontactid_value":"` + ids["y"] + `"`
	for rest, want := range map[string]string{
		"":                        `"value":[{"statecode":0,"n":3},{"statecode":0,` + y + `,"n":1},{"statecode":1,"n":1}]`,
		"&$filter=statecode eq 0": `"value":[{"statecode":0,"n":3},{"statecode":0,` + y + `,"n":1}]`,
		"&$filter=_primarycontactid_value eq " + ids["y"]:       `"value":[{"statecode":0,` + y + `,"n":1}]`,
		"&$filter=_primarycontactid_value eq null&$count=true":  `"@odata.count":2,"value":[{"statecode":0,"n":3},{"statecode":1,"n":1}]`,
		"&$select=n&$orderby=statecode desc&$top=1&$count=true": `"@odata.count":3,"value":[{"n":1}]`,
		"&$select=n,statecode&$filter=statecode eq 1":           `"value":[{"statecode":1,"n":1}]`,
	} {
		if got := ask(rest); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", rest, got, want)
		}
	}
	for _, rest := range []string{"&$filter=n gt 1", "&$select=name", "&$expand=primarycontactid", "&$filter=statecode"} {
		c.want(400, "GET", "accounts?$apply=groupby((statecode),aggregate($count as n))"+rest, "")
	}
}

// A table that is made has rows of privileges, which roles can hold; they go with it
// (§11.2).
func TestS112PrivilegesOfNewTables(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	ask := "privileges?$select=name,canbebasic&$filter=endswith(name,'new_BankAccount')"
	if got := sorted(c.do("GET", ask, ""), "name"); got != "prvAppendTonew_BankAccount prvAppendnew_BankAccount prvAssignnew_BankAccount prvCreatenew_BankAccount prvDeletenew_BankAccount prvReadnew_BankAccount prvSharenew_BankAccount prvWritenew_BankAccount" {
		t.Errorf("got %s", got)
	}
	id := c.want(200, "GET", ask, "").rows()[0]["privilegeid"].(string)
	def := c.want(200, "GET", banks+"?$select=Privileges", "").Body
	if !strings.Contains(def, id) {
		t.Errorf("the definition has another id than %s: %s", id, def)
	}
	role := c.want(204, "POST", "roles", `{"name":"Banker"}`).id()
	c.want(204, "POST", "roles("+role+")/Microsoft.Dynamics.CRM.AddPrivilegesRole", `{"Privileges":[{"PrivilegeId":"`+id+`","Depth":"Local"}]}`)
	c.want(204, "DELETE", banks, "")
	if got := sorted(c.do("GET", ask, ""), "name"); got != "" {
		t.Errorf("after the table: got %s", got)
	}
	if p := c.want(200, "GET", "RetrieveRolePrivilegesRole(RoleId="+role+")", "").json()["RolePrivileges"].([]any); len(p) != 0 {
		t.Errorf("the role still holds %v", p)
	}
}

// A component that is changed stays as it was until it is published; what is new is
// published at once, what is deleted is gone (§11.2, "Publish customizations").
func TestS112UnpublishedLayers(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	view := "savedqueries(" + c.want(204, "POST", "savedqueries", `{"name":"one","returnedtypecode":"account","fetchxml":"<fetch><entity name='account'/></fetch>"}`).id() + ")"
	script := c.want(204, "POST", "webresourceset", `{"name":"new_/a.js","webresourcetype":3,"content":"YQ=="}`).id()
	const fn = "/Microsoft.Dynamics.CRM.RetrieveUnpublished"
	name := func(when, path, want string, state float64) {
		t.Helper()
		r := c.want(200, "GET", path+"?$select=name,componentstate", "").json()
		if r["name"] != want || r["componentstate"] != state {
			t.Errorf("%s, %s: got %v, want %s in state %v", when, path, r, want, state)
		}
	}
	name("new", view, "one", 0)
	name("new", view+fn+"()", "one", 0)
	c.want(204, "PATCH", view, `{"name":"two"}`)
	c.want(204, "PUT", view+"/description", `{"value":"also"}`)
	name("changed", view, "one", 0)
	name("changed", view+fn+"()", "two", 1)
	if r := c.want(200, "GET", view+fn, "").json(); r["description"] != "also" || r["fetchxml"] == nil {
		t.Errorf("changed twice: got %v", r)
	}
	multiple := func() string {
		t.Helper()
		return sorted(c.do("GET", "savedqueries"+fn+"Multiple()?$select=name&$filter=returnedtypecode eq 'account' and (name eq 'one' or name eq 'two')", ""), "name")
	}
	if got := multiple(); got != "two" {
		t.Errorf("RetrieveUnpublishedMultiple: got %s", got)
	}
	if got := sorted(c.do("GET", "savedqueries?$select=name&$filter=name eq 'two'", ""), "name"); got != "" {
		t.Errorf("the set: got %s", got)
	}
	c.want(204, "PATCH", "webresourceset("+script+")", `{"name":"new_/b.js"}`)
	publish := func(inner string) {
		t.Helper()
		c.want(204, "POST", "PublishXml", `{"ParameterXml":"<importexportxml>`+inner+`</importexportxml>"}`)
	}
	publish("<entities><entity>contact</entity></entities><webresources><webresource>{" + strings.ToUpper(script) + "}</webresource></webresources>")
	name("another table published", view, "one", 0)
	name("published by id", "webresourceset("+script+")", "new_/b.js", 0)
	publish("<entities><entity>account</entity></entities>")
	name("published", view, "two", 0)
	name("published", view+fn+"()", "two", 0)
	c.want(204, "PATCH", view, `{"name":"three"}`)
	c.want(204, "POST", "PublishAllXml", "{}")
	name("all published", view, "three", 0)
	c.want(204, "PATCH", view, `{"name":"four"}`)
	c.want(204, "DELETE", view, "")
	c.want(404, "GET", view+fn+"()", "")
	c.want(204, "POST", "PublishAllXml", "{}")
	c.want(404, "GET", view, "")
	c.want(400, "POST", "PublishXml", `{"ParameterXml":"<importexportxml>"}`)
	c.want(404, "GET", "accounts"+fn+"Multiple()", "")
	account := c.want(204, "POST", "accounts", `{"name":"a"}`).id()
	c.want(404, "GET", "accounts("+account+")"+fn+"()", "")
}

// Single statements of §2 to §5 that no story needs.
func TestS25Facts(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	for _, tt := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "contacts", `{"lastname":"x","birthdate":"1700-01-01"}`, 400, "0x80040239"},            // §3.3
		{"POST", "accounts", `{}`, 204, ""},                                                             // §3.3: ApplicationRequired is not enforced
		{"GET", "accounts?$select=primarycontactidname", "", 400, "0x0"},                                // §3.3: IsValidODataAttribute
		{"GET", "principals", "", 404, "0x8006088a"},                                                    // §3.1
		{"GET", "RetrieveEntityChanges()", "", 404, "0x8006088a"},                                       // §5.2
		{"GET", "accounts?$filter=name eq '" + strings.Repeat("x", 32768) + "'", "", 414, ""},           // §4.7
		{"PUT", "EntityDefinitions(LogicalName='account')", `{"ChangeTrackingEnabled":false}`, 204, ""}, // §5.2: is not undone
		{"GET", "accounts?$select=name", "", 200, ""},
	} {
		a := c.do(tt.method, tt.path, tt.body)
		if a.Status != tt.status || tt.code != "" && a.code() != tt.code {
			t.Errorf("%s %.60s: got %d %.300s, want %d %s", tt.method, tt.path, a.Status, a.Body, tt.status, tt.code)
		}
	}
	if def := c.want(200, "GET", "EntityDefinitions(LogicalName='account')?$select=ChangeTrackingEnabled", "").json(); def["ChangeTrackingEnabled"] != true {
		t.Errorf("change tracking was taken back: %v", def)
	}
}
