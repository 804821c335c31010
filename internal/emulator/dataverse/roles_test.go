package dataverse_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// Privileges of a role are added, replaced and taken away, with their depths.
func TestRolePrivileges(t *testing.T) {
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, dvemu.Options{Model: m})
	const role = "a110d0a1-7ead-4e00-8001-000000000001"
	at := "roles(" + role + ")/Microsoft.Dynamics.CRM."
	c.want(204, "POST", "roles", `{"roleid":"`+role+`","name":"Allod reader"}`)
	held := func() map[string]string {
		out := map[string]string{}
		for _, p := range c.want(200, "GET", "RetrieveRolePrivilegesRole(RoleId="+role+")", "").json()["RolePrivileges"].([]any) {
			p := p.(map[string]any)
			out[p["PrivilegeName"].(string)] = p["Depth"].(string)
		}
		return out
	}
	id := func(table, verb string) string { return m.Table(table).PrivilegeID(verb).String() }
	give := func(action, table, verb, depth string) {
		c.want(204, "POST", at+action, fmt.Sprintf(`{"Privileges":[{"PrivilegeId":%q,"Depth":%q}]}`, id(table, verb), depth))
	}
	check := func(want map[string]string) {
		t.Helper()
		if d := cmp.Diff(held(), want); d != "" {
			t.Errorf("-got +want:\n%s", d)
		}
	}
	check(map[string]string{})
	give("AddPrivilegesRole", "account", "Read", "Local")
	give("AddPrivilegesRole", "contact", "Read", "Global")
	check(map[string]string{"prvReadAccount": "Local", "prvReadContact": "Global"})
	give("AddPrivilegesRole", "account", "Read", "Deep")
	check(map[string]string{"prvReadAccount": "Deep", "prvReadContact": "Global"})
	c.want(204, "POST", at+"RemovePrivilegeRole", `{"PrivilegeId":"`+id("contact", "Read")+`"}`)
	check(map[string]string{"prvReadAccount": "Deep"})
	give("ReplacePrivilegesRole", "lead", "Write", "Basic")
	check(map[string]string{"prvWriteLead": "Basic"})

	const nobody = "99999999-9999-4999-8999-999999999999"
	for _, bad := range []struct {
		status             int
		method, path, body string
	}{
		{404, "GET", "RetrieveRolePrivilegesRole(RoleId=" + nobody + ")", ""},
		{400, "GET", "RetrieveRolePrivilegesRole()", ""},
		{404, "POST", "roles(" + nobody + ")/Microsoft.Dynamics.CRM.AddPrivilegesRole", `{"Privileges":[]}`},
		{400, "POST", at + "AddPrivilegesRole", `{}`},
		{400, "POST", at + "AddPrivilegesRole", `{"Privileges":[{"PrivilegeId":"` + id("lead", "Read") + `","Depth":"Wide"}]}`},
		{404, "POST", at + "ReplacePrivilegesRole", `{"Privileges":[{"PrivilegeId":"` + nobody + `","Depth":"Global"}]}`},
		{400, "POST", at + "RemovePrivilegeRole", `{}`},
		{404, "GET", at + "AddPrivilegesRole", ""},
		{404, "POST", "accounts(" + nobody + ")/Microsoft.Dynamics.CRM.AddPrivilegesRole", `{"Privileges":[]}`},
	} {
		c.want(bad.status, bad.method, bad.path, bad.body)
	}
	check(map[string]string{"prvWriteLead": "Basic"}) // what is refused changes nothing
	c.want(204, "DELETE", "roles("+role+")", "")
	c.want(404, "GET", "RetrieveRolePrivilegesRole(RoleId="+role+")", "")
}
