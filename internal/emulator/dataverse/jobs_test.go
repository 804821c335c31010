package dataverse_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
)

// stateOf is state and status of a job.
func (c *client) stateOf(job any) [2]float64 {
	c.t.Helper()
	op := c.want(200, "GET", "asyncoperations("+job.(string)+")?$select=statecode,statuscode", "").json()
	return [2]float64{op["statecode"].(float64), op["statuscode"].(float64)}
}

func TestSection6_12_JobsTakeTime(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: k.now, JobTime: time.Minute})
	old := c.want(204, "POST", "contacts", `{"lastname":"gone"}`).id()
	query := bulk("contact", `{"Conditions":[{"AttributeName":"lastname","Operator":"Equal","Values":["gone"]}]}`)
	job := c.want(200, "POST", "BulkDelete", query).json()["JobId"]
	if got := c.stateOf(job); got != [2]float64{0, 0} {
		t.Errorf("at first: got %v, want that it waits", got)
	}
	k.at = k.at.Add(40 * time.Second)
	late := c.want(204, "POST", "contacts", `{"lastname":"gone"}`).id()
	if got := c.stateOf(job); got != [2]float64{2, 20} {
		t.Errorf("after 40 s of 60: got %v, want that it is in progress", got)
	}
	c.want(200, "GET", "contacts("+old+")", "")
	k.at = k.at.Add(20 * time.Second)
	c.want(404, "GET", "contacts("+old+")", "")
	c.want(200, "GET", "contacts("+late+")", "") // made after the job had started
	if got := c.stateOf(job); got != [2]float64{3, 30} {
		t.Errorf("after 60 s: got %v", got)
	}
	c.want(400, "POST", "BulkDelete", `{"JobName":"x","QuerySet":[{}]}`)

	cancelled := c.want(200, "POST", "BulkDelete", query).json()["JobId"]
	c.want(204, "PATCH", "asyncoperations("+cancelled.(string)+")", `{"statecode":3,"statuscode":32}`)
	k.at = k.at.Add(time.Hour)
	if got := c.stateOf(cancelled); got != [2]float64{3, 32} {
		t.Errorf("cancelled: got %v", got)
	}
	c.want(200, "GET", "contacts("+late+")", "")
}

func TestSection11_1_ExportsAndImportsTakeTime(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: k.now, JobTime: time.Minute})
	publisher := c.want(204, "POST", "publishers", `{"uniquename":"house","friendlyname":"House","customizationprefix":"new"}`).id()
	c.want(204, "POST", "solutions", `{"uniquename":"New","friendlyname":"New","version":"1.0","publisherid@odata.bind":"/publishers(`+publisher+`)"}`)
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"), "MSCRM.SolutionUniqueName", "New")
	job := c.want(200, "POST", "ExportSolutionAsync", `{"SolutionName":"New","Managed":false}`).json()
	fetch := `{"ExportJobId":"` + job["ExportJobId"].(string) + `"}`
	c.want(404, "POST", "DownloadSolutionExportData", fetch)
	failed := c.want(200, "POST", "ExportSolutionAsync", `{"SolutionName":"Default","Managed":false}`).json()
	k.at = k.at.Add(time.Minute)
	file := c.want(200, "POST", "DownloadSolutionExportData", fetch).json()["ExportSolutionFile"].(string)
	if got := c.stateOf(job["AsyncOperationId"]); got != [2]float64{3, 30} {
		t.Errorf("export: got %v", got)
	}
	if got := c.stateOf(failed["AsyncOperationId"]); got != [2]float64{3, 31} {
		t.Errorf("export that fails: got %v", got)
	}

	to := standardCompany(t, dvemu.Options{Now: k.now, JobTime: time.Minute})
	job = to.want(200, "POST", "ImportSolutionAsync", `{"CustomizationFile":"`+file+`"}`).json()
	to.want(404, "GET", "new_bankaccounts", "")
	to.want(404, "GET", "RetrieveSolutionImportResult(ImportJobId="+job["ImportJobKey"].(string)+")", "")
	k.at = k.at.Add(time.Minute)
	to.want(200, "GET", "new_bankaccounts", "")
	to.want(200, "GET", "RetrieveSolutionImportResult(ImportJobId="+job["ImportJobKey"].(string)+")", "")
	if got := to.stateOf(job["AsyncOperationId"]); got != [2]float64{3, 30} {
		t.Errorf("import: got %v", got)
	}
}

