package dataverse_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// convert takes FetchXML to a QueryExpression and back.
func (c *client) convert(xml string) (query map[string]any, back string) {
	c.t.Helper()
	param := strings.ReplaceAll(url.QueryEscape("'"+strings.ReplaceAll(xml, "'", "''")+"'"), "+", "%20")
	query, _ = c.want(200, "GET", "FetchXmlToQueryExpression(FetchXml=@p)?@p="+param, "").json()["Query"].(map[string]any)
	query["@odata.type"] = "Microsoft.Dynamics.CRM.QueryExpression"
	body, err := json.Marshal(map[string]any{"Query": query})
	if err != nil {
		c.t.Fatal(err)
	}
	return query, c.want(200, "POST", "QueryExpressionToFetchXml", string(body)).json()["FetchXml"].(string)
}

// FetchXmlToQueryExpression and QueryExpressionToFetchXml say the same in two ways
// (§6.12): what comes back answers as the query did.
func TestS612ConvertedQueries(t *testing.T) {
	c, ids := company(t)
	contacts := `<link-entity name="contact" from="parentcustomerid" to="accountid" `
	for _, xml := range []string{
		`<fetch><entity name="account"><all-attributes/></entity></fetch>`,
		`<fetch top="2"><entity name="account"><attribute name="name"/><order attribute="name" descending="true"/></entity></fetch>`,
		`<fetch count="2" page="2" distinct="true"><entity name="account"><attribute name="statecode"/><attribute name="name"/><order attribute="name"/></entity></fetch>`,
		`<fetch><entity name="account"><attribute name="name"/><filter type="or"><condition attribute="name" operator="eq" value="a"/><filter><condition attribute="revenue" operator="not-null"/><condition attribute="name" operator="in"><value>b</value><value>d</value></condition></filter></filter></entity></fetch>`,
		`<fetch><entity name="account"><attribute name="name"/><filter><condition attribute="createdon" operator="last-x-days" value="2"/></filter><filter><condition attribute="name" operator="not-begin-with" value="e"/></filter></entity></fetch>`,
		`<fetch><entity name="account"><attribute name="name"/><filter><condition attribute="accountid" operator="eq-or-under" value="` + ids["a"] + `"/></filter></entity></fetch>`,
		`<fetch><entity name="account"><attribute name="name"/>` + contacts + `link-type="outer" alias="p"><attribute name="lastname"/><order attribute="lastname"/><filter><condition attribute="lastname" operator="like" value="%&lt;&quot;x&amp;%"/></filter></link-entity><filter><condition entityname="p" attribute="contactid" operator="null"/></filter><order attribute="name"/></entity></fetch>`,
		`<fetch><entity name="account"><attribute name="name"/>` + contacts + `link-type="exists"/><filter><condition attribute="name" operator="ne" valueof="accountnumber"/></filter></entity></fetch>`,
		`<fetch><entity name="account"><attribute name="name"/><filter type="or">` + contacts + `link-type="not any"/>` + contacts + `link-type="any"><filter><condition attribute="lastname" operator="eq" value="z"/></filter></link-entity></filter></entity></fetch>`,
		`<fetch aggregate="true"><entity name="account"><attribute name="statecode" alias="s" groupby="true"/><attribute name="createdon" alias="q" groupby="true" dategrouping="fiscal-period"/><attribute name="revenue" alias="n" aggregate="countcolumn"/><attribute name="revenue" alias="r" aggregate="sum"/><order alias="n"/></entity></fetch>`,
		`<fetch><entity name="account"><attribute name="name" alias="called"/><order attribute="name"/></entity></fetch>`,
	} {
		want := c.fetch("accounts", xml)
		_, back := c.convert(xml)
		if got := c.fetch("accounts", back); got.Status != 200 || got.Body != want.Body {
			t.Errorf("%s came back as %s:\ngot  %s\nwant %s", xml, back, got.Body, want.Body)
		}
	}
	q, _ := c.convert(`<fetch count="3"><entity name="account"><attribute name="name"/><filter><condition attribute="accountid" operator="neq" value="` + ids["a"] + `"/></filter>` + contacts + `alias="p"/></entity></fetch>`)
	link := q["LinkEntities"].([]any)[0].(map[string]any)
	for _, k := range []string{"Columns", "LinkCriteria", "LinkEntities", "Orders", "ForceSeek"} {
		delete(link, k)
	}
	if d := cmp.Diff(map[string]any{"LinkFromEntityName": "account", "LinkFromAttributeName": "accountid", "LinkToEntityName": "contact", "LinkToAttributeName": "parentcustomerid", "JoinOperator": "Inner", "EntityAlias": "p"}, link); d != "" {
		t.Errorf("link: -want +got:\n%s", d)
	}
	if q["EntityName"] != "account" || at(q, "ColumnSet", "Columns").([]any)[0] != "name" || at(q, "PageInfo", "Count") != 3.0 || q["TopCount"] != nil {
		t.Errorf("got %v", q)
	}
	condition := at(q, "Criteria", "Conditions").([]any)[0].(map[string]any)
	if d := cmp.Diff(map[string]any{"AttributeName": "accountid", "EntityName": nil, "Operator": "NotEqual", "CompareColumns": false, "Values": []any{map[string]any{"Type": "System.Guid", "Value": ids["a"]}}}, condition); d != "" {
		t.Errorf("condition: -want +got:\n%s", d)
	}
}

// Other kinds of queries are taken too; what no query is, is refused.
func TestS612OtherQueries(t *testing.T) {
	c, _ := company(t)
	crm := `"@odata.type":"Microsoft.Dynamics.CRM.`
	for query, want := range map[string]string{
		crm + `QueryByAttribute","EntityName":"account","Attributes":["name"],"Values":["a"],"ColumnSet":{"Columns":["name"]}`:                                                                                   "a",
		crm + `FetchExpression","Query":"<fetch><entity name='account'><attribute name='name'/><filter><condition attribute='name' operator='eq' value='b'/></filter></entity></fetch>"`:                         "b",
		crm + `QueryExpression","EntityName":"account","ColumnSet":{"Columns":["name"]},"Criteria":{"Conditions":[{"AttributeName":"name","Operator":"Equal","Values":[{"Type":"System.String","Value":"c"}]}]}`: "c",
	} {
		xml := c.want(200, "POST", "QueryExpressionToFetchXml", `{"Query":{`+query+`}}`).json()["FetchXml"].(string)
		if got := names(t, c.fetch("accounts", xml), "name"); got != want {
			t.Errorf("%s: got %s, want %s", xml, got, want)
		}
	}
	for _, body := range []string{`{}`, `{"Query":{}}`, `{"Query":1}`, `x`, `{"Query":{"EntityName":"account","LinkEntities":[{"LinkToEntityName":"contact","JoinOperator":"Any"}]}}`, `{"Query":{` + crm + `QueryByAttribute","EntityName":"account","Attributes":["name"],"Values":[]}}`, `{"Query":{` + crm + `FetchExpression","Query":"<"}}`} {
		c.want(400, "POST", "QueryExpressionToFetchXml", body)
	}
	for _, p := range []string{"", "(FetchXml=@p)?@p='<'", "(FetchXml='<fetch><entity name=\"nothing\"%2F><%2Ffetch>')"} {
		c.want(400, "GET", "FetchXmlToQueryExpression"+p, "")
	}
	c.want(404, "POST", "FetchXmlToQueryExpression", "{}")
}
