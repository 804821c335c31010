package setup

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
)

const (
	unit    = "11111111-0000-4000-8000-000000000001"
	me      = "22222222-0000-4000-8000-000000000001"
	readUID = "22222222-0000-4000-8000-000000000002"
	putUID  = "22222222-0000-4000-8000-000000000003"
	readApp = "33333333-0000-4000-8000-000000000002"
	putApp  = "33333333-0000-4000-8000-000000000003"
)

// service answers from a list of addresses, by their beginning, and keeps what
// is sent.
type service struct {
	answers map[string]string
	errs    map[string]error
	sent    []string
	bodies  []string
}

func (s *service) Get(_ context.Context, address string, into any) error {
	best := ""
	for at := range s.answers {
		if strings.HasPrefix(address, at) && len(at) > len(best) {
			best = at
		}
	}
	for at, err := range s.errs {
		if strings.HasPrefix(address, at) {
			return err
		}
	}
	if best == "" {
		return json.Unmarshal([]byte(`{"value":[]}`), into)
	}
	return json.Unmarshal([]byte(s.answers[best]), into)
}

func (s *service) Send(_ context.Context, method, address string, body any) error {
	b, err := json.Marshal(body)
	s.sent, s.bodies = append(s.sent, method+" "+address), append(s.bodies, string(b))
	return err
}

func fresh() *service {
	return &service{
		answers: map[string]string{
			"businessunits": `{"value":[{"businessunitid":"` + unit + `"}]}`,
			"WhoAmI":        `{"UserId":"` + me + `"}`,
			"EntityDefinitions": `{"value":[
				{"LogicalName":"account","Privileges":[
					{"Name":"prvReadAccount","PrivilegeId":"a1","PrivilegeType":"Read","CanBeGlobal":true,"CanBeBasic":true},
					{"Name":"prvWriteAccount","PrivilegeId":"a2","PrivilegeType":"Write","CanBeGlobal":true},
					{"Name":"prvReparentAccount","PrivilegeId":"a3","PrivilegeType":"None","CanBeGlobal":true}]},
				{"LogicalName":"asyncoperation","Privileges":[
					{"Name":"prvReadAsync","PrivilegeId":"b1","PrivilegeType":"Read","CanBeBasic":true},
					{"Name":"prvDeleteAsync","PrivilegeId":"b2","PrivilegeType":"Delete","CanBeGlobal":true}]},
				{"LogicalName":"task","Privileges":[{"Name":"prvReadActivity","PrivilegeId":"c1","PrivilegeType":"Read","CanBeDeep":true}]},
				{"LogicalName":"email","Privileges":[{"Name":"prvReadActivity","PrivilegeId":"c1","PrivilegeType":"Read","CanBeDeep":true}]},
				{"LogicalName":"unknown","Privileges":[{"Name":"prvReadUnknown","PrivilegeId":"d1","PrivilegeType":"Read","CanBeGlobal":true}]}]}`,
			"privileges": `{"value":[{"privilegeid":"m1","name":"prvReadAuditSummary"},{"privilegeid":"m2","name":"prvOverrideCreatedOnCreatedBy"}]}`,
			"systemusers?$select=systemuserid,isdisabled&$filter=applicationid%20eq%20" + readApp: `{"value":[{"systemuserid":"` + readUID + `","isdisabled":false}]}`,
			"systemusers?$select=systemuserid,isdisabled&$filter=applicationid%20eq%20" + putApp:  `{"value":[{"systemuserid":"` + putUID + `","isdisabled":false}]}`,
		},
		errs: map[string]error{},
	}
}

func schema() *allod.Schema {
	return &allod.Schema{Tables: []allod.Table{
		{Name: "account", Class: allod.ClassData, Columns: []allod.Column{{Name: "iban", Secured: true, Create: true, Update: true}, {Name: "score", Secured: true}, {Name: "name"}}},
		{Name: "asyncoperation", Class: allod.ClassPlatform},
		{Name: "email", Class: allod.ClassData},
		{Name: "task", Class: allod.ClassData},
	}}
}