// The index of a new key is built by a job; the key is of no use before (§3.4).
func TestSection3_4_KeysTakeTime(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: k.now, JobTime: time.Minute})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", banks+"/Attributes", column("String", "new_Number"))
	c.want(204, "POST", "new_bankaccounts", `{"new_number":"1"}`)
	expect := func(when, status string, read int, job [2]float64) {
		t.Helper()
		keys := c.want(200, "GET", banks+"/Keys", "").rows()
		if len(keys) != 1 || keys[0]["EntityKeyIndexStatus"] != status {
			t.Errorf("%s: got %v, want %s", when, keys, status)
		}
		c.want(read, "GET", "new_bankaccounts(new_number='1')", "")
		jobs := c.want(200, "GET", "asyncoperations?$filter=operationtype eq 63&$orderby=createdon desc", "").rows()
		if len(jobs) == 0 {
			t.Fatalf("%s: no job", when)
		}
		if got := c.stateOf(jobs[0]["asyncoperationid"]); got != job {
			t.Errorf("%s: the job is %v, want %v", when, got, job)
		}
	}
	wait := func() { k.at = k.at.Add(30 * time.Second) }
	c.want(204, "POST", banks+"/Keys", `{"SchemaName":"new_ByNumber","KeyAttributes":["new_number"]}`)
	expect("at once", "Pending", 400, [2]float64{0, 0})
	wait()
	expect("after half of its time", "InProgress", 400, [2]float64{2, 20})
	twin := c.want(204, "POST", "new_bankaccounts", `{"new_number":"1"}`).id() // no key forbids it yet
	wait()
	expect("with rows alike", "Failed", 400, [2]float64{3, 31})
	c.want(204, "DELETE", "new_bankaccounts("+twin+")", "")
	again := `{"EntityLogicalName":"new_bankaccount","EntityKeyLogicalName":"new_bynumber"}`
	c.want(204, "POST", "ReactivateEntityKey", again)
	expect("again", "Pending", 400, [2]float64{0, 0})
	c.want(400, "POST", "ReactivateEntityKey", again)
	job := c.want(200, "GET", "asyncoperations?$filter=operationtype eq 63 and statecode eq 0", "").rows()[0]["asyncoperationid"].(string)
	c.want(204, "PATCH", "asyncoperations("+job+")", `{"statecode":3,"statuscode":32}`)
	wait()
	expect("cancelled", "Failed", 400, [2]float64{3, 32})
	wait()
	expect("cancelled, later", "Failed", 400, [2]float64{3, 32})
	c.want(204, "POST", "ReactivateEntityKey", again)
	wait()
	expect("the third time", "InProgress", 400, [2]float64{2, 20})
	wait()
	expect("the third time, later", "Active", 200, [2]float64{3, 30})
	if a := c.want(412, "POST", "new_bankaccounts", `{"new_number":"1"}`); a.code() != "0x80060892" {
		t.Errorf("got %s", a.Body)
	}
	// What nobody builds any more has failed.
	c.want(204, "POST", banks+"/Attributes", column("String", "new_Other"))
	c.want(204, "POST", banks+"/Keys", `{"SchemaName":"new_ByOther","KeyAttributes":["new_other"]}`)
	c.action("mark", `{"name":"m"}`)
	c.action("rewind-to", `{"name":"m"}`)
	if keys := c.want(200, "GET", banks+"/Keys?$filter=LogicalName eq 'new_byother'", "").rows(); len(keys) != 1 || keys[0]["EntityKeyIndexStatus"] != "Failed" {
		t.Errorf("interrupted: got %v", keys)
	}
}

// Rows are not read and changed by keys with certain characters (§3.4).
func TestSection3_4_CharactersOfKeys(t *testing.T) {
	c := start(t, dvemu.Options{})
	allow := start(t, dvemu.Options{Assume: map[string]string{"key-characters": "allow"}})
	for _, r := range `/#<>*%&:\?+` {
		value, err := json.Marshal("a" + string(r))
		if err != nil {
			t.Fatal(err)
		}
		by := "accounts(accountnumber='a" + url.PathEscape(string(r)) + "')"
		for _, c := range []*client{c, allow} {
			c.want(204, "POST", "accounts", `{"accountnumber":`+string(value)+`}`)
		}
		if a := c.want(400, "GET", by, ""); a.code() != "0x80060888" {
			t.Errorf("%s: got %s", by, a.Body)
		}
		c.want(400, "PATCH", by, `{"name":"n"}`)
		c.want(204, "DELETE", by, "")
		allow.want(200, "GET", by, "")
	}
	c.want(404, "GET", "accounts(accountnumber='a-b_c.d e')", "")
}

// What nobody will do any more does not stay in progress for ever.
func TestJobsAreInterrupted(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	o := dvemu.Options{Now: k.now, JobTime: time.Minute}
	c := standardCompany(t, o)
	id := c.want(204, "POST", "contacts", `{"lastname":"L"}`).id()
	job := c.want(200, "POST", "BulkDelete", bulk("contact", `{}`)).json()["JobId"]
	c.action("mark", `{"name":"m"}`)
	var saved bytes.Buffer
	if err := c.srv.Save(&saved); err != nil {
		t.Fatal(err)
	}
	c.action("rewind-to", `{"name":"m"}`)
	other := standardCompany(t, o)
	if err := other.srv.Load(strings.NewReader(saved.String())); err != nil {
		t.Fatal(err)
	}
	k.at = k.at.Add(time.Hour)
	for _, c := range []*client{c, other} {
		if got := c.stateOf(job); got != [2]float64{3, 31} {
			t.Errorf("got %v, want that it failed", got)
		}
		c.want(200, "GET", "contacts("+id+")", "")
	}
}
