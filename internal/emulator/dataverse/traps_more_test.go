package dataverse_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// The runner-ups of protocols/dataverse.md §15, as in traps_test.go.

// 11. set names never guessed
func TestTrap11_SetNamesAreNeverGuessed(t *testing.T) {
	m := withTables(model(), "webresource webresourceset webresourceid name:String")
	c := start(t, dvemu.Options{Model: m})
	for table, guess := range map[string]string{"webresource": "webresources", "opportunity": "opportunitys", "activityparty": "activitypartys", "accountleads": "accountleadss", "account": "Accounts"} {
		if a := c.want(404, "GET", guess, ""); a.code() != "0x8006088a" {
			t.Errorf("%s: got %s", guess, a.Body)
		}
		set, _ := c.want(200, "GET", "EntityDefinitions(LogicalName='"+table+"')?$select=EntitySetName", "").json()["EntitySetName"].(string)
		if set == guess || set == "" {
			t.Fatalf("%s: its set is %q", table, set)
		}
		c.want(200, "GET", set, "")
	}
}

// 12. systemuser key is `ownerid` in CSDL
func TestTrap12_KeyOfUsers(t *testing.T) {
	c := start(t, dvemu.Options{})
	csdl := c.want(200, "GET", "$metadata", "").Body
	for _, name := range []string{"systemuser", "team"} {
		_, typ, _ := strings.Cut(csdl, `<EntityType Name="`+name+`"`)
		if typ, _, _ = strings.Cut(typ, "</Key>"); !strings.Contains(typ, `<PropertyRef Name="ownerid"`) || strings.Contains(typ, name+"id") {
			t.Errorf("the key of %s: got %s", name, typ)
		}
	}
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	row := c.want(200, "GET", "systemusers("+me+")?$select=fullname", "").json()
	if row["systemuserid"] != me {
		t.Errorf("a row: got %v, want its id by the name of the metadata", row)
	}
	c.want(200, "GET", "systemusers(ownerid="+me+")", "")
	if a := c.do("GET", "systemusers(systemuserid="+me+")", ""); a.Status < 400 {
		t.Errorf("by the name that the metadata has: got %d", a.Status)
	}
	if got := c.want(200, "GET", "EntityDefinitions(LogicalName='systemuser')?$select=PrimaryIdAttribute", "").json()["PrimaryIdAttribute"]; got != "systemuserid" {
		t.Errorf("the metadata: got %v", got)
	}
}

// 13. AttributeType "Virtual" hides File/Image/MultiSelect
func TestTrap13_VirtualColumns(t *testing.T) {
	c := start(t, dvemu.Options{Model: withTables(model(), "account accounts accountid picture:Image topics:MultiSelectPicklist")})
	a := c.want(200, "GET", "EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName,AttributeType,AttributeTypeName", "")
	kinds := map[string]string{}
	for _, r := range a.rows() {
		if r["AttributeType"] == "Virtual" {
			kinds[r["LogicalName"].(string)], _ = r["AttributeTypeName"].(map[string]any)["Value"].(string)
		}
	}
	for name, want := range map[string]string{"contract": "FileType", "picture": "ImageType", "topics": "MultiSelectPicklistType"} {
		if kinds[name] != want {
			t.Errorf("%s: got %q among the virtual columns, want %s", name, kinds[name], want)
		}
	}
}

// 14. `documentbody/$value` returns Base64 text
func TestTrap14_BodiesAreText(t *testing.T) {
	c := start(t, dvemu.Options{Model: withTables(model(), "annotation annotations annotationid filename:String mimetype:String filesize:Integer isdocument:Boolean documentbody:Memo")})
	id := c.want(204, "POST", "annotations", `{"filename":"a.txt","mimetype":"text/plain","documentbody":"aGVsbG8="}`).id()
	a := c.want(200, "GET", "annotations("+id+")/documentbody/$value", "")
	if a.Body != "aGVsbG8=" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("got %q as %s, want the text and not the bytes", a.Body, a.Header.Get("Content-Type"))
	}
}

