package dataverse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
)

// model is a small organisation: accounts, contacts, tasks, emails with
// parties, opportunities, leads with N:N, notes, files, secured columns.
func model() *entity.Model {
	m := &entity.Model{}
	col := func(name, kind, edm string) *entity.Column {
		return &entity.Column{LogicalName: name, SchemaName: name, Kind: entity.ColumnKind(kind), EdmType: edm, ValidForCreate: true, ValidForUpdate: true, ValidForRead: true, ValidOData: true, Required: "None"}
	}
	str := func(name string, n int) *entity.Column {
		c := col(name, "String", "Edm.String")
		c.MaxLength = n
		return c
	}
	lookup := func(name string, targets ...string) *entity.Column {
		c := col(name, "Lookup", "Edm.Guid")
		c.Targets = targets
		return c
	}
	state := func(t *entity.Table) {
		sc := col("statecode", "State", "Edm.Int32")
		sc.OptionSet = &entity.OptionSet{Options: []entity.Option{{Value: 0, Label: "Active", DefaultStatus: 1}, {Value: 1, Label: "Inactive", DefaultStatus: 2}}}
		st := col("statuscode", "Status", "Edm.Int32")
		st.OptionSet = &entity.OptionSet{Options: []entity.Option{{Value: 1, Label: "Active", State: 0}, {Value: 2, Label: "Inactive", State: 1}, {Value: 3, Label: "On hold", State: 0}}}
		t.Columns = append(t.Columns, sc, st)
	}
	table := func(name, set, pk string, cols ...*entity.Column) *entity.Table {
		key := col(pk, "Uniqueidentifier", "Edm.Guid")
		key.ValidForUpdate = false
		t := &entity.Table{LogicalName: name, SchemaName: strings.ToUpper(name[:1]) + name[1:], SetName: set, LogicalSet: set, PrimaryID: pk, ODataKey: pk, PrimaryName: "name", TableType: "Standard", Ownership: 1, ChangeTracking: true, CanTrack: true, Optimistic: true}
		t.MetadataID[0] = byte(len(m.Tables) + 1)
		ro := func(c *entity.Column) *entity.Column { c.ValidForCreate, c.ValidForUpdate = false, false; return c }
		owner := col("ownerid", "Owner", "Edm.Guid")
		owner.Targets = []string{"systemuser", "team"}
		over := col("overriddencreatedon", "DateTime", "Edm.DateTimeOffset")
		over.ValidForUpdate = false
		t.Columns = append([]*entity.Column{key}, cols...)
		t.Columns = append(t.Columns, ro(col("createdon", "DateTime", "Edm.DateTimeOffset")), ro(col("modifiedon", "DateTime", "Edm.DateTimeOffset")),
			ro(lookup("createdby", "systemuser")), ro(lookup("modifiedby", "systemuser")), ro(col("versionnumber", "BigInt", "Edm.Int64")),
			owner, ro(lookup("owningbusinessunit", "businessunit")), ro(lookup("owninguser", "systemuser")), over)
		m.Tables = append(m.Tables, t)
		return t
	}
	rel := func(one, many, column, nav, collection, del string) {
		m.Relationships = append(m.Relationships, &entity.Relationship{SchemaName: many + "_" + column + "_" + one, Referenced: one, ReferencedAttr: one + "id", Referencing: many, ReferencingAttr: column, ReferencingNav: nav, ReferencedNav: collection, Cascade: entity.Cascade{Delete: del}})
	}
	revenue := col("revenue", "Money", "Edm.Decimal")
	revenue.Precision = 2
	secret := str("governmentid", 50)
	secret.Secured = true
	total := col("opendeals", "Integer", "Edm.Int32")
	total.SourceType = 2
	file := col("contract", "File", "Edm.Guid")
	file.MaxSizeKB = 32768
	fileName := str("contract_name", 200)
	fileName.ValidForCreate, fileName.ValidForUpdate, fileName.AttributeOf = false, false, "contract"
	account := table("account", "accounts", "accountid", str("name", 160), str("accountnumber", 20), revenue, secret, total, file, fileName,
		col("description", "Memo", "Edm.String"), lookup("primarycontactid", "contact"), lookup("parentaccountid", "account"), lookup("transactioncurrencyid", "transactioncurrency"),
		str("address1_city", 80), col("address1_addressid", "Uniqueidentifier", "Edm.Guid"), str("address2_city", 80), col("address2_addressid", "Uniqueidentifier", "Edm.Guid"))
	account.Keys = []*entity.Key{{SchemaName: "accountnumberkey", Columns: []string{"accountnumber"}}}
	state(account)
	contact := table("contact", "contacts", "contactid", str("firstname", 50), str("lastname", 50), str("fullname", 160), col("birthdate", "DateTime", "Edm.Date"),
		func() *entity.Column {
			c := col("parentcustomerid", "Customer", "Edm.Guid")
			c.Targets = []string{"account", "contact"}
			return c
		}())
	contact.PrimaryName = "fullname"
	state(contact)
	table("customeraddress", "customeraddresses", "customeraddressid", str("name", 160), str("city", 80), col("addressnumber", "Integer", "Edm.Int32"), lookup("parentid", "account", "contact"), str("objecttypecode", 50)).ChangeTracking = false
	lead := table("lead", "leads", "leadid", str("subject", 300))
	lead.PrimaryName = "subject"
	task := table("task", "tasks", "activityid", str("subject", 200), str("activitytypecode", 64), lookup("regardingobjectid", "account", "contact"))
	task.Activity, task.BaseType, task.PrimaryName = true, "activitypointer", "subject"
	state(task)
	email := table("email", "emails", "activityid", str("subject", 200), str("activitytypecode", 64))
	email.Activity, email.BaseType, email.PrimaryName = true, "activitypointer", "subject"
	state(email)
	party := table("activityparty", "activityparties", "activitypartyid", lookup("activityid", "activitypointer"), lookup("partyid", "contact", "account"), col("participationtypemask", "Integer", "Edm.Int32"))
	party.ActivityParty, party.PrimaryName = true, ""
	ap := table("activitypointer", "activitypointers", "activityid", str("subject", 200), str("activitytypecode", 64))
	ap.PrimaryName = "subject"
	opp := table("opportunity", "opportunities", "opportunityid", str("name", 300), lookup("customerid", "account"))
	state(opp)
	pairs := table("accountleads", "accountleadscollection", "accountleadid", col("accountid", "Uniqueidentifier", "Edm.Guid"), col("leadid", "Uniqueidentifier", "Edm.Guid"))
	pairs.Intersect = true
	user := table("systemuser", "systemusers", "systemuserid", str("fullname", 200), lookup("businessunitid", "businessunit"), col("applicationid", "Uniqueidentifier", "Edm.Guid"), col("azureactivedirectoryobjectid", "Uniqueidentifier", "Edm.Guid"))
	user.ODataKey, user.PrimaryName = "ownerid", "fullname"
	table("team", "teams", "teamid", str("name", 160), lookup("businessunitid", "businessunit")).ODataKey = "ownerid"
	table("businessunit", "businessunits", "businessunitid", str("name", 160), lookup("parentbusinessunitid", "businessunit"))
	table("organization", "organizations", "organizationid", str("name", 160))
	table("transactioncurrency", "transactioncurrencies", "transactioncurrencyid", str("currencyname", 100)).PrimaryName = "currencyname"
	table("contoso_sensordata", "contoso_sensordatas", "contoso_sensordataid", str("name", 100)).TableType = "Elastic"
	rel("contact", "account", "primarycontactid", "primarycontactid", "account_primary_contact", "RemoveLink")
	rel("account", "account", "parentaccountid", "parentaccountid", "account_parent_account", "RemoveLink")
	rel("account", "contact", "parentcustomerid", "parentcustomerid_account", "contact_customer_accounts", "Cascade")
	rel("contact", "contact", "parentcustomerid", "parentcustomerid_contact", "contact_customer_contacts", "Cascade")
	rel("account", "customeraddress", "parentid", "parentid_account", "Account_CustomerAddress", "Cascade")
	rel("contact", "customeraddress", "parentid", "parentid_contact", "Contact_CustomerAddress", "Cascade")
	rel("account", "task", "regardingobjectid", "regardingobjectid_account_task", "Account_Tasks", "Cascade")
	rel("contact", "task", "regardingobjectid", "regardingobjectid_contact_task", "Contact_Tasks", "Cascade")
	rel("email", "activityparty", "activityid", "activityid_email", "email_activity_parties", "Cascade")
	rel("contact", "activityparty", "partyid", "partyid_contact", "contact_activity_parties", "RemoveLink")
	rel("account", "opportunity", "customerid", "customerid_account", "opportunity_customer_accounts", "Restrict")
	for _, t := range []string{"account", "contact", "task", "opportunity"} {
		rel("owner", t, "ownerid", "ownerid", "", "NoCascade")
	}
	m.Relationships = append(m.Relationships, &entity.Relationship{SchemaName: "accountleads_association", Intersect: "accountleads", Entity1: "account", Entity2: "lead", Attribute1: "accountid", Attribute2: "leadid", Nav1: "accountleads_association", Nav2: "accountleads_association"})
	m.Seal()
	return m
}