func plan(t *testing.T, s *service, o source.RoleOptions) *source.RolePlan {
	t.Helper()
	p, err := Plan(t.Context(), s, schema(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func steps(p *source.RolePlan) (out []string) {
	for _, s := range p.Steps {
		out = append(out, strings.TrimSpace(s.Op+": "+s.What+" "+strings.Join(s.Names, " ")))
	}
	return out
}

func TestPlanFromNothing(t *testing.T) {
	s := fresh()
	p := plan(t, s, source.RoleOptions{Reader: readApp, Restorer: putApp})
	want := []string{
		"create: make the role Allod reader",
		"grant: give the role Allod reader 4 privileges, for the whole organization where they can be prvReadAccount prvReadActivity prvReadAsync prvReadAuditSummary",
		"create: make the column security profile Allod reader",
		"grant: let Allod reader read the secured column account.iban account.iban",
		"grant: let Allod reader read the secured column account.score account.score",
		"assign: give the application " + readApp + " the role Allod reader",
		"assign: give the application " + readApp + " the column security profile Allod reader",
		"create: make the role Allod restorer",
		"grant: give the role Allod restorer 5 privileges, for the whole organization where they can be prvOverrideCreatedOnCreatedBy prvReadAccount prvReadActivity prvReadAsync prvWriteAccount",
		"create: make the column security profile Allod restorer",
		"grant: let Allod restorer read and write the secured column account.iban account.iban",
		"grant: let Allod restorer read and write the secured column account.score account.score",
		"assign: give the application " + putApp + " the role Allod restorer",
		"assign: give the application " + putApp + " the column security profile Allod restorer",
		"disable: disable the application " + putApp + " until a restore is approved",
	}
	if d := cmp.Diff(steps(p), want); d != "" {
		t.Errorf("steps (-got +want):\n%s", d)
	}
	if len(s.sent) != 0 {
		t.Errorf("a plan wrote: %v", s.sent)
	}
	for _, missing := range []string{"prvExportCustomization", "prvReadRecordAuditHistory", "prvActOnBehalfOfAnotherUser", "prvBypassCustomBusinessLogic"} {
		if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, missing) }) {
			t.Errorf("%s is not said to be missing: %v", missing, p.Notes)
		}
	}
	for _, one := range p.Steps {
		if err := one.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range map[int]string{
		0: `POST roles {"businessunitid@odata.bind":"/businessunits(` + unit + `)","name":"Allod reader","roleid":"` + reader().roleID + `"}`,
		1: `POST roles(` + reader().roleID + `)/Microsoft.Dynamics.CRM.AddPrivilegesRole {"Privileges":[` +
			`{"PrivilegeId":"a1","Depth":"Global","BusinessUnitId":"` + unit + `"},{"PrivilegeId":"b1","Depth":"Basic","BusinessUnitId":"` + unit + `"},` +
			`{"PrivilegeId":"c1","Depth":"Deep","BusinessUnitId":"` + unit + `"},{"PrivilegeId":"m1","Depth":"Global","BusinessUnitId":"` + unit + `"}]}`,
		3:  `POST fieldpermissions {"attributelogicalname":"iban","cancreate":0,"canread":4,"canupdate":0,"entityname":"account","fieldsecurityprofileid@odata.bind":"/fieldsecurityprofiles(` + reader().profileID + `)"}`,
		5:  `POST systemusers(` + readUID + `)/systemuserroles_association/$ref {"@odata.id":"roles(` + reader().roleID + `)"}`,
		10: `POST fieldpermissions {"attributelogicalname":"iban","cancreate":4,"canread":4,"canupdate":4,"entityname":"account","fieldsecurityprofileid@odata.bind":"/fieldsecurityprofiles(` + restorer().profileID + `)"}`,
		14: `PATCH systemusers(` + putUID + `) {"isdisabled":true}`,
	} {
		if got := s.sent[i] + " " + s.bodies[i]; got != want {
			t.Errorf("request %d:\ngot  %s\nwant %s", i, got, want)
		}
	}
}

// done is an environment in which all was carried out.
func done() *service {
	s := fresh()
	role := func(id string) string { return `{"value":[{"roleid":"` + id + `"}]}` }
	profile := func(id string) string { return `{"value":[{"fieldsecurityprofileid":"` + id + `"}]}` }
	maps.Copy(s.answers, map[string]string{
		"roles?$select=roleid&$filter=name%20eq%20'Allod%20reader'":                                   role("R1"),
		"roles?$select=roleid&$filter=name%20eq%20'Allod%20restorer'":                                 role("R2"),
		"fieldsecurityprofiles?$select=fieldsecurityprofileid&$filter=name%20eq%20'Allod%20reader'":   profile("P1"),
		"fieldsecurityprofiles?$select=fieldsecurityprofileid&$filter=name%20eq%20'Allod%20restorer'": profile("P2"),
		"RetrieveRolePrivilegesRole(RoleId=R1)":                                                       `{"RolePrivileges":[{"PrivilegeId":"A1","Depth":"Global"},{"PrivilegeId":"b1","Depth":0},{"PrivilegeId":"c1","Depth":"Deep"},{"PrivilegeId":"m1","Depth":3}]}`,
		"RetrieveRolePrivilegesRole(RoleId=R2)":                                                       `{"RolePrivileges":[{"PrivilegeId":"a1","Depth":"Global"},{"PrivilegeId":"a2","Depth":"Global"},{"PrivilegeId":"b1","Depth":"Basic"},{"PrivilegeId":"c1","Depth":"Deep"},{"PrivilegeId":"m2","Depth":"Global"}]}`,
		"fieldpermissions?$select=fieldpermissionid,entityname,attributelogicalname,canread,cancreate,canupdate&$filter=_fieldsecurityprofileid_value%20eq%20P1": `{"value":[
			{"fieldpermissionid":"f1","entityname":"account","attributelogicalname":"iban","canread":4,"cancreate":0,"canupdate":0},{"fieldpermissionid":"f2","entityname":"account","attributelogicalname":"score","canread":4,"cancreate":0,"canupdate":0}]}`,
		"fieldpermissions?$select=fieldpermissionid,entityname,attributelogicalname,canread,cancreate,canupdate&$filter=_fieldsecurityprofileid_value%20eq%20P2": `{"value":[
			{"fieldpermissionid":"f3","entityname":"account","attributelogicalname":"iban","canread":4,"cancreate":4,"canupdate":4},{"fieldpermissionid":"f4","entityname":"account","attributelogicalname":"score","canread":4,"cancreate":0,"canupdate":0}]}`,
		"systemusers(" + readUID + ")/systemuserroles_association":                           role("r1"),
		"systemusers(" + putUID + ")/systemuserroles_association":                            role("R2"),
		"systemusers(" + readUID + ")/systemuserprofiles_association":                        profile("P1"),
		"systemusers(" + putUID + ")/systemuserprofiles_association":                         profile("P2"),
		"systemusers?$select=systemuserid,isdisabled&$filter=applicationid%20eq%20" + putApp: `{"value":[{"systemuserid":"` + putUID + `","isdisabled":true}]}`,
	})
	return s
}

// Only what differs is done again.
func TestPlanIsTheDifference(t *testing.T) {
	both := source.RoleOptions{Reader: readApp, Restorer: putApp}
	for _, c := range []struct {
		name, at, answer string
		want             []string
	}{
		{name: "all is as it should be"},
		{
			"a right was lost", "RetrieveRolePrivilegesRole(RoleId=R1)", `{"RolePrivileges":[{"PrivilegeId":"a1","Depth":"Global"},{"PrivilegeId":"b1","Depth":"Basic"},{"PrivilegeId":"m1","Depth":"Global"}]}`,
			[]string{"grant: give the role Allod reader 1 privileges, for the whole organization where they can be prvReadActivity"},
		},
		{
			"a right is not deep enough", "RetrieveRolePrivilegesRole(RoleId=R1)", `{"RolePrivileges":[{"PrivilegeId":"a1","Depth":"Local"},{"PrivilegeId":"b1","Depth":"Basic"},{"PrivilegeId":"c1","Depth":"Deep"},{"PrivilegeId":"m1","Depth":"Global"}]}`,
			[]string{"grant: give the role Allod reader 1 privileges, for the whole organization where they can be prvReadAccount"},
		},
		{
			"somebody lets the reader write", "RetrieveRolePrivilegesRole(RoleId=R1)", `{"RolePrivileges":[{"PrivilegeId":"a1","Depth":"Global"},{"PrivilegeId":"a2","Depth":"Global"},{"PrivilegeId":"b1","Depth":"Basic"},{"PrivilegeId":"c1","Depth":"Deep"},{"PrivilegeId":"m1","Depth":"Global"}]}`,
			[]string{"grant: give the role Allod reader its 4 privileges again and take 1 others from it"},
		},
		{
			"the reader may write a column", "fieldpermissions?$select=fieldpermissionid,entityname,attributelogicalname,canread,cancreate,canupdate&$filter=_fieldsecurityprofileid_value%20eq%20P1", `{"value":[
			{"fieldpermissionid":"f1","entityname":"account","attributelogicalname":"iban","canread":4,"cancreate":0,"canupdate":4},{"fieldpermissionid":"f2","entityname":"account","attributelogicalname":"score","canread":4}]}`,
			[]string{"grant: let Allod reader read the secured column account.iban, and no more account.iban"},
		},
		{
			"the restorer is on", "systemusers?$select=systemuserid,isdisabled&$filter=applicationid%20eq%20" + putApp, `{"value":[{"systemuserid":"` + putUID + `"}]}`,
			[]string{"disable: disable the application " + putApp + " until a restore is approved"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := done()
			if c.at != "" {
				s.answers[c.at] = c.answer
			}
			if d := cmp.Diff(steps(plan(t, s, both)), c.want); d != "" {
				t.Errorf("-got +want:\n%s", d)
			}
		})
	}
}

func TestPlanNotesAdministrator(t *testing.T) {
	s := done()
	s.answers["systemusers("+readUID+")/systemuserroles_association"] = `{"value":[{"roleid":"R1"},{"roleid":"x","_roletemplateid_value":"627090FF-40a3-4053-8790-584edc5be201"}]}`
	p := plan(t, s, source.RoleOptions{Reader: readApp})
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "System Administrator") }) {
		t.Errorf("got %v", p.Notes)
	}
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "Allod restorer is given to nobody") }) {
		t.Errorf("got %v", p.Notes)
	}
}

