package dataverse_test

import (
	"fmt"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// bulk is BulkDelete as the Python SDK of Microsoft sends it.
func bulk(table, criteria string, more ...string) string {
	return `{"QuerySet":[{"@odata.type":"Microsoft.Dynamics.CRM.QueryExpression","EntityName":"` + table + `","ColumnSet":{"@odata.type":"Microsoft.Dynamics.CRM.ColumnSet","AllColumns":false,"Columns":["` + table + `id"]},"Criteria":` + criteria + strings.Join(more, "") + `}],
		"JobName":"Bulk","SendEmailNotification":false,"ToRecipients":[],"CCRecipients":[],"RecurrencePattern":"","StartDateTime":"2024-01-01T00:00:00Z"}`
}

func TestBulkDelete(t *testing.T) {
	m := withTables(model(),
		"asyncoperation asyncoperations asyncoperationid name:String statecode:Integer statuscode:Integer operationtype:Integer",
		"bulkdeleteoperation bulkdeleteoperations bulkdeleteoperationid name:String asyncoperationid:Lookup>asyncoperation successcount:Integer failurecount:Integer statuscode:Integer",
		"bulkdeletefailure bulkdeletefailures bulkdeletefailureid asyncoperationid:Lookup>asyncoperation errordescription:String regardingobjectid:Lookup>account")
	c := start(t, dvemu.Options{Model: m})
	var ids []string
	for i := range 4 {
		ids = append(ids, c.want(204, "POST", "accounts", fmt.Sprintf(`{"name":"A%d","accountnumber":"%d"}`, i, i)).id())
	}
	in := `{"FilterOperator":"And","Conditions":[{"AttributeName":"accountid","Operator":"In","Values":[{"Value":"` + ids[0] + `","Type":"System.Guid"},{"Value":"` + ids[1] + `","Type":"System.Guid"}]}],"Filters":[]}`
	a := c.want(200, "POST", "BulkDelete", bulk("account", in)).json()
	if !strings.HasSuffix(fmt.Sprint(a["@odata.context"]), "#Microsoft.Dynamics.CRM.BulkDeleteResponse") {
		t.Errorf("got %v", a)
	}
	job := a["JobId"].(string)
	if op := c.want(200, "GET", "asyncoperations("+job+")", "").json(); op["statecode"] != 3.0 || op["statuscode"] != 30.0 || op["operationtype"] != 13.0 || op["name"] != "Bulk" {
		t.Errorf("job: got %v", op)
	}
	told := func(job string) string {
		l := c.want(200, "GET", "bulkdeleteoperations?$filter=_asyncoperationid_value eq "+job, "").rows()
		if len(l) != 1 {
			t.Fatalf("got %v", l)
		}
		return fmt.Sprint(l[0]["successcount"], " deleted, ", l[0]["failurecount"], " failed")
	}
	if got := told(job); got != "2 deleted, 0 failed" {
		t.Errorf("got %s", got)
	}
	c.want(404, "GET", "accounts("+ids[0]+")", "")
	c.want(200, "GET", "accounts("+ids[2]+")", "")

	or := `{"FilterOperator":"Or","Conditions":[{"AttributeName":"name","Operator":"BeginsWith","Values":["A2"]},{"AttributeName":"name","Operator":"Equal","Values":[{"Value":"A3","Type":"System.String"}]}]}`
	if got := told(c.want(200, "POST", "BulkDelete", bulk("account", or)).json()["JobId"].(string)); got != "2 deleted, 0 failed" {
		t.Errorf("or: got %s", got)
	}
	for _, bad := range []string{`{}`, `{"JobName":"x","QuerySet":[]}`, `{"JobName":"x","QuerySet":[{}]}`, bulk("account", `{"Conditions":[{"AttributeName":"nothing","Operator":"Null"}]}`)} {
		c.want(400, "POST", "BulkDelete", bad)
	}
	c.want(404, "POST", "BulkDelete", bulk("nothing", `{}`))
}

// TestBulkDeleteGoesOn: what cannot be deleted stays, the rest is deleted; the
// bin keeps it unless told otherwise; the history and retained rows go too.
func TestBulkDeleteGoesOn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", "RelationshipDefinitions", oneToMany("new_contact_bank", "contact", "new_bankaccount", "new_HolderId", `"CascadeConfiguration":{"Delete":"Restrict"}`))
	held := c.want(204, "POST", "contacts", `{"lastname":"held"}`).id()
	free := c.want(204, "POST", "contacts", `{"lastname":"free"}`).id()
	c.want(204, "POST", "new_bankaccounts", `{"new_HolderId@odata.bind":"/contacts(`+held+`)"}`)
	c.action("set-recycle-bin", `{"on":true,"count":30}`)
	job := c.want(200, "POST", "BulkDelete", bulk("contact", `{"Conditions":[{"AttributeName":"lastname","Operator":"NotNull"}]}`)).json()["JobId"].(string)
	if l := c.want(200, "GET", "bulkdeleteoperations?$filter=_asyncoperationid_value%20eq%20"+job, "").rows(); len(l) != 1 || l[0]["successcount"] != 1.0 || l[0]["failurecount"] != 1.0 {
		t.Errorf("operation: got %v", l)
	}
	if l := c.want(200, "GET", "bulkdeletefailures?$filter=_asyncoperationid_value%20eq%20"+job, "").rows(); len(l) != 1 || l[0]["_regardingobjectid_value"] != held || l[0]["errordescription"] == nil {
		t.Errorf("failures: got %v", l)
	}
	c.want(200, "GET", "contacts("+held+")", "")
	c.want(404, "GET", "contacts("+free+")", "")
	c.want(200, "POST", "Restore", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.contact","contactid":"`+free+`"}}`)
	final := strings.Replace(bulk("contact", `{"Conditions":[{"AttributeName":"lastname","Operator":"Equal","Values":["free"]}]}`), `"JobName"`, `"Options":{"CanRecoverDeletedRecords":false},"JobName"`, 1)
	c.want(200, "POST", "BulkDelete", final)
	if a := c.want(400, "POST", "Restore", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.contact","contactid":"`+free+`"}}`); a.code() != "0x80049959" {
		t.Errorf("restored what was deleted for good: %s", a.Body)
	}

	old := c.want(204, "POST", "leads", `{"lastname":"old"}`).id()
	c.action("retention-run", `{"table":"lead","ids":["`+old+`"]}`)
	c.want(200, "POST", "BulkDelete", bulk("lead", `{}`)) // live rows only
	if l := c.want(200, "GET", retainedOf("lead", "leads"), "").rows(); len(l) != 1 {
		t.Errorf("retained: got %v", l)
	}
	c.want(200, "POST", "BulkDelete", bulk("lead", `{"Conditions":[{"AttributeName":"lastname","Operator":"Equal","Values":["old"]}]}`, `,"DataSource":"retained"`))
	if l := c.want(200, "GET", retainedOf("lead", "leads"), "").rows(); len(l) != 0 {
		t.Errorf("retained after it was deleted: got %v", l)
	}
}
