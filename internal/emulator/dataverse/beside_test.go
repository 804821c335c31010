package dataverse_test

import (
	"testing"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// Trap: a user brings mailbox, settings and queue, a business unit its team.
func TestUsersAndUnitsBringRows(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	unit := c.want(204, "POST", "businessunits", `{"name":"Unit"}`).id()
	other := c.want(204, "POST", "businessunits", `{"name":"Other"}`).id()
	one := func(url string) map[string]any {
		t.Helper()
		rows := c.want(200, "GET", url, "").rows()
		if len(rows) != 1 {
			t.Fatalf("%s: got %d rows, want 1: %v", url, len(rows), rows)
		}
		return rows[0]
	}
	team := one("teams?$filter=_businessunitid_value eq " + unit)
	if team["name"] != "Unit" || team["isdefault"] != true || team["teamtype"] != 0.0 || team["_queueid_value"] == nil {
		t.Errorf("default team: got %v", team)
	}
	teamID := team["teamid"].(string)
	user := c.want(204, "POST", "systemusers", `{"firstname":"Ana","lastname":"Lind","internalemailaddress":"ana@alpenrand.example","businessunitid@odata.bind":"/businessunits(`+unit+`)"}`).id()
	if r := c.want(200, "GET", "usersettingscollection("+user+")", "").json(); r["timezonecode"] != 92.0 || r["businessunitid"] != unit {
		t.Errorf("settings: got %v", r)
	}
	box := one("mailboxes?$filter=_regardingobjectid_value eq " + user)
	if box["name"] != "Ana Lind" || box["emailaddress"] != "ana@alpenrand.example" || box["actdeliverymethod"] != 2.0 || box["actstatus"] != 0.0 || box["statecode"] != 0.0 || box["_ownerid_value"] != user {
		t.Errorf("mailbox: got %v", box)
	}
	row := c.want(200, "GET", "systemusers("+user+")", "").json()
	queue := c.want(200, "GET", "queues("+row["_queueid_value"].(string)+")", "").json()
	if queue["name"] != "<Ana Lind>" || queue["_ownerid_value"] != user || row["_defaultmailbox_value"] != box["mailboxid"] {
		t.Errorf("queue: got %v of %v", queue, row)
	}
	one("mailboxes?$filter=_regardingobjectid_value eq " + queue["queueid"].(string))
	in := func(team string) int {
		return len(c.want(200, "GET", "teams("+team+")/teammembership_association?$filter=systemuserid eq "+user, "").rows())
	}
	if in(teamID) != 1 {
		t.Error("the user is not in the default team")
	}

	c.want(204, "PATCH", "systemusers("+user+")", `{"lastname":"Berg","internalemailaddress":"berg@alpenrand.example","isdisabled":true,"businessunitid@odata.bind":"/businessunits(`+other+`)"}`)
	box = one("mailboxes?$filter=_regardingobjectid_value eq " + user)
	if box["name"] != "Ana Berg" || box["emailaddress"] != "berg@alpenrand.example" || box["statecode"] != 1.0 {
		t.Errorf("mailbox of a changed user: got %v", box)
	}
	if r := c.want(200, "GET", "queues("+queue["queueid"].(string)+")", "").json(); r["name"] != "<Ana Berg>" {
		t.Errorf("queue of a changed user: got %v", r["name"])
	}
	otherTeam := one("teams?$filter=_businessunitid_value eq " + other)["teamid"].(string)
	if in(teamID) != 0 || in(otherTeam) != 1 {
		t.Errorf("member of the old team %d times, of the new one %d times", in(teamID), in(otherTeam))
	}
	if r := c.want(200, "GET", "usersettingscollection("+user+")", "").json(); r["businessunitid"] != other {
		t.Errorf("settings of a changed user: got %v", r)
	}

	c.want(400, "PATCH", "teams("+teamID+")", `{"name":"Mine"}`)
	c.want(204, "PATCH", "teams("+teamID+")", `{"description":"mine"}`)
	c.want(400, "DELETE", "teams("+teamID+")", "")
	c.want(204, "PATCH", "businessunits("+unit+")", `{"name":"Renamed"}`)
	if r := one("teams?$filter=_businessunitid_value eq " + unit); r["name"] != "Renamed" {
		t.Errorf("default team of a renamed unit: got %v", r["name"])
	}
	if r := c.want(200, "GET", "queues("+team["_queueid_value"].(string)+")", "").json(); r["name"] != "<Renamed>" {
		t.Errorf("queue of its team: got %v", r["name"])
	}
	c.want(204, "DELETE", "businessunits("+unit+")", "")
	c.want(404, "GET", "teams("+teamID+")", "")
	c.want(404, "GET", "queues("+team["_queueid_value"].(string)+")", "")
	c.want(204, "DELETE", "systemusers("+user+")", "")
	c.want(404, "GET", "usersettingscollection("+user+")", "")
	c.want(404, "GET", "mailboxes("+box["mailboxid"].(string)+")", "")
}

func TestQueuesBringMailboxes(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	queue := c.want(204, "POST", "queues", `{"name":"Q","emailaddress":"q@alpenrand.example"}`).id()
	c.want(204, "PATCH", "queues("+queue+")", `{"emailaddress":"r@alpenrand.example"}`)
	rows := c.want(200, "GET", "mailboxes?$filter=_regardingobjectid_value eq "+queue, "").rows()
	if len(rows) != 1 || rows[0]["name"] != "Q" || rows[0]["emailaddress"] != "r@alpenrand.example" || rows[0]["emailrouteraccessapproval"] != 2.0 {
		t.Errorf("got %v", rows)
	}
	own := c.want(204, "POST", "teams", `{"name":"T"}`).id()
	before := len(c.want(200, "GET", "queues", "").rows())
	with := c.want(204, "POST", "teams", `{"name":"U","queueid@odata.bind":"/queues(`+queue+`)"}`).id()
	if after := len(c.want(200, "GET", "queues", "").rows()); after != before {
		t.Errorf("a team that has a queue got another: %d, %d", before, after)
	}
	c.want(204, "DELETE", "teams("+with+")", "") // the queue is not its own
	c.want(200, "GET", "queues("+queue+")", "")
	c.want(204, "DELETE", "teams("+own+")", "")
	c.want(204, "DELETE", "queues("+queue+")", "")
	if n := len(c.want(200, "GET", "mailboxes", "").rows()); n != 0 {
		t.Errorf("mailboxes left: %d", n)
	}
}

// Trap: a lead brings its addresses, in a table of their own.
func TestLeadsBringAddresses(t *testing.T) {
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	withTables(m, "leadaddress leadaddresses leadaddressid addressnumber:Integer city:String parentid:Lookup>lead")
	c := start(t, dvemu.Options{Model: m})
	lead := c.want(204, "POST", "leads", `{"lastname":"L","address1_city":"Linz"}`).id()
	rows := func() []map[string]any {
		return c.want(200, "GET", "leadaddresses?$filter=_parentid_value eq "+lead+"&$orderby=addressnumber", "").rows()
	}
	if r := rows(); len(r) != 2 || r[0]["city"] != "Linz" || r[0]["addressnumber"] != 1.0 || r[1]["city"] != nil {
		t.Fatalf("got %v, want two addresses", r)
	}
	c.want(204, "PATCH", "leads("+lead+")", `{"address2_city":"Wels"}`)
	if r := rows(); len(r) != 2 || r[1]["city"] != "Wels" {
		t.Errorf("after a change of the lead: got %v", r)
	}
	if n := len(c.want(200, "GET", "customeraddresses", "").rows()); n != 0 {
		t.Errorf("customeraddress: got %d rows", n)
	}
}
