package dataverse_test

import (
	"fmt"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// A row is in one queue at most; a message moves it.
func TestAddToQueue(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	queue := func(name string) string {
		return "queues(" + c.want(204, "POST", "queues", `{"name":"`+name+`"}`).id() + ")"
	}
	one, two := queue("One"), queue("Two")
	task := c.want(204, "POST", "tasks", `{"subject":"Call back"}`).id()
	target := `"Target":{"activityid":"` + task + `","@odata.type":"Microsoft.Dynamics.CRM.task"}`
	const action = "/Microsoft.Dynamics.CRM.AddToQueue"
	item := c.want(200, "POST", one+action, `{`+target+`,"QueueItemProperties":{"priority":7}}`).json()["QueueItemId"].(string)
	row := func() map[string]any {
		return c.want(200, "GET", "queueitems("+item+")?$select=title,priority,objecttypecode,_queueid_value,_objectid_value", "").json()
	}
	if r := row(); r["title"] != "Call back" || r["priority"] != 7.0 || r["_objectid_value"] != task || r["objecttypecode"] != "task" || !strings.Contains(one, r["_queueid_value"].(string)) {
		t.Errorf("got %v", r)
	}
	if again := c.want(200, "POST", two+action, `{`+target+`,"SourceQueue":{"@odata.id":"`+one+`"}}`).json()["QueueItemId"]; again != item {
		t.Errorf("moved: got item %v, want %v", again, item)
	}
	if r := row(); !strings.Contains(two, r["_queueid_value"].(string)) {
		t.Errorf("moved: got %v", r)
	}
	const nobody = "99999999-9999-4999-8999-999999999999"
	account := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	for body, status := range map[string]int{
		`{` + target + `,"SourceQueue":{"@odata.id":"` + one + `"}}`:                                400, // it has left
		`{"Target":{"activityid":"` + nobody + `","@odata.type":"Microsoft.Dynamics.CRM.task"}}`:    404,
		`{"Target":{"accountid":"` + account + `","@odata.type":"Microsoft.Dynamics.CRM.account"}}`: 400, // no queue takes it
		`{"Target":{"activityid":"` + task + `"}}`:                                                  400,
		`{}`: 400,
		`[]`: 400,
	} {
		c.want(status, "POST", two+action, body)
	}
	c.want(404, "POST", "queues("+nobody+")"+action, `{`+target+`}`)
	c.want(404, "POST", "accounts("+account+")"+action, `{`+target+`}`)
}

// A new row takes over the lookup that relates it, and what the maps say.
func TestInitializeFrom(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	account := c.want(204, "POST", "accounts", `{"name":"A","telephone1":"1"}`).id()
	from := func(target, kind string) answer {
		return c.do("GET", "InitializeFrom(EntityMoniker=@p1,TargetEntityName=@p2,TargetFieldType=@p3)?@p1={'@odata.id':'accounts("+account+")'}&@p2='"+target+"'&@p3=Microsoft.Dynamics.CRM.TargetFieldType'"+kind+"'", "")
	}
	for target, nav := range map[string]string{"account": "parentaccountid", "contact": "parentcustomerid_account"} {
		a := from(target, "ValidForCreate")
		if a.Status != 200 || a.json()[nav+"@odata.bind"] != "accounts("+account+")" {
			t.Errorf("%s: got %d %s", target, a.Status, a.Body)
		}
	}
	if a := from("nothing", "ValidForCreate"); a.Status != 404 {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	c.want(400, "GET", "InitializeFrom(TargetEntityName='account')", "")
}

// Sample data comes and goes as a whole, however often it is asked for.
func TestSampleData(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	count := func() string {
		return fmt.Sprint(len(c.want(200, "GET", "accounts?$filter=contains(name,'(sample)')", "").rows()), len(c.want(200, "GET", "contacts?$filter=contains(fullname,'(sample)')", "").rows()))
	}
	for range 2 {
		c.want(204, "POST", "InstallSampleData", "")
		if got := count(); got != "10 10" {
			t.Errorf("installed: got %s accounts and contacts", got)
		}
	}
	for range 2 {
		c.want(204, "POST", "UninstallSampleData", "")
		if got := count(); got != "0 0" {
			t.Errorf("uninstalled: got %s accounts and contacts", got)
		}
	}
}

// A job finds each pair of duplicates once.
func TestBulkDetectDuplicates(t *testing.T) {
	m := withTables(model(),
		"duplicaterule duplicaterules duplicateruleid name:String baseentityname:String matchingentityname:String statuscode:Integer iscasesensitive:Boolean excludeinactiverecords:Boolean",
		"duplicaterulecondition duplicateruleconditions duplicateruleconditionid baseattributename:String matchingattributename:String operatorcode:Integer operatorparam:Integer ignoreblankvalues:Boolean regardingobjectid:Lookup>duplicaterule",
		"asyncoperation asyncoperations asyncoperationid name:String statecode:Integer statuscode:Integer operationtype:Integer",
		"duplicaterecord duplicaterecords duplicateid asyncoperationid:Lookup>asyncoperation baserecordid:Lookup>account duplicaterecordid:Lookup>account")
	c := start(t, dvemu.Options{Model: m})
	rule := c.want(204, "POST", "duplicaterules", `{"name":"r","baseentityname":"account","matchingentityname":"account","statuscode":2}`).id()
	c.want(204, "POST", "duplicateruleconditions", `{"baseattributename":"name","matchingattributename":"name","operatorcode":0,"regardingobjectid@odata.bind":"/duplicaterules(`+rule+`)"}`)
	for i, name := range []string{"A", "a", "A", "B", "C", "C"} {
		c.want(204, "POST", "accounts", fmt.Sprintf(`{"name":%q,"accountnumber":"%d"}`, name, i))
	}
	detect := func(criteria string) answer {
		return c.do("POST", "BulkDetectDuplicates", `{"JobName":"Detect","Query":{"@odata.type":"Microsoft.Dynamics.CRM.QueryExpression","EntityName":"account"`+criteria+`},"SendEmailNotification":false}`)
	}
	a := detect("")
	if a.Status != 200 {
		t.Fatal(a.Body)
	}
	job := a.json()["JobId"].(string)
	if op := c.want(200, "GET", "asyncoperations("+job+")", "").json(); op["statecode"] != 3.0 || op["statuscode"] != 30.0 || op["name"] != "Detect" {
		t.Errorf("job: got %v", op)
	}
	pairs := map[string]int{}
	for _, r := range c.want(200, "GET", "duplicaterecords?$filter=_asyncoperationid_value eq "+job, "").rows() {
		base, other := r["_baserecordid_value"].(string), r["_duplicaterecordid_value"].(string)
		pairs[min(base, other)+max(base, other)]++
	}
	if len(pairs) != 4 { // three of the As, one of the Cs
		t.Errorf("got %d pairs, want 4: %v", len(pairs), pairs)
	}
	for pair, n := range pairs {
		if n != 1 {
			t.Errorf("%s: found %d times", pair, n)
		}
	}
	// Criteria choose whose duplicates are looked for, not among what.
	a = detect(`,"Criteria":{"FilterOperator":"And","Conditions":[{"AttributeName":"accountnumber","Operator":"Equal","Values":[{"Value":"4","Type":"System.String"}]}]}`)
	if l := c.want(200, "GET", "duplicaterecords?$filter=_asyncoperationid_value eq "+a.json()["JobId"].(string), "").rows(); len(l) != 1 {
		t.Errorf("criteria: got %v", l)
	}
	for _, bad := range []string{`,"Criteria":{"Conditions":[{"AttributeName":"nothing","Operator":"Null"}]}`, `,"Criteria":{"Conditions":[{"AttributeName":"name","Operator":"Sideways"}]}`, `,"Criteria":{"FilterOperator":"Xor"}`, `,"DataSource":"lake"`} {
		if a := detect(bad); a.Status < 400 {
			t.Errorf("%s: got %d %s", bad, a.Status, a.Body)
		}
	}
	c.want(400, "POST", "BulkDetectDuplicates", `{"JobName":"Detect"}`)
}

// Maps of the organisation say which columns are taken over.
func TestInitializeFromMaps(t *testing.T) {
	c := start(t, dvemu.Options{Model: withTables(model(),
		"entitymap entitymaps entitymapid sourceentityname:String targetentityname:String",
		"attributemap attributemaps attributemapid sourceattributename:String targetattributename:String entitymapid:Lookup>entitymap")})
	account := c.want(204, "POST", "accounts", `{"name":"A","accountnumber":"7"}`).id()
	at := c.want(204, "POST", "entitymaps", `{"sourceentityname":"account","targetentityname":"account"}`).id()
	for from, to := range map[string]string{"name": "accountnumber", "versionnumber": "versionnumber", "nothing": "name"} {
		c.want(204, "POST", "attributemaps", `{"sourceattributename":"`+from+`","targetattributename":"`+to+`","entitymapid@odata.bind":"/entitymaps(`+at+`)"}`)
	}
	got := c.want(200, "GET", "InitializeFrom(EntityMoniker=@p1,TargetEntityName='account',TargetFieldType=Microsoft.Dynamics.CRM.TargetFieldType'ValidForCreate')?@p1={'@odata.id':'accounts("+account+")'}", "").json()
	if got["accountnumber"] != "A" || got["name"] != nil || got["versionnumber"] != nil {
		t.Errorf("got %v", got)
	}
}
