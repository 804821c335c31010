package dataverse_test

import (
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/sample"
)

// serviceDesk is the company with service level agreements; its clock stands.
func serviceDesk(t *testing.T, on string) *client {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	withTables(m,
		"sla slas slaid name:String isdefault:Boolean statecode:State",
		"slaitem slaitems slaitemid name:String failureafter:Integer warnafter:Integer relatedfield:String slaid:Lookup>sla",
		"slakpiinstance slakpiinstances slakpiinstanceid name:String status:Picklist failuretime:DateTime warningtime:DateTime succeededon:DateTime regarding:Lookup>incident",
		"incidentresolution incidentresolutions activityid subject:String timespent:Integer incidentid:Lookup>incident",
		"incident incidents incidentid slaid:Lookup>sla slainvokedid:Lookup>sla resolvebykpiid:Lookup>slakpiinstance",
		"entitlement entitlements entitlementid slaid:Lookup>sla decreaseremainingon:Integer")
	m.Table("sla").Column("statecode").OptionSet = &entity.OptionSet{Options: []entity.Option{{Value: 0, DefaultStatus: 1}, {Value: 1, DefaultStatus: 2}}}
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	return start(t, dvemu.Options{Model: m, Now: func() time.Time { return now }, Assume: map[string]string{"service-terms": on}})
}

func (c *client) entitlement(more string) string {
	c.t.Helper()
	id := c.want(204, "POST", "entitlements", `{"name":"E","remainingterms":5`+more+`}`).id()
	c.want(204, "PATCH", "entitlements("+id+")", `{"statecode":1}`)
	return id
}

func (c *client) caseOf(entitlement, more string) string {
	c.t.Helper()
	if entitlement != "" {
		more += `,"entitlementid@odata.bind":"/entitlements(` + entitlement + `)"`
	}
	account := c.want(204, "POST", "accounts", `{"name":"A"}`).id()
	return c.want(204, "POST", "incidents", `{"title":"I","customerid_account@odata.bind":"/accounts(`+account+`)"`+more+`}`).id()
}

// Trap: closing a case uses up its entitlement, and making one again may.
func TestCasesUseUpEntitlements(t *testing.T) {
	c := serviceDesk(t, "on")
	left := func(id string, want float64, what string) {
		t.Helper()
		if got := c.want(200, "GET", "entitlements("+id+")", "").json()["remainingterms"]; got != want {
			t.Errorf("%s: got %v terms, want %v", what, got, want)
		}
	}
	closing := func(id string) string {
		return `{"Status":5,"IncidentResolution":{"subject":"done","timespent":90,"incidentid@odata.bind":"/incidents(` + id + `)"}}`
	}
	byCase, byHours, first := c.entitlement(`,"decreaseremainingon":0`), c.entitlement(`,"decreaseremainingon":0,"allocationtypecode":1`), c.entitlement(`,"decreaseremainingon":1`)
	one, two, three := c.caseOf(byCase, ""), c.caseOf(byHours, ""), c.caseOf(first, "")
	left(byCase, 5, "opened, counted when resolved")
	left(first, 4, "opened, counted when created")
	c.want(204, "POST", "CloseIncident", closing(one))
	c.want(204, "POST", "CloseIncident", closing(two))
	c.want(204, "POST", "CloseIncident", closing(three))
	left(byCase, 4, "resolved")
	left(byHours, 3.5, "resolved in ninety minutes")
	left(first, 4, "resolved, counted when created")
	c.want(204, "PATCH", "incidents("+one+")", `{"statecode":0}`)
	left(byCase, 5, "reactivated")
	c.want(204, "PATCH", "incidents("+c.caseOf(first, "")+")", `{"statecode":2}`)
	left(first, 4, "cancelled")
	draft := c.want(204, "POST", "entitlements", `{"name":"D","remainingterms":5}`).id()
	c.want(204, "POST", "CloseIncident", closing(c.caseOf(draft, "")))
	left(draft, 5, "of an entitlement that is not active")
}

// Trap: cases that are made again start timers, which may be over at once.
func TestCasesStartTimers(t *testing.T) {
	c := serviceDesk(t, "on")
	agreement := func(name string, isdefault string) string {
		id := c.want(204, "POST", "slas", `{"name":"`+name+`","isdefault":`+isdefault+`}`).id()
		c.want(204, "POST", "slaitems", `{"name":"`+name+`","failureafter":120,"warnafter":60,"relatedfield":"resolvebykpiid","slaid@odata.bind":"/slas(`+id+`)"}`)
		c.want(204, "PATCH", "slas("+id+")", `{"statecode":1}`)
		return id
	}
	standard, gold := agreement("standard", "true"), agreement("gold", "false")
	timer := func(of string) map[string]any {
		t.Helper()
		rows := c.want(200, "GET", "slakpiinstances?$filter=_regarding_value eq "+of, "").rows()
		if len(rows) != 1 {
			t.Fatalf("got %d timers, want 1: %v", len(rows), rows)
		}
		return rows[0]
	}
	one := c.caseOf("", "")
	k := timer(one)
	if k["name"] != "standard" || k["status"] != 0.0 || k["failuretime"] != "2026-03-04T14:00:00Z" || k["warningtime"] != "2026-03-04T13:00:00Z" {
		t.Errorf("got %v", k)
	}
	if r := c.want(200, "GET", "incidents("+one+")", "").json(); r["_resolvebykpiid_value"] != k["slakpiinstanceid"] || r["_slaid_value"] != standard {
		t.Errorf("case: got %v", r)
	}
	two := c.caseOf(c.entitlement(`,"slaid@odata.bind":"/slas(`+gold+`)"`), `,"overriddencreatedon":"2026-03-04T10:30:00Z"`)
	if k := timer(two); k["name"] != "gold" || k["status"] != 2.0 {
		t.Errorf("of the entitlement, begun before: got %v, want one that nears its end", k)
	}
	if k := timer(c.caseOf("", `,"overriddencreatedon":"2025-03-04T10:30:00Z"`)); k["status"] != 1.0 {
		t.Errorf("a year old: got %v, want noncompliant", k)
	}
	c.want(204, "POST", "CloseIncident", `{"Status":5,"IncidentResolution":{"subject":"done","incidentid@odata.bind":"/incidents(`+one+`)"}}`)
	c.want(204, "PATCH", "incidents("+two+")", `{"statecode":2}`)
	if k := timer(one); k["status"] != 4.0 || k["succeededon"] != "2026-03-04T12:00:00Z" {
		t.Errorf("resolved: got %v", k)
	}
	if k := timer(two); k["status"] != 5.0 {
		t.Errorf("cancelled: got %v", k)
	}
}

func TestServiceTermsSwitchedOff(t *testing.T) {
	c := serviceDesk(t, "off")
	e := c.entitlement(`,"decreaseremainingon":1`)
	id := c.want(204, "POST", "slas", `{"name":"s","isdefault":true}`).id()
	c.want(204, "POST", "slaitems", `{"name":"s","failureafter":120,"slaid@odata.bind":"/slas(`+id+`)"}`)
	c.want(204, "PATCH", "slas("+id+")", `{"statecode":1}`)
	c.caseOf(e, "")
	if got := c.want(200, "GET", "entitlements("+e+")", "").json()["remainingterms"]; got != 5.0 {
		t.Errorf("terms: got %v", got)
	}
	if n := len(c.want(200, "GET", "slakpiinstances", "").rows()); n != 0 {
		t.Errorf("timers: got %d", n)
	}
}
