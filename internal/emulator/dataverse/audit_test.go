package dataverse_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
)

// withTables adds small tables to the model: "name set pk column:Kind…".
func withTables(m *entity.Model, specs ...string) *entity.Model {
	for _, spec := range specs {
		f := strings.Fields(spec)
		edm := map[string]string{
			"String": "Edm.String", "Memo": "Edm.String", "Integer": "Edm.Int32", "Picklist": "Edm.Int32", "Boolean": "Edm.Boolean", "Uniqueidentifier": "Edm.Guid",
			"Lookup": "Edm.Guid", "DateTime": "Edm.DateTimeOffset", "Money": "Edm.Decimal", "Decimal": "Edm.Decimal", "State": "Edm.Int32", "Status": "Edm.Int32", "BigInt": "Edm.Int64",
		}
		t := m.Table(f[0])
		if t == nil {
			t = &entity.Table{LogicalName: f[0], SchemaName: strings.ToUpper(f[0][:1]) + f[0][1:], SetName: f[1], LogicalSet: f[1], PrimaryID: f[2], ODataKey: f[2], TableType: "Standard", Ownership: 1}
			t.Columns = append(t.Columns, &entity.Column{LogicalName: f[2], SchemaName: f[2], Kind: "Uniqueidentifier", EdmType: "Edm.Guid", ValidForCreate: true, ValidForRead: true, ValidOData: true, Required: "None"})
			m.Tables = append(m.Tables, t)
		}
		for _, c := range f[3:] {
			name, kind, _ := strings.Cut(c, ":")
			kind, target, _ := strings.Cut(kind, ">")
			col := &entity.Column{LogicalName: name, SchemaName: name, Kind: entity.ColumnKind(kind), EdmType: edm[kind], ValidForCreate: true, ValidForUpdate: true, ValidForRead: true, ValidOData: true, Required: "None"}
			if target != "" {
				col.Targets = []string{target}
				m.Relationships = append(m.Relationships, &entity.Relationship{SchemaName: f[0] + "_" + name, Referenced: target, ReferencedAttr: target + "id", Referencing: f[0], ReferencingAttr: name, ReferencingNav: name, ReferencedNav: target + "_" + f[0] + "_" + name, Cascade: entity.Cascade{Delete: "RemoveLink"}})
			}
			t.Columns = append(t.Columns, col)
		}
		m.Seal()
	}
	return m
}

// auditModel audits accounts but for their account number, and contacts not.
func auditModel() *entity.Model {
	m := withTables(model(),
		"audit audits auditid operation:Picklist action:Picklist objecttypecode:String objectid:Lookup userid:Lookup callinguserid:Lookup createdon:DateTime attributemask:Memo changedata:Memo transactionid:Uniqueidentifier",
		"organization organizations organizationid isauditenabled:Boolean auditretentionperiodv2:Integer")
	for i, c := range m.Table("account").Columns {
		c.Number = i + 1
	}
	m.Table("account").Audit = true
	m.Table("account").Column("accountnumber").Unaudited = true
	return m
}

func (c *client) history(function, args string, aliases map[string]string, status int) answer {
	c.t.Helper()
	q := url.Values{}
	for k, v := range aliases {
		q.Set(k, v)
	}
	return c.want(status, "GET", function+"("+args+")?"+strings.ReplaceAll(q.Encode(), "+", "%20"), "")
}

func (c *client) recordHistory(id, paging string) map[string]any {
	c.t.Helper()
	a := c.history("RetrieveRecordChangeHistory", "Target=@target,PagingInfo=@paginginfo", map[string]string{"@target": "{'@odata.id':'accounts(" + id + ")'}", "@paginginfo": paging}, 200)
	return a.json()["AuditDetailCollection"].(map[string]any)
}

func (c *client) enableAudit() {
	c.t.Helper()
	org := c.want(200, "GET", "organizations", "").rows()[0]["organizationid"].(string)
	c.want(204, "PATCH", "organizations("+org+")", `{"isauditenabled":true}`)
}

