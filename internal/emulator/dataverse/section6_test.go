package dataverse_test

import (
	"fmt"
	"strings"
	"testing"

	"allod"
	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/emulator/dataverse/store"
)

// What protocols/dataverse.md states in section 6 and no other test shows.

const nobody = "11111111-0000-4000-8000-0000000000ff"

func TestSection6_1_Create(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	a := c.want(201, "POST", "accounts?$select=name", `{"name":"A"}`, "Prefer", "return=representation")
	if a.Header.Get("OData-EntityId") != "" || a.Header.Get("Preference-Applied") != "return=representation" || a.json()["name"] != "A" {
		t.Errorf("got %v %s", a.Header, a.Body)
	}
	one := c.want(204, "POST", "contacts", `{"lastname":"1"}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"B","alp_creditreport":"aGVsbG8=","entityimage":"`+pixel+`","primarycontactid":{"lastname":"deep"},"contact_customer_accounts@odata.bind":["/contacts(`+one+`)"]}`).id()
	r := c.want(200, "GET", "accounts("+id+")?$select=alp_creditreport,entityimage&$expand=primarycontactid($select=lastname)", "").json()
	if r["alp_creditreport"] != nil || r["entityimage"] == nil || r["primarycontactid"].(map[string]any)["lastname"] != "deep" {
		t.Errorf("got %v, want a contact, an image and no file", r)
	}
	if r := c.want(200, "GET", "contacts("+one+")?$select=_parentcustomerid_value", "").json(); r["_parentcustomerid_value"] != id {
		t.Errorf("bound to a collection: got %v", r)
	}
	if a := c.want(400, "PATCH", "accounts("+id+")", `{"contact_customer_accounts@odata.bind":["/contacts(`+one+`)"]}`); a.code() != "0x80048d19" {
		t.Errorf("bound to a collection in an update: got %s", a.Body)
	}
}

