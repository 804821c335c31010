package dataverse_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

type sentItem struct {
	Table, ID, Owner, What string
	Invitations            int
}

func (c *client) sent() []sentItem {
	c.t.Helper()
	res, err := http.Get(c.url + "/_emulator/exchange")
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	var out struct{ Sent []sentItem }
	if err != nil || json.Unmarshal(b, &out) != nil {
		c.t.Fatalf("%v: %s", err, b)
	}
	return out.Sent
}

// synchronising makes a user whose mailbox has what values say.
func (c *client) synchronising(name, values string) string {
	c.t.Helper()
	user := c.want(204, "POST", "systemusers", `{"lastname":"`+name+`","internalemailaddress":"`+name+`@alpenrand.example"}`).id()
	box := c.want(200, "GET", "mailboxes?$filter=_regardingobjectid_value eq "+user, "").rows()[0]["mailboxid"].(string)
	c.want(204, "PATCH", "mailboxes("+box+")", values)
	return user
}

// Trap: appointments, tasks and contacts go to Exchange, and invitations out.
func TestExchangeHearsOfAppointments(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	in := c.synchronising("in", `{"actdeliverymethod":1,"actstatus":1}`)
	untested := c.synchronising("untested", `{"actdeliverymethod":1}`)
	disabled := c.synchronising("disabled", `{"actdeliverymethod":1,"actstatus":1}`)
	c.want(204, "PATCH", "systemusers("+disabled+")", `{"isdisabled":true}`)
	contact := c.want(204, "POST", "contacts", `{"lastname":"Guest"}`).id()
	appointment := func(owner string) string {
		return c.want(204, "POST", "appointments", `{"subject":"s","scheduledstart":"2026-01-10T10:00:00Z","scheduledend":"2026-01-10T11:00:00Z","ownerid@odata.bind":"/systemusers(`+owner+`)","appointment_activity_parties":[
			{"participationtypemask":5,"partyid_contact@odata.bind":"/contacts(`+contact+`)"},{"participationtypemask":6,"partyid_contact@odata.bind":"/contacts(`+contact+`)"},
			{"participationtypemask":5,"partyid_systemuser@odata.bind":"/systemusers(`+owner+`)"},{"participationtypemask":7,"partyid_systemuser@odata.bind":"/systemusers(`+owner+`)"}]}`).id()
	}
	mine := appointment(in)
	appointment(untested)
	appointment(disabled)
	if got := c.sent(); len(got) != 1 || got[0] != (sentItem{"appointment", mine, in, "created", 2}) {
		t.Fatalf("got %v, want one appointment with two attendees", got)
	}
	own := `,"ownerid@odata.bind":"/systemusers(` + in + `)"}`
	task := c.want(204, "POST", "tasks", `{"subject":"t"`+own).id()
	c.want(204, "PATCH", "tasks("+task+")", `{"subject":"u"}`)
	c.want(204, "PATCH", "tasks("+task+")", `{"statecode":1}`) // done: none of Exchange's any more
	c.want(204, "POST", "phonecalls", `{"subject":"p"`+own)
	person := c.want(204, "POST", "contacts", `{"lastname":"L"`+own).id()
	c.want(204, "DELETE", "contacts("+person+")", "")
	c.want(204, "DELETE", "appointments("+mine+")", "")
	c.want(404, "PATCH", "tasks("+nobody+")", `{"subject":"x"}`, "If-Match", "*")
	want := []sentItem{{"task", task, in, "created", 0}, {"task", task, in, "changed", 0}, {"contact", person, in, "created", 0}, {"contact", person, in, "deleted", 0}, {"appointment", mine, in, "deleted", 2}}
	got := c.sent()[1:]
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: got %v, want %v", i, got[i], want[i])
		}
	}
}

func TestExchangeSwitchedOff(t *testing.T) {
	c := standardCompany(t, dvemu.Options{Assume: map[string]string{"server-side-sync": "off"}})
	in := c.synchronising("in", `{"actdeliverymethod":1,"actstatus":1}`)
	c.want(204, "POST", "tasks", `{"subject":"t","ownerid@odata.bind":"/systemusers(`+in+`)"}`)
	if got := c.sent(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestMailLeavesByItsMailbox(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	in := c.synchronising("in", `{"outgoingemailstatus":1}`)
	untested := c.synchronising("untested", `{"outgoingemaildeliverymethod":2}`)
	email := func(owner, from string) string {
		id := c.want(204, "POST", "emails", `{"subject":"s","ownerid@odata.bind":"/systemusers(`+owner+`)","email_activity_parties":[{"participationtypemask":1,"partyid_systemuser@odata.bind":"/systemusers(`+from+`)"}]}`).id()
		c.want(204, "PATCH", "emails("+id+")", `{"statecode":0,"statuscode":6}`)
		return id
	}
	status := map[string]float64{email(in, in): 3, email(untested, in): 3, email(in, untested): 6}
	c.action("synchronize-mail", "")
	for id, want := range status {
		if r := c.want(200, "GET", "emails("+id+")", "").json(); r["statuscode"] != want {
			t.Errorf("got %v, want %v", r["statuscode"], want)
		}
	}
	if got := c.srv.Counters()["mail:sent"]; got != 2 {
		t.Errorf("mail:sent: got %d, want 2", got)
	}
}