func TestAuditKeepsOldAndNewValues(t *testing.T) {
	c := start(t, dvemu.Options{Model: auditModel()})
	before := c.want(204, "POST", "accounts", `{"name":"unseen"}`).id()
	if rows := c.want(200, "GET", "audits", "").rows(); len(rows) != 0 {
		t.Fatalf("audited before it was enabled: %v", rows)
	}
	c.enableAudit()
	contact := c.want(204, "POST", "contacts", `{"firstname":"Ana","lastname":"Núñez"}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"old","accountnumber":"A1"}`).id()
	c.want(204, "PATCH", "accounts("+id+")", `{"name":"new","description":"`+strings.Repeat("x", 6000)+`","primarycontactid@odata.bind":"/contacts(`+contact+`)"}`)
	c.want(204, "PATCH", "accounts("+id+")", `{"accountnumber":"A2"}`) // not audited
	c.want(204, "DELETE", "accounts("+id+")/primarycontactid/$ref", "")

	rows := c.want(200, "GET", "audits?$filter=_objectid_value eq "+id+"&$orderby=createdon", "").rows()
	if len(rows) != 3 {
		t.Fatalf("got %d audits, want 3: %v", len(rows), rows)
	}
	for _, r := range c.want(200, "GET", "audits?$select=action", "").rows() {
		if _, mask := r["attributemask"]; !mask || r["transactionid"] == nil || r["@odata.etag"] != nil {
			t.Errorf("columns that come unasked are missing, or there is an etag: %v", r)
		}
	}
	var update map[string]any
	for _, r := range rows {
		if r["operation"] == 2.0 && strings.Contains(r["changedata"].(string), `"name"`) {
			update = r
		}
		if r["transactionid"] == nil || r["_userid_value"] == nil || r["objecttypecode"] != "account" {
			t.Errorf("incomplete: %v", r)
		}
	}
	// name, description, primarycontactid by ColumnNumber
	if got := strings.Split(update["attributemask"].(string), ","); len(got) != 3 {
		t.Errorf("attributemask: got %v", got)
	}
	var changed struct {
		ChangedAttributes []struct{ LogicalName, OldValue, NewValue string }
	}
	if err := json.Unmarshal([]byte(update["changedata"].(string)), &changed); err != nil || changed.ChangedAttributes[0].OldValue != "old" {
		t.Errorf("changedata: %v %v", err, changed)
	}

	a := c.want(200, "GET", "audits("+update["auditid"].(string)+")/Microsoft.Dynamics.CRM.RetrieveAuditDetails", "", "Prefer", `odata.include-annotations="*"`)
	if !strings.HasSuffix(a.json()["@odata.context"].(string), "#Microsoft.Dynamics.CRM.RetrieveAuditDetailsResponse") {
		t.Errorf("context: %s", a.Body)
	}
	d := a.json()["AuditDetail"].(map[string]any)
	want := map[string]any{
		"@odata.type": "#Microsoft.Dynamics.CRM.AttributeAuditDetail", "InvalidNewValueAttributes": []any{}, "LocLabelLanguageCode": 0.0,
		"DeletedAttributes": map[string]any{"Count": 0.0, "IsReadOnly": false, "Keys": []any{}, "Values": []any{}},
		"OldValue":          map[string]any{"@odata.type": "#Microsoft.Dynamics.CRM.account", "name": "old"},
		"NewValue": map[string]any{
			"@odata.type": "#Microsoft.Dynamics.CRM.account", "name": "new", "description": strings.Repeat("x", 5000) + "…",
			"_primarycontactid_value@OData.Community.Display.V1.FormattedValue":           "Ana Núñez",
			"_primarycontactid_value@Microsoft.Dynamics.CRM.associatednavigationproperty": "primarycontactid",
			"_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname":            "contact",
			"_primarycontactid_value": contact,
		},
	}
	if diff := cmp.Diff(d, want); diff != "" {
		t.Errorf("detail, got -, want +:\n%s", diff)
	}

	c.want(204, "DELETE", "accounts("+id+")", "")
	all := c.recordHistory(id, `{"PageNumber":1,"Count":100,"ReturnTotalRecordCount":true}`)
	if all["TotalRecordCount"] != 4.0 || all["MoreRecords"] != false {
		t.Errorf("history: got %v", all)
	}
	if last := all["AuditDetails"].([]any)[0].(map[string]any); last["OldValue"].(map[string]any)["name"] != "new" || last["NewValue"] != nil {
		t.Errorf("the deletion does not hold the old values: %v", last)
	}
	if got := c.recordHistory(before, `{}`); len(got["AuditDetails"].([]any)) != 0 {
		t.Errorf("history of an unaudited row: %v", got)
	}
}