func TestRemove(t *testing.T) {
	s := done()
	p := plan(t, s, source.RoleOptions{Remove: true})
	for _, one := range p.Steps {
		if err := one.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"DELETE roles(R1)", "DELETE fieldpermissions(f1)", "DELETE fieldpermissions(f2)", "DELETE fieldsecurityprofiles(P1)",
		"DELETE roles(R2)", "DELETE fieldpermissions(f3)", "DELETE fieldpermissions(f4)", "DELETE fieldsecurityprofiles(P2)",
	}
	if d := cmp.Diff(s.sent, want); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
	if p := plan(t, fresh(), source.RoleOptions{Remove: true}); len(p.Steps)+len(p.Notes) > 0 {
		t.Errorf("with nothing to remove: got %+v", p)
	}
}

// An application without a user in the environment gets one, with an id that the
// steps after it name; the same each time.
func TestPlanMakesTheUser(t *testing.T) {
	const app = "33333333-0000-4000-8000-00000000000F"
	s := fresh()
	p := plan(t, s, source.RoleOptions{Restorer: app})
	got := steps(p)
	want := []string{
		"create: make an application user for the application " + app,
		"assign: give the application " + app + " the role Allod restorer",
		"assign: give the application " + app + " the column security profile Allod restorer",
		"disable: disable the application " + app + " until a restore is approved",
	}
	if d := cmp.Diff(got[len(got)-4:], want); d != "" {
		t.Errorf("steps (-got +want):\n%s", d)
	}
	for _, one := range p.Steps {
		if err := one.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last := len(s.sent) - 4
	var body struct{ SystemUserID, ApplicationID string }
	if err := json.Unmarshal([]byte(s.bodies[last]), &body); err != nil || s.sent[last] != "POST systemusers" || body.ApplicationID != strings.ToLower(app) {
		t.Fatalf("made: %s %s: %v", s.sent[last], s.bodies[last], err)
	}
	for _, sent := range s.sent[last+1:] {
		if !strings.Contains(sent, " systemusers("+body.SystemUserID+")") {
			t.Errorf("%s does not name the user %s", sent, body.SystemUserID)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		o    source.RoleOptions
		want allod.Kind
	}{
		{"one application for both", source.RoleOptions{Reader: readApp, Restorer: readApp}, allod.Invalid},
		{"no client id", source.RoleOptions{Reader: "backup' or true"}, allod.Invalid},
		{"restorer is the caller", source.RoleOptions{Restorer: "33333333-0000-4000-8000-000000000001"}, allod.Invalid},
	} {
		s := fresh()
		s.answers["systemusers?$select=systemuserid,isdisabled&$filter=applicationid%20eq%2033333333-0000-4000-8000-000000000001"] = `{"value":[{"systemuserid":"` + strings.ToUpper(me) + `"}]}`
		if _, err := Plan(t.Context(), s, schema(), c.o); allod.KindOf(err) != c.want || allod.HintOf(err) == "" {
			t.Errorf("%s: got %v, hint %q", c.name, err, allod.HintOf(err))
		}
	}
	for at := range done().answers {
		at, _, _ = strings.Cut(at, "?")
		for _, remove := range []bool{false, true} {
			s := done()
			s.errs[at] = allod.Errorf(allod.Denied, "no")
			_, err := Plan(t.Context(), s, schema(), source.RoleOptions{Reader: readApp, Restorer: putApp, Remove: remove})
			if asked := !remove || at == "roles" || strings.HasPrefix(at, "field"); asked && allod.KindOf(err) != allod.Denied {
				t.Errorf("%s denied, remove %t: got %v", at, remove, err)
			}
		}
	}
}
