package dataverse_test

import (
	"testing"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
)

func dealModel() *entity.Model {
	m := withTables(model(),
		"lead leads leadid firstname:String lastname:String companyname:String telephone1:String statecode:State statuscode:Status",
		"opportunity opportunities opportunityid originatingleadid:Lookup>lead",
		"quote quotes quoteid name:String quotenumber:String revisionnumber:Integer statecode:State statuscode:Status",
		"quotedetail quotedetails quotedetailid quantity:Decimal quoteid:Lookup>quote",
		"quoteclose quotecloses activityid subject:String quoteid:Lookup>quote",
		"salesorder salesorders salesorderid name:String ispricelocked:Boolean statecode:State statuscode:Status",
		"orderclose ordercloses activityid subject:String salesorderid:Lookup>salesorder")
	states := func(table string, options ...entity.Option) {
		m.Table(table).Column("statecode").OptionSet = &entity.OptionSet{Options: options}
	}
	states("lead", entity.Option{Value: 0, DefaultStatus: 1}, entity.Option{Value: 1, DefaultStatus: 3})
	states("quote", entity.Option{Value: 0, DefaultStatus: 1}, entity.Option{Value: 1, DefaultStatus: 2}, entity.Option{Value: 2, DefaultStatus: 4}, entity.Option{Value: 3, DefaultStatus: 5})
	states("salesorder", entity.Option{Value: 0, DefaultStatus: 1}, entity.Option{Value: 1, DefaultStatus: 3}, entity.Option{Value: 2, DefaultStatus: 4}, entity.Option{Value: 3, DefaultStatus: 100001})
	e := m.Table("email")
	e.Column("statecode").OptionSet = &entity.OptionSet{Options: []entity.Option{{Value: 0, DefaultStatus: 1}, {Value: 1, DefaultStatus: 2}, {Value: 2, DefaultStatus: 5}}}
	e.Column("statuscode").OptionSet = &entity.OptionSet{Options: []entity.Option{{Value: 1, State: 0}, {Value: 2, State: 1}, {Value: 3, State: 1}, {Value: 6, State: 1}, {Value: 7, State: 1}, {Value: 5, State: 2}}}
	withTables(m, "email emails activityid senton:DateTime")
	return m
}

func TestQuotesAndOrdersAreClosedByMessages(t *testing.T) {
	c := start(t, dvemu.Options{Model: dealModel()})
	id := c.want(204, "POST", "quotes", `{"name":"q","quotenumber":"QUO-1","revisionnumber":0}`).id()
	c.want(204, "POST", "quotedetails", `{"quantity":2,"quoteid@odata.bind":"/quotes(`+id+`)"}`)
	closing := func(status string) string {
		return `{"Status":` + status + `,"QuoteClose":{"subject":"s","quoteid@odata.bind":"/quotes(` + id + `)"}}`
	}
	c.want(400, "POST", "WinQuote", closing("4")) // a draft
	c.want(204, "PATCH", "quotes("+id+")", `{"statecode":1}`)
	c.want(400, "POST", "ReviseQuote", `{"QuoteId":"`+id+`","ColumnSet":{"AllColumns":true}}`)
	c.want(204, "POST", "CloseQuote", closing("5"))
	if r := c.want(200, "GET", "quotes("+id+")", "").json(); r["statecode"] != 3.0 || r["statuscode"] != 5.0 {
		t.Errorf("closed: got %v", r)
	}
	if rows := c.want(200, "GET", "quotecloses", "").rows(); len(rows) != 1 || rows[0]["_quoteid_value"] != id {
		t.Errorf("close activities: got %v", rows)
	}
	revised := c.want(200, "POST", "ReviseQuote", `{"QuoteId":"`+id+`","ColumnSet":{"AllColumns":true}}`).json()["quoteid"].(string)
	if r := c.want(200, "GET", "quotes("+revised+")", "").json(); r["statecode"] != 0.0 || r["revisionnumber"] != 1.0 || r["quotenumber"] != "QUO-1" {
		t.Errorf("revised: got %v", r)
	}
	if rows := c.want(200, "GET", "quotedetails?$filter=_quoteid_value eq "+revised, "").rows(); len(rows) != 1 {
		t.Errorf("lines of the revision: got %v", rows)
	}
	order := c.want(204, "POST", "salesorders", `{"name":"o"}`).id()
	c.want(204, "POST", "LockSalesOrderPricing", `{"SalesOrderId":"`+order+`"}`)
	if r := c.want(200, "GET", "salesorders("+order+")", "").json(); r["ispricelocked"] != true {
		t.Errorf("locked: got %v", r)
	}
	done := `{"Status":100001,"OrderClose":{"subject":"s","salesorderid@odata.bind":"/salesorders(` + order + `)"}}`
	c.want(204, "POST", "FulfillSalesOrder", done)
	if r := c.want(200, "GET", "salesorders("+order+")", "").json(); r["statecode"] != 3.0 {
		t.Errorf("fulfilled: got %v", r)
	}
	c.want(400, "POST", "CancelSalesOrder", done)
	c.want(404, "POST", "LockInvoicePricing", `{"InvoiceId":"`+order+`"}`) // the model has no invoices
}