// 15. audit old values truncated and without actor via Web API
func TestTrap15_AuditIsAListOfRows(t *testing.T) {
	c := start(t, dvemu.Options{Model: auditModel()})
	c.enableAudit()
	long := strings.Repeat("x", 6000)
	id := c.want(204, "POST", "accounts", `{"name":"a","description":"`+long+`"}`).id()
	c.want(204, "PATCH", "accounts("+id+")", `{"description":"short"}`)
	history := c.recordHistory(id, `{"PageNumber":1,"Count":10}`)
	newest := history["AuditDetails"].([]any)[0].(map[string]any)
	said, err := json.Marshal(newest)
	if err != nil {
		t.Fatal(err)
	}
	if old, _ := newest["OldValue"].(map[string]any)["description"].(string); old != long[:5000]+"…" {
		t.Errorf("the old value has %d bytes, want 5,000 and an ellipsis", len(old))
	}
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	if strings.Contains(string(said), me) || newest["AuditRecord"] != nil {
		t.Error("the history says who it was")
	}
	for _, r := range c.want(200, "GET", "audits?$filter=_objectid_value eq "+id, "").rows() {
		if r["_userid_value"] != me {
			t.Errorf("the list does not: %v", r)
		}
	}
}

// 16. dup detection 412 vs 500
func TestTrap16_DuplicateDetection(t *testing.T) {
	for _, status := range []int{412, 500} {
		c := start(t, dvemu.Options{Assume: map[string]string{"duplicate-status": strconv.Itoa(status)}, Model: withTables(model(),
			"duplicaterule duplicaterules duplicateruleid name:String baseentityname:String matchingentityname:String statuscode:Integer iscasesensitive:Boolean excludeinactiverecords:Boolean",
			"duplicaterulecondition duplicateruleconditions duplicateruleconditionid baseattributename:String matchingattributename:String operatorcode:Integer operatorparam:Integer ignoreblankvalues:Boolean regardingobjectid:Lookup>duplicaterule")})
		rule := c.want(204, "POST", "duplicaterules", `{"name":"r","baseentityname":"account","matchingentityname":"account","statuscode":2}`).id()
		c.want(204, "POST", "duplicateruleconditions", `{"baseattributename":"name","matchingattributename":"name","operatorcode":0,"regardingobjectid@odata.bind":"/duplicaterules(`+rule+`)"}`)
		c.want(204, "POST", "accounts", `{"name":"A"}`)
		c.want(204, "POST", "accounts", `{"name":"A"}`) // off unless asked for
		if a := c.want(status, "POST", "accounts", `{"name":"A"}`, "MSCRM.SuppressDuplicateDetection", "false"); a.code() != "0x80040333" {
			t.Errorf("%d: got %s", status, a.Body)
		}
	}
}

// 17. intersect sets are read-only (`$ref` only)
func TestTrap17_PairsByReference(t *testing.T) {
	c := start(t, dvemu.Options{})
	acc := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	lead := c.want(204, "POST", "leads", `{"subject":"L"}`).id()
	ref := `{"@odata.id":"` + c.url + `/api/data/v9.2/leads(` + lead + `)"}`
	c.want(204, "POST", "accounts("+acc+")/accountleads_association/$ref", ref)
	c.want(412, "POST", "accounts("+acc+")/accountleads_association/$ref", ref)
	rows := c.want(200, "GET", "accountleadscollection", "").rows()
	if len(rows) != 1 || rows[0]["accountid"] != acc || rows[0]["leadid"] != lead {
		t.Fatalf("read: got %v", rows)
	}
	pair := "accountleadscollection(" + rows[0]["accountleadid"].(string) + ")"
	body := `{"accountid":"` + acc + `","leadid":"` + lead + `"}`
	for _, r := range [][3]string{{"POST", "accountleadscollection", body}, {"PATCH", pair, body}, {"DELETE", pair, ""}} {
		if a := c.want(400, r[0], r[1], r[2]); a.code() != "0x8004830F" {
			t.Errorf("%s: got %s", r[0], a.Body)
		}
	}
	c.want(204, "DELETE", "accounts("+acc+")/accountleads_association("+lead+")/$ref", "")
	if n := len(c.want(200, "GET", "accountleadscollection", "").rows()); n != 0 {
		t.Errorf("pairs left: %d", n)
	}
}

