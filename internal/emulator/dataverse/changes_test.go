package dataverse_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
)

// changes asks for what changed since the stamp; "" = everything.
func (c *client) changes(query, stamp, filters string) map[string]any {
	c.t.Helper()
	args, params := []string{"Query=@q"}, []string{"@q=" + url.PathEscape(query)}
	if stamp != "" {
		args, params = append(args, "ClientVersionStamp=@s"), append(params, "@s="+url.PathEscape("'"+stamp+"'"))
	}
	if filters != "" {
		args, params = append(args, "DeletedMetadataFilters=@d"), append(params, "@d=Microsoft.Dynamics.CRM.DeletedMetadataFilters'"+filters+"'")
	}
	return c.want(200, "GET", "RetrieveMetadataChanges("+strings.Join(args, ",")+")?"+strings.Join(params, "&"), "").json()
}

// gone are the ids that DeletedMetadata lists under the kind.
func gone(answer map[string]any, kind string) (out []string) {
	keys, _ := at(answer, "DeletedMetadata", "Keys").([]any)
	for i, k := range keys {
		if k == kind {
			list, _ := at(answer, "DeletedMetadata", "Values", i, "Items").([]any)
			for _, id := range list {
				out = append(out, id.(string))
			}
		}
	}
	return out
}

func TestRetrieveMetadataChanges(t *testing.T) {
	at0 := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: at0.now})
	query := `{"Criteria":{"FilterOperator":"And","Conditions":[{"ConditionOperator":"In","PropertyName":"LogicalName","Value":{"Type":"System.String[]","Value":"[\"account\",\"contact\",\"new_bankaccount\"]"}}]},"Properties":{"AllProperties":false,"PropertyNames":["LogicalName","Attributes","Keys"]},"AttributeQuery":{"Criteria":{"Conditions":[{"ConditionOperator":"NotEquals","PropertyName":"AttributeType","Value":{"Type":"Microsoft.Xrm.Sdk.Metadata.AttributeTypeCode","Value":"Virtual"}}]},"Properties":{"PropertyNames":["LogicalName","OptionSet"]}}}`
	first := c.changes(query, "", "")
	if list, _ := first["EntityMetadata"].([]any); len(list) != 2 || at(list, 0, "LogicalName") != "account" || at(list, 0, "HasChanged") != nil || first["DeletedMetadata"] != nil {
		t.Fatalf("all: got %d tables, %v", len(list), first["DeletedMetadata"])
	}
	for _, a := range at(first, "EntityMetadata", 0, "Attributes").([]any) {
		if at(a, "LogicalName") == "industrycode" && (at(a, "@odata.type") != "#Microsoft.Dynamics.CRM.ComplexPicklistAttributeMetadata" || at(a, "OptionSet", "Options") == nil || at(a, "SchemaName") != nil) {
			t.Errorf("got %v", a)
		}
		if at(a, "LogicalName") == "industrycodename" {
			t.Error("a virtual attribute passes the filter")
		}
	}
	stamp := func(a map[string]any) string { return a["ServerVersionStamp"].(string) }
	none := c.changes(query, stamp(first), "All")
	if list, _ := none["EntityMetadata"].([]any); len(list) != 0 || len(at(none, "DeletedMetadata", "Keys").([]any)) != 0 {
		t.Errorf("nothing changed: got %v", none)
	}

	table := c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount")).id()
	number := c.want(204, "POST", "EntityDefinitions(LogicalName='account')/Attributes", column("String", "new_Number")).id()
	next := c.changes(query, stamp(none), "All")
	list, _ := next["EntityMetadata"].([]any)
	if len(list) != 2 || at(list, 0, "LogicalName") != "account" || at(list, 0, "HasChanged") != false || at(list, 1, "HasChanged") != true {
		t.Fatalf("two changes: got %v", list)
	}
	if attrs, _ := at(list, 0, "Attributes").([]any); len(attrs) != 1 || at(attrs, 0, "MetadataId") != number || at(attrs, 0, "HasChanged") != true {
		t.Errorf("changed attributes of account: got %v", attrs)
	}
	if got := len(at(list, 1, "Attributes").([]any)); got < 15 {
		t.Errorf("attributes of a new table: got %d", got)
	}

	c.want(204, "PUT", "EntityDefinitions(LogicalName='contact')", `{"DisplayName":`+label("Person")+`}`)
	c.want(204, "DELETE", "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='new_number')", "")
	c.want(204, "DELETE", banks, "")
	last := c.changes(query, stamp(next), "All")
	if list, _ := last["EntityMetadata"].([]any); len(list) != 1 || at(list, 0, "LogicalName") != "contact" || at(list, 0, "HasChanged") != true {
		t.Errorf("a label: got %v", list)
	}
	if got := gone(last, "Entity"); !slices.Equal(got, []string{table}) {
		t.Errorf("deleted tables: got %v, want %s", got, table)
	}
	if got := gone(last, "Attribute"); !slices.Contains(got, number) || len(got) < 15 {
		t.Errorf("deleted attributes: got %d", len(got))
	}
	for _, kind := range []string{"Relationship", "Label", "OptionSet"} {
		if len(gone(last, kind)) == 0 {
			t.Errorf("no deleted %s", kind)
		}
	}
	if got := c.changes(query, stamp(next), ""); len(gone(got, "Attribute")) != 0 || len(gone(got, "Entity")) != 1 {
		t.Errorf("Default is Entity: got %v", at(got, "DeletedMetadata", "Keys"))
	}
	if got := c.changes(query, stamp(last), "All"); len(at(got, "DeletedMetadata", "Keys").([]any)) != 0 {
		t.Errorf("deletions twice: got %v", got)
	}

	at0.at = at0.at.Add(91 * 24 * time.Hour)
	a := c.want(400, "GET", "RetrieveMetadataChanges(ClientVersionStamp=@s)?@s="+url.PathEscape("'"+stamp(last)+"'"), "")
	if a.code() != "0x80044352" {
		t.Errorf("expired: got %s", a.Body)
	}
}