func TestQualifyLead(t *testing.T) {
	c := start(t, dvemu.Options{Model: dealModel()})
	lead := c.want(204, "POST", "leads", `{"subject":"Ropes","firstname":"Ana","lastname":"Núñez","companyname":"Contoso","telephone1":"1"}`).id()
	const path = "/Microsoft.Dynamics.CRM.QualifyLead"
	a := c.want(200, "POST", "leads("+lead+")"+path, `{"CreateAccount":true,"CreateContact":true,"CreateOpportunity":true,"Status":3}`)
	ids := map[string]string{}
	for _, x := range a.rows() {
		for k, v := range x {
			ids[k] = v.(string)
		}
	}
	if r := c.want(200, "GET", "contacts("+ids["contactid"]+")", "").json(); r["fullname"] != "Ana Núñez" || r["_parentcustomerid_value"] != ids["accountid"] {
		t.Errorf("contact: got %v", r)
	}
	if r := c.want(200, "GET", "opportunities("+ids["opportunityid"]+")", "").json(); r["name"] != "Ropes" || r["_customerid_value"] != ids["accountid"] || r["_originatingleadid_value"] != lead {
		t.Errorf("opportunity: got %v", r)
	}
	if r := c.want(200, "GET", "leads("+lead+")", "").json(); r["statecode"] != 1.0 || r["statuscode"] != 3.0 {
		t.Errorf("lead: got %v", r)
	}
	c.want(400, "POST", "leads("+lead+")"+path, `{}`)
}

// Trap: what waits to be sent is sent, however it came to wait.
func TestPendingMailIsSent(t *testing.T) {
	c := start(t, dvemu.Options{Model: dealModel()})
	draft := c.want(204, "POST", "emails", `{"subject":"draft"}`).id()
	issued := c.want(204, "POST", "emails", `{"subject":"issued"}`).id()
	restored := c.want(204, "POST", "emails", `{"subject":"restored"}`).id()
	if a := c.want(200, "POST", "emails("+issued+")/Microsoft.Dynamics.CRM.SendEmail", `{"IssueSend":true}`); a.json()["Subject"] != "issued" {
		t.Errorf("got %s", a.Body)
	}
	c.want(400, "POST", "emails("+issued+")/Microsoft.Dynamics.CRM.SendEmail", `{"IssueSend":true}`)
	c.want(204, "PATCH", "emails("+restored+")", `{"statecode":1,"statuscode":6}`)
	c.action("synchronize-mail", "")
	for id, want := range map[string]float64{draft: 1, issued: 3, restored: 3} {
		if r := c.want(200, "GET", "emails("+id+")", "").json(); r["statuscode"] != want || (r["senton"] != nil) != (want == 3) {
			t.Errorf("%s: got %v, want %v", r["subject"], r["statuscode"], want)
		}
	}
	if got := c.srv.Counters()["mail:sent"]; got != 2 {
		t.Errorf("mail:sent: got %d, want 2", got)
	}
}