// 18. aggregates stop at 50,000
func TestTrap18_Aggregates(t *testing.T) {
	c := start(t, dvemu.Options{})
	fill := func(from, to uint64) {
		for i := from; i < to; i++ {
			if err := c.srv.Store().Insert("lead", key(i), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	const sum = "leads?$apply=aggregate($count as n)"
	const xml = `<fetch aggregate="true"><entity name="lead"><attribute name="leadid" alias="n" aggregate="count"/></entity></fetch>`
	fill(0, 50_000)
	if n := c.want(200, "GET", sum, "").rows()[0]["n"]; n != 50_000.0 {
		t.Errorf("$apply: got %v", n)
	}
	if a := c.fetch("leads", xml); a.Status != 200 || a.rows()[0]["n"] != 50_000.0 {
		t.Errorf("FetchXML: got %d %s", a.Status, a.Body)
	}
	fill(50_000, 50_001)
	if a := c.want(400, "GET", sum, ""); a.code() != "0x8004E023" {
		t.Errorf("$apply: got %s", a.Body)
	}
	if a := c.fetch("leads", xml); a.Status != 400 || a.code() != "0x8004E023" {
		t.Errorf("FetchXML: got %d %s", a.Status, a.Body)
	}
}

// 19. weak ETag is not an order
func TestTrap19_EtagsAreNoOrder(t *testing.T) {
	c := start(t, dvemu.Options{})
	id := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	tag := c.want(200, "GET", "accounts("+id+")", "").json()["@odata.etag"].(string)
	n, err := strconv.ParseInt(strings.Trim(tag, `W/"`), 10, 64)
	if err != nil || !strings.HasPrefix(tag, `W/"`) {
		t.Fatalf("got the etag %s (%v)", tag, err)
	}
	for _, other := range []int64{n - 1, n + 1} { // older or newer: both are just others
		c.want(412, "PATCH", "accounts("+id+")", `{"name":"B"}`, "If-Match", fmt.Sprintf(`W/"%d"`, other))
		c.want(412, "DELETE", "accounts("+id+")", "", "If-Match", fmt.Sprintf(`W/"%d"`, other))
		c.want(200, "GET", "accounts("+id+")", "", "If-None-Match", fmt.Sprintf(`W/"%d"`, other))
	}
	c.want(304, "GET", "accounts("+id+")", "", "If-None-Match", tag)
	c.want(204, "PATCH", "accounts("+id+")", `{"name":"B"}`, "If-Match", tag)
	c.want(412, "PATCH", "accounts("+id+")", `{"name":"C"}`, "If-Match", tag)
}

// 20. UpsertMultiple returns 204 with no ids
func TestTrap20_WritesNeedNoIDs(t *testing.T) {
	c := start(t, dvemu.Options{})
	const body = `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","@odata.id":"accounts(accountnumber='N')","name":"A"},{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"11111111-0000-4000-8000-000000000001","name":"B"}]}`
	for range 2 { // made, then changed: the answers are alike
		a := c.want(204, "POST", "accounts/Microsoft.Dynamics.CRM.UpsertMultiple", body)
		if a.Body != "" || a.Header.Get("OData-EntityId") != "" || a.Header.Get("Location") != "" {
			t.Errorf("got %q and %v, want nothing", a.Body, a.Header)
		}
	}
	if n := len(c.want(200, "GET", "accounts", "").rows()); n != 2 {
		t.Errorf("got %d rows, want 2", n)
	}
	ids, _ := c.want(200, "POST", "accounts/Microsoft.Dynamics.CRM.CreateMultiple", `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.account","name":"C"}]}`).json()["Ids"].([]any)
	if len(ids) != 1 {
		t.Errorf("CreateMultiple: got %v, want its ids", ids)
	}
}