func TestAuditHistoryIsPaged(t *testing.T) {
	c := start(t, dvemu.Options{Model: auditModel()})
	c.enableAudit()
	id := c.want(204, "POST", "accounts", `{"name":"n0"}`).id()
	for _, n := range []string{"n1", "n2", "n3", "n4"} {
		c.want(204, "PATCH", "accounts("+id+")", `{"name":"`+n+`"}`)
	}
	var got []string
	paging := `{"PageNumber":1,"Count":2,"ReturnTotalRecordCount":true}`
	for {
		page := c.recordHistory(id, paging)
		for _, d := range page["AuditDetails"].([]any) {
			got = append(got, d.(map[string]any)["NewValue"].(map[string]any)["name"].(string))
		}
		if page["MoreRecords"] == false || len(got) > 5 {
			break
		}
		cookie, err := json.Marshal(page["PagingCookie"])
		if err != nil {
			t.Fatal(err)
		}
		paging = `{"PageNumber":2,"Count":2,"PagingCookie":` + string(cookie) + `}`
	}
	if diff := cmp.Diff(got, []string{"n4", "n3", "n2", "n1", "n0"}); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
	c.want(204, "PATCH", "accounts("+id+")", `{"description":"d"}`)
	a := c.history("RetrieveAttributeChangeHistory", "Target=@t,AttributeLogicalName=@a,PagingInfo=@p",
		map[string]string{"@t": "{'@odata.type':'Microsoft.Dynamics.CRM.account','accountid':'" + id + "'}", "@a": "'description'", "@p": `{"PageNumber":1,"Count":10,"ReturnTotalRecordCount":true}`}, 200)
	if col := a.json()["AuditDetailCollection"].(map[string]any); col["TotalRecordCount"] != 1.0 {
		t.Errorf("got %s", a.Body)
	}
	c.history("RetrieveRecordChangeHistory", "Target=@t,PagingInfo=@p", map[string]string{"@t": "{'@odata.id':'accounts(" + id + ")'}", "@p": `{"PageNumber":-1}`}, 400)
	c.history("RetrieveRecordChangeHistory", "Target=@t", map[string]string{"@t": "'x'"}, 400)
}

func TestAuditErasure(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := start(t, dvemu.Options{Model: auditModel(), Now: k.now})
	c.enableAudit()
	id := c.want(204, "POST", "accounts", `{"name":"a"}`).id()
	other := c.want(204, "POST", "accounts", `{"name":"b"}`).id()
	c.want(204, "DELETE", "accounts("+id+")", "")
	a := c.want(200, "POST", "DeleteRecordChangeHistory", `{"Target":{"@odata.type":"Microsoft.Dynamics.CRM.account","accountid":"`+id+`"}}`)
	if a.json()["DeletedEntriesCount"] != 2.0 {
		t.Errorf("got %s, want 2 entries", a.Body)
	}
	if got := c.recordHistory(other, `{}`); len(got["AuditDetails"].([]any)) != 1 {
		t.Errorf("another row lost its history: %v", got)
	}
	if a := c.want(400, "POST", "DeleteAuditData", `{"EndDate":"2026-01-01T00:00:00Z"}`); a.code() != "0x80040203" {
		t.Errorf("got %s", a.Body)
	}
	c.want(200, "POST", "DeleteAuditData", `{"EndDate":"2026-06-01T00:00:00Z"}`)
	if rows := c.want(200, "GET", "audits", "").rows(); len(rows) != 0 {
		t.Errorf("got %v", rows)
	}
	// Retention: 30 days unless the organisation says otherwise.
	c.want(204, "PATCH", "accounts("+other+")", `{"name":"c"}`)
	k.at = k.at.AddDate(0, 0, 31)
	c.want(204, "PATCH", "accounts("+other+")", `{"name":"d"}`)
	if rows := c.want(200, "GET", "audits", "").rows(); len(rows) != 1 {
		t.Errorf("after 31 days: got %d rows, want 1", len(rows))
	}
}