// A native restore brings the schema back with the rows.
func TestRewindBringsTheSchemaBack(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_BankAccount"))
	c.want(204, "POST", banks+"/Attributes", column("Integer", "new_Old"))
	c.want(204, "POST", "new_bankaccounts", `{"new_accountname":"Kept","new_old":7}`)
	c.action("mark", `{"name":"m"}`)
	stamp := c.changes("{}", "", "")["ServerVersionStamp"].(string)
	c.want(204, "DELETE", banks+"/Attributes(LogicalName='new_old')", "")
	c.want(204, "POST", "EntityDefinitions", bank("new_Late"))
	c.action("rewind-to", `{"name":"m"}`)
	c.want(404, "GET", "EntityDefinitions(LogicalName='new_late')", "")
	if rows := c.want(200, "GET", "new_bankaccounts?$select=new_old", "").rows(); len(rows) != 1 || rows[0]["new_old"] != 7.0 {
		t.Errorf("got %v", rows)
	}
	if got := c.changes(`{"Properties":{"PropertyNames":["LogicalName"]}}`, stamp, "All"); len(gone(got, "Entity")) != 1 {
		t.Errorf("deleted tables: got %v", gone(got, "Entity"))
	}
}

// A native restore brings back what application users were allowed.
func TestRewindRights(t *testing.T) {
	c := start(t, dvemu.Options{})
	rights := func() dvemu.AppUser { return c.srv.Users()[0] }
	c.action("mark", `{"name":"administrator"}`)
	c.action("set-depth", `{"table":"account","depth":"Basic"}`)
	c.action("mark", `{"name":"basic"}`)
	c.action("set-administrator", `{"on":true}`)
	c.action("set-depth", `{"table":"account","depth":"None"}`)
	c.action("rewind-to", `{"name":"basic"}`)
	if u := rights(); u.Administrator || u.DepthOf("account") != "Basic" {
		t.Errorf("got %+v", u)
	}
	c.want(200, "GET", "accounts", "")
	c.action("rewind-to", `{"name":"administrator"}`)
	if u := rights(); !u.Administrator || u.DepthOf("account") != "Global" {
		t.Errorf("got %+v", u)
	}
}
