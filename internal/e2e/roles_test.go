package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"allod"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/source"
	"allod/internal/survey"
)

// TestSetupWritesTheRoles writes both roles into the company, finds nothing to
// do the second time, mends what somebody changed, and takes everything back.
func TestSetupWritesTheRoles(t *testing.T) {
	c := &clock{}
	co := startCompany(t, c, func(o *emu.Options) { o.AppUsers = emu.DefaultAppUsers(3) })
	d := newDesk(t, c)
	d.connect("prod", co.url)
	users := co.server.Users()
	opts := source.RoleOptions{Reader: users[1].ClientID, Restorer: users[2].ClientID}
	setup := func(opts source.RoleOptions) *source.RolePlan {
		t.Helper()
		p, err := d.PlanRoles(t.Context(), "prod", opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.CarryOutRoles(t.Context(), "prod", p, func(source.RoleStep) {}); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := setup(opts); len(p.Steps) < 10 {
		t.Errorf("first: got %d steps", len(p.Steps))
	}
	if p := setup(opts); len(p.Steps) != 0 {
		t.Errorf("second: got %+v", p.Steps)
	}
	role := co.rows("roles", "?$select=roleid&$filter=name eq 'Allod reader'")
	if len(role) != 1 {
		t.Fatalf("%d roles", len(role))
	}
	at := role[0]["roleid"].(string)
	held := co.call(http.MethodGet, "RetrieveRolePrivilegesRole(RoleId="+at+")", nil)["RolePrivileges"].([]any)
	for _, p := range held {
		p := p.(map[string]any)
		if name := p["PrivilegeName"].(string); !strings.HasPrefix(name, "prvRead") && name != "prvExportCustomization" || p["Depth"] != "Global" {
			t.Errorf("the reader may %v at %v", name, p["Depth"])
		}
	}
	co.call(http.MethodPost, "roles("+at+")/Microsoft.Dynamics.CRM.RemovePrivilegeRole", map[string]any{"PrivilegeId": held[0].(map[string]any)["PrivilegeId"]})
	if p := setup(opts); len(p.Steps) != 1 || p.Steps[0].Op != "grant" {
		t.Errorf("after a right was taken: got %+v", p.Steps)
	}
	restorer := co.rows("systemusers", "?$select=isdisabled&$filter=applicationid eq "+users[2].ClientID)
	if len(restorer) != 1 || restorer[0]["isdisabled"] != true {
		t.Errorf("the restorer: got %v", restorer)
	}
	// Applications that have no user in the environment get one.
	const reader, other = "0f3c9a52-6f0e-4c3d-9a57-3c2b1f0e9d11", "0f3c9a52-6f0e-4c3d-9a57-3c2b1f0e9d12"
	fresh := source.RoleOptions{Reader: reader, Restorer: other}
	if p := setup(fresh); len(p.Steps) != 7 || p.Steps[0].Op != "create" || len(p.Notes) < 2 {
		t.Errorf("applications without a user: got %+v", p)
	}
	for client, off := range map[string]bool{reader: false, other: true} {
		made := co.rows("systemusers", "?$select=isdisabled,_businessunitid_value&$expand=systemuserroles_association($select=name)&$filter=applicationid eq "+client)
		if len(made) != 1 || made[0]["isdisabled"] != off || len(made[0]["systemuserroles_association"].([]any)) != 1 {
			t.Errorf("the application user of %s: got %v", client, made)
		}
	}
	if p := setup(fresh); len(p.Steps) != 0 {
		t.Errorf("the second time: got %+v", p.Steps)
	}
	if p := setup(source.RoleOptions{Remove: true}); len(p.Steps) != 8 {
		t.Errorf("remove: got %+v", p.Steps)
	}
	if left := co.rows("fieldpermissions", "?$select=fieldpermissionid"); len(left) != 2 {
		t.Errorf("%d permissions are left, the company had 2", len(left))
	}
}

// TestReaderRoleSuffices gives the reader what setup writes and nothing else: it
// backs up everything, hidden columns included, and cannot write.
func TestReaderRoleSuffices(t *testing.T) {
	c := &clock{}
	co := startCompany(t, c, nil)
	d := newDesk(t, c)
	d.connect("prod", co.url)
	known := func(name string) { // privileges that the company's rows do not have
		if err := co.server.Store().Update(func(tx *store.Tx) error {
			tx.Put("privilege", access.NamedID(name), []store.Cell{{Column: tx.Column("privilege", "name"), Value: allod.StringValue(name)}})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	known("prvReadAuditSummary")
	p, err := d.PlanRoles(t.Context(), "prod", source.RoleOptions{Reader: co.user.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CarryOutRoles(t.Context(), "prod", p, func(source.RoleStep) {}); err != nil {
		t.Fatal(err)
	}
	id := co.call(http.MethodGet, "accounts?$select=accountid&$top=1", nil)["value"].([]any)[0].(map[string]any)["accountid"].(string)
	co.action("set-administrator", map[string]any{"on": false})
	co.action("follow-roles", map[string]any{})
	facts, err := d.Survey(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range survey.Findings(facts) {
		if f.Severity == survey.Problem || f.Topic == survey.Administrator {
			t.Errorf("of the reader: %+v", f)
		}
	}
	if res := d.backup("prod", capture.Options{Tables: []string{"account", "contact", "audit", "alp_loyaltycard", "email", "systemuserroles"}}); res.Partial() {
		t.Errorf("gaps of the reader: %+v", openGaps(res))
	}
	if status, _ := co.try(http.MethodPatch, "accounts("+id+")", map[string]any{"name": "x"}); status != http.StatusForbidden {
		t.Errorf("the reader wrote: status %d", status)
	}
}

// TestPresetOfTheCompany backs up what belongs to one application: nothing is
// missing that the rest refers to but what is said.
func TestPresetOfTheCompany(t *testing.T) {
	c := &clock{}
	co := startCompany(t, c, nil)
	d := newDesk(t, c)
	d.connect("prod", co.url)
	p, err := d.PlanBackup(t.Context(), "prod", capture.Options{Presets: []string{"customer-service"}})
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for _, table := range p.Tables {
		read[table.Table] = true
	}
	for name, want := range map[string]bool{"incident": true, "account": true, "systemuser": true, "workflow": true, "systemuserroles": true, "opportunity": true, "msdynmkt_journey": false, "alp_store": false} {
		if read[name] != want {
			t.Errorf("%s: read %t, want %t", name, read[name], want)
		}
	}
	facts, err := d.Survey(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range survey.Findings(facts) {
		if f.Severity == survey.Problem {
			t.Errorf("of a healthy company: %+v", f)
		}
	}
}
