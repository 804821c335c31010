package e2e_test

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"allod/internal/act"
	"allod/internal/act/undo"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
)

// withTable adds a table of the spec "NAME SET KEY COLUMN:KIND …" to the model.
func withTable(m *entity.Model, spec string) {
	edm := map[string]string{"String": "Edm.String", "Integer": "Edm.Int32", "Boolean": "Edm.Boolean", "Uniqueidentifier": "Edm.Guid", "DateTime": "Edm.DateTimeOffset"}
	f := strings.Fields(spec)
	t := &entity.Table{LogicalName: f[0], SchemaName: f[0], SetName: f[1], LogicalSet: f[1], PrimaryID: f[2], ODataKey: f[2], TableType: "Standard", Ownership: 1}
	for _, c := range append([]string{f[2] + ":Uniqueidentifier"}, f[3:]...) {
		name, kind, _ := strings.Cut(c, ":")
		t.Columns = append(t.Columns, &entity.Column{
			LogicalName: name, SchemaName: name, Kind: entity.ColumnKind(kind), EdmType: edm[kind],
			ValidForCreate: true, ValidForUpdate: name != f[2], ValidForRead: true, ValidOData: true, Required: "None",
		})
	}
	m.Tables = append(m.Tables, t)
	m.Seal()
}

// restoring plans a restore and carries it out.
func (d *desk) restoring(r act.RestoreRequest) (*plan.Plan, *apply.Report) {
	d.t.Helper()
	p, err := d.PlanRestore(d.t.Context(), r)
	if err != nil {
		d.t.Fatal(err)
	}
	rep, err := d.Restore(d.t.Context(), r, p, act.RestoreControl{})
	if err != nil {
		d.t.Fatal(err)
	}
	return p, rep
}

func planText(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteText(&b, 5); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBesideRows: what a restore takes besides writing rows, in the sample company.
func TestBesideRows(t *testing.T) {
	integration(t)
	co := startCompany(t, &clock{}, func(o *emu.Options) {
		withTable(o.Model, "principalobjectaccess principalobjectaccessset principalobjectaccessid objectid:Uniqueidentifier objecttypecode:String principalid:Uniqueidentifier principaltypecode:String accessrightsmask:Integer inheritedaccessrightsmask:Integer changedon:DateTime")
		withTable(o.Model, "recyclebinconfig recyclebinconfigs recyclebinconfigid name:String cleanupintervalindays:Integer isreadyforrecyclebin:Boolean statecode:Integer statuscode:Integer")
		withTable(o.Model, "duplicaterule duplicaterules duplicateruleid name:String baseentityname:String matchingentityname:String statuscode:Integer iscasesensitive:Boolean excludeinactiverecords:Boolean")
		withTable(o.Model, "duplicaterulecondition duplicateruleconditions duplicateruleconditionid regardingobjectid:Uniqueidentifier baseattributename:String matchingattributename:String operatorcode:Integer operatorparam:Integer ignoreblankvalues:Boolean")
	})
	d := newDesk(t, &clock{})
	d.connect("prod", co.url)
	sharesAreGrantedAgain(t, co, d)
	flowsAreInThePlan(t, co, d)
	binBringsBack(t, co, d)
}

// binBringsBack: deleted rows come back from the recycle bin, with who made them,
// and are as they were captured; not where it would bring back more than the plan.
func binBringsBack(t *testing.T, co *company, d *desk) {
	const key, child = "accounts(11111111-0000-4000-8000-000000000001)", "contacts(11111111-0000-4000-8000-000000000002)"
	co.call(http.MethodPost, "/_emulator/actions/set-recycle-bin", map[string]any{"on": true, "count": 30})
	co.call(http.MethodPatch, key, map[string]any{"name": "Captured"})
	co.call(http.MethodPatch, child, map[string]any{"lastname": "Child", "parentcustomerid_account@odata.bind": "/" + key})
	d.backup("prod", capture.Options{Tables: []string{"account", "contact", "recyclebinconfig", "systemuser", "team"}})
	const rule = "22222222-0000-4000-8000-000000000009"
	co.call(http.MethodPatch, "duplicaterules("+rule+")", map[string]any{"name": "Same name", "baseentityname": "account", "matchingentityname": "account", "statuscode": 2, "excludeinactiverecords": false})
	co.call(http.MethodPost, "duplicateruleconditions", map[string]any{"regardingobjectid": rule, "baseattributename": "name", "matchingattributename": "name", "operatorcode": 0, "ignoreblankvalues": true})
	co.call(http.MethodPatch, "accounts(11111111-0000-4000-8000-000000000003)", map[string]any{"name": "captured"})
	co.call(http.MethodPatch, key, map[string]any{"name": "Later", "fax": "only later"})
	r := act.RestoreRequest{From: act.Moment{Environment: "prod"}, Selection: act.RestoreSelection{Table: "account", IDs: []string{"11111111-0000-4000-8000-000000000001"}}}
	made := func() any { return co.call(http.MethodGet, key, nil)["createdon"] }
	was := made()
	d.clock.advance(time.Hour)
	back := func(text bool, related ...string) *apply.Report {
		t.Helper()
		co.call(http.MethodDelete, key, nil)
		r.Related = related
		p, rep := d.restoring(r)
		if got := strings.Contains(planText(t, p), "From the recycle bin\n  account: 1 row with who made it"); got != text {
			t.Errorf("with %v: the plan says so %t, want %t: %s", related, got, text, planText(t, p))
		}
		if want := "account: 1 row made again that the rule “Same name” calls duplicate of what account has; it is not asked"; !slices.Contains(p.Warnings, want) {
			t.Errorf("got %q, want %q among them", p.Warnings, want)
		}
		now := co.call(http.MethodGet, key, nil)
		if rep.Err() != nil || now["name"] != "Captured" || now["fax"] != nil || made() != was {
			t.Errorf("with %v: %v, %v, %v, made %v, was %v", related, rep.Err(), now["name"], now["fax"], made(), was)
		}
		return rep
	}
	noted := func(rep *apply.Report, what string) bool {
		return slices.ContainsFunc(rep.Notes, func(n string) bool { return strings.Contains(n, what) })
	}
	if status, _ := co.try(http.MethodGet, child, nil); status != 200 {
		t.Fatal("no child")
	}
	if rep := back(false); noted(rep, "recycle bin") {
		t.Errorf("the contact that its deletion took along came back unasked: %v", rep.Notes)
	}
	if status, _ := co.try(http.MethodGet, child, nil); status != 404 {
		t.Errorf("the contact that its deletion took along is there: %d", status)
	}
	co.call(http.MethodPatch, child, map[string]any{"lastname": "Child", "parentcustomerid_account@odata.bind": "/" + key})
	co.call(http.MethodPatch, key, map[string]any{"fax": "only later"})
	if rep := back(true, "children:1"); !noted(rep, "restored from the recycle bin") || rep.Created != 2 {
		t.Errorf("got %+v", rep)
	}
	if status, got := co.try(http.MethodGet, child, nil); status != 200 || got["lastname"] != "Child" {
		t.Errorf("the contact: %d %v", status, got)
	}
}

// sharesAreGrantedAgain: a deleted account comes back shared as it was, where that
// is asked for.
func sharesAreGrantedAgain(t *testing.T, co *company, d *desk) {
	account := co.rows("accounts", "?$select=accountid&$top=1")[0]["accountid"].(string)
	user := co.rows("systemusers", "?$select=systemuserid&$top=1")[0]["systemuserid"].(string)
	co.call(http.MethodPost, "GrantAccess", map[string]any{
		"Target":          map[string]any{"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": account},
		"PrincipalAccess": map[string]any{"Principal": map[string]any{"@odata.type": "Microsoft.Dynamics.CRM.systemuser", "systemuserid": user}, "AccessMask": "ReadAccess,WriteAccess"},
	})
	d.backup("prod", capture.Options{Tables: []string{"account", "alp_loyaltycard", "principalobjectaccess", "systemuser", "team"}})
	shared := func() string {
		a := co.call(http.MethodGet, "RetrieveSharedPrincipalsAndAccess(Target=@p1)?@p1="+url.PathEscape("{'@odata.id':'accounts("+account+")'}"), nil)
		var out []string
		for _, p := range a["PrincipalAccesses"].([]any) {
			out = append(out, p.(map[string]any)["AccessMask"].(string))
		}
		return strings.Join(out, "; ")
	}
	was := shared()
	co.call(http.MethodDelete, "accounts("+account+")", nil)
	r := act.RestoreRequest{From: act.Moment{Environment: "prod"}, Selection: act.RestoreSelection{Table: "account", IDs: []string{account}}}
	p, err := d.PlanRestore(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if text := planText(t, p); !strings.Contains(text, "1 share of 1 row made again") || !strings.Contains(text, "--with-sharing grants them again") {
		t.Errorf("got %s", text)
	}
	r.Sharing = true
	_, rep := d.restoring(r)
	if got := shared(); was != "ReadAccess, WriteAccess" || got != was || rep.Shared != 1 || rep.Unshared != 0 {
		t.Errorf("shared as %q, was %q; report %+v", got, was, rep)
	}
}

// greeting is the flow that greets card holders, clientdata what it is.
func greeting(co *company) string {
	return co.rows("workflows", "?$select=workflowid&$filter=name eq 'Greet new card holders'")[0]["workflowid"].(string)
}

func clientdata(co *company) string {
	return co.call(http.MethodGet, "workflows("+greeting(co)+")", nil)["clientdata"].(string)
}

// flowsAreInThePlan: the sample company greets new card holders by a flow.
func flowsAreInThePlan(t *testing.T, co *company, d *desk) {
	card := co.rows("alp_loyaltycards", "?$select=alp_loyaltycardid&$top=1")[0]["alp_loyaltycardid"].(string)
	sets := func(r act.RestoreRequest) string {
		t.Helper()
		r.From = act.Moment{Environment: "prod"}
		r.Selection = act.RestoreSelection{Table: "alp_loyaltycard", IDs: []string{card}}
		p, err := d.PlanRestore(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if p.Empty() {
			t.Fatal("nothing to do")
		}
		if slices.ContainsFunc(p.Warnings, func(w string) bool { return strings.Contains(w, "sets off") }) {
			t.Errorf("got %q", p.Warnings)
		}
		return planText(t, p)
	}
	const flow = "cloud flow “Greet new card holders” (alp_loyaltycard, Create)"
	co.call(http.MethodPatch, "alp_loyaltycards("+card+")", map[string]any{"alp_name": "changed"})
	if text := sets(act.RestoreRequest{}); strings.Contains(text, "sets off") {
		t.Errorf("an update sets off what waits for new rows: %s", text)
	}
	co.call(http.MethodDelete, "alp_loyaltycards("+card+")", nil)
	if text := sets(act.RestoreRequest{}); !strings.Contains(text, flow) || !strings.Contains(text, "--bypass plugins,flows asks") {
		t.Errorf("got %s", text)
	}
	if text := sets(act.RestoreRequest{Bypass: []string{"plugins"}}); !strings.Contains(text, "each write asks for custom logic not to run (plugins)") {
		t.Errorf("got %s", text)
	}
	co.call(http.MethodPatch, "workflows("+greeting(co)+")", map[string]any{"clientdata": strings.Replace(clientdata(co), `"subscriptionRequest/message":1`, `"subscriptionRequest/message":2`, 1)})
	if text := sets(act.RestoreRequest{}); strings.Contains(text, "sets off") {
		t.Errorf("what is made sets off what waits for deletions: %s", text)
	}
	p, rep := d.restoring(act.RestoreRequest{From: act.Moment{Environment: "prod"}, Selection: act.RestoreSelection{Table: "alp_loyaltycard", IDs: []string{card}}})
	u, err := undo.Make(t.Context(), d.Office, undo.Request{ID: p.ID})
	if err != nil || rep.Created != 1 {
		t.Fatal(err, rep)
	}
	if text := planText(t, u.Plan); !strings.Contains(text, "cloud flow “Greet new card holders” (alp_loyaltycard, Delete)") {
		t.Errorf("the undo: got %s", text)
	}
}