func TestSection6_2_Patch(t *testing.T) {
	c := start(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	was := c.want(200, "GET", "accounts("+id+")", "").json()["@odata.etag"]
	c.want(204, "PATCH", "accounts("+id+")", `{"name":"A","accountid":"`+nobody+`"}`)
	if r := c.want(200, "GET", "accounts("+id+")", "").json(); r["@odata.etag"] == was || r["accountid"] != id {
		t.Errorf("written with the value it has: got %v", r)
	}
	c.want(404, "GET", "accounts("+nobody+")", "")
	c.want(405, "PUT", "accounts("+id+")", `{"name":"B"}`)
}

func TestSection6_4_Lookups(t *testing.T) {
	c := start(t, dvemu.Options{})
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	parent := c.want(204, "POST", "accounts", `{"name":"P","accountnumber":"7"}`).id()
	value := func() any {
		t.Helper()
		return c.want(200, "GET", "accounts("+acc+")?$select=_parentaccountid_value", "").json()["_parentaccountid_value"]
	}
	for _, ref := range []string{"/accounts(" + parent + ")", "accounts(" + parent + ")", c.url + "/api/data/v9.2/accounts(" + parent + ")", "/accounts(accountnumber='7')"} {
		for _, clear := range []string{`{"parentaccountid@odata.bind":null}`, `{"parentaccountid":null}`, ""} {
			c.want(204, "PATCH", "accounts("+acc+")", `{"parentaccountid@odata.bind":"`+ref+`"}`)
			if got := value(); got != parent {
				t.Errorf("bound by %s: got %v", ref, got)
			}
			if clear == "" {
				c.want(204, "DELETE", "accounts("+acc+")/parentaccountid/$ref", "")
			} else {
				c.want(204, "PATCH", "accounts("+acc+")", clear)
			}
			if got := value(); got != nil {
				t.Errorf("cleared by %q: got %v", clear, got)
			}
		}
	}
	c.want(204, "PATCH", "accounts("+acc+")", `{"_parentaccountid_value":"`+parent+`"}`)
	if got := value(); got != nil {
		t.Errorf("written by its value: got %v", got)
	}
}

func TestSection6_5_References(t *testing.T) {
	c := start(t, dvemu.Options{})
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	con := c.want(204, "POST", "contacts", `{"lastname":"L"}`).id()
	ref := c.url + "/api/data/v9.2/contacts(" + con + ")"
	c.want(204, "PUT", "accounts("+acc+")/primarycontactid/$ref", `{"@odata.id":"`+ref+`"}`)
	c.want(204, "POST", "accounts("+acc+")/contact_customer_accounts/$ref", `{"@odata.id":"`+ref+`"}`)
	if r := c.want(200, "GET", "contacts("+con+")", "").json(); r["_parentcustomerid_value"] != acc {
		t.Errorf("got %v", r)
	}
	c.want(204, "DELETE", "accounts("+acc+")/contact_customer_accounts/$ref?$id="+ref, "")
	if r := c.want(200, "GET", "contacts("+con+")", "").json(); r["_parentcustomerid_value"] != nil {
		t.Errorf("got %v", r)
	}
	c.want(405, "POST", "accounts("+acc+")/primarycontactid/$ref", `{"@odata.id":"`+ref+`"}`)
}

func TestSection6_6_State(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	c.want(204, "PATCH", "accounts("+id+")", `{"statecode":1}`)
	if r := c.want(200, "GET", "accounts("+id+")", "").json(); r["statuscode"] != 2.0 {
		t.Errorf("state alone: got the status %v", r["statuscode"])
	}
	if a := c.want(400, "PATCH", "accounts("+id+")", `{"statecode":0,"statuscode":2}`); a.code() != "0x80048408" || !strings.Contains(a.Body, "2 is not a valid status code for state code AccountState.Active on account with Id "+id) {
		t.Errorf("got %s", a.Body)
	}
	if a := c.want(400, "PATCH", "accounts("+id+")", `{"statecode":9}`); a.code() != "0x80048408" || !strings.Contains(a.Body, "State code is invalid or") {
		t.Errorf("got %s", a.Body)
	}
	deal := c.want(204, "POST", "opportunities", `{"name":"D","customerid_account@odata.bind":"/accounts(`+id+`)"}`).id()
	c.want(204, "POST", "WinOpportunity", `{"Status":3,"OpportunityClose":{"subject":"s","opportunityid@odata.bind":"/opportunities(`+deal+`)"}}`)
	c.want(400, "PATCH", "opportunities("+deal+")", `{"name":"E"}`)
	c.want(204, "PATCH", "opportunities("+deal+")", `{"statecode":0}`)
	c.want(204, "PATCH", "opportunities("+deal+")", `{"name":"E"}`)
}

func TestSection6_7_BackdatingNeedsItsPrivilege(t *testing.T) {
	c := start(t, dvemu.Options{})
	const body = `{"name":"A","overriddencreatedon":"2019-05-01T00:00:00Z"}`
	c.want(204, "POST", "accounts", body)
	c.action("set-administrator", `{"on":false}`)
	if a := c.want(403, "POST", "accounts", body); a.code() != "0x80040220" || !strings.Contains(a.Body, "prvOverrideCreatedOnCreatedBy") {
		t.Errorf("got %s", a.Body)
	}
	c.want(204, "POST", "accounts", `{"name":"A","overriddencreatedon":null}`)
}

func TestSection6_8_Impersonation(t *testing.T) {
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, dvemu.Options{Model: m})
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	user := c.want(204, "POST", "systemusers", `{"fullname":"U"}`).id()
	as := []string{"MSCRMCallerID", user}
	// A user without a role may do nothing.
	if a := c.want(403, "POST", "accounts", `{"name":"A"}`, as...); a.code() != "0x80040220" || !strings.Contains(a.Body, user) || !strings.Contains(a.Body, "prvCreateAccount") {
		t.Errorf("without a role: got %s", a.Body)
	}
	c.want(403, "GET", "accounts", "", as...)
	role := c.want(204, "POST", "roles", `{"name":"R"}`).id()
	give := func(table, verb, depth string) {
		c.want(204, "POST", "roles("+role+")/Microsoft.Dynamics.CRM.AddPrivilegesRole", `{"Privileges":[{"PrivilegeId":"`+m.Table(table).PrivilegeID(verb).String()+`","Depth":"`+depth+`"}]}`)
	}
	give("account", "Create", "Global")
	give("account", "Read", "Basic")
	give("contact", "Read", "Global")
	// The role of a team is a role of its members.
	team := c.want(204, "POST", "teams", `{"name":"T"}`).id()
	c.want(204, "POST", "teams("+team+")/teamroles_association/$ref", `{"@odata.id":"`+c.url+`/api/data/v9.2/roles(`+role+`)"}`)
	c.want(403, "GET", "contacts", "", as...)
	c.want(204, "POST", "teams("+team+")/teammembership_association/$ref", `{"@odata.id":"`+c.url+`/api/data/v9.2/systemusers(`+user+`)"}`)

	r := c.want(201, "POST", "accounts", `{"name":"A"}`, "MSCRMCallerID", user, "Prefer", "return=representation").json()
	if r["_createdby_value"] != user || r["_createdonbehalfby_value"] != me {
		t.Errorf("got %v by %v on behalf of %v", me, r["_createdby_value"], r["_createdonbehalfby_value"])
	}
	c.want(204, "POST", "accounts", `{"name":"B","ownerid@odata.bind":"/systemusers(`+me+`)"}`)
	names := func(path string, want string, headers ...string) {
		t.Helper()
		got := ""
		for _, r := range c.want(200, "GET", path, "", headers...).rows() {
			got += fmt.Sprint(r["name"])
		}
		if got != want {
			t.Errorf("%s with %v: got %q, want %q", path, headers, got, want)
		}
	}
	fetched := "accounts?fetchXml=%3Cfetch%3E%3Centity%20name%3D%22account%22%3E%3Cattribute%20name%3D%22name%22/%3E%3Corder%20attribute%3D%22name%22/%3E%3C/entity%3E%3C/fetch%3E"
	for _, path := range []string{"accounts?$orderby=name", fetched} {
		names(path, "AB")
		names(path, "A", as...)
	}
	c.want(403, "GET", "accounts", "", "MSCRMCallerID", user, "Prefer", "odata.track-changes") // needs Global
	c.want(403, "DELETE", "accounts("+r["accountid"].(string)+")", "", as...)
	if a := c.batch(400, "", strings.Replace(op("", "POST", "contacts", `{"lastname":"L"}`), "Content-Type: application/json", "MSCRMCallerID: "+user+"\r\nContent-Type: application/json", 1)); !strings.Contains(a.Body, "prvCreateContact") {
		t.Errorf("in a batch: got %s", a.Body)
	}
	// What of no table is asked of both, unless it is assumed otherwise.
	old := `{"name":"O","overriddencreatedon":"2019-05-01T00:00:00Z"}`
	c.want(403, "POST", "accounts", old, as...)
	c.want(403, "POST", "accounts", `{"name":"A"}`, "MSCRMCallerID", user, "MSCRM.BypassCustomPluginExecution", "true")
	c.want(204, "POST", "roles("+role+")/Microsoft.Dynamics.CRM.AddPrivilegesRole", `{"Privileges":[{"PrivilegeId":"`+access.NamedID("prvOverrideCreatedOnCreatedBy").String()+`","Depth":"Global"}]}`)
	c.want(204, "POST", "accounts", old, as...)
	// Nor does a user give what the caller lacks.
	c.action("set-depth", `{"table":"contact","depth":"None"}`)
	c.action("set-administrator", `{"on":true}`)
	if a := c.want(403, "GET", "contacts", "", as...); !strings.Contains(a.Body, me) {
		t.Errorf("what the caller lacks: got %s", a.Body)
	}

	c = start(t, dvemu.Options{Model: m, Assume: map[string]string{"impersonated-privileges": "caller"}})
	user = c.want(204, "POST", "systemusers", `{"fullname":"U"}`).id()
	c.want(200, "GET", "WhoAmI", "", "MSCRMCallerID", user, "MSCRM.BypassCustomPluginExecution", "true")
}