// client talks to an emulator with plain net/http.
type client struct {
	t   *testing.T
	url string
	srv *dvemu.Server
}

func start(t *testing.T, o dvemu.Options) *client {
	t.Helper()
	if o.Model == nil {
		o.Model = model()
	}
	s, err := dvemu.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return &client{t: t, url: h.URL, srv: s}
}

type answer struct {
	Status int
	Header http.Header
	Body   string
	t      *testing.T
}

func (a answer) json() map[string]any {
	a.t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil {
		a.t.Fatalf("not JSON (%v): %s", err, a.Body)
	}
	return out
}

func (a answer) code() string {
	e, _ := a.json()["error"].(map[string]any)
	return fmt.Sprint(e["code"])
}

func (a answer) rows() []map[string]any {
	a.t.Helper()
	list, _ := a.json()["value"].([]any)
	out := make([]map[string]any, len(list))
	for i := range list {
		out[i] = list[i].(map[string]any)
	}
	return out
}

// id is the key in OData-EntityId.
func (a answer) id() string {
	a.t.Helper()
	u := a.Header.Get("OData-EntityId")
	i := strings.LastIndexByte(u, '(')
	if i < 0 {
		a.t.Fatalf("no OData-EntityId: %d %s", a.Status, a.Body)
	}
	return u[i+1 : len(u)-1]
}

// do sends a request; path is relative to the service root or absolute, header
// pairs follow the body.
func (c *client) do(method, path, body string, header ...string) answer {
	c.t.Helper()
	u := path
	if !strings.HasPrefix(path, "http") {
		u = c.url + "/api/data/v9.2/" + strings.ReplaceAll(path, " ", "%20")
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, u, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer x")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-None-Match", "null")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b), c.t}
}

func (c *client) want(status int, method, path, body string, header ...string) answer {
	c.t.Helper()
	a := c.do(method, path, body, header...)
	if a.Status != status {
		c.t.Fatalf("%s %s: got %d %s, want %d", method, path, a.Status, a.Body, status)
	}
	return a
}

// action runs an action under /_emulator/.
func (c *client) action(name, body string) {
	c.t.Helper()
	res, err := http.Post(c.url+"/_emulator/actions/"+name, "application/json", bytes.NewBufferString(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		b, _ := io.ReadAll(res.Body)
		c.t.Fatalf("action %s: %d %s", name, res.StatusCode, b)
	}
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }
