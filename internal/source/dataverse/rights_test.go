package dataverse_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
)

// rightsOf answers Rights for a user with the given privileges, all Global.
func (s *service) rightsOf(t *testing.T, schema *allod.Schema, privileges ...string) (*source.Rights, error) {
	t.Helper()
	s.identity()
	list := ""
	for i, p := range privileges {
		if i > 0 {
			list += ","
		}
		list += fmt.Sprintf(`{"Depth":"Global","PrivilegeName":%q}`, p)
	}
	s.json("GET systemusers("+me+")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges", `{"RolePrivileges":[`+list+`]}`)
	s.json("GET systemusers("+me+")/teammembership_association", `{"value":[]}`)
	s.json("GET systemusers("+me+")/systemuserroles_association", `{"value":[]}`)
	s.json("GET EntityDefinitions", `{"value":[{"LogicalName":"account","Privileges":[{"Name":"prvReadAccount","PrivilegeType":"Read"},{"Name":"prvWriteAccount","PrivilegeType":"Write"}]}]}`)
	return s.source(t).Rights(t.Context(), schema)
}

func rightsSchema() *allod.Schema {
	return &allod.Schema{
		Tables: []allod.Table{
			{Name: "account", SchemaName: "Account"},
			{Name: "audit", SchemaName: "Audit"},
			{Name: "customeraddress", SchemaName: "CustomerAddress"},
			{Name: "pair", Intersect: true},
			{Name: "principalobjectaccess", Set: "principalobjectaccessset", Key: "principalobjectaccessid"},
			{Name: "strange", SchemaName: "Strange"},
			{Name: "task", SchemaName: "Task", Activity: true},
		},
		Relationships: []allod.Relationship{{Name: "p", Intersect: "pair", Table1: "account", Table2: "task"}},
	}
}

// Each table says which privileges let it be read, and is read as deep as the
// least of them.
func TestRightsNamePrivileges(t *testing.T) {
	s := newService(t)
	s.fail("GET principalobjectaccessset", http.StatusForbidden, "0x80040220")
	r, err := s.rightsOf(t, rightsSchema(), "prvreadaccount", "prvReadAuditSummary")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"account": {"prvReadAccount"}, "audit": {"prvReadAuditSummary"}, "customeraddress": {"prvReadAccount"}, "pair": {"prvReadAccount", "prvReadActivity"},
		"principalobjectaccess": nil, "strange": nil, "task": {"prvReadActivity"},
	}
	if d := cmp.Diff(r.Grants, want); d != "" {
		t.Errorf("grants (-got +want):\n%s", d)
	}
	depths := map[string]source.Depth{"account": source.DepthGlobal, "audit": source.DepthGlobal, "customeraddress": source.DepthGlobal}
	if d := cmp.Diff(r.Depth, depths); d != "" {
		t.Errorf("depths (-got +want):\n%s", d)
	}
	if r.Administrator {
		t.Error("taken for an administrator")
	}
}

// Rows that were shared are read where the service lets them be, but prove no
// deletion: no document names a privilege for them.
func TestSharingIsReadWhereItCanBe(t *testing.T) {
	s := newService(t)
	s.json("GET principalobjectaccessset", `{"value":[]}`)
	r, err := s.rightsOf(t, rightsSchema())
	if err != nil || r.Depth["principalobjectaccess"] != source.DepthBasic {
		t.Errorf("got %v, %v", r, err)
	}
	s = newService(t)
	s.fail("GET principalobjectaccessset", http.StatusServiceUnavailable, "")
	if _, err = s.rightsOf(t, rightsSchema()); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a service that was not reached: got %v", err)
	}
}

func TestInspect(t *testing.T) {
	const definitions, organization = "GET EntityDefinitions", "GET RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')"
	apps := &allod.Schema{Tables: []allod.Table{{Name: "incident"}}}
	for _, c := range []struct {
		name   string
		kind   string
		schema *allod.Schema
		days   int
	}{
		{"production with apps", `"Customer"`, apps, 28},
		{"by number", `0`, apps, 28},
		{"production without apps", `"Customer"`, &allod.Schema{}, 7},
		{"sandbox", `"CustomerTest"`, apps, 7},
		{"not said", `null`, apps, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			s.json(definitions, `{"value":[{"LogicalName":"a","ChangeTrackingEnabled":false,"CanChangeTrackingBeEnabled":{"Value":true}},{"LogicalName":"z","CanChangeTrackingBeEnabled":{"Value":false}},
				{"LogicalName":"b","CanChangeTrackingBeEnabled":{"Value":false}},{"LogicalName":"c","ChangeTrackingEnabled":true,"CanChangeTrackingBeEnabled":{"Value":false}},{"LogicalName":"d"}]}`)
			s.json(organization, `{"Detail":{"OrganizationType":`+c.kind+`}}`)
			got, err := s.source(t).Inspect(t.Context(), c.schema)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, &source.Surroundings{NeverTracked: []string{"b", "z"}, NativeDays: c.days}); d != "" {
				t.Errorf("-got +want:\n%s", d)
			}
		})
	}
	s := newService(t)
	s.fail(definitions, http.StatusForbidden, "0x80040220")
	s.fail(organization, http.StatusForbidden, "0x80040220")
	if got, err := s.source(t).Inspect(t.Context(), apps); err != nil || !cmp.Equal(got, &source.Surroundings{}) {
		t.Errorf("what may not be asked: got %+v, %v", got, err)
	}
	s = newService(t)
	s.fail(definitions, http.StatusServiceUnavailable, "")
	if _, err := s.source(t).Inspect(t.Context(), apps); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a service that was not reached: got %v", err)
	}
}