// A System Administrator who is impersonated has all, secured columns too; another
// sees those that a profile opens.
func TestSection6_8_ImpersonatedColumns(t *testing.T) {
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, dvemu.Options{Model: m})
	cast, err := sample.Load(m, c.srv.Store(), sample.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	leaver := cast.Leaver.String()
	const path = "contacts?$select=governmentid&$top=1&$filter=lastname ne null"
	number := func() any {
		t.Helper()
		return c.want(200, "GET", path, "", "MSCRMCallerID", leaver).rows()[0]["governmentid"]
	}
	for _, table := range []string{"systemuserprofiles", "teammembership"} {
		if err := c.srv.Store().Update(func(tx *store.Tx) error {
			for _, id := range tx.Find(table, "systemuserid", allod.IDValue(cast.Leaver)) {
				tx.Delete(table, id)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got := number(); got != nil {
		t.Errorf("without a profile: got %v", got)
	}
	profile := c.want(200, "GET", "fieldsecurityprofiles", "").rows()[0]["fieldsecurityprofileid"].(string)
	c.want(204, "POST", "fieldsecurityprofiles("+profile+")/systemuserprofiles_association/$ref", `{"@odata.id":"`+c.url+`/api/data/v9.2/systemusers(`+leaver+`)"}`)
	if got := number(); got == nil {
		t.Error("with a profile: got null")
	}
	c.want(204, "DELETE", "fieldsecurityprofiles("+profile+")/systemuserprofiles_association("+leaver+")/$ref", "")
	admin := ""
	for _, r := range c.want(200, "GET", "roles?$filter=name eq 'System Administrator'", "").rows() {
		if r["_roletemplateid_value"] != nil {
			admin = r["roleid"].(string)
		}
	}
	c.want(204, "POST", "systemusers("+leaver+")/systemuserroles_association/$ref", `{"@odata.id":"`+c.url+`/api/data/v9.2/roles(`+admin+`)"}`)
	if got := number(); got == nil {
		t.Error("a System Administrator: got null")
	}
}

func TestSection6_11_References(t *testing.T) {
	c := start(t, dvemu.Options{})
	a := c.batch(200, "", changeSet(
		op("1", "POST", "contacts", `{"lastname":"X"}`), op("2", "POST", "accounts", `{"name":"A"}`),
		op("3", "PATCH", "$2", `{"description":"d"}`), op("4", "PUT", "$2/primarycontactid/$ref", `{"@odata.id":"$1"}`)))
	if n := strings.Count(a.Body, "x-ms-ratelimit"); n != 0 || a.Header.Get("x-ms-ratelimit-burst-remaining-xrm-requests") == "" {
		t.Errorf("what is left of the limits stands in %d parts, and outside as %v", n, a.Header)
	}
	r := c.want(200, "GET", "accounts?$select=description&$expand=primarycontactid($select=lastname)", "").rows()
	if len(r) != 1 || r[0]["description"] != "d" || r[0]["primarycontactid"].(map[string]any)["lastname"] != "X" {
		t.Errorf("got %v", r)
	}
	if a := c.batch(400, "", op("", "GET", "WhoAmI", ""), op("", "GET", "accounts("+nobody+")", ""), op("", "GET", "WhoAmI", "")); strings.Count(a.Body, "HTTP/1.1 ") != 2 {
		t.Errorf("stopped at the second part: got %s", a.Body)
	}
	c.batch(400, "", op("", "POST", "$batch", ""))
}

func TestSection6_12_Delete(t *testing.T) {
	c := start(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A","accountnumber":"7"}`).id()
	if a := c.want(412, "DELETE", "accounts("+id+")", "", "If-Match", `W/"1"`); a.code() != "0x80060882" {
		t.Errorf("got %s", a.Body)
	}
	c.want(204, "DELETE", "accounts(accountnumber='7')", "")
	c.want(404, "DELETE", "accounts("+id+")", "")
}

func TestSection6_10_WhichTablesKnowAMessage(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	know := func(message, table string) int {
		t.Helper()
		q := "sdkmessagefilters?$select=primaryobjecttypecode&$filter=sdkmessageid/name eq '" + message + "' and primaryobjecttypecode eq '" + table + "'&$expand=sdkmessageid($select=name)"
		return len(c.want(200, "GET", strings.ReplaceAll(q, " ", "%20"), "").rows())
	}
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	for _, x := range []struct {
		message, table string
		want           int
	}{
		{"CreateMultiple", "account", 1}, {"UpsertMultiple", "new_bankaccount", 1}, {"DeleteMultiple", "account", 0}, {"UpdateMultiple", "audit", 0}, {"CreateMultiple", "accountleads", 0},
	} {
		if got := know(x.message, x.table); got != x.want {
			t.Errorf("%s of %s: got %d rows, want %d", x.message, x.table, got, x.want)
		}
	}
	c.want(204, "DELETE", "EntityDefinitions(LogicalName='new_bankaccount')", "")
	if got := know("CreateMultiple", "new_bankaccount"); got != 0 {
		t.Errorf("a table that is gone has %d rows", got)
	}
	if n := len(c.want(200, "GET", "sdkmessages?$filter=name%20eq%20'CreateMultiple'", "").rows()); n != 1 {
		t.Errorf("messages of the name: got %d", n)
	}
}

// A row whose choice has lost its value stays in the recycle bin, until it is
// restored with another value or the value is back.
func TestSection6_13_ValueOfAChoiceIsGone(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	options := `"OptionSet":{"IsGlobal":false,"OptionSetType":"Picklist","Options":[{"Value":1,"Label":` + label("One") + `},{"Value":2,"Label":` + label("Two") + `}]}`
	c.want(204, "POST", "EntityDefinitions(LogicalName='account')/Attributes", column("Picklist", "new_Size", options))
	c.action("set-recycle-bin", `{"on":true,"count":30}`)
	gone := func() string {
		id := c.want(204, "POST", "accounts", `{"name":"A","new_size":2}`).id()
		c.want(204, "DELETE", "accounts("+id+")", "")
		return id
	}
	restore := func(id, more string) answer {
		return c.do("POST", "Restore", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"`+id+`"`+more+`}}`)
	}
	first, second := gone(), gone()
	c.want(204, "POST", "DeleteOptionValue", `{"EntityLogicalName":"account","AttributeLogicalName":"new_size","Value":2}`)
	for _, id := range []string{first, second} {
		if a := restore(id, ""); a.Status != 400 || a.code() != "0x80049949" {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
		c.want(404, "GET", "accounts("+id+")", "")
	}
	if a := restore(first, `,"new_size":1`); a.Status != 200 || c.want(200, "GET", "accounts("+first+")", "").json()["new_size"] != 1.0 {
		t.Errorf("with another value: got %d %s", a.Status, a.Body)
	}
	c.want(200, "POST", "InsertOptionValue", `{"EntityLogicalName":"account","AttributeLogicalName":"new_size","Value":2,"Label":`+label("Two")+`}`)
	if a := restore(second, ""); a.Status != 200 || c.want(200, "GET", "accounts("+second+")", "").json()["new_size"] != 2.0 {
		t.Errorf("once the value is back: got %d %s", a.Status, a.Body)
	}
}
