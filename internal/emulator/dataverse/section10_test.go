package dataverse_test

import (
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
)

// What protocols/dataverse.md states in section 10 and no other test shows.

func TestSection10_1_AccessesOfUsers(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: k.now})
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"]
	c.settings(`{"isuseraccessauditenabled":true}`) // nothing without the audit itself
	accesses := func() (actions []float64, last string) {
		t.Helper()
		for _, r := range c.want(200, "GET", "audits?$filter=operation%20eq%204&$orderby=createdon", "").rows() {
			actions = append(actions, r["action"].(float64))
			if r["action"] == 65.0 {
				last = r["auditid"].(string)
				if r["objecttypecode"] != "systemuser" || r["_objectid_value"] != me || r["_userid_value"] != me {
					t.Errorf("got %v", r)
				}
			}
		}
		return actions, last
	}
	if got, _ := accesses(); len(got) != 0 {
		t.Errorf("without the audit: got %v", got)
	}
	c.settings(`{"isuseraccessauditenabled":false}`)
	c.settings(`{"isauditenabled":true}`)
	c.settings(`{"isuseraccessauditenabled":true,"useraccessauditinginterval":2}`)
	for range 3 {
		c.want(200, "GET", "WhoAmI", "")
	}
	k.at = k.at.Add(2*time.Hour - time.Second)
	if got, _ := accesses(); len(got) != 2 || got[0]+got[1] != 112+65 {
		t.Errorf("within two hours: got %v, want that it began and one access", got)
	}
	k.at = k.at.Add(time.Second)
	got, last := accesses()
	if len(got) != 3 {
		t.Errorf("after two hours: got %v", got)
	}
	d := c.want(200, "GET", "audits("+last+")/Microsoft.Dynamics.CRM.RetrieveAuditDetails", "").json()["AuditDetail"].(map[string]any)
	if d["@odata.type"] != "#Microsoft.Dynamics.CRM.UserAccessAuditDetail" || d["Interval"] != 2.0 || d["AccessTime"] == nil {
		t.Errorf("detail: got %v", d)
	}
	c.settings(`{"isuseraccessauditenabled":false}`)
	k.at = k.at.Add(24 * time.Hour)
	if got, _ := accesses(); len(got) != 4 { // that it ended
		t.Errorf("switched off: got %v", got)
	}
}