func TestAuditIsReadOnlyAndPrivileged(t *testing.T) {
	users := dvemu.DefaultAppUsers(1)
	c := start(t, dvemu.Options{Model: auditModel(), AppUsers: users})
	c.enableAudit()
	id := c.want(204, "POST", "accounts", `{"name":"a"}`).id()
	audit := c.want(200, "GET", "audits?$filter=_objectid_value eq "+id, "").rows()[0]["auditid"].(string)
	for _, r := range [][3]string{{"POST", "audits", `{}`}, {"PATCH", "audits(" + audit + ")", `{"operation":3}`}, {"DELETE", "audits(" + audit + ")", ""}} {
		if a := c.want(405, r[0], r[1], r[2]); a.code() != "0x80040800" {
			t.Errorf("%s: got %s", r[0], a.Body)
		}
	}
	c.action("set-administrator", `{"on":false}`)
	for _, r := range [][3]string{
		{"GET", "audits(" + audit + ")/Microsoft.Dynamics.CRM.RetrieveAuditDetails", ""},
		{"POST", "DeleteRecordChangeHistory", `{"Target":{"@odata.id":"accounts(` + id + `)"}}`},
		{"POST", "DeleteAuditData", `{"EndDate":"2030-01-01T00:00:00Z"}`},
	} {
		if a := c.want(403, r[0], r[1], r[2]); a.code() != "0x80040220" {
			t.Errorf("%s: got %s", r[1], a.Body)
		}
	}
	denied := dvemu.DefaultAppUsers(1)
	denied[0].Deny = []string{"prvReadAuditSummary"}
	d := start(t, dvemu.Options{Model: auditModel(), AppUsers: denied})
	d.want(403, "GET", "audits", "")
}

func TestAuditOfLinksAndOwners(t *testing.T) {
	c := start(t, dvemu.Options{Model: auditModel()})
	c.enableAudit()
	id := c.want(204, "POST", "accounts", `{"name":"a"}`).id()
	lead := c.want(204, "POST", "leads", `{"subject":"l"}`).id()
	team := c.want(204, "POST", "teams", `{"name":"t"}`).id()
	c.want(204, "POST", "accounts("+id+")/accountleads_association/$ref", `{"@odata.id":"`+c.url+`/api/data/v9.2/leads(`+lead+`)"}`)
	c.want(204, "PATCH", "accounts("+id+")", `{"ownerid@odata.bind":"/teams(`+team+`)"}`)
	actions := map[float64]string{}
	for _, r := range c.want(200, "GET", "audits?$filter=_objectid_value eq "+id, "").rows() {
		actions[r["action"].(float64)] = r["auditid"].(string)
	}
	if actions[13] == "" || actions[33] == "" {
		t.Fatalf("actions: got %v, want 1, 13, 33", actions)
	}
	d := c.want(200, "GET", "audits("+actions[33]+")/Microsoft.Dynamics.CRM.RetrieveAuditDetails", "").json()["AuditDetail"]
	want := map[string]any{"@odata.type": "#Microsoft.Dynamics.CRM.RelationshipAuditDetail", "RelationshipName": "accountleads_association", "TargetRecords": []any{map[string]any{"@odata.type": "#Microsoft.Dynamics.CRM.lead", "leadid": lead}}}
	if diff := cmp.Diff(d, any(want)); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
}