func TestAutonumberSeeds(t *testing.T) {
	m := withTables(model(), "alp_ticket alp_tickets alp_ticketid alp_number:String alp_name:String")
	m.Table("alp_ticket").Column("alp_number").AutoNumber = "T-{SEQNUM:5}"
	c := start(t, dvemu.Options{Model: m})
	number := func(body string) string {
		t.Helper()
		return c.want(201, "POST", "alp_tickets", body, "Prefer", "return=representation").json()["alp_number"].(string)
	}
	get := func(action string) any {
		t.Helper()
		return c.want(200, "POST", action, `{"EntityName":"alp_ticket","AttributeName":"alp_number"}`).json()
	}
	if got := number(`{}`); got != "T-01000" {
		t.Errorf("first: got %s", got)
	}
	if got := number(`{"alp_number":"T-01050"}`); got != "T-01050" {
		t.Errorf("set: got %s", got)
	}
	if got := get("GetAutoNumberSeed").(map[string]any)["AutoNumberSeedValue"]; got != 1001.0 {
		t.Errorf("a set value moved the seed: %v", got)
	}
	c.want(204, "POST", "SetAutoNumberSeed", `{"EntityName":"alp_ticket","AttributeName":"alp_number","Value":1051}`)
	if got := get("GetNextAutoNumberValue").(map[string]any)["NextAutoNumberValue"]; got != 1051.0 {
		t.Errorf("next: got %v", got)
	}
	if got := number(`{}`); got != "T-01051" {
		t.Errorf("after the seed was set: got %s", got)
	}
	c.want(400, "POST", "SetAutoNumberSeed", `{"EntityName":"alp_ticket","AttributeName":"alp_name","Value":1}`)
}

func TestHeadersNeedPrivileges(t *testing.T) {
	m := withTables(model(), "systemuser systemusers systemuserid isdisabled:Boolean")
	c := start(t, dvemu.Options{Model: m})
	user := c.want(204, "POST", "systemusers", `{"fullname":"U"}`).id()
	disabled := c.want(204, "POST", "systemusers", `{"fullname":"D","isdisabled":true}`).id()
	for _, tt := range []struct {
		header, value string
		admin, other  int
	}{
		{"MSCRM.BypassBusinessLogicExecution", "CustomSync,CustomAsync", 204, 403},
		{"MSCRM.BypassBusinessLogicExecution", "Everything", 400, 400},
		{"MSCRM.BypassBusinessLogicExecutionStepIds", user, 204, 403},
		{"MSCRM.BypassCustomPluginExecution", "true", 204, 403},
		{"MSCRM.BypassCustomPluginExecution", "false", 204, 204},
		{"MSCRM.SuppressCallbackRegistrationExpanderJob", "true", 204, 204},
		{"MSCRMCallerID", user, 204, 403},
		{"MSCRMCallerID", disabled, 403, 403},
		{"MSCRMCallerID", "00000000-0000-4000-8000-00000000ffff", 404, 403},
		{"CallerObjectId", "nobody", 400, 403},
	} {
		if a := c.do("POST", "accounts", `{"name":"a"}`, tt.header, tt.value); a.Status != tt.admin {
			t.Errorf("%s %s, administrator: got %d %s, want %d", tt.header, tt.value, a.Status, a.Body, tt.admin)
		}
		c.action("set-administrator", `{"on":false}`)
		if a := c.do("POST", "accounts", `{"name":"a"}`, tt.header, tt.value); a.Status != tt.other {
			t.Errorf("%s %s, another: got %d %s, want %d", tt.header, tt.value, a.Status, a.Body, tt.other)
		}
		c.action("set-administrator", `{"on":true}`)
	}
}
